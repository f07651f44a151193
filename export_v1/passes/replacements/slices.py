"""ReduceSliceSum, ReduceSliceProd, ReduceSliceMax and ReduceSliceMin of tf.contrib.

Source of truth: tensorflow/contrib/reduce_slice_ops/kernels/reduce_slice_ops.cc and reduce_slice_ops.h of TensorFlow
1.15.
"""

from collections.abc import Callable

import tensorflow as tf

from export_v1.passes.replacements.site import Replacement, Site


def reduced(site: Site, data: tf.Tensor, indices: tf.Tensor, axis: tf.Tensor) -> tf.Tensor:
    """Returns data with one axis reduced slice by slice; an empty slice gives what the reduction begins with.

    Args:
        site: tells the reduction by its op.
        data: of any rank and type that can be reduced so.
        indices: where each slice begins and ends, [slices, 2]; or the bounds between slices, [slices + 1] or
            [slices + 1, 1].
        axis: scalar.
    """
    axis, shape = tf.cast(tf.reshape(axis, []), tf.int32), tf.shape(data)
    length = shape[axis]
    outer, inner = tf.reduce_prod(shape[:axis]), tf.reduce_prod(shape[axis + 1 :])
    steps = tf.transpose(tf.reshape(data, [outer, length, inner]), [1, 0, 2])
    begin, end = _bounds(indices)
    end = tf.minimum(end, tf.cast(length, end.dtype))
    sizes = tf.maximum(end - begin, 0)
    within = tf.ragged.range(begin, begin + sizes)
    count = tf.shape(begin)[0]
    result = _REDUCTIONS[site.node.op](tf.gather(steps, within.flat_values), within.value_rowids(), count)
    first = tf.constant(_first(site.node.op, data.dtype), data.dtype)
    result = tf.where((sizes > 0)[:, tf.newaxis, tf.newaxis], result, first)
    return tf.reshape(tf.transpose(result, [1, 0, 2]), tf.concat([shape[:axis], [count], shape[axis + 1 :]], 0))


def _bounds(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    rows, flat = tf.shape(indices)[0], tf.reshape(indices, [-1])
    # The second axis has 2 numbers, or 1, or is not there.
    is_pairs = tf.greater(tf.reduce_prod(tf.shape(indices)[1:]), 1)
    width = tf.where(is_pairs, 2, 1)
    at = tf.range(tf.where(is_pairs, rows, tf.maximum(rows - 1, 0))) * width
    return tf.gather(flat, at), tf.gather(flat, at + 1)


def _padded(reduction: Callable) -> Callable:
    """Returns a reduction of sorted segments that has a result for each segment, those after the last one included."""

    def reduce(data, segments, count):
        result = reduction(data, segments)
        return tf.pad(result, [[0, count - tf.shape(result)[0]], [0, 0], [0, 0]])

    return reduce


_REDUCTIONS = {
    "ReduceSliceSum": tf.math.unsorted_segment_sum,
    "ReduceSliceProd": tf.math.unsorted_segment_prod,
    "ReduceSliceMax": _padded(tf.math.segment_max),
    "ReduceSliceMin": _padded(tf.math.segment_min),
}


def _first(op: str, dtype: tf.DType):
    if op in ("ReduceSliceSum", "ReduceSliceProd"):
        return 0 if op == "ReduceSliceSum" else 1
    if dtype.is_floating:
        return float("-inf") if op == "ReduceSliceMax" else float("inf")
    return dtype.min if op == "ReduceSliceMax" else dtype.max


REPLACEMENTS = {op: Replacement(reduced, "a gather and a reduction of segments") for op in _REDUCTIONS}
