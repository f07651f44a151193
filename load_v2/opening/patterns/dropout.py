"""Dropout, where the training graph has it."""

from typing import ClassVar

from export_v1.ir.graph import Tensor
from load_v2.opening import dropouts
from load_v2.opening.context import Context, Piece, called


class DropsOut:
    """A node that stands where training drops elements."""

    name: ClassVar[str] = "Dropout"
    roots: ClassVar[frozenset[str]] = frozenset({"Identity"})

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the layer that ends in a tensor."""
        found = context.training.dropouts.get(tensor.node)
        source, rank = context.sources(tensor)[0], context.graph.rank(tensor)
        if found is None or rank is None:
            return None
        shape = dropouts.mask_shape(found, rank)
        layer = context.layer("Dropout", found.scope, (), (found.rate,), {"noise_shape": shape})
        return context.piece(tensor, called(layer, source), self.name)
