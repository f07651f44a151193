"""Pooling, global pooling, and zero padding of images and sequences."""

from typing import ClassVar

from export_v1.ir.graph import Tensor
from load_v2.opening.context import Context, Piece, called, operand
from load_v2.opening.expressions import Binary, Expression, Item, Literal, Slice, call
from load_v2.opening.patterns import axes
from load_v2.opening.patterns.pattern import Missed

_POOLS = {"MaxPool": ("MaxPooling", 2), "AvgPool": ("AveragePooling", 2), "MaxPool3D": ("MaxPooling", 3),
          "AvgPool3D": ("AveragePooling", 3)}  # fmt: skip


class Pooling:
    """The largest or the mean of each window."""

    name: ClassVar[str] = "pooling"
    roots: ClassVar[frozenset[str]] = frozenset(_POOLS) | {"Squeeze", "Reshape"}

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the layer that ends in a tensor."""
        if context.op(tensor) not in _POOLS:
            return self._along_one_axis(context, tensor)
        kind, dimensions = _POOLS[context.op(tensor)]
        window, options = self._settings(context, tensor, dimensions)
        source = context.sources(tensor)[0]
        uneven = _uneven(context, source, window, options) if kind == "AveragePooling" else None
        if uneven is not None:
            return context.piece(tensor, _averages(source, window, options, uneven), self.name)
        layer = context.layer(f"{kind}{dimensions}D", tensor.node, (), (_short(window),), options)
        return context.piece(tensor, called(layer, source), self.name)

    def _settings(self, context: Context, tensor: Tensor, dimensions: int) -> tuple[tuple[int, ...], dict]:
        if context.graph.attr(tensor, "data_format").s not in (b"", b"NHWC", b"NDHWC"):
            raise Missed("its channels are not the last axis")
        sizes, strides = (tuple(context.graph.attr(tensor, key).list.i) for key in ("ksize", "strides"))
        if {sizes[0], sizes[-1], strides[0], strides[-1]} != {1}:
            raise Missed("it pools over channels or over the batch")
        window, steps = sizes[1 : 1 + dimensions], strides[1 : 1 + dimensions]
        padding = context.graph.attr(tensor, "padding").s.decode().lower()
        if padding not in ("same", "valid"):
            raise Missed(f"its padding is {padding}")
        options = {
            "strides": None if steps == window else _short(steps),
            "padding": None if padding == "valid" else padding,
        }
        return window, options

    def _along_one_axis(self, context: Context, tensor: Tensor) -> Piece | None:
        source = context.sources(tensor)[0]
        if context.op(source) not in ("MaxPool", "AvgPool") or not context.read_once(source):
            return None
        added = axes.added(context, context.sources(source)[0])
        if added is None or added.at not in (1, 2) or axes.dropped(context, tensor) != added.at:
            return None
        window, options = self._settings(context, source, 2)
        at = added.at - 1
        steps = tuple(context.graph.attr(source, "strides").list.i)[1:3]
        if window[at] != 1 or steps[at] != 1:
            return None
        options["strides"] = None if steps[1 - at] == window[1 - at] else steps[1 - at]
        kind = _POOLS[context.op(source)][0]
        if kind == "AveragePooling" and _uneven(context, added.source, (window[1 - at],), options) is not None:
            return None
        layer = context.layer(f"{kind}1D", tensor.node, (), (window[1 - at],), options)
        return context.piece(tensor, called(layer, added.source), self.name, (source, *added.inside))


def _uneven(context: Context, source: Tensor, window: tuple[int, ...], options: dict) -> list[tuple[int, int]] | None:
    """Returns the padding of each axis where some of it is not the same on both sides, None where all of it is.

    Keras on PyTorch repeats the last place there, where TensorFlow's average leaves out what is padded.
    """
    shape = context.graph.shape(source)
    if options.get("padding") != "same" or shape is None or None in shape[1:-1]:
        return None
    given = options.get("strides") or window
    strides = (given,) * len(window) if isinstance(given, int) else given
    paddings = []
    for size, width, step in zip(shape[1:-1], window, strides, strict=True):
        assert size is not None
        total = max((-(-size // step) - 1) * step + width - size, 0)
        paddings.append((total // 2, total - total // 2))
    return paddings if any(before != after for before, after in paddings) else None


def _averages(source: Tensor, window: tuple[int, ...], options: dict, paddings: list[tuple[int, int]]) -> Expression:
    """Returns means of windows of what is padded with zeros, divided by the share of each window that is not padding."""
    whole = ((0, 0), *paddings, (0, 0))
    ones = call("ops.ones_like", Item(operand(source), (Slice(None, 1), Literal(...), Slice(None, 1))))
    pooled = [
        call("ops.average_pool", call("ops.pad", data, whole), _short(window), strides=options.get("strides"))
        for data in (operand(source), ones)
    ]
    return Binary("/", pooled[0], pooled[1])


class GlobalPooling:
    """The mean or the largest over all of space."""

    name: ClassVar[str] = "global pooling"
    roots: ClassVar[frozenset[str]] = frozenset({"Mean", "Max"})

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the layer that ends in a tensor."""
        source, over = context.sources(tensor)
        rank, at = context.graph.rank(source), context.values.constant(over)
        # Not over time: the layer for that would leave out steps that a recurrent layer before it has masked.
        if rank not in (4, 5) or at is None or context.graph.dtype(source) != "float32":
            return None
        if sorted({int(axis) % rank for axis in at.reshape(-1)}) != list(range(1, rank - 1)):
            return None
        kind = "Average" if context.op(tensor) == "Mean" else "Max"
        options = {"keepdims": context.graph.attr(tensor, "keep_dims").b or None}
        layer = context.layer(f"Global{kind}Pooling{rank - 2}D", tensor.node, (), (), options)
        return context.piece(tensor, called(layer, source), self.name)


class ZeroPadding:
    """Zeros around images or sequences."""

    name: ClassVar[str] = "zero padding"
    roots: ClassVar[frozenset[str]] = frozenset({"Pad"})

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the layer that ends in a tensor."""
        source, paddings = context.sources(tensor)
        amounts, rank = context.values.constant(paddings), context.graph.rank(source)
        if (
            amounts is None
            or rank not in (3, 4, 5)
            or amounts[[0, -1]].any()
            or context.graph.dtype(source) != "float32"
        ):
            return None
        inner = tuple((int(before), int(after)) for before, after in amounts[1:-1])
        argument: object = inner[0] if rank == 3 else inner
        if rank != 3 and all(before == after for before, after in inner):
            argument = _short(tuple(before for before, _ in inner))
        layer = context.layer(f"ZeroPadding{rank - 2}D", tensor.node, (), (argument,))
        return context.piece(tensor, called(layer, source), self.name)


def _short(sizes: tuple[int, ...]) -> int | tuple[int, ...]:
    return sizes[0] if len(set(sizes)) == 1 else sizes
