"""Convolutions, pooling and batch statistics without a layer: kernels that are computed, moments of the batch."""

import numpy as np

from export_v1.ir import ops
from export_v1.ir.graph import Tensor
from load_v2.rebuild.context import Context, Refused, operand
from load_v2.rebuild.expressions import Binary, Expression, Item, Literal, call
from load_v2.rebuild.operations.registry import translates

_DIMENSIONS = {"Conv2D": 2, "DepthwiseConv2dNative": 2, "Conv3D": 3, "MaxPool": 2, "AvgPool": 2, "MaxPool3D": 3,
               "AvgPool3D": 3}  # fmt: skip
_FUNCTIONS = {"Conv2D": "conv", "Conv3D": "conv", "DepthwiseConv2dNative": "depthwise_conv", "MaxPool": "max_pool",
              "MaxPool3D": "max_pool", "AvgPool": "average_pool", "AvgPool3D": "average_pool"}  # fmt: skip


def _inner(context: Context, tensor: Tensor, key: str) -> tuple[int, ...]:
    return tuple(context.graph.attr(tensor, key).list.i)[1 : 1 + _DIMENSIONS[context.op(tensor)]]


def _padding(context: Context, tensor: Tensor) -> str:
    if context.graph.attr(tensor, "data_format").s not in (b"", b"NHWC", b"NDHWC"):
        raise Refused("its channels are not the last axis")
    padding = context.graph.attr(tensor, "padding").s.decode().lower()
    if padding not in ("same", "valid"):
        raise Refused(f"its padding is {padding}")
    return padding


@translates("Conv2D", "Conv3D", "DepthwiseConv2dNative")
def _convolution(context: Context, tensor: Tensor) -> Expression:
    padding = _padding(context, tensor)
    strides, rates = _inner(context, tensor, "strides"), _inner(context, tensor, "dilations")
    options = {
        "strides": None if set(strides) == {1} else strides,
        "padding": None if padding == "valid" else padding,
        "dilation_rate": None if set(rates) <= {1} else rates,
    }
    return call(f"ops.{_FUNCTIONS[context.op(tensor)]}", *map(operand, context.sources(tensor)), **options)


@translates("MaxPool", "AvgPool", "MaxPool3D", "AvgPool3D")
def _pooling(context: Context, tensor: Tensor) -> Expression:
    padding = _padding(context, tensor)
    window, strides = _inner(context, tensor, "ksize"), _inner(context, tensor, "strides")
    if context.graph.attr(tensor, "ksize").list.i[-1] != 1:
        raise Refused("it pools over channels")
    name = _FUNCTIONS[context.op(tensor)]
    return call(f"ops.{name}", operand(context.sources(tensor)[0]), window, strides, padding)


@translates(*ops.BATCH_NORMS)
def _batch_norm(context: Context, tensor: Tensor) -> Expression:
    x, gamma, beta, mean, variance = context.sources(tensor)
    rank = context.graph.rank(x)
    if context.graph.attr(tensor, "data_format").s not in (b"", b"NHWC") or rank is None:
        raise Refused("its channels are not the last axis")
    axes = tuple(range(rank - 1))
    training = context.graph.attr(tensor, "is_training").b
    if tensor.index > 1 or (tensor.index == 1 and not training):
        raise Refused("what it keeps for its gradient is read")
    moments = call("ops.moments", operand(x), axes)
    if tensor.index == 1:
        return Item(moments, (Literal(0),))
    middle = Item(moments, (Literal(0),)) if training else operand(mean)
    spread = Item(moments, (Literal(1),)) if training else operand(variance)
    epsilon = float(str(np.float32(context.graph.attr(tensor, "epsilon").f)))
    scaled = Binary("*", Binary("-", operand(x), middle), call("ops.rsqrt", Binary("+", spread, Literal(epsilon))))
    return Binary("+", Binary("*", scaled, operand(gamma)), operand(beta))
