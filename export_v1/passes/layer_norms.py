"""layer_norms: the mean of a layer norm that is written out counts its axis from the end.

    mean(x, axis=2, keep_dims)    ==>    mean(x, axis=-1, keep_dims)        where x has three axes

TensorFlow 2 with oneDNN, the default on most processors, replaces the ops of such a norm by one (Grappler's
FindMklLayerNorm, remapper.cc of 2.21) and forgets its epsilon: the kernel's own 0.001 goes in, and answers move by some
percent where variances are small. It looks for the last of two or three axes, counted from the front.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from export_v1.ir import graph, rewrite
from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor, attr, control_inputs, data_inputs
from export_v1.passes import static_shapes
from export_v1.passes.result import Result

_PASSES_ON = frozenset({"StopGradient", "Identity"})
_RANKS = (2, 3)


def from_the_end(graph_def: GraphDef, index: Index | None = None) -> Result:
    """Returns the graph with such means over axis -1; tensors keep their names and values.

    A mean in a function stays: what is given to it has no recorded rank.

    Args:
        graph_def: not modified.
        index: of the graph, where there is one already.
    """
    index = index or Index(graph_def)
    axes = {node.name: axis for node in _means(index) if (axis := _axis(index, node)) is not None}
    if not axes:
        return Result(graph_def)
    ranks = _ranks(index, [data_inputs(index[name])[0] for name in axes])
    names = {name for name, axis in axes.items() if ranks.get(data_inputs(index[name])[0]) == axis + 1}
    if not names:
        return Result(graph_def)
    used_names, nodes = {node.name for node in graph_def.node}, []
    for node in graph_def.node:
        if node.name in names:
            constant = index[data_inputs(node)[1].node]
            value = np.full_like(tf.make_ndarray(attr(constant, "value").tensor), -1)
            name = graph.fresh_name(f"{node.name}/last_axis", used_names)
            last = rewrite.constant(name, value, tf.as_dtype(value.dtype), control_inputs(constant))
            nodes.append(last)
            node = rewrite.rewired(node, {data_inputs(node)[1]: Tensor(last.name, 0)})
        nodes.append(node)
    return Result(rewrite.with_nodes(graph_def, nodes))


def _means(index: Index) -> list[NodeDef]:
    """Returns the means that something is held against, square by square."""
    found = {}
    for name in (name for name, op in index.kinds.items() if op == "SquaredDifference"):
        for tensor in data_inputs(index[name]):
            source = _source(index, tensor)
            if source is not None and source.op == "Mean" and attr(source, "keep_dims").b:
                found[source.name] = source
    return list(found.values())


def _source(index: Index, tensor: Tensor) -> NodeDef | None:
    """Returns the node that a tensor's values come from; None: it is not in the graph."""
    while tensor.node in index and index[tensor.node].op in _PASSES_ON:
        tensor = data_inputs(index[tensor.node])[0]
    return index[tensor.node] if tensor.node in index else None


def _axis(index: Index, mean: NodeDef) -> int | None:
    """Returns the one axis of a mean, if that is the last of two or three, counted from the front."""
    at = data_inputs(mean)[1].node
    if index.kinds.get(at) != "Const":
        return None
    value = tf.make_ndarray(attr(index[at], "value").tensor)
    return int(value.item()) if value.size == 1 and value.item() + 1 in _RANKS else None


def _ranks(index: Index, tensors: list[Tensor]) -> Mapping[Tensor, int]:
    """Returns the ranks that TensorFlow 1 recorded or, where it recorded none, those that TensorFlow infers."""
    shapes_then = {tensor: graph.recorded_shape_of(index, tensor) for tensor in tensors}
    recorded = {tensor: len(shape) for tensor, shape in shapes_then.items() if shape is not None}
    if len(recorded) == len(shapes_then):
        return recorded
    shapes = static_shapes.inferred(index.graph_def)
    return {tensor: shapes[name].rank for tensor in tensors if (name := f"{tensor.node}:{tensor.index}") in shapes}
