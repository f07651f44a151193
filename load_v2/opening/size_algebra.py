"""Sizes as products of unknown dimensions, so that two of them can be told to be the same."""

import dataclasses
import operator
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

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
    """An integer that is data: a scalar tensor, or an element of a vector.

    Attributes:
        node, output: of the tensor.
        place: in a vector.
        asked: whether it has to be given as a size: outside of a layer's call, or to a shape.
    """

    node: str
    output: int
    place: int | None = None
    asked: bool = False

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
class Applied:
    """What a function gives for sizes and other numbers; of a type that TensorFlow computes it in."""

    function: str
    dtype: str
    arguments: "tuple[Value, ...]"


@dataclasses.dataclass(frozen=True)
class Product:
    """A known factor times unknown sizes."""

    factor: int
    unknown: "tuple[Atom, ...]"


# Types that numbers which are no sizes are computed in, on the way from size to size.
FLOATS = frozenset({"float32", "float64"})
Atom: TypeAlias = Axis | Number | Computed | Applied
Size: TypeAlias = int | Product
Value: TypeAlias = Size | float


def product(sizes) -> Size:
    """Returns the product of sizes."""
    factor = 1
    unknown: list[Atom] = []
    for size in sizes:
        factor *= size if isinstance(size, int) else size.factor
        unknown.extend(() if isinstance(size, int) else size.unknown)
    return Product(factor, tuple(sorted(unknown, key=repr))) if unknown and factor else factor


def is_data(size: Value) -> bool:
    """Returns whether a size is, or is computed from, an integer that is data."""
    atoms = size.unknown if isinstance(size, Product) else ()
    return any(isinstance(atom, Number) or any(map(is_data, _parts(atom))) for atom in atoms)


def asked(size: Value) -> Value:
    """Returns a size of which each number that is data is made a size by itself, as a shape has to have it."""
    if not isinstance(size, Product):
        return size
    return Product(size.factor, tuple(map(_asked, size.unknown)))


def _asked(atom: Atom) -> Atom:
    if isinstance(atom, Number):
        return dataclasses.replace(atom, asked=True)
    if isinstance(atom, Computed):
        return dataclasses.replace(atom, left=asked(atom.left), right=asked(atom.right))
    if isinstance(atom, Applied):
        return dataclasses.replace(atom, arguments=tuple(map(asked, atom.arguments)))
    return atom


def _parts(atom: Atom) -> "tuple[Value, ...]":
    """Returns what an atom is computed from."""
    if isinstance(atom, Computed):
        return atom.left, atom.right
    return atom.arguments if isinstance(atom, Applied) else ()


def is_whole(value: Value) -> bool:
    """Returns whether a number is a whole one in whatever type it is computed."""
    if not isinstance(value, Product):
        return isinstance(value, int)
    return not any(isinstance(atom, Applied) and atom.dtype in FLOATS for atom in value.unknown)


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
    if symbol in "+-" and isinstance(right, Product) and right.factor < 0:
        symbol, right = "-" if symbol == "+" else "+", product([-1, right])
    if symbol == "+" and left == 0:
        return right
    if symbol == "-" and left == 0:
        return product([-1, right])
    if symbol == "//" and (exact := divided(left, right)) is not None:
        return exact
    return Product(1, (Computed(symbol, left, right),))


# Op -> the operator that joins whole numbers as it does.
_SYMBOLS = {
    "Add": "+", "AddV2": "+", "Sub": "-", "Mul": "*", "FloorDiv": "//", "FloorMod": "%", "Maximum": "max", "Minimum": "min",
}  # fmt: skip


# Op -> the function of NumPy's, and of Keras's, that does the same for numbers of any type.
FUNCTIONS = {
    "Add": "add", "AddV2": "add", "Sub": "subtract", "Mul": "multiply", "Div": "divide", "RealDiv": "divide",
    "FloorDiv": "floor_divide", "FloorMod": "mod", "Maximum": "maximum", "Minimum": "minimum", "Pow": "power",
    "Neg": "negative", "Abs": "abs", "Sign": "sign", "Ceil": "ceil", "Floor": "floor", "Round": "round", "Rint": "round",
    "Sqrt": "sqrt", "Square": "square", "Log": "log", "Exp": "exp", "Less": "less", "LessEqual": "less_equal",
    "Greater": "greater", "GreaterEqual": "greater_equal", "Equal": "equal", "NotEqual": "not_equal",
    "LogicalAnd": "logical_and", "LogicalOr": "logical_or", "LogicalNot": "logical_not", "Select": "where",
    "SelectV2": "where",
}  # fmt: skip
_ROUNDING = frozenset({"Ceil", "Floor", "Round", "Rint"})
_OF_TYPE = "as_type"


def applied(op: str, dtype: str, given: str, values: "tuple[Value, ...]") -> Value:
    """Returns what an op of TensorFlow's, one of `FUNCTIONS`, gives for numbers.

    Args:
        op: its name.
        dtype: of what it gives.
        given: type of its last input.
        values: its inputs.

    Raises:
        ValueError: it divides by zero.
    """
    if all(map(is_whole, values)) and (size := _of_sizes(op, given, *values)) is not None:
        return size
    if FUNCTIONS[op] == "where" and (not isinstance(values[0], Product) or values[1] == values[2]):
        return values[1] if values[0] else values[2]
    if not any(isinstance(value, Product) for value in values):
        typed = [np.asarray(value, "bool" if isinstance(value, bool) else given) for value in values]
        return number(getattr(np, FUNCTIONS[op])(*typed))
    if given in FLOATS:
        values = tuple(of_type(value, given) if isinstance(value, Product) else value for value in values)
    return Product(1, (Applied(FUNCTIONS[op], dtype, values),))


def _of_sizes(op: str, given: str, first: Any, second: Any = None, *_: Any) -> Size | None:
    """Returns what an op gives for sizes where it is one, or follows from them by infix operators alone."""
    if op in _SYMBOLS:
        return computed(_SYMBOLS[op], first, second)
    if op == "Neg":
        return product([-1, first])
    if op in _ROUNDING:
        return first
    if op in ("Div", "RealDiv"):
        return divided(first, second) if given in FLOATS else computed("//", first, second)
    return None


def number(value: np.ndarray | np.generic) -> int | float:
    """Returns a scalar as Python has it; one without a fraction is a whole number in any type."""
    plain = value.item()
    return int(plain) if isinstance(plain, float) and plain.is_integer() else plain


def cast(value: Value, dtype: str, given: str) -> Value:
    """Returns a number in another type, which is another number where that has no fractions, or is of truth."""
    if "bool" not in (dtype, given) and (is_whole(value) or dtype == given):
        return value
    if not isinstance(value, Product):
        return number(np.asarray(value).astype(dtype))
    return of_type(value, dtype)


def of_type(value: Product, dtype: str) -> Product:
    """Returns a number that is computed with in a type."""
    match value:
        case Product(1, (Applied(_, known, _),)) if known == dtype:
            return value
    return Product(1, (Applied(_OF_TYPE, dtype, (value,)),))
