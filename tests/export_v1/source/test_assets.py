"""Files that a model names, and members of archives, stay in their folder."""

import io
import os
import pathlib
import shutil
import tarfile

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import export_v1
from export_v1.source import unpacking
from load_v2 import LoadError
from load_v2.program import artefact
from tests.support import cases, functions, graphs, savedmodels
from tests.support.graphs import v1

SECRET = "secret\nwords\n"


@pytest.fixture
def secret(tmp_path) -> pathlib.Path:
    """Returns a file that no model brings along."""
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "secret.txt").write_text(SECRET)
    return tmp_path / "private" / "secret.txt"


def _member(name: str, kind=tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


MEMBERS = {
    "up": _member("../out"),
    "up in the middle": _member("a/../../out"),
    "absolute": _member("/of/the/test/out"),
    "a link": _member("saved_model.pb", tarfile.SYMTYPE, "/etc/passwd"),
    "a link inside": _member("a", tarfile.SYMTYPE, "b"),
    "a hard link": _member("a", tarfile.LNKTYPE, "../out"),
    "a device": _member("a", tarfile.CHRTYPE),
    "a pipe": _member("a", tarfile.FIFOTYPE),
    "backslashes": _member("..\\out"),
}


@pytest.mark.parametrize("what", sorted(MEMBERS))
def test_a_member_that_leads_out_is_refused_and_nothing_is_unpacked(what, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with tarfile.open(tmp_path / "m.tar.gz", "w:gz") as packed:
        content = b"first"
        good = _member("first")
        good.size = len(content)
        packed.addfile(good, io.BytesIO(content))
        member = MEMBERS[what]
        packed.addfile(member.replace(name=str(tmp_path / "out")) if what == "absolute" else member)
    with pytest.raises(export_v1.ExportError, match="(?s)is refused: its member .*no SavedModel needs"):
        unpacking.unpacked(str(tmp_path / "m.tar.gz"))
    assert os.listdir(tmp_path) == ["m.tar.gz"]


@pytest.mark.parametrize("keep", [0.2, 0.6, 0.99])
def test_an_archive_that_is_damaged_is_one_message(keep, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = tmp_path / "m.tar.gz"
    with tarfile.open(path, "w:gz") as packed:
        packed.add(cases.load("hub_module_tags").folder / "module", ".")
    content = bytearray(path.read_bytes())
    content[int(len(content) * keep)] ^= 0x5A
    for damaged in (bytes(content), bytes(content[: int(len(content) * keep)])):
        path.write_bytes(damaged)
        with pytest.raises(export_v1.ExportError, match="cannot be unpacked"):
            unpacking.unpacked(str(path))
    assert os.listdir(tmp_path) == ["m.tar.gz"]


def _with_table(folder: pathlib.Path, file: str) -> dict[str, object]:
    """Returns flags for a checkpoint whose table is read from `file`, as its graph writes it."""
    with graphs.tensorflow_1():
        words = v1.placeholder(tf.string, [None], name="words")
        filler = tf.lookup.TextFileInitializer(
            tf.constant(file),
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        table = tf.lookup.StaticHashTable(filler, -1)
        w = v1.get_variable("w", [], tf.int64, initializer=v1.ones_initializer())
        tf.multiply(table.lookup(words), w, name="y")
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            prefix = v1.train.Saver().save(session, str(folder / "model.ckpt"))
    return {"checkpoint": prefix, "inputs": {"words": "words:0"}, "outputs": {"y": "y:0"}}


@pytest.mark.parametrize("how", ["up", "link"])
def test_a_checkpoint_does_not_get_a_file_that_is_not_its_own(how, tmp_path, secret):
    model = tmp_path / "model"
    model.mkdir()
    written = {"up": "../private/secret.txt", "link": "words.txt"}[how]
    if how == "link":
        (model / "words.txt").symlink_to(secret)
    flags = _with_table(model, written)
    with pytest.raises(export_v1.ExportError, match="(?s)outside of the model's folder.*--asset=.*secret.txt"):
        export_v1.export(export_dir=str(tmp_path / "export"), **flags)
    assert not (tmp_path / "export").exists()
    export_v1.export(export_dir=str(tmp_path / "export"), asset={written: str(secret)}, **flags)
    assert (tmp_path / "export" / "assets" / "secret.txt").read_text() == SECRET


def test_a_file_that_is_still_at_its_old_path_is_taken_and_said(tmp_path, secret):
    model = tmp_path / "model"
    model.mkdir()
    report = export_v1.export(export_dir=str(tmp_path / "export"), **_with_table(model, str(secret)))
    assert (tmp_path / "export" / "assets" / "secret.txt").read_text() == SECRET
    assert any(str(secret) in choice["what"] and "old path" in choice["why"] for choice in report["choices"])


@pytest.mark.parametrize("how", ["absolute", "relative", "computed"])
def test_a_saved_model_brings_its_files_along(how, tmp_path, secret, monkeypatch):
    """A path that its graph names is one of whoever reads it; a relative one, too."""
    folder = pathlib.Path(savedmodels.vocabulary(tmp_path / "one", ["a", "b"]))
    monkeypatch.chdir(secret.parent)
    path = "secret.txt" if how == "relative" else str(secret)

    def change(graph_def):
        file = next(node for node in graph_def.node if node.name == "words_file")
        if how == "computed":
            graph_def.node.add(name="other").CopyFrom(file)
            graph_def.node[-1].name = "other"
            file.op = "Identity"
            file.ClearField("attr")
            file.attr["T"].type = tf.string.as_datatype_enum
            file.input.append("other")
            file = graph_def.node[-1]
        file.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(path))

    functions.changed(folder, change)
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    del saved.meta_graphs[0].asset_file_def[:]
    saved.meta_graphs[0].collection_def.pop("saved_model_assets", None)
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
    with pytest.raises(export_v1.ExportError, match="(?s)outside of the model's folder.*--asset=.*secret.txt"):
        export_v1.export(saved_model=str(folder), export_dir=str(tmp_path / "export"))
    assert not (tmp_path / "export").exists()
    export_v1.export(saved_model=str(folder), export_dir=str(tmp_path / "export"), asset={path: str(secret)})
    assert (tmp_path / "export" / "assets" / "secret.txt").read_text() == SECRET


@pytest.mark.parametrize("how", ["up", "absolute", "link"])
def test_an_export_that_names_a_file_outside_is_not_read(how, tmp_path, secret):
    folder = pathlib.Path(savedmodels.vocabulary(tmp_path / "one", ["a", "b"]))
    name = os.listdir(folder / "assets")[0]
    if how == "link":
        os.unlink(folder / "assets" / name)
        (folder / "assets" / name).symlink_to(secret)
    else:
        from tensorflow.core.protobuf import meta_graph_pb2

        path = folder / "saved_model.pb"
        model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
        changed = str(secret) if how == "absolute" else "../../private/secret.txt"
        for one in model.meta_graphs[0].asset_file_def:
            one.filename = changed
        for packed in model.meta_graphs[0].collection_def["saved_model_assets"].any_list.value:
            older = meta_graph_pb2.AssetFileDef.FromString(packed.value)
            older.filename = changed
            packed.Pack(older)
        path.write_bytes(model.SerializeToString())
    with pytest.raises(LoadError, match="outside its folder|holds links"):
        artefact.read(folder)
    shutil.rmtree(folder)
