"""SparseFeatureCross and SparseFeatureCrossV2, the crossed columns of tf.contrib.layers.

Source of truth: tensorflow/contrib/layers/ops/sparse_feature_cross_op.cc and kernels/sparse_feature_cross_kernel.cc of
TensorFlow 1.15. TensorFlow 2 has the second version, and the first one's strings, under another name: SparseCross.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from export_v1.passes.replacements.site import Replacement, Site

# Of the first version: what the hash begins with, and what each step adds, as int64.
_SEED = 0xDECAFCAFFE
_STEP = 0x9E3779B97F4A7800 - 2**64
_LARGEST = np.iinfo(np.int64).max


def sparse_feature_cross(
    site: Site,
    indices: Sequence[tf.Tensor],
    values: Sequence[tf.Tensor],
    shapes: Sequence[tf.Tensor],
    dense: Sequence[tf.Tensor],
) -> list[tf.Tensor]:
    """Returns indices, values and shape of all crosses of each row, the last column's features changing fastest.

    Args:
        site: with `hashed_output` and `num_buckets`; 0: as many as an int64 can tell apart.
        indices: of each sparse column, [features, 2], int64, in order.
        values: of each sparse column, [features], int64 or strings.
        shapes: of each sparse column, [2], int64.
        dense: the dense columns, [batch, features], int64 or strings.
    """
    if not site.attr("hashed_output"):
        return _as_strings_or_fingerprints(site, indices, values, shapes, dense, hash_key=0)
    if not shapes and not dense:
        return [tf.zeros([0, 2], tf.int64), tf.zeros([0], tf.int64), tf.zeros([2], tf.int64)]
    batch = shapes[0][0] if shapes else tf.shape(dense[0], tf.int64)[0]
    columns = [_of_sparse(batch, *column) for column in zip(indices, values, strict=True)]
    columns += [_of_dense(batch, column) for column in dense]
    counts = tf.stack([count for _, _, count in columns], axis=1)
    crosses = tf.reduce_prod(counts, axis=1)
    row = tf.repeat(tf.range(batch), crosses)
    at = tf.range(tf.size(row, tf.int64)) - tf.gather(tf.cumsum(crosses, exclusive=True), row)
    # How many crosses pass before a column goes on to its next feature.
    periods = tf.math.cumprod(counts, axis=1, exclusive=True, reverse=True)
    hashed = tf.fill(tf.shape(row), tf.constant(_SEED, tf.int64))
    for position, (features, start, count) in enumerate(columns):
        feature = (at // tf.gather(periods[:, position], row)) % tf.gather(count, row)
        hashed = _combined(hashed, tf.gather(features, tf.gather(start, row) + feature))
    values_out = _unsigned_remainder(hashed, site.attr("num_buckets") or _LARGEST)
    most = tf.maximum(tf.reduce_max(crosses), 0)
    return [tf.stack([row, at], axis=1), values_out, tf.stack([batch, most])]


def sparse_feature_cross_v2(
    site: Site,
    indices: Sequence[tf.Tensor],
    values: Sequence[tf.Tensor],
    shapes: Sequence[tf.Tensor],
    dense: Sequence[tf.Tensor],
) -> list[tf.Tensor]:
    """Returns what `sparse_feature_cross` does, hashed by concatenated fingerprints that begin with `hash_key`."""
    return _as_strings_or_fingerprints(site, indices, values, shapes, dense, hash_key=site.attr("hash_key"))


def _as_strings_or_fingerprints(site, indices, values, shapes, dense, hash_key: int) -> list[tf.Tensor]:
    return list(
        tf.raw_ops.SparseCross(
            indices=indices,
            values=values,
            shapes=shapes,
            dense_inputs=dense,
            hashed_output=site.attr("hashed_output"),
            num_buckets=site.attr("num_buckets"),
            hash_key=hash_key,
            out_type=site.attr("out_type"),
            internal_type=site.attr("internal_type"),
        )
    )


def _of_sparse(batch: tf.Tensor, indices: tf.Tensor, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns a column's features as int64, where each row begins in them, and how many it has, [batch] each."""
    ends = tf.searchsorted(indices[:, 0], tf.range(batch + 1), side="left", out_type=tf.int64)
    return _as_int(values), ends[:-1], ends[1:] - ends[:-1]


def _of_dense(batch: tf.Tensor, column: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    count = tf.shape(column, tf.int64)[1]
    return _as_int(tf.reshape(column, [-1])), tf.range(batch) * count, tf.fill([batch], count)


def _as_int(features: tf.Tensor) -> tf.Tensor:
    if features.dtype != tf.string:
        return features
    return tf.bitcast(tf.fingerprint(features, method="farmhash64"), tf.int64)


def _combined(hashed: tf.Tensor, feature: tf.Tensor) -> tf.Tensor:
    bits = tf.bitwise
    mixed = feature + tf.constant(_STEP, tf.int64) + bits.left_shift(hashed, tf.constant(10, tf.int64))
    return bits.bitwise_xor(hashed, mixed + bits.right_shift(hashed, tf.constant(4, tf.int64)))


def _unsigned_remainder(number: tf.Tensor, divisor: int) -> tf.Tensor:
    """Returns the remainder of an int64 whose bits stand for an uint64."""
    remainder = number % divisor
    # A negative number stands for itself and 2**64.
    return tf.where(number < 0, (remainder + (2**64 % divisor - divisor)) % divisor, remainder)


REPLACEMENTS = {
    "SparseFeatureCross": Replacement(sparse_feature_cross, "SparseCross, or its hash in integers"),
    "SparseFeatureCrossV2": Replacement(sparse_feature_cross_v2, "SparseCross"),
}
