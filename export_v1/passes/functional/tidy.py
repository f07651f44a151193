"""What a carved function body does not need: control edges from pure nodes, identities, dead ends.

In a v1 frame every constant waits for a pivot, so that it runs once per iteration or in one branch only. A function
body runs as a whole: those edges say nothing there, and hide constants from XLA and converters. Edges that order
effects are kept.
"""

from export_v1.ir import graph
from export_v1.passes.functional import region as regions
from export_v1.passes.functional.region import Region


def tidy(region: Region) -> None:
    """Drops edges, identities and nodes of a function body that change neither its results nor its effects."""
    _drop_idle_controls(region)
    _skip_identities(region)
    _drop_dead(region)


def _drop_idle_controls(region: Region) -> None:
    """An edge from a node that no effect precedes orders nothing."""
    effects: set[str] = set()
    for name in regions.order(region.nodes):
        node = region.nodes[name]
        if regions.stateful(node) or any(graph.parse(edge).node in effects for edge in node.input):
            effects.add(name)
    for node in region.nodes.values():
        kept = [edge for edge in node.input if not edge.startswith("^") or edge[1:] in effects]
        if len(kept) != len(node.input):
            del node.input[:]
            node.input.extend(kept)


def _skip_identities(region: Region) -> None:
    """Reads through Identity nodes, unless one waits for something."""
    sources: dict[str, str] = {}
    for name in regions.order(region.nodes):
        node = region.nodes[name]
        if node.op == "Identity" and len(node.input) == 1:
            sources[name] = sources.get(graph.parse(node.input[0]).node, node.input[0])

    def skip(edge: str) -> str:
        return edge if edge.startswith("^") else sources.get(graph.parse(edge).node, edge)

    for node in region.nodes.values():
        edges = [skip(edge) for edge in node.input]
        if edges != list(node.input):
            del node.input[:]
            node.input.extend(edges)
    region.results = [skip(edge) for edge in region.results]


def _drop_dead(region: Region) -> None:
    alive: set[str] = set()
    todo = [graph.parse(edge).node for edge in region.results]
    todo += [name for name, node in region.nodes.items() if node.op == "_Arg" or regions.stateful(node)]
    while todo:
        name = todo.pop()
        if name not in alive:
            alive.add(name)
            todo.extend(graph.parse(edge).node for edge in region.nodes[name].input)
    region.nodes = {name: node for name, node in region.nodes.items() if name in alive}
    region.bodies = {name: parts for name, parts in region.bodies.items() if name in alive}
