"""Under which predicates each node of a graph runs.

A Switch sends its input to output 1 or 0 by its predicate; what hangs on the other output is dead, through data and
control edges alike, until a Merge takes whichever of its inputs is alive. A context is the set of predicates, each
with its value, that a node needs to run: {} always, None never.
"""

import dataclasses

from export_v1.ir import graph
from export_v1.ir.graph import Tensor
from export_v1.passes.functional import region as regions
from export_v1.passes.functional.region import Region

Context = dict[str, int]


@dataclasses.dataclass
class Contexts:
    """The contexts of a region.

    Attributes:
        of: node name -> its context.
        resolved: Merge name -> (predicate, positions of the inputs that arrive when it is false and when true).
        live: Merge name -> position of the only input that can arrive, for a Merge under a decided predicate.
        decided: Switch name -> the output that is alive, where an enclosing condition has the same predicate.
        unresolved: Merge name -> why it belongs to no condition.
    """

    of: dict[str, Context | None]
    resolved: dict[str, tuple[str, tuple[int, int]]] = dataclasses.field(default_factory=dict)
    live: dict[str, int] = dataclasses.field(default_factory=dict)
    decided: dict[str, int] = dataclasses.field(default_factory=dict)
    unresolved: dict[str, str] = dataclasses.field(default_factory=dict)


def predicate(region: Region, switch: str) -> str:
    """Returns the tensor name of a Switch's predicate, identities seen through: a `tf.cond` makes several of one."""
    tensor = graph.parse(region.nodes[switch].input[1])
    while tensor.node in region.nodes and region.nodes[tensor.node].op == "Identity":
        tensor = graph.parse(region.nodes[tensor.node].input[0])
    return tensor.name


def analyse(region: Region, opaque: set[str]) -> Contexts:
    """Returns the contexts of a region's nodes.

    Args:
        region: not modified.
        opaque: nodes of loops that stay as they are; their Switches and Merges are no conditions.
    """
    result = Contexts({})
    for name in regions.order(region.nodes):
        node = region.nodes[name]
        edges = [
            _edge_context(region, result, graph.parse(edge), opaque)
            for edge in node.input
            if region.nodes[graph.parse(edge).node].op != "NextIteration"
        ]
        if node.op == "Merge" and name not in opaque and len(edges) < len(node.input):
            result.of[name] = _union(edges)
            result.unresolved[name] = "it goes around, and no Enter leads into it"
        elif node.op == "Merge" and name not in opaque:
            result.of[name] = _merge(result, name, edges, len(graph.data_inputs(node)))
        else:
            result.of[name] = _union(edges)
        if node.op == "Switch" and name not in opaque:
            context = result.of[name]
            key = predicate(region, name)
            if context is not None and key in context:
                result.decided[name] = context[key]
    return result


def _edge_context(region: Region, result: Contexts, tensor: Tensor, opaque: set[str]) -> Context | None:
    context = result.of.get(tensor.node)
    if context is None or region.nodes[tensor.node].op != "Switch" or tensor.node in opaque or tensor.index < 0:
        return context
    key = predicate(region, tensor.node)
    if key in context:
        return context if context[key] == tensor.index else None
    return {**context, key: tensor.index}


def _union(contexts: list[Context | None]) -> Context | None:
    """Returns the context of a node that needs all its inputs."""
    result: Context = {}
    for context in contexts:
        if context is None:
            return None
        for key, value in context.items():
            if result.setdefault(key, value) != value:
                return None
    return result


def _merge(result: Contexts, name: str, edges: list[Context | None], data: int) -> Context | None:
    """Returns the context of a Merge, and notes in `result` which condition it ends."""
    alive = [at for at in range(data) if edges[at] is not None]
    if len(alive) < 2:
        if not alive:
            return None
        result.live[name] = alive[0]
        return _union([edges[alive[0]], *edges[data:]])
    if len(alive) > 2:
        result.unresolved[name] = f"it merges {len(alive)} branches"
        return _union([{}, *edges[data:]])
    first, second = (context for context in edges[:data] if context is not None)
    opposite = [key for key in first if key in second and first[key] != second[key]]
    common = {key: value for key, value in first.items() if second.get(key) == value}
    if len(opposite) == 1:
        key = opposite[0]
        result.resolved[name] = (key, (alive[first[key]], alive[1 - first[key]]))
    else:
        result.unresolved[name] = "its inputs are not the two sides of one predicate"
    return _union([common, *edges[data:]])
