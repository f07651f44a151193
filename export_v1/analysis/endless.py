"""endless: loops whose condition is constantly true, found before anything runs them.

A session asks whether its time is up where a loop's condition is computed. TensorFlow computes a constant condition
once and ahead, so nothing asks any more, and such a loop cannot be stopped but with its process.
"""

from collections.abc import Mapping

import numpy as np

from export_v1 import errors
from export_v1.analysis import liveness
from export_v1.ir import graph, ops
from export_v1.ir.graph import GraphDef, Tensor


def check(graph_def: GraphDef) -> None:
    """Checks that no loop of a graph has a condition that is constantly true.

    Raises:
        ExportError: one has; its name, and what to do.
    """
    endless = loops(graph_def)
    if endless:
        raise errors.ExportError(
            f"The outputs need an endless loop, whose condition is always true: {errors.quoted(endless, 3)}.\n"
            "  Cut the graph after it with --input=KEY=TENSOR, or pass --no_sample to export it unproven."
        )


def loops(graph_def: GraphDef) -> list[str]:
    """Returns names of the loops of a graph and its functions whose condition is constantly true."""
    functions = {function.signature.name: function for function in graph_def.library.function}
    names = []
    for body in (graph_def, *map(_body, functions.values())):
        ends = [node for node in body.node if node.op == "LoopCond" and len(node.input)]
        values = liveness.known_values(body) if ends else {}
        names += [node.name.removesuffix("/LoopCond") for node in ends if _is_true(values, node.input[0])]
        calls = ((node.name, functions.get(node.attr["cond"].func.name)) for node in body.node if node.op in ops.WHILES)
        names += [name for name, condition in calls if condition is not None and _is_constantly_true(condition)]
    return names


def _is_constantly_true(condition) -> bool:
    values = liveness.known_values(_body(condition))
    return any(_is_true(values, _node_edge(edge)) for edge in condition.ret.values())


def _is_true(values: Mapping[Tensor, np.ndarray], edge: str) -> bool:
    value = values.get(graph.parse(edge))
    return value is not None and np.size(value) > 0 and bool(np.all(value))


def _body(function) -> GraphDef:
    """Returns the nodes of a function as a graph. Only edges from a first output are as they were."""
    body = GraphDef()
    for node in function.node_def:
        copy = body.node.add()
        copy.CopyFrom(node)
        del copy.input[:]
        copy.input.extend(map(_node_edge, node.input))
    return body


def _node_edge(edge: str) -> str:
    """Returns an edge as graphs write it: "node:output:0" is "node" there."""
    name, _, output = edge.partition(":")
    return name if output.rpartition(":")[2] in ("", "0") else f"{name}:{output.rpartition(':')[2]}"
