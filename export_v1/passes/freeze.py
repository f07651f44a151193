"""freeze: a tensor becomes a placeholder (an input) or a constant (a value that never changes)."""

from collections.abc import Mapping

import tensorflow as tf

from export_v1.ir import graph, rewrite
from export_v1.ir.graph import GraphDef, Tensor, parse


def to_placeholders(graph_def: GraphDef, inputs: Mapping[str, tuple[int, list[int | None] | None]]):
    """Returns the graph cut at `inputs`, and the tensor name that each input has now.

    Every input is a Placeholder afterwards, whatever made it before; a tensor made by a node whose only output it is
    keeps its name, any other gets one from the tensor's ("IteratorGetNext:1" -> "IteratorGetNext_1:0").

    Args:
        graph_def: not modified.
        inputs: tensor name -> DataType and static shape (None: unknown rank; a None in it: unknown size).
    """
    made = {}
    taken = {node.name for node in graph_def.node}
    for name, (data_type, shape) in inputs.items():
        tensor = parse(name)
        made[tensor] = rewrite.node(
            _new_name(graph_def, tensor, taken),
            "Placeholder",
            dtype=tf.as_dtype(data_type),
            shape=tf.TensorShape(shape),
        )
    new, tensors = rewrite.replace_tensors(graph_def, made)
    return new, {old.name: tensor.name for old, tensor in tensors.items()}


def to_constants(graph_def: GraphDef, values: Mapping[str, tuple[int, object]]):
    """Returns the graph with constants for some tensors, and the tensor name that each has now.

    Args:
        graph_def: not modified.
        values: tensor name -> DataType and value.
    """
    made = {}
    taken = {node.name for node in graph_def.node}
    for name, (data_type, value) in values.items():
        tensor = parse(name)
        made[tensor] = rewrite.constant(_new_name(graph_def, tensor, taken), value, tf.as_dtype(data_type))
    new, tensors = rewrite.replace_tensors(graph_def, made)
    return new, {old.name: tensor.name for old, tensor in tensors.items()}


def _new_name(graph_def: GraphDef, tensor: Tensor, taken: set[str]) -> str:
    node = next((one for one in graph_def.node if one.name == tensor.node), None)
    if node is not None and tensor.index == 0 and len(graph.output_types(node)) == 1:
        return tensor.node
    return graph.fresh_name(f"{tensor.node}_{tensor.index}", taken)
