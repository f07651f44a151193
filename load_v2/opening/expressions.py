"""Python expressions as trees: what a rebuilt model's code is made of before it is text."""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from export_v1.ir.graph import Tensor

# An array with more elements than this is no literal that a person would write or read.
LARGEST_LITERAL = 16
# Where all of them are one number, the shape and the number say it all; what calls an op with it holds a copy, though.
_LARGEST_FILLED = 4096
_LONGEST_ROW = 4


@dataclasses.dataclass(frozen=True)
class Expression:
    """A node of a tree; leaves are operands, names and literals."""


@dataclasses.dataclass(frozen=True)
class Operand(Expression):
    """The value of a tensor of the graph."""

    tensor: Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class Constant(Expression):
    """An array that is no literal if it is large; then it is kept with the weights."""

    values: np.ndarray
    name: str


@dataclasses.dataclass(frozen=True)
class Name(Expression):
    """An identifier, or a dotted one."""

    text: str


@dataclasses.dataclass(frozen=True)
class Literal(Expression):
    """A number, a string, None, or a tuple or list of them."""

    value: Any


@dataclasses.dataclass(frozen=True)
class Sequence(Expression):
    """A list of expressions, or a tuple."""

    items: tuple[Expression, ...]
    is_tuple: bool = False


@dataclasses.dataclass(frozen=True)
class Call(Expression):
    """A function of a module called, such as "ops.concatenate"; keyword arguments in order."""

    function: str
    arguments: tuple[Expression, ...]
    options: tuple[tuple[str, Expression], ...] = ()


@dataclasses.dataclass(frozen=True)
class Binary(Expression):
    """An infix operator between two expressions."""

    symbol: str
    left: Expression
    right: Expression


@dataclasses.dataclass(frozen=True)
class Negative(Expression):
    """A minus sign before an expression."""

    value: Expression


@dataclasses.dataclass(frozen=True)
class Slice(Expression):
    """start:stop:step inside square brackets; an end may be an expression."""

    start: int | Expression | None = None
    stop: int | Expression | None = None
    step: int | None = None


@dataclasses.dataclass(frozen=True)
class Item(Expression):
    """An expression with square brackets after it."""

    value: Expression
    items: tuple[Expression, ...]


