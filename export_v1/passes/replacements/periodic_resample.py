"""PeriodicResample of tf.contrib and its gradient, such as sub-pixel convolution uses it.

Source of truth: tensorflow/contrib/periodic_resample/kernels/periodic_resample_op.h of TensorFlow 1.15.
"""

import math
from collections.abc import Sequence

import tensorflow as tf

from export_v1 import errors
from export_v1.passes.replacements.site import Replacement, Site


def periodic_resample(site: Site, values: tf.Tensor) -> tf.Tensor:
    """Returns values in another shape: one axis shrinks, and its elements are spread over the others, periodically.

    Args:
        site: with `shape`, of the values' rank, in which one size is open; no other is smaller than the values'.
        values: of any rank.
    """
    wanted = _sizes(site, "shape")
    values = tf.ensure_shape(values, [None] * len(wanted))
    position = _positions(site, tf.unstack(tf.shape(values, out_type=tf.int64), num=len(wanted)), wanted)
    return tf.gather(tf.reshape(values, [-1]), position)


def periodic_resample_grad(site: Site, grad: tf.Tensor) -> tf.Tensor:
    """Returns the gradient of `periodic_resample` by its values.

    Args:
        site: with `original_shape`, of the values, and `desired_shape`, which `periodic_resample` was given.
        grad: of the resampled values.
    """
    given = _sizes(site, "original_shape")
    position = _positions(site, tf.unstack(tf.constant(given, tf.int64), num=len(given)), _sizes(site, "desired_shape"))
    nothing = tf.zeros([math.prod(given)], grad.dtype)
    flat = tf.reshape(position, [-1, 1]), tf.reshape(grad, [-1])
    return tf.reshape(tf.tensor_scatter_nd_add(nothing, *flat), given)


def _sizes(site: Site, attr: str) -> list[int]:
    return [dim.size for dim in site.attr(attr).dim]


def _positions(site: Site, given: Sequence[tf.Tensor], wanted: Sequence[int]) -> tf.Tensor:
    """Returns, in the shape of the result, where in memory each element is among the values.

    Args:
        site: of the node.
        given: sizes of the values, scalars.
        wanted: sizes of the result; of one axis open, and smaller than 1.
    """
    open_axes = [axis for axis, size in enumerate(wanted) if size < 1]
    if len(open_axes) != 1:
        raise errors.ExportError(
            f"Node {site.node.name!r} ({site.node.op}) cannot be replaced: {len(open_axes)} sizes of its shape are open."
        )
    [adjusted], rank = open_axes, len(wanted)
    others = tf.constant([size for size in wanted if size >= 1], tf.int64)
    sizes = [tf.constant(size, tf.int64) for size in wanted]
    sizes[adjusted] = tf.reduce_prod(tf.stack(given)) // tf.reduce_prod(others)
    checks = [
        tf.debugging.assert_greater_equal(sizes[axis], size, "an axis that is not open would shrink")
        for axis, size in enumerate(given)
        if axis != adjusted
    ]
    checks.append(tf.debugging.assert_positive(sizes[adjusted], "the open axis would be empty"))
    with tf.control_dependencies(checks):
        places = tf.meshgrid(*[tf.range(size) for size in sizes], indexing="ij")
    periods = [
        tf.cast(tf.math.ceil(tf.cast(size, tf.float32) / tf.cast(before, tf.float32)), tf.int64)
        for size, before in zip(sizes, given, strict=True)
    ]
    carried, weight = tf.zeros_like(places[0]), tf.constant(1, tf.int64)
    for axis in range(rank):
        if axis != adjusted:
            carried += weight * (places[axis] % periods[axis])
        weight *= periods[axis]
    read = [place // period for place, period in zip(places, periods, strict=True)]
    read[adjusted] = carried * sizes[adjusted] + places[adjusted]
    # By position in memory, as the kernel reads: where sizes do not divide, the end of one row is in the next.
    position = tf.zeros_like(places[0])
    for place, size in zip(read, given, strict=True):
        position = position * size + place
    return position


REPLACEMENTS = {
    "PeriodicResample": Replacement(periodic_resample, "a gather"),
    "PeriodicResampleOpGrad": Replacement(periodic_resample_grad, "a scatter"),
}
