"""Reading a GraphDef: names, edges, what a node takes and gives. Nothing here changes a graph."""

import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias, TypeVar

from tensorflow.core.framework import attr_value_pb2, graph_pb2, node_def_pb2, op_def_pb2

from export_v1 import private
from export_v1.ir import ops, removed

AttrValue: TypeAlias = attr_value_pb2.AttrValue
GraphDef: TypeAlias = graph_pb2.GraphDef
NodeDef: TypeAlias = node_def_pb2.NodeDef

# No node has more inputs or outputs than this; a number in a damaged graph may say so.
MOST_ENDS = 100_000


class Tensor(NamedTuple):
    """A tensor name taken apart: the node that makes it, and which of its outputs it is (-1: a control edge)."""

    node: str
    # In the place of a tuple's method that nobody needs here.
    index: int = 0  # type: ignore[assignment]

    @property
    def name(self) -> str:
        """The tensor name, "node:index"."""
        return f"{self.node}:{self.index}"

    @property
    def edge(self) -> str:
        """How a NodeDef's `input` field writes it: "^node", "node" or "node:1"."""
        if self.index < 0:
            return "^" + self.node
        return self.node if self.index == 0 else self.name


# Every pass takes the same edges apart.
@functools.lru_cache(maxsize=2**17)
def parse(edge: str) -> Tensor:
    """Returns the tensor that an edge or a tensor name stands for.

    >>> parse("a/b"), parse("a/b:1"), parse("^a").index
    (Tensor(node='a/b', index=0), Tensor(node='a/b', index=1), -1)
    """
    if edge.startswith("^"):
        return Tensor(edge[1:], -1)
    node, colon, index = edge.rpartition(":")
    if colon and index.isdigit():
        return Tensor(node, int(index))
    return Tensor(edge, 0)


def data_inputs(node: NodeDef) -> list[Tensor]:
    """Returns the tensors a node computes with, in order; control edges left out."""
    return [parse(edge) for edge in node.input if not edge.startswith("^")]


def control_inputs(node: NodeDef) -> list[str]:
    """Returns the names of the nodes that a node waits for."""
    return [edge[1:] for edge in node.input if edge.startswith("^")]


class Edges(NamedTuple):
    """The edges into a node: the tensors it computes with, in order, and the names of the nodes that it waits for."""

    data: tuple[Tensor, ...]
    controls: tuple[str, ...]


class _Readers(NamedTuple):
    """The edges the other way round.

    Attributes:
        data: node name -> (name of the consumer, position in its `input`) of each edge that carries a tensor.
        waiting: node name -> the tuples of control edges that it is in.
        members: id of such a tuple -> names of the nodes that have it.
    """

    data: dict[str, list[tuple[str, int]]]
    waiting: dict[str, list[tuple[str, ...]]]
    members: dict[int, list[str]]


_Made = TypeVar("_Made")


