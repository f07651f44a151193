"""What the training graph tells of a model: the momentum of moving averages, and what a rebuilt model leaves out."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from export_v1.ir import graph as ir
from export_v1.ir import ops
from export_v1.ir.graph import Index, Tensor
from load_v2.program import subgraph
from load_v2.program.program import Program


def momenta(taken: Program) -> Mapping[str, float]:
    """Returns variable name -> momentum, for variables that the training graph moves towards an average of the batch.

    TensorFlow 1 writes `variable -= (variable - value) * (1 - momentum)`.
    """
    if taken.train is None:
        return {}
    index = Index(taken.train.graph_def)
    names = {handle: variable.name for variable in taken.variables for handle in variable.handles}
    found = {}
    for node in taken.train.graph_def.node:
        if node.op not in ops.ASSIGN_SUBS:
            continue
        handle, change = ir.data_inputs(node)[:2]
        decay = _factor(index, change)
        if handle.node in names and decay is not None:
            found[names[handle.node]] = float(str(np.float32(1 - decay)))
    return found


def _factor(index: Index, tensor: Tensor) -> float | None:
    """Returns the number that a difference is multiplied with."""
    node = _behind(index, tensor)
    if node is None or node.op != "Mul":
        return None
    sides = [(_behind(index, source), source) for source in ir.data_inputs(node)]
    if not any(side is not None and side.op == "Sub" and _number(index, source) is None for side, source in sides):
        return None
    return next((number for _, source in sides if (number := _number(index, source)) is not None), None)


def _behind(index: Index, tensor: Tensor):
    while tensor.node in index and index[tensor.node].op == "Identity":
        tensor = ir.data_inputs(index[tensor.node])[0]
    return index.nodes.get(tensor.node)


def _number(index: Index, tensor: Tensor) -> float | None:
    node = _behind(index, tensor)
    if node is None:
        return None
    if node.op == "Const":
        value = tf.make_ndarray(node.attr["value"].tensor)
        return float(value) if value.ndim == 0 and value.dtype.kind == "f" else None
    if node.op == "Sub":
        left, right = (_number(index, source) for source in ir.data_inputs(node))
        return None if left is None or right is None else left - right
    return None


def left_out(taken: Program, has_batch_norm: bool) -> list[str]:
    """Returns what training the rebuilt model does otherwise than the graph."""
    notes = []
    if taken.train is not None and any(ops.is_random(node.op) for node in subgraph.all_nodes(taken.train.graph_def)):
        notes.append("the training graph draws random numbers, as dropout does; the rebuilt model does not")
    if taken.regularizers:
        notes.append(f"{len(taken.regularizers)} regularization losses of the graph are not in the rebuilt model")
    if has_batch_norm and taken.train is not None:
        notes.append("fused batch norm of TensorFlow 1 averages unbiased variances, Keras's layer biased ones")
    return notes
