"""HyperplaneLSHProbes, which tells tf.contrib.nearest_neighbor's hash tables the buckets that a point may be in.

Source of truth: tensorflow/contrib/nearest_neighbor/ops/nearest_neighbor_ops.cc and kernels/hyperplane_lsh_probes.h of
TensorFlow 1.15. Which of two equally likely buckets comes first, the kernel's heap decides, and that is not followed.
"""

import tensorflow as tf

from export_v1.passes.replacements.site import Replacement, Site


def hyperplane_lsh_probes(
    site: Site, products: tf.Tensor, num_tables: tf.Tensor, num_hyperplanes_per_table: tf.Tensor, num_probes: tf.Tensor
) -> list[tf.Tensor]:
    """Returns the buckets to look into, the likeliest first, and the table that each is in, [batch, probes] each, int32.

    A bucket's number has a bit for each hyperplane of its table: on which side of it the point is. Each table's own
    bucket comes first; then those beyond the hyperplanes that are nearest to the point, by the sum of squared products.

    Args:
        site: unused.
        products: of each point with each hyperplane, table after table, [batch, tables * hyperplanes].
        num_tables: scalar, int32.
        num_hyperplanes_per_table: scalar, int32.
        num_probes: scalar, int32; more buckets than there are fail at run time.
    """
    tables, planes, probes = (tf.reshape(x, []) for x in (num_tables, num_hyperplanes_per_table, num_probes))
    batch = tf.shape(products)[0]
    # Every bucket of every table.
    most = tf.cast(tables, tf.int64) * tf.bitwise.left_shift(tf.constant(1, tf.int64), tf.cast(planes, tf.int64))
    with tf.control_dependencies([tf.debugging.assert_less_equal(tf.cast(probes, tf.int64), most, "too many probes")]):
        products = tf.reshape(products, [batch, tables, planes])
    bits = tf.bitwise.left_shift(tf.constant(1), planes - 1 - tf.range(planes))
    own = tf.reduce_sum(tf.where(products >= 0, bits, 0), 2)
    nearest = tf.argsort(tf.abs(products), axis=2, stable=True)
    squares = tf.square(tf.gather(products, nearest, batch_dims=2))
    flips = tf.gather(bits, nearest)
    rows = tf.range(batch)
    infinity = tf.constant(float("inf"), products.dtype)

    def step(at, candidates, chosen):
        """Takes the best candidate: a score, the bits to flip, a table, and the last of its hyperplanes that is crossed.

        What follows it crosses the next hyperplane, too, or in the place of the last one.
        """
        score, flipped, table, last = candidates
        best = tf.argmin(score, axis=1, output_type=tf.int32)
        best_score, best_flipped, best_table, best_last = (tf.gather(part, best, batch_dims=1) for part in candidates)
        following = tf.minimum(best_last + 1, planes - 1)
        here, beyond = (tf.stack([rows, best_table, place], 1) for place in (best_last, following))
        is_end = tf.equal(best_last, planes - 1)
        crossed = tf.bitwise.bitwise_xor(best_flipped, tf.gather_nd(flips, beyond))
        instead = tf.bitwise.bitwise_xor(crossed, tf.gather_nd(flips, here))
        instead_score = best_score - tf.gather_nd(squares, here) + tf.gather_nd(squares, beyond)
        crossed_score = best_score + tf.gather_nd(squares, beyond)
        is_best = tf.equal(tf.range(tf.shape(score)[1]), best[:, tf.newaxis])
        added = [
            (score, tf.where(is_end, infinity, instead_score), tf.where(is_end, infinity, crossed_score)),
            (flipped, instead, crossed),
            (table, best_table, best_table),
            (last, following, following),
        ]
        candidates = [
            tf.concat([tf.where(is_best, first[:, tf.newaxis], old), second[:, tf.newaxis]], 1)
            for old, first, second in added
        ]
        bucket = tf.bitwise.bitwise_xor(tf.gather(own, best_table, batch_dims=1), best_flipped)
        return at + 1, candidates, chosen.write(at, tf.stack([bucket, best_table], 1))

    every = tf.tile(tf.range(tables)[tf.newaxis], [batch, 1])
    first = [squares[:, :, 0], flips[:, :, 0], every, tf.zeros_like(every)]
    more = tf.maximum(probes - tables, 0)
    _, _, chosen = tf.while_loop(
        lambda at, *_: at < more,
        step,
        (tf.constant(0), first, tf.TensorArray(tf.int32, more, element_shape=[None, 2])),
        shape_invariants=(tf.TensorShape([]), [tf.TensorShape([None, None])] * 4, tf.TensorShape(None)),
    )
    # Of no steps at all there is no list to be stacked.
    later = tf.cond(more > 0, chosen.stack, lambda: tf.zeros([0, batch, 2], tf.int32))
    both = tf.concat([tf.stack([own, every], 2), tf.transpose(later, [1, 0, 2])], 1)[:, :probes]
    return [both[:, :, 0], both[:, :, 1]]


REPLACEMENTS = {
    "HyperplaneLSHProbes": Replacement(hyperplane_lsh_probes, "a loop over the probes, the likeliest first")
}
