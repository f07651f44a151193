"""loop_conditions: which inputs' values decide how long a loop runs. Other values there may be ones on which it never ends."""

from collections.abc import Collection, Iterable

from export_v1.ir import library, ops
from export_v1.ir.graph import GraphDef, Index, data_inputs, parse


def inputs(graph_def: GraphDef, tensors: Iterable[str]) -> set[str]:
    """Returns those of some tensors whose values, and not only their sizes, reach the condition of a loop.

    A functional loop's condition is a function of all that the loop is given, so whatever reaches the loop counts. So does
    whatever reaches the call of a function that has a loop in it.

    Args:
        graph_def: the graph.
        tensors: tensor names.
    """
    index = Index(graph_def)
    looping = _looping_functions(graph_def)
    conditions = [node.name for node in graph_def.node if node.op == "LoopCond" or _loops(node, looping)]
    if not conditions:
        return set()
    reached = _values_before(index, conditions)
    # A tensor that is not there has another name in this graph, and nothing is known of it.
    return {tensor for tensor in tensors if parse(tensor).node in reached or parse(tensor).node not in index}


def _values_before(index: Index, nodes: Iterable[str]) -> set[str]:
    seen: set[str] = set()
    todo = list(nodes)
    while todo:
        name = todo.pop()
        if name in seen or name not in index:
            continue
        seen.add(name)
        if index[name].op not in ops.SIZES:
            todo.extend(tensor.node for tensor in data_inputs(index[name]))
    return seen


def _looping_functions(graph_def: GraphDef) -> set[str]:
    looping: set[str] = set()
    while True:
        more = {
            function.signature.name
            for function in graph_def.library.function
            if function.signature.name not in looping
            and any(node.op == "LoopCond" or _loops(node, looping) for node in function.node_def)
        }
        if not more:
            return looping
        looping |= more


def _loops(node, looping: Collection[str]) -> bool:
    return node.op in ops.WHILES or bool(library.called_by(node) & set(looping))
