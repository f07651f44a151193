"""dropout: a dropout that keeps everything is taken out.

With `keep_prob` frozen to 1 (or `rate` to 0) TensorFlow 1's dropout still draws random numbers and multiplies by a
mask of ones; Grappler leaves it, because a random op has state. Both of its forms come down to a mask made of numbers
in [0, 1) by a comparison that a rate of 0 always passes:

    until 1.12:  x / keep_prob * floor(keep_prob + uniform)           from 1.13:  x * (1 / (1 - rate)) * (uniform >= rate)

Source: tf.nn.dropout of TensorFlow 1.0 to 1.15, as its graphs show it.
"""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from export_v1.analysis import liveness
from export_v1.ir import graph, rewrite
from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor, attr, data_inputs
from export_v1.passes.result import Notes, Result

_PASSES_ON = frozenset({"Identity", "StopGradient"})


def of_rate_zero(graph_def: GraphDef) -> Result:
    """Returns the graph without dropouts of rate 0; notes how many there were.

    Only a mask of the data's own shape is taken out: ones of another shape could broadcast.

    Args:
        graph_def: not modified; constants as `freeze` leaves them.
    """
    index, values = Index(graph_def), liveness.known_values(graph_def)
    replaced: dict[str, Tensor] = {}
    for node in graph_def.node:
        if node.op == "Mul":
            kept = _without_mask(node, index, values)
            if kept is not None:
                replaced[node.name] = kept
    nodes = []
    for node in graph_def.node:
        if node.name in replaced:
            made = rewrite.node(node.name, "Identity", [replaced[node.name]])
            made.attr["T"].CopyFrom(node.attr["T"])
            made.input.extend(edge for edge in node.input if edge.startswith("^"))
            nodes.append(made)
        else:
            nodes.append(node)
    return Result(rewrite.with_nodes(graph_def, nodes), notes=Notes(folded=len(replaced)))


def of_any_batch(graph_def: GraphDef) -> Result:
    """Returns the graph with every dropout's mask as large as its data is.

    Where TensorFlow 1 knew the data's shape, batch and all, it wrote it into the graph for the mask.

    Args:
        graph_def: not modified; with the shapes that TensorFlow 1 recorded.
    """
    if not any(node.op == "RandomUniform" for node in graph_def.node):
        return Result(graph_def)
    index, values, shapes = Index(graph_def), liveness.known_values(graph_def), {}
    for node in graph_def.node:
        if node.op == "Mul":
            pair = data_inputs(node)
            for data, mask in (pair, reversed(pair)):
                for numbers, _, _ in _compared(mask, index):
                    uniform = _unit_uniform(numbers, index, values)
                    if uniform is None or not _is_recorded(index, data_inputs(uniform)[0], data):
                        continue
                    # A gradient is multiplied by the same mask, and comes of what the mask was for.
                    if uniform.name not in index.ancestors([data.node]):
                        shapes[uniform.name] = data
    if not shapes:
        return Result(graph_def)
    names = set(index.nodes)
    nodes = []
    for node in graph_def.node:
        if node.name in shapes:
            shape = rewrite.node(graph.fresh_name(f"{node.name}/of_data", names), "Shape", [shapes[node.name]])
            shape.attr["T"].type = tf.as_dtype(index.data_type(shapes[node.name])).base_dtype.as_datatype_enum
            shape.attr["out_type"].CopyFrom(node.attr["T"])
            nodes.append(shape)
            node = rewrite.rewired(node, {data_inputs(node)[0]: Tensor(shape.name)})
        nodes.append(node)
    return Result(rewrite.with_nodes(graph_def, nodes))


def _is_recorded(index: Index, shape: Tensor, data: Tensor) -> bool:
    node = index.nodes.get(shape.node)
    if node is None or node.op != "Const":
        return False
    return _recorded_sizes(index, data) == list(tf.make_ndarray(attr(node, "value").tensor))


def _without_mask(node: NodeDef, index: Index, values: dict[Tensor, np.ndarray]) -> Tensor | None:
    """Returns what a multiplication by a mask of ones amounts to, or None where it is something else."""
    pair = data_inputs(node)
    for data, mask in (pair, reversed(pair)):
        uniform = _mask_source(mask, index, values)
        if uniform is None:
            continue
        unscaled = _unscaled(data, index, values)
        shape = index[data_inputs(uniform)[0].node]
        if shape.op == "Shape" and data_inputs(shape)[0] in (data, unscaled):
            return unscaled
        if _is_recorded(index, data_inputs(uniform)[0], data):
            return unscaled
    return None


def _recorded_sizes(index: Index, tensor: Tensor) -> list[int] | None:
    shapes = attr(index[tensor.node], "_output_shapes").list.shape if tensor.node in index else []
    return [dim.size for dim in shapes[tensor.index].dim] if tensor.index < len(shapes) else None


def _mask_source(mask: Tensor, index: Index, values: dict[Tensor, np.ndarray]) -> NodeDef | None:
    """Returns the RandomUniform behind a mask that is all ones, or None."""
    for uniform, rate, off in _compared(mask, index):
        if _is(values, rate, off):
            return _unit_uniform(uniform, index, values)
    return None


def _compared(mask: Tensor, index: Index) -> Iterator[tuple[Tensor, Tensor, int]]:
    """Yields (random numbers, what they are compared with, the value of that for a mask of ones), if it is a mask."""
    node = index.nodes.get(mask.node)
    if node is None:
        return
    inner = index.nodes.get(data_inputs(node)[0].node) if node.op in ("Cast", "Floor") else None
    if inner is None:
        return
    if node.op == "Cast" and inner.op == "GreaterEqual":
        yield (*data_inputs(inner), 0)
    elif node.op == "Floor" and inner.op in ("Add", "AddV2"):
        one, other = data_inputs(inner)
        yield other, one, 1
        yield one, other, 1


def _unit_uniform(tensor: Tensor, index: Index, values: dict[Tensor, np.ndarray]) -> NodeDef | None:
    """Returns the RandomUniform node that `tensor` is, through a scale of 1 and a shift of 0 as TF1 wrote them."""
    node = index.nodes.get(tensor.node)
    while node is not None and node.op != "RandomUniform":
        inputs = data_inputs(node)
        if node.op in _PASSES_ON:
            node = index.nodes.get(inputs[0].node)
        elif (
            node.op == "Mul" and _is(values, inputs[1], 1) or node.op in ("Add", "AddV2") and _is(values, inputs[1], 0)
        ):
            node = index.nodes.get(inputs[0].node)
        else:
            return None
    return node


def _unscaled(tensor: Tensor, index: Index, values: dict[Tensor, np.ndarray]) -> Tensor:
    """Returns the tensor without a scale of exactly 1."""
    node = index[tensor.node]
    inputs = data_inputs(node)
    if node.op in ("Mul", "RealDiv") and len(inputs) == 2:
        if _is(values, inputs[1], 1):
            return inputs[0]
        if node.op == "Mul" and _is(values, inputs[0], 1):
            return inputs[1]
    return tensor


def _is(values: dict[Tensor, np.ndarray], tensor: Tensor, number: float) -> bool:
    value = values.get(tensor)
    return value is not None and value.shape == () and bool(value == number)
