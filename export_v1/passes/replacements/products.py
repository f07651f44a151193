"""Two ops of tf.contrib.factorization, and FusedConv2DBiasActivation of tf.contrib.fused_conv.

Source of truth: tensorflow/contrib/factorization/kernels/masked_matmul_ops.cc and wals_solver_ops.cc, and
contrib/fused_conv/ops/fused_conv2d_bias_activation_op.cc of TensorFlow 1.15.
"""

import tensorflow as tf

from export_v1 import errors
from export_v1.passes.replacements.site import Replacement, Site


def masked_matmul(
    site: Site,
    a: tf.Tensor,
    b: tf.Tensor,
    mask_indices: tf.Tensor,
    transpose_a: tf.Tensor,
    transpose_b: tf.Tensor,
) -> tf.Tensor:
    """Returns some elements of a matrix product, [elements].

    Args:
        site: unused.
        a: matrix, float32.
        b: matrix, float32.
        mask_indices: row and column of each element that is wanted, [elements, 2].
        transpose_a: scalar; whether a is to be transposed first.
        transpose_b: scalar; whether b is to be transposed first.
    """
    rows = tf.cond(tf.reshape(transpose_a, []), lambda: tf.transpose(a), lambda: tf.identity(a))
    columns = tf.cond(tf.reshape(transpose_b, []), lambda: tf.identity(b), lambda: tf.transpose(b))
    picked = tf.gather(rows, mask_indices[:, 0]), tf.gather(columns, mask_indices[:, 1])
    return tf.reduce_sum(picked[0] * picked[1], 1)


def wals_partial_lhs_and_rhs(
    site: Site,
    factors: tf.Tensor,
    factor_weights: tf.Tensor,
    unobserved_weight: tf.Tensor,
    input_weights: tf.Tensor,
    input_indices: tf.Tensor,
    input_values: tf.Tensor,
    entry_weights: tf.Tensor,
    input_block_size: tf.Tensor,
    input_is_transpose: tf.Tensor,
) -> list[tf.Tensor]:
    """Returns both sides of the equations that the factors of each row solve: [rows, k, k] and [rows, k].

    Args:
        site: unused.
        factors: of the columns, [columns, k], float32.
        factor_weights: of the columns, [columns]; empty where entries have weights of their own.
        unobserved_weight: of what has no entry, scalar.
        input_weights: of the rows, [rows]; empty where entries have weights of their own.
        input_indices: row and column of each entry, [entries, 2], int64.
        input_values: [entries].
        entry_weights: [entries]; empty where rows and columns have weights.
        input_block_size: how many rows there are, scalar, int64.
        input_is_transpose: scalar; whether rows and columns change places.
    """
    transposed = tf.reshape(input_is_transpose, [])
    rows = tf.where(transposed, input_indices[:, 1], input_indices[:, 0])
    columns = tf.where(transposed, input_indices[:, 0], input_indices[:, 1])
    weights = tf.cond(
        tf.size(entry_weights) > 0,
        lambda: tf.identity(entry_weights),
        lambda: tf.gather(input_weights, rows) * tf.gather(factor_weights, columns),
    )
    factors, count = tf.gather(factors, columns), tf.reshape(input_block_size, [])
    weighted = factors * weights[:, tf.newaxis]
    products = weighted[:, :, tf.newaxis] * factors[:, tf.newaxis]
    right = factors * (input_values * (tf.reshape(unobserved_weight, []) + weights))[:, tf.newaxis]
    return [tf.math.unsorted_segment_sum(side, rows, count) for side in (products, right)]


def fused_conv(
    site: Site,
    conv_input: tf.Tensor,
    filters: tf.Tensor,
    bias: tf.Tensor,
    side_input: tf.Tensor,
    conv_input_scale: tf.Tensor,
    side_input_scale: tf.Tensor,
) -> tf.Tensor:
    """Returns a convolution, scaled, plus a side input, scaled, plus a bias, and the positive part of that.

    Of 8-bit numbers the sum is rounded, half to even, and kept within 8 bits.

    Args:
        site: with `strides`, `padding`, `dilations`, `data_format`, `filter_format` and `activation_mode`.
        conv_input: images, [batch, height, width, channels] or [batch, channels, height, width].
        filters: [height, width, in, out] or [out, in, height, width].
        bias: [out].
        side_input: of the result's shape, or with no elements for none.
        conv_input_scale: scalar.
        side_input_scale: scalar.
    """
    formats = site.attr("data_format").decode(), site.attr("filter_format").decode()
    if any("VECT" in layout for layout in formats):
        raise errors.ExportError(
            f"Node {site.node.name!r} ({site.node.op}) cannot be replaced: its layouts are {' and '.join(formats)}, "
            "which no CPU has a kernel for, in TensorFlow 1 or 2.\n"
            "  Cut the graph after it with --input=KEY=TENSOR."
        )
    dtype, is_relu = conv_input.dtype, site.attr("activation_mode") == b"Relu"
    if not dtype.is_floating:
        # Sums of products of 8-bit numbers are exact in 64 bits.
        conv_input, filters = (tf.cast(tf.bitcast(numbers, tf.int8), tf.float64) for numbers in (conv_input, filters))
        side_input = tf.cast(tf.bitcast(side_input, tf.int8), tf.float32)
    is_first = formats[0] == "NCHW"
    strides, dilations = (list(site.attr(name)) for name in ("strides", "dilations"))
    if formats[1] == "OIHW":
        filters = tf.transpose(filters, [2, 3, 1, 0])
    if is_first:
        # No CPU convolves images whose channels come first.
        conv_input, side_input = (_channels_last(images) for images in (conv_input, side_input))
        strides, dilations = ([sizes[0], *sizes[2:], sizes[1]] for sizes in (strides, dilations))
    result = tf.nn.conv2d(conv_input, filters, strides, site.attr("padding").decode(), dilations=dilations)
    result = tf.cast(result, side_input.dtype)
    result *= tf.cast(conv_input_scale, result.dtype)
    side = tf.cast(side_input_scale, result.dtype) * side_input
    has_side = tf.size(side_input) > 0
    result += tf.cond(has_side, lambda: side, lambda: tf.zeros_like(result))
    result += tf.cast(bias, result.dtype)
    if not dtype.is_floating:
        result = tf.clip_by_value(tf.round(result), 0 if is_relu else -128, 127)
        result = tf.bitcast(tf.cast(result, tf.int8), dtype)
    elif is_relu:
        result = tf.nn.relu(result)
    return tf.transpose(result, [0, 3, 1, 2]) if is_first else result


def _channels_last(images: tf.Tensor) -> tf.Tensor:
    """Returns images with their channels last; a tensor of another rank, which holds none, as it is."""
    rank = tf.rank(images)
    return tf.transpose(images, tf.where(tf.equal(rank, 4), [0, 2, 3, 1], [0, 1, 2, 3])[:rank])


REPLACEMENTS = {
    "MaskedMatmul": Replacement(masked_matmul, "gathers, and sums of their products"),
    "WALSComputePartialLhsAndRhs": Replacement(wals_partial_lhs_and_rhs, "gathers, and sums of their products by row"),
    "FusedConv2DBiasActivation": Replacement(fused_conv, "Conv2D, a sum, and Relu; in 8 bits with rounding"),
}
