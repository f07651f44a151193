"""A function of the graph's library as lines of code inside the call of a layer."""

from collections.abc import Mapping, Sequence

from export_v1.ir.graph import Tensor
from load_v2.opening import canonical, cover, graph, naming, statements, text
from load_v2.opening.context import Context, Refused
from load_v2.opening.expressions import Expression
from load_v2.opening.sizes import Sizes
from load_v2.opening.values import Values


def lines(
    context: Context, wanted: Sequence[Tensor], names: Mapping[Tensor, str], indent: int
) -> tuple[list[str], list[Expression], dict[Tensor, str]]:
    """Returns the code that computes tensors of a function: its lines, the results, and the names in them.

    Args:
        context: of the function, made for code inside a call.
        wanted: the results.
        names: what its arguments, and whatever else is given, are called.
        indent: how far the lines are indented.

    Raises:
        Refused: something in it has no code.
    """
    outputs = {str(at): tensor for at, tensor in enumerate(wanted)}
    inner_graph = canonical.simplified(graph.with_ends(context.graph, names, outputs), _no_variable)
    values = Values(inner_graph, _no_variable)
    inner = Context(inner_graph, values, Sizes(inner_graph, values), inside_call=True)
    covered = cover.cover(inner, cover.INSIDE)
    if covered.refusals:
        raise Refused("; ".join(map(str, covered.refusals)))
    program = statements.program(inner, covered.pieces)
    given = naming.name_values(program, {}, {tensor: name for tensor, name in names.items()})
    written = [
        text.statement(f"{_targets(statement, given)} = ", statement.code, given, indent)
        for statement in program.statements
    ]
    return written, list(program.outputs.values()), given


def _targets(statement: statements.Statement, names: Mapping[Tensor, str]) -> str:
    return ", ".join("_" if target is None else names[target] for target in statement.targets)


def _no_variable(variable):
    raise AssertionError(f"{variable.name!r} is not an argument")
