"""A frozen graph: a GraphDef in a file, its weights in it as constants."""

import os
from typing import TypeAlias

from google.protobuf.message import DecodeError
from tensorflow.core.framework import graph_pb2
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from export_v1 import errors
from export_v1.model import Graph, Source
from export_v1.source import text_format
from export_v1.source import unfreeze as unfreezing

GraphDef: TypeAlias = graph_pb2.GraphDef


def read(path: str, unfreeze: bool = False) -> Source:
    """Returns a frozen graph as a source.

    Args:
        path: of a GraphDef, binary or text.
        unfreeze: constants that act as weights become variables; see `export_v1.source.unfreeze`.

    Raises:
        ExportError: the file cannot be read or holds something else; `unfreeze` finds no weights.
    """
    graph_def = parse(path)
    folder = os.path.dirname(os.path.abspath(path))
    if not unfreeze:
        return Source(kind="graph_def", path=path, graph=Graph(graph_def), asset_dirs=(folder,))
    thawed = unfreezing.weights(graph_def)
    graph = Graph(thawed.graph_def, trainable=thawed.trainable, original=graph_def)
    return Source(
        kind="graph_def", path=path, graph=graph, values=thawed.values, asset_dirs=(folder,), notes=thawed.notes
    )


def parse(path: str) -> GraphDef:
    """Returns the GraphDef in a file, binary or text.

    Raises:
        ExportError: there is none in it; what there seems to be instead, and the flag for that.
    """
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise errors.ExportError(f"GraphDef {path!r} cannot be read: {error.strerror}.") from error
    graph_def = parsed(content)
    if graph_def is not None:
        return graph_def
    raise errors.ExportError(
        f"{path!r} is not a GraphDef, or only a part of one ({len(content):,} bytes).\n  {_remedy(path, content)}"
    )


def parsed(content: bytes) -> GraphDef | None:
    """Returns the GraphDef that bytes are, binary or text, or None."""
    graph_def = GraphDef()
    try:
        graph_def.ParseFromString(content)
    except DecodeError:
        if not text_format.parsed(content, graph_def):
            return None
    return graph_def if _is_graph(graph_def) else None


def _is_graph(graph_def: GraphDef) -> bool:
    # Protos of other kinds parse as a GraphDef now and then; their "nodes" have no op.
    return bool(graph_def.node) and all(node.name and node.op for node in graph_def.node)


def _remedy(path: str, content: bytes) -> str:
    folder = os.path.dirname(path) or "."
    for kind, remedy in (
        (saved_model_pb2.SavedModel, f"It is a SavedModel: pass --saved_model={folder}."),
        (meta_graph_pb2.MetaGraphDef, f"It is a MetaGraphDef: pass --checkpoint=PREFIX --meta_graph={path}."),
    ):
        try:
            message = kind()
            message.ParseFromString(content)
        except DecodeError:
            continue
        graphs = (
            [meta_graph.graph_def for meta_graph in message.meta_graphs]
            if kind is saved_model_pb2.SavedModel
            else [message.graph_def]
        )
        if any(_is_graph(meta_graph) for meta_graph in graphs):
            return remedy
    if content[4:8] == b"TFL3":
        return "It is a TensorFlow Lite model: the frozen graph that it was made from is what is needed."
    if content.startswith(b"\x89HDF"):
        return "It is an HDF5 file, as Keras writes it: load it with Keras."
    if content.startswith(b"version https://git-lfs"):
        return "It is a Git LFS pointer, not the file: fetch the file with `git lfs pull`."
    return "Copy it again; it is a .pb or .pbtxt that tf.train.write_graph or freeze_graph wrote."
