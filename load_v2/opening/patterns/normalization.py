"""BatchNormalization, LayerNormalization, GroupNormalization: fused, and in the spellings of TensorFlow 1 code."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from export_v1.ir import ops
from export_v1.ir.graph import Tensor
from export_v1.ir.match import Pattern as Shape
from export_v1.ir.match import anything, behind, either, made_by, matches
from load_v2.opening import printed
from load_v2.opening.context import Context, Piece, called
from load_v2.opening.patterns.pattern import Missed

_SEEN_THROUGH = frozenset({"StopGradient"})


@dataclasses.dataclass(frozen=True)
class Normalized:
    """x with its mean subtracted and divided by its standard deviation, scaled and shifted where there is a tensor to do it."""

    x: Tensor
    mean: Tensor
    variance: Tensor
    epsilon: float
    gamma: Tensor | None
    beta: Tensor | None
    inside: tuple[Tensor, ...]


def sum_of(left: Shape, right: Shape) -> Shape:
    return made_by(ops.ADDS, left, right, any_order=True)


def product_of(left: Shape, right: Shape) -> Shape:
    return made_by("Mul", left, right, any_order=True)


# That of all norms of Keras's.
_USUAL_EPSILON = 0.001
_DEVIATION = sum_of(anything("variance"), anything("epsilon"))
# 1 / sqrt(variance + epsilon), the ways it is written.
_INVERSE = either(
    made_by("Rsqrt", _DEVIATION),
    made_by({"RealDiv", "Div"}, anything("one"), made_by("Sqrt", _DEVIATION)),
    made_by({"Reciprocal", "Inv"}, made_by("Sqrt", _DEVIATION)),
    made_by("Pow", _DEVIATION, anything("minus half")),
)
_DEVIATIONS = either(made_by("Sqrt", _DEVIATION), made_by("Pow", _DEVIATION, anything("half")))
_CENTERED = made_by("Sub", anything("x"), behind(_SEEN_THROUGH, anything("mean")))
# (x - mean) / sqrt(variance + epsilon)
_DIVIDED = either(made_by({"RealDiv", "Div"}, _CENTERED, _DEVIATIONS), product_of(_CENTERED, _INVERSE))
_SCALED = either(
    made_by({"RealDiv", "Div"}, product_of(anything("gamma"), _CENTERED), _DEVIATIONS),
    product_of(_DIVIDED, anything("gamma")),
    product_of(_CENTERED, product_of(_INVERSE, anything("gamma"))),
    _DIVIDED,
)
# x * factor + (beta - mean * factor), as tf.nn.batch_normalization writes it.
_MULTIPLIED = sum_of(
    product_of(anything("x"), anything("factor")),
    made_by("Sub", anything("beta"), product_of(behind(_SEEN_THROUGH, anything("mean")), anything("factor"))),
)
_FACTOR = either(product_of(_INVERSE, anything("gamma")), _INVERSE)
# x * factor - mean * factor + beta, where the second product is made by itself, as tf.contrib's group norm does.
_MOVED = either(
    product_of(product_of(made_by("Neg", anything("mean")), _INVERSE), anything("gamma")),
    product_of(made_by("Neg", anything("mean")), _FACTOR),
)
_ADDED = sum_of(product_of(anything("x"), _FACTOR), either(sum_of(_MOVED, anything("beta")), _MOVED))
_SHIFTED = either(sum_of(_SCALED, anything("beta")), _SCALED)
_ROOTS = ops.ADDS | {"Mul", "RealDiv", "Div"}


def every(context: Context, tensor: Tensor) -> Iterator[Normalized]:
    index = context.graph.index
    for outer in matches(index, tensor, _MULTIPLIED):
        for inner in matches(index, outer["factor"], _FACTOR):
            yield from _checked(context, {**outer.captures, **inner.captures}, tensor)
    for captured in itertools.chain(matches(index, tensor, _ADDED), matches(index, tensor, _SHIFTED)):
        yield from _checked(context, dict(captured.captures), tensor)


def _checked(context: Context, captures: dict[str, Tensor], tensor: Tensor) -> Iterator[Normalized]:
    epsilon = context.values.number(captures["epsilon"])
    expected = {"one": 1.0, "half": 0.5, "minus half": -0.5}
    if epsilon is None or any(
        context.values.number(captures[key]) != value for key, value in expected.items() if key in captures
    ):
        return
    if not context.is_data(captures["x"]):
        return
    factors = [captures.get(key) for key in ("gamma", "beta")]
    if any(factor is not None and context.is_data(factor) for factor in factors):
        return
    inside = between(context, tensor, set(captures.values()))
    yield Normalized(
        captures["x"], captures["mean"], captures["variance"], epsilon, factors[0], factors[1], tuple(inside)
    )


def between(context: Context, tensor: Tensor, ends: set[Tensor]) -> list[Tensor]:
    """Returns the data tensors from which `tensor` is made, as far as `ends`."""
    tensors: dict[Tensor, None] = {}
    todo = [tensor]
    while todo:
        for source in context.sources(todo.pop()):
            if source not in ends and source not in tensors and context.is_data(source):
                tensors[source] = None
                todo.append(source)
    return list(tensors)


class BatchNormalization:
    """Normalization by moving averages."""

    name: ClassVar[str] = "BatchNormalization"
    roots: ClassVar[frozenset[str]] = ops.BATCH_NORMS | _ROOTS

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the layer that ends in a tensor."""
        if context.op(tensor) in ops.BATCH_NORMS:
            return self._fused(context, tensor)
        for normalized in every(context, tensor):
            if not context.is_data(normalized.mean) and not context.is_data(normalized.variance):
                return self._piece(context, tensor, normalized)
        return None

    def _fused(self, context: Context, tensor: Tensor) -> Piece | None:
        x, gamma, beta, mean, variance = context.sources(tensor)
        if tensor.index or context.graph.attr(tensor, "is_training").b:
            return None
        if context.graph.attr(tensor, "data_format").s not in (b"", b"NHWC"):
            raise Missed("its channels are not the last axis")
        if any(map(context.is_data, (gamma, beta, mean, variance))):
            raise Missed("its averages or its scale depend on data")
        epsilon = float(np.float32(context.graph.attr(tensor, "epsilon").f))
        return self._piece(context, tensor, Normalized(x, mean, variance, epsilon, gamma, beta, ()))

    def _piece(self, context: Context, tensor: Tensor, normalized: Normalized) -> Piece | None:
        shape = context.graph.shape(normalized.x)
        if not shape or shape[-1] is None:
            raise Missed("the number of channels is not known")
        channels = shape[-1]
        weights = []
        options: dict[str, Any] = {"epsilon": said(normalized.epsilon)}
        for key, source, neutral in (("scale", normalized.gamma, 1), ("center", normalized.beta, 0)):
            if source is None or _is_fixed(context, source, neutral):
                options[key] = False
            else:
                weights.append((_vector(context, source, channels), (source,)))
        for source in (normalized.mean, normalized.variance):
            weights.append((_vector(context, source, channels), (source,)))
        moving = context.values.variables(normalized.mean)
        momentum = context.training.momenta.get(moving[0].name) if len(moving) == 1 else None
        # Keras's own default is left out.
        options["momentum"] = None if momentum == 0.99 else momentum
        named = [source for source in (normalized.gamma, normalized.beta, normalized.mean) if source is not None]
        named.sort(key=lambda source: not context.values.variables(source))
        layer = context.layer(self.name, context.scope_of(*named), weights, (), options)
        varying = context.values.variables(normalized.variance)
        if varying and varying[0].name in context.training.unbiased:
            layer = context.notes.setdefault(("unbiased", id(layer)), printed.unbiased(layer))
        elif momentum is None:
            # Nothing moves the averages, so the graph normalizes by them in training, too.
            factors = [factor for factor in (normalized.gamma, normalized.beta) if factor is not None]
            if any(v.trainable for factor in factors for v in context.values.variables(factor)):
                layer = context.notes.setdefault(("averages", id(layer)), printed.by_averages(layer))
            else:
                layer.options = {**layer.options, "trainable": False}
        return context.piece(tensor, called(layer, normalized.x), self.name, normalized.inside)


