"""A graph as its name scopes have it: a tree, and in each scope the edges between what is directly in it."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping

from load_v2.program import subgraph

# So many ops of one graph are drawn; a page of more could not be opened.
_DRAWN = 12_000
_DEEPEST_FUNCTION = 4


@dataclasses.dataclass
class Scope:
    """A scope, or an op where it has no children.

    Attributes:
        name: last part of its path.
        op: the type of an op; "" of a scope.
        nodes: how many nodes of the graph are in it, weights and constants included.
        role: what it is to the signature: "input KEY" or "output KEY"; "" otherwise.
        children: what is directly in it, in the order of the graph.
        edges: (position of one child, position of another, how many tensors go from the one to the other).
        functions: bodies and branches of a loop, a condition or a call, each as a scope.
    """

    name: str
    op: str = ""
    nodes: int = 0
    role: str = ""
    children: list["Scope"] = dataclasses.field(default_factory=list)
    edges: list[tuple[int, int, int]] = dataclasses.field(default_factory=list)
    functions: list["Scope"] = dataclasses.field(default_factory=list)

    def to_json(self) -> list:
        """Returns it as short JSON: [name, op, nodes, role, children, edges, functions], without what is empty at its end."""
        values = [self.name, self.op, self.nodes, self.role, [child.to_json() for child in self.children], self.edges]
        values.append([function.to_json() for function in self.functions])
        while values and not values[-1]:
            values.pop()
        return values


def tree(part: subgraph.GraphDef, roles: Mapping[str, str]) -> tuple[Scope, int]:
    """Returns the scopes of a graph, and how many ops were left out because there are too many.

    Only what depends on data is drawn: weights, constants and what is made of them alone are counted. Where nothing
    depends on an input, everything is drawn.

    Args:
        part: what one signature needs.
        roles: node name -> what it is to the signature.
    """
    functions = {function.signature.name: function for function in part.library.function}
    budget = [_DRAWN]
    made = _tree("", part.node, roles, functions, budget, 0)
    return made, -min(budget[0], 0)


def _tree(
    name: str, nodes: Iterable, roles: Mapping[str, str], functions: Mapping, budget: list[int], depth: int
) -> Scope:
    nodes = list(nodes)
    root, scopes = Scope(name), {}
    kept = _of_data(nodes)
    inner = {scope for node in nodes for scope in _scopes(node.name)}
    place: dict[str, tuple[Scope, ...]] = {}
    for node in nodes:
        at: tuple[Scope, ...] = (root,)
        root.nodes += 1
        # A node of a scope's own name stands in that scope.
        path = _scopes(node.name) + ([node.name] if node.name in inner else [])
        if node.name in kept:
            budget[0] -= 1
        for scope in path:
            if scope not in scopes:
                scopes[scope] = Scope(scope.rpartition("/")[2])
                at[-1].children.append(scopes[scope])
            scopes[scope].nodes += 1
            at = (*at, scopes[scope])
        if node.name in kept and budget[0] >= 0:
            op = Scope(node.name.rpartition("/")[2], node.op, 1, roles.get(node.name, ""))
            if depth < _DEEPEST_FUNCTION:
                op.functions = [
                    _tree(key, functions[called].node_def, {}, functions, budget, depth + 1)
                    for key, called in _called(node)
                    if called in functions
                ]
            at[-1].children.append(op)
            place[node.name] = (*at, op)
    _connect(nodes, place)
    _prune(root)
    return root


def _scopes(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _of_data(nodes: list) -> set[str]:
    """Returns the nodes that depend on a placeholder or on what a function is given; all where none does."""
    known = {node.name for node in nodes}
    consumers: dict[str, list[str]] = {}
    waiting = []
    for node in nodes:
        sources = [_source(edge) for edge in node.input if not edge.startswith("^")]
        if node.op.startswith("Placeholder") or any(source not in known for source in sources):
            waiting.append(node.name)
        for source in sources:
            consumers.setdefault(source, []).append(node.name)
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += consumers.get(name, ())
    return reached or known


def _source(edge: str) -> str:
    """Returns the node of an edge: of a graph ("a:0") or of a function ("a:out:0")."""
    return edge.lstrip("^").partition(":")[0]


def _called(node) -> Iterable[tuple[str, str]]:
    for key, value in sorted(node.attr.items()):
        if value.HasField("func"):
            yield key, value.func.name
        elif value.HasField("list"):
            yield from ((f"{key} {at}", function.name) for at, function in enumerate(value.list.func))


def _connect(nodes: list, place: Mapping[str, tuple[Scope, ...]]) -> None:
    """Puts each edge where the ways of its two ends part: between two children of one scope."""
    edges: dict[int, Counter] = {}
    holders: dict[int, Scope] = {}
    position: dict[int, int] = {}
    for way in place.values():
        for scope in way[:-1]:
            if id(scope) not in holders:
                holders[id(scope)] = scope
                position.update({id(child): at for at, child in enumerate(scope.children)})
    for node in nodes:
        target = place.get(node.name)
        if target is None:
            continue
        for edge in node.input:
            source = place.get(_source(edge))
            if source is None or edge.startswith("^") or source is target:
                continue
            common = next(at for at, (a, b) in enumerate(zip(source, target, strict=False)) if a is not b)
            pair = position[id(source[common])], position[id(target[common])]
            edges.setdefault(id(source[common - 1]), Counter())[pair] += 1
    for key, counted in edges.items():
        holders[key].edges = [(a, b, count) for (a, b), count in counted.items()]


def _prune(scope: Scope) -> None:
    """Takes away scopes with nothing to draw: those that hold weights and constants alone."""
    for child in scope.children:
        _prune(child)
    kept = [at for at, child in enumerate(scope.children) if child.op or child.children]
    moved = {old: new for new, old in enumerate(kept)}
    scope.edges = [(moved[a], moved[b], count) for a, b, count in scope.edges]
    scope.children = [scope.children[at] for at in kept]
