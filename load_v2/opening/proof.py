"""Proofs: each piece against the piece of graph that it stands for, with the same random input."""

import dataclasses
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np

from export_v1.format import comparison
from export_v1.ir.graph import Tensor
from load_v2.opening import expressions, printed, text
from load_v2.opening.context import Context, Piece
from load_v2.opening.expressions import (
    Binary,
    Call,
    Constant,
    Expression,
    Item,
    LayerCall,
    Literal,
    Negative,
    Operand,
    Sequence,
    Slice,
)
from load_v2.opening.layers import Layer

_INFIX: Mapping[str, Callable] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
    "%": operator.mod, "**": operator.pow, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_SEED = 20
# They are never anything else.
_OF_ONE_VALUE = frozenset({"Fill", "ZerosLike", "OnesLike"})


class Evaluator:
    """Computes expressions with Keras as the generated code would, layer by layer, each layer made and filled once."""

    def __init__(self, context: Context):
        self._context = context
        self._made: dict[int, tuple[Layer, keras.Layer]] = {}

    def evaluate(self, code: Expression, given: Mapping[Tensor, Any]) -> Any:
        """Returns the value of an expression; what is no data comes from the graph."""
        if isinstance(code, Operand):
            return given[code.tensor] if code.tensor in given else self._fixed(code.tensor)
        if isinstance(code, Literal):
            return code.value
        if isinstance(code, Constant):
            return code.values
        if isinstance(code, Sequence):
            items = [self.evaluate(item, given) for item in code.items]
            return tuple(items) if code.is_tuple else items
        if isinstance(code, Slice):
            ends = [self.evaluate(e, given) if isinstance(e, Expression) else e for e in (code.start, code.stop)]
            return slice(ends[0], ends[1], code.step)
        if isinstance(code, Binary):
            return _INFIX[code.symbol](self.evaluate(code.left, given), self.evaluate(code.right, given))
        if isinstance(code, Negative):
            return -self.evaluate(code.value, given)
        if isinstance(code, Item):
            places = tuple(self.evaluate(item, given) for item in code.items)
            return self.evaluate(code.value, given)[places if len(places) > 1 else places[0]]
        assert isinstance(code, (Call, LayerCall))
        arguments = [self.evaluate(argument, given) for argument in code.arguments]
        options = {key: self.evaluate(value, given) for key, value in code.options}
        if isinstance(code, LayerCall):
            return self._layer(code.layer, arguments, options)(*arguments, **options)
        return self._function(code.function)(*arguments, **options)

    def _function(self, name: str) -> Callable:
        value: Any = {"ops": keras.ops, "np": np, "keras": keras}.get(name.partition(".")[0])
        if value is None:
            # A function that the code defines for itself.
            namespace: dict[str, Any] = {"keras": keras, "ops": keras.ops, "np": np}
            exec(printed.HELPERS[name], namespace)
            return namespace[name]
        for part in name.split(".")[1:]:
            value = getattr(value, part)
        return value

    def _fixed(self, tensor: Tensor) -> Any:
        value = self._context.values.value(tensor)
        small = self._context.values.kind(tensor) == "constant" and expressions.is_literal(value)
        if small:
            return expressions.scalar(value) if value.ndim == 0 else value
        return keras.ops.convert_to_tensor(value)

    def _layer(self, layer: Layer, arguments: list[Any], options: Mapping[str, Any]) -> keras.Layer:
        if id(layer) not in self._made:
            namespace: dict[str, Any] = {"keras": keras, "layers": keras.layers, "ops": keras.ops, "np": np}
            inside = [argument for argument in text.constructor_arguments(layer) if not argument.startswith("name=")]
            definitions = [layer.printed.source] if layer.printed else []
            for definition in [*printed.helpers("\n".join([*definitions, *inside])), *definitions]:
                exec(definition, namespace)
            made = eval(f"{layer.constructor}({', '.join(inside)})", namespace)
            try:
                made(*arguments, **options)
            except Exception:  # its weights are not its own yet, and not every layer takes zeros for them
                if not (made.built and layer.weights):
                    raise
            if layer.weights:
                made.set_weights(list(layer.weights))
            self._made[id(layer)] = layer, made
        return self._made[id(layer)][1]


