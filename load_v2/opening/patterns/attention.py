"""Attention of several heads, with the projections before and behind it, as one MultiHeadAttention."""

import dataclasses
import math
from typing import ClassVar

import numpy as np

from export_v1.ir.graph import Tensor
from load_v2.opening import naming
from load_v2.opening.context import Context, Piece, operand
from load_v2.opening.expressions import Binary, Expression, Item, LayerCall, Literal, Slice, call
from load_v2.opening.loops.affine import split_bounds, split_source
from load_v2.opening.patterns import weighted
from load_v2.opening.patterns.pattern import Missed

_PRODUCTS = frozenset({"BatchMatMul", "BatchMatMulV2"})
# What is added to a score to leave it out is at least as far below zero.
_OUT_OF_REACH = -1e3


@dataclasses.dataclass(frozen=True)
class _Projection:
    """A Dense: its source, its kernel, its bias where it has one, and the tensors that these are the values of."""

    source: Tensor
    kernel: np.ndarray
    bias: np.ndarray | None
    made_of: tuple[Tensor, ...]

    def columns(self, begin: int, end: int) -> "_Projection":
        """Returns a part of what it gives."""
        bias = None if self.bias is None else self.bias[begin:end]
        return dataclasses.replace(self, kernel=self.kernel[:, begin:end], bias=bias)


@dataclasses.dataclass(frozen=True)
class _Heads:
    """What a projection gives, parted into heads: [batch, head, step, size]."""

    projection: _Projection
    heads: int
    size: int
    steps: object
    scale: float


@dataclasses.dataclass(frozen=True)
class _Mask:
    """A tensor of zeros and ones; ones say that a score counts, or that it does not."""

    tensor: Tensor
    counts: bool


