"""A graph whose functions are spelled out where they are called, to be read and never to be run.

What reads an input inside a branch or a loop's body then stands in the graph itself, and TensorFlow's shape functions
judge it: they do not look into the functions of an If or a While. A branch's result and a loop's are a Merge, whose
shape is what its inputs agree on.
"""

from collections.abc import Mapping

import tensorflow as tf

from export_v1.ir import ops, rewrite
from export_v1.ir.graph import GraphDef, NodeDef, Tensor, attr, data_inputs, op_def, output_types

# Functions that call functions are followed this far, and no more than so many nodes are added in all.
_DEPTH = 8
_MOST_NODES = 50_000
_HANDLES = frozenset({tf.resource.as_datatype_enum, tf.variant.as_datatype_enum})


def flattened(graph_def: GraphDef) -> GraphDef:
    """Returns the graph with the bodies of the functions that it calls in place of the calls; control edges are left out.

    A graph that calls no function of its library comes back as it is.

    Args:
        graph_def: not modified.
    """
    functions = {function.signature.name: function for function in graph_def.library.function}
    if not any(_called(node, functions) for node in graph_def.node):
        return graph_def
    flat = _Flat(functions)
    for node in graph_def.node:
        flat.add(node, {}, _DEPTH)
    return rewrite.with_nodes(graph_def, [rewrite.rewired(node, flat.source) for node in flat.nodes])


def _called(node: NodeDef, functions: Mapping) -> list[str]:
    if node.op in functions:
        return [node.op]
    if node.op in ops.CALLS:
        names = [attr(node, "f").func.name]
    elif node.op in ops.IFS:
        names = [attr(node, "then_branch").func.name, attr(node, "else_branch").func.name]
    elif node.op in ops.CONDITIONALS:
        names = [branch.name for branch in attr(node, "branches").list.func]
    elif node.op in ops.WHILES:
        names = [attr(node, "cond").func.name, attr(node, "body").func.name]
    else:
        return []
    return names if names and all(name in functions for name in names) else []


class _Flat:
    """The nodes of a graph on its way, and what stands for the outputs of calls that are gone."""

    def __init__(self, functions: Mapping):
        self._functions = functions
        self.nodes: list[NodeDef] = []
        self._stands_for: dict[Tensor, Tensor] = {}

    def source(self, tensor: Tensor) -> Tensor:
        """Returns the tensor that stands for one of the graph as it was written."""
        while tensor in self._stands_for:
            tensor = self._stands_for[tensor]
        return tensor

    def add(self, node: NodeDef, arguments: Mapping[str, Tensor], depth: int) -> None:
        """Adds a node, or what it calls."""
        names = _called(node, self._functions)
        if not names or not depth or len(self.nodes) > _MOST_NODES:
            kept = NodeDef()
            kept.CopyFrom(node)
            del kept.input[:]
            kept.input.extend(tensor.edge for tensor in data_inputs(node))
            self.nodes.append(kept)
            return
        inputs = data_inputs(node)
        if node.op in ops.CONDITIONALS:
            results = [self._call(f"{node.name}/{at}", name, inputs[1:], depth) for at, name in enumerate(names)]
            # The predicate has a reader still.
            self._append(f"{node.name}/predicate", "Switch", [inputs[0], inputs[0]], attr_type(node, "Tcond"))
            self._merge(node, list(zip(*results, strict=True)))
        elif node.op in ops.WHILES:
            values = self._loop_variables(node, inputs)
            self._call(f"{node.name}/0", names[0], values, depth)
            last = self._call(f"{node.name}/1", names[1], values, depth)
            self._merge(node, list(zip(inputs, last, strict=True)))
        else:
            for at, result in enumerate(self._call(f"{node.name}/0", names[0], inputs, depth)):
                self._stands_for[Tensor(node.name, at)] = result

    def _append(self, name: str, op: str, inputs, dtype: tf.DType, **attrs) -> None:
        self.nodes.append(rewrite.node(name, op, inputs, **attrs))
        self.nodes[-1].attr["dtype" if op == "PlaceholderWithDefault" else "T"].type = dtype.as_datatype_enum

    def _loop_variables(self, node: NodeDef, inputs: list[Tensor]) -> list[Tensor]:
        types, shapes = attr(node, "T").list.type, attr(node, "output_shapes").list.shape
        tensors = []
        for at, tensor in enumerate(inputs):
            if types[at] in _HANDLES:
                tensors.append(tensor)
                continue
            # Has the shape that every iteration agrees on, whatever the first one is given.
            name = f"{node.name}/variable_{at}"
            shape = tf.TensorShape(shapes[at]) if at < len(shapes) else tf.TensorShape(None)
            self._append(name, "PlaceholderWithDefault", [tensor], tf.as_dtype(types[at]), shape=shape)
            tensors.append(Tensor(name))
        return tensors

    def _merge(self, node: NodeDef, results: list) -> None:
        for at, (data_type, alternatives) in enumerate(zip(output_types(node), results, strict=False)):
            if data_type in _HANDLES:
                self._stands_for[Tensor(node.name, at)] = alternatives[0]
                continue
            name = f"{node.name}/result_{at}"
            self._append(name, "Merge", alternatives, tf.as_dtype(data_type), N=len(alternatives))
            self._stands_for[Tensor(node.name, at)] = Tensor(name)

    def _call(self, prefix: str, name: str, inputs: list[Tensor], depth: int) -> list[Tensor]:
        """Adds the body of a function, its nodes below `prefix`; returns what it returns."""
        function = self._functions[name]
        arguments = {arg.name: tensor for arg, tensor in zip(function.signature.input_arg, inputs, strict=False)}
        body = {node.name: node for node in function.node_def}

        def outer(edge: str) -> Tensor:
            node, _, output = edge.partition(":")
            if node in arguments:
                return arguments[node]
            return Tensor(f"{prefix}/{node}", _position(body[node], output))

        for node in function.node_def:
            copy = NodeDef()
            copy.CopyFrom(node)
            copy.name = f"{prefix}/{node.name}"
            del copy.input[:]
            copy.input.extend(outer(edge).edge for edge in node.input if not edge.startswith("^"))
            self.add(copy, arguments, depth - 1)
        return [outer(function.ret[arg.name]) for arg in function.signature.output_arg]


def attr_type(node: NodeDef, key: str) -> tf.DType:
    """Returns an attribute that is a type; bool where the node has none."""
    return tf.as_dtype(attr(node, key).type or tf.bool.as_datatype_enum)


def _position(node: NodeDef, output: str) -> int:
    """Returns which output of a node "name:index" is, as functions write it."""
    name, _, index = output.partition(":")
    definition = op_def(node.op)
    at = 0
    for arg in definition.output_arg if definition is not None else ():
        if arg.name == name:
            break
        if arg.type_list_attr:
            at += len(attr(node, arg.type_list_attr).list.type)
        else:
            at += attr(node, arg.number_attr).i if arg.number_attr else 1
    return at + (int(index) if index else 0)
