"""Rules for ops that put tensors together, take them apart and give them other shapes; and for shapes themselves."""

import math
from collections.abc import Callable, Mapping

import numpy as np

from export_v1.analysis.rows.states import FREE, Answer, Elements, Free, Look, Mixed, Rows, Sizes, State
from export_v1.ir.graph import attr


def _shape(look: Look) -> Answer:
    sizes: list[State] = []
    for state in look.states:
        if isinstance(state, Rows):
            # Where several entries belong to a row, their number is not that of the rows.
            sizes.append(Sizes(state.axis if state.per == 1 else None))
        else:
            sizes.append(state if isinstance(state, Free) else Mixed(look.node.name))
    return sizes


def _sizes(look: Look) -> State | None:
    """What is made of sizes, and of sizes alone: a shape put together anew."""
    return None if any(isinstance(state, Rows | Elements) for state in look.states) else Sizes()


def _packed(look: Look) -> State | None:
    sizes = [at for at, state in enumerate(look.states) if isinstance(state, Sizes)]
    rows = {state for state in look.states if isinstance(state, Rows)}
    if sizes and not rows:
        # Only the size itself, not what is computed from it, says where rows end.
        return Sizes(sizes[0] if len(sizes) == 1 and look.states[sizes[0]] == Sizes(0) else None)
    if len(rows) != 1 or not all(isinstance(state, Rows) for state in look.states):
        return None
    [state] = rows
    axis = look.axis(attr(look.node, "axis").i, more=1)
    return None if axis is None else Rows(state.axis + (axis <= state.axis), state.per)


def _concatenated(look: Look, values: list[int], along: int) -> State | None:
    states = [look.states[at] for at in values]
    if not any(isinstance(state, Rows) for state in states):
        sizes = [at for at, state in enumerate(states) if isinstance(state, Sizes)]
        first = sizes == [0] and states[0] == Sizes(0)
        return Sizes(0) if first else Sizes()
    named = look.value(along)
    axis = None if named is None else look.axis(int(named), values[0])
    if axis is None or len(set(states)) != 1 or not isinstance(states[0], Rows):
        return None
    return states[0] if axis != states[0].axis else None


def _concat_v2(look: Look) -> State | None:
    return _concatenated(look, list(range(len(look.states) - 1)), len(look.states) - 1)


def _concat(look: Look) -> State | None:
    return _concatenated(look, list(range(1, len(look.states))), 0)


def _split(data: int, along: int) -> Callable[[Look], State | None]:
    def rule(look: Look) -> State | None:
        rows, named = look.states[data], look.value(along)
        axis = None if named is None else look.axis(int(named), data)
        others = [state for at, state in enumerate(look.states) if at != data]
        if not isinstance(rows, Rows) or axis is None or any(not isinstance(state, Free) for state in others):
            return None
        return rows if axis != rows.axis else None

    return rule


def _unpacked(look: Look) -> State | None:
    rows, axis = look.first(), look.axis(attr(look.node, "axis").i)
    if rows is None or axis is None:
        return _sizes(look) if isinstance(look.states[0], Sizes) else None
    return None if axis == rows.axis else Rows(rows.axis - (axis < rows.axis), rows.per)


def _transpose(look: Look) -> State | None:
    rows, order = look.only_first(), look.value(1)
    return None if rows is None or order is None else Rows(order.tolist().index(rows.axis), rows.per)


def _expand_dims(look: Look) -> State | None:
    if isinstance(look.states[0], Sizes):
        return look.states[0]
    rows, named = look.only_first(), look.value(1)
    axis = None if named is None else look.axis(int(np.ravel(named)[0]), more=1)
    if rows is None or axis is None:
        return None
    return Rows(rows.axis + (axis <= rows.axis), rows.per)


def _squeeze(look: Look) -> State | None:
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


def _reshape(look: Look) -> State | None:
    """Row-major, so a row's elements stay together; what has to hold is that no entry has parts of two rows."""
    if isinstance(look.states[0], Sizes):
        return look.states[0]
    rows, shape, target = look.first(), look.shape(0), look.output_shape()
    if rows is None or rows.axis != 0 or shape is None or not target:
        return None
    if look.states[1] == Sizes(0):
        return Rows(0)
    sizes = [size for size in target[1:] if size is not None]
    if len(sizes) < len(target) - 1:
        return None
    entry = math.prod(sizes)
    known = math.prod(size for size in shape[1:] if size is not None) * (rows.per or 1)
    exact = rows.per is not None and all(size is not None for size in shape[1:])
    if not entry or known % entry:
        return None
    return Rows(0, known // entry if exact else None)


def _padded(look: Look) -> State | None:
    rows, widths = look.only_first(), look.value(1)
    return rows if rows is not None and widths is not None and not widths[rows.axis].any() else None


def _tiled(look: Look) -> State | None:
    rows, counts = look.first(), look.value(1)
    if rows is not None:
        return rows if counts is not None and counts[rows.axis] == 1 else None
    # The same for every row.
    at = look.states[1].at if isinstance(look.states[1], Sizes) else None
    shape = look.shape(0)
    if at is None or shape is None or not isinstance(look.states[0], Free):
        return None
    return Rows(at) if shape[at] == 1 else None


def _filled(look: Look) -> State | None:
    sizes, value = look.states
    return Rows(sizes.at) if isinstance(sizes, Sizes) and sizes.at is not None and isinstance(value, Free) else None


RULES: Mapping[str, Callable[[Look], Answer]] = {
    **dict.fromkeys(("Shape", "ShapeN"), _shape),
    **dict.fromkeys(("Pad", "PadV2", "MirrorPad"), _padded),
    "Size": _sizes,
    "Rank": lambda look: FREE,
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
    "Tile": _tiled,
    "Fill": _filled,
}