class MultiHeadAttention:
    """softmax(q k' / sqrt(size) + mask) v for each head, and a Dense over all of them."""

    name: ClassVar[str] = "MultiHeadAttention"
    roots: ClassVar[frozenset[str]] = frozenset({"Add", "AddV2", "BiasAdd", "MatMul", "BatchMatMulV2", "Reshape"})

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the layer that ends in a tensor."""
        last = _dense(context, tensor)
        product = None if last is None else _behind_heads(context, last.source)
        if last is None or product is None:
            return None
        weights, values = context.sources(product)
        value = _heads(context, values)
        weights, rate = _undropped(context, weights)
        if value is None or context.op(weights) != "Softmax" or _flips(context, product) != (False, False):
            return None
        scores, mask = _unmasked(context, context.sources(weights)[0])
        scores, scale = _unscaled(context, scores)
        if context.op(scores) not in _PRODUCTS:
            return None
        query, key = self._query_and_key(context, scores)
        if query is None or key is None:
            return None
        if (
            not math.isclose(scale * query.scale * key.scale * math.sqrt(query.size), 1, rel_tol=1e-5)
            or value.scale != 1
        ):
            raise Missed("it does not divide by the square root of the size of a head")
        if not query.heads == key.heads == value.heads or query.size != key.size:
            raise Missed("its heads do not fit")
        return self._piece(context, tensor, query, key, value, last, mask, rate)

    def _query_and_key(self, context: Context, scores: Tensor) -> tuple[_Heads | None, _Heads | None]:
        left, right = context.sources(scores)
        flips = _flips(context, scores)
        if flips == (False, True):
            return _heads(context, left), _heads(context, right)
        if flips == (False, False):
            return _heads(context, left), _heads(context, right, transposed=True)
        return None, None

    def _piece(self, context, tensor, query: _Heads, key: _Heads, value: _Heads, last: _Projection, mask, rate):
        parts = [query.projection, key.projection, value.projection, last]
        if len({part.bias is None for part in parts}) != 1:
            raise Missed("some of its projections have a bias, and some have none")
        weights = []
        for heads in (query, key, value):
            part, shape = heads.projection, (heads.heads, heads.size)
            weights.append((part.kernel.reshape(-1, *shape), part.made_of[:1]))
            if part.bias is not None:
                weights.append((part.bias.reshape(shape), part.made_of[1:]))
        weights.append((last.kernel.reshape(value.heads, value.size, -1), last.made_of[:1]))
        if last.bias is not None:
            weights.append((last.bias, last.made_of[1:]))
        width = query.projection.kernel.shape[0]
        options = {
            "value_dim": None if value.size == query.size else value.size,
            "dropout": rate or None,
            "use_bias": None if last.bias is not None else False,
            "output_shape": None if last.kernel.shape[1] == width else last.kernel.shape[1],
        }
        scopes = [context.scope_of(part.made_of[0]) for part in parts]
        scope = "/".join(naming.common_scopes(scopes)) or scopes[-1]
        sources = [part.source for part in parts[:3]]
        inside = context.above(tensor, [*sources, *([] if mask is None else [mask.tensor])])
        # Its projections may have other readers; scores, weights and weighted values are nowhere but inside Keras's layer.
        if not context.inner(
            inside, tensor, [member for member in inside if context.op(member) in _PRODUCTS | {"Softmax"}]
        ):
            raise Missed("its scores are read by something else, too")
        layer = context.layer("MultiHeadAttention", scope, weights, (query.heads, query.size), options)
        given = [_in_steps(context, heads) for heads in (query, value, key)]
        arguments = given[:2] if sources[1] == sources[2] else given
        mask_option: tuple[tuple[str, Expression], ...] = ()
        if mask is not None:
            axes = (Slice(), *[Literal(None)] * (4 - (context.graph.rank(mask.tensor) or 4)))
            counted: Expression = operand(mask.tensor) if len(axes) == 1 else Item(operand(mask.tensor), axes)
            mask_option = (("attention_mask", counted if mask.counts else Binary("-", Literal(1.0), counted)),)
            # A mask is zeros and ones; of random numbers Keras would take all for ones.
            context.as_recorded.add(mask.tensor)
        code: Expression = LayerCall(layer, tuple(arguments), mask_option)
        shape = context.graph.shape(tensor)
        if shape is not None and len(shape) == 2:
            code = call("ops.reshape", code, (-1, last.kernel.shape[1]))
        return context.piece(tensor, code, self.name, inside)


def _in_steps(context: Context, heads: _Heads) -> Expression:
    """Returns what a projection reads, with an axis for the steps."""
    source = heads.projection.source
    rank = context.graph.rank(source)
    if rank == 3:
        return operand(source)
    if rank != 2 or not isinstance(heads.steps, int):
        raise Missed("the number of steps is not known")
    return call("ops.reshape", operand(source), (-1, heads.steps, heads.projection.kernel.shape[0]))


def _flips(context: Context, product: Tensor) -> tuple[bool, bool]:
    first, second = (context.graph.attr(product, key).b for key in ("adj_x", "adj_y"))
    return first, second


def _projection(context: Context, tensor: Tensor) -> _Projection | None:
    """Returns the Dense that gives a tensor, or the part of one."""
    if context.op(tensor) in {"Split", "SplitV"}:
        source, axis = split_source(context, tensor)
        whole, rank = _projection(context, source), context.graph.rank(tensor)
        if whole is None or rank is None:
            return None
        bounds = split_bounds(context, tensor, axis, whole.kernel.shape[1], rank)
        return None if bounds is None else whole.columns(*bounds)
    return _dense(context, tensor)


def _dense(context: Context, tensor: Tensor) -> _Projection | None:
    """Returns the Dense that gives a tensor."""
    product = weighted.found(context, tensor) if context.is_data(tensor) else None
    if product is None or product[0].kind != "Dense" or product[2] is not None:
        return None
    linear, bias, *_ = product
    kernel, made_of = linear.kernels[0]
    vector = None if bias is None else np.reshape(context.values.value(bias), -1)
    return _Projection(linear.source, kernel, vector, (made_of,) if bias is None else (made_of, bias))


def _heads(context: Context, tensor: Tensor, transposed: bool = False) -> _Heads | None:
    """Returns the projection that is parted into heads in a tensor; "transposed" where sizes come before steps."""
    tensor, outer = _unscaled(context, tensor)
    if context.op(tensor) != "Transpose":
        return None
    source, permutation = context.sources(tensor)
    order = context.values.constant(permutation)
    if transposed and order is not None and list(order) == [0, 1, 3, 2]:
        inner = _heads(context, source)
        return None if inner is None else dataclasses.replace(inner, scale=inner.scale * outer)
    if (
        order is None
        or list(order) != ([0, 2, 3, 1] if transposed else [0, 2, 1, 3])
        or context.op(source) != "Reshape"
    ):
        return None
    shape = context.sizes.shape(source)
    whole, scale = _unscaled(context, context.sources(source)[0])
    projection = _projection(context, whole)
    if projection is None or shape is None or not (isinstance(shape[2], int) and isinstance(shape[3], int)):
        return None
    if projection.kernel.shape[1] != shape[2] * shape[3]:
        return None
    steps = context.graph.shape(source)
    return _Heads(projection, shape[2], shape[3], None if steps is None else steps[1], scale * outer)


def _behind_heads(context: Context, tensor: Tensor) -> Tensor | None:
    """Returns the product of weights and values whose heads are side by side in a tensor."""
    if context.op(tensor) != "Reshape":
        return None
    source = context.sources(tensor)[0]
    if context.op(source) == "Reshape":
        source = context.sources(source)[0]
    if context.op(source) != "Transpose":
        return None
    product, permutation = context.sources(source)
    order = context.values.constant(permutation)
    fits = order is not None and list(order) == [0, 2, 1, 3] and context.op(product) in _PRODUCTS
    return product if fits else None


def _unscaled(context: Context, tensor: Tensor) -> tuple[Tensor, float]:
    """Returns what is scaled by a number, and the number."""
    op = context.op(tensor)
    if op not in {"Mul", "RealDiv", "Div"}:
        return tensor, 1.0
    first, second = context.sources(tensor)
    if (number := context.values.number(second)) is not None:
        return first, number if op == "Mul" else 1 / number
    if op == "Mul" and (number := context.values.number(first)) is not None:
        return second, number
    return tensor, 1.0


def _unmasked(context: Context, tensor: Tensor) -> tuple[Tensor, _Mask | None]:
    """Returns scores, and what says which of them count."""
    if context.op(tensor) not in {"Add", "AddV2"}:
        return tensor, None
    first, second = context.sources(tensor)
    for scores, added in ((first, second), (second, first)):
        axes = 0
        while context.op(added) == "ExpandDims" and context.values.number(context.sources(added)[1]) == 1:
            added, axes = context.sources(added)[0], axes + 1
        inverse, far = _unscaled(context, added)
        if far > _OUT_OF_REACH or axes not in (0, 2) or context.graph.rank(inverse) != 4 - axes:
            continue
        one = context.sources(inverse)[0] if context.op(inverse) == "Sub" else None
        if one is not None and context.values.number(one) == 1:
            return scores, _Mask(context.sources(inverse)[1], counts=True)
        return scores, _Mask(inverse, counts=False)
    raise Missed("what is added to its scores is no mask")


def _undropped(context: Context, tensor: Tensor) -> tuple[Tensor, float]:
    """Returns a tensor before dropout, and the rate."""
    dropout = context.training.dropouts.get(tensor.node)
    return (context.sources(tensor)[0], dropout.rate) if dropout is not None else (tensor, 0.0)
