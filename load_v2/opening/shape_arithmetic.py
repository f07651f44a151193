"""The ops that shapes are computed with, on arrays of sizes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from export_v1.ir import ops
from export_v1.ir.graph import Tensor
from load_v2.opening.graph import Graph
from load_v2.opening.size_algebra import computed, divided, product

# Types that shapes are computed in.
INTEGERS = frozenset({"int32", "int64", "int16", "int8", "uint8"})


FLOATS = frozenset({"float32", "float64"})


def objects(values: np.ndarray) -> np.ndarray:
    """Returns whole numbers as an array of Python's."""
    result = np.empty(values.shape, object)
    for index in np.ndindex(values.shape):
        result[index] = int(values[index])
    return result


def filled(value: Any) -> np.ndarray:
    """Returns a list of sizes, or one size, as an array."""
    result = np.empty(len(value) if isinstance(value, list) else (), object)
    if isinstance(value, list):
        result[:] = value
    else:
        result[()] = value
    return result


def _elementwise(symbol: str):
    def apply(_, __, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        result = np.empty(np.broadcast_shapes(left.shape, right.shape), object)
        pairs: Any = np.broadcast(left, right)
        result.reshape(-1)[:] = [computed(symbol, left, right) for left, right in pairs]
        return result

    return apply


def _quotient(graph: Graph, tensor: Tensor, left: np.ndarray, right: np.ndarray) -> np.ndarray | None:
    """A division: of integers it rounds down, of others it is followed only where it is exact."""
    if graph.dtype(tensor) in INTEGERS:
        return _elementwise("//")(graph, tensor, left, right)
    pairs: Any = np.broadcast(left, right)
    result = np.empty(np.broadcast_shapes(left.shape, right.shape), object)
    result.reshape(-1)[:] = [divided(left, right) for left, right in pairs]
    return None if any(size is None for size in result.reshape(-1)) else result


def _pack(graph: Graph, tensor: Tensor, *arrays: np.ndarray) -> np.ndarray:
    return np.stack(arrays, axis=graph.attr(tensor, "axis").i)


def _concatenate(_, __, *arrays: np.ndarray) -> np.ndarray:
    return np.concatenate(arrays[:-1], axis=int(arrays[-1]))


def _gather(graph: Graph, tensor: Tensor, values: np.ndarray, indices: np.ndarray, *axis: np.ndarray) -> np.ndarray:
    return np.asarray(np.take(values, indices.astype(int), axis=int(axis[0]) if axis else 0), object)


def _reduced_product(graph: Graph, tensor: Tensor, values: np.ndarray, axes: np.ndarray) -> np.ndarray | None:
    if values.ndim != 1 or axes.size != 1:
        return None
    total = filled(product(values))
    return total.reshape(1) if graph.attr(tensor, "keep_dims").b else total


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
HANDLERS = {
    "StridedSlice": _sliced,
    "Slice": _slice,
    "Pack": _pack,
    "ConcatV2": _concatenate,
    "GatherV2": _gather,
    "Gather": _gather,
    "Prod": _reduced_product,
    "Mul": _elementwise("*"),
    "Sub": _elementwise("-"),
    "Maximum": _elementwise("max"),
    "Minimum": _elementwise("min"),
    "FloorDiv": _elementwise("//"),
    "FloorMod": _elementwise("%"),
    "Div": _quotient,
    "RealDiv": _quotient,
    "Cast": lambda _, __, values: values,
    "BroadcastArgs": _broadcast_shape,
    "ExpandDims": lambda _, __, values, axis: np.expand_dims(values, int(axis.reshape(-1)[0])),
    "Squeeze": lambda _, __, values: values.reshape(()),
    "Reshape": lambda _, __, values, shape: values.reshape([int(size) for size in shape]),
    "Unpack": lambda graph, tensor, values: np.asarray(values[tensor.index], object),
    **{op: _elementwise("+") for op in ops.ADDS},
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
