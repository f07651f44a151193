"""Dropout, where the training graph has it; and a dropout of nothing, which some graphs still have in inference."""

from typing import ClassVar

from export_v1.ir.graph import Tensor
from load_v2.opening import dropouts
from load_v2.opening.context import Context, Piece, called, operand


class DropsOut:
    """A node that stands where training drops elements."""

    name: ClassVar[str] = "Dropout"
    roots: ClassVar[frozenset[str]] = frozenset({"Identity"})

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the layer that ends in a tensor."""
        dropout = context.training.dropouts.get(tensor.node)
        source, rank = context.sources(tensor)[0], context.graph.rank(tensor)
        if dropout is None or rank is None:
            return None
        shape = dropouts.mask_shape(dropout, rank)
        layer = context.layer("Dropout", dropout.scope, (), (dropout.rate,), {"noise_shape": shape})
        return context.piece(tensor, called(layer, source), self.name)


class DropsNothing:
    """A product with a mask that is one everywhere, whatever random numbers it is made from."""

    name: ClassVar[str] = "dropout of nothing"
    roots: ClassVar[frozenset[str]] = frozenset({"Mul"})

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns what the mask is multiplied with."""
        source = dropouts.undropped(context.graph.index, tensor)
        return None if source is None else context.piece(tensor, operand(source), self.name)