class LayerNormalization:
    """Normalization of each member of the batch by its own moments, over the last axes, over space, or over groups."""

    name: ClassVar[str] = "LayerNormalization"
    roots: ClassVar[frozenset[str]] = _ROOTS

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the layer that ends in a tensor."""
        for normalized in every(context, tensor):
            axes = axes_of_moments(context, normalized)
            rank = context.graph.rank(normalized.x)
            if axes is None or rank is None:
                continue
            if axes == list(range(1, rank)) and rank > 2 and self._is_by_channel(context, normalized):
                return self._in_groups(context, tensor, normalized, 1)
            if axes == list(range(rank - len(axes), rank)):
                return self._over_last_axes(context, tensor, normalized, axes, rank)
            if axes == list(range(1, rank - 1)) and rank > 2:
                return self._in_groups(context, tensor, normalized, -1)
        return None

    def _is_by_channel(self, context: Context, normalized: Normalized) -> bool:
        """Returns whether scale and offset have one number for each channel, where all places are normalized together."""
        sizes = [
            context.values.value(factor).shape for factor in (normalized.gamma, normalized.beta) if factor is not None
        ]
        return bool(sizes) and all(size[-1:] == (np.prod(size, dtype=int),) for size in sizes)

    def _over_last_axes(self, context, tensor, normalized: Normalized, axes: list[int], rank: int) -> Piece | None:
        shape = context.graph.shape(normalized.x)[rank - len(axes) :]
        if None in shape or 0 in axes:
            return None
        weights = []
        options: dict[str, Any] = {"axis": [axis - rank for axis in axes] if len(axes) > 1 else None}
        options["epsilon"] = said(normalized.epsilon)
        for key, source in (("scale", normalized.gamma), ("center", normalized.beta)):
            if source is None:
                options[key] = False
                continue
            value = context.values.value(source)
            if value.size != np.prod(shape) and context.values.variables(source):
                raise Missed("its scale or offset has another shape than what it normalizes")
            weights.append((np.array(np.broadcast_to(value, shape)), (source,)))
        return by_moments(context, tensor, self.name, normalized, "LayerNormalization", weights, options)

    def _in_groups(self, context, tensor, normalized: Normalized, groups: int) -> Piece | None:
        channels = context.graph.shape(normalized.x)[-1]
        if channels is None:
            return None
        weights, options = [], {"groups": groups, "epsilon": said(normalized.epsilon)}
        for key, source in (("scale", normalized.gamma), ("center", normalized.beta)):
            if source is None:
                options[key] = False
            else:
                weights.append((_vector(context, source, channels), (source,)))
        return by_moments(context, tensor, self.name, normalized, "GroupNormalization", weights, options)


def by_moments(
    context: Context,
    tensor: Tensor,
    rule: str,
    normalized: Normalized,
    kind: str,
    weights: Sequence[tuple[np.ndarray, tuple[Tensor, ...]]],
    options: Mapping[str, Any],
    x: Tensor | None = None,
    around: Iterable[Tensor] = (),
) -> Piece:
    """Returns the layer that normalizes by the moments of what it is given.

    Args:
        context: of the graph.
        tensor: the one that the layer gives.
        rule: name of the pattern.
        found: what is normalized, and how.
        kind, weights, options: of the layer.
        x: what the layer is called on; None: `found.x`.
        around: what the layer does beside what was found.
    """
    named = [made_of[0] for _, made_of in weights]
    scope = context.scope_of(*named) if named else tensor.node
    layer = context.layer(kind, scope, weights, (), options)
    moments = [
        normalized.mean,
        normalized.variance,
        *between(context, normalized.variance, {normalized.x, normalized.mean}),
    ]
    inside = dict.fromkeys([*around, *normalized.inside, *moments])
    return context.piece(tensor, called(layer, normalized.x if x is None else x), rule, inside)


def axes_of_moments(context: Context, normalized: Normalized) -> list[int] | None:
    """Returns the axes over which mean and variance are those of x itself, None where they are others."""
    rank = context.graph.rank(normalized.x)
    if rank is None or context.op(normalized.mean) != "Mean" or context.op(normalized.variance) != "Mean":
        return None
    if context.sources(normalized.mean)[0] != normalized.x or not context.graph.attr(normalized.mean, "keep_dims").b:
        return None
    mean = behind(_SEEN_THROUGH, anything("mean"))
    centered = made_by("Sub", anything("x"), mean)
    squares = either(
        made_by("SquaredDifference", anything("x"), mean),
        made_by("SquaredDifference", mean, anything("x")),
        made_by("Square", centered),
        made_by("Mul", centered, centered),
    )
    source, axes = context.sources(normalized.variance)
    mine = next(
        (captured for captured in matches(context.graph.index, source, squares) if captured["x"] == normalized.x), None
    )
    if mine is None or mine["mean"] != normalized.mean:
        return None
    first, second = (
        None if value is None else sorted({int(axis) % rank for axis in value.reshape(-1)})
        for value in (context.values.constant(axis_input) for axis_input in (context.sources(normalized.mean)[1], axes))
    )
    return first if first == second else None


def said(epsilon: float) -> float | None:
    """Returns an epsilon as the code says it; None for the one that Keras takes by itself."""
    return None if short(epsilon) == _USUAL_EPSILON else short(epsilon)


def short(value: float) -> float:
    """Returns the shortest number that is the same in float32."""
    return float(str(np.float32(value)))


def _is_fixed(context: Context, source: Tensor, neutral: int) -> bool:
    return context.values.kind(source) == "constant" and bool((context.values.value(source) == neutral).all())


def _vector(context: Context, source: Tensor, channels: int) -> np.ndarray:
    value = context.values.value(source)
    if value.size == channels and (value.ndim == 0 or value.shape[-1] == channels):
        return value.reshape(-1)
    if value.size == 1 and not context.values.variables(source):
        return np.full(channels, value.reshape(-1)[0])
    raise Missed(f"its weights have the shape {list(value.shape)}, where there are {channels} channels")
