"""Functions of `keras.ops` that Keras has a layer for, as that layer: a row of the summary, with a name to find it by."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from export_v1.ir.graph import Tensor
from load_v2.opening import expressions
from load_v2.opening.context import Context, Piece
from load_v2.opening.expressions import Binary, Call, Expression, LayerCall, Literal, Operand, Sequence

RULE = "function that is a layer"
# Functions that `Activation` calls by name.
_ACTIVATIONS = frozenset("elu log_softmax relu6 selu sigmoid silu softmax softplus softsign tanh".split())
# A sum in which one of these stands is a formula, and reads better as one.
_OF_FORMULAS = frozenset(
    """Abs Cast Div Exp Fill FloorDiv Log Log1p Maximum Minimum Mul Neg OneHot Pow RealDiv Reciprocal Rsqrt Select SelectV2 Sqrt
    Square SquaredDifference Sub Sum ZerosLike OnesLike""".split()
)


def in_place(context: Context, pieces: Iterable[Piece]) -> list[Piece]:
    """Returns the pieces with layers in the place of functions, but for those whose proof failed.

    Guaranteed: a layer stands only where its tensors have a known rank of at least two and are float32, which a layer
    does not cast.
    """
    pieces = list(pieces)
    if context.inside_call:
        return pieces
    reads = Counter(tensor for piece in pieces for tensor in expressions.mentions(piece.code))
    reads.update(context.graph.outputs.values())
    makers = {piece.outputs[0]: piece for piece in pieces if len(piece.outputs) == 1}
    changed: list[Piece] = []
    superfluous: set[int] = set()
    # A sum comes before the sums that it is made of.
    for piece in pieces:
        output = piece.outputs[0]
        may = output in makers and output not in context.virtual and (RULE, output) not in context.rejected
        code, inside = (
            _layer(context, piece.code, reads, makers) if may and id(piece) not in superfluous else (None, ())
        )
        superfluous.update(id(part) for part in inside)
        if code is not None:
            nodes = piece.nodes.union(*(part.nodes for part in inside))
            changed.append(dataclasses.replace(piece, code=code, rule=RULE, nodes=nodes))
        elif id(piece) not in superfluous:
            changed.append(piece)
    return changed


def _layer(
    context: Context, code: Expression, reads: Counter[Tensor], makers: Mapping[Tensor | None, Piece]
) -> tuple[Expression | None, tuple[Piece, ...]]:
    """Returns the call of a layer that does what code does, and the pieces that it makes superfluous."""
    if isinstance(code, Binary):
        return _sum(context, code, reads, makers) if code.symbol == "+" else (None, ())
    if not isinstance(code, Call) or not code.function.startswith("ops.") or not code.arguments:
        return None, ()
    function, (first, *others) = code.function.removeprefix("ops."), code.arguments
    if function == "concatenate" and isinstance(first, Sequence):
        return _concatenation(context, first, dict(code.options).get("axis")), ()
    if not _fits(context, first) or code.options:
        return None, ()
    numbers = [other.value for other in others if isinstance(other, Literal)]
    if len(numbers) != len(others):
        return None, ()
    if function in _ACTIVATIONS and not others:
        return _called(context, "Activation", first, function), ()
    if function == "relu" and not others:
        return _called(context, "ReLU", first), ()
    if function == "leaky_relu":
        return _called(context, "LeakyReLU", first, *numbers), ()
    if function == "transpose" and len(numbers) == 1 and numbers[0][0] == 0:
        return _called(context, "Permute", first, tuple(numbers[0][1:])), ()
    return None, ()


def _called(context: Context, kind: str, source: Expression, *arguments: Any, **options: Any) -> LayerCall:
    return LayerCall(context.layer(kind, "", arguments=arguments, options=options), (source,))


def _fits(context: Context, code: Expression) -> bool:
    if not isinstance(code, Operand) or code.tensor in context.virtual or not context.is_data(code.tensor):
        return False
    rank = context.graph.rank(code.tensor)
    return rank is not None and rank > 1 and context.graph.dtype(code.tensor) == "float32"


def _concatenation(context: Context, parts: Sequence, axis: Expression | None) -> Expression | None:
    if len(parts.items) < 2 or not all(_fits(context, part) for part in parts.items) or not isinstance(axis, Literal):
        return None
    (rank, *others) = {context.graph.rank(part.tensor) for part in parts.items if isinstance(part, Operand)}
    if others or rank is None or axis.value in (0, -rank):
        return None
    return _called(context, "Concatenate", parts, axis=None if axis.value == -1 else axis.value)


def _sum(
    context: Context, code: Binary, reads: Counter[Tensor], makers: Mapping[Tensor | None, Piece]
) -> tuple[Expression | None, tuple[Piece, ...]]:
    """Returns the layer for a sum of tensors of the same shape, those read by nothing else that are such sums among them."""
    terms = _terms(code)
    if terms is None or not all(_fits(context, term) for term in terms):
        return None, ()
    inside: list[Piece] = []
    while True:
        first = terms[0]
        maker = makers.get(first.tensor)
        inner = _terms(maker.code) if maker is not None and reads[first.tensor] == 1 else None
        if maker is None or inner is None or not all(_fits(context, term) for term in inner):
            break
        if {context.sizes.shape(term.tensor) for term in inner} != {context.sizes.shape(first.tensor)}:
            break
        terms = (*inner, *terms[1:])
        inside.append(maker)
    shapes = {context.sizes.shape(term.tensor) for term in terms}
    if len(shapes) > 1 or None in shapes or any(context.op(term.tensor) in _OF_FORMULAS for term in terms):
        return None, ()
    return _called(context, "Add", Sequence(terms)), tuple(inside)


def _terms(code: Expression) -> tuple[Operand, ...] | None:
    """Returns the tensors that a sum adds, from the left; None where it is none."""
    if not isinstance(code, Binary) or code.symbol != "+" or not isinstance(code.right, Operand):
        return None
    if isinstance(code.left, Operand):
        return code.left, code.right
    left = _terms(code.left)
    return None if left is None else (*left, code.right)
