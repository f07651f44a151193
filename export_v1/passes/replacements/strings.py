"""ReinterpretStringToFloat, by which tf.contrib.tensor_forest makes numbers of categories.

Source of truth: tensorflow/contrib/tensor_forest/kernels/reinterpret_string_to_float_op.cc of TensorFlow 1.15, which
hashes with std::hash, and that is MurmurHash64A in the C++ library that TensorFlow's wheels for Linux were built with.
"""

import tensorflow as tf

from export_v1.passes.replacements.site import Replacement, Site

_MULTIPLIER = 0xC6A4A7935BD1E995
_SEED = 0xC70F6907


def reinterpret_string_to_float(site: Site, strings: tf.Tensor) -> tf.Tensor:
    """Returns the hash of each string, as float32.

    Args:
        site: unused.
        strings: of any shape.
    """
    flat = tf.reshape(strings, [-1])
    lengths = tf.strings.length(flat)
    words = tf.reduce_max(tf.concat([lengths, [0]], 0)) // 8 + 1
    # All strings at once, padded with zeros: a string that has ended leaves its hash alone.
    padded = tf.reshape(tf.io.decode_raw(flat, tf.uint8, fixed_length=8 * words), [-1, words, 8])
    shifts = tf.constant([0, 8, 16, 24, 32, 40, 48, 56], tf.uint64)
    read = tf.reduce_sum(tf.bitwise.left_shift(tf.cast(padded, tf.uint64), shifts), -1)
    multiplier = tf.constant(_MULTIPLIER, tf.uint64)

    def mixed(value):
        return tf.bitwise.bitwise_xor(value, tf.bitwise.right_shift(value, tf.constant(47, tf.uint64)))

    def step(at, hashed):
        word = read[:, at]
        is_whole = at < lengths // 8
        has_rest = tf.equal(at, lengths // 8) & (lengths % 8 > 0)
        word = tf.where(is_whole, mixed(word * multiplier) * multiplier, word)
        new = tf.bitwise.bitwise_xor(hashed, word) * multiplier
        return at + 1, tf.where(is_whole | has_rest, new, hashed)

    seed = tf.constant(_SEED, tf.uint64)
    first = tf.bitwise.bitwise_xor(seed, tf.cast(lengths, tf.uint64) * multiplier)
    _, hashed = tf.while_loop(
        lambda at, _: at < words,
        step,
        (tf.constant(0), first),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None])),
    )
    hashed = mixed(mixed(hashed) * multiplier)
    return tf.reshape(tf.cast(hashed, tf.float32), tf.shape(strings))


REPLACEMENTS = {"ReinterpretStringToFloat": Replacement(reinterpret_string_to_float, "MurmurHash64A, word by word")}
