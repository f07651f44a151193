"""The ops that shapes are computed with, on arrays of sizes."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from export_v1.ir.graph import Tensor
from load_v2.opening import size_algebra
from load_v2.opening.graph import Graph

# Types that shapes are computed in.
INTEGERS = frozenset({"int32", "int64", "int16", "int8", "uint8"})

TYPES = INTEGERS | size_algebra.FLOATS | {"bool"}


def objects(values: np.ndarray) -> np.ndarray:
    """Returns numbers as an array of Python's, whole ones as integers in any type."""
    result = np.empty(values.shape, object)
    for index in np.ndindex(values.shape):
        result[index] = size_algebra.number(values[index])
    return result


def filled(value: Any) -> np.ndarray:
    """Returns a list of sizes, or one size, as an array."""
    result = np.empty(len(value) if isinstance(value, list) else (), object)
    if isinstance(value, list):
        result[:] = value
    else:
        result[()] = value
    return result


def _elementwise(graph: Graph, tensor: Tensor, *arrays: np.ndarray) -> np.ndarray:
    op, dtype = graph.op(tensor), graph.dtype(tensor)
    given = graph.dtype(graph.sources(tensor)[-1])
    result = np.empty(np.broadcast_shapes(*(array.shape for array in arrays)), object)
    result.reshape(-1)[:] = [size_algebra.applied(op, dtype, given, values) for values in np.broadcast(*arrays)]
    return result


def _cast(graph: Graph, tensor: Tensor, values: np.ndarray) -> np.ndarray:
    dtype, given = graph.dtype(tensor), graph.dtype(graph.sources(tensor)[0])
    result = np.empty(values.shape, object)
    result.reshape(-1)[:] = [size_algebra.cast(value, dtype, given) for value in values.reshape(-1)]
    return result


def _pack(graph: Graph, tensor: Tensor, *arrays: np.ndarray) -> np.ndarray:
    return np.stack(arrays, axis=graph.attr(tensor, "axis").i)


def _concatenate(_, __, *arrays: np.ndarray) -> np.ndarray:
    return np.concatenate(arrays[:-1], axis=int(arrays[-1]))


def _gather(graph: Graph, tensor: Tensor, values: np.ndarray, indices: np.ndarray, *axis: np.ndarray) -> np.ndarray:
    return np.asarray(np.take(values, indices.astype(int), axis=int(axis[0]) if axis else 0), object)


# Op that reduces a vector -> the op that joins two of its elements, and what there is to join where it has none.
_JOINS: Mapping[str, tuple[str, int | None]] = {
    "Prod": ("Mul", 1), "Sum": ("AddV2", 0), "Max": ("Maximum", None), "Min": ("Minimum", None),
    "All": ("LogicalAnd", True), "Any": ("LogicalOr", False),
}  # fmt: skip


def _reduced(graph: Graph, tensor: Tensor, values: np.ndarray, axes: np.ndarray) -> np.ndarray | None:
    if values.ndim != 1 or axes.size != 1:
        return None
    join, first = _JOINS[graph.op(tensor)]
    total: size_algebra.Value | None = first
    dtype = graph.dtype(tensor)
    for value in values:
        total = value if total is None else size_algebra.applied(join, dtype, dtype, (total, value))
    if total is None:
        return None
    return filled([total]) if graph.attr(tensor, "keep_dims").b else filled(total)


def _split(graph: Graph, tensor: Tensor, *arrays: np.ndarray) -> np.ndarray:
    """A Split has its axis first, a SplitV last, behind the sizes of its parts."""
    if graph.op(tensor) == "Split":
        return np.split(arrays[1], graph.attr(tensor, "num_split").i)[tensor.index]
    ends = np.cumsum([int(size) for size in arrays[1]])
    if ends[-1] != len(arrays[0]):
        raise ValueError("the size of a part follows from the others")
    return np.split(arrays[0], ends[:-1])[tensor.index]


def _repeated(_, __, sizes: np.ndarray, value: np.ndarray) -> np.ndarray:
    return np.full([int(size) for size in sizes], value.item(), object)


def _sliced(graph: Graph, tensor: Tensor, values: np.ndarray, begin, end, strides) -> np.ndarray | None:
    masks = {key: graph.attr(tensor, key).i for key in SLICE_MASKS}
    items = slice_parts(masks, begin, end, strides)
    if items is None:
        return None
    python = [
        None if item == "new" else Ellipsis if item == "all" else item if isinstance(item, int) else slice(*item)
        for item in items
    ]
    return np.asarray(values[tuple(python)], object)


def _slice(_, __, values: np.ndarray, begin: np.ndarray, size: np.ndarray) -> np.ndarray:
    first, count = int(begin[0]), int(size[0])
    return values[first:] if count < 0 else values[first : first + count]


def _broadcast_shape(_, __, left: np.ndarray, right: np.ndarray) -> np.ndarray | None:
    longer, shorter = (left, right) if len(left) >= len(right) else (right, left)
    result = longer.copy()
    for at in range(1, len(shorter) + 1):
        size, other = longer[-at], shorter[-at]
        if size == 1:
            result[-at] = other
        elif other not in (1, size):
            return None
    return result


# Op -> function of the graph, the tensor, and the values of its inputs; None where the result is not known.
HANDLERS: Mapping[str, Callable[..., np.ndarray | None]] = {
    "StridedSlice": _sliced,
    "Slice": _slice,
    "Pack": _pack,
    "ConcatV2": _concatenate,
    "GatherV2": _gather,
    "Gather": _gather,
    "Cast": _cast,
    "Fill": _repeated,
    "Split": _split,
    "SplitV": _split,
    "ReverseV2": lambda _, __, values, axes: values[::-1] if axes.size else values,
    "BroadcastArgs": _broadcast_shape,
    "ExpandDims": lambda _, __, values, axis: np.expand_dims(values, int(axis.reshape(-1)[0])),
    "Squeeze": lambda _, __, values: values.reshape(()),
    "Reshape": lambda _, __, values, shape: values.reshape([int(size) for size in shape]),
    "Unpack": lambda graph, tensor, values: np.asarray(values[tensor.index], object),
    **dict.fromkeys(_JOINS, _reduced),
    **dict.fromkeys(size_algebra.FUNCTIONS, _elementwise),
}


SLICE_MASKS = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")


def slice_parts(masks: Mapping[str, int], begin, end, strides) -> list[Any] | None:
    """Returns what a StridedSlice with these masks does to each axis, as `sizes.slice_items` tells it."""
    items: list[Any] = []
    for at, (start, stop, step) in enumerate(zip(begin, end, strides, strict=True)):

        def marked(key: str, bit: int = 1 << at) -> bool:
            return bool(masks[key] & bit)

        if marked("ellipsis_mask"):
            items.append("all")
        elif marked("new_axis_mask"):
            items.append("new")
        elif marked("shrink_axis_mask"):
            items.append(start)
        elif not isinstance(step, int):
            return None
        else:
            first = None if marked("begin_mask") or (start == 0 and step == 1) else start
            items.append((first, None if marked("end_mask") else stop, step))
    return items
