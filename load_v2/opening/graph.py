"""The graph of one signature in the form that patterns are written for: variables are values, aliases are gone."""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np
import tensorflow as tf

from export_v1.ir import graph as ir
from export_v1.ir import importing, ops, rewrite, safety
from export_v1.ir.graph import GraphDef, NodeDef, Tensor
from load_v2.errors import LoadError, quoted
from load_v2.opening.carried import Carried
from load_v2.program import artefact, subgraph
from load_v2.program.program import Part, Program

# The output is the first input, unchanged, in values and in gradients.
ALIASES = frozenset(
    {"Identity", "CheckNumerics", "PreventGradient", "Snapshot", "EnsureShape", "PlaceholderWithDefault"}
)
_WEIGHT = "weight_value/"
_INPUT = "input_value/"


class Graph:
    """A GraphDef with its ends, and what is known of each tensor: type, shape.

    Attributes:
        graph_def: no node has control edges, none is an alias.
        index: the same, looked up by node and by edge.
        imported: the same as a TensorFlow graph, for sessions.
        inputs, outputs: key -> tensor; inputs are placeholders.
        weights: name of a placeholder -> the variable whose value it stands for.
        order: node name -> its place in the original graph, which is the order of the code that made it.
    """

    def __init__(
        self,
        graph_def: GraphDef,
        inputs: Mapping[str, Tensor],
        outputs: Mapping[str, Tensor],
        weights: Mapping[str, artefact.Variable],
    ):
        self.graph_def, self.inputs, self.outputs, self.weights = graph_def, inputs, outputs, weights
        self.index = ir.Index(graph_def)
        self.order = {node.name: at for at, node in enumerate(graph_def.node)}
        self.imported = tf.Graph()
        with self.imported.as_default():
            importing.graph_def(graph_def, policy=safety.Policy(error=LoadError))
        self._tensors = {
            Tensor(operation.name, index): output
            for operation in self.imported.get_operations()
            for index, output in enumerate(operation.outputs)
        }

    def __contains__(self, tensor: Tensor) -> bool:
        return tensor in self._tensors

    def node(self, tensor: Tensor) -> NodeDef:
        """Returns the node that makes a tensor."""
        return self.index[tensor.node]

    def op(self, tensor: Tensor) -> str:
        """Returns the op that makes a tensor."""
        return self.index[tensor.node].op

    def sources(self, tensor: Tensor) -> list[Tensor]:
        """Returns the inputs of the node that makes a tensor."""
        return ir.data_inputs(self.index[tensor.node])

    def attr(self, tensor: Tensor, key: str) -> ir.AttrValue:
        """Returns an attribute of the node that makes a tensor, or its op's default."""
        return ir.attr(self.index[tensor.node], key)

    def dtype(self, tensor: Tensor) -> str:
        """Returns the type of a tensor, such as "float32"."""
        return self._tensors[tensor].dtype.base_dtype.name

    def shape(self, tensor: Tensor) -> tuple[int | None, ...] | None:
        """Returns the static shape of a tensor: None for an unknown rank, None inside for an unknown size."""
        shape = self._tensors[tensor].shape
        return None if shape.rank is None else tuple(shape.as_list())

    def rank(self, tensor: Tensor) -> int | None:
        """Returns the rank of a tensor, None where it is unknown."""
        return self._tensors[tensor].shape.rank

    def readers(self, tensor: Tensor) -> int:
        """Returns how many nodes and outputs read a tensor."""
        return len(self.index.tensor_consumers(tensor)) + list(self.outputs.values()).count(tensor)

    def blank_inputs(self) -> dict[Tensor, np.ndarray]:
        """Returns zeros for each input of known rank, of size one where a size is open."""
        blank = {}
        for tensor in self.inputs.values():
            shape = self.shape(tensor)
            if shape is not None:
                dtype = self._tensors[tensor].dtype.as_numpy_dtype
                blank[tensor] = np.zeros([1 if size is None else size for size in shape], dtype)
        return blank

    def fetch(self, tensor: Tensor) -> tf.Tensor:
        """Returns a tensor of the imported graph, for a session."""
        return self._tensors[tensor]


