"""DecodeLibsvm of tf.contrib.libsvm: lines such as "1 3:0.5 7:2".

Source of truth: tensorflow/contrib/libsvm/ops/libsvm_ops.cc and kernels/decode_libsvm_op.cc of TensorFlow 1.15.
"""

import tensorflow as tf

from export_v1.passes.replacements.site import Replacement, Site


def decode_libsvm(site: Site, lines: tf.Tensor) -> list[tf.Tensor]:
    """Returns the label of each line, in the lines' shape, and indices, values and shape of all features, a sparse tensor.

    A line without a label, or with a feature that is not INDEX:VALUE, fails at run time. A plus sign before a number is
    let in, which the kernel refuses.

    Args:
        site: with `dtype`, `label_dtype` and `num_features`.
        lines: strings, of any shape but a scalar's.
    """
    flat, shape = tf.reshape(lines, [-1]), tf.shape(lines, tf.int64)
    split = tf.raw_ops.StringSplitV2(input=flat, sep=tf.constant(""), maxsplit=-1)
    line, entries = split.indices[:, 0], split.values
    is_label = tf.concat([tf.ones_like(line[:1], tf.bool), tf.not_equal(line[1:], line[:-1])], 0)
    labels = tf.boolean_mask(entries, is_label)
    with tf.control_dependencies([tf.debugging.assert_equal(tf.size(labels), tf.size(flat), "a line has no entry")]):
        line, features = (tf.boolean_mask(part, ~is_label) for part in (line, entries))
    parts = tf.raw_ops.StringSplitV2(input=features, sep=tf.constant(":"), maxsplit=-1)
    wanted = tf.repeat(tf.range(tf.size(features, tf.int64)), 2)
    in_two = tf.debugging.assert_equal(
        tf.concat([parts.indices[:, 0], [tf.size(features, tf.int64)]], 0),
        tf.concat([wanted, [tf.size(features, tf.int64)]], 0),
        "a feature is not INDEX:VALUE",
    )
    with tf.control_dependencies([in_two]):
        pairs = tf.reshape(parts.values, [-1, 2])
    # How many lines there are in one step along each axis.
    spans = tf.math.cumprod(shape, exclusive=True, reverse=True)
    places = line[:, tf.newaxis] // spans % shape
    numbers = tf.strings.to_number(pairs[:, 0], tf.int64)
    with tf.control_dependencies([tf.debugging.assert_non_negative(numbers, "a feature's index is negative")]):
        labels = tf.reshape(labels, shape)
    return [
        tf.strings.to_number(labels, site.attr("label_dtype")),
        tf.concat([places, numbers[:, tf.newaxis]], 1),
        tf.strings.to_number(pairs[:, 1], site.attr("dtype")),
        tf.concat([shape, [site.attr("num_features")]], 0),
    ]


REPLACEMENTS = {"DecodeLibsvm": Replacement(decode_libsvm, "splits of strings, and numbers of their parts")}
