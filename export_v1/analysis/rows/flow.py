"""Rules for control flow and for TensorArrays."""

from collections.abc import Callable, Mapping

from export_v1.analysis.rows.states import FREE, Answer, Elements, Free, Look, Rows, Sizes, State, either
from export_v1.ir import ops


def _same(look: Look) -> State:
    return look.states[0]


def _switch(look: Look) -> State | None:
    return look.states[0] if isinstance(look.states[1], Free) else None


def _merge(look: Look) -> Answer:
    joined: State = FREE
    for state in look.states:
        joined = either(joined, state, look.node.name)
    return [joined, FREE]


def _array(look: Look) -> Answer:
    # As many elements as there are rows would be an array over the batch.
    return None if isinstance(look.states[0], Sizes) else [FREE, FREE]


def _written(look: Look) -> State | None:
    value, flow = look.states[2], look.states[3]
    if not isinstance(look.states[1], Free) or isinstance(flow, Sizes | Rows):
        return None
    new = Elements(value) if isinstance(value, Rows) else flow if isinstance(value, Free) else None
    return new if new is not None and (isinstance(flow, Free) or flow == new) else None


def _scattered(look: Look) -> State | None:
    indices, value, flow = look.states[1:4]
    if not isinstance(value, Rows) or value.axis == 0 or not isinstance(flow, Free) or not isinstance(indices, Free):
        return None
    return Elements(Rows(value.axis - 1, value.per))


def _read(look: Look) -> State | None:
    elements = look.states[2]
    return elements.of if isinstance(elements, Elements) and isinstance(look.states[1], Free) else None


def _gathered(look: Look) -> State | None:
    elements = look.states[2]
    if not isinstance(elements, Elements) or not isinstance(look.states[1], Free):
        return None
    return Rows(elements.of.axis + 1, elements.of.per)


RULES: Mapping[str, Callable[[Look], Answer]] = {
    **dict.fromkeys(
        ("Identity", "Enter", "RefEnter", "Exit", "RefExit", "NextIteration", "LoopCond", "Snapshot"), _same
    ),
    **dict.fromkeys(ops.SWITCHES, _switch),
    **dict.fromkeys(ops.MERGES, _merge),
    "TensorArrayV3": _array,
    "TensorArrayWriteV3": _written,
    "TensorArrayScatterV3": _scattered,
    "TensorArrayReadV3": _read,
    "TensorArrayGatherV3": _gathered,
    "TensorArraySizeV3": lambda look: FREE,
}
