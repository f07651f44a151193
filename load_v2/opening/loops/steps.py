"""A While that takes the steps of a sequence one by one, taken apart: lists it reads and fills, states, lengths."""

import dataclasses
from collections.abc import Sequence

from export_v1.ir import ops
from export_v1.ir.graph import Tensor
from load_v2.opening import functions
from load_v2.opening.context import Context, operand
from load_v2.opening.expressions import Expression, Literal
from load_v2.opening.expressions import Sequence as Items
from load_v2.opening.functions import Function
from load_v2.opening.patterns.pattern import Missed


@dataclasses.dataclass(frozen=True, eq=False)
class Steps:
    """A loop over the steps of sequences.

    Attributes:
        body: the function that takes one step.
        counters: arguments that count the steps, from zero.
        written: result -> the value that it writes into a list at each step.
        states: result -> its value after a step.
        lengths: the tensor outside that says how many steps of each member are valid, None where all are; past them a
            state stays as it was, and a list gets what the body says.
        mask: the tensor outside, time major, that says which steps are, in place of lengths; an output of a step that is
            not stays that of the step before, or is zero.
        gives_zeros: whether outputs of steps that are not valid are zero.
    """

    body: Function
    counters: frozenset[Tensor]
    written: dict[int, Tensor]
    states: dict[int, Tensor]
    lengths: Tensor | None
    mask: Tensor | None = None
    gives_zeros: bool = False

    @property
    def state_arguments(self) -> list[Tensor]:
        """The arguments that change from step to step and are no counters and no lists."""
        return [self.body.arguments[at] for at in self.states]

    def without_lengths(self) -> "Steps":
        """Returns the steps as they are for members that have not ended."""
        if self.lengths is None and self.mask is None:
            return self
        written = {at: _unmasked(self, value)[0] for at, value in self.written.items()}
        states = {at: _unmasked(self, value)[0] for at, value in self.states.items()}
        return dataclasses.replace(self, written=written, states=states)


def taken_apart(context: Context, loop: Tensor) -> Steps:
    """Returns the parts of a While that takes every step of the sequences that it reads.

    Args:
        context: of the graph that the loop is in.
        loop: an output of it.

    Raises:
        Missed: it does more, or something else.
        Refused: its functions cannot be read.
    """
    body = functions.of_loop(context, loop)
    inner = body.context
    counters = frozenset(
        argument
        for argument, result, given in zip(body.arguments, body.results, body.given, strict=True)
        if _counts(inner, argument, result)
        and context.values.kind(given) == "constant"
        and context.values.number(given) == 0
    )
    written: dict[int, Tensor] = {}
    states: dict[int, Tensor] = {}
    for at, (argument, result) in enumerate(zip(body.arguments, body.results, strict=True)):
        if body.is_same(at) or argument in counters:
            continue
        if inner.op(result) == "TensorListSetItem":
            handle, index, value = inner.sources(result)
            if handle != argument or index not in counters:
                raise Missed("it fills a list out of order")
            written[at] = value
        elif inner.graph.dtype(argument) == "variant":
            raise Missed("it changes a list in another way than filling it")
        else:
            states[at] = result
    steps = Steps(body, counters, written, states, None)
    past = _past(steps)
    if past is not None:
        given = dict([past])
        steps = dataclasses.replace(steps, lengths=given.get("lengths"), mask=given.get("mask"))
    _check_end(context, loop, steps)
    return steps


def _counts(inner: Context, argument: Tensor, result: Tensor) -> bool:
    """Returns whether a result is its argument and one."""
    if inner.op(result) not in ops.ADDS:
        return False
    left, right = inner.sources(result)
    pairs = ((left, right), (right, left))
    return any(before == argument and inner.values.number(after) == 1 for before, after in pairs)


def _past(steps: Steps) -> tuple[str, Tensor] | None:
    """Returns "lengths" or "mask" and the tensor that says where nothing changes, None where that is not all states and lists."""
    pasts = [_unmasked(steps, value) for value in [*steps.written.values(), *steps.states.values()]]
    lengths = {length for _, length, _ in pasts}
    if len(lengths) != 1:
        return None
    for at, (_, length, past) in zip(steps.states, pasts[len(steps.written) :], strict=True):
        if length is not None and past != steps.body.arguments[at]:
            return None
    return lengths.pop()


