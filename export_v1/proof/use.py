"""One input of one op, with what is known of the op's operands: what a rule about values decides from."""

import dataclasses
from collections.abc import Callable

import numpy as np

from export_v1.ir.graph import NodeDef, data_inputs
from export_v1.proof.domain import Domain
from export_v1.proof.reading import Reading, known


@dataclasses.dataclass(frozen=True)
class Use:
    """One input of one op."""

    reading: Reading
    node: NodeDef
    at: int

    def shape(self, at: int) -> list[int | None] | None:
        """Returns what is known of the shape of one of the op's inputs."""
        inputs = data_inputs(self.node)
        return self.reading.shape(inputs[at]) if -len(inputs) <= at < len(inputs) else None

    def sizes(self, at: int) -> list[int] | None:
        """Returns the shape of one of the op's inputs where all of it is known."""
        return known(self.shape(at))

    def size(self, at: int, axis: int) -> int | None:
        """Returns how large one axis of one of the op's inputs is."""
        shape = self.shape(at)
        return shape[axis] if shape is not None and -len(shape) <= axis < len(shape) else None

    def rank(self, at: int) -> int | None:
        """Returns the rank of one of the op's inputs."""
        shape = self.shape(at)
        return None if shape is None else len(shape)

    def value(self, at: int) -> np.ndarray | None:
        """Returns one of the op's inputs where it is constant."""
        inputs = data_inputs(self.node)
        return self.reading.value(inputs[at]) if -len(inputs) <= at < len(inputs) else None

    def number(self, at: int, default: int | None = None) -> int | None:
        """Returns one of the op's inputs where it is one constant number."""
        value = self.value(at)
        return int(value.ravel()[0]) if value is not None and value.size == 1 else default

    def vector(self, at: int) -> list[int] | None:
        """Returns one of the op's inputs where it is a constant vector."""
        value = self.value(at)
        return None if value is None else [int(number) for number in value.ravel()]

    @property
    def length(self) -> int | None:
        """How many elements the input has, where it is a vector."""
        sizes = self.sizes(self.at)
        return sizes[0] if sizes is not None and len(sizes) == 1 else None


# Returns the values that an op takes as one of its inputs, or None where it cannot tell.
Rule = Callable[[Use], Domain | None]