class Index:
    """A GraphDef looked up by node name and by edge. The graph must not change while the index is in use.

    Every edge is taken out of the protobuf once, when it is first asked for, so whoever looks at the same graph should
    share its index.
    """

    def __init__(self, graph_def: GraphDef):
        self.graph_def = graph_def
        self._edges: dict[str, Edges] = {}
        # Control edges as they are written -> the names in them: thousands of nodes of a training graph wait for the same
        # hundreds of others.
        self._shared: dict[tuple[str, ...], tuple[str, ...]] = {}
        # Only in a malformed graph do control edges not come last.
        self._disordered: set[str] = set()
        self._consumers: dict[str, list[tuple[NodeDef, int]]] = {}
        self._made: dict[Callable[[Index], Any], Any] = {}

    def all_nodes(self) -> Iterable[tuple[str, NodeDef]]:
        """Returns the name and the node of every node, also of those that in a malformed graph have one name."""
        if len(self.nodes) == len(self.graph_def.node):
            return self.nodes.items()
        return [(node.name, node) for node in self.graph_def.node]

    def followed_by(self, graph_def: GraphDef, changed: Collection[str] = ()) -> "Index":
        """Returns the index of a graph that was made of this one.

        Args:
            graph_def: the graph; every node of it whose name is in this graph, too, reads what it reads here.
            changed: names of the nodes of which this is not so.
        """
        index, edges = Index(graph_def), self._edges
        index._edges = {name: edges[name] for name in index.nodes if name in edges and name not in changed}
        # Who waits for the same others shares their tuple in both.
        index._shared, index._disordered = dict(self._shared), self._disordered.difference(changed)
        return index

    @functools.cached_property
    def nodes(self) -> dict[str, NodeDef]:
        """Node name -> node, in the graph's order."""
        return {node.name: node for node in self.graph_def.node}

    @functools.cached_property
    def kinds(self) -> dict[str, str]:
        """Node name -> its op, in the graph's order."""
        return {name: node.op for name, node in self.nodes.items()}

    @functools.cached_property
    def functions(self) -> dict[str, op_def_pb2.OpDef]:
        """Function name -> its signature."""
        return {function.signature.name: function.signature for function in self.graph_def.library.function}

    def __contains__(self, node: str) -> bool:
        return node in self.nodes

    def __getitem__(self, node: str) -> NodeDef:
        return self.nodes[node]

    def once(self, make: Callable[["Index"], _Made]) -> _Made:
        """Returns what `make` makes of this index; it is called the first time only."""
        if make not in self._made:
            self._made[make] = make(self)
        return self._made[make]

    def data_type(self, tensor: Tensor) -> int | None:
        """Returns the DataType of a tensor, or None where the op that makes it is not known."""
        types = output_types(self.nodes[tensor.node], self.functions)
        return types[tensor.index] if tensor.index < len(types) else None

    def edges(self, node: str) -> "Edges":
        """Returns the edges into a node."""
        edges = self._edges.get(node)
        if edges is None:
            data = list(self.nodes[node].input)
            waits: tuple[str, ...] = ()
            # Most nodes wait for nothing.
            if "^" in "".join(data):
                data, waits = self._apart(node, data)
            edges = self._edges[node] = Edges(tuple(map(parse, data)), waits)
        return edges

    def _apart(self, node: str, written: list[str]) -> tuple[list[str], tuple[str, ...]]:
        """The edges of a node that carry tensors, and the names of the nodes that it waits for."""
        first = next((at for at, edge in enumerate(written) if edge.startswith("^")), len(written))
        data, rest = written[:first], tuple(written[first:])
        waits = self._shared.get(rest)
        if waits is None:
            late = [edge for edge in rest if not edge.startswith("^")]
            if late:
                self._disordered.add(node)
                data, rest = data + late, tuple(edge for edge in rest if edge.startswith("^"))
            waits = self._shared.setdefault(rest, tuple(edge[1:] for edge in rest))
        return data, waits

    def is_disordered(self, node: str) -> bool:
        """Returns whether a node has a control edge before an edge that carries a tensor, as no op may have."""
        self.edges(node)
        return node in self._disordered

    def consumers(self, node: str) -> list[tuple[NodeDef, int]]:
        """Returns (consumer, position in its `input`) for every edge out of `node`, control edges included."""
        if node not in self._consumers:
            readers, waiting = self._readers.data.get(node, []), self._readers.waiting.get(node)
            if waiting:
                waiters = [(name, group) for group in waiting for name in self._readers.members[id(group)]]
                readers = [*readers, *((name, self._place(self.nodes[name], node, group)) for name, group in waiters)]
                readers.sort(key=lambda reader: (self.order[reader[0]], reader[1]))
            self._consumers[node] = [(self.nodes[name], at) for name, at in readers]
        return self._consumers[node]

    def _place(self, waiter: NodeDef, node: str, controls: Sequence[str]) -> int:
        """The position of the control edge out of `node` in the `input` of who waits for it."""
        if waiter.name in self._disordered:
            return list(waiter.input).index(f"^{node}")
        return len(self.edges(waiter.name).data) + controls.index(node)

    @functools.cached_property
    def order(self) -> dict[str, int]:
        """Node name -> its place in the graph."""
        return {name: at for at, name in enumerate(self.nodes)}

    @functools.cached_property
    def _readers(self) -> "_Readers":
        readers = _Readers({}, {}, {})
        for name, node in self.nodes.items():
            data, controls = self.edges(name)
            places: Iterable[int] = range(len(data))
            if name in self._disordered:
                places = [at for at, edge in enumerate(node.input) if not edge.startswith("^")]
            for at, tensor in zip(places, data, strict=True):
                readers.data.setdefault(tensor.node, []).append((name, at))
            if controls:
                members = readers.members.setdefault(id(controls), [])
                members.append(name)
                if len(members) == 1:
                    for waited in dict.fromkeys(controls):
                        readers.waiting.setdefault(waited, []).append(controls)
        return readers

    def tensor_consumers(self, tensor: Tensor) -> list[tuple[NodeDef, int]]:
        """Returns (consumer, input position) of one tensor; control edges are not among them."""
        readers = self._readers.data.get(tensor.node, [])
        return [(self.nodes[name], at) for name, at in readers if self._reads(name, at) == tensor]

    def _reads(self, node: str, at: int) -> Tensor:
        """The tensor that a node reads at a position in its `input`."""
        return parse(self.nodes[node].input[at]) if node in self._disordered else self.edges(node).data[at]

    def ancestors(self, nodes: Iterable[str], stop: Iterable[str] = ()) -> set[str]:
        """Returns every node that `nodes` depend on, themselves included; the walk does not pass `stop`."""
        stop, seen, todo = set(stop), set(), list(nodes)
        waited: set[int] = set()
        while todo:
            name = todo.pop()
            if name in seen or name not in self.nodes:
                continue
            seen.add(name)
            if name not in stop:
                data, controls = self.edges(name)
                todo += [tensor.node for tensor in data]
                if controls and id(controls) not in waited:
                    waited.add(id(controls))
                    todo += controls
        return seen

    def descendants(self, nodes: Iterable[str], stop: Collection[str] = ()) -> set[str]:
        """Returns every node that depends on `nodes`, themselves included; the walk does not come to others of `stop`."""
        data, waiting, members = self._readers
        seen, todo = set(), list(nodes)
        stop = set(stop).difference(todo)
        followed: set[int] = set()
        while todo:
            name = todo.pop()
            if name in seen or name in stop:
                continue
            seen.add(name)
            todo += [reader for reader, _ in data.get(name, ())]
            for group in waiting.get(name, ()):
                if id(group) not in followed:
                    followed.add(id(group))
                    todo += members[id(group)]
        return seen

    def depending(self, roots: Iterable[str], on: Collection[str], stop: Collection[str] = ()) -> set[str]:
        """Returns those of `roots`, and of what they depend on, that depend on `on`: what `descendants` has of them.

        Nothing that the roots do not need is looked at.
        """
        above = self.ancestors(roots, stop)
        # By name; who waits for the same others is read through the number of their tuple.
        readers: dict[str | int, list[str | int]] = {}
        for name in above.difference(stop):
            data, controls = self.edges(name)
            for tensor in data:
                readers.setdefault(tensor.node, []).append(name)
            if controls:
                if id(controls) not in readers:
                    for waited in controls:
                        readers.setdefault(waited, []).append(id(controls))
                readers.setdefault(id(controls), []).append(name)
        dependent: set[str | int] = set()
        todo: list[str | int] = [name for name in on if name in above]
        while todo:
            reached = todo.pop()
            if reached not in dependent:
                dependent.add(reached)
                todo += readers.get(reached, ())
        return above & dependent


