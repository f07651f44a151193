"""Rules for control flow, and for TensorArrays and lists of tensors."""

from collections.abc import Callable, Mapping

from export_v1.analysis.rows import endings
from export_v1.analysis.rows.states import FREE, Answer, Done, Elements, Free, Look, Mixed, Rows, State, either
from export_v1.ir import graph, ops


def _same(look: Look) -> State:
    return look.states[0]


def _switch(look: Look) -> Answer:
    data, predicate = look.states
    if isinstance(predicate, Done) and look.index[look.sources[1].node].op == "LoopCond":
        # The loop goes on for one row after another is done with it.
        return [data if endings.is_kept(look, predicate) else Mixed(look.node.name), data]
    return data if isinstance(predicate, Free) else None


def _merge(look: Look) -> Answer:
    joined: State = FREE
    for state in look.states:
        joined = either(joined, state, look.node.name)
    return [joined, FREE]


def _made(size: int | None) -> Callable[[Look], Answer]:
    def rule(look: Look) -> Answer:
        # As many elements as there are rows would be an array over the batch.
        over_batch = size is not None and not isinstance(look.states[size], Free)
        return None if over_batch else [FREE] * len(graph.output_types(look.node))

    return rule


def _written(value: int, array: int, index: int | None) -> Callable[[Look], State | None]:
    def rule(look: Look) -> State | None:
        item, flow = look.states[value], look.states[array]
        if (index is not None and not isinstance(look.states[index], Free)) or not isinstance(flow, Free | Elements):
            return None
        new = Elements(item) if isinstance(item, Rows) else flow if isinstance(item, Free) else None
        return new if new is not None and (isinstance(flow, Free) or flow == new) else None

    return rule


def _unstacked(value: int, *others: int) -> Callable[[Look], State | None]:
    def rule(look: Look) -> State | None:
        rows = look.states[value]
        if not isinstance(rows, Rows) or not rows.axis or any(not isinstance(look.states[at], Free) for at in others):
            return None
        return Elements(Rows(rows.axis - 1, rows.per))

    return rule


def _read(array: int, index: int) -> Callable[[Look], State | None]:
    def rule(look: Look) -> State | None:
        elements = look.states[array]
        return elements.of if isinstance(elements, Elements) and isinstance(look.states[index], Free) else None

    return rule


def _stacked(array: int, index: int | None) -> Callable[[Look], State | None]:
    def rule(look: Look) -> State | None:
        elements = look.states[array]
        if not isinstance(elements, Elements) or (index is not None and not isinstance(look.states[index], Free)):
            return None
        return Rows(elements.of.axis + 1, elements.of.per)

    return rule


def _popped(look: Look) -> Answer:
    elements = look.states[0]
    return [elements, elements.of] if isinstance(elements, Elements) else None


RULES: Mapping[str, Callable[[Look], Answer]] = {
    **dict.fromkeys(
        ("Identity", "Enter", "RefEnter", "Exit", "RefExit", "NextIteration", "LoopCond", "Snapshot"), _same
    ),
    **dict.fromkeys(ops.SWITCHES, _switch),
    **dict.fromkeys(ops.MERGES, _merge),
    **dict.fromkeys(("TensorArrayV3", "TensorArrayV2"), _made(0)),
    **dict.fromkeys(("TensorArrayWriteV3", "TensorArrayWriteV2"), _written(2, 3, 1)),
    **dict.fromkeys(("TensorArrayScatterV3", "TensorArrayScatterV2"), _unstacked(2, 1, 3)),
    **dict.fromkeys(("TensorArrayReadV3", "TensorArrayReadV2"), _read(2, 1)),
    **dict.fromkeys(("TensorArrayGatherV3", "TensorArrayGatherV2"), _stacked(2, 1)),
    **dict.fromkeys(("TensorArraySizeV3", "TensorArraySizeV2", "TensorListLength"), lambda look: FREE),
    "EmptyTensorList": _made(1),
    "TensorListReserve": _made(1),
    "TensorListFromTensor": _unstacked(0),
    "TensorListGetItem": _read(0, 1),
    "TensorListPopBack": _popped,
    "TensorListPushBack": _written(1, 0, None),
    "TensorListSetItem": _written(2, 0, 1),
    "TensorListStack": _stacked(0, None),
}
