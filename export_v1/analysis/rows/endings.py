"""Loops that go on until the last row is done: what a row has must not change any more once it is done itself.

    steps = max of all rows' lengths                   finished: a bool for each row
    while t < steps:                                   while not all(finished):
        state = where(t >= length, state, new)             state = where(finished, state, new)
        array[t] = where(t >= length, 0, new)              finished = finished | …

A row alone is done earlier, with the same state; and what it did not write into an array is read as the zeros that it
would have written.
"""

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from export_v1.analysis.rows.states import Done, Free, Last, Look, Rows, State
from export_v1.ir import ops
from export_v1.ir.graph import NodeDef, Tensor, attr, data_inputs

_COMPARISONS = {"GreaterEqual": (0, 1), "LessEqual": (1, 0)}
_STRICT = {"Less": (0, 1), "Greater": (1, 0)}
_ARRAYS = frozenset({"TensorArrayV3", "TensorArrayV2"})
_ARRAY_WRITES = frozenset({"TensorArrayWriteV3", "TensorArrayWriteV2"})


def all_rows(look: Look) -> State | None:
    """Returns what a reduction of one entry for each row says of a loop's end; None: nothing."""
    whole = look.states[0] == Rows(0) and look.rank(0) == 1 and isinstance(look.states[1], Free)
    if not whole or attr(look.node, "keep_dims").b:
        return None
    rows = _root(look, look.sources[0])
    if look.node.op == "Max":
        return Last(rows)
    if look.node.op == "All":
        return Done(rows, going=False)
    turned = look.index.nodes.get(rows.node) if look.node.op == "Any" else None
    return Done(_root(look, data_inputs(turned)[0])) if turned is not None and turned.op == "LogicalNot" else None


def _bounded(look: Look) -> State | None:
    """The larger or the smaller of a bound and of what is the same for all rows."""
    settled = [state for state in look.states if not isinstance(state, Free)]
    return settled[0] if len(settled) == 1 and isinstance(settled[0], Last) else None


def _compared(look: Look) -> State | None:
    step, bound = _STRICT[look.node.op]
    last, counter = look.states[bound], _root(look, look.sources[step])
    is_variable = counter.node in look.index and look.index[counter.node].op in ops.MERGES
    if not isinstance(last, Last) or not isinstance(look.states[step], Free) or not is_variable:
        return None
    return Done(last.of, counter.node)


def _both(look: Look) -> State | None:
    settled = [state for state in look.states if not isinstance(state, Free)]
    return settled[0] if len(settled) == 1 and isinstance(settled[0], Done) and settled[0].going else None


def _turned(look: Look) -> State | None:
    state = look.states[0]
    return Done(state.rows, state.step, not state.going) if isinstance(state, Done) else None


# What may be done with a Last or a Done, and no more.
RULES: Mapping[str, Callable[[Look], State | None]] = {
    **dict.fromkeys(("Identity", "Enter", "LoopCond", "Cast"), lambda look: look.states[0]),
    **dict.fromkeys(("Maximum", "Minimum"), _bounded),
    **dict.fromkeys(_STRICT, _compared),
    "LogicalAnd": _both,
    "LogicalNot": _turned,
}


def is_kept(look: Look, done: Done) -> bool:
    """Returns whether a loop's variable, at its Switch, stays as it is for every row that is done with the loop."""
    variable = look.sources[0]
    stays_done = _stays(look, done.rows, done) if done.step is None else _rises(look, Tensor(done.step))
    return done.going and stays_done and _stays(look, variable, done)


def _stays(look: Look, variable: Tensor, done: Done) -> bool:
    new = _next(look, variable)
    if new is None or new == variable:
        return new is not None
    made = look.index[new.node]
    if made.op in ops.SELECTS:
        kept = _kept(look, new, done)
        return kept is not None and _root(look, kept) == variable
    if made.op == "LogicalOr" and done.step is None and done.rows == variable:
        return any(_root(look, source) == variable for source in data_inputs(made))
    if made.op in _ARRAY_WRITES:
        array, _, value, flow = data_inputs(made)
        kept = _kept(look, _root(look, value), done)
        handle = look.index[_root(look, array).node]
        fixed = handle.op in _ARRAYS and not attr(handle, "dynamic_size").b
        return kept is not None and fixed and _root(look, flow) == variable and _is_zero(look, _root(look, kept))
    return False


def _rises(look: Look, counter: Tensor) -> bool:
    """Returns whether a loop's variable never gets smaller: one is added to it, say."""
    new = _next(look, counter)
    made = look.index[new.node] if new is not None else None
    if made is None or made.op not in ops.ADDS:
        return False
    steps = [look.constant(source) for source in data_inputs(made) if _root(look, source) != counter]
    return len(steps) == 1 and steps[0] is not None and bool(np.all(steps[0] >= 0))


def _next(look: Look, variable: Tensor) -> Tensor | None:
    """Returns what a loop's variable is in the next step; None where the tensor is none."""
    merge = look.index.nodes.get(variable.node)
    if merge is None or merge.op not in ops.MERGES:
        return None
    ways_back = [source for source in data_inputs(merge) if look.index[source.node].op in ops.WAYS_BACK]
    return _root(look, ways_back[0]) if len(ways_back) == 1 else None


def _kept(look: Look, select: Tensor, done: Done) -> Tensor | None:
    """Returns what a Select has for the rows that are done; None where it does not ask that."""
    if look.index[select.node].op not in ops.SELECTS:
        return None
    condition, yes, no = data_inputs(look.index[select.node])
    says = _says(look, condition, done)
    return None if says is None else yes if says else no


def _says(look: Look, condition: Tensor, done: Done) -> bool | None:
    """Returns what a condition on each row is where the row is done; None where it is about something else."""
    root = _root(look, condition)
    if done.step is None and root == done.rows:
        return True
    node = look.index[root.node]
    # The same for each column of a row.
    if node.op in ("ExpandDims", "Tile"):
        return _says(look, data_inputs(node)[0], done)
    if node.op == "LogicalNot":
        says = _says(look, data_inputs(node)[0], done)
        return None if says is None else not says
    if done.step is None:
        return None
    step, rows = (_COMPARISONS | _STRICT).get(node.op, (None, None))
    if step is None or rows is None:
        return None
    sides = data_inputs(node)
    is_asked = _root(look, sides[step]) == Tensor(done.step) and _root(look, sides[rows]) == done.rows
    return node.op in _COMPARISONS if is_asked else None


def _is_zero(look: Look, tensor: Tensor) -> bool:
    node = look.index[tensor.node]
    value = look.constant(data_inputs(node)[1] if node.op == "Fill" else tensor)
    return value is not None and not np.any(value)


def _root(look: Look, tensor: Tensor) -> Tensor:
    """Returns where a tensor's value comes from unchanged, of whatever integer type; a loop's variable is its Merge."""
    while tensor.node in look.index and _passes(look.index[tensor.node]):
        tensor = data_inputs(look.index[tensor.node])[0]
    return tensor


def _passes(node: NodeDef) -> bool:
    if node.op == "Cast":
        return all(tf.as_dtype(attr(node, side).type).is_integer for side in ("SrcT", "DstT"))
    return node.op in ops.IDENTITIES | ops.ENTERS | ops.SWITCHES | ops.WAYS_BACK
