"""Rules for ops that take a part of a tensor: slices and gathers."""

from collections.abc import Callable, Mapping

import numpy as np

from export_v1.analysis.rows.states import FREE, Answer, Free, Look, Mixed, Rows, Sizes, State
from export_v1.ir.graph import attr


def _strided_slice(look: Look) -> State | None:
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
        return Sizes(0) if begin[0] == state.at else FREE if begin[0] >= 0 else Sizes()
    first = 0 if masks["begin"] else int(begin[0])
    last = 10**6 if masks["end"] else int(end[0])
    if first < 0 or last < 0 or strides[0] != 1:
        return Sizes()
    return Sizes(state.at - first) if first <= state.at < last else FREE


def _slice(look: Look) -> State | None:
    begin, size = look.value(1), look.value(2)
    if isinstance(look.states[0], Sizes):
        if begin is None or size is None or look.states[0].at is None:
            return Sizes()
        inside = begin[0] <= look.states[0].at and (size[0] < 0 or look.states[0].at < begin[0] + size[0])
        return Sizes(look.states[0].at - int(begin[0])) if inside else FREE
    rows = look.only_first()
    if rows is None or begin is None or size is None:
        return None
    return rows if begin[rows.axis] == 0 and size[rows.axis] == -1 else None


def _gather(look: Look) -> State | None:
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


def _gather_nd(look: Look) -> State | None:
    params, rows = look.states
    rank = look.rank(1)
    fits = isinstance(params, Free) and isinstance(rows, Rows) and rank is not None and rows.axis < rank - 1
    return rows if fits else None


RULES: Mapping[str, Callable[[Look], Answer]] = {
    **dict.fromkeys(("Gather", "GatherV2", "ResourceGather"), _gather),
    "StridedSlice": _strided_slice,
    "Slice": _slice,
    "GatherNd": _gather_nd,
}
