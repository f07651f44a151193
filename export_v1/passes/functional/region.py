"""A region: nodes that will be one function body, or the graph itself, and how a part of one becomes another."""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping

import tensorflow as tf

from export_v1.ir import graph
from export_v1.ir.graph import NodeDef, Tensor

# A constant no bigger than this is copied into a function rather than passed to it: XLA, shape inference and
# converters look for shapes, axes and limits where they are used. Weights of a frozen graph stay outside.
COPIED_BYTES = 1024


class Unconvertible(Exception):
    """A construct that has to stay as it is.

    Attributes:
        construct: name of the LoopCond, Merge or TensorArrayV3 node that stands for it.
        reason: why, as a sentence without a full stop.
    """

    def __init__(self, construct: str, reason: str):
        super().__init__(f"{construct}: {reason}")
        self.construct, self.reason = construct, reason

    def within(self, construct: str) -> "Unconvertible":
        """Returns what is to be said of the construct around it."""
        return self if self.construct == construct else Unconvertible(construct, f"in it, {self}")


@dataclasses.dataclass
class Region:
    """Nodes by name, in order; they belong to the region and may be changed.

    Attributes:
        nodes: the nodes; an argument is a node of op `_Arg` with an attribute `T`.
        args: names of the argument nodes, in order; empty for the graph itself.
        results: edges that the function returns, in order.
        bodies: for a functional node (While, If), its attribute name -> the region it runs.
    """

    nodes: dict[str, NodeDef]
    args: list[str] = dataclasses.field(default_factory=list)
    results: list[str] = dataclasses.field(default_factory=list)
    bodies: dict[str, dict[str, "Region"]] = dataclasses.field(default_factory=dict)

    def dtype(self, tensor: Tensor) -> int:
        """Returns the DataType of a tensor of this region; raises LookupError where the op is not registered."""
        node = self.nodes[tensor.node]
        return node.attr["T"].type if node.op == "_Arg" else graph.output_types(node)[tensor.index]

    def add(self, node: NodeDef) -> NodeDef:
        self.nodes[node.name] = node
        return node

    def walk(self) -> Iterable["Region"]:
        """Yields this region and every region below it."""
        yield self
        for parts in self.bodies.values():
            for part in parts.values():
                yield from part.walk()


def make(name: str, op: str, inputs: Iterable[str] = (), **types: int) -> NodeDef:
    """Returns a NodeDef; the keyword arguments are its attributes of kind `type`."""
    node = NodeDef(name=name, op=op, input=inputs)
    for key, value in types.items():
        node.attr[key].type = value
    return node


def constant(name: str, value, dtype: int, controls: Iterable[str] = ()) -> NodeDef:
    """Returns a Const node that holds `value`."""
    node = make(name, "Const", ["^" + control for control in controls], dtype=dtype)
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, dtype))
    return node


def order(nodes: Mapping[str, NodeDef]) -> list[str]:
    """Returns the node names so that each comes after what it needs; back edges of v1 loops do not count."""
    done: dict[str, bool] = {}
    result = []
    for root in nodes:
        stack = [root]
        while stack:
            name = stack.pop()
            if name in done:
                if not done[name]:
                    done[name] = True
                    result.append(name)
                continue
            done[name] = False
            stack.append(name)
            sources = [graph.parse(edge).node for edge in nodes[name].input]
            stack.extend(
                s for s in reversed(sources) if s in nodes and s not in done and nodes[s].op != "NextIteration"
            )
    return result


def stateful(node: NodeDef) -> bool:
    """Returns whether an op has effects, or answers that effects change; an unknown op counts as one that has."""
    definition = graph.op_def(node.op)
    return node.op != "_Arg" and (definition is None or definition.is_stateful)


