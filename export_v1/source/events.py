"""The graph in a TensorBoard events file, which a training leaves behind even where it kept no `.meta`."""

import os
import struct
from collections.abc import Iterator
from typing import TypeAlias

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.core.util import event_pb2

from export_v1 import errors
from export_v1.format import plain_path

MetaGraphDef: TypeAlias = meta_graph_pb2.MetaGraphDef

# A record of a TFRecord file: its length, a checksum of that, the bytes, a checksum of those.
_HEADER, _FOOTER = struct.Struct("<QI"), 4
_VERSION = b"brain.Event:"


def is_events_file(path: str) -> bool:
    """Tells whether a file is one of events: its first record then names the version of its format."""
    try:
        with open(path, "rb") as file:
            return _VERSION in file.read(_HEADER.size + 64)
    except OSError:
        return False


def read(path: str) -> tuple[MetaGraphDef, tuple[str, ...]]:
    """Returns the last graph in an events file, and a note where it holds others.

    `tf.summary.FileWriter` writes a graph as a GraphDef, with `add_meta_graph` as a MetaGraphDef; where there are
    MetaGraphDefs, one of those is returned, for they have the collections. A file that a training was still writing
    ends within a record; what is before that counts.

    Raises:
        ExportError: no graph is in it, or a record's checksum is not that of its bytes.
    """
    try:
        graphs = _graphs(path)
    except tf.errors.DataLossError as error:
        raise errors.ExportError(
            f"Events file {path!r} is damaged: {error.message}\n"
            "  Copy it again, or name another file with --meta_graph=FILE."
        ) from error
    if not graphs:
        raise errors.ExportError(
            f"Events file {path!r} holds no graph.\n"
            "  tf.summary.FileWriter(folder, graph) writes one; others of that training may hold it: try each of"
            f" {os.path.join(os.path.dirname(path) or '.', 'events.out.tfevents.*')!r} with --meta_graph=FILE."
        )
    note = f"graph: the last of {len(graphs)} in {path!r}, which has {len(graphs[-1].graph_def.node)} nodes"
    return graphs[-1], (note,) if len(graphs) > 1 else ()


def _graphs(path: str) -> list[MetaGraphDef]:
    """Returns the graphs in the order they were written, each once."""
    with_collections: dict[bytes, None] = {}
    alone: dict[bytes, None] = {}
    for event in _events(path):
        if event.meta_graph_def:
            with_collections[event.meta_graph_def] = None
        elif event.graph_def:
            alone[event.graph_def] = None
    graphs = [_parsed(MetaGraphDef(), content) for content in with_collections]
    graphs = graphs or [_parsed(MetaGraphDef(), b"", content) for content in alone]
    return [meta_graph for meta_graph in graphs if meta_graph is not None and meta_graph.graph_def.node]


def _parsed(meta_graph: MetaGraphDef, content: bytes, graph: bytes = b"") -> MetaGraphDef | None:
    try:
        meta_graph.ParseFromString(content)
        meta_graph.graph_def.MergeFromString(graph)
    except DecodeError:
        return None
    return meta_graph


def _events(path: str) -> Iterator[event_pb2.Event]:
    records = tf.data.TFRecordDataset(plain_path.of(path)).take(_whole_records(path))
    for record in records.as_numpy_iterator():
        try:
            yield event_pb2.Event.FromString(record)
        except DecodeError:
            continue


def _whole_records(path: str) -> int:
    """Returns how many records the file holds wholly: TensorFlow would make room for any length that a record says."""
    size, count = os.path.getsize(path), 0
    with open(path, "rb") as file:
        while len(header := file.read(_HEADER.size)) == _HEADER.size:
            length, _ = _HEADER.unpack(header)
            if length > size - file.tell() - _FOOTER:
                break
            file.seek(length + _FOOTER, os.SEEK_CUR)
            count += 1
    return count
