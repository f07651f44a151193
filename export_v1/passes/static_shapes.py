"""Static shapes of a graph that nobody has recorded any for: what TensorFlow infers when it imports the graph."""

import tensorflow as tf

from export_v1.ir import graph, rewrite
from export_v1.ir.graph import GraphDef, Index
from export_v1.passes import portable


def inferred(graph_def: GraphDef) -> dict[str, tf.TensorShape]:
    """Returns, by name, the shape of each tensor that is known to have one; nothing where TensorFlow refuses the graph.

    An op that this TensorFlow does not know gives tensors of unknown shapes.

    Args:
        graph_def: not modified.
    """
    plain = portable.nodes(graph_def).graph_def
    index = Index(plain)
    unknown = {node.name for node in plain.node if node.op not in index.functions and graph.registered(node.op) is None}
    nodes = []
    for node in plain.node:
        if node.name not in unknown:
            kept = rewrite.rewired(node, {}, dict.fromkeys(unknown, ""))
            nodes.append(kept)
    with tf.Graph().as_default() as imported:
        stands_for = {
            f"{name}:{at}": tf.compat.v1.placeholder(tf.as_dtype(data_type))
            for name in unknown
            for at, data_type in enumerate(graph.output_types(index[name]))
        }
        read = {graph.parse(edge).name for node in nodes for edge in node.input}
        stands_for = {name: tensor for name, tensor in stands_for.items() if name in read}
        try:
            tf.graph_util.import_graph_def(rewrite.with_nodes(plain, nodes), stands_for, name="")
        except (ValueError, TypeError, KeyError, tf.errors.OpError):
            return {}
        shapes = {tensor.name: tensor.shape for op in imported.get_operations() for tensor in op.outputs}
    return {name: shape for name, shape in shapes.items() if shape.rank is not None}
