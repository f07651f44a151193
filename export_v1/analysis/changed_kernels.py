"""Ops whose kernels answer otherwise in TensorFlow 2 than in TensorFlow 1.15.

The proof asks the original in TensorFlow 2, whose kernel the export has, too: it finds both equal where TensorFlow 1 gave
something else. Each entry was seen with 1.15.5 and 2.21. Kernels that differ in single numbers alone are not among them:
ties in QuantizeV2's MIN_FIRST, FloorDiv of the largest int32.
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from export_v1.analysis import liveness
from export_v1.ir import graph, library
from export_v1.ir.graph import GraphDef, NodeDef, Tensor

# Where NonMaxSuppressionV5 reads soft_nms_sigma.
_SIGMA = 5


def unproven(graph_def: GraphDef, outputs: Mapping[str, str]) -> dict[str, str]:
    """Returns output key -> which op's kernel has changed, of the outputs that need one.

    Args:
        graph_def: the graph.
        outputs: output key -> tensor name.
    """
    changed = {node.name: why for node, why in _changed(graph_def)}
    callers = set(_callers(graph_def))
    if not changed and not callers:
        return {}
    index = graph.Index(graph_def)
    found = {}
    for key, name in outputs.items():
        needed = index.ancestors([graph.parse(name).node])
        suspected = sorted(needed & (changed.keys() | callers))
        why = next(filter(None, (changed.get(node) or _called(graph_def, index[node]) for node in suspected)), "")
        found.update({key: why} if why else {})
    return found


def _callers(graph_def: GraphDef) -> Iterator[str]:
    """Yields the nodes that call functions, where a function has an op that may be changed."""
    functions = graph_def.library.function
    if any(node.op == "NonMaxSuppressionV5" for function in functions for node in function.node_def):
        yield from (node.name for node in graph_def.node if library.called_by(node))


def _called(graph_def: GraphDef, caller: NodeDef) -> str:
    bodies = (library.body(graph_def, name).graph_def for name in sorted(library.reachable(graph_def, [caller])))
    return next((why for body in bodies for _, why in _changed(body)), "")


def _changed(graph_def: GraphDef) -> Iterator[tuple[NodeDef, str]]:
    nodes = [node for node in graph_def.node if node.op == "NonMaxSuppressionV5"]
    for node, sigma in zip(nodes, _values(graph_def, (graph.data_inputs(node)[_SIGMA] for node in nodes)), strict=True):
        if sigma is None or np.any(sigma):
            yield node, f"{node.op} {node.name!r} with a soft_nms_sigma drops fewer boxes in TensorFlow 2 than in 1.15"


def _values(graph_def: GraphDef, tensors: Iterable[Tensor]) -> list[np.ndarray | None]:
    wanted = list(tensors)
    known = liveness.known_values(graph_def) if wanted else {}
    return [known.get(tensor) for tensor in wanted]
