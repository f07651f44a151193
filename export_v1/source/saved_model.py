"""A SavedModel or Hub module of TensorFlow 1: its graph of the tags asked for, signatures, assets, variables."""

import dataclasses
import os
from collections.abc import Sequence
from typing import TypeAlias

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from export_v1 import errors
from export_v1.format import composite
from export_v1.format import folder as artefact_folder
from export_v1.model import Graph, Source
from export_v1.source import meta_graph, text_format, unpacking
from export_v1.source.checkpoint import check_files
from export_v1.source.kinds import HUB_MARK, SAVED_MODEL_FILES
from export_v1.weights import initial

MetaGraphDef: TypeAlias = meta_graph_pb2.MetaGraphDef
_SERVE, _TRAIN = "serve", "train"
# Ops that a loader runs after the variables are restored, each under a key of its time; Session bundles had the last.
_MAIN_OPS = ("saved_model_main_op", "legacy_init_op", "saved_model_init_op", "serving_init_op")
_INIT_SIGNATURE = "__saved_model_init_op"
_TRAIN_SIGNATURE = "__saved_model_train_op"


def read(path: str, tags: Sequence[str] | None = None) -> Source:
    """Returns a SavedModel or a Hub module as a source, with every signature of the chosen graph.

    A graph of the same tags and `train` comes along as the training graph.

    Args:
        path: its folder, the `saved_model.pb` in it, a folder of version folders, or a packed module (.tar.gz).
        tags: of the graph to take, in any order; None: `serve`, else no tags at all, else the only graph there is.

    Raises:
        ExportError: no SavedModel is there, it has no such tags, or its variables are missing.
    """
    unpacked = unpacking.unpacked(path) if os.path.isfile(path) and unpacking.is_packed(path) else None
    folder, notes = _folder(unpacked.folder if unpacked else path, path)
    artefact_folder.check(folder)
    saved_model = _parse(folder)
    chosen, choice = _chosen(saved_model, tags, path)
    _refuse_tensorflow_2(chosen, path)
    training = _training(saved_model, chosen)
    return Source(
        kind="saved_model",
        path=path,
        graph=_graph(chosen, folder),
        train_graph=_graph(training, folder) if training is not None else None,
        checkpoint=_variables(chosen, folder, path),
        tensorflow_version=chosen.meta_info_def.tensorflow_version,
        asset_dirs=(os.path.join(folder, "assets"), folder),
        notes=(*notes, *choice, *_sparse(chosen)),
        holds=unpacked,
    )


def _folder(path: str, named: str) -> tuple[str, tuple[str, ...]]:
    """Returns the folder that has the SavedModel's file: `path` itself, or the latest version below it."""
    if os.path.basename(path) in SAVED_MODEL_FILES and os.path.isfile(path):
        path = os.path.dirname(path) or "."
    if not os.path.isdir(path):
        raise errors.ExportError(f"SavedModel {named!r} is not there: no such folder.\n  Pass --saved_model=FOLDER.")
    if _has_model(path):
        return path, ()
    inner = [name for name in sorted(os.listdir(path)) if _has_model(os.path.join(path, name))]
    versions = sorted((name for name in inner if name.isdigit()), key=int)
    if versions and versions == sorted(inner, key=lambda name: int(name) if name.isdigit() else 0):
        latest = os.path.join(path, versions[-1])
        return latest, (f"SavedModel {latest!r}: the latest version in {named!r}",)
    if len(inner) == 1:
        return os.path.join(path, inner[0]), (f"SavedModel {inner[0]!r}: the only one in {named!r}",)
    folders = [os.path.join(named, name) for name in inner]
    raise errors.ExportError(
        f"Folder {named!r} holds no SavedModel: neither 'saved_model.pb' nor 'saved_model.pbtxt' is in it.\n"
        f"  Found: {errors.quoted(os.listdir(path)) or 'nothing'}.\n"
        + (f"  Pass --saved_model={folders[0]}." if folders else _other_remedy(path))
    )


def _has_model(folder: str) -> bool:
    return any(os.path.isfile(os.path.join(folder, name)) for name in SAVED_MODEL_FILES)


