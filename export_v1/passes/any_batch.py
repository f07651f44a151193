"""any_batch: a shape that the size of the training batch was written into fits any batch.

A queue's batch has a size that TensorFlow 1 knew when the graph was built, so `tf.reshape(x, [BATCH, 5])` holds a number.
Its first size is left to the data then, as -1 leaves it: the same for a batch of that size, and row by row for any other.
"""

import math

import numpy as np
import tensorflow as tf

from export_v1.ir import graph, ops, rewrite
from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor, attr, control_inputs, data_inputs
from export_v1.passes.result import Result


def reshapes(graph_def: GraphDef, size: int | None) -> Result:
    """Returns the graph with Reshapes to a constant number of rows that take any number.

    Those of data whose first recorded size is the batch's or a multiple of it, or is not recorded; to a first size that
    is as large or a multiple of it.

    Args:
        graph_def: not modified; with the shapes that TensorFlow 1 recorded.
        size: of the training batch; None: not known, and nothing is changed.
    """
    if size is None:
        return Result(graph_def)
    index = Index(graph_def)
    names, nodes = set(index.nodes), []
    for node in graph_def.node:
        target = _target(index, node, size) if node.op == "Reshape" else None
        if target is not None:
            open_target = np.concatenate([[-1], target[1:]]).astype(target.dtype)
            name = graph.fresh_name(f"{node.name}/any_batch", names)
            waits = control_inputs(index[data_inputs(node)[1].node])
            nodes.append(rewrite.constant(name, open_target, tf.as_dtype(target.dtype), waits))
            node = rewrite.rewired(node, {data_inputs(node)[1]: Tensor(name)})
        nodes.append(node)
    return Result(rewrite.with_nodes(graph_def, nodes))


def _target(index: Index, reshape: NodeDef, size: int) -> np.ndarray | None:
    """Returns the constant shape of a Reshape whose first size comes of the batch's."""
    data, shape = data_inputs(reshape)
    source = index.nodes.get(shape.node)
    if source is None or source.op != "Const":
        return None
    target = tf.make_ndarray(attr(source, "value").tensor)
    if target.ndim != 1 or len(target) < 1 or np.any(target < 1):
        return None
    recorded = graph.recorded_shape(index[data.node], data.index) if data.node in index else None
    first = recorded[0] if recorded else None
    if (first is not None and (first % size or size == 1 < first)) or index[data.node].op in ops.VARIABLE_READS | {
        "Const"
    }:
        return None
    sizes = [known for known in recorded or () if known is not None]
    exact = first is None or size == 1 or len(sizes) < len(recorded or ())
    fits = target[0] == size if exact else target[0] % size == 0 and math.prod(sizes) == np.prod(target)
    return target if fits else None


def training_size(index: Index, tensors: list[Tensor]) -> int | None:
    """Returns the size of the batch that the graph was built for, where all of some tensors have it as their first."""
    sizes = {_first_size(index, tensor) for tensor in tensors if _rank(index, tensor) != 0}
    return sizes.pop() if len(sizes) == 1 else None


def _rank(index: Index, tensor: Tensor) -> int | None:
    shape = graph.recorded_shape(index[tensor.node], tensor.index)
    return None if shape is None else len(shape)


def _first_size(index: Index, tensor: Tensor) -> int | None:
    node = index[tensor.node]
    recorded = graph.recorded_shape(node, tensor.index)
    if recorded and recorded[0] is not None:
        return recorded[0]
    if node.op in ops.DEQUEUES and len(data_inputs(node)) > 1:
        # A smaller last batch is allowed; the rest are of this size.
        count = index.nodes.get(data_inputs(node)[1].node)
        if count is not None and count.op == "Const":
            return int(tf.make_ndarray(attr(count, "value").tensor))
    return None
