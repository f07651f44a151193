"""What a pattern is."""

from typing import ClassVar, Protocol

from export_v1.ir.graph import Tensor
from load_v2.opening.context import Context, Piece


class Missed(Exception):
    """A piece of graph that looks like a layer and is none; the message says what is different."""


class Pattern(Protocol):
    """A piece of graph that is a layer.

    Attributes:
        name: for reports.
        roots: ops that the last node of the piece can be.
    """

    name: ClassVar[str]
    roots: ClassVar[frozenset[str]]

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the piece that ends in a tensor, None where there is nothing like it.

        Raises:
            Missed: it is like the layer, but not the same.
        """
