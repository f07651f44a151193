"""Convolutions: plain, depthwise, separable, transposed, along one axis, dilated."""

import numpy as np

from export_v1.ir.graph import Tensor
from load_v2.opening.context import Context
from load_v2.opening.patterns import axes
from load_v2.opening.patterns.linear import Linear
from load_v2.opening.patterns.pattern import Missed

_PLAIN = {"Conv2D": 2, "DepthwiseConv2dNative": 2, "Conv3D": 3}
_TRANSPOSED = {"Conv2DBackpropInput": 2, "Conv3DBackpropInputV2": 3}
_CHANNELS_LAST = (b"", b"NHWC", b"NDHWC")


def convolution(context: Context, tensor: Tensor) -> Linear | None:
    """Returns the convolution of data with a kernel that makes a tensor.

    Raises:
        Missed: it is one that no layer of Keras does.
    """
    op = context.op(tensor)
    if op in _PLAIN:
        return _separable(context, tensor, _plain(context, tensor))
    if op in _TRANSPOSED:
        return _transposed(context, tensor)
    if op == "ConcatV2":
        return _in_groups(context, tensor)
    if op in {"Squeeze", "Reshape"}:
        return _along_one_axis(context, tensor)
    return _dilated(context, tensor) if op == "BatchToSpaceND" else None


def _common(context: Context, tensor: Tensor, kernel: Tensor, data: Tensor, dimensions: int) -> dict | None:
    if context.is_data(kernel) or not context.is_data(data):
        return None
    if context.graph.attr(tensor, "data_format").s not in _CHANNELS_LAST:
        raise Missed("its channels are not the last axis")
    padding = context.graph.attr(tensor, "padding").s.decode().lower()
    if padding not in ("same", "valid"):
        raise Missed(f"its padding is {padding}")
    strides = tuple(context.graph.attr(tensor, "strides").list.i)[1 : 1 + dimensions]
    dilations = tuple(context.graph.attr(tensor, "dilations").list.i)[1 : 1 + dimensions]
    return {
        "strides": None if set(strides) == {1} else _short(strides),
        "padding": None if padding == "valid" else padding,
        "dilation_rate": None if set(dilations) <= {1} else _short(dilations),
    }


def _short(sizes: tuple[int, ...]) -> int | tuple[int, ...]:
    return sizes[0] if len(set(sizes)) == 1 else sizes


def _plain(context: Context, tensor: Tensor) -> Linear | None:
    op, (data, weights) = context.op(tensor), context.sources(tensor)
    dimensions = _PLAIN[op]
    options = _common(context, tensor, weights, data, dimensions)
    if options is None:
        return None
    kernel = context.values.value(weights)
    size = _short(kernel.shape[:dimensions])
    if op == "DepthwiseConv2dNative":
        multiplier = None if kernel.shape[3] == 1 else kernel.shape[3]
        channels = kernel.shape[2] * kernel.shape[3]
        options = {"depth_multiplier": multiplier, **options}
        return Linear("DepthwiseConv2D", data, ((kernel, weights),), channels, (tensor,), (size,), options)
    shape = context.graph.shape(data)
    if shape is None or shape[-1] is None:
        raise Missed("the number of channels that come in is not known")
    if shape[-1] != kernel.shape[-2]:
        options["groups"] = shape[-1] // kernel.shape[-2]
    filters = kernel.shape[-1]
    return Linear(f"Conv{dimensions}D", data, ((kernel, weights),), filters, (tensor,), (filters, size), options)


def _in_groups(context: Context, tensor: Tensor) -> Linear | None:
    """Returns convolutions of equal parts of the channels, whose results stand side by side, as one in groups."""
    *parts, axis = context.sources(tensor)
    rank, at = context.graph.rank(tensor), context.values.number(axis)
    if len(parts) < 2 or rank is None or at not in (-1, rank - 1):
        return None
    found = [
        _plain(context, part) if context.op(part) in ("Conv2D", "Conv3D") and context.read_once(part) else None
        for part in parts
    ]
    first = found[0]
    if first is None:
        return None
    whole = _divided(context, first.source, len(parts))
    if whole is None:
        return None
    wanted = Tensor(first.source.node)
    for number, part in enumerate(found):
        if part is None or part.source != Tensor(wanted.node, number):
            return None
        if (part.arguments, part.options) != (first.arguments, first.options) or part.options.get("groups"):
            return None
    kernels = [kernel for part in found if part is not None for kernel in part.kernels]
    filters = first.channels * len(parts)
    value = np.concatenate([kernel for kernel, _ in kernels], -1)
    return Linear(
        first.kind,
        whole,
        ((value, kernels[0][1]),),
        filters,
        (tensor, *parts, *(part.source for part in found if part is not None)),
        (filters, *first.arguments[1:]),
        {**first.options, "groups": len(parts)},
        tuple(source for _, source in kernels[1:]),
    )


