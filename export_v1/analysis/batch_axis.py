"""Whether each row of a model's outputs depends on the same row of its inputs, and on no other.

The batch is followed forward from the inputs, op by op: through what works element by element, row by row, or along other
axes. Where an op puts rows together (a mean over the batch, a slice that shifts it, a condition on what one row says) they
are mixed, and so is all that is computed from there. An op that is not known here counts as one that mixes.
"""

import dataclasses
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from export_v1.analysis.liveness import Liveness, Ordered
from export_v1.ir import graph, ops
from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor, attr, data_inputs


@dataclasses.dataclass(frozen=True)
class Free:
    """No row has a part in it."""


@dataclasses.dataclass(frozen=True)
class Rows:
    """Row by row along an axis; `per` entries of it belong to one row of the inputs, None: so many, whatever it is."""

    axis: int
    per: int | None = 1


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Made of sizes, one of which is that of the batch: at position `at` of a shape, None: anywhere."""

    at: int | None = None


@dataclasses.dataclass(frozen=True)
class Elements:
    """A TensorArray each of whose elements is so."""

    of: Rows


@dataclasses.dataclass(frozen=True)
class Mixed:
    """Rows are mixed, or may be: by which node first."""

    node: str


State = Free | Rows | Sizes | Elements | Mixed
Shape = Sequence[int | None] | None
_FREE = Free()


def mixing(
    graph_def: GraphDef, inputs: Iterable[str], outputs: Mapping[str, str], frozen: Mapping[str, object]
) -> dict[str, str]:
    """Returns the outputs that are not known to be one answer for each row -> the op that puts rows together.

    Args:
        graph_def: as the original runs, its inputs placeholders with an open first size.
        inputs: names of the tensors whose first axis is the batch.
        outputs: key -> tensor name.
        frozen: tensor name -> the value that it is fed.
    """
    values = {graph.parse(name): value for name, value in frozen.items()}
    states = _Following(graph_def, {graph.parse(name) for name in inputs}, values).states
    index, found = Index(graph_def), {}
    for key, name in outputs.items():
        state = states.get(graph.parse(name), _FREE)
        if isinstance(state, Mixed):
            found[key] = f"{state.node!r} ({index[state.node].op})"
        elif not isinstance(state, Free) and not (isinstance(state, Rows) and state.axis == 0):
            found[key] = f"{name!r}, whose first axis is not the batch"
    return found


class _Following:
    """Finds the state of every tensor, going round loops until nothing changes."""

    def __init__(self, graph_def: GraphDef, inputs: Collection[Tensor], frozen: Mapping[Tensor, object]):
        self._index = Index(graph_def)
        self._live = Liveness(Ordered(self._index), frozen)
        self._shapes = _static_shapes(graph_def)
        self.states: dict[Tensor, State] = {tensor: Rows(0) for tensor in inputs}
        todo = [node.name for node in graph_def.node]
        waiting = set(todo)
        todo.reverse()
        while todo:
            name = todo.pop()
            waiting.discard(name)
            node = self._index[name]
            if self._follow(node):
                readers = {
                    reader.name for reader, at in self._index.consumers(name) if not reader.input[at].startswith("^")
                }
                todo += readers - waiting
                waiting |= readers

    def _follow(self, node: NodeDef) -> bool:
        sources = data_inputs(node)
        # Nothing comes out of a branch that the frozen values never take.
        known = [None if self._live.is_dead(tensor) else self.states.get(tensor) for tensor in sources]
        if all(state is None or isinstance(state, Free) for state in known):
            return False
        states = [state or _FREE for state in known]
        state = self._of(node, sources, states)
        changed = False
        for at, new in enumerate(state if isinstance(state, list) else [state] * max(len(graph.output_types(node)), 1)):
            tensor = Tensor(node.name, at)
            joined = _joined(self.states.get(tensor), new, node.name)
            if joined != self.states.get(tensor):
                self.states[tensor] = joined
                changed = True
        return changed

    def _of(self, node: NodeDef, sources: list[Tensor], states: list[State]) -> State | list[State]:
        mixed = next((state for state in states if isinstance(state, Mixed)), None)
        if mixed is not None and node.op not in ops.MERGES:
            return mixed
        rule = _RULES.get(node.op)
        found = rule(_Look(self._index, self._shapes, node, sources, states)) if rule else None
        return Mixed(node.name) if found is None else found


def _joined(one: State | None, other: State, node: str) -> State:
    """Returns the state of a tensor that may be either; a Free start of a loop takes the state of what follows."""
    if one is None or isinstance(one, Free) or one == other:
        return other
    if isinstance(other, Free) or isinstance(one, Mixed):
        return one
    if isinstance(one, Sizes) and isinstance(other, Sizes):
        return Sizes()
    return other if isinstance(other, Mixed) else Mixed(node)


def _static_shapes(graph_def: GraphDef) -> dict[Tensor, Shape]:
    with tf.Graph().as_default() as imported:
        tf.graph_util.import_graph_def(graph_def, name="")
        return {
            Tensor(operation.name, at): None if output.shape.rank is None else output.shape.as_list()
            for operation in imported.get_operations()
            for at, output in enumerate(operation.outputs)
        }


@dataclasses.dataclass(frozen=True)
class _Look:
    """What a rule looks at: a node, its inputs and their states."""

    index: Index
    shapes: Mapping[Tensor, Shape]
    node: NodeDef
    sources: list[Tensor]
    states: list[State]

    def shape(self, at: int) -> Shape:
        return self.shapes.get(self.sources[at])

    def output_shape(self, at: int = 0) -> Shape:
        return self.shapes.get(Tensor(self.node.name, at))

    def rank(self, at: int) -> int | None:
        shape = self.shape(at)
        return None if shape is None else len(shape)

    def value(self, at: int) -> np.ndarray | None:
        """The value of an input that is a constant."""
        made = self.index.nodes.get(self.sources[at].node)
        while made is not None and made.op in ("Identity", "Enter") and data_inputs(made):
            made = self.index.nodes.get(data_inputs(made)[0].node)
        if made is None or made.op != "Const":
            return None
        return tf.make_ndarray(attr(made, "value").tensor)

    def axes(self, at: int) -> list[int] | None:
        """Axes of input 0 that input `at` names, counted from the front."""
        value, rank = self.value(at), self.rank(0)
        if value is None or (rank is None and np.any(value < 0)):
            return None
        return [int(axis) + (rank if axis < 0 and rank is not None else 0) for axis in np.ravel(value)]

    def first(self) -> Rows | None:
        state = self.states[0]
        return state if isinstance(state, Rows) else None

    def only_first(self) -> Rows | None:
        """The rows of input 0, where no other input has a part in any."""
        return self.first() if all(isinstance(state, Free) for state in self.states[1:]) else None


def _same(look: _Look) -> State:
    return look.states[0]


def _elementwise(look: _Look) -> State | None:
    if any(isinstance(state, Elements) for state in look.states):
        return look.states[0] if len(look.states) == 1 else None
    if not any(isinstance(state, Rows) for state in look.states):
        return look.states[0] if look.node.op == "Cast" else Sizes()
    if any(isinstance(state, Sizes) for state in look.states):
        return None
    # Select of old takes a condition for each row of the first axis, too.
    if look.node.op == "Select" and look.rank(0) == 1:
        conditions, *values = look.states
        with_rows = [state for state in values if not isinstance(state, Free)]
        fits = isinstance(conditions, Rows) and all(state == conditions for state in with_rows)
        return conditions if fits and conditions.axis == 0 else None
    ranks = [look.rank(at) for at in range(len(look.states))]
    if any(rank is None for rank in ranks):
        # Nothing is broadcast where there is nothing else.
        return look.states[0] if len(look.states) == 1 else _alike(look)
    most = max(ranks)
    found = None
    for at, state in enumerate(look.states):
        if isinstance(state, Rows):
            state = Rows(state.axis + most - ranks[at], state.per)
            if found not in (None, state):
                return None
            found = state
    for at, state in enumerate(look.states):
        axis = found.axis - (most - ranks[at])
        if isinstance(state, Free) and axis >= 0 and look.shape(at)[axis] != 1:
            return None
    return found


def _alike(look: _Look) -> State | None:
    """The one state of all inputs, but for scalars, where ranks are not known."""
    states = {state for at, state in enumerate(look.states) if look.rank(at) != 0}
    return states.pop() if len(states) == 1 else None


def _row_wise(look: _Look) -> State | None:
    rows = look.only_first()
    return rows if rows is not None and rows.axis == 0 else None


def _batch_norm(look: _Look) -> State | None:
    return None if attr(look.node, "is_training").b else [_row_wise(look) or Mixed(look.node.name), *[_FREE] * 5]


def _transposed_convolution(look: _Look) -> State | None:
    *others, rows = look.states
    return rows if rows == Rows(0) and isinstance(others[1], Free) else None


def _reduction(look: _Look) -> State | None:
    if isinstance(look.states[0], Sizes):
        return Sizes()
    rows, axes = look.only_first(), look.axes(1)
    if rows is None or axes is None or rows.axis in axes:
        return None
    if attr(look.node, "keep_dims").b:
        return rows
    return Rows(rows.axis - sum(axis < rows.axis for axis in axes), rows.per)


def _over_last_axis(look: _Look) -> State | None:
    rows, rank = look.only_first(), look.rank(0)
    return rows if rows is not None and rank is not None and rows.axis < rank - 1 else None


def _along_axes(at: int) -> Callable[[_Look], State | None]:
    def rule(look: _Look) -> State | None:
        rows, axes = look.only_first(), look.axes(at)
        return rows if rows is not None and axes is not None and rows.axis not in axes else None

    return rule


def _matmul(look: _Look) -> State | None:
    left, right = look.states
    across = (attr(look.node, "transpose_a").b, attr(look.node, "transpose_b").b)
    if isinstance(left, Rows) and isinstance(right, Free):
        return Rows(0, left.per) if left.axis == int(across[0]) else None
    if isinstance(right, Rows) and isinstance(left, Free):
        return Rows(1, right.per) if right.axis == 1 - int(across[1]) else None
    return None


def _batch_matmul(look: _Look) -> State | None:
    ranks = [look.rank(0), look.rank(1)]
    if None in ranks:
        return None
    across = (attr(look.node, "adj_x").b, attr(look.node, "adj_y").b)
    most, found = max(ranks), set()
    for side, state in enumerate(look.states):
        if isinstance(state, Rows):
            axis = state.axis + most - ranks[side]
            kept = most - 2 + side
            own = kept if not across[side] else most - 1 - side
            if axis >= most - 2 and axis != own:
                return None
            found.add(Rows(kept if axis >= most - 2 else axis, state.per))
        elif not isinstance(state, Free):
            return None
    if len(found) != 1:
        return None
    [rows] = found
    for side, state in enumerate(look.states):
        axis = rows.axis - (most - ranks[side])
        if isinstance(state, Free) and 0 <= axis < ranks[side] - 2 and look.shape(side)[axis] != 1:
            return None
    # An axis that both have is one of the batch, not one that is summed over.
    both = all(isinstance(state, Rows) for state in look.states)
    return rows if not both or rows.axis < most - 2 else None


def _einsum(look: _Look) -> State | None:
    terms, arrow, result = attr(look.node, "equation").s.decode().replace(" ", "").partition("->")
    letters = terms.split(",")
    if not arrow or "." in terms or len(letters) != len(look.states):
        return None
    rows = {
        (term[state.axis], state.per)
        for term, state in zip(letters, look.states, strict=True)
        if isinstance(state, Rows)
    }
    if len(rows) != 1 or any(isinstance(state, Sizes) for state in look.states):
        return None
    [(letter, per)] = rows
    free = [term for term, state in zip(letters, look.states, strict=True) if isinstance(state, Free)]
    return Rows(result.index(letter), per) if letter in result and not any(letter in term for term in free) else None


def _shape(look: _Look) -> State | list[State] | None:
    found: list[State] = []
    for at, state in enumerate(look.states):
        rank = look.rank(at)
        if isinstance(state, Rows):
            found.append(Sizes(state.axis if state.axis < (rank or 1) or rank is None else None))
        else:
            found.append(state if isinstance(state, Free) else Mixed(look.node.name))
    return found


def _sizes(look: _Look) -> State | None:
    """What is made of sizes, and of sizes alone: a shape put together anew."""
    return None if any(isinstance(state, Rows | Elements) for state in look.states) else Sizes()


def _packed(look: _Look) -> State | None:
    sizes = [at for at, state in enumerate(look.states) if isinstance(state, Sizes)]
    rows = {state for state in look.states if isinstance(state, Rows)}
    if sizes and not rows:
        # Only the size itself, not what is computed from it, says where rows end.
        return Sizes(sizes[0] if len(sizes) == 1 and look.states[sizes[0]] == Sizes(0) else None)
    if len(rows) != 1 or not all(isinstance(state, Rows) for state in look.states):
        return None
    [state] = rows
    axis, rank = attr(look.node, "axis").i, look.rank(0)
    if axis < 0 and rank is None:
        return None
    axis += rank + 1 if axis < 0 else 0
    return Rows(state.axis + (axis <= state.axis), state.per)


def _concatenated(look: _Look, values: list[int], along: int) -> State | None:
    states = [look.states[at] for at in values]
    if not any(isinstance(state, Rows) for state in states):
        sizes = [at for at, state in enumerate(states) if isinstance(state, Sizes)]
        first = sizes == [0] and states[0] == Sizes(0)
        return Sizes(0) if first else Sizes()
    axis, rank = look.value(along), look.rank(values[0])
    if axis is None or len(set(states)) != 1 or not isinstance(states[0], Rows) or (axis < 0 and rank is None):
        return None
    return states[0] if int(axis) + (rank if axis < 0 else 0) != states[0].axis else None


def _concat_v2(look: _Look) -> State | None:
    return _concatenated(look, list(range(len(look.states) - 1)), len(look.states) - 1)


def _concat(look: _Look) -> State | None:
    return _concatenated(look, list(range(1, len(look.states))), 0)


def _split(data: int, along: int) -> Callable[[_Look], State | None]:
    def rule(look: _Look) -> State | None:
        rows, axis, rank = look.states[data], look.value(along), look.rank(data)
        others = [state for at, state in enumerate(look.states) if at != data]
        if not isinstance(rows, Rows) or axis is None or any(not isinstance(state, Free) for state in others):
            return None
        if axis < 0 and rank is None:
            return None
        return rows if int(axis) + (rank if axis < 0 else 0) != rows.axis else None

    return rule


def _unpacked(look: _Look) -> State | None:
    rows, axis, rank = look.first(), attr(look.node, "axis").i, look.rank(0)
    if rows is None or (axis < 0 and rank is None):
        return _sizes(look) if isinstance(look.states[0], Sizes) else None
    axis += rank if axis < 0 else 0
    return None if axis == rows.axis else Rows(rows.axis - (axis < rows.axis), rows.per)


def _transpose(look: _Look) -> State | None:
    rows, order = look.only_first(), look.value(1)
    return None if rows is None or order is None else Rows(order.tolist().index(rows.axis), rows.per)


def _expand_dims(look: _Look) -> State | None:
    if isinstance(look.states[0], Sizes):
        return look.states[0]
    rows, axis, rank = look.only_first(), look.value(1), look.rank(0)
    if rows is None or axis is None or (np.ravel(axis)[0] < 0 and rank is None):
        return None
    axis = int(np.ravel(axis)[0])
    axis += rank + 1 if axis < 0 else 0
    return Rows(rows.axis + (axis <= rows.axis), rows.per)


def _squeeze(look: _Look) -> State | None:
    if isinstance(look.states[0], Sizes):
        return Sizes()
    rows, shape = look.first(), look.shape(0)
    if rows is None or shape is None:
        return None
    axes = [axis + (len(shape) if axis < 0 else 0) for axis in attr(look.node, "squeeze_dims").list.i]
    if not axes:
        if any(size is None for at, size in enumerate(shape) if at != rows.axis):
            return None
        axes = [at for at, size in enumerate(shape) if size == 1 and at != rows.axis]
    return None if rows.axis in axes else Rows(rows.axis - sum(axis < rows.axis for axis in axes), rows.per)


def _reshape(look: _Look) -> State | None:
    """Row-major, so a row's elements stay together; what has to hold is that no entry has parts of two rows."""
    if isinstance(look.states[0], Sizes):
        return look.states[0]
    rows, shape, target = look.first(), look.shape(0), look.output_shape()
    if rows is None or rows.axis != 0 or shape is None or not target:
        return None
    if look.states[1] == Sizes(0):
        return Rows(0)
    if any(size is None for size in target[1:]):
        return None
    entry = math.prod(target[1:])
    known = math.prod(size for size in shape[1:] if size is not None) * (rows.per or 1)
    exact = rows.per is not None and all(size is not None for size in shape[1:])
    if not entry or known % entry:
        return None
    return Rows(0, known // entry if exact else None)


def _strided_slice(look: _Look) -> State | None:
    begin, end, strides = (look.value(at) for at in (1, 2, 3))
    masks = {key: attr(look.node, f"{key}_mask").i for key in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")}
    state = look.states[0]
    if isinstance(state, Sizes):
        return _of_shape(state, begin, end, strides, masks)
    if (
        not isinstance(state, Rows)
        or strides is None
        or any(isinstance(other, Mixed | Rows) for other in look.states[1:])
    ):
        return None
    axis = made = 0
    for at in range(len(strides)):
        bit = 1 << at
        if masks["ellipsis"] & bit:
            rank = look.rank(0)
            if rank is None:
                return None
            left = sum(not masks["new_axis"] & 1 << later for later in range(at + 1, len(strides)))
            if axis <= state.axis < rank - left:
                return Rows(made + state.axis - axis, state.per)
            made, axis = made + rank - left - axis, rank - left
        elif masks["new_axis"] & bit:
            made += 1
        else:
            if axis == state.axis:
                whole = masks["begin"] & bit or (begin is not None and begin[at] == 0)
                whole = whole and masks["end"] & bit and strides[at] == 1 and not masks["shrink_axis"] & bit
                return Rows(made, state.per) if whole else None
            axis += 1
            made += not masks["shrink_axis"] & bit
    return Rows(made + state.axis - axis, state.per)


def _of_shape(state: Sizes, begin, end, strides, masks) -> State:
    """What is taken out of a shape: the size of the batch, or others."""
    if state.at is None or begin is None or end is None or strides is None or len(begin) != 1:
        return Sizes()
    if masks["shrink_axis"]:
        return Sizes(0) if begin[0] == state.at else _FREE if begin[0] >= 0 else Sizes()
    first = 0 if masks["begin"] else int(begin[0])
    last = 10**6 if masks["end"] else int(end[0])
    if first < 0 or last < 0 or strides[0] != 1:
        return Sizes()
    return Sizes(state.at - first) if first <= state.at < last else _FREE


def _slice(look: _Look) -> State | None:
    begin, size = look.value(1), look.value(2)
    if isinstance(look.states[0], Sizes):
        if begin is None or size is None or look.states[0].at is None:
            return Sizes()
        inside = begin[0] <= look.states[0].at and (size[0] < 0 or look.states[0].at < begin[0] + size[0])
        return Sizes(look.states[0].at - int(begin[0])) if inside else _FREE
    rows = look.only_first()
    whole = rows is not None and begin is not None and size is not None
    return rows if whole and begin[rows.axis] == 0 and size[rows.axis] == -1 else None


def _padded(look: _Look) -> State | None:
    rows, widths = look.only_first(), look.value(1)
    return rows if rows is not None and widths is not None and not widths[rows.axis].any() else None


def _tiled(look: _Look) -> State | None:
    rows, counts = look.first(), look.value(1)
    if rows is not None:
        return rows if counts is not None and counts[rows.axis] == 1 else None
    # The same for every row.
    at = look.states[1].at if isinstance(look.states[1], Sizes) else None
    shape = look.shape(0)
    same = isinstance(look.states[0], Free) and at is not None and shape is not None and shape[at] == 1
    return Rows(at) if same else None


def _filled(look: _Look) -> State | None:
    sizes, value = look.states
    return Rows(sizes.at) if isinstance(sizes, Sizes) and sizes.at is not None and isinstance(value, Free) else None


def _noise(look: _Look) -> State | None:
    at = look.states[0].at if isinstance(look.states[0], Sizes) else None
    return None if at is None else Rows(at)


def _one_hot(look: _Look) -> State | None:
    rows = look.only_first()
    return rows if rows is not None and attr(look.node, "axis").i == -1 else None


def _gather(look: _Look) -> State | None:
    params, rows, *rest = look.states
    axis = look.value(2) if rest else np.int32(0)
    batch_dims = attr(look.node, "batch_dims").i
    if axis is None or axis < 0 or any(not isinstance(state, Free) for state in rest):
        return None
    if isinstance(params, Free) and isinstance(rows, Rows) and not batch_dims:
        return Rows(int(axis) + rows.axis, rows.per)
    if isinstance(params, Rows) and isinstance(rows, Rows) and batch_dims:
        return params if params == rows and params.axis < batch_dims <= axis else None
    if isinstance(params, Rows) and isinstance(rows, Free) and not batch_dims and axis != params.axis:
        moved = 0 if params.axis < axis else (look.rank(1) or 0) - 1
        return Rows(params.axis + moved, params.per) if params.axis < axis or look.rank(1) is not None else None
    return None


def _gather_nd(look: _Look) -> State | None:
    params, rows = look.states
    rank = look.rank(1)
    fits = isinstance(params, Free) and isinstance(rows, Rows) and rank is not None and rows.axis < rank - 1
    return rows if fits else None


def _parsed(look: _Look) -> list[State] | None:
    """Serialized examples: dense values row by row; sparse ones are a list for all rows."""
    if not isinstance(look.states[0], Rows):
        return None
    types = graph.output_types(look.node)
    dense = len(attr(look.node, "Tdense").list.type)
    return [Mixed(look.node.name)] * (len(types) - dense) + [Rows(0)] * dense


def _looked_up(look: _Look) -> State | None:
    table, keys, default = look.states
    return keys if isinstance(keys, Rows) and isinstance(table, Free) and isinstance(default, Free) else None


def _reverse_sequence(look: _Look) -> State | None:
    rows, lengths = look.states
    along, batch = attr(look.node, "seq_dim").i, attr(look.node, "batch_dim").i
    if not isinstance(rows, Rows) or along == rows.axis:
        return None
    if isinstance(lengths, Free):
        return rows
    return rows if isinstance(lengths, Rows) and lengths.axis == 0 and batch == rows.axis else None


def _switch(look: _Look) -> State | None:
    return look.states[0] if isinstance(look.states[1], Free) else None


def _merge(look: _Look) -> State | list[State]:
    joined: State = _FREE
    for state in look.states:
        joined = _joined(joined, state, look.node.name)
    return [joined, _FREE]


def _array(look: _Look) -> State | list[State] | None:
    # As many elements as there are rows would be an array over the batch.
    return None if isinstance(look.states[0], Sizes) else [_FREE, _FREE]


def _written(look: _Look) -> State | None:
    value, flow = look.states[2], look.states[3]
    if not isinstance(look.states[1], Free) or isinstance(flow, Sizes | Rows):
        return None
    new = Elements(value) if isinstance(value, Rows) else flow if isinstance(value, Free) else None
    return new if new is not None and (isinstance(flow, Free) or flow == new) else None


def _scattered(look: _Look) -> State | None:
    indices, value, flow = look.states[1:4]
    fits = isinstance(value, Rows) and value.axis > 0 and isinstance(flow, Free) and isinstance(indices, Free)
    return Elements(Rows(value.axis - 1, value.per)) if fits else None


def _read(look: _Look) -> State | None:
    elements = look.states[2]
    return elements.of if isinstance(elements, Elements) and isinstance(look.states[1], Free) else None


def _gathered(look: _Look) -> State | None:
    elements = look.states[2]
    if not isinstance(elements, Elements) or not isinstance(look.states[1], Free):
        return None
    return Rows(elements.of.axis + 1, elements.of.per)


_RULES: Mapping[str, Callable[[_Look], State | list[State] | None]] = {
    **dict.fromkeys(ops.ELEMENTWISE, _elementwise),
    **dict.fromkeys(ops.ROW_WISE, _row_wise),
    **dict.fromkeys(ops.BATCH_NORMS, _batch_norm),
    **dict.fromkeys(ops.REDUCTIONS, _reduction),
    **dict.fromkeys(ops.OVER_LAST_AXIS, _over_last_axis),
    **dict.fromkeys(
        ("Identity", "Enter", "RefEnter", "Exit", "RefExit", "NextIteration", "LoopCond", "Snapshot"), _same
    ),
    **dict.fromkeys(ops.SWITCHES, _switch),
    **dict.fromkeys(ops.MERGES, _merge),
    **dict.fromkeys(ops.TRANSPOSED_CONVOLUTIONS, _transposed_convolution),
    **dict.fromkeys(ops.NOISE, _noise),
    **dict.fromkeys(("Cumsum", "Cumprod", "ReverseV2"), _along_axes(1)),
    **dict.fromkeys(("BatchMatMul", "BatchMatMulV2"), _batch_matmul),
    **dict.fromkeys(("Shape", "ShapeN"), _shape),
    **dict.fromkeys(("Pad", "PadV2", "MirrorPad"), _padded),
    **dict.fromkeys(("Gather", "GatherV2", "ResourceGather"), _gather),
    **dict.fromkeys(("LookupTableFind", "LookupTableFindV2"), _looked_up),
    "Size": _sizes,
    "Rank": lambda look: _FREE,
    "MatMul": _matmul,
    "Einsum": _einsum,
    "Pack": _packed,
    "Concat": _concat,
    "ConcatV2": _concat_v2,
    "Split": _split(1, 0),
    "SplitV": _split(0, 2),
    "Unpack": _unpacked,
    "Transpose": _transpose,
    "ExpandDims": _expand_dims,
    "Squeeze": _squeeze,
    "Reshape": _reshape,
    "StridedSlice": _strided_slice,
    "Slice": _slice,
    "Tile": _tiled,
    "Fill": _filled,
    "OneHot": _one_hot,
    "GatherNd": _gather_nd,
    "ParseExample": _parsed,
    "ReverseSequence": _reverse_sequence,
    "TensorArrayV3": _array,
    "TensorArrayWriteV3": _written,
    "TensorArrayScatterV3": _scattered,
    "TensorArrayReadV3": _read,
    "TensorArrayGatherV3": _gathered,
    "TensorArraySizeV3": lambda look: _FREE,
}
