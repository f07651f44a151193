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
        tf.quantization.quantize(value, min_features, max_features, features.dtype, mode="MIN_FIRST").output
        for value in (tf.zeros([]), tf.reshape(max_value, []))
    )
    numbers = [tf.cast(value, tf.int32) for value in (features, low, high)]
    found = tf.minimum(tf.maximum(numbers[0], numbers[1]), numbers[2])
    return [tf.cast(found, site.attr("out_type")), min_features, max_features]


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