def of_part(
    program: Program,
    part: Part,
    sizes: Mapping[str, tuple] | None = None,
    carried: Mapping[str, Carried] = MappingProxyType({}),
) -> Graph:
    """Returns the canonical graph of a part of a program; of what writes a variable, nothing is left but its output.

    Args:
        program: of a signature.
        part: its part for inference, or that for training.
        sizes: input key -> its shape, where it is to be fixed to other sizes than the signature tells.
        carried: key -> a variable whose value is another input, and another output.

    Raises:
        LoadError: the part has loops or conditions of TensorFlow 1, which step 1 could not convert.
    """
    _refuse_control_flow(part)
    by_handle = {handle: variable for variable in program.variables for handle in variable.handles}
    _refuse_captures(part, by_handle)
    result = GraphDef(versions=part.graph_def.versions, library=part.graph_def.library)
    renamed: dict[str, str] = {}
    inputs, weights = {}, {}
    for key, spec in zip(program.source.signatures[program.key].inputs, part.inputs, strict=True):
        name = _INPUT + re.sub(r"[^A-Za-z0-9_]", "_", key)
        result.node.append(placeholder(name, tf.as_dtype(spec.dtype), (sizes or {}).get(key, spec.shape)))
        renamed[spec.tensor] = name
        inputs[key] = Tensor(name)
    for key, end in carried.items():
        result.node.append(placeholder(end.before.node, tf.as_dtype(end.variable.dtype), end.variable.shape))
        inputs[key] = end.before
    for handle, variable in by_handle.items():
        name = _WEIGHT + handle
        result.node.append(placeholder(name, tf.as_dtype(variable.dtype), variable.shape))
        weights[name] = variable
    for node in part.graph_def.node:
        result.node.extend(_canonical(node, by_handle))
    _rewire(result, renamed, by_handle)
    result.node.extend(_held(result, program))
    outputs = {key: ir.parse(renamed.get(spec.tensor, spec.tensor)) for key, spec in part.outputs.items()}
    outputs.update({key: end.after for key, end in carried.items()})
    return without_aliases(result, inputs, outputs, weights)


def _held(result: GraphDef, program: Program) -> list[NodeDef]:
    """Returns placeholders for what a layer would hold beside variables: tables, and names of asset files."""
    present = {node.name for node in result.node}
    known = {node.name: node for node in program.graph_def.node}
    missing = {ir.parse(edge).node for node in result.node for edge in node.input} - present
    return [
        placeholder(name, tf.as_dtype(ir.output_types(known[name])[0]), ()) for name in sorted(missing) if name in known
    ]


def _refuse_captures(part: Part, by_handle: Mapping[str, artefact.Variable]) -> None:
    """Raises LoadError where a loop or a condition is given a variable itself, not its value."""
    nodes = [
        node.name
        for node in part.graph_def.node
        if node.op in ops.WHILES | ops.CONDITIONALS and any(ir.parse(edge).node in by_handle for edge in node.input)
    ]
    if nodes:
        raise LoadError(
            f"Loops or conditions read variables inside, which cannot be rebuilt yet.\n"
            f"  Nodes ({len(nodes)}): {quoted(nodes)}.\n  Use SignatureLayer, or export a graph that reads them outside."
        )


def _refuse_control_flow(part: Part) -> None:
    behind = [node.name for node in part.graph_def.node if node.op in ops.V1_CONTROL_FLOW]
    if behind:
        raise LoadError(
            f"The signature has loops or conditions of TensorFlow 1, which no other backend can run.\n"
            f"  Nodes ({len(behind)}): {quoted(behind)}.\n  Run step 1 again: its report says why they were not converted."
        )


def placeholder(name: str, dtype: tf.DType, shape) -> NodeDef:
    """Returns a node whose value is given."""
    node = NodeDef(name=name, op="Placeholder")
    node.attr["dtype"].type = dtype.as_datatype_enum
    node.attr["shape"].shape.CopyFrom(tf.TensorShape(shape).as_proto())
    return node


