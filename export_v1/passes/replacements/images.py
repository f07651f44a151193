"""Resampler and its gradient, ImageProjectiveTransform and AdjustHsvInYiq of tf.contrib.

Source of truth: tensorflow/contrib/resampler/kernels/resampler_ops.cc, contrib/image/kernels/image_ops.h and
contrib/image/kernels/adjust_hsv_in_yiq_op.h of TensorFlow 1.15.
"""

import tensorflow as tf

from export_v1.passes.replacements.site import Replacement, Site


def resampler(site: Site, data: tf.Tensor, warp: tf.Tensor) -> tf.Tensor:
    """Returns images at points between their pixels, bilinearly; what is outside of an image counts as zeros.

    Args:
        site: unused.
        data: [batch, height, width, channels], of any float type.
        warp: points as x and y, [batch, …, 2].

    Returns:
        [batch, …, channels].
    """
    data = tf.ensure_shape(data, [None, None, None, None])
    batch, height, width, channels = (tf.shape(data)[axis] for axis in range(4))
    points = tf.reshape(warp, [batch, tf.reduce_prod(tf.shape(warp)[1:-1]), 2])
    x, y = points[:, :, 0], points[:, :, 1]
    inside = (x > -1) & (y > -1) & (x < tf.cast(width, x.dtype)) & (y < tf.cast(height, y.dtype))
    # A point outside reads zeros beside the image, and passes no gradient on.
    x, y = (tf.where(inside, part, tf.constant(-2, part.dtype)) for part in (x, y))
    left, top = tf.floor(x), tf.floor(y)
    right_part, bottom_part = x - left, y - top
    left_part, top_part = (left + 1) - x, (top + 1) - y
    column, row = tf.cast(left, tf.int32), tf.cast(top, tf.int32)
    framed = tf.pad(data, [[0, 0], [2, 1], [2, 1], [0, 0]])
    pixels = tf.reshape(framed, [batch * (height + 3) * (width + 3), channels])
    first = tf.range(batch)[:, tf.newaxis] * ((height + 3) * (width + 3))

    def pixel(row, column):
        return tf.gather(pixels, first + (row + 2) * (width + 3) + column + 2)

    sampled = tf.add_n(
        [
            (left_part * top_part)[:, :, tf.newaxis] * pixel(row, column),
            (right_part * bottom_part)[:, :, tf.newaxis] * pixel(row + 1, column + 1),
            (left_part * bottom_part)[:, :, tf.newaxis] * pixel(row + 1, column),
            (right_part * top_part)[:, :, tf.newaxis] * pixel(row, column + 1),
        ]
    )
    return tf.reshape(sampled, tf.concat([tf.shape(warp)[:-1], [channels]], 0))


def resampler_grad(site: Site, data: tf.Tensor, warp: tf.Tensor, grad_output: tf.Tensor) -> list[tf.Tensor]:
    """Returns the gradients of `resampler` by its data and its points."""
    gradients = tf.gradients(resampler(site, data, warp), [data, warp], [grad_output])
    return [tf.convert_to_tensor(gradient) for gradient in gradients]


def image_projective_transform(site: Site, images: tf.Tensor, transforms: tf.Tensor) -> tf.Tensor:
    """Returns images of the same size, each taken through its projective transform.

    Args:
        site: with `interpolation`.
        images: [batch, height, width, channels].
        transforms: [batch, 8], or [1, 8] for all of them.
    """
    sizes = tf.shape(images)[1:3]
    transformed = tf.raw_ops.ImageProjectiveTransformV2(
        images=images,
        transforms=transforms,
        # It takes no size of zero, which images without rows or columns have.
        output_shape=tf.maximum(sizes, 1),
        interpolation=site.attr("interpolation"),
    )
    return transformed[:, : sizes[0], : sizes[1]]


# From red, green and blue to YIQ, and back.
_TO_YIQ = [[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]]
_FROM_YIQ = [[1.0, 0.95617069, 0.62143257], [1.0, -0.2726886, -0.64681324], [1.0, -1.103744, 1.70062309]]


def adjust_hsv_in_yiq(
    site: Site, images: tf.Tensor, delta_h: tf.Tensor, scale_s: tf.Tensor, scale_v: tf.Tensor
) -> tf.Tensor:
    """Returns images with their hue turned and their saturation and value scaled, as a linear map of YIQ.

    Args:
        site: unused.
        images: […, 3], float32.
        delta_h: angle, scalar.
        scale_s: scalar.
        scale_v: scalar.
    """
    cosine, sine = (scale_v * scale_s * turned for turned in (tf.cos(delta_h), tf.sin(delta_h)))
    zero = tf.zeros([])
    rows = [[scale_v, zero, zero], [zero, cosine, -sine], [zero, sine, cosine]]
    turn = tf.stack([tf.stack([tf.reshape(number, []) for number in row]) for row in rows])
    matrix = tf.constant(_FROM_YIQ) @ turn @ tf.constant(_TO_YIQ)
    flat = tf.reshape(images, [-1, 3])
    return tf.reshape(tf.matmul(flat, matrix, transpose_b=True), tf.shape(images))


REPLACEMENTS = {
    "Resampler": Replacement(resampler, "four gathers and their weighted sum"),
    "ResamplerGrad": Replacement(resampler_grad, "the gradient of four gathers"),
    "ImageProjectiveTransform": Replacement(image_projective_transform, "ImageProjectiveTransformV2"),
    "AdjustHsvInYiq": Replacement(adjust_hsv_in_yiq, "a product with a matrix"),
}
