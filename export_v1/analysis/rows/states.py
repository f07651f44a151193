"""What rows may have to do with a tensor, and what a rule for an op looks at."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from export_v1.ir.graph import Index, NodeDef, Tensor, attr, data_inputs


@dataclasses.dataclass(frozen=True)
class Free:
    """No row has a part in it."""


@dataclasses.dataclass(frozen=True)
class Rows:
    """Row by row along an axis; `per` entries of it belong to one row of the inputs, None: so many, whatever it is."""

    axis: int
    per: int | None = 1


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Made of sizes, one of which is that of the batch: at position `at` of a shape, None: anywhere."""

    at: int | None = None


@dataclasses.dataclass(frozen=True)
class Elements:
    """A TensorArray each of whose elements is so."""

    of: Rows


@dataclasses.dataclass(frozen=True)
class Last:
    """Made of a number for each row, and as large as the largest: a bound on steps that no row needs more of."""

    of: Tensor


@dataclasses.dataclass(frozen=True)
class Done:
    """Whether every row is done with a loop, or, where `going`, whether one is not.

    Attributes:
        rows: a bool for each row, or the number of steps that each takes.
        step: the loop's variable that counts them; None: `rows` are bools.
        going: which of the two it says.
    """

    rows: Tensor
    step: str | None = None
    going: bool = True


@dataclasses.dataclass(frozen=True)
class Mixed:
    """Rows are mixed, or may be: by which node first."""

    node: str


State: TypeAlias = Free | Rows | Sizes | Elements | Last | Done | Mixed
Answer: TypeAlias = State | list[State] | None
Shape: TypeAlias = Sequence[int | None] | None
FREE = Free()


def either(state: State | None, other: State, node: str) -> State:
    """Returns the state of a tensor that may be either; a Free start of a loop takes the state of what follows."""
    if state is None or isinstance(state, Free) or state == other:
        return other
    if isinstance(other, Free) or isinstance(state, Mixed):
        return state
    if isinstance(state, Sizes) and isinstance(other, Sizes):
        return Sizes()
    return other if isinstance(other, Mixed) else Mixed(node)


@dataclasses.dataclass(frozen=True)
class Look:
    """What a rule looks at: a node, its inputs and their states."""

    index: Index
    shapes: Mapping[Tensor, Shape]
    node: NodeDef
    sources: list[Tensor]
    states: list[State]
    values: Mapping[Tensor, np.ndarray] = dataclasses.field(default_factory=dict)

    def shape(self, at: int) -> Shape:
        return self.shapes.get(self.sources[at])

    def output_shape(self, at: int = 0) -> Shape:
        return self.shapes.get(Tensor(self.node.name, at))

    def rank(self, at: int) -> int | None:
        shape = self.shape(at)
        return None if shape is None else len(shape)

    def ranks(self) -> list[int] | None:
        """The ranks of all inputs; None where one is not known."""
        shapes = [self.shape(at) for at in range(len(self.states))]
        return None if None in shapes else [len(shape) for shape in shapes if shape is not None]

    def size(self, at: int, axis: int) -> int | None:
        shape = self.shape(at)
        return None if shape is None else shape[axis]

    def axis(self, axis: int, at: int = 0, more: int = 0) -> int | None:
        """An axis of input `at`, or of one with `more` axes, counted from the front; None where its rank is not known."""
        rank = self.rank(at)
        return axis if axis >= 0 else None if rank is None else axis + rank + more

    def value(self, at: int) -> np.ndarray | None:
        """The value of an input that constants determine."""
        return self.constant(self.sources[at])

    def constant(self, tensor: Tensor) -> np.ndarray | None:
        """The value of a tensor that constants determine."""
        if tensor in self.values:
            return self.values[tensor]
        made = self.index.nodes.get(tensor.node)
        while made is not None and made.op in ("Identity", "Enter") and data_inputs(made):
            made = self.index.nodes.get(data_inputs(made)[0].node)
        if made is None or made.op != "Const":
            return None
        return tf.make_ndarray(attr(made, "value").tensor)

    def axes(self, at: int) -> list[int] | None:
        """Axes of input 0 that input `at` names, counted from the front."""
        value, rank = self.value(at), self.rank(0)
        if value is None or (rank is None and np.any(value < 0)):
            return None
        return [int(axis) + (rank if axis < 0 and rank is not None else 0) for axis in np.ravel(value)]

    def first(self) -> Rows | None:
        state = self.states[0]
        return state if isinstance(state, Rows) else None

    def only_first(self) -> Rows | None:
        """The rows of input 0, where no other input has a part in any."""
        return self.first() if all(isinstance(state, Free) for state in self.states[1:]) else None
