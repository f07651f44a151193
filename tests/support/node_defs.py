"""GraphDefs put together node by node, for what no Python function of TensorFlow builds."""

import numpy as np
import tensorflow as tf

from tests.support import control_flow

GraphDef, NodeDef = tf.compat.v1.GraphDef, tf.compat.v1.NodeDef


def node(name: str, op: str, *inputs: str, **attrs) -> NodeDef:
    """Returns a NodeDef; an attribute is a type, a bool, a number, bytes, an array or (a list of sizes) a shape."""
    made = NodeDef(name=name, op=op, input=inputs)
    for key, value in attrs.items():
        if isinstance(value, tf.DType):
            made.attr[key].type = value.as_datatype_enum
        elif isinstance(value, bool):
            made.attr[key].b = value
        elif isinstance(value, int):
            made.attr[key].i = value
        elif isinstance(value, bytes):
            made.attr[key].s = value
        elif isinstance(value, np.ndarray):
            made.attr[key].tensor.CopyFrom(tf.make_tensor_proto(value))
        else:
            made.attr[key].shape.CopyFrom(tf.TensorShape(value).as_proto())
    return made


def const(name: str, value, *inputs: str, dtype: tf.DType = tf.int32) -> NodeDef:
    """Returns a Const."""
    return node(name, "Const", *inputs, dtype=dtype, value=np.asarray(value, dtype.as_numpy_dtype))


def graph_def(*nodes: NodeDef) -> GraphDef:
    """Returns the nodes as a graph of today's version."""
    result = GraphDef(versions=tf.Graph().as_graph_def().versions)
    result.node.extend(nodes)
    return result


def built(make) -> GraphDef:
    """Returns the graph that `make` builds, with the control flow of TensorFlow 1."""
    with control_flow.graph() as graph:
        make()
        return graph.as_graph_def()


def find(graph: GraphDef, name: str) -> NodeDef:
    """Returns the node of that name."""
    return next(one for one in graph.node if one.name == name)


def of_op(graph: GraphDef, *ops: str) -> list[NodeDef]:
    """Returns the nodes of these ops, those of functions after those of the graph."""
    functions = [one for function in graph.library.function for one in function.node_def]
    return [one for one in [*graph.node, *functions] if one.op in ops]


def inputs(graph: GraphDef, name: str) -> list[str]:
    """Returns the edges into a node."""
    return list(find(graph, name).input)


def pruned(graph: GraphDef, *names: str) -> GraphDef:
    """Returns the part of a graph that some nodes need."""
    return tf.compat.v1.graph_util.extract_sub_graph(graph, list(names))