def constant(name: str, value: np.ndarray) -> NodeDef:
    """Returns a node with a value, of the value's own type."""
    return rewrite.constant(name, value, tf.as_dtype(value.dtype))


def plain(node: NodeDef) -> NodeDef:
    """Returns a node without what it waits for, and without marks."""
    copy = NodeDef()
    copy.CopyFrom(node)
    del copy.input[:]
    copy.input.extend(edge for edge in node.input if not edge.startswith("^"))
    for key in [key for key in copy.attr if key.startswith("_")]:
        del copy.attr[key]
    return copy


def _canonical(node: NodeDef, by_handle: Mapping[str, artefact.Variable]) -> list[NodeDef]:
    """Returns what stands for a node: without control edges, reads of variables as aliases of their values."""
    copy = plain(node)
    held = bool(copy.input) and ir.parse(copy.input[0]).node in by_handle
    if node.op == "NoOp":
        return []
    if ops.writes_variable(node.op):
        given = ir.output_types(node)
        return [placeholder(node.name, tf.as_dtype(given[0]), None)] if given else []
    if node.op == "ReadVariableOp" and held:
        return [_typed(NodeDef(name=node.name, op="Identity", input=copy.input), T=node.attr["dtype"].type)]
    if node.op == "ResourceGather" and held:
        axis = NodeDef(name=f"{node.name}/axis", op="Const")
        axis.attr["dtype"].type = tf.int32.as_datatype_enum
        axis.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(ir.attr(node, "batch_dims").i, tf.int32))
        gather = NodeDef(name=node.name, op="GatherV2", input=[*copy.input, axis.name])
        gather.attr["batch_dims"].i = ir.attr(node, "batch_dims").i
        types = {"Tparams": node.attr["dtype"].type, "Tindices": node.attr["Tindices"].type}
        return [axis, _typed(gather, **types, Taxis=tf.int32.as_datatype_enum)]
    if node.op == "ResourceGatherNd" and held:
        gather = NodeDef(name=node.name, op="GatherNd", input=copy.input)
        return [_typed(gather, Tparams=node.attr["dtype"].type, Tindices=node.attr["Tindices"].type)]
    if node.op == "VariableShape" and held:
        shape = by_handle[ir.parse(copy.input[0]).node].shape
        constant = NodeDef(name=node.name, op="Const")
        dtype = tf.as_dtype(ir.attr(node, "out_type").type or tf.int32.as_datatype_enum)
        constant.attr["dtype"].type = dtype.as_datatype_enum
        constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.array(shape), dtype))
        return [constant]
    return [copy]


def _typed(node: NodeDef, **types: int) -> NodeDef:
    for key, value in types.items():
        node.attr[key].type = value
    return node


def _rewire(graph_def: GraphDef, renamed: Mapping[str, str], by_handle: Mapping[str, artefact.Variable]) -> None:
    for node in graph_def.node:
        for at, edge in enumerate(node.input):
            tensor = ir.parse(edge)
            if tensor.name in renamed:
                node.input[at] = renamed[tensor.name]
            elif tensor.node in by_handle:
                node.input[at] = _WEIGHT + tensor.node


def without_aliases(
    graph_def: GraphDef,
    inputs: Mapping[str, Tensor],
    outputs: Mapping[str, Tensor],
    weights: Mapping[str, artefact.Variable],
) -> Graph:
    """Returns the graph of a GraphDef, whose nodes are rewired in place past those that change nothing."""
    nodes = {node.name: node for node in graph_def.node}

    def origin(tensor: Tensor) -> Tensor:
        while True:
            node = nodes.get(tensor.node)
            if node is None:
                raise LoadError(f"The graph reads {tensor.name!r}, which is not in it.\n  Export again.")
            if node.op == "IdentityN":
                tensor = ir.parse(node.input[tensor.index])
            elif node.op in ALIASES and len(node.input):
                tensor = ir.parse(node.input[0])
            else:
                return tensor

    for node in graph_def.node:
        for at, edge in enumerate(node.input):
            node.input[at] = origin(ir.parse(edge)).edge
    outputs = {key: origin(tensor) for key, tensor in outputs.items()}
    kept = subgraph.needed(graph_def, [t.name for t in outputs.values()] + [t.name for t in inputs.values()])
    held = {node.name for node in kept.node}
    return Graph(kept, inputs, outputs, {name: v for name, v in weights.items() if name in held})


