"""Numbers put into buckets by boundaries that are tensors, and the boundaries that a resource holds.

Source of truth: tensorflow/contrib/boosted_trees/ops/quantile_ops.cc and kernels/quantile_ops.cc, tensorflow/core/ops/
boosted_trees_ops.cc and core/kernels/boosted_trees/quantile_ops.cc of TensorFlow 1.15.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from export_v1.passes.replacements import resources
from export_v1.passes.replacements.site import Replacement, Site


def _position(bound: Callable[..., tf.Tensor], boundaries: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Returns where each value belongs among boundaries, in the shape of the values, int32."""
    positions = bound(sorted_inputs=tf.reshape(boundaries, [1, -1]), values=tf.reshape(values, [1, -1]))
    return tf.reshape(positions, tf.shape(values))


def bucketize_with_input_boundaries(site: Site, values: tf.Tensor, boundaries: tf.Tensor) -> tf.Tensor:
    """Returns how many boundaries each value reaches, in the shape of the values, int32; NaN reaches all.

    Args:
        site: unused.
        values: int32, int64, float32 or float64, of any shape.
        boundaries: float32, in ascending order; they count as numbers of the values' type.
    """
    return _position(tf.raw_ops.UpperBound, tf.cast(boundaries, values.dtype), values)


def boosted_trees_bucketize(
    site: Site, float_values: Sequence[tf.Tensor], bucket_boundaries: Sequence[tf.Tensor]
) -> list[tf.Tensor]:
    """Returns the bucket of each value of each feature, [batch] each, int32: the first whose boundary it does not pass.

    What passes the last boundary is in the last bucket all the same, and NaN is in the first.

    Args:
        site: unused.
        float_values: [batch] for each feature, float32.
        bucket_boundaries: for each feature, float32, in ascending order.
    """
    return [
        tf.minimum(_position(tf.raw_ops.LowerBound, boundaries, values), tf.size(boundaries) - 1)
        for values, boundaries in zip(float_values, bucket_boundaries, strict=True)
    ]


def quantile_stream_boundaries(site: Site, handle: tf.Tensor) -> list[tf.Tensor]:
    """Returns the boundaries of each feature, which the Saver restores into the stream, as constants."""
    count = site.attr("num_features")
    restored_by = "BoostedTreesQuantileStreamResourceDeserialize"
    return [tf.constant(resources.value(site, (restored_by, 1 + at))) for at in range(count)]


_BY_SEARCH = "a binary search"
REPLACEMENTS = {
    "BucketizeWithInputBoundaries": Replacement(bucketize_with_input_boundaries, _BY_SEARCH),
    "BoostedTreesBucketize": Replacement(boosted_trees_bucketize, _BY_SEARCH),
    "BoostedTreesQuantileStreamResourceGetBucketBoundaries": Replacement(
        quantile_stream_boundaries, "the boundaries that its Saver restores"
    ),
}
