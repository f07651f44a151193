"""What small constants determine: the values of predicates, of a dropout's rate and of whatever else steers a graph.

Nothing here is asked of a large tensor, unless `--optimize` asks for what scales the channels of a layer; what could be
computed ahead beyond this is left to TensorFlow's own Grappler, which runs wherever the graph does.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from export_v1.ir.graph import NodeDef, attr

# A predicate is a scalar, or a few of them; anything larger is not followed.
MOST_ELEMENTS = 16


def _sliced(node: NodeDef, x: np.ndarray, begin: np.ndarray, end: np.ndarray, step: np.ndarray) -> np.ndarray | None:
    """One size, or a few, out of a shape."""
    if x.ndim != 1 or len(begin) != 1 or attr(node, "ellipsis_mask").i or attr(node, "new_axis_mask").i:
        return None
    if attr(node, "shrink_axis_mask").i:
        return x[begin[0]]
    first = None if attr(node, "begin_mask").i else begin[0]
    return x[first : None if attr(node, "end_mask").i else end[0] : step[0]]


# Each computes what the TensorFlow op of its name does; None where it cannot tell.
EVALUATORS: Mapping[str, Callable[..., np.ndarray | None]] = {
    "Identity": lambda node, x: x,
    "StopGradient": lambda node, x: x,
    "Enter": lambda node, x: x if attr(node, "is_constant").b else None,
    "LogicalNot": lambda node, x: np.logical_not(x),
    "LogicalAnd": lambda node, x, y: np.logical_and(x, y),
    "LogicalOr": lambda node, x, y: np.logical_or(x, y),
    "Equal": lambda node, x, y: np.equal(x, y),
    "NotEqual": lambda node, x, y: np.not_equal(x, y),
    "Less": lambda node, x, y: np.less(x, y),
    "LessEqual": lambda node, x, y: np.less_equal(x, y),
    "Greater": lambda node, x, y: np.greater(x, y),
    "GreaterEqual": lambda node, x, y: np.greater_equal(x, y),
    "Add": lambda node, x, y: x + y,
    "AddV2": lambda node, x, y: x + y,
    "Sub": lambda node, x, y: x - y,
    "Mul": lambda node, x, y: x * y,
    "RealDiv": lambda node, x, y: np.true_divide(x, y).astype(x.dtype) if np.all(y) else None,
    "Neg": lambda node, x: -x,
    "Square": lambda node, x: x * x,
    "Sqrt": lambda node, x: np.sqrt(x),
    "Rsqrt": lambda node, x: (1 / np.sqrt(x)).astype(x.dtype),
    "Cast": lambda node, x: x.astype(tf.as_dtype(attr(node, "DstT").type).as_numpy_dtype),
    "Squeeze": lambda node, x: np.squeeze(x) if not attr(node, "squeeze_dims").list.i else None,
    "Reshape": lambda node, x, shape: np.reshape(x, shape),
    "ExpandDims": lambda node, x, axis: np.expand_dims(x, int(axis)),
    "ConcatV2": lambda node, *parts: np.concatenate(parts[:-1], int(parts[-1])),
    "Pack": lambda node, *parts: np.stack(parts, attr(node, "axis").i),
    "Range": lambda node, start, limit, delta: np.arange(start, limit, delta).astype(start.dtype),
    "StridedSlice": _sliced,
    "All": lambda node, x, axes: np.all(x, axis=tuple(np.ravel(axes)), keepdims=attr(node, "keep_dims").b),
    "Any": lambda node, x, axes: np.any(x, axis=tuple(np.ravel(axes)), keepdims=attr(node, "keep_dims").b),
}
_DECIDED_BY_ONE = frozenset({"LogicalAnd", "LogicalOr"})
# What an evaluator raises on operands that TensorFlow would refuse, too, and make_ndarray on a type that NumPy lacks.
_CANNOT_WORK = (ValueError, TypeError, IndexError, KeyError, OverflowError)


def is_small(node: NodeDef, most: float = MOST_ELEMENTS) -> bool:
    """Returns whether a Const has few enough elements to be followed."""
    return _count(attr(node, "value").tensor) <= most


def _count(tensor: tensor_pb2.TensorProto) -> int:
    return math.prod(dim.size for dim in tensor.tensor_shape.dim)


# A graph has the same axes, shapes and rates thousands of times, and to make an array of each is slow.
@functools.lru_cache(maxsize=2**14)
def _array(serialized: bytes) -> np.ndarray:
    return tf.make_ndarray(tensor_pb2.TensorProto.FromString(serialized))


def evaluated(
    node: NodeDef, operands: Sequence[np.ndarray | None] = (), most: float = MOST_ELEMENTS
) -> np.ndarray | None:
    """Returns the value of a node's first output, or None where it is unknown, too large, or no value at all.

    Never raises: where an op cannot work on what it is given, nothing is known of what it would answer.

    Args:
        node: a Const or an op of EVALUATORS; any other is unknown.
        operands: the value of each data input, None where it is unknown.
        most: elements that a value may have.
    """
    if operands and node.op not in _DECIDED_BY_ONE and any(operand is None for operand in operands):
        return None
    try:
        with np.errstate(all="ignore") if operands else contextlib.nullcontext():
            value = _value(node, operands, most)
    except _CANNOT_WORK:
        return None
    return None if value is None or np.size(value) > most else np.asarray(value)


def _value(node: NodeDef, operands: Sequence[np.ndarray | None], most: float):
    if node.op == "Const":
        tensor = attr(node, "value").tensor
        if (count := _count(tensor)) > most:
            return None
        return _array(tensor.SerializeToString()) if count <= MOST_ELEMENTS else tf.make_ndarray(tensor)
    if node.op in _DECIDED_BY_ONE:
        # `x and False` is False whatever x is, and `x or True` is True. Only a scalar decides alone, and what it
        # decides counts as a scalar: its true shape is the other operand's.
        deciding = node.op == "LogicalOr"
        if any(operand is not None and operand.shape == () and bool(operand) == deciding for operand in operands):
            return np.asarray(deciding)
    if node.op not in EVALUATORS or not operands or any(operand is None for operand in operands):
        return None
    return EVALUATORS[node.op](node, *operands)


def scalar(value: np.ndarray | None) -> np.ndarray | None:
    """Returns a value that is known and a scalar, else None."""
    return value if value is not None and value.shape == () else None


def equals(value: np.ndarray | None, number: float) -> bool:
    """Returns whether a value is known to be this scalar."""
    return scalar(value) is not None and bool(value == number)