def _other_remedy(folder: str) -> str:
    names = os.listdir(folder)
    if any(name.endswith((".index", ".meta")) for name in names):
        return f"  These are files of a Saver checkpoint: pass --checkpoint={folder}."
    frozen = [name for name in names if name.endswith((".pb", ".pbtxt")) and name != HUB_MARK]
    if frozen:
        return f"  If it is a frozen graph, pass --graph_def={os.path.join(folder, sorted(frozen)[0])}."
    return "  A SavedModel is saved_model.pb and, where it has variables, the folder variables/; copy all of it."


def _parse(folder: str) -> saved_model_pb2.SavedModel:
    path = next(os.path.join(folder, name) for name in SAVED_MODEL_FILES if os.path.isfile(os.path.join(folder, name)))
    saved_model = saved_model_pb2.SavedModel()
    try:
        with open(path, "rb") as file:
            content = file.read()
        if not path.endswith("txt"):
            saved_model.ParseFromString(content)
        elif not text_format.parsed(content, saved_model):
            raise DecodeError("no text of one")
    except OSError as error:
        raise errors.ExportError(f"SavedModel {path!r} cannot be read: {error.strerror}.") from error
    except DecodeError as error:
        raise errors.ExportError(
            f"{path!r} is not a SavedModel, or only a part of one ({len(content):,} bytes).\n"
            "  Copy the whole folder again; a frozen graph goes with --graph_def=FILE."
        ) from error
    if not any(meta_graph.graph_def.node for meta_graph in saved_model.meta_graphs):
        raise errors.ExportError(
            f"{path!r} holds no graph ({len(content):,} bytes).\n"
            "  Copy the whole folder again; a frozen graph goes with --graph_def=FILE."
        )
    return saved_model


def _tags(meta: MetaGraphDef) -> frozenset[str]:
    return frozenset(meta.meta_info_def.tags)


def _chosen(saved_model, tags: Sequence[str] | None, path: str) -> tuple[MetaGraphDef, tuple[str, ...]]:
    by_tags = {_tags(meta_graph): meta_graph for meta_graph in reversed(saved_model.meta_graphs)}
    if tags is not None:
        wanted = frozenset(tag.strip() for tag in tags if tag.strip())
        if wanted in by_tags:
            return by_tags[wanted], ()
        raise _no_such_tags(f"has no graph with tags {_text(wanted)}", by_tags, path)
    for usual in (frozenset({_SERVE}), frozenset()):
        if usual in by_tags:
            note = f"graph with tags {_text(usual)}, of {len(by_tags)}: the usual one for inference"
            return by_tags[usual], (note,) if len(by_tags) > 1 else ()
    if len(by_tags) == 1:
        only = next(iter(by_tags))
        return by_tags[only], (f"graph with tags {_text(only)}: the only one",)
    raise _no_such_tags("has no graph with tag 'serve'", by_tags, path)


def _no_such_tags(what: str, by_tags, path: str) -> errors.ExportError:
    known = sorted(_text(tags) for tags in by_tags)
    # The likeliest is the one for answering.
    paste = sorted(by_tags, key=lambda tags: (_SERVE not in tags, _TRAIN in tags, len(tags), sorted(tags)))[0]
    return errors.ExportError(
        f"SavedModel {path!r} {what}.\n"
        f"  It has {len(known)}: {'; '.join(known)}.\n"
        f"  Pass --tags={','.join(sorted(paste))}."
    )


def _text(tags: frozenset[str]) -> str:
    return errors.quoted(tags) if tags else "none"


def _refuse_tensorflow_2(meta: MetaGraphDef, path: str) -> None:
    if meta.HasField("object_graph_def"):
        raise errors.ExportError(
            f"SavedModel {path!r} holds Python objects (tf.saved_model.save, TensorFlow "
            f"{meta.meta_info_def.tensorflow_version}): it is a TensorFlow 2 model already.\n"
            "  Load it as it is, with tf.saved_model.load or keras.layers.TFSMLayer; there is nothing to convert."
        )


