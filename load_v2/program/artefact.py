"""What is in an export folder: graph, signatures, variables, tables' files, and the record that step 1 left."""

import dataclasses
import os
from collections.abc import Mapping
from typing import TypeAlias

import tensorflow as tf
from tensorflow.core.framework import variable_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from export_v1.format import checkpoints, folder
from export_v1.format import record as record_file
from export_v1.format.record import Record
from export_v1.ir import wellformed
from load_v2 import errors
from load_v2.errors import LoadError, quoted
from load_v2.program import signature, subgraph

MetaGraphDef: TypeAlias = meta_graph_pb2.MetaGraphDef
# TensorShape holds no more.
_MOST_AXES = 254


@dataclasses.dataclass(frozen=True)
class Variable:
    """A variable of the graph, and where its value is.

    Attributes:
        name: name in the TensorFlow 1 graph, such as "dense/kernel".
        handles: names of the nodes that hold its resource; more than one where nodes share it.
        dtype: numpy-like name of its type.
        shape: its full shape.
        trainable: whether the graph listed it in TRAINABLE_VARIABLES.
        key: its name in the checkpoint bundle.
        part: which slice of `key` it is, in RestoreV2's notation; "" for all of it.
    """

    name: str
    handles: tuple[str, ...]
    dtype: str
    shape: tuple[int, ...]
    trainable: bool
    key: str
    part: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Artefact:
    """An export, read but not run.

    Attributes:
        path: the folder it came from, for messages.
        meta_graph: the whole MetaGraphDef. Nobody changes it.
        signatures: signature key -> inputs in call order, outputs.
        variables: in the order of the VARIABLES collection; only those whose handle the graph has.
        assets: tensor name -> file, for files the graph reads (vocabularies).
        regularization_losses: tensor names of the REGULARIZATION_LOSSES collection.
        record: what step 1 did; None for a SavedModel made by something else.
        bundle: prefix of the values of the variables, None where an archive keeps them or there are none.
        is_ordered: whether inputs stand in the order that whoever made it gave them; else they are alphabetical.
    """

    path: str
    meta_graph: MetaGraphDef
    signatures: Mapping[str, signature.Signature]
    variables: tuple[Variable, ...]
    assets: Mapping[str, str]
    regularization_losses: tuple[str, ...] = ()
    record: Record | None = None
    bundle: str | None = None
    is_ordered: bool = True

    @property
    def is_object_graph(self) -> bool:
        """Whether tf.saved_model.save of TensorFlow 2 wrote it."""
        return self.meta_graph.HasField("object_graph_def")

    def signature_named(self, key: str) -> signature.Signature:
        """Returns what a signature takes and gives.

        Raises:
            LoadError: there is none of that key.
        """
        if key not in self.signatures:
            known = next(iter([*errors.closest(key, self.signatures), *self.signatures]), "")
            remedy = f'Pass signature="{known}", or --signature={known} to a command.' if known else "Run step 1 on it."
            raise errors.unknown("Signature", key, repr(self.path), self.signatures, remedy)
        return self.signatures[key]

    @property
    def unconverted(self) -> list[str]:
        """What step 1 could not turn into TensorFlow 2 constructs, each with its reason."""
        return [f"{item.construct}: {item.why}" for item in self.record.unconverted] if self.record else []


def read(path: str | os.PathLike) -> Artefact:
    """Returns the export in the folder `path`.

    Guaranteed: nothing of the graph has run, and nothing in the folder leads out of it.

    Raises:
        LoadError: the folder, the graph or a file it names is missing or unreadable.
    """
    path = errors.path_of(path)
    saved_model = _saved_model(path)
    meta_graph = _serving_graph(saved_model, path)
    wellformed.check_names(meta_graph, f"The graph of {path!r}", LoadError)
    wellformed.check(meta_graph.graph_def, f"The graph of {path!r}", LoadError)
    with errors.blamed(f"{path!r} cannot be read"):
        return _read(path, meta_graph)