def _divided(context: Context, part: Tensor, count: int) -> Tensor | None:
    """Returns the tensor whose channels a node divides into so many equal parts, each read once."""
    op, sources = context.op(part), context.sources(part)
    if op not in ("Split", "SplitV") or not all(context.read_once(Tensor(part.node, at)) for at in range(count)):
        return None
    whole, axis = (sources[1], sources[0]) if op == "Split" else (sources[0], sources[2])
    shape, at = context.graph.shape(whole), context.values.number(axis)
    channels = shape[-1] if shape else None
    if shape is None or channels is None or at not in (-1, len(shape) - 1):
        return None
    sizes = [context.graph.shape(Tensor(part.node, number)) for number in range(count)]
    return whole if all(size is not None and size[-1] == channels / count for size in sizes) else None


def _separable(context: Context, tensor: Tensor, last: Linear | None) -> Linear | None:
    """Returns a depthwise convolution and the product of channels after it as one layer, if they were made as one."""
    if last is None or last.kind != "Conv2D" or last.kernels[0][0].shape[:2] != (1, 1):
        return last
    if last.options.get("strides") or last.options.get("groups") or not context.read_once(last.source):
        return last
    if context.op(last.source) != "DepthwiseConv2dNative":
        return last
    first = _plain(context, last.source)
    if first is None or context.scope_of(first.kernels[0][1]) != context.scope_of(last.kernels[0][1]):
        return last
    return Linear(
        "SeparableConv2D", first.source, (first.kernels[0], last.kernels[0]), last.channels, (tensor, last.source),
        (last.channels, *first.arguments), first.options,
    )  # fmt: skip


def _transposed(context: Context, tensor: Tensor) -> Linear | None:
    shape, weights, data = context.sources(tensor)
    dimensions = _TRANSPOSED[context.op(tensor)]
    options = _common(context, tensor, weights, data, dimensions)
    if options is None:
        return None
    kernel = context.values.value(weights)
    strides = tuple(context.graph.attr(tensor, "strides").list.i)[1 : 1 + dimensions]
    before, after = context.sizes.shape(data), context.sizes.array(shape)
    if before is None or after is None:
        raise Missed("the size that comes out is not known")
    for axis, (step, window) in enumerate(zip(strides, kernel.shape, strict=False), 1):
        old, new = before[axis], after[axis]
        natural = (
            old * step + (max(window - step, 0) if options["padding"] is None else 0) if isinstance(old, int) else None
        )
        if natural is not None and isinstance(new, int) and new != natural:
            raise Missed(f"it gives size {new} on axis {axis}, where Keras's layer gives {natural}")
    filters, size = kernel.shape[-2], _short(kernel.shape[:dimensions])
    kind = f"Conv{dimensions}DTranspose"
    return Linear(kind, data, ((kernel, weights),), filters, (tensor,), (filters, size), options)


def _along_one_axis(context: Context, tensor: Tensor) -> Linear | None:
    source = context.sources(tensor)[0]
    if context.op(source) != "Conv2D" or not context.read_once(source):
        return None
    return along_one_axis(context, tensor, _plain(context, source))


def along_one_axis(context: Context, tensor: Tensor, inner: Linear | None) -> Linear | None:
    """Returns a Conv1D, which TensorFlow 1 computes as a Conv2D over an axis of size one.

    Args:
        context: of the graph.
        tensor: what is left when that axis is dropped.
        inner: the Conv2D.
    """
    if inner is None or inner.kind != "Conv2D":
        return None
    added = axes.added(context, inner.source)
    kernel, weights = inner.kernels[0]
    if added is None or added.at not in (1, 2) or axes.dropped(context, tensor) != added.at:
        return None
    if kernel.shape[added.at - 1] != 1:
        return None
    kept = 2 - added.at
    options = {
        key: value[kept] if isinstance(value, tuple) else value for key, value in inner.options.items()
    }  # fmt: skip
    squeezed = np.squeeze(kernel, added.at - 1)
    arguments = (inner.channels, squeezed.shape[0])
    inside = (*inner.inside, tensor, *added.inside)
    return Linear("Conv1D", added.source, ((squeezed, weights),), inner.channels, inside, arguments, options)


def _dilated(context: Context, tensor: Tensor) -> Linear | None:
    """Returns a dilated convolution, which TensorFlow 1 computes by moving space into the batch and back."""
    source, *settings = context.sources(tensor)
    if not context.read_once(source):
        return None
    inner = convolution(context, source)
    if inner is None or inner.kind not in ("Conv1D", "Conv2D", "Conv3D", "DepthwiseConv2D"):
        return None
    spread = inner.source
    if context.op(spread) != "SpaceToBatchND":
        return None
    data, blocks, paddings = context.sources(spread)
    rates = context.static(blocks, "the dilation")
    kernel = inner.kernels[0][0]
    padded, cropped = context.sizes.array(paddings), context.sizes.array(settings[1])
    if inner.options.get("padding") or inner.options.get("strides"):
        raise Missed("the convolution inside pads or strides by itself")
    same = True
    if padded is not None and cropped is not None:
        needed = [(size - 1) * int(rate) for size, rate in zip(kernel.shape, rates, strict=False)]
        before = [row[0] for row in padded]
        same = before == [amount // 2 for amount in needed] and any(needed)
        if not same and before != [0] * len(before):
            raise Missed("its padding is neither that of SAME nor none")
    rate = _short(tuple(int(size) for size in rates))
    inside = (spread,) if context.read_once(spread) else ()
    return inner.with_source(data, tensor, *inside, dilation_rate=rate, padding="same" if same else None)
