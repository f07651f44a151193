"""Sizes as products of unknown dimensions, so that two of them can be told to be the same."""

import dataclasses
import operator
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeAlias

from export_v1.ir.graph import Tensor


@dataclasses.dataclass(frozen=True, order=True)
class Axis:
    """The unknown size of an axis of a tensor."""

    node: str
    output: int
    axis: int

    @property
    def tensor(self) -> Tensor:
        return Tensor(self.node, self.output)


@dataclasses.dataclass(frozen=True, order=True)
class Number:
    """An integer that is data: a scalar tensor, or an element of a vector."""

    node: str
    output: int
    place: int | None = None

    @property
    def tensor(self) -> Tensor:
        return Tensor(self.node, self.output)


@dataclasses.dataclass(frozen=True, order=True)
class Computed:
    """A size that is no product: an infix operator or a function of two sizes."""

    symbol: str
    left: Any
    right: Any


@dataclasses.dataclass(frozen=True)
class Product:
    """A known factor times unknown sizes."""

    factor: int
    unknown: "tuple[Atom, ...]"


Atom: TypeAlias = Axis | Number | Computed
Size: TypeAlias = int | Product


def product(sizes) -> Size:
    """Returns the product of sizes."""
    factor = 1
    unknown: list[Atom] = []
    for size in sizes:
        factor *= size if isinstance(size, int) else size.factor
        unknown.extend(() if isinstance(size, int) else size.unknown)
    return Product(factor, tuple(sorted(unknown, key=repr))) if unknown and factor else factor


def is_data(size: Size) -> bool:
    """Returns whether a size is, or is computed from, an integer that is data."""
    atoms = [] if isinstance(size, int) else [*size.unknown]
    return any(
        isinstance(atom, Number) or (isinstance(atom, Computed) and (is_data(atom.left) or is_data(atom.right)))
        for atom in atoms
    )


def divided(size: Size, by: Size) -> Size | None:
    """Returns an exact quotient, None where it is not known to be one."""
    left, right = _as_product(size), _as_product(by)
    rest = Counter(left.unknown)
    rest.subtract(right.unknown)
    if right.factor == 0 or left.factor % right.factor or any(count < 0 for count in rest.values()):
        return None
    return product([left.factor // right.factor, *(Product(1, (atom,)) for atom in rest.elements())])


def _as_product(size: Size) -> Product:
    return Product(size, ()) if isinstance(size, int) else size


_OF_NUMBERS: dict[str, Callable[[int, int], int]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "//": operator.floordiv, "%": operator.mod,
    "max": max, "min": min,
}  # fmt: skip


def computed(symbol: str, left: Size, right: Size) -> Size:
    """Returns two sizes joined by an operator or a function: + - * // % max min."""
    if isinstance(left, int) and isinstance(right, int):
        if symbol in ("//", "%") and not right:
            raise ValueError("a size divided by zero")
        return _OF_NUMBERS[symbol](left, right)
    if symbol == "*":
        return product([left, right])
    if symbol == "min":
        # min(n, max(1, n)) is n, which is how dynamic_rnn bounds its steps.
        for side, other in ((left, right), (right, left)):
            atom = (
                other.unknown[0]
                if isinstance(other, Product) and other.factor == 1 and len(other.unknown) == 1
                else None
            )
            if isinstance(atom, Computed) and atom.symbol == "max" and side in (atom.left, atom.right):
                return side
    if symbol in "+-" and right == 0:
        return left
    if symbol == "+" and left == 0:
        return right
    if symbol == "//" and (exact := divided(left, right)) is not None:
        return exact
    return Product(1, (Computed(symbol, left, right),))