def _read(path: str, meta_graph: MetaGraphDef) -> Artefact:
    record = _record(path)
    prefix = os.path.join(path, "variables", "variables")
    bundle = prefix if os.path.exists(prefix + ".index") else None
    return Artefact(
        path=path,
        meta_graph=meta_graph,
        signatures=_with_ranks(signature.read_all(meta_graph, record), record),
        variables=_variables(meta_graph, bundle, path),
        assets=_assets(meta_graph, path),
        regularization_losses=tuple(meta_graph.collection_def["regularization_losses"].node_list.value)
        if "regularization_losses" in meta_graph.collection_def
        else (),
        record=record,
        bundle=bundle,
    )


def _with_ranks(signatures: dict[str, signature.Signature], record: Record | None) -> dict[str, signature.Signature]:
    """Returns the signatures with the rank of the recorded answer where the graph does not tell an output's rank."""
    recorded = record.sample.ranks if record and record.sample else {}
    default = signatures.get("serving_default")
    ranks = {
        spec.tensor: (None,) * recorded[key]
        for key, spec in (default.outputs.items() if default else ())
        if spec.shape is None and isinstance(recorded.get(key), int) and 0 <= recorded[key] <= _MOST_AXES
    }
    return {key: signature.with_output_shapes(declared, ranks) for key, declared in signatures.items()}


def _saved_model(path: str) -> saved_model_pb2.SavedModel:
    file = os.path.join(path, "saved_model.pb")
    if not os.path.isdir(path):
        if (
            os.path.isfile(f"{path}.index")
            or os.path.isfile(f"{path}.meta")
            or path.endswith((".meta", ".index", ".pb"))
        ):
            raise LoadError(
                f"{path!r} is a TensorFlow 1 model that was not exported yet.\n"
                f"  Run step 1 on it: python -m export_v1 {path} export/1"
            )
        if os.path.isfile(path):
            raise LoadError(
                f"{path!r} is a file.\n  Pass the --export_dir of step 1, or the folder of another SavedModel."
            )
        raise errors.no_path("folder", path, "Pass the --export_dir of step 1, or another SavedModel.")
    with errors.blamed(f"{path!r} cannot be read"):
        folder.check(path, LoadError)
    if not os.path.isfile(file):
        versions = [name for name in os.listdir(path) if os.path.isfile(os.path.join(path, name, "saved_model.pb"))]
        hint = (
            f"Did you mean {os.path.join(path, max(versions))!r}?" if versions else "Pass the --export_dir of step 1."
        )
        raise LoadError(f"{path!r} is not a SavedModel: it has no saved_model.pb.\n  {hint}")
    with open(file, "rb") as stream:
        content = stream.read()
    try:
        saved_model = saved_model_pb2.SavedModel.FromString(content)
    except Exception as error:  # protobuf's DecodeError is another class in each of its implementations
        raise LoadError(f"{file!r} is damaged: {error}.\n  Export again.") from error
    if not saved_model.meta_graphs:
        raise LoadError(f"{file!r} holds no graph.\n  Export again.")
    return saved_model


def _serving_graph(saved_model: saved_model_pb2.SavedModel, path: str) -> MetaGraphDef:
    graphs = saved_model.meta_graphs
    if len(graphs) == 1:
        return graphs[0]
    for meta_graph in graphs:
        if set(meta_graph.meta_info_def.tags) == {"serve"}:
            return meta_graph
    tags = [",".join(sorted(meta_graph.meta_info_def.tags)) for meta_graph in graphs]
    raise LoadError(
        f"{path!r} holds {len(graphs)} graphs and none with the tag 'serve' alone.\n  Known tags: {quoted(tags)}.\n"
        f"  Run step 1 on it: python -m export_v1 --saved_model={path} --tags={tags[0]} --export_dir=NEW_DIR"
    )


def _record(path: str) -> Record | None:
    file = os.path.join(path, record_file.PATH)
    return record_file.read(file, LoadError) if os.path.exists(file) else None