def _unmasked(steps: Steps, value: Tensor) -> tuple[Tensor, tuple[str, Tensor] | None, Tensor | None]:
    """Returns what a step computes, the lengths or the mask outside by which something else is taken, and what that is."""
    inner, body = steps.body.context, steps.body
    if inner.op(value) not in ops.SELECTS:
        return value, None, None
    condition, past, new = inner.sources(value)
    valid = condition
    while inner.op(valid) in {"Tile", "ExpandDims"}:
        valid = inner.sources(valid)[0]
    if inner.op(valid) == "TensorListGetItem" and inner.graph.dtype(valid) == "bool":
        handle, index, _ = inner.sources(valid)
        at = body.arguments.index(handle) if handle in body.arguments else None
        if index in steps.counters and at is not None and body.is_same(at):
            given = body.given[at]
            if body.outer.op(given) == "TensorListFromTensor":
                return past, ("mask", body.outer.sources(given)[0]), new
    if inner.op(condition) != "GreaterEqual":
        return value, None, None
    step, lengths = inner.sources(condition)
    if step not in steps.counters or lengths not in body.arguments or not body.is_same(body.arguments.index(lengths)):
        return value, None, None
    return new, ("lengths", body.given[body.arguments.index(lengths)]), past


def _check_end(context: Context, loop: Tensor, steps: Steps) -> None:
    """Raises Missed unless the loop takes every step of the sequences that it reads, or of the longest valid one."""
    condition = functions.of_loop(context, loop, "cond")
    inner = condition.context
    bounds: list[Tensor] = []
    known: list[int] = []
    todo = [condition.results[0]]
    while todo:
        tensor = todo.pop()
        if inner.op(tensor) == "LogicalAnd":
            todo.extend(inner.sources(tensor))
            continue
        if inner.op(tensor) != "Less":
            raise Missed(f"it ends when {inner.op(tensor)} says so")
        step, bound = inner.sources(tensor)
        if (
            step not in condition.arguments
            or steps.body.arguments[condition.arguments.index(step)] not in steps.counters
        ):
            raise Missed("it ends by something else than the number of steps")
        if bound in condition.arguments:
            bounds.append(condition.given[condition.arguments.index(bound)])
        elif (number := inner.values.number(bound)) is not None:
            known.append(int(number))
        else:
            raise Missed("its number of steps is computed at each step")
    length = {context.sizes.axis(sequence, 0) for sequence in sequences(context, steps).values()}
    if len(length) != 1:
        raise Missed("it reads no sequence, or sequences of different lengths")
    whole = length.pop()
    if any(number != whole for number in known):
        raise Missed("it takes another number of steps than its sequences have")
    for bound in bounds:
        size = context.sizes.array(bound)
        if size is not None and size.ndim == 0 and size.item() == whole:
            continue
        limited = context.op(bound) == "Minimum" and steps.lengths is not None
        parts = [context.sizes.array(source) for source in context.sources(bound)] if limited else []
        if not any(part is not None and part.ndim == 0 and part.item() == whole for part in parts):
            raise Missed("it does not take all the steps of its sequences")


def is_empty(context: Context, given: Tensor) -> bool:
    """Returns whether a list has no elements; the second input of the node that makes it is its length."""
    resized = context.op(given) == "TensorListResize"
    return context.op(context.sources(given)[0] if resized else given) == "TensorListReserve"


def grows(context: Context, body: Function, at: int) -> bool:
    """Returns whether an argument of a loop is a list that has no length before it but for what is put into it."""
    given = body.given[at]
    while context.op(given) == "TensorListSetItem":
        given = context.sources(given)[0]
    return is_empty(context, given) and context.values.number(context.sources(given)[1]) == 0


def counter_of(body: Function, at: int) -> int:
    """Returns which argument, a counter from zero, is the place at which each step fills a list.

    Raises:
        Missed: there is none.
    """
    inner, result = body.context, body.results[at]
    if inner.op(result) != "TensorListSetItem" or inner.sources(result)[0] != body.arguments[at]:
        raise Missed("it changes a list in another way than filling it")
    index = inner.sources(result)[1]
    if index in body.arguments:
        counter = body.arguments.index(index)
        if _counts(inner, index, body.results[counter]):
            return counter
    raise Missed("it fills a list that grows out of order")


