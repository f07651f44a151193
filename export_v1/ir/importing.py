"""The one place where a graph from a file becomes a part of TensorFlow's: what was looked at is what is imported."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TypeAlias

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saver_pb2

from export_v1.console import colour
from export_v1.ir import graph, library, ops, safety
from export_v1.ir.graph import GraphDef

MetaGraphDef: TypeAlias = meta_graph_pb2.MetaGraphDef
# Marks of a node that change neither which kernel nor which function answers. TensorFlow reads others that do.
_NO_SAVER = saver_pb2.SaverDef(filename_tensor_name="-", save_tensor_name="-", restore_op_name="-")
_KEPT_MARKS = frozenset(
    """
    _class _output_shapes _gradient_op_type _lower_using_switch_merge _num_original_outputs
    _read_only_resource_inputs _xla_propagate_compile_time_consts _has_manual_control_dependencies
    """.split()
)
# Marks of a function, likewise. By `api_implements` Grappler replaces a function by another that nobody calls.
_KEPT_FUNCTION_MARKS = frozenset({"_input_shapes", "_noinline", "_construction_context"})
# How a call is to be run: other optimizers, other executors.
_CALL_OPTIONS = ("config", "config_proto", "executor_type")
# What an op prints, or says when it fails; strings of tensors TensorFlow escapes itself.
_SAID = "message"


def graph_def(
    given: GraphDef,
    *,
    fed_files: Mapping[str, tf.Tensor] | None = None,
    feeds: Mapping[str, tf.Tensor] | None = None,
    policy: safety.Policy | None = None,
    return_elements: Sequence[str] | None = None,
    name: str = "",
):
    """Imports a graph into the current one; returns what `tf.graph_util.import_graph_def` does.

    Guaranteed: the graph that TensorFlow gets is the one that was checked, functions included. What nothing calls is left
    out, and so is what tells TensorFlow to run something else than what stands in the graph.

    Args:
        given: not modified.
        fed_files: tensor name -> the path of a file of the artefact's own, in the graph's place.
        feeds: tensor name -> what stands in its place.
        policy: which ops may be in it; None: `safety.current()`.
        return_elements: names of what is returned.
        name: prefix of the names.

    Raises:
        UserError: it holds an op that the policy does not let in, or functions that are too large once they are called.
        ValueError: TensorFlow refuses it.
    """
    fed_files = fed_files or {}
    admitted = checked(given, fed_files, policy)
    used = {graph.parse(edge).name for node in admitted.node for edge in node.input}
    mapped = {
        tensor: tf.convert_to_tensor(value)
        for tensor, value in {**(feeds or {}), **fed_files}.items()
        if tensor in used
    }
    try:
        return tf.graph_util.import_graph_def(admitted, mapped, return_elements, name=name)
    except tf.errors.OpError as error:
        # What TensorFlow refuses is a ValueError where an op stands in the graph, but not within a function.
        raise ValueError(error.message) from error


def meta_graph(given: MetaGraphDef, own: Iterable[graph.NodeDef] = ()) -> None:
    """Imports a MetaGraphDef into the current graph, as `graph_def` does; its collections come along.

    Args:
        given: not modified.
        own: nodes that this package has made, beside those that were checked.
    """
    admitted = MetaGraphDef(saver_def=given.saver_def if given.HasField("saver_def") else None)
    for key, collection in given.collection_def.items():
        admitted.collection_def[key].CopyFrom(collection)
    admitted.meta_info_def.CopyFrom(given.meta_info_def)
    admitted.graph_def.CopyFrom(checked(given.graph_def))
    admitted.graph_def.node.extend(own)
    if not admitted.HasField("saver_def"):
        # Else TensorFlow makes a Saver, several nodes for each variable, which nobody asked for.
        admitted.saver_def.MergeFrom(_NO_SAVER)
    tf.compat.v1.train.import_meta_graph(admitted)


def checked(given: GraphDef, own_files: Collection[str] = (), policy: safety.Policy | None = None) -> GraphDef:
    """Returns the graph as it may be imported.

    Raises:
        UserError: as `graph_def`.
    """
    policy = policy or safety.current()
    plain = as_written(given)
    library.check_size(plain, policy.error)
    policy.check(plain, own_files)
    return plain


def as_written(given: GraphDef) -> GraphDef:
    """Returns the graph without functions that nothing calls, and without marks by which something else would run.

    What ops print has no control characters in it.
    """
    reachable = library.reachable(given)
    plain = GraphDef(versions=given.versions)
    plain.node.extend(given.node)
    plain.library.function.extend(f for f in given.library.function if f.signature.name in reachable)
    plain.library.gradient.extend(g for g in given.library.gradient if g.function_name in reachable)
    for function in plain.library.function:
        for key in _function_marks(function):
            del function.attr[key]
    for node in graph.all_nodes(plain):
        for key in _marks(node):
            del node.attr[key]
        for key in _options(node):
            node.attr[key].s = b""
        if _SAID in node.attr:
            node.attr[_SAID].s = colour.visible(_said(node)).encode()
    return plain


def marks(given: GraphDef) -> list[str]:
    """Returns what `as_written` would leave out of functions and nodes, each mark with where it is."""
    places = [(f.signature.name, key) for f in given.library.function for key in _function_marks(f)]
    for node in graph.all_nodes(given):
        places += [(node.name, key) for key in (*_marks(node), *_options(node))]
        places += [(node.name, _SAID)] if colour.visible(_said(node)) != _said(node) else []
    return [f"{key!r} of {name!r}" for name, key in places]


def _said(node: graph.NodeDef) -> str:
    return node.attr[_SAID].s.decode("utf-8", "backslashreplace") if _SAID in node.attr else ""


def _function_marks(function) -> list[str]:
    return [key for key in function.attr if key not in _KEPT_FUNCTION_MARKS]


def _marks(node: graph.NodeDef) -> list[str]:
    return [key for key in node.attr if key.startswith("_") and key not in _KEPT_MARKS]


def _options(node: graph.NodeDef) -> list[str]:
    return [key for key in _CALL_OPTIONS if key in node.attr and node.attr[key].s] if node.op in ops.CALLS else []