def _variables(meta_graph: MetaGraphDef, bundle: str | None, path: str) -> tuple[Variable, ...]:
    handles: dict[str, list] = {}
    for node in meta_graph.graph_def.node:
        if node.op == "VarHandleOp":
            handles.setdefault(node.attr["shared_name"].s.decode() or node.name, []).append(node)
    by_node = {node.name: shared for shared, nodes in handles.items() for node in nodes}
    listed = [name for name in _collection(meta_graph, "variables") if name in by_node]
    trainable = set(_collection(meta_graph, "trainable_variables"))
    order = list(dict.fromkeys([by_node[name] for name in listed] + list(handles)))
    restored = subgraph.restored_from(meta_graph.graph_def)
    shapes = _bundle_shapes(bundle, path)
    variables = []
    for shared in order:
        nodes = handles[shared]
        key, part = next((restored[node.name] for node in nodes if node.name in restored), (nodes[0].name, ""))
        if key not in shapes and nodes[0].name in shapes:
            key, part = nodes[0].name, ""
        variables.append(
            Variable(
                name=nodes[0].name,
                handles=tuple(node.name for node in nodes),
                dtype=tf.as_dtype(nodes[0].attr["dtype"].type).name,
                shape=_full_shape(nodes[0], shapes.get(key)),
                trainable=any(node.name in trainable for node in nodes) or _is_trainable_object(meta_graph, key),
                key=key,
                part=part,
            )
        )
    return tuple(variables)


def _is_trainable_object(meta_graph: MetaGraphDef, key: str) -> bool:
    """Whether a TensorFlow 2 checkpoint key ("a/b/.ATTRIBUTES/VARIABLE_VALUE") is that of a trainable variable."""
    path, attributes, _ = key.partition("/.ATTRIBUTES/")
    objects = meta_graph.object_graph_def.nodes
    if not attributes or not objects:
        return False
    node = objects[0]
    for escaped in path.split("/"):
        name = escaped.replace(".S", "/").replace("..", ".")
        children = [child.node_id for child in node.children if child.local_name == name]
        if not children:
            return False
        node = objects[children[0]]
    return node.variable.trainable


def _full_shape(node, stored: list[int] | None) -> tuple[int, ...]:
    shape = tf.TensorShape(node.attr["shape"].shape)
    if not shape.is_fully_defined() and stored is not None:
        shape = tf.TensorShape(stored)
    return tuple(shape.as_list()) if shape.is_fully_defined() else ()


def _bundle_shapes(bundle: str | None, path: str) -> Mapping[str, list[int]]:
    if bundle is None:
        return {}
    try:
        return checkpoints.opened(bundle, LoadError).shapes
    except LoadError as error:
        raise LoadError(f"The variables of {path!r} are damaged. {error}\n  Export again.") from error


def _collection(meta_graph: MetaGraphDef, name: str) -> list[str]:
    """Returns names of the variables' nodes in a collection of VariableDefs, in its order."""
    if name not in meta_graph.collection_def:
        return []
    names = []
    for value in meta_graph.collection_def[name].bytes_list.value:
        definition = variable_pb2.VariableDef.FromString(value)
        names.append(definition.variable_name.rpartition(":")[0])
    return names


def _asset_definitions(meta_graph: MetaGraphDef) -> list[meta_graph_pb2.AssetFileDef]:
    """Returns the asset definitions from either place: TensorFlow 1's builder wrote them into a collection."""
    definitions = list(meta_graph.asset_file_def)
    if not definitions and "saved_model_assets" in meta_graph.collection_def:
        for packed in meta_graph.collection_def["saved_model_assets"].any_list.value:
            definition = meta_graph_pb2.AssetFileDef()
            if packed.Unpack(definition):
                definitions.append(definition)
    return definitions


def _assets(meta_graph: MetaGraphDef, path: str) -> dict[str, str]:
    inside = os.path.realpath(os.path.join(path, "assets"))
    assets = {}
    for definition in _asset_definitions(meta_graph):
        file = os.path.realpath(os.path.join(inside, definition.filename))
        if not file.startswith(inside + os.sep):
            raise LoadError(f"{path!r} names an asset outside its folder: {definition.filename!r}.\n  Export again.")
        if not os.path.isfile(file):
            raise LoadError(
                f"{path!r} lacks its asset {definition.filename!r}.\n  Copy the whole folder, or export again."
            )
        assets[definition.tensor_info.name] = file
    return assets
