"""ImageConnectedComponents and BipartiteMatch of tf.contrib.image.

Source of truth: tensorflow/contrib/image/kernels/segmentation_ops.h and bipartite_match_op.cc of TensorFlow 1.15. Of
two things they say nothing, and what their implementations make of it is not followed: which pixel a component is
named by (tf.contrib.image.connected_components gives numbers of its own), and which of two equal distances comes first.
"""

import tensorflow as tf

from export_v1.passes.replacements.site import Replacement, Site


def connected_components(site: Site, image: tf.Tensor) -> tf.Tensor:
    """Returns, for each pixel that is not zero, a positive number that all pixels connected to it share.

    Pixels are connected through neighbours above, below, left and right that are equal. The number is one more than the
    position of the component's first pixel in all images.

    Args:
        site: unused.
        image: [batch, height, width], numbers, bools or strings.
    """
    image = tf.ensure_shape(image, [None, None, None])
    shape = tf.shape(image)
    background = tf.equal(image, tf.zeros_like(image))
    # Runs of connected pixels in a row are what is joined; they are numbered from left to right and from top to bottom.
    goes_on = tf.pad(tf.equal(image[:, :, 1:], image[:, :, :-1]) & ~background[:, :, 1:], [[0, 0], [0, 0], [1, 0]])
    starts = tf.reshape(~goes_on[:, :, : shape[2]], [-1])
    run = tf.cumsum(tf.cast(starts, tf.int32)) - 1
    in_rows = tf.reshape(run, shape)
    meets = tf.equal(image[:, :-1], image[:, 1:]) & ~background[:, 1:]
    # Two runs meet once, however many pixels they have above each other.
    pairs = in_rows[:, :-1], in_rows[:, 1:]
    known = meets[:, :, :-1]
    for pair in pairs:
        known &= tf.equal(pair[:, :, 1:], pair[:, :, :-1])
    meets &= ~tf.pad(known, [[0, 0], [0, 0], [1, 0]])[:, :, : shape[2]]
    ends = [tf.boolean_mask(pair, meets) for pair in pairs]
    first = tf.where(starts)[:, 0]
    count = tf.size(first)

    def step(parents, _):
        """Hangs each run, and its parent, on the first of its own and its neighbours' grandparents."""
        grandparents = tf.gather(parents, parents)
        lowest = tf.minimum(*(tf.gather(grandparents, end) for end in ends))
        targets = tf.concat([*ends, *(tf.gather(parents, end) for end in ends)], 0)
        new = tf.tensor_scatter_nd_min(grandparents, targets[:, tf.newaxis], tf.tile(lowest, [4]))
        return new, tf.reduce_any(tf.not_equal(new, parents))

    parents, _ = tf.while_loop(
        lambda _, changed: changed,
        step,
        (tf.range(count), tf.constant(True)),
        shape_invariants=(tf.TensorShape([None]), tf.TensorShape([])),
    )
    names = tf.gather(tf.gather(first, parents) + 1, run)
    return tf.where(background, tf.zeros([], tf.int64), tf.reshape(names, shape))


def bipartite_match(site: Site, distances: tf.Tensor, num_valid_rows: tf.Tensor) -> list[tf.Tensor]:
    """Returns the column that each row is matched with and the row that each column is, -1 for none.

    The nearest pair is matched first, then the nearest of what is left, and so on.

    Args:
        site: with `top_k`, the most matches there may be; not positive: as many as there can be.
        distances: [rows, columns], float32.
        num_valid_rows: how many of the first rows take part; negative: all of them. One number, float32.
    """
    distances = tf.ensure_shape(distances, [None, None])
    rows, columns = tf.shape(distances)[0], tf.shape(distances)[1]
    valid = tf.reshape(num_valid_rows, [])
    valid = tf.where(valid >= 0, tf.cast(valid + 0.1, tf.int32), rows)
    with tf.control_dependencies([tf.debugging.assert_less_equal(valid, rows, "too few rows of distances")]):
        flat = tf.reshape(distances[:valid], [-1])
    count = tf.minimum(valid, columns)
    if site.attr("top_k") > 0:
        count = tf.minimum(count, site.attr("top_k"))
    # The rank of each pair, nearest first.
    order = tf.argsort(flat, stable=True)
    ranks = tf.reshape(tf.scatter_nd(order[:, tf.newaxis], tf.range(tf.size(flat)), [tf.size(flat)]), [valid, columns])
    beyond = tf.size(flat)

    def match(step, ranks, to_columns, to_rows):
        nearest = tf.argmin(tf.reshape(ranks, [-1]), output_type=tf.int32)
        row, column = nearest // columns, nearest % columns
        of_row, of_column = tf.equal(tf.range(valid), row), tf.equal(tf.range(columns), column)
        ranks = tf.where(of_row[:, tf.newaxis] | of_column[tf.newaxis], beyond, ranks)
        to_columns = tf.where(tf.equal(tf.range(rows), row), column, to_columns)
        return step + 1, ranks, to_columns, tf.where(of_column, row, to_rows)

    _, _, to_columns, to_rows = tf.while_loop(
        lambda step, *_: step < count,
        match,
        (tf.constant(0), ranks, tf.fill([rows], -1), tf.fill([columns], -1)),
        shape_invariants=(
            tf.TensorShape([]),
            tf.TensorShape([None, None]),
            tf.TensorShape([None]),
            tf.TensorShape([None]),
        ),
    )
    return [to_columns, to_rows]


REPLACEMENTS = {
    "ImageConnectedComponents": Replacement(connected_components, "a loop that joins trees of runs of pixels"),
    "BipartiteMatch": Replacement(
        bipartite_match, "a loop over the matches, the nearest first, of equal ones the first"
    ),
}