def room(condition: Function, body: Function, at: int, counter: int) -> Expression | None:
    """Returns how many elements a list that grows has at most; None where the condition of its loop does not say so.

    Args:
        condition: of the loop.
        body: of it.
        at: which of its arguments is the list.
        counter: which one says where it is filled.

    Raises:
        Missed: it does not, and the loop reads what it has filled so far.
    """
    inner, todo = condition.context, [condition.results[0]]
    while todo and _from_zero(body, counter):
        tensor = todo.pop()
        if inner.op(tensor) == "LogicalAnd":
            todo.extend(inner.sources(tensor))
        elif inner.op(tensor) == "Less":
            step, limit = inner.sources(tensor)
            if step not in condition.arguments:
                continue
            place = condition.arguments.index(step)
            if not (_counts(body.context, body.arguments[place], body.results[place]) and _from_zero(body, place)):
                continue
            if (number := inner.values.number(limit)) is not None:
                return Literal(int(number))
            if limit in condition.arguments and body.is_same(condition.arguments.index(limit)):
                return operand(condition.given[condition.arguments.index(limit)])
    for function in (condition, body):
        readers = function.context.graph.index.consumers(function.arguments[at].node)
        if any(reader.op != "TensorListSetItem" for reader, _ in readers):
            raise Missed(
                "it reads a list of a length that is not known before; build the graph with maximum_iterations"
            )
    return None


def _from_zero(body: Function, at: int) -> bool:
    return body.outer.values.kind(body.given[at]) == "constant" and body.outer.values.number(body.given[at]) == 0


def sequences(context: Context, steps: Steps) -> dict[Tensor, Tensor]:
    """Returns the tensors that a step reads from lists -> the time-major tensors outside that the lists are made from."""
    inner, outside = steps.body.context, {}
    for node in inner.graph.graph_def.node:
        if node.op != "TensorListGetItem":
            continue
        item = Tensor(node.name)
        handle, index, _ = inner.sources(item)
        if handle not in steps.body.arguments:
            # A list that the step itself makes.
            continue
        if index not in steps.counters:
            raise Missed("it reads a list out of order")
        at = steps.body.arguments.index(handle)
        source = steps.body.given[at]
        if not steps.body.is_same(at) or context.op(source) != "TensorListFromTensor":
            raise Missed("it reads a list that is not a tensor's")
        outside[item] = context.sources(source)[0]
    return outside


def gives_zeros(context: Context, apart: Steps) -> bool:
    """Returns whether what is written at steps that are not valid is zero; else a list gets there what it got before.

    Past its length that is what Keras's layers give, and what a list has that a loop does not fill to its end.

    Raises:
        Missed: it is neither, or not the same for all lists.
    """
    body, found = apart.body, set[bool]()
    for value in apart.written.values():
        if apart.mask is None and apart.lengths is None:
            continue
        past = body.context.sources(value)[1 if apart.mask is None else 2]
        at = body.arguments.index(past) if past in body.arguments else None
        if at is None:
            is_nothing = is_zero(body.context, past)
        else:
            is_nothing = body.is_same(at) and is_zero(context, body.given[at])
        keeps = at is not None and body.results[at] == value and is_zero(context, body.given[at])
        if not is_nothing and apart.mask is None:
            raise Missed("what it gives past the end of a sequence is not zero")
        if not is_nothing and not keeps:
            raise Missed("what it gives at a step that a mask leaves out is neither zero nor what it gave before")
        found.add(is_nothing)
    if len(found) > 1:
        raise Missed("of the steps that a mask leaves out, it gives zeros for one list and not for another")
    return found == {True} or apart.lengths is not None


def is_zero(context: Context, tensor: Tensor) -> bool:
    """Returns whether a tensor is known to be zeros."""
    if not context.is_data(tensor):
        return not context.values.value(tensor).any()
    if context.op(tensor) == "Fill":
        return context.values.number(context.sources(tensor)[1]) == 0
    return context.op(tensor) == "ZerosLike"


def initial_state(context: Context, states: Sequence[Tensor]) -> tuple[tuple[str, Expression], ...]:
    """Returns the option that gives a recurrent layer's call its states before the first step; none where they are zeros."""
    if all(is_zero(context, state) for state in states):
        return ()
    given = tuple(map(operand, states))
    return (("initial_state", Items(given) if len(given) > 1 else given[0]),)
