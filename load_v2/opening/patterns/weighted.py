"""Dense and convolutions with their bias and their activation: the layers that most weights are in."""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from export_v1.ir import ops
from export_v1.ir.graph import Tensor
from load_v2.opening.context import Context, Piece, called
from load_v2.opening.patterns import convolution, dense, embedding
from load_v2.opening.patterns.linear import Linear

ACTIVATIONS = {
    "Relu": "relu", "Relu6": "relu6", "Elu": "elu", "Selu": "selu", "Sigmoid": "sigmoid", "Tanh": "tanh",
    "Softplus": "softplus", "Softsign": "softsign", "Softmax": "softmax",
}  # fmt: skip
_BIASES = ops.ADDS | {"BiasAdd"}
_PRODUCTS = frozenset(
    """MatMul BatchMatMul BatchMatMulV2 Conv2D Conv3D DepthwiseConv2dNative Conv2DBackpropInput Conv3DBackpropInputV2
    Squeeze BatchToSpaceND Reshape ConcatV2""".split()
)


class Weighted:
    """A product with a kernel, plus a bias, through an activation; the last two where they are there."""

    name: ClassVar[str] = "linear layer"
    roots: ClassVar[frozenset[str]] = frozenset(ACTIVATIONS) | _BIASES | _PRODUCTS

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the layer that ends in a tensor."""
        parts = found(context, tensor)
        if parts is None and context.op(tensor) in {"Reshape", "Squeeze"}:
            return self._reshaped_at_the_end(context, tensor)
        return None if parts is None else _piece(context, tensor, *parts)

    def _reshaped_at_the_end(self, context: Context, tensor: Tensor) -> Piece | None:
        """A Dense over many axes, or a Conv1D, whose second reshape stands behind bias and activation."""
        source = context.sources(tensor)[0]
        parts = found(context, source) if context.is_data(source) and context.read_once(source) else None
        if parts is None:
            return None
        inner, bias, activation, inside = parts
        whole = dense.over_many_axes(context, tensor, inner) or convolution.along_one_axis(context, tensor, inner)
        return None if whole is None else _piece(context, tensor, whole, bias, activation, [*inside, source])


def linear(context: Context, tensor: Tensor) -> Linear | None:
    """Returns the product with a kernel that makes a tensor, of whatever kind."""
    if not context.is_data(tensor):
        return None
    product = dense.product(context, tensor) or convolution.convolution(context, tensor)
    if product is None and context.op(tensor) == "Reshape":
        inner = context.sources(tensor)[0]
        if context.is_data(inner) and context.read_once(inner):
            return dense.over_many_axes(context, tensor, dense.product(context, inner))
    return product


def found(context: Context, tensor: Tensor) -> tuple[Linear, Tensor | None, str | None, list[Tensor]] | None:
    """Returns product, bias, activation, and the tensors between them."""
    activation, inside = None, []
    if context.op(tensor) in ACTIVATIONS:
        activation = ACTIVATIONS[context.op(tensor)]
        tensor = context.sources(tensor)[0]
        if not context.is_data(tensor) or not context.read_once(tensor):
            return None
        inside.append(tensor)
    whole = linear(context, tensor)
    if whole is not None:
        return whole, None, activation, inside
    for product, bias in _biased(context, tensor):
        whole = linear(context, product) if context.read_once(product) else None
        if whole is not None and _is_bias(context, bias, whole.channels):
            return whole, bias, activation, [*inside, product]
    return None


def _biased(context: Context, tensor: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    if context.op(tensor) not in _BIASES:
        return
    if context.op(tensor) == "BiasAdd" and context.graph.attr(tensor, "data_format").s == b"NCHW":
        return
    first, second = context.sources(tensor)
    for product, bias in ((first, second), (second, first)):
        if context.is_data(product) and not context.is_data(bias):
            yield product, bias


def _is_bias(context: Context, bias: Tensor, channels: int) -> bool:
    shape = context.graph.shape(bias)
    return shape is not None and shape[-1:] == (channels,) and all(size == 1 for size in shape[:-1])


def _piece(
    context: Context, tensor: Tensor, product: Linear, bias: Tensor | None, activation: str | None, inside: list[Tensor]
) -> Piece | None:
    matrix = product.kernels[0][1]
    is_shared = any(variable.name in context.without_bias for variable in context.values.variables(matrix))
    if is_shared and (bias is not None or activation is not None):
        return None
    if product.kind == "Dense" and embedding.is_tied(context, matrix):
        if bias is not None or activation is not None:
            return None
        layer = embedding.of_table(context, context.values.value(matrix), [matrix])
        return context.piece(
            tensor, called(layer, product.source, reverse=True), Weighted.name, [*product.inside, *inside]
        )
    (kernel, source), *others = product.kernels
    weights: list[tuple[np.ndarray, tuple[Tensor, ...]]] = [(kernel, (source, *product.joined))]
    weights += [(value, (source,)) for value, source in others]
    options = dict(product.options)
    if bias is None:
        options["use_bias"] = False
    else:
        weights.append((np.reshape(context.values.value(bias), -1), (bias,)))
    options["activation"] = activation
    dtype = context.graph.dtype(product.source)
    options["dtype"] = None if dtype == "float32" else dtype
    scope = context.scope_of(product.kernels[0][1])
    layer = context.layer(product.kind, scope, weights, product.arguments, options, flipped=product.flipped)
    return context.piece(tensor, called(layer, product.source), Weighted.name, [*product.inside, *inside])