def with_constants(graph: Graph, edges: Mapping[tuple[str, int], np.ndarray]) -> Graph:
    """Returns the graph with a constant at some inputs of nodes: (node name, position) -> value."""
    if not edges:
        return graph
    changed = GraphDef(versions=graph.graph_def.versions, library=graph.graph_def.library)
    for node in graph.graph_def.node:
        changed.node.append(node)
        mine = changed.node[-1]
        for at in range(len(node.input)):
            if (node.name, at) in edges:
                known = constant(f"{node.name}/static_{at}", edges[node.name, at])
                changed.node.append(known)
                mine.input[at] = known.name
    return _pruned(graph, changed, graph.outputs)


def without(graph: Graph, same: Mapping[Tensor, Tensor]) -> Graph:
    """Returns the graph without tensors that are the same as another: tensor -> the one that takes its place."""
    if not same:
        return graph

    def origin(tensor: Tensor) -> Tensor:
        while tensor in same:
            tensor = same[tensor]
        return tensor

    changed = GraphDef(versions=graph.graph_def.versions, library=graph.graph_def.library)
    for node in graph.graph_def.node:
        copy = changed.node.add()
        copy.CopyFrom(node)
        for at, edge in enumerate(node.input):
            copy.input[at] = origin(ir.parse(edge)).edge
    return _pruned(graph, changed, {key: origin(tensor) for key, tensor in graph.outputs.items()})


def _pruned(
    graph: Graph,
    graph_def: GraphDef,
    outputs: Mapping[str, Tensor],
    weights: Mapping[str, artefact.Variable] | None = None,
) -> Graph:
    ends = [*outputs.values(), *graph.inputs.values()]
    kept = subgraph.needed(graph_def, [tensor.name for tensor in ends])
    held = {node.name for node in kept.node}
    known = graph.weights if weights is None else weights
    return Graph(kept, graph.inputs, outputs, {name: v for name, v in known.items() if name in held})


def with_ends(graph: Graph, inputs: Iterable[Tensor], outputs: Mapping[str, Tensor]) -> Graph:
    """Returns the part of a graph that other outputs need, with other tensors, each output 0 of its node, as its inputs.

    Weights stay what they are.
    """
    names = {tensor.node for tensor in inputs}
    changed = GraphDef(versions=graph.graph_def.versions, library=graph.graph_def.library)
    for node in graph.graph_def.node:
        if node.name in names:
            tensor = Tensor(node.name)
            changed.node.append(placeholder(node.name, tf.as_dtype(graph.dtype(tensor)), graph.shape(tensor)))
        else:
            changed.node.append(node)
    given = {name: Tensor(name) for name in sorted(names)}
    kept = subgraph.needed(changed, [tensor.name for tensor in [*outputs.values(), *given.values()]])
    weights = {node.name: graph.weights[node.name] for node in kept.node if node.name in graph.weights}
    return Graph(kept, given, outputs, weights)


def with_nodes(graph: Graph, graph_def: GraphDef) -> Graph:
    """Returns a graph of other nodes with the same ends."""
    return _pruned(graph, graph_def, graph.outputs)


def with_another(graph: Graph, graph_def: GraphDef, held: str, other: str) -> Graph:
    """Returns a graph of other nodes, in which another placeholder stands for a variable, too, and at the ends alone."""
    outputs = {key: Tensor(other) if tensor.node == held else tensor for key, tensor in graph.outputs.items()}
    return _pruned(graph, graph_def, outputs, {**graph.weights, other: graph.weights[held]})
