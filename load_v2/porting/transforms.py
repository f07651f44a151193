"""What may be done to a variable on its way into a weight: small frozen steps, each with a shape rule and an action.

Every step has `shape(shape) -> shape`, which refuses what cannot work, and `apply(array) -> array`; they agree, so a
whole plan is checked on shapes before any tensor is read. In a rules file a step is a table with one key:

    {transpose = [1, 0]}                  axes in their new order
    {reshape = [-1, 3, 8]}                C order; one -1 at most
    {squeeze = [0, 1]}                    drops axes of size 1
    {slice = {axis = 0, start = 2, stop = 10}}
    {split = {axis = 1, parts = 3}}       or sizes = [8, 8, 4]: the n-th part goes to the n-th weight of the rule
    {cast = "float32"}
    {scale = 0.5}    {shift = 1.0}        times, plus
    {reorder = {axis = -1, order = [1, 0, 2]}}   len(order) equal blocks of the axis, in a new order
    {concatenate = 0}                     joins the rule's keys; steps before it act on each of them
"""

import math
from dataclasses import dataclass

import numpy as np

from load_v2.errors import LoadError
from load_v2.porting.types import Shape


def _axis(axis: int, shape: Shape, what: str) -> int:
    if not -len(shape) <= axis < len(shape):
        raise LoadError(f"{what}: shape {list(shape)} has no axis {axis}")
    return axis % len(shape)


@dataclass(frozen=True)
class Transpose:
    axes: tuple[int, ...]

    def shape(self, shape: Shape) -> Shape:
        if sorted(self.axes) != list(range(len(shape))):
            raise LoadError(f"transpose {list(self.axes)} is not an order of the axes of shape {list(shape)}")
        return tuple(shape[axis] for axis in self.axes)

    def apply(self, array):
        return array.transpose(self.axes)


@dataclass(frozen=True)
class Reshape:
    to: tuple[int, ...]

    def shape(self, shape: Shape) -> Shape:
        size = math.prod(shape)
        known = math.prod(side for side in self.to if side != -1)
        one_open = self.to.count(-1) == 1
        if one_open and known > 0 and size % known == 0:
            return tuple(size // known if side == -1 else side for side in self.to)
        if -1 in self.to or known != size:
            raise LoadError(f"reshape {list(self.to)} does not hold the {size} elements of shape {list(shape)}")
        return self.to

    def apply(self, array):
        return array.reshape(self.to)


@dataclass(frozen=True)
class Squeeze:
    axes: tuple[int, ...]

    def shape(self, shape: Shape) -> Shape:
        dropped = {_axis(axis, shape, "squeeze") for axis in self.axes}
        if any(shape[axis] != 1 for axis in dropped):
            raise LoadError(f"squeeze {list(self.axes)}: those axes of shape {list(shape)} are not all of size 1")
        return tuple(side for axis, side in enumerate(shape) if axis not in dropped)

    def apply(self, array):
        return array.squeeze(self.axes)


@dataclass(frozen=True)
class Slice:
    axis: int
    start: int = 0
    stop: int | None = None

    def shape(self, shape: Shape) -> Shape:
        axis = _axis(self.axis, shape, "slice")
        stop = shape[axis] if self.stop is None else self.stop
        if not 0 <= self.start < stop <= shape[axis]:
            raise LoadError(f"slice {self.start}:{stop} is not inside axis {self.axis} of shape {list(shape)}")
        return (*shape[:axis], stop - self.start, *shape[axis + 1 :])

    def apply(self, array):
        where = [slice(None)] * array.ndim
        where[self.axis] = slice(self.start, self.stop)
        return array[tuple(where)]


@dataclass(frozen=True)
class Split:
    """The rule's split; `part` gives the step that makes one weight's share of it."""

    axis: int
    parts: int = 0
    sizes: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        return self.parts or len(self.sizes)

    def part(self, index: int) -> "Part":
        return Part(self.axis, index, self.parts, self.sizes)


@dataclass(frozen=True)
class Part:
    axis: int
    index: int
    parts: int = 0
    sizes: tuple[int, ...] = ()

    def shape(self, shape: Shape) -> Shape:
        return self._slice(shape).shape(shape)

    def apply(self, array):
        return self._slice(array.shape).apply(array)

    def _slice(self, shape: Shape) -> Slice:
        side = shape[_axis(self.axis, shape, "split")]
        if (self.parts and side % self.parts) or (self.sizes and sum(self.sizes) != side):
            requested = f"{self.parts} equal parts" if self.parts else f"sizes {list(self.sizes)}"
            raise LoadError(f"split: axis {self.axis} of shape {list(shape)} cannot be split into {requested}")
        sizes = self.sizes or (side // self.parts,) * self.parts
        start = sum(sizes[: self.index])
        return Slice(self.axis, start, start + sizes[self.index])


@dataclass(frozen=True)
class Cast:
    dtype: str

    def shape(self, shape: Shape) -> Shape:
        return shape

    def apply(self, array):
        return array.astype(self.dtype)


@dataclass(frozen=True)
class Scale:
    by: float

    def shape(self, shape: Shape) -> Shape:
        return shape

    def apply(self, array):
        return (array * array.dtype.type(self.by)).astype(array.dtype)


@dataclass(frozen=True)
class Shift:
    """Adds `by`: to everything, or to block `block` of the `blocks` equal blocks of the last axis (one gate's bias)."""

    by: float
    block: int = 0
    blocks: int = 1

    def shape(self, shape: Shape) -> Shape:
        if self.blocks > 1 and (not shape or shape[-1] % self.blocks):
            raise LoadError(f"the last axis of shape {list(shape)} cannot be split into {self.blocks} equal blocks")
        return shape

    def apply(self, array):
        if self.blocks == 1:
            return (array + array.dtype.type(self.by)).astype(array.dtype)
        array, size = array.copy(), array.shape[-1] // self.blocks
        array[..., self.block * size : (self.block + 1) * size] += array.dtype.type(self.by)
        return array


@dataclass(frozen=True)
class Reorder:
    axis: int
    order: tuple[int, ...]

    def shape(self, shape: Shape) -> Shape:
        if shape[_axis(self.axis, shape, "reorder")] % len(self.order):
            raise LoadError(f"reorder: axis {self.axis} of shape {list(shape)} is not {len(self.order)} equal blocks")
        return shape

    def apply(self, array):
        blocks = np.split(array, len(self.order), axis=self.axis)
        return np.concatenate([blocks[index] for index in self.order], axis=self.axis)


@dataclass(frozen=True)
class Heads:
    """A reshape that only splits one axis in two or more, as attention kernels need: [16, 16] to [16, 2, 8]."""

    to: tuple[int, ...]

    def shape(self, shape: Shape) -> Shape:
        extra = len(self.to) - len(shape)
        for axis, side in enumerate(shape):
            head, split, tail = self.to[:axis], self.to[axis : axis + extra + 1], self.to[axis + extra + 1 :]
            if extra >= 0 and (*head, math.prod(split), *tail) == (*shape[:axis], side, *shape[axis + 1 :]):
                return self.to
        raise LoadError(f"shape {list(shape)} does not become {list(self.to)} by splitting one axis into heads")

    def apply(self, array):
        return array.reshape(self.to)


def text(step) -> str:
    """Returns a step as a person would name it.

    >>> text(Transpose((1, 0)))
    'transpose(axes=(1, 0))'
    """
    values = ", ".join(f"{name}={value!r}" for name, value in vars(step).items())
    return f"{type(step).__name__.lower()}({values})"
