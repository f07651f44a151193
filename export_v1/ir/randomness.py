"""randomness: which tensors of a graph depend on random numbers, as its edges tell."""

from collections.abc import Iterable, Mapping

from export_v1.ir import library, ops
from export_v1.ir.graph import GraphDef, Index, NodeDef, parse


def sources(graph_def: GraphDef, tensors: Mapping[str, str]) -> dict[str, str]:
    """Returns, for each tensor that a random op stands before, that op as "TYPE 'NAME'"; of several, the first by name.

    Functions count: a node that may call one which draws random numbers draws them itself. So do control edges, since
    what waits for a node may read what that has written.

    Args:
        graph_def: the graph.
        tensors: any key -> tensor name; a tensor that is not in the graph depends on nothing.
    """
    index, drawing = Index(graph_def), _drawing_functions(graph_def)
    found = {}
    for key, tensor in tensors.items():
        reached = sorted(index.ancestors([parse(tensor).node]))
        draws = next((index[name] for name in reached if _draws(index[name], drawing)), None)
        if draws is not None:
            found[key] = f"{draws.op} {draws.name!r}"
    return found


def _draws(node: NodeDef, drawing: Iterable[str]) -> bool:
    return ops.is_random(node.op) or bool(library.called_by(node) & set(drawing))


def _drawing_functions(graph_def: GraphDef) -> set[str]:
    """Returns the names of the functions that draw random numbers, themselves or through others that they call."""
    bodies = {function.signature.name: function.node_def for function in graph_def.library.function}
    gradients = {one.function_name: one.gradient_func for one in graph_def.library.gradient}
    drawing: set[str] = set()
    while True:
        more = {
            name
            for name, nodes in bodies.items()
            if name not in drawing and (gradients.get(name) in drawing or any(_draws(node, drawing) for node in nodes))
        }
        if not more:
            return drawing
        drawing |= more
