"""Ops that TensorFlow took out of GraphDefs long ago: graphs of that time still import, but nothing takes them after that.

Source of truth: the op's definition, which names the version of its end, and its kernel, in TensorFlow 1.15.
"""

from collections.abc import Callable

import tensorflow as tf

from export_v1.ir import graph
from export_v1.passes.replacements.site import Replacement, Site


def _renamed(new: str) -> Callable[..., object]:
    """Returns a builder of the op `new`, which has the same inputs, attributes and outputs."""

    def build(site: Site, *inputs: tf.Tensor):
        definition = graph.registered(new)
        inferred = {argument.type_attr for argument in definition.input_arg}
        names = [argument.name for argument in definition.input_arg]
        attrs = {attr.name: site.attr(attr.name) for attr in definition.attr if attr.name not in inferred}
        outputs = getattr(tf.raw_ops, new)(**dict(zip(names, inputs, strict=True)), **attrs)
        return outputs if tf.is_tensor(outputs) else list(outputs)

    return build


def adjust_contrast(
    site: Site, images: tf.Tensor, contrast_factor: tf.Tensor, min_value: tf.Tensor, max_value: tf.Tensor
) -> tf.Tensor:
    """Returns images with each channel's distance from its mean multiplied, within limits; float32."""
    images = tf.cast(images, tf.float32)
    adjusted = tf.raw_ops.AdjustContrastv2(images=images, contrast_factor=contrast_factor)
    return tf.maximum(tf.minimum(adjusted, max_value), min_value)


def batch_norm(site: Site, t: tf.Tensor, m: tf.Tensor, v: tf.Tensor, beta: tf.Tensor, gamma: tf.Tensor) -> tf.Tensor:
    """Returns a tensor normalized over all axes but the last, by a mean and a variance that are given."""
    scale = tf.math.rsqrt(v + tf.constant(site.attr("variance_epsilon"), t.dtype))
    if site.attr("scale_after_normalization"):
        scale *= gamma
    return (t - m) * scale + beta


def self_adjoint_eig(site: Site, x: tf.Tensor) -> tf.Tensor:
    """Returns, above each other, a row of eigenvalues and a matrix whose columns are the eigenvectors."""
    values, vectors = tf.linalg.eigh(x)
    return tf.concat([values[..., tf.newaxis, :], vectors], -2)


def quantize_and_dequantize(site: Site, x: tf.Tensor) -> tf.Tensor:
    """Returns numbers rounded to those that can be quantized, the range being an attribute."""
    return tf.raw_ops.QuantizeAndDequantizeV2(
        input=x,
        input_min=tf.constant(site.attr("input_min"), x.dtype),
        input_max=tf.constant(site.attr("input_max"), x.dtype),
        signed_input=site.attr("signed_input"),
        num_bits=site.attr("num_bits"),
        range_given=site.attr("range_given"),
    )


def top_k(site: Site, x: tf.Tensor) -> list[tf.Tensor]:
    """Returns the largest elements of each row and where they are; how many is an attribute."""
    return list(tf.math.top_k(x, k=site.attr("k"), sorted=site.attr("sorted")))


_OLD = (
    "Cholesky", "MatrixBandPart", "MatrixDeterminant", "MatrixDiag", "MatrixDiagPart", "MatrixInverse", "MatrixSetDiag",
    "MatrixSolve", "MatrixSolveLs", "MatrixTriangularSolve", "SelfAdjointEigV2", "Svd",
)  # fmt: skip
REPLACEMENTS = {
    **{f"Batch{new}": Replacement(_renamed(new), new) for new in _OLD},
    "AdjustContrast": Replacement(adjust_contrast, "AdjustContrastv2 and limits"),
    "BatchNormWithGlobalNormalization": Replacement(batch_norm, "its equation"),
    "BatchSelfAdjointEig": Replacement(self_adjoint_eig, "SelfAdjointEigV2"),
    "SelfAdjointEig": Replacement(self_adjoint_eig, "SelfAdjointEigV2"),
    "QuantizeAndDequantize": Replacement(quantize_and_dequantize, "QuantizeAndDequantizeV2"),
    "TopK": Replacement(top_k, "TopKV2"),
}
