"""randomness: which tensors of a graph depend on random numbers, as its edges tell."""

from collections.abc import Collection, Mapping

from export_v1.ir import library, ops
from export_v1.ir.graph import GraphDef, Index, NodeDef, parse


def sources(index: Index, tensors: Mapping[str, str], given: Collection[str] = ()) -> dict[str, str]:
    """Returns, for each tensor that a random op stands before, that op as "TYPE 'NAME'"; of several, the first by name.
    Where it is in a function, NAME is the node that calls it: "TYPE inside 'NAME'".

    Functions count: a node that may call one which draws random numbers draws them itself. So do control edges, since
    what waits for a node may read what that has written.

    Args:
        index: the graph.
        tensors: any key -> tensor name; a tensor that is not in the graph depends on nothing.
        given: nodes whose value comes from elsewhere, so that nothing before them counts.
    """
    draws = drawing(index)
    result = {}
    for key, tensor in tensors.items():
        reached = index.ancestors([parse(tensor).node], stop=given) & draws.keys()
        if first := min(reached - set(given), default=None):
            result[key] = draws[first]
    return result


def drawing(index: Index) -> dict[str, str]:
    """Returns the nodes that draw random numbers themselves, or by what they call: name -> the op, as `sources` has it."""
    functions = _drawing_functions(index.graph_def)
    draws = ((node.name, _draw(node, functions)) for node in index.graph_def.node)
    return {name: draw for name, draw in draws if draw is not None}


def _draw(node: NodeDef, drawing: Mapping[str, str]) -> str | None:
    """Returns the random op that a node is or may call, in words."""
    if ops.is_random(node.op):
        return f"{node.op} {node.name!r}"
    called = sorted(library.called_by(node) & drawing.keys())
    return f"{drawing[called[0]]} inside {node.name!r}" if called else None


def _drawing_functions(graph_def: GraphDef) -> dict[str, str]:
    """Returns function -> type of a random op, for those that draw numbers, themselves or through others they call."""
    bodies = {function.signature.name: function.node_def for function in graph_def.library.function}
    gradients = {gradient.function_name: gradient.gradient_func for gradient in graph_def.library.gradient}
    drawing: dict[str, str] = {}
    while True:
        more = {
            name: op
            for name, nodes in bodies.items()
            if name not in drawing
            and (
                op := drawing.get(gradients.get(name, ""))
                or next(filter(None, (_type(n, drawing) for n in nodes)), None)
            )
        }
        if not more:
            return drawing
        drawing |= more


def _type(node: NodeDef, drawing: Mapping[str, str]) -> str | None:
    if ops.is_random(node.op):
        return node.op
    return next((drawing[name] for name in sorted(library.called_by(node)) if name in drawing), None)
