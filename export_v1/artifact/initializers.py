"""initializers: each variable gets the nodes by which a VariableDef describes it."""

from collections.abc import Iterable

import tensorflow as tf
from tensorflow.core.framework import variable_pb2

from export_v1.ir import graph, rewrite
from export_v1.ir.graph import GraphDef, Tensor
from export_v1.weights.restore import Variable


def added(graph_def: GraphDef, variables: Iterable[Variable]) -> tuple[GraphDef, list[variable_pb2.VariableDef]]:
    """Returns the graph with an initializer and a read per variable, and the VariableDef of each.

    The initializer fills with zeros, whatever the original did: values come from the checkpoint, and a graph without
    the original's random initializers is smaller. A VariableDef needs one, and a v1 loader imports it. Variables of one
    type have its zero in common, and those of one shape the shape.

    Args:
        graph_def: has a VarHandleOp named as each variable. Not modified.
        variables: of known shape.
    """
    names = {node.name for node in graph_def.node}
    nodes, definitions = [], []
    shapes: dict[tuple[int, ...], Tensor] = {}
    zeros: dict[tf.DType, Tensor] = {}
    for variable in variables:
        handle = Tensor(variable.name)

        def tensor(suffix: str, name: str = variable.name) -> Tensor:
            return Tensor(graph.fresh_name(f"{name}/{suffix}", names))

        if variable.sizes not in shapes:
            shapes[variable.sizes] = tensor("shape")
            nodes.append(rewrite.constant(shapes[variable.sizes].node, list(variable.sizes), tf.int32))
        if variable.dtype not in zeros:
            zeros[variable.dtype] = tensor("zero")
            empty = b"" if variable.dtype == tf.string else False if variable.dtype == tf.bool else 0
            nodes.append(rewrite.constant(zeros[variable.dtype].node, empty, variable.dtype))
        parts = [shapes[variable.sizes], zeros[variable.dtype]]
        # Its own, since it is what is fed where a session fills the variable.
        fill, assign, read = map(tensor, ("zeros", "Assign", "Read"))
        nodes += [
            rewrite.node(fill.node, "Fill", parts, T=variable.dtype, index_type=tf.int32),
            rewrite.node(assign.node, "AssignVariableOp", [handle, fill], dtype=variable.dtype),
            rewrite.node(read.node, "ReadVariableOp", [handle], dtype=variable.dtype),
        ]
        definitions.append(
            variable_pb2.VariableDef(
                variable_name=handle.name,
                initial_value_name=fill.name,
                initializer_name=assign.node,
                snapshot_name=read.name,
                is_resource=True,
                trainable=variable.trainable,
            )
        )
    return rewrite.with_nodes(graph_def, [*_of_known_shape(graph_def, variables), *nodes]), definitions


def _of_known_shape(graph_def: GraphDef, variables: Iterable[Variable]) -> list:
    shapes = {variable.name: variable.shape for variable in variables}
    nodes = []
    for node in graph_def.node:
        if node.op == "VarHandleOp" and node.name in shapes:
            made = rewrite.rewired(node, {})
            made.attr["shape"].shape.CopyFrom(tf.TensorShape(shapes[node.name]).as_proto())
            node = made
        nodes.append(node)
    return nodes
