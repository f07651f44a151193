"""Rules for ops that compute: element by element, row by row, over axes, with matrices."""

from collections.abc import Callable, Mapping

from export_v1.analysis.rows import endings
from export_v1.analysis.rows.states import FREE, Answer, Elements, Free, Look, Mixed, Rows, Sizes, State
from export_v1.ir import graph, ops
from export_v1.ir.graph import attr


def _elementwise(look: Look) -> State | None:
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
        if not isinstance(conditions, Rows) or conditions.axis != 0:
            return None
        return conditions if all(state == conditions for state in with_rows) else None
    ranks = look.ranks()
    if ranks is None:
        # Nothing is broadcast where there is nothing else.
        return look.states[0] if len(look.states) == 1 else _alike(look)
    most = max(ranks)
    row_states = {
        Rows(state.axis + most - rank, state.per)
        for state, rank in zip(look.states, ranks, strict=True)
        if isinstance(state, Rows)
    }
    if len(row_states) != 1:
        return None
    [rows] = row_states
    for at, state in enumerate(look.states):
        axis = rows.axis - (most - ranks[at])
        if isinstance(state, Free) and axis >= 0 and look.size(at, axis) != 1:
            return None
    return rows


def _alike(look: Look) -> State | None:
    """The one state of all inputs, but for scalars, where ranks are not known."""
    states = {state for at, state in enumerate(look.states) if look.rank(at) != 0}
    return states.pop() if len(states) == 1 else None


def _row_wise(look: Look) -> State | None:
    rows = look.only_first()
    return rows if rows is not None and rows.axis == 0 else None


def _batch_norm(look: Look) -> Answer:
    return None if attr(look.node, "is_training").b else [_row_wise(look) or Mixed(look.node.name), *[FREE] * 5]


def _transposed_convolution(look: Look) -> State | None:
    *others, rows = look.states
    return rows if rows == Rows(0) and isinstance(others[1], Free) else None


def _reduction(look: Look) -> State | None:
    if isinstance(look.states[0], Sizes):
        return Sizes()
    rows, axes = look.only_first(), look.axes(1)
    if rows is None or axes is None or rows.axis in axes:
        return endings.all_rows(look)
    if attr(look.node, "keep_dims").b:
        return rows
    return Rows(rows.axis - sum(axis < rows.axis for axis in axes), rows.per)


def _over_last_axis(look: Look) -> State | None:
    rows, rank = look.only_first(), look.rank(0)
    return rows if rows is not None and rank is not None and rows.axis < rank - 1 else None


def _along_axes(at: int) -> Callable[[Look], State | None]:
    def rule(look: Look) -> State | None:
        rows, axes = look.only_first(), look.axes(at)
        return rows if rows is not None and axes is not None and rows.axis not in axes else None

    return rule


def _matmul(look: Look) -> State | None:
    left, right = look.states
    across = (attr(look.node, "transpose_a").b, attr(look.node, "transpose_b").b)
    if isinstance(left, Rows) and isinstance(right, Free):
        return Rows(0, left.per) if left.axis == int(across[0]) else None
    if isinstance(right, Rows) and isinstance(left, Free):
        return Rows(1, right.per) if right.axis == 1 - int(across[1]) else None
    return None


def _batch_matmul(look: Look) -> State | None:
    ranks = look.ranks()
    if ranks is None:
        return None
    across = (attr(look.node, "adj_x").b, attr(look.node, "adj_y").b)
    most, row_states = max(ranks), set()
    for side, state in enumerate(look.states):
        if isinstance(state, Rows):
            axis = state.axis + most - ranks[side]
            kept = most - 2 + side
            own = kept if not across[side] else most - 1 - side
            if axis >= most - 2 and axis != own:
                return None
            row_states.add(Rows(kept if axis >= most - 2 else axis, state.per))
        elif not isinstance(state, Free):
            return None
    if len(row_states) != 1:
        return None
    [rows] = row_states
    for side, state in enumerate(look.states):
        axis = rows.axis - (most - ranks[side])
        if isinstance(state, Free) and 0 <= axis < ranks[side] - 2 and look.size(side, axis) != 1:
            return None
    return rows


def _einsum(look: Look) -> State | None:
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


def _noise(look: Look) -> State | None:
    at = look.states[0].at if isinstance(look.states[0], Sizes) else None
    return None if at is None else Rows(at)


def _one_hot(look: Look) -> State | None:
    rows = look.only_first()
    return rows if rows is not None and attr(look.node, "axis").i == -1 else None


def _looked_up(look: Look) -> State | None:
    table, keys, default = look.states
    return keys if isinstance(keys, Rows) and isinstance(table, Free) and isinstance(default, Free) else None


def _parsed(look: Look) -> Answer:
    """Serialized examples: dense values row by row; sparse ones are a list for all rows."""
    if not isinstance(look.states[0], Rows):
        return None
    types = graph.output_types(look.node)
    dense = len(attr(look.node, "Tdense").list.type)
    return [*[Mixed(look.node.name)] * (len(types) - dense), *[Rows(0)] * dense]


def _reverse_sequence(look: Look) -> State | None:
    rows, lengths = look.states
    along, batch = attr(look.node, "seq_dim").i, attr(look.node, "batch_dim").i
    if not isinstance(rows, Rows) or along == rows.axis:
        return None
    if isinstance(lengths, Free):
        return rows
    return rows if isinstance(lengths, Rows) and lengths.axis == 0 and batch == rows.axis else None


RULES: Mapping[str, Callable[[Look], Answer]] = {
    **dict.fromkeys(ops.ELEMENTWISE, _elementwise),
    **dict.fromkeys(ops.ROW_WISE, _row_wise),
    **dict.fromkeys(ops.BATCH_NORMS, _batch_norm),
    **dict.fromkeys(ops.REDUCTIONS, _reduction),
    **dict.fromkeys(ops.OVER_LAST_AXIS, _over_last_axis),
    **dict.fromkeys(ops.TRANSPOSED_CONVOLUTIONS, _transposed_convolution),
    **dict.fromkeys(ops.NOISE, _noise),
    **dict.fromkeys(("Cumsum", "Cumprod", "ReverseV2"), _along_axes(1)),
    **dict.fromkeys(("BatchMatMul", "BatchMatMulV2"), _batch_matmul),
    **dict.fromkeys(("LookupTableFind", "LookupTableFindV2"), _looked_up),
    "MatMul": _matmul,
    "Einsum": _einsum,
    "OneHot": _one_hot,
    "ParseExample": _parsed,
    "ReverseSequence": _reverse_sequence,
}