def _training(saved_model, chosen: MetaGraphDef) -> MetaGraphDef | None:
    """Returns the graph for training that goes with the chosen one: in Hub modules it has the tag `train` besides."""
    tags = _tags(chosen)
    if _TRAIN in tags:
        return None
    by_tags = {_tags(meta_graph): meta_graph for meta_graph in reversed(saved_model.meta_graphs)}
    for wanted in (tags | {_TRAIN}, frozenset({_TRAIN})):
        if wanted in by_tags:
            return by_tags[wanted]
    return None


def _graph(meta: MetaGraphDef, folder: str) -> Graph:
    graph = meta_graph.to_graph(meta, assets=_assets(meta, folder))
    signatures = {
        key: signature for key, signature in graph.signatures.items() if key not in (_INIT_SIGNATURE, _TRAIN_SIGNATURE)
    }
    main_ops = _main_ops(meta)
    return dataclasses.replace(
        graph,
        signatures=signatures,
        # What a loader initializes itself is no part of the checkpoint.
        local=graph.local | initial.written_by(graph, main_ops),
        main_ops=main_ops,
        answers_with_defaults=True,
    )


def _sparse(meta: MetaGraphDef) -> list[str]:
    """Says which tensors are sparse or ragged: TensorFlow 2 calls a signature with dense ones only."""
    notes = []
    for key, signature in sorted(meta.signature_def.items()):
        for name, info in sorted({**signature.inputs, **signature.outputs}.items()):
            if info.WhichOneof("encoding") == "coo_sparse":
                parts = ", ".join(f"{name}_{part}" for part in ("values", "indices", "shape"))
                notes.append(f"sparse {name!r} of signature {key!r} is {parts}: a signature's tensors are dense")
            elif info.WhichOneof("encoding") == "composite_tensor":
                parts = ", ".join(part for part, _ in composite.parts(name, info))
                notes.append(f"{name!r} of signature {key!r} is made up of {parts}: a signature's tensors are dense")
    return notes


def _main_ops(meta: MetaGraphDef) -> tuple[str, ...]:
    collections = [meta.collection_def[key] for key in _MAIN_OPS if key in meta.collection_def]
    named = [name for collection in collections for name in collection.node_list.value]
    if _INIT_SIGNATURE in meta.signature_def:
        named += [info.name for info in meta.signature_def[_INIT_SIGNATURE].outputs.values()]
    return tuple(dict.fromkeys(name.split(":")[0] for name in named))


def _assets(meta: MetaGraphDef, folder: str) -> dict[str, str]:
    """Returns filename tensor -> path of each asset; SavedModels before schema 2 list them in a collection."""
    listed = list(meta.asset_file_def)
    older = (
        meta.collection_def["saved_model_assets"].any_list.value if "saved_model_assets" in meta.collection_def else ()
    )
    for content in older:
        asset = meta_graph_pb2.AssetFileDef()
        try:
            is_asset = content.Unpack(asset)
        except DecodeError as error:
            raise errors.ExportError(
                f"SavedModel {folder!r}: its list of assets is damaged: {error}.\n  Get a fresh copy of it."
            ) from error
        if is_asset:
            listed.append(asset)
    return {
        asset.tensor_info.name: os.path.abspath(os.path.join(folder, "assets", os.path.basename(asset.filename)))
        for asset in listed
    }


def _variables(meta: MetaGraphDef, folder: str, path: str) -> str | None:
    prefix = os.path.join(folder, "variables", "variables")
    if os.path.exists(prefix + ".index"):
        check_files(prefix)
        return prefix
    local = {meta_graph.name(variable) for variable in meta_graph.variable_defs(meta, "local_variables")}
    wanted = {meta_graph.name(variable) for variable in meta_graph.variable_defs(meta, "variables")} - local
    if not wanted:
        return None
    beside = os.path.dirname(prefix)
    state = "there is no such folder"
    if os.path.isdir(beside):
        state = f"there is: {errors.quoted(os.listdir(beside)) or 'nothing'}"
    raise errors.ExportError(
        f"SavedModel {path!r} is not complete: its graph has {len(wanted)} variables, and "
        f"'variables/variables.index' is missing.\n  In 'variables/' {state}.\n"
        "  Copy the whole folder, variables/ included."
    )
