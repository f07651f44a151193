"""A matrix for each member of some axes: an EinsumDense over the others."""

from typing import ClassVar

import numpy as np

from export_v1.ir.graph import Tensor
from load_v2.opening import expressions
from load_v2.opening.context import Context, Piece, called

_LETTERS = "abcdefg"


class Grouped:
    """A product of data with matrices, one for each place on the axes before the last two."""

    name: ClassVar[str] = "product by groups"
    roots: ClassVar[frozenset[str]] = frozenset({"BatchMatMul", "BatchMatMulV2"})

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the layer that ends in a tensor."""
        data, matrices = context.sources(tensor)
        if context.graph.attr(tensor, "adj_x").b or not context.is_data(data) or context.is_data(matrices):
            return None
        shape, kernel = context.graph.shape(data), context.values.value(matrices)
        if kernel.size <= expressions.LARGEST_LITERAL and context.values.kind(matrices) == "constant":
            return None
        if context.graph.dtype(data) != "float32" or shape is None:
            return None
        first = len(shape) - kernel.ndim
        if (
            kernel.ndim < 3
            or first < 0
            or len(shape) > len(_LETTERS)
            or list(shape[first:-2]) != list(kernel.shape[:-2])
        ):
            return None
        flipped = context.graph.attr(tensor, "adj_y").b
        kernel = np.ascontiguousarray(np.swapaxes(kernel, -1, -2)) if flipped else kernel
        axes = _LETTERS[: len(shape)]
        equation = f"{axes},{axes[first:-2]}{axes[-1]}z->{axes[:-1]}z"
        layer = context.layer(
            "EinsumDense", context.scope_of(matrices), [(kernel, (matrices,))], (equation, (*shape[1:-1], kernel.shape[-1])),
            flipped=flipped,
        )  # fmt: skip
        return context.piece(tensor, called(layer, data), self.name)
