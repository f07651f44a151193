"""Writing a GraphDef anew: the few moves that the passes are made of. The graph that comes in is never changed."""

from collections.abc import Callable, Collection, Iterable, Mapping

import numpy as np
import tensorflow as tf

from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor, parse


def with_nodes(graph_def: GraphDef, nodes: Iterable[NodeDef]) -> GraphDef:
    """Returns a graph of `nodes` with the function library and versions of `graph_def`."""
    new = GraphDef()
    new.library.CopyFrom(graph_def.library)
    new.versions.CopyFrom(graph_def.versions)
    new.node.extend(nodes)
    return new


def node(name: str, op: str, inputs: Iterable[Tensor] = (), **attrs) -> NodeDef:
    """Returns a NodeDef; an int attr is a plain int, a DataType comes as tf.DType, a shape as tf.TensorShape."""
    made = NodeDef(name=name, op=op, input=[tensor.edge for tensor in inputs])
    for key, value in attrs.items():
        if isinstance(value, tf.DType):
            made.attr[key].type = value.as_datatype_enum
        elif isinstance(value, tf.TensorShape):
            made.attr[key].shape.CopyFrom(value.as_proto())
        elif isinstance(value, bool):
            made.attr[key].b = value
        elif isinstance(value, int):
            made.attr[key].i = value
        elif isinstance(value, (str, bytes)):
            made.attr[key].s = value.encode() if isinstance(value, str) else value
        else:
            raise TypeError(f"attr {key}: {type(value)}")
    return made


def constant(name: str, value, dtype: tf.DType, waits: Iterable[str] = ()) -> NodeDef:
    """Returns a Const node that holds `value` as `dtype`.

    Args:
        name: of the node.
        value: anything that NumPy takes.
        dtype: of the constant.
        waits: nodes that it waits for. In a loop or a branch of TensorFlow 1 a constant is where those are.
    """
    made = node(name, "Const", dtype=dtype)
    made.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.asarray(value) if dtype != tf.string else value, dtype))
    made.input.extend(f"^{name}" for name in waits)
    return made


def rewired(
    source: NodeDef,
    tensors: Mapping[Tensor, Tensor | None] | Callable[[Tensor], Tensor | None],
    controls: Mapping[str, str] = {},  # noqa: B006 - never written to
) -> NodeDef:
    """Returns a copy of a node that reads other tensors.

    Args:
        source: the node. Not modified.
        tensors: what stands in for a data input; a tensor that is not in it stays.
        controls: node to wait for in place of another; a node that is not in it stays, "" drops the edge.
    """
    replace = tensors if callable(tensors) else lambda tensor: tensors.get(tensor, tensor)
    made = NodeDef()
    made.CopyFrom(source)
    del made.input[:]
    waits: dict[str, None] = {}
    for edge in source.input:
        tensor = parse(edge)
        if tensor.index >= 0:
            made.input.append((replace(tensor) or tensor).edge)
        else:
            target = controls.get(tensor.node, tensor.node)
            if target:
                waits["^" + target] = None
    made.input.extend(waits)
    return made


def replace_tensors(
    index: Index, replacements: Mapping[Tensor, NodeDef], keep: Collection[str] | None = None
) -> tuple[Index, dict[Tensor, Tensor]]:
    """Returns the graph with each tensor made by its new node's first output, and where each tensor went.

    A new node that carries the name of the node it replaces takes its place. Who waited for a replaced node waits for
    the new one.

    Args:
        index: of the graph, which is not modified.
        replacements: tensor -> the node that makes it from now on.
        keep: names of the other nodes to keep, nothing of which reads one that is not kept; None: all of them.
    """
    tensors = {old: Tensor(new.name, 0) for old, new in replacements.items()}
    controls = {old.node: new.name for old, new in replacements.items()}
    taken_over = {new.name for new in replacements.values()}
    changed, nodes = set(taken_over), list(replacements.values())
    for name, node in index.all_nodes():
        if name in taken_over or (keep is not None and name not in keep):
            continue
        data, waits = index.edges(name)
        if not (tensors.keys().isdisjoint(data) and controls.keys().isdisjoint(waits)):
            node = rewired(node, tensors, controls)
            changed.add(name)
        nodes.append(node)
    return index.followed_by(with_nodes(index.graph_def, nodes), changed), tensors