def registered(op: str):
    """Returns the OpDef that this TensorFlow has registered under `op`, or None."""
    return private.op_def(op)


def op_def(op: str):
    """Returns the OpDef registered under `op`, or the one that TensorFlow 1.15 had for it, or None."""
    # Most names are registered; the removed ones are in a file.
    return registered(op) or removed.definitions().get(op)


def attr(node: NodeDef, key: str) -> AttrValue:
    """Returns an attribute of a node, its op's default where the node has none, or an empty one; for reading only.

    A plain `node.attr[key]` adds what it does not find to the node, and an empty attribute is one that import refuses.
    """
    if key in node.attr:
        return node.attr[key]
    definition = op_def(node.op)
    defaults = (attr_def.default_value for attr_def in definition.attr if attr_def.name == key) if definition else ()
    return next(iter(defaults), AttrValue())


def _arguments(definition, side: str) -> list[tuple]:
    """Returns what `_arg_types` asks about each argument of one side of an OpDef."""
    # An attribute at its default may have been stripped from the node.
    defaults = {attr.name: attr.default_value for attr in definition.attr if attr.HasField("default_value")}
    empty = AttrValue()
    return [
        (arg.type, arg.type_attr, arg.type_list_attr, arg.number_attr, arg.is_ref,
         defaults.get(arg.type_list_attr or arg.type_attr, empty), defaults.get(arg.number_attr, empty))
        for arg in getattr(definition, side)
    ]  # fmt: skip


@functools.cache
def _registered_arguments(op: str, side: str) -> list[tuple]:
    # To read an OpDef anew for each node is most of the cost of looking at a large graph.
    return _arguments(op_def(op), side)


