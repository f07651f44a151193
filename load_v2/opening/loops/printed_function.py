"""A function of the graph's library as lines of code inside the call of a layer."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from export_v1.ir.graph import Tensor
from load_v2.opening import block_text, canonical, cover, expressions, graph, naming, statements, text
from load_v2.opening.context import Context, Refused
from load_v2.opening.expressions import Expression, LayerCall, Local, Operand
from load_v2.opening.layers import Layer
from load_v2.opening.sizes import Sizes
from load_v2.opening.values import Values


class Owner(Protocol):
    """The layer in whose call the code stands: it holds the layers and the weights that the code reads."""

    def sublayer(self, layer: Layer, input_shape: tuple[int | None, ...]) -> None:
        """Gives a layer that the code calls the name by which it does so."""

    def weight(self, context: Context, tensor: Tensor, value: np.ndarray) -> str:
        """Returns what a weight that is in no layer is called, or a large constant."""


def lines(
    context: Context, wanted: Sequence[Tensor], names: Mapping[Tensor, str], indent: int, owner: Owner
) -> tuple[list[str], list[Expression], dict[Tensor, str]]:
    """Returns the code that computes tensors of a function: its lines, the results, and the names in them.

    Args:
        context: of the function.
        wanted: the results.
        names: what its arguments, and whatever else is given, are called.
        indent: how far the lines are indented.
        owner: the layer that is called.

    Raises:
        Refused: something in it has no code.
    """
    outputs = {str(at): tensor for at, tensor in enumerate(wanted)}

    def read(variable) -> np.ndarray:
        return context.values.of_variable(variable.key)

    inner_graph = canonical.simplified(graph.with_ends(context.graph, names, outputs), read)
    values = Values(inner_graph, read)
    sizes = Sizes(inner_graph, values, numbers=True)
    inner = Context(inner_graph, values, sizes, context.patterns, inside_call=True)
    covered = cover.cover(inner)
    if covered.refusals:
        raise Refused("; ".join(map(str, covered.refusals)))
    program = statements.program(inner, covered.pieces)
    calls = [part for piece in covered.pieces for part in expressions.walk(piece.code) if isinstance(part, LayerCall)]
    shapes = {id(part.layer): _input_shape(inner, part) for part in calls}
    for layer in statements.layers_of(program.statements):
        owner.sublayer(layer, shapes[id(layer)])
    held = {tensor: owner.weight(inner, tensor, value) for tensor, value in program.held.items()}
    given = naming.name_values(program, {}, {**held, **names})
    written = [_statement(statement, given, indent, owner) for statement in program.statements]
    if written and isinstance(program.statements[0].code, Local):
        written[0] = written[0].lstrip("\n")
    return written, list(program.outputs.values()), given


def _statement(statement: statements.Statement, names: Mapping[Tensor, str], indent: int, owner: Owner) -> str:
    code = statement.code
    if not isinstance(code, Local):
        return block_text.statement(statement, names, indent)
    inner = {t: text.flat(argument, names) for t, argument in zip(code.tensors, code.arguments, strict=True)}
    before, values = code.lines(inner, indent, owner)
    read = [(names[target], value) for target, value in zip(statement.targets, values, strict=True) if target]
    targets, given = (", ".join(side) for side in zip(*read, strict=True))
    return "\n".join(["", *before, f"{' ' * indent}{targets} = {given}"])


def _input_shape(inner: Context, part: LayerCall) -> tuple[int | None, ...]:
    """Returns the shape of what a layer is called on, as far as the layer has to know it to make its weights."""
    source = part.arguments[0]
    shape = inner.graph.shape(source.tensor) if isinstance(source, Operand) else None
    if shape is None:
        raise Refused(f"the rank of what {part.layer.scope!r} is called on is not known")
    if part.layer.kind == "Dense":
        return (*shape[:-1], part.layer.weights[0].shape[0])
    return shape
