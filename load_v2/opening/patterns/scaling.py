"""Weights that data is multiplied with one by one: a scale with its offset, and the sum of such products."""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from export_v1.ir import ops
from export_v1.ir.graph import Tensor
from load_v2.opening import expressions
from load_v2.opening.context import Context, Piece, called
from load_v2.opening.expressions import call

_LETTERS = "abcdefgh"


class Scaling:
    """A scale for each place of the last axes, and an offset where there is one: an EinsumDense over a diagonal."""

    name: ClassVar[str] = "scale"
    roots: ClassVar[frozenset[str]] = ops.ADDS | {"Mul"}

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the layer that ends in a tensor."""
        for source, scale in _products(context, tensor):
            return self._piece(context, tensor, source, scale, None, [])
        if context.op(tensor) not in ops.ADDS:
            return None
        for product, offset in _sides(context, tensor):
            if context.op(product) != "Mul" or not context.read_once(product):
                continue
            for source, scale in _products(context, product):
                if _trailing(context, product, offset) == _trailing(context, product, scale):
                    return self._piece(context, tensor, source, scale, offset, [product])
        return None

    def _piece(
        self, context: Context, tensor: Tensor, source: Tensor, scale: Tensor, offset: Tensor | None, inside
    ) -> Piece | None:
        shape, trailing = context.graph.shape(source), _trailing(context, source, scale)
        assert shape is not None and trailing is not None
        weights = [
            (np.reshape(context.values.value(weight), trailing), (weight,)) for weight in (scale, offset) if weight
        ]
        scope = context.scope_of(scale)
        if trailing == (1,):
            weights[0] = (weights[0][0].reshape(1, 1), weights[0][1])
            options = {"use_bias": None if offset else False}
            layer = context.layer("Dense", scope, weights, (1,), options)
        else:
            whole = _LETTERS[: len(shape)]
            diagonal = whole[len(whole) - len(trailing) :]
            arguments = (f"{whole},{diagonal}->{whole}", shape[1:])
            layer = context.layer("EinsumDense", scope, weights, arguments, {"bias_axes": diagonal if offset else None})
        return context.piece(tensor, called(layer, source), self.name, inside)


class WeightedSum:
    """The sum over the last axis of products with a vector: a Dense with one unit."""

    name: ClassVar[str] = "weighted sum"
    roots: ClassVar[frozenset[str]] = frozenset({"Sum"})

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the layer that ends in a tensor."""
        product, axes = context.sources(tensor)
        rank, at = context.graph.rank(product), context.values.constant(axes)
        if rank is None or rank < 2 or at is None or [int(axis) % rank for axis in at.reshape(-1)] != [rank - 1]:
            return None
        if context.op(product) != "Mul" or not context.read_once(product):
            return None
        for source, vector in _products(context, product):
            trailing = _trailing(context, source, vector)
            if trailing is None or len(trailing) != 1:
                continue
            weights = [(np.reshape(context.values.value(vector), (-1, 1)), (vector,))]
            layer = context.layer("Dense", context.scope_of(vector), weights, (1,), {"use_bias": False})
            code = called(layer, source)
            whole = code if context.graph.attr(tensor, "keep_dims").b else call("ops.squeeze", code, -1)
            return context.piece(tensor, whole, self.name, [product])
        return None


def _sides(context: Context, tensor: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields the inputs of a node as data and weight."""
    first, second = context.sources(tensor)
    for data, weight in ((first, second), (second, first)):
        if context.is_data(data) and not context.is_data(weight) and context.graph.dtype(data) == "float32":
            yield data, weight


def _products(context: Context, tensor: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields data and the weights that it is multiplied with one by one; numbers that belong into the code are none."""
    if context.op(tensor) != "Mul":
        return
    for data, weight in _sides(context, tensor):
        literal = context.values.value(weight).size <= expressions.LARGEST_LITERAL
        if (context.values.kind(weight) == "weight" or not literal) and _trailing(context, data, weight) is not None:
            yield data, weight


def _trailing(context: Context, data: Tensor, weight: Tensor) -> tuple[int, ...] | None:
    """Returns the last sizes of data, each of which a weight has a number for; None where it does not fit so."""
    shape, wanted = context.graph.shape(data), list(context.values.value(weight).shape)
    while wanted and wanted[0] == 1:
        del wanted[0]
    if shape is None or len(shape) < 2 or len(wanted) >= len(shape) or len(shape) > len(_LETTERS):
        return None
    wanted = wanted or [1]
    return tuple(wanted) if list(shape[len(shape) - len(wanted) :]) == wanted else None
