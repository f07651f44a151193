"""events: the graph of a training that kept its checkpoint and its events file, and no .meta."""

import os
import pathlib
import shutil
import struct

import numpy as np
import pytest

import export_v1
import load_v2
from export_v1.source import checkpoint, events
from tests.support import cases, graphs
from tests.support.graphs import v1

CASE = cases.load("odd_events_file")
EVENTS = CASE.folder / "events.out.tfevents.1"


def _copy(tmp_path: pathlib.Path) -> pathlib.Path:
    shutil.copytree(CASE.folder, tmp_path / "model")
    return tmp_path / "model"


def _write(folder: pathlib.Path, *built, with_collections: bool = False) -> str:
    """Writes a graph after the other into one events file, as a FileWriter that goes on does; returns its path."""
    with graphs.tensorflow_1():
        writer = v1.summary.FileWriter(str(folder))
    for name in built:
        with graphs.tensorflow_1() as graph:
            v1.get_variable(name, [2])
            writer.add_graph(graph)
            if with_collections:
                writer.add_meta_graph(v1.train.export_meta_graph())
    writer.add_summary(v1.Summary(value=[v1.Summary.Value(tag="loss", simple_value=0.5)]), 1)
    writer.close()
    return str(next(folder.iterdir()))


def _variables(meta) -> set[str]:
    return {node.name for node in meta.graph_def.node if node.op.startswith("Var")}


def test_a_checkpoint_and_an_events_file_answer_as_tensorflow_1_did(tmp_path):
    report = export_v1.export(
        checkpoint=str(CASE.folder / "model.ckpt"), meta_graph=str(EVENTS), export_dir=str(tmp_path / "e")
    )
    answers = load_v2.SignatureLayer(str(tmp_path / "e"))(CASE.oracle("in")["x"])
    np.testing.assert_allclose(answers, CASE.oracle()["y"], rtol=1e-6)
    assert [variable["checkpoint_key"] for variable in report["variables"]]


def test_the_message_about_a_missing_meta_names_the_events_file():
    with pytest.raises(export_v1.ExportError, match=r"model\.ckpt\.meta' is missing(?s:.)*Pass --meta_graph=\S*\.1;"):
        checkpoint.read(str(CASE.folder / "model.ckpt"))


def test_of_several_graphs_the_last_is_taken_and_that_is_said(tmp_path):
    meta, notes = events.read(_write(tmp_path, "first", "second", "last"))
    assert _variables(meta) == {"last"} and not meta.collection_def
    assert len(notes) == 1 and "the last of 3" in notes[0]


def test_a_graph_with_collections_comes_before_one_without(tmp_path):
    meta, notes = events.read(_write(tmp_path, "only", with_collections=True))
    assert "variables" in meta.collection_def and _variables(meta) == {"only"} and notes == ()


def test_a_file_that_was_still_being_written_counts_up_to_its_last_whole_record(tmp_path):
    whole = EVENTS.read_bytes()
    (tmp_path / "e").write_bytes(whole[:-5])
    assert events.read(str(tmp_path / "e"))[0] == events.read(str(EVENTS))[0]
    # A record that claims more bytes than any file has is not made room for.
    (tmp_path / "e").write_bytes(whole + struct.pack("<QI", 2**62, 0))
    assert events.read(str(tmp_path / "e"))[0] == events.read(str(EVENTS))[0]


def test_a_folder_whose_name_is_not_utf_8(tmp_path):
    folder = os.path.join(os.fsencode(tmp_path), b"mod\xe8le")
    shutil.copytree(os.fsencode(CASE.folder), folder)
    path = os.path.join(os.fsdecode(folder), EVENTS.name)
    assert events.read(path)[0] == events.read(str(EVENTS))[0]


def test_a_changed_byte_is_found(tmp_path):
    folder = _copy(tmp_path)
    content = bytearray(EVENTS.read_bytes())
    content[content.index(b"norm/moving_mean") + 2] ^= 1
    (folder / EVENTS.name).write_bytes(content)
    with pytest.raises(export_v1.ExportError, match=rf"Events file .*{EVENTS.name}' is damaged"):
        checkpoint.read(str(folder / "model.ckpt"), str(folder / EVENTS.name))


def test_a_file_without_a_graph_says_so(tmp_path):
    with pytest.raises(export_v1.ExportError, match="(?s)holds no graph.*FileWriter.*--meta_graph=FILE"):
        events.read(_write(tmp_path))


def test_what_is_no_events_file_is_not_taken_for_one(tmp_path):
    assert events.is_events_file(str(EVENTS))
    assert not events.is_events_file(str(tmp_path / "gone"))
    assert not events.is_events_file(str(cases.FOLDER / "mlp_layers" / "model.ckpt-3.meta"))