class Captures:
    """Tensors of an enclosing region that the functions of one construct need; each becomes an argument of all."""

    def __init__(self, outer: Region, name: str, used_names: set[str]):
        self.outer, self.name, self.used_names = outer, name, used_names
        self.args: dict[str, str] = {}
        self.controls: dict[str, None] = {}

    def arg(self, source: Tensor, inner: Region) -> str:
        """Returns the edge by which `inner` reads the outer tensor `source`."""
        node = self.outer.nodes[source.node]
        if node.op == "Const" and node.ByteSize() <= COPIED_BYTES:
            if node.name not in inner.nodes:
                copy = inner.nodes[node.name] = NodeDef()
                copy.CopyFrom(node)
                del copy.input[:]
            return node.name
        name = self.args.get(source.name)
        if name is None:
            leaf = source.node.rsplit("/", 1)[-1]
            name = self.args[source.name] = graph.fresh_name(f"{self.name}/{leaf}", self.used_names)
        if name not in inner.nodes:
            inner.add(make(name, "_Arg", T=self.outer.dtype(source)))
        return name

    def drop_unused(self, parts: Iterable[Region]) -> None:
        """Forgets the captured tensors that none of the functions reads."""
        read = {graph.parse(edge).node for part in parts for edge in part.results}
        read |= {graph.parse(edge).node for part in parts for node in part.nodes.values() for edge in node.input}
        for source, arg in list(self.args.items()):
            if arg not in read:
                del self.args[source]
                for part in parts:
                    part.nodes.pop(arg, None)

    def declare(self, part: Region) -> None:
        """Gives a function an argument node for every captured tensor, also for those that only the other reads."""
        for source, arg in self.args.items():
            if arg not in part.nodes:
                part.add(make(arg, "_Arg", T=self.outer.dtype(graph.parse(source))))

    def edges(self) -> list[str]:
        """Returns the edges that feed the captured arguments, in order."""
        return [graph.parse(source).edge for source in self.args]


def carve(
    captures: Captures,
    results: Collection[str],
    inside: Callable[[str], bool],
    replaced: Mapping[str, str],
    region: Region,
) -> None:
    """Copies into `region` what `results` need, and sets its results.

    Args:
        captures: receives each tensor that comes from outside; its `controls`, each outer node waited for.
        results: edges of the enclosing region.
        inside: whether a node of the enclosing region belongs to the new one.
        replaced: tensor name -> edge of the new region to read instead; nodes named in it are not copied, and
            control edges from them are dropped: they only say that the region runs.
        region: receives the nodes; may already have some.
    """
    outer = captures.outer
    edges = {graph.parse(name).node for name in replaced}

    def translate(edge: str) -> str | None:
        tensor = graph.parse(edge)
        if tensor.name in replaced:
            return replaced[tensor.name]
        if tensor.node in edges:
            if tensor.index >= 0:
                raise Unconvertible(tensor.node, f"its output {tensor.index} is used where it is never alive")
            return None
        if inside(tensor.node):
            todo.append(tensor.node)
            return edge
        if tensor.index < 0:
            captures.controls[tensor.node] = None
            return None
        return captures.arg(tensor, region)

    todo: list[str] = []
    for edge in results:
        result = translate(edge)
        assert result is not None, f"{edge!r} is a control edge, which is no result"
        region.results.append(result)
    copied: dict[str, NodeDef] = {}
    while todo:
        name = todo.pop()
        if name not in copied:
            copied[name] = _copy(outer.nodes[name], translate)
    region.nodes.update((name, copied[name]) for name in outer.nodes if name in copied)
    region.bodies.update((name, outer.bodies[name]) for name in copied if name in outer.bodies)


def _copy(node: NodeDef, translate: Callable[[str], str | None]) -> NodeDef:
    """Returns a node with each edge translated; those without a translation are dropped."""
    # The one asks TensorFlow for the type of its variable, which a function that was loaded does not know.
    if node.op.startswith("TensorArray") or node.op == "ResourceCountUpTo":
        raise Unconvertible(node.name, f"{node.op} stays as it is, and cannot be in a function")
    copy = NodeDef()
    copy.CopyFrom(node)
    del copy.input[:]
    edges = [edge for edge in map(translate, node.input) if edge]
    copy.input.extend(edge for edge in edges if not edge.startswith("^"))
    copy.input.extend(dict.fromkeys(edge for edge in edges if edge.startswith("^")))
    return copy