def check(context: Context, pieces: Iterable[Piece], inputs: Mapping[str, np.ndarray]) -> dict[tuple[str, Tensor], str]:
    """Returns what is different in the pieces that do not do what the graph does: (rule, tensor) -> how it differs.

    Each piece and the nodes that it stands for get the same random numbers, of the shapes that the sample gives; whole
    numbers are the sample's own, and so are all where the graph makes no finite numbers of random ones.
    """
    pieces = [piece for piece in pieces if not any(output in context.virtual for output in piece.outputs)]
    pieces = [
        dataclasses.replace(piece, code=without_virtual(context, piece.code))
        if _reads_virtual(context, piece.code)
        else piece
        for piece in pieces
        if not isinstance(piece.code, Operand) or piece.code.tensor in context.virtual
    ]
    feeds = context.values.with_weights({context.graph.inputs[key]: np.asarray(value) for key, value in inputs.items()})
    wanted = {t: None for piece in pieces for t in expressions.operands(piece.code) if context.is_data(t)}
    fetched = [tensor for tensor in wanted if tensor not in feeds]
    known = dict(zip(fetched, context.values.run(fetched, feeds), strict=True)) if fetched else {}
    known.update({tensor: feeds[tensor] for tensor in wanted if tensor in feeds})
    random, evaluator = np.random.default_rng(_SEED), Evaluator(context)
    wrong = {}
    for piece in pieces:
        recorded = {t: known[t] for t in expressions.operands(piece.code) if context.is_data(t)}
        given = {
            t: value if context.op(t) in _OF_ONE_VALUE or t in context.as_recorded else _like(value, random)
            for t, value in recorded.items()
        }
        difference = _difference(context, evaluator, piece, (given, recorded), feeds)
        if difference:
            first = next(output for output in piece.outputs if output is not None)
            wrong[piece.rule, first] = difference
    return wrong


def _reads_virtual(context: Context, code: Expression) -> bool:
    return any(tensor in context.virtual for tensor in expressions.operands(code))


def without_virtual(context: Context, code: Expression) -> Expression:
    """Returns an expression with what gives a tensor that the graph does not have in the place of that tensor."""

    def change(part: Expression) -> Expression | None:
        if not isinstance(part, Operand) or part.tensor not in context.virtual:
            return None
        piece = context.virtual[part.tensor]
        inner = without_virtual(context, piece.code)
        return inner if len(piece.outputs) == 1 else Item(inner, (Literal(piece.outputs.index(part.tensor)),))

    return expressions.replaced(code, change)


def _like(value: np.ndarray, random: np.random.Generator) -> np.ndarray:
    if value.dtype.kind != "f":
        return value
    return np.asarray(random.normal(size=value.shape), value.dtype)


def _is_finite(values: Iterable[np.ndarray]) -> bool:
    return all(np.isfinite(value).all() for value in map(np.asarray, values) if value.dtype.kind in "fc")


def _difference(context: Context, evaluator: Evaluator, piece: Piece, tries, feeds) -> str | None:
    """Returns what is different for inputs; for the next ones, too, where there is no finite answer to the first."""
    outputs = [output for output in piece.outputs if output is not None]
    refused, answered = None, False
    for given in tries:
        want = context.values.run(outputs, {**feeds, **given})
        try:
            have = evaluator.evaluate(piece.code, {t: keras.ops.convert_to_tensor(value) for t, value in given.items()})
        except Exception as error:  # whatever Keras and its backend raise, the piece has no such code
            refused = f"Keras refuses it: {type(error).__name__}: {first_lines(error)}"
            continue
        members = list(have) if len(piece.outputs) > 1 else [have]
        members = [member for member, output in zip(members, piece.outputs, strict=True) if output is not None]
        for output, wanted, member in zip(outputs, want, members, strict=True):
            got = np.asarray(keras.ops.convert_to_numpy(member))
            compared = comparison.compare(output.name, np.asarray(wanted), got, sides=("in the graph", "in Keras"))
            if not compared.equal:
                return str(compared)
        if _is_finite(want):
            return None
        # NaN equals NaN: where there is nothing else, nothing was compared.
        answered = True
    return None if answered else refused


def first_lines(error: Exception) -> str:
    """Returns what an error of Keras's says, without its lists of arguments and without colours."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    return " ".join([line.strip() for line in plain.splitlines() if line.strip()][:2])
