"""Calls of one function in a row, each on what the last one gave, as a loop."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from export_v1.ir.graph import Tensor
from load_v2.opening import block_parameters, expressions
from load_v2.opening.blocks import NAME
from load_v2.opening.expressions import Expression, LayerCall, Operand
from load_v2.opening.layers import Layer
from load_v2.opening.statements import Statement

# Between the brackets of `for … in [...]:`, on one line.
_LONGEST_TABLE = 80


@dataclasses.dataclass(frozen=True, eq=False)
class Loop:
    """Calls that a loop makes.

    Attributes:
        calls: in order.
        carried: (argument, result) pairs: what a call gives that the next one is called on, by their places.
        head: what stands between "for" and ":".
        options: parameter -> what the call in the loop gives for it, where it differs from call to call; strings in
            braces are names.
    """

    calls: tuple[Statement, ...]
    carried: tuple[tuple[int, int], ...]
    head: str
    options: dict[str, Any]

    @property
    def first(self) -> tuple[Tensor, ...]:
        """What is carried into the loop."""
        return tuple(_arguments(self.calls[0])[at] for at, _ in self.carried)

    @property
    def results(self) -> tuple[Tensor, ...]:
        """What the last call hands on."""
        return tuple(_result(self.calls[-1], at) for _, at in self.carried)

    @property
    def fixed(self) -> tuple[Tensor, ...]:
        """What all calls read."""
        carried = {at for at, _ in self.carried}
        return tuple(tensor for at, tensor in enumerate(_arguments(self.calls[0])) if at not in carried)


def found(statements: Sequence[Statement], ends: frozenset[Tensor]) -> list[Statement | Loop]:
    """Returns the statements in order, those that a loop can make as loops.

    Args:
        statements: of `build`, or of a function.
        ends: tensors that are read behind them.
    """
    reads: dict[Tensor, list[int]] = {}
    for at, statement in enumerate(statements):
        for tensor in expressions.operands(statement.code):
            reads.setdefault(tensor, []).append(at)
    items: list[Statement | Loop] = []
    at = 0
    while at < len(statements):
        loop = _longest(statements, at, reads, ends)
        if loop is not None and loop.options.get(NAME) == expressions.Name(NAME) and at + 1 < len(statements):
            # TensorFlow 1 numbers from the second of a kind on: the first stands alone where the others need no table.
            after = _longest(statements, at + 1, reads, ends)
            if after is not None and not isinstance(after.options.get(NAME), expressions.Name):
                loop = None
        items.append(statements[at] if loop is None else loop)
        at += 1 if loop is None else len(loop.calls)
    return items


def _longest(statements, begin: int, reads, ends) -> Loop | None:
    layer = _called(statements[begin])
    if layer is None:
        return None
    end = begin + 1
    while end < len(statements) and (other := _called(statements[end])) and _are_alike(layer, other):
        end += 1
    # A loop has two lines.
    while end - begin > (1 if layer.function is not None else 2):
        calls = tuple(statements[begin:end])
        carried = _carried(calls)
        if carried is not None and _is_closed(calls, begin, carried, reads, ends):
            loop = _loop(calls, carried)
            if loop is not None:
                return loop
        end -= 1
    return None


def _are_alike(layer: Layer, other: Layer) -> bool:
    if layer.function is not None:
        return layer.function is other.function
    return block_parameters.kind_of(layer) == block_parameters.kind_of(other) and layer.arguments == other.arguments


def _called(statement: Statement) -> Layer | None:
    """Returns the layer, or the function, that a statement calls on tensors and does nothing else with."""
    code = statement.code
    if not isinstance(code, LayerCall) or code.options or code.layer.variable or not code.layer.name:
        return None
    return code.layer if all(isinstance(argument, Operand) for argument in code.arguments) else None


def _arguments(statement: Statement) -> list[Tensor]:
    assert isinstance(statement.code, LayerCall)
    return [part.tensor for part in statement.code.arguments if isinstance(part, Operand)]


def _result(statement: Statement, at: int) -> Tensor:
    target = statement.targets[at]
    assert target is not None
    return target


def _carried(calls: Sequence[Statement]) -> tuple[tuple[int, int], ...] | None:
    """Returns what is carried from call to call, None where that is not all that differs between their arguments."""
    carried = []
    rows = [_arguments(call) for call in calls]
    for at, column in enumerate(zip(*rows, strict=True)):
        if len(set(column)) == 1:
            continue
        places = {
            call.targets.index(tensor) if tensor in call.targets else None
            for call, tensor in zip(calls, column[1:], strict=False)
        }
        place = places.pop()
        if places or place is None:
            return None
        carried.append((at, place))
    if not carried or len({place for _, place in carried}) < len(calls[0].targets):
        return None
    return tuple(carried) if len({place for _, place in carried}) == len(carried) else None


def _is_closed(calls, begin: int, carried, reads, ends) -> bool:
    """Returns whether what a call gives is read by the next one alone, but for the last."""
    for number, call in enumerate(calls[:-1]):
        for target in call.targets:
            if target in ends or reads.get(target, []) != [begin + number + 1]:
                return False
    fixed = set(_arguments(calls[0])) - {_arguments(calls[0])[at] for at, _ in carried}
    return not any(target in fixed for call in calls for target in call.targets)


def _loop(calls: tuple[Statement, ...], carried) -> Loop | None:
    """Returns the loop, None where what differs between the calls is no short table."""
    layers = [layer for call in calls if (layer := _called(call)) is not None]
    names = [layer.name for layer in layers]
    differ = {
        key: [block_parameters.setting(layer, key) for layer in layers]
        for key in dict.fromkeys(key for layer in layers for key in layer.options)
        if len({repr(block_parameters.setting(layer, key)) for layer in layers}) > 1
    }
    options: dict[str, Any] = {key: expressions.Name(key) for key in differ}
    count = len(calls)
    numbers = block_parameters.numbered(names) if len(set(names)) > 1 and "{" not in "".join(names) else None
    if numbers is not None:
        pattern, start = numbers
        options[NAME] = pattern.format("{i}")
    elif len(set(names)) > 1:
        differ[NAME] = list(names)
        if "{" in "".join(names):
            return None
        options[NAME] = expressions.Name(NAME)
    ranges = f"range({count})" if numbers is None or not numbers[1] else f"range({numbers[1]}, {numbers[1] + count})"
    counter = "i" if numbers is not None else "_"
    if not differ:
        return Loop(calls, carried, f"{counter} in {ranges}", options)
    steps = {key: _step(values) for key, values in differ.items()}
    if numbers is None and all(steps.values()) and len(differ) == 1:
        key, values = next(iter(differ.items()))
        step = f", {steps[key]}" if steps[key] != 1 else ""
        return Loop(calls, carried, f"{key} in range({values[0]}, {values[-1] + steps[key]}{step})", options)
    rows = list(zip(*differ.values(), strict=True))
    table = expressions.literal_text([row if len(row) > 1 else row[0] for row in rows])
    if len(table) > _LONGEST_TABLE:
        return None
    targets = ", ".join(differ)
    if numbers is None:
        return Loop(calls, carried, f"{targets} in {table}", options)
    begin = f", {numbers[1]}" if numbers[1] else ""
    return Loop(
        calls, carried, f"i, {targets if len(differ) == 1 else f'({targets})'} in enumerate({table}{begin})", options
    )


def _step(values: Sequence[Any]) -> int | None:
    """Returns by how much whole numbers grow from one to the next, None where that is not the same all along."""
    if not all(type(value) is int for value in values):
        return None
    steps = {after - before for before, after in zip(values, values[1:], strict=False)}
    step = steps.pop()
    return step if not steps and step > 0 else None


def call_of(loop: Loop) -> Expression:
    """Returns the call in the loop, on what the last one gave."""
    code = loop.calls[0].code
    assert isinstance(code, LayerCall)
    results = dict(zip((at for at, _ in loop.carried), loop.results, strict=True))
    arguments = [Operand(results[at]) if at in results else argument for at, argument in enumerate(code.arguments)]
    layer = code.layer
    options = {**layer.options, **loop.options}
    name = options.pop(NAME, layer.name)
    return LayerCall(dataclasses.replace(layer, options=options, name=name), tuple(arguments))
