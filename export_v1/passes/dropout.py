"""dropout: a dropout that keeps everything is removed, and one that drops fits any batch.

With `keep_prob` frozen to 1 (or `rate` to 0) TensorFlow 1's dropout still draws random numbers and multiplies by a
mask of ones; Grappler leaves it, because a random op has state. `analysis.dropout` says which forms it has.
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from export_v1.analysis import constants, dropout
from export_v1.analysis.liveness import Liveness, Ordered
from export_v1.ir import graph, rewrite
from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor, attr, data_inputs
from export_v1.ir.match import Pattern, anything, either, made_by, match
from export_v1.passes import any_batch
from export_v1.passes.result import Notes, Result

Values = Mapping[Tensor, np.ndarray]


def of_rate_zero(graph_def: GraphDef) -> Result:
    """Returns the graph without dropouts of rate 0; notes how many there were.

    Only a mask of the data's own shape is taken out: ones of another shape could broadcast.

    Args:
        graph_def: not modified; constants as `freeze` leaves them.
    """
    if not any(node.op == "RandomUniform" for node in graph_def.node):
        return Result(graph_def)
    index = Index(graph_def)
    values = Liveness(Ordered.of(index)).known
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
    index, shapes = Index(graph_def), {}
    values = Liveness(Ordered.of(index)).known
    for node in graph_def.node:
        if node.op == "Mul":
            pair = data_inputs(node)
            for data, mask in (pair, reversed(pair)):
                uniform = _uniform(index, dropout.of_mask(index, mask), values)
                # A gradient is multiplied by the same mask, and comes of what the mask was for.
                if (
                    uniform is not None
                    and _is_recorded(index, data_inputs(uniform)[0], data, broadcast=True)
                    and uniform.name not in index.ancestors([data.node])
                ):
                    shapes[uniform.name] = data
    if not shapes:
        return Result(graph_def)
    names = set(index.nodes)
    nodes = []
    for node in graph_def.node:
        if node.name in shapes:
            made = _shape_of(index, node, shapes[node.name], names)
            nodes += made
            node = rewrite.rewired(node, {data_inputs(node)[0]: Tensor(made[-1].name)})
        nodes.append(node)
    return Result(rewrite.with_nodes(graph_def, nodes))


def _shape_of(index: Index, uniform: NodeDef, data: Tensor, names: set[str]) -> list[NodeDef]:
    """Returns the nodes that make the shape of a mask, of as many rows as its data has; the last one is the shape."""
    source = index[data_inputs(uniform)[0].node]
    sizes = tf.make_ndarray(attr(source, "value").tensor)
    if _recorded_sizes(index, data) != list(sizes):
        # A mask that is broadcast has the data's rows, and sizes of its own.
        return any_batch.sized(index, uniform.name, data, sizes[1:], names, graph.control_inputs(source))
    shape = rewrite.node(graph.fresh_name(f"{uniform.name}/of_data", names), "Shape", [data])
    shape.attr["T"].type = tf.as_dtype(index.data_type(data)).base_dtype.as_datatype_enum
    shape.attr["out_type"].CopyFrom(uniform.attr["T"])
    return [shape]


def _is_recorded(index: Index, shape: Tensor, data: Tensor, broadcast: bool = False) -> bool:
    """Returns whether a constant is the shape that was recorded of data, or one that is broadcast to it row by row."""
    node = index.nodes.get(shape.node)
    if node is None or node.op != "Const":
        return False
    sizes, recorded = list(tf.make_ndarray(attr(node, "value").tensor)), _recorded_sizes(index, data)
    if sizes == recorded or not broadcast or not recorded or len(sizes) != len(recorded):
        return sizes == recorded
    return sizes[0] == recorded[0] and all(size in (1, known) for size, known in zip(sizes, recorded, strict=True))


def _without_mask(product: NodeDef, index: Index, values: Values) -> Tensor | None:
    """Returns what a multiplication by a mask of ones amounts to, or None where it is something else."""
    pair = data_inputs(product)
    for data, mask in (pair, reversed(pair)):
        dropped = dropout.of_mask(index, mask)
        if dropped is None or not dropped.exact or not constants.equals(values.get(dropped.rate), dropped.off):
            continue
        uniform = _uniform(index, dropped, values)
        if uniform is None:
            continue
        unscaled = _unscaled(data, index, values)
        shape = index[data_inputs(uniform)[0].node]
        if shape.op == "Shape" and data_inputs(shape)[0] in (data, unscaled):
            return unscaled
        if _is_recorded(index, data_inputs(uniform)[0], data):
            return unscaled
    return None


def _uniform(index: Index, dropped: dropout.Dropout | None, values: Values) -> NodeDef | None:
    return dropout.unit_uniform(index, dropped.numbers, values) if dropped is not None else None


def _recorded_sizes(index: Index, tensor: Tensor) -> list[int] | None:
    shapes = attr(index[tensor.node], "_output_shapes").list.shape if tensor.node in index else []
    return [dim.size for dim in shapes[tensor.index].dim] if tensor.index < len(shapes) else None


def _unscaled(tensor: Tensor, index: Index, values: Values) -> Tensor:
    """Returns the tensor without a scale of exactly 1."""
    scale = made_by(("Mul", "RealDiv"), anything("data"), _one(values))
    captured = match(index, tensor, either(scale, made_by("Mul", _one(values), anything("data"))))
    return captured["data"] if captured else tensor


def _one(values: Values) -> Pattern:
    return anything(test=lambda _, tensor: constants.equals(values.get(tensor), 1), what="1")
