"""A MetaGraphDef read into a `Graph`: what its collections say, without importing it."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework import variable_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from export_v1 import errors
from export_v1.format import composite
from export_v1.ir import ops, rewrite, wellformed
from export_v1.ir.graph import GraphDef, Index, attr
from export_v1.model import DeclaredSignature, Graph, Restored
from export_v1.source import graph_def, session_bundle, text_format

MetaGraphDef: TypeAlias = meta_graph_pb2.MetaGraphDef
# Collections that hold VariableDefs. MODEL_VARIABLES and others repeat these.
VARIABLE_COLLECTIONS = (
    "variables",
    "trainable_variables",
    "local_variables",
    "model_variables",
    "moving_average_variables",
)


def read(path: str) -> MetaGraphDef:
    """Returns the MetaGraphDef in a file, binary or text.

    Raises:
        ExportError: the file cannot be read, or holds no MetaGraphDef or half of one.
    """
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise errors.ExportError(f"MetaGraphDef {path!r} cannot be read: {error.strerror}.") from error
    meta_graph = _parsed(content)
    if meta_graph is not None and meta_graph.graph_def.node:
        return meta_graph
    # tf.train.write_graph leaves a graph without collections; with a checkpoint it is as good.
    alone = graph_def.parsed(content)
    if alone is not None:
        return MetaGraphDef(graph_def=alone)
    what = "holds a MetaGraphDef without a graph" if meta_graph is not None else "is not a MetaGraphDef"
    raise errors.ExportError(
        f"{path!r} {what}, or only a part of one ({len(content):,} bytes).\n"
        "  A Saver writes it as PREFIX.meta; copy it again, or name another file with --meta_graph=FILE."
    )


def _parsed(content: bytes) -> MetaGraphDef | None:
    meta_graph = MetaGraphDef()
    try:
        meta_graph.ParseFromString(content)
        return meta_graph
    except DecodeError:
        pass
    meta_graph = MetaGraphDef()
    return meta_graph if text_format.parsed(content, meta_graph) else None


def to_graph(meta_graph: MetaGraphDef, assets: Mapping[str, str] | None = None) -> Graph:
    """Returns the graph and what its collections say; collections that cannot be parsed are passed over.

    Libraries put Python objects of their own into collections (tflearn's `trainops`), so one that does not parse is
    nobody's fault and nothing to stop for.

    Args:
        meta_graph: not modified.
        assets: tensor name of a file name -> path of that file.
    """
    wellformed.check_names(meta_graph, "The graph")
    with wellformed.blamed(lambda: [meta_graph.graph_def], "The graph"):
        return _read(meta_graph, dict(assets or {}))


def _read(meta_graph: MetaGraphDef, assets: dict[str, str]) -> Graph:
    collections = meta_graph.collection_def
    signatures = {**session_bundle.signatures(meta_graph), **_signatures(meta_graph)}
    return Graph(
        graph_def=_without_wrong_shapes(meta_graph.graph_def),
        trainable=_trainable(meta_graph),
        local=frozenset(name(variable) for variable in variable_defs(meta_graph, "local_variables")),
        restored={**_sliced(meta_graph), **_restored_by_saver(meta_graph)},
        signatures=signatures,
        # A server feeds a signature's inputs and nothing else.
        answers_with_defaults=bool(signatures),
        update_ops=_names(collections, "update_ops"),
        regularization_losses=_names(collections, "regularization_losses"),
        losses=_names(collections, "losses"),
        train_ops=_names(collections, "train_op"),
        assets=assets,
    )


def _without_wrong_shapes(graph: GraphDef) -> GraphDef:
    """Returns the graph without recorded shapes that are not those of the values.

    TensorFlow 1 took the shape of slices, reduced, for that of their indices; whatever is computed of them has it from
    there.
    """
    wrong = [node.name for node in graph.node if node.op.startswith("ReduceSlice")]
    if not wrong:
        return graph
    made = rewrite.with_nodes(graph, graph.node)
    computed = Index(graph).descendants(wrong)
    for node in made.node:
        if node.name in computed:
            node.attr.pop("_output_shapes", None)
    return made


def name(variable: variable_pb2.VariableDef) -> str:
    """Returns the variable name that a VariableDef is about."""
    return variable.variable_name.rsplit(":", 1)[0]


def variable_defs(meta_graph: MetaGraphDef, collection: str) -> list[variable_pb2.VariableDef]:
    """Returns the VariableDefs of a collection, those that parse."""
    variables = []
    for content in (
        meta_graph.collection_def[collection].bytes_list.value if collection in meta_graph.collection_def else ()
    ):
        variable = variable_pb2.VariableDef()
        try:
            variable.ParseFromString(content)
        except DecodeError:
            continue
        if variable.variable_name:
            variables.append(variable)
    return variables


def _trainable(meta_graph: MetaGraphDef) -> dict[str, bool]:
    """A variable is trainable where TRAINABLE_VARIABLES lists it; VariableDef.trainable is younger than most files."""
    listed = {name(variable) for variable in variable_defs(meta_graph, "trainable_variables")}
    every = [
        name(variable) for collection in VARIABLE_COLLECTIONS for variable in variable_defs(meta_graph, collection)
    ]
    return {variable: variable in listed for variable in every}


def _sliced(meta_graph: MetaGraphDef) -> dict[str, Restored]:
    """Returns where the parts of partitioned variables are in a checkpoint, as their VariableDefs say."""
    parts = {}
    for collection in VARIABLE_COLLECTIONS:
        for variable in variable_defs(meta_graph, collection):
            info = variable.save_slice_info_def
            if info.full_name:
                parts[name(variable)] = Restored(
                    info.full_name,
                    tuple((start, size) for start, size in zip(info.var_offset, info.var_shape, strict=True)),
                )
    return parts


def _restored_by_saver(meta_graph: MetaGraphDef) -> dict[str, Restored]:
    """Returns the checkpoint keys that the Saver restores variables from, read off its own restore ops.

    A Saver made from a dict ("ema name": variable) uses keys that no other record holds. Only the Saver that wrote this
    MetaGraphDef counts: there may be others in the graph, for pre-trained parts say.
    """
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    keys: dict[str, Restored] = {}
    todo = [meta_graph.saver_def.restore_op_name.split(":")[0]]
    seen = set()
    texts = functools.cache(lambda name: _texts(nodes.get(name)))
    while todo:
        node = nodes.get(todo.pop())
        if node is None or node.name in seen:
            continue
        seen.add(node.name)
        if node.op in ops.ASSIGNS:
            variable, value = (_through_identity(edge, nodes) for edge in node.input[:2])
            restored = _restore_op_output(value, nodes, texts)
            if restored is not None:
                keys[variable.split(":")[0]] = restored
        elif node.op == "NoOp":
            todo.extend(edge[1:] for edge in node.input if edge.startswith("^"))
    return keys


def _through_identity(edge: str, nodes) -> str:
    seen = set()
    while edge not in seen and edge.split(":")[0] in nodes and nodes[edge.split(":")[0]].op in ("Identity", "Reshape"):
        seen.add(edge)
        edge = nodes[edge.split(":")[0]].input[0]
    return edge


def _restore_op_output(edge: str, nodes, texts: Callable[[str], Sequence[bytes] | None]) -> Restored | None:
    name, _, index = edge.partition(":")
    node = nodes.get(name)
    if node is None or node.op not in ops.RESTORES:
        return None
    keys = texts(node.input[1].split(":")[0])
    if keys is None:
        return None
    specs = texts(node.input[2].split(":")[0]) if len(node.input) > 2 else None
    spec = specs[int(index or 0)] if specs is not None else b""
    return Restored(keys[int(index or 0)].decode(), _slice(spec.decode()))


def _texts(node) -> Sequence[bytes] | None:
    """Returns the elements of a constant of strings."""
    return None if node is None or node.op != "Const" else tf.make_ndarray(attr(node, "value").tensor).ravel()


def _slice(spec: str) -> tuple[tuple[int, int], ...]:
    """Returns (start, size) per axis of a `shape_and_slice` such as "20 6 7,7:0,6"; () for the whole tensor."""
    if not spec.strip():
        return ()
    sizes, _, ranges = spec.strip().rpartition(" ")
    pairs = []
    for size, part in zip(sizes.split(), ranges.split(":"), strict=True):
        start, _, length = part.partition(",")
        pairs.append((0, int(size)) if part == "-" else (int(start), int(length)))
    return tuple(pairs)


def _names(collections, key: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(collections[key].node_list.value)) if key in collections else ()


def _signatures(meta_graph: MetaGraphDef) -> dict[str, DeclaredSignature]:
    signatures = {}
    # A map of a proto has no order of its own.
    for key, signature_def in sorted(meta_graph.signature_def.items()):
        inputs, shapes = {}, {}
        for name, info in _tensors(signature_def.inputs):
            inputs[name] = info.name
            if info.HasField("tensor_shape") and not info.tensor_shape.unknown_rank:
                shapes[name] = [dim.size if dim.size >= 0 else None for dim in info.tensor_shape.dim]
        outputs = {name: info.name for name, info in _tensors(signature_def.outputs)}
        signatures[key] = DeclaredSignature(inputs, outputs, signature_def.method_name, shapes)
    return signatures


def _tensors(infos) -> list[tuple[str, meta_graph_pb2.TensorInfo]]:
    """Returns key and TensorInfo of each tensor, by key; a sparse or ragged one comes as the tensors that make it up."""
    tensors: list[tuple[str, meta_graph_pb2.TensorInfo]] = []
    # A map of a proto has no order; by key is how TensorFlow's own tools list it.
    for key in sorted(infos):
        info = infos[key]
        if info.WhichOneof("encoding") == "composite_tensor":
            tensors += composite.parts(key, info)
            continue
        if info.WhichOneof("encoding") != "coo_sparse":
            tensors.append((key, info))
            continue
        sparse = info.coo_sparse
        parts = {
            "values": sparse.values_tensor_name,
            "indices": sparse.indices_tensor_name,
            "shape": sparse.dense_shape_tensor_name,
        }
        tensors += [(f"{key}_{part}", meta_graph_pb2.TensorInfo(name=name)) for part, name in parts.items()]
    return tensors
