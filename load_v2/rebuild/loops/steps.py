"""A While that takes the steps of a sequence one by one, taken apart: lists it reads and fills, states, lengths."""

import dataclasses

from export_v1.ir import ops
from export_v1.ir.graph import Tensor
from export_v1.ir.match import anything, made_by, matches
from load_v2.rebuild import functions
from load_v2.rebuild.context import Context
from load_v2.rebuild.functions import Function
from load_v2.rebuild.patterns.pattern import Missed


@dataclasses.dataclass(frozen=True, eq=False)
class Steps:
    """A loop over the steps of sequences.

    Attributes:
        body: the function that takes one step.
        counters: arguments that count the steps.
        written: result -> the value that it writes into a list at each step.
        states: result -> its value after a step.
        lengths: the tensor outside that says how many steps of each member are valid; None where all are.
    """

    body: Function
    counters: frozenset[Tensor]
    written: dict[int, Tensor]
    states: dict[int, Tensor]
    lengths: Tensor | None

    @property
    def state_arguments(self) -> list[Tensor]:
        """The arguments that change from step to step and are no counters and no lists."""
        return [self.body.arguments[at] for at in self.states]


def taken_apart(context: Context, loop: Tensor) -> Steps:
    """Returns the parts of a While.

    Raises:
        Missed: it does more, or something else, than to take the steps of sequences.
        Refused: its functions cannot be read.
    """
    body = functions.of_loop(context, loop)
    inner = body.context
    counters = frozenset(
        argument
        for argument, result, given in zip(body.arguments, body.results, body.given, strict=True)
        if _counts(inner, argument, result) and context.values.kind(given) == "constant" and context.values.number(given) == 0
    )
    written: dict[int, Tensor] = {}
    states: dict[int, Tensor] = {}
    lengths: set[Tensor] = set()
    unmasked = 0
    for at, (argument, result) in enumerate(zip(body.arguments, body.results, strict=True)):
        if body.is_same(at) or argument in counters:
            continue
        if inner.op(result) == "TensorListSetItem":
            handle, index, value = inner.sources(result)
            if handle != argument or index not in counters:
                raise Missed("it fills a list out of order")
            new, length = _unmasked(body, counters, value, None)
            written[at] = new
        elif inner.graph.dtype(argument) == "variant":
            raise Missed("it changes a list in another way than filling it")
        else:
            new, length = _unmasked(body, counters, result, argument)
            states[at] = new
        if length is None:
            unmasked += 1
        else:
            lengths.add(length)
    if len(lengths) > 1 or (lengths and unmasked):
        raise Missed("its states and outputs end at different steps")
    steps = Steps(body, counters, written, states, lengths.pop() if lengths else None)
    _check_end(context, loop, steps)
    return steps


def _counts(inner: Context, argument: Tensor, result: Tensor) -> bool:
    found = next(matches(inner.graph.index, result, made_by(ops.ADDS, anything("before"), anything("one"), any_order=True)), None)
    if found is None:
        return False
    pairs = ((found["before"], found["one"]), (found["one"], found["before"]))
    return any(before == argument and inner.values.number(one) == 1 for before, one in pairs)


def _unmasked(
    body: Function, counters: frozenset[Tensor], value: Tensor, old: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Returns what a step computes, and the lengths behind which the old value, or zero, is kept instead."""
    inner = body.context
    if inner.op(value) not in ops.SELECTS:
        return value, None
    condition, past, new = inner.sources(value)
    if inner.op(condition) != "GreaterEqual":
        return value, None
    step, lengths = inner.sources(condition)
    if step not in counters or lengths not in body.arguments:
        return value, None
    at = body.arguments.index(lengths)
    if not body.is_same(at):
        return value, None
    if old is not None and past != old:
        raise Missed("a state past the end is not the last one")
    return new, body.given[at]


def _check_end(context: Context, loop: Tensor, steps: Steps) -> None:
    """Raises Missed unless the loop takes every step of the sequences that it reads, or of the longest valid one."""
    condition = functions.of_loop(context, loop, "cond")
    inner = condition.context
    bounds = []
    todo = [condition.results[0]]
    while todo:
        tensor = todo.pop()
        if inner.op(tensor) == "LogicalAnd":
            todo.extend(inner.sources(tensor))
            continue
        if inner.op(tensor) != "Less":
            raise Missed(f"it ends when {inner.op(tensor)} says so")
        step, bound = inner.sources(tensor)
        if step not in condition.arguments or steps.body.arguments[condition.arguments.index(step)] not in steps.counters:
            raise Missed("it ends by something else than the number of steps")
        if bound in condition.arguments:
            bounds.append(condition.given[condition.arguments.index(bound)])
        else:
            raise Missed("its number of steps is computed at each step")
    length = {context.sizes.axis(sequence, 0) for sequence in sequences(context, steps).values()}
    if len(length) != 1:
        raise Missed("it reads no sequence, or sequences of different lengths")
    whole = length.pop()
    for bound in bounds:
        size = context.sizes.array(bound)
        if size is not None and size.ndim == 0 and size.item() == whole:
            continue
        limited = context.op(bound) == "Minimum" and steps.lengths is not None
        parts = [context.sizes.array(source) for source in context.sources(bound)] if limited else []
        if not any(part is not None and part.ndim == 0 and part.item() == whole for part in parts):
            raise Missed("it does not take all the steps of its sequences")


def sequences(context: Context, steps: Steps) -> dict[Tensor, Tensor]:
    """Returns the tensors that a step reads from lists -> the time-major tensors outside that the lists are made from."""
    inner, found = steps.body.context, {}
    for node in inner.graph.graph_def.node:
        if node.op != "TensorListGetItem":
            continue
        item = Tensor(node.name)
        handle, index, _ = inner.sources(item)
        if handle not in steps.body.arguments or index not in steps.counters:
            raise Missed("it reads a list out of order")
        at = steps.body.arguments.index(handle)
        source = steps.body.given[at]
        if not steps.body.is_same(at) or context.op(source) != "TensorListFromTensor":
            raise Missed("it reads a list that is not a tensor's")
        found[item] = context.sources(source)[0]
    return found
