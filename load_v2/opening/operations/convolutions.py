"""Convolutions, pooling and batch statistics without a layer: kernels that are computed, moments of the batch."""

import numpy as np

from export_v1.ir import ops
from export_v1.ir.graph import Tensor
from load_v2.opening.context import Context, Refused, called, operand
from load_v2.opening.expressions import Binary, Expression, Item, Literal, Slice, call
from load_v2.opening.operations.registry import translates

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


@translates("Conv2DBackpropInput", "Conv3DBackpropInputV2")
def _transposed(context: Context, tensor: Tensor) -> Expression:
    """A transposed convolution of any size: all of it, of which the size that is wanted is cut out."""
    shape_tensor, kernel, data = context.sources(tensor)
    padding = _padding(context, tensor)
    given, windows, wanted = context.graph.shape(data), context.graph.shape(kernel), context.sizes.array(shape_tensor)
    if given is None or windows is None or wanted is None:
        raise Refused("the sizes that go in and come out are not known")
    count = len(given) - 2
    strides = tuple(context.graph.attr(tensor, "strides").list.i)[1 : 1 + count]
    if context.is_data(kernel) or context.inside_call:
        raise Refused("its kernel is computed, and ops.conv_transpose fails on symbolic tensors in Keras 3.15")
    value = context.values.value(kernel)
    layer = context.layer(
        f"Conv{count}DTranspose", context.scope_of(kernel), [(value, (kernel,))], (value.shape[-2], value.shape[:count]),
        {"strides": strides, "use_bias": False},
    )  # fmt: skip
    whole = called(layer, data)
    cuts: list[Expression] = [Slice()]
    missing = [[0, 0]]
    for axis in range(1, 1 + count):
        old, window, step, new = given[axis], windows[axis - 1], strides[axis - 1], wanted[axis]
        if old is None or window is None or not isinstance(new, int):
            raise Refused("the sizes that go in and come out are not known")
        before = max((old - 1) * step + window - new, 0) // 2 if padding == "same" else 0
        reached = old * step + max(window - step, 0)
        cuts.append(Slice(before or None, before + new if before + new < reached else None))
        missing.append([0, max(before + new - reached, 0)])
    cut = whole if all(part == Slice() for part in cuts) else Item(whole, tuple(cuts))
    return call("ops.pad", cut, [*missing, [0, 0]]) if any(after for _, after in missing) else cut


@translates("ExtractImagePatches")
def _patches(context: Context, tensor: Tensor) -> Expression:
    sizes, strides, rates = (
        tuple(context.graph.attr(tensor, key).list.i)[1:3] for key in ("ksizes", "strides", "rates")
    )
    padding = context.graph.attr(tensor, "padding").s.decode().lower()
    return call(
        "ops.image.extract_patches", operand(context.sources(tensor)[0]), sizes, strides=strides,
        dilation_rate=None if rates == (1, 1) else rates, padding=padding,
    )  # fmt: skip
