"""Small ops that are others under an old name, or a few others: Fourier transforms, quantized relu, packed bits.

Source of truth: tensorflow/core/ops/spectral_ops.cc, core/kernels/quantized_activation_ops.cc and
core/kernels/compare_and_bitpack_op.cc of TensorFlow 1.15.
"""

from collections.abc import Callable

import tensorflow as tf

from export_v1.passes.replacements.site import Replacement, Site


def _transform(function: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[Site, tf.Tensor], tf.Tensor]:
    return lambda site, x: function(x)


def quantized_relu_x(
    site: Site, features: tf.Tensor, max_value: tf.Tensor, min_features: tf.Tensor, max_features: tf.Tensor
) -> list[tf.Tensor]:
    """Returns quantized features between what 0 and `max_value` are quantized to, and the range as it was."""
    low, high = (
        _quantized(value, min_features, max_features, features.dtype)
        for value in (tf.zeros([]), tf.reshape(max_value, []))
    )
    clipped = tf.clip_by_value(tf.cast(tf.cast(features, tf.int32), tf.int64), low, high)
    return [tf.cast(tf.cast(clipped, tf.int32), site.attr("out_type")), min_features, max_features]


def _quantized(value: tf.Tensor, low: tf.Tensor, high: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Returns what a number is among the quantized numbers of a range, as int64."""
    value, low, high = (tf.cast(tf.reshape(number, []), tf.float64) for number in (value, low, high))
    # "quint8" are the numbers of "uint8".
    numbers = tf.as_dtype(dtype.name.replace("q", ""))
    steps = 2.0 ** (8 * dtype.size)
    scale = (steps - 1) / (high - low)

    def away_from_zero(x):
        return tf.sign(x) * tf.floor(tf.abs(x) + 0.5)

    quantized = tf.cast(away_from_zero(value * scale) - away_from_zero(low * scale), tf.int64) + numbers.min
    return tf.clip_by_value(quantized, numbers.min, numbers.max)


def compare_and_bitpack(site: Site, x: tf.Tensor, threshold: tf.Tensor) -> tf.Tensor:
    """Returns, for eight elements after each other along the last axis, one byte: which are above a threshold.

    Args:
        site: unused.
        x: […, 8 * bytes].
        threshold: scalar.

    Returns:
        […, bytes], uint8; the first element is the highest bit.
    """
    above = x if x.dtype == tf.bool else x > threshold
    shape = tf.concat([tf.shape(x)[:-1], [tf.shape(x)[-1] // 8, 8]], 0)
    bits = tf.cast(tf.reshape(above, shape), tf.int32)
    return tf.cast(tf.reduce_sum(bits * [128, 64, 32, 16, 8, 4, 2, 1], -1), tf.uint8)


REPLACEMENTS = {
    "BatchFFT": Replacement(_transform(tf.signal.fft), "FFT"),
    "BatchIFFT": Replacement(_transform(tf.signal.ifft), "IFFT"),
    "BatchFFT2D": Replacement(_transform(tf.signal.fft2d), "FFT2D"),
    "BatchIFFT2D": Replacement(_transform(tf.signal.ifft2d), "IFFT2D"),
    "BatchFFT3D": Replacement(_transform(tf.signal.fft3d), "FFT3D"),
    "BatchIFFT3D": Replacement(_transform(tf.signal.ifft3d), "IFFT3D"),
    "QuantizedReluX": Replacement(quantized_relu_x, "a clip"),
    "CompareAndBitpack": Replacement(compare_and_bitpack, "a comparison and a sum of bits"),
}
