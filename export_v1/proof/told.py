"""The shape of an input as the graph itself tells it: recorded, declared by a queue or an iterator, or inferred."""

import tensorflow as tf

from export_v1.interface import Input
from export_v1.ir import ops, rewrite
from export_v1.ir.graph import Index, attr, data_inputs, parse, recorded_shape
from export_v1.proof import judge
from export_v1.proof.reading import Shape

# Up to here a placeholder without a shape was written as one of rank 0.
_RANK_0_IS_UNKNOWN = 21
# A second of sound.
_SAMPLES = 16000
# A graph is imported to infer one shape only where that takes no time.
_MOST_NODES = 5000


def shape(original: Index, wanted: Input) -> Shape:
    """Returns the static shape of a tensor where a graph is cut; None where the graph does not tell even its rank.

    Args:
        original: the graph as it was written.
        wanted: the cut, perhaps with a shape of its own, which comes first.
    """
    static = _shape(original, wanted)
    node = original.nodes.get(parse(wanted.tensor).node)
    if static and static[0] is None and node is not None and node.op == "DecodeWav":
        # Its first axis is no batch.
        return [_SAMPLES, *static[1:]]
    return static


def _shape(original: Index, wanted: Input) -> Shape:
    tensor = parse(wanted.tensor)
    node = original.nodes.get(tensor.node)
    if wanted.shape is not None and (wanted.shape or node is None or not _may_have_any_rank(original, node)):
        return list(wanted.shape)
    if node is None or _may_have_any_rank(original, node):
        return None
    recorded = recorded_shape(node, tensor.index)
    if recorded is not None:
        return recorded
    if node.op in ops.ITERATOR_READS:
        return _declared(attr(node, "output_shapes"), tensor.index)
    if node.op in ops.DEQUEUES and node.input:
        queue = original.nodes.get(data_inputs(node)[0].node)
        component = _declared(attr(queue, "shapes"), tensor.index) if queue is not None else None
        is_batch = "Many" in node.op or "UpTo" in node.op
        return component if component is None or not is_batch else [None, *component]
    return _inferred(original, tensor)


def _may_have_any_rank(original: Index, node) -> bool:
    """Returns whether a placeholder's rank 0 means nothing: the graph is older than unknown shapes are."""
    is_old = original.graph_def.versions.producer <= _RANK_0_IS_UNKNOWN
    return is_old and node.op == "Placeholder" and not attr(node, "shape").shape.dim and not _is_recorded(node)


def _is_recorded(node) -> bool:
    shapes = node.attr["_output_shapes"].list.shape if "_output_shapes" in node.attr else []
    return bool(shapes) and not shapes[0].unknown_rank


def _declared(shapes, index: int) -> Shape:
    if index >= len(shapes.list.shape) or shapes.list.shape[index].unknown_rank:
        return None
    return [dim.size if dim.size >= 0 else None for dim in shapes.list.shape[index].dim]


def _inferred(original: Index, tensor) -> Shape:
    needed = original.ancestors([tensor.node])
    if original[tensor.node].op in ops.PLACEHOLDERS or len(needed) > _MOST_NODES:
        return None
    part = rewrite.with_nodes(original.graph_def, (node for node in original.graph_def.node if node.name in needed))
    for node in part.node:
        node.device = ""
        for key in [key for key in node.attr if key.startswith("_")]:
            del node.attr[key]
    try:
        static = judge.imported(part, {}).get_tensor_by_name(tensor.name).shape
    except (ValueError, TypeError, KeyError, tf.errors.OpError):
        return None
    return None if static.rank is None else static.as_list()