@dataclasses.dataclass(frozen=True)
class LayerCall(Expression):
    """A layer called; `layer` is a `layers.Layer`."""

    layer: Any
    arguments: tuple[Expression, ...]
    options: tuple[tuple[str, Expression], ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Local(Expression):
    """A loop or a condition inside the call of a layer: functions that are defined there, and what is made with them.

    Attributes:
        tensors: what its functions read, or begin with.
        arguments: the code of each of these.
        lines: gives the lines before its value, and its value, for the text of each tensor, an indent and the layer.
    """

    tensors: tuple[Tensor, ...]
    arguments: tuple[Expression, ...]
    lines: Callable[[Mapping[Tensor, str], int, Any], tuple[list[str], list[str]]]


def call(function: str, *arguments: Any, **options: Any) -> Call:
    """Returns the call of a function; plain Python values become literals, options that are None are left out."""
    kept = tuple((key, expression(value)) for key, value in options.items() if value is not None)
    return Call(function, tuple(map(expression, arguments)), kept)


def expression(value: Any) -> Expression:
    """Returns an expression as it is, and the literal of a plain Python value."""
    return value if isinstance(value, Expression) else Literal(value)


def is_literal(values: np.ndarray) -> bool:
    """Returns whether an array is written into code: it has few elements, or one that is said in words.

    Those have one number in all of their places, or are a matrix with one number on and below a diagonal, and another above.
    """
    if values.size <= LARGEST_LITERAL:
        return True
    return values.size <= _LARGEST_FILLED and (_is_filled(values) or _triangle(values) is not None)


def _is_filled(values: np.ndarray) -> bool:
    return bool(values.size) and values.tobytes() == np.full_like(values, values.flat[0]).tobytes()


def array(values: np.ndarray) -> Expression:
    """Returns the literal of a scalar, or np.array of one that has axes, or np.full where that is shorter."""
    if values.ndim == 0:
        return Literal(scalar(values))
    if values.size > _LONGEST_ROW and _is_filled(values):
        return call("np.full", values.shape, scalar(values.flat[0]), values.dtype.name)
    triangle = _triangle(values) if values.size > LARGEST_LITERAL else None
    return triangle or call("np.array", _nested(values), values.dtype.name)


def _triangle(values: np.ndarray) -> Call | None:
    """Returns how an array is made of a triangle, as the masks are that hide from each step what comes after it."""
    sizes = [size for size in values.shape if size != 1]
    if len(sizes) != 2 or values.dtype.kind not in "fiub":
        return None
    matrix = values.reshape(sizes)
    above, below = matrix[0, -1], matrix[-1, 0]
    rows = int(np.count_nonzero(matrix[0] == below))
    inside = np.tri(sizes[0], sizes[1], rows - 1, bool)
    if values.tobytes() != np.where(inside, below, above).tobytes():
        return None
    shape = [*sizes, *([rows - 1] if rows != 1 else [])]
    if values.tobytes() == inside.astype(values.dtype).tobytes():
        code = call("np.tri", *shape, dtype=values.dtype.name)
    else:
        is_bool = values.dtype.kind == "b"
        ends = (scalar(end) if is_bool else call(f"np.{values.dtype.name}", scalar(end)) for end in (below, above))
        code = call("np.where", call("np.tri", *shape), *ends)
    return code if values.ndim == 2 else call("np.reshape", code, values.shape)


def scalar(value: np.ndarray) -> bool | int | float | complex:
    """Returns the shortest Python number that becomes `value` again in its own type."""
    if value.dtype.kind == "f" and value.dtype.itemsize < 8:
        return float(str(value.item() if value.dtype.name == "bfloat16" else value[()]))
    return value.item()


def _nested(values: np.ndarray) -> Any:
    return scalar(values) if values.ndim == 0 else [_nested(row) for row in values]


def children(tree: Expression) -> tuple[Expression, ...]:
    """Returns the expressions that an expression is directly made of."""
    if isinstance(tree, (Call, LayerCall)):
        return tree.arguments + tuple(value for _, value in tree.options)
    if isinstance(tree, Local):
        return tree.arguments
    if isinstance(tree, Binary):
        return (tree.left, tree.right)
    if isinstance(tree, Negative):
        return (tree.value,)
    if isinstance(tree, Item):
        return (tree.value, *tree.items)
    if isinstance(tree, Slice):
        return tuple(end for end in (tree.start, tree.stop) if isinstance(end, Expression))
    return tree.items if isinstance(tree, Sequence) else ()


def walk(tree: Expression) -> Iterator[Expression]:
    """Yields an expression and all that it is made of, in the order in which they are written."""
    yield tree
    for child in children(tree):
        yield from walk(child)


def mentions(tree: Expression) -> list[Tensor]:
    """Returns the tensors that an expression reads, each as often as it is written, in that order."""
    return [leaf.tensor for leaf in walk(tree) if isinstance(leaf, Operand)]


def operands(tree: Expression) -> list[Tensor]:
    """Returns the tensors that an expression reads, each once, in the order in which they are written."""
    return list(dict.fromkeys(mentions(tree)))


def replaced(tree: Expression, change: Callable[[Expression], Expression | None]) -> Expression:
    """Returns the tree with each part for which `change` gives another one replaced; what it replaced is not looked into."""
    other = change(tree)
    if other is not None:
        return other
    if isinstance(tree, (Call, LayerCall)):
        return dataclasses.replace(
            tree,
            arguments=tuple(replaced(argument, change) for argument in tree.arguments),
            options=tuple((key, replaced(value, change)) for key, value in tree.options),
        )
    if isinstance(tree, Local):
        return dataclasses.replace(tree, arguments=tuple(replaced(argument, change) for argument in tree.arguments))
    if isinstance(tree, Binary):
        return Binary(tree.symbol, replaced(tree.left, change), replaced(tree.right, change))
    if isinstance(tree, Negative):
        return Negative(replaced(tree.value, change))
    if isinstance(tree, Item):
        return Item(replaced(tree.value, change), tuple(replaced(item, change) for item in tree.items))
    if isinstance(tree, Sequence):
        return Sequence(tuple(replaced(item, change) for item in tree.items), tree.is_tuple)
    if isinstance(tree, Slice):
        ends = [replaced(end, change) if isinstance(end, Expression) else end for end in (tree.start, tree.stop)]
        return Slice(ends[0], ends[1], tree.step)
    return tree


def with_operands(tree: Expression, values: Mapping[Tensor, Expression]) -> Expression:
    """Returns the tree with an expression in the place of each operand in `values`."""
    return replaced(tree, lambda part: values.get(part.tensor) if isinstance(part, Operand) else None)


def literal_text(value: Any) -> str:
    """Returns a plain value as it is written in code, strings in double quotes, a name as it is."""
    if isinstance(value, Name):
        return value.text
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, tuple):
        inner = ", ".join(map(literal_text, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal_text, value)) + "]"
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return f'float("{value}")'
    return repr(value)


def docstring_text(text: str) -> str:
    """Returns a text as a docstring has it, quotes included; nothing that stands in the text ends it."""
    escaped = text.replace("\\", r"\\").replace('"""', r"\"\"\"")
    return f'"""{escaped[:-1]}\\""""' if escaped.endswith('"') else f'"""{escaped}"""'
