"""GraphDefs in, new GraphDefs out: the part that some tensors need, with functions renamed. Nothing runs here."""

import hashlib
from collections.abc import Collection, Iterable
from typing import TypeAlias

from tensorflow.core.framework import attr_value_pb2, graph_pb2, node_def_pb2

from export_v1.ir import library
from export_v1.ir.graph import all_nodes

GraphDef: TypeAlias = graph_pb2.GraphDef
NodeDef: TypeAlias = node_def_pb2.NodeDef

# Attributes that say where and how the graph once ran. Colocation names nodes that are gone, devices are machines long
# gone (and stop a distribution strategy from placing replicas), and recorded shapes contradict newer shape functions.
_PLACEMENT = ("_class", "_output_shapes")


def split(edge: str) -> tuple[str, int]:
    """Returns node and output index of an edge or a tensor name; -1 for a control edge.

    >>> split("a/b:1"), split("a"), split("^a")
    (('a/b', 1), ('a', 0), ('a', -1))
    """
    if edge.startswith("^"):
        return edge[1:], -1
    node, colon, index = edge.rpartition(":")
    return (node, int(index)) if colon and index.isdigit() else (edge, 0)


def tensor_name(edge: str) -> str:
    """Returns the tensor name of a data edge: "a" is "a:0"."""
    node, index = split(edge)
    return f"{node}:{index}"


def needed(graph_def: GraphDef, tensors: Iterable[str], cut: Collection[str] = ()) -> GraphDef:
    """Returns the part of a graph that `tensors` need when the tensors `cut` are given from outside.

    Guaranteed: node order and every kept node's inputs are as they were, except control edges to nodes that only gave
    cut tensors, which are dropped with their nodes. Placement attributes are dropped. Functions are kept whole.

    Args:
        graph_def: not modified.
        tensors: tensor names, or node names for what is run for its effect.
        cut: tensor names "node:index".
    """
    nodes = {node.name: node for node in graph_def.node}
    cut = set(cut)
    cut_nodes = {split(name)[0] for name in cut}
    seen: set[str] = set()
    todo = [split(name)[0] for name in tensors if name not in cut]
    while todo:
        name = todo.pop()
        if name in seen or name not in nodes:
            continue
        seen.add(name)
        for edge in nodes[name].input:
            source, index = split(edge)
            if f"{source}:{index}" not in cut and not (index < 0 and source in cut_nodes):
                todo.append(source)
    part = GraphDef(versions=graph_def.versions, library=graph_def.library)
    for node in graph_def.node:
        if node.name in seen:
            part.node.append(_portable(node, seen, cut))
    return part


def _portable(node: NodeDef, kept: set[str], cut: set[str]) -> NodeDef:
    copy = NodeDef()
    copy.CopyFrom(node)
    copy.device = ""
    for key in _PLACEMENT:
        if key in copy.attr:
            del copy.attr[key]
    edges = [edge for edge in node.input if split(edge)[0] in kept or tensor_name(edge) in cut]
    if len(edges) != len(node.input):
        del copy.input[:]
        copy.input.extend(edges)
    return copy


def with_own_functions(graph_def: GraphDef) -> GraphDef:
    """Returns a copy in which each function is named after its content, and functions that nobody calls are gone.

    TensorFlow holds functions in one table for the whole process and refuses a second one with the same name and
    another body; exports from different graphs do use the same names (`cond_true_1`).
    """
    copy = GraphDef()
    copy.CopyFrom(graph_def)
    reachable = library.reachable(graph_def)
    del copy.library.function[:]
    kept = [function for function in graph_def.library.function if function.signature.name in reachable]
    digest = hashlib.sha256(b"".join(function.SerializeToString(deterministic=True) for function in kept)).hexdigest()
    renamed = {function.signature.name: f"{function.signature.name}_{digest[:12]}" for function in kept}
    for function in kept:
        added = copy.library.function.add()
        added.CopyFrom(function)
        added.signature.name = renamed[function.signature.name]
    for gradient in copy.library.gradient:
        gradient.function_name = renamed.get(gradient.function_name, gradient.function_name)
        gradient.gradient_func = renamed.get(gradient.gradient_func, gradient.gradient_func)
    for node in all_nodes(copy):
        node.op = renamed.get(node.op, node.op)
        for value in node.attr.values():
            _rename(value, renamed)
    return copy


def _rename(value: attr_value_pb2.AttrValue, renamed: dict[str, str]) -> None:
    if value.HasField("func"):
        value.func.name = renamed.get(value.func.name, value.func.name)
    for function in value.list.func:
        function.name = renamed.get(function.name, function.name)


def restored_from(graph_def: GraphDef) -> dict[str, tuple[str, str]]:
    """Returns VarHandleOp name -> (checkpoint key, slice), as the graph's own Saver would restore them.

    TensorFlow 1 has the Saver's nodes in the graph, TensorFlow 2 in a function that gets the handles as arguments.
    """
    restored = _restored(graph_def.node, {})
    functions = {function.signature.name: function for function in graph_def.library.function}
    for node in graph_def.node:
        function = functions.get(node.attr["f"].func.name) if "f" in node.attr else None
        if function is not None and any(inner.op == "RestoreV2" for inner in function.node_def):
            arguments = [argument.name for argument in function.signature.input_arg]
            outer = {name: split(edge)[0] for name, edge in zip(arguments, node.input, strict=False)}
            restored.update(_restored(function.node_def, outer))
    return restored


def _restored(nodes_: Iterable[NodeDef], outer: dict[str, str]) -> dict[str, tuple[str, str]]:
    nodes = {node.name: node for node in nodes_}
    restored = {}
    for node in nodes.values():
        if node.op != "AssignVariableOp" or len(node.input) < 2:
            continue
        source, index = _producer(node.input[1])
        while source in nodes and nodes[source].op == "Identity":
            source, index = _producer(nodes[source].input[0])
        restore = nodes.get(source)
        if restore is None or restore.op != "RestoreV2" or len(restore.input) < 3:
            continue
        keys, parts = (_strings(nodes.get(_producer(edge)[0])) for edge in restore.input[1:3])
        if index < len(keys):
            handle = _producer(node.input[0])[0]
            restored[outer.get(handle, handle)] = (keys[index], parts[index] if index < len(parts) else "")
    return restored


def _producer(edge: str) -> tuple[str, int]:
    """Returns node and output index; inside a function an edge is "node:output_name:index"."""
    pieces = edge.split(":")
    return pieces[0].lstrip("^"), int(pieces[-1]) if len(pieces) > 1 and pieces[-1].isdigit() else 0


def _strings(node: NodeDef | None) -> list[str]:
    if node is None or node.op != "Const":
        return []
    return [value.decode("utf-8", "replace") for value in node.attr["value"].tensor.string_val]


def without_custom_gradients(graph_def: GraphDef) -> tuple[GraphDef, list[str]]:
    """Returns the graph with TensorFlow's own gradients everywhere, and the names of nodes that had one of their own.

    tf.custom_gradient leaves the name of a Python function in the graph; the function itself is not in any file.
    """
    named = [node.name for node in all_nodes(graph_def) if "_gradient_op_type" in node.attr]
    if not named:
        return graph_def, []
    copy = GraphDef()
    copy.CopyFrom(graph_def)
    for node in all_nodes(copy):
        if "_gradient_op_type" in node.attr:
            del node.attr["_gradient_op_type"]
    return copy, named
