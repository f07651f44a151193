"""From which data a mean, a variance, or what is computed of them, takes the statistics of a batch."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from export_v1.ir import graph, ops
from export_v1.ir.graph import Index, NodeDef, Tensor, attr, data_inputs
from export_v1.ir.match import origin

_REDUCTIONS = frozenset({"Mean", "Sum"})
# What statistics are made of other statistics with, element by element.
_ARITHMETIC = (
    ops.ADDS | ops.IDENTITIES | ops.RESHAPES | ops.SELECTS
    | {"Sub", "Mul", "RealDiv", "Div", "Neg", "Inv", "Reciprocal", "Sqrt", "Rsqrt", "Square", "SquaredDifference"}
    | {"Pow", "Log", "Log1p", "Exp", "Maximum", "Minimum", "Cast"}
)  # fmt: skip
# What is done to data, element by element, before it is summed.
_OF_DATA = ops.IDENTITIES | {"Cast", "Reshape", "Square", "SquaredDifference", "Sub", "Mul", "Abs"}


def reduced(index: Index, statistic: Tensor) -> frozenset[Tensor]:
    """Returns the tensors over whose first axis a statistic was computed; empty where it is no statistic of a batch.

    The mean and the variance of one tensor give that tensor, and so do a standard deviation, a second moment, a log of
    the variance: whatever arithmetic makes of the two.
    """
    return frozenset(reduction_data(index, node) for node in reductions(index, statistic))


def reductions(index: Index, statistic: Tensor) -> list[NodeDef]:
    """Returns the ops that sum over a batch, from which arithmetic alone makes a statistic."""
    return [node for node in arithmetic(index, statistic) if node.op in _REDUCTIONS and _over_batch(index, node)]


def arithmetic(index: Index, tensor: Tensor) -> Iterator[NodeDef]:
    """Yields the nodes above a tensor up to what is no arithmetic on statistics, which is yielded, too."""
    seen, todo = {tensor.node}, [tensor.node]
    while todo:
        node = index.nodes.get(todo.pop())
        if node is None:
            continue
        yield node
        if node.op in _ARITHMETIC:
            names = {source.node for source in data_inputs(node)} - seen
            seen |= names
            todo.extend(names)


def reduction_data(index: Index, reduction: NodeDef) -> Tensor:
    """Returns the data of which a Mean or Sum takes the mean, a square or the distance from a mean."""
    tensor, seen = data_inputs(reduction)[0], set()
    while tensor not in seen and tensor.node in index and index[tensor.node].op in _OF_DATA:
        seen.add(tensor)
        inputs = data_inputs(index[tensor.node])
        if index[tensor.node].op == "Mul" and inputs[0] != inputs[1]:
            break
        # A distance from a mean may be written the other way round.
        tensor = inputs[1] if _is_mean(index, inputs[0]) and len(inputs) > 1 else inputs[0]
    return tensor


def _is_mean(index: Index, tensor: Tensor) -> bool:
    made = index.nodes.get(origin(index, tensor, _ARITHMETIC & (ops.IDENTITIES | ops.RESHAPES | {"Cast"})).node)
    return made is not None and made.op in _REDUCTIONS and _over_batch(index, made)


def _over_batch(index: Index, reduction: NodeDef) -> bool:
    """Returns whether a reduction is over the first axis, or over axes that nothing tells."""
    source = index.nodes.get(origin(index, data_inputs(reduction)[1], ops.IDENTITIES).node)
    if source is None or source.op != "Const":
        return True
    axes = np.ravel(tf.make_ndarray(attr(source, "value").tensor)).tolist()
    data = data_inputs(reduction)[0]
    shape = graph.recorded_shape(index[data.node], data.index) if data.node in index else None
    if shape is None:
        return any(axis <= 0 for axis in axes)
    return any(axis in (0, -len(shape)) for axis in axes)