def _arg_types(node: NodeDef, side: str, functions: Mapping = MappingProxyType({})) -> Iterator[tuple[int, bool]]:
    """Yields (DataType, whether by reference) of each tensor on one side of a node: "input_arg" or "output_arg"."""
    if node.op in functions:
        arguments = _arguments(functions[node.op], side)
    else:
        arguments = _registered_arguments(node.op, side) if op_def(node.op) is not None else []
    for data_type, type_attr, type_list_attr, number_attr, is_ref, default_type, default_number in arguments:
        if type_list_attr:
            types = (node.attr[type_list_attr] if type_list_attr in node.attr else default_type).list.type
        else:
            if not data_type:
                data_type = (node.attr[type_attr] if type_attr in node.attr else default_type).type
            number = (node.attr[number_attr] if number_attr in node.attr else default_number).i if number_attr else 1
            types = [data_type] * min(number, MOST_ENDS)
        for data_types in types:
            yield data_types, is_ref


def output_types(node: NodeDef, functions: Mapping = MappingProxyType({})) -> list[int]:
    """Returns the DataType of each output of a node; empty where the op is not registered.

    Args:
        node: the node.
        functions: OpDefs of the function library by name, for nodes that call a function as their op.
    """
    return [data_type for data_type, _ in _arg_types(node, "output_arg", functions)]


def input_types(node: NodeDef, functions: Mapping = MappingProxyType({})) -> list[int]:
    """Returns the DataType of each data input of a node; empty where the op is not registered.

    Args:
        node: the node.
        functions: OpDefs of the function library by name, for nodes that call a function as their op.
    """
    return [data_type for data_type, _ in _arg_types(node, "input_arg", functions)]


def ref_inputs(node: NodeDef) -> list[bool]:
    """Returns, for each data input of a node, whether the op takes it by reference."""
    return [is_ref for _, is_ref in _arg_types(node, "input_arg")]


def ref_outputs(node: NodeDef) -> list[bool]:
    """Returns, for each output of a node, whether the op gives it by reference."""
    return [is_ref for _, is_ref in _arg_types(node, "output_arg")]


def recorded_shape(node: NodeDef, index: int) -> list[int | None] | None:
    """Returns the static shape that TensorFlow 1 recorded for an output, None for unknown rank or no record.

    TF1 Savers wrote shape inference's results into `_output_shapes`; a placeholder has them in `shape` too.
    """
    shapes = node.attr["_output_shapes"].list.shape if "_output_shapes" in node.attr else []
    proto = shapes[index] if index < len(shapes) else None
    if proto is None and index == 0 and node.op in ops.PLACEHOLDERS | ops.VARIABLES and "shape" in node.attr:
        proto = node.attr["shape"].shape
        if node.op == "Placeholder" and not proto.dim and not proto.unknown_rank:
            # Before GraphDef version 24 an unset placeholder shape was written as a scalar: it says nothing.
            proto = None if "_output_shapes" in node.attr else proto
    if proto is None or proto.unknown_rank:
        return None
    return [dim.size if dim.size >= 0 else None for dim in proto.dim]


def recorded_shape_of(index: Index, tensor: Tensor) -> list[int | None] | None:
    """Returns the static shape that TensorFlow 1 recorded for a tensor, None for unknown rank or no record."""
    return recorded_shape(index[tensor.node], tensor.index) if tensor.node in index else None


def _counts(node: NodeDef, side: str, functions: Mapping = MappingProxyType({})) -> Iterator[tuple[str, int | None]]:
    """Yields name and size of each argument on one side of a node; None: it is no list."""
    for argument in getattr(functions.get(node.op) or op_def(node.op), side):
        if argument.number_attr:
            yield argument.name, attr(node, argument.number_attr).i
        elif argument.type_list_attr:
            yield argument.name, len(attr(node, argument.type_list_attr).list.type)
        else:
            yield argument.name, None


def grouped_inputs(node: NodeDef) -> list[int | None]:
    """Returns, for each input that an op's definition names, how many tensors it is; None: one that is no list."""
    return [count for _, count in _counts(node, "input_arg")]


def named_outputs(node: NodeDef, functions: Mapping = MappingProxyType({})) -> list[tuple[str, int]]:
    """Returns, for each output that an op's definition names, its name and how many tensors it is.

    Args:
        node: the node.
        functions: OpDefs of the function library by name, for nodes that call a function as their op.
    """
    return [(name, 1 if count is None else count) for name, count in _counts(node, "output_arg", functions)]


def all_nodes(graph_def: GraphDef) -> Iterator[NodeDef]:
    """Yields every node: the graph's own, then those inside its functions."""
    yield from graph_def.node
    for function in graph_def.library.function:
        yield from function.node_def


def fresh_name(wanted: str, names: set[str]) -> str:
    """Returns `wanted`, or `wanted_1`, `wanted_2`, … where it is taken; adds the result to `names`."""
    name, count = wanted, 0
    while name in names:
        count += 1
        name = f"{wanted}_{count}"
    names.add(name)
    return name
