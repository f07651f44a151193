"""checkpoint: the prefix that a name means, and the files that belong to it."""

import os
import pathlib
import shutil

import pytest
import tensorflow as tf

import export_v1
from export_v1.source import checkpoint
from tests.support import bundles, cases, small_models
from tests.support.graphs import v1

SHARDED_V1 = cases.FOLDER / "port_files" / "sharded_v1"


@pytest.mark.parametrize(
    "named", ["model.ckpt-3", "model.ckpt-3.meta", "model.ckpt-3-00001-of-00002", "model.ckpt-3-?????-of-00002", ""]
)
def test_a_sharded_checkpoint_in_v1_format_however_it_is_named(named):
    prefix, _ = checkpoint.find_prefix(str(SHARDED_V1 / named))
    assert prefix.endswith("/model.ckpt-3-?????-of-00002")


def test_a_sharded_checkpoint_in_v1_format_is_exported(tmp_path):
    report = export_v1.export(checkpoint=str(SHARDED_V1), export_dir=str(tmp_path / "e"))
    assert report["variables"] and all(one["checkpoint_key"] for one in report["variables"])


def test_several_checkpoints_and_no_record_of_the_latest(tmp_path):
    for step in (1, 20):
        (tmp_path / f"model.ckpt-{step}.index").touch()
    with pytest.raises(export_v1.ExportError, match="(?s)holds 2 checkpoints.*Pass --checkpoint="):
        checkpoint.find_prefix(str(tmp_path))


def test_a_folder_without_a_checkpoint_says_what_is_there(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(export_v1.ExportError, match="(?s)holds no checkpoint.*'notes.txt'"):
        checkpoint.find_prefix(str(tmp_path))


def test_the_nearest_checkpoint_is_named(tmp_path):
    (tmp_path / "model.ckpt-3.index").touch()
    with pytest.raises(export_v1.ExportError, match="(?s)Closest: .*model.ckpt-3'.*Pass --checkpoint="):
        checkpoint.find_prefix(str(tmp_path / "model.ckpt-2"))


# Which prefix a name means, and which files belong to it.


@pytest.fixture
def model(tmp_path):
    """Returns the prefix of a small checkpoint with its MetaGraphDef."""
    (tmp_path / "model").mkdir()
    return small_models.checkpoint(tmp_path / "model", lambda: v1.get_variable("w", [2]))


@pytest.mark.parametrize("ending", ["", ".index", ".meta", ".data-00000-of-00001"])
def test_a_checkpoint_by_any_of_its_files(model, ending):
    assert checkpoint.find_prefix(model + ending) == (model, ())


def test_the_latest_of_a_folder_also_where_it_has_moved(model):
    folder = pathlib.Path(model).parent
    for name in os.listdir(folder):
        if name.startswith("model.ckpt"):
            shutil.copy(folder / name, folder / name.replace("model.ckpt", "other.ckpt"))
    for recorded in (model, "/on/the/machine/that/trained/model.ckpt"):
        (folder / "checkpoint").write_text(f'model_checkpoint_path: "{recorded}"\n')
        prefix, [note] = checkpoint.find_prefix(str(folder))
        assert prefix == model and "latest" in note
    (folder / "checkpoint").unlink()
    with pytest.raises(export_v1.ExportError, match="holds 2 checkpoints"):
        checkpoint.find_prefix(str(folder))
    for name in os.listdir(folder):
        if name.startswith("other.ckpt"):
            (folder / name).unlink()
    prefix, [note] = checkpoint.find_prefix(str(folder))
    assert prefix == model and "only one" in note


def test_files_that_are_named_by_their_ending_alone(model):
    folder = pathlib.Path(model).parent
    for name in os.listdir(folder):
        if name.startswith("model.ckpt"):
            (folder / name).rename(folder / name.removeprefix("model.ckpt"))
    assert checkpoint.find_prefix(str(folder)) == (os.path.join(folder, ""), ())


def test_a_checkpoint_in_v1_format_alone_in_a_folder(tmp_path):
    for name in ("model.ckpt", "model.ckpt.meta", "elsewhere.meta"):
        (tmp_path / name).touch()
    prefix, [note] = checkpoint.find_prefix(str(tmp_path))
    assert prefix == str(tmp_path / "model.ckpt") and "only one" in note


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        (["m.index", "m.data-00000-of-00003", "m.data-00002-of-00003"], "m.data-00001-of-00003"),
        (["m.index"], "m.data-00000-of-00001"),
    ],
)
def test_a_data_file_that_is_missing_is_named(tmp_path, files, missing):
    for name in files:
        (tmp_path / name).touch()
    (tmp_path / "m.index").write_bytes(bundles.table({b"": bundles.Header(num_shards=3).SerializeToString()}))
    with pytest.raises(export_v1.ExportError, match=f"(?s)is not complete. Missing: '{tmp_path}/{missing}'.*m.index"):
        checkpoint.check_files(str(tmp_path / "m"))
    (tmp_path / missing).touch()
    checkpoint.check_files(str(tmp_path / "m"))


def test_an_index_that_is_missing_is_named(tmp_path):
    (tmp_path / "m.data-00000-of-00001").touch()
    for named in ("m", "m.data-00000-of-00001", "m.index"):
        with pytest.raises(export_v1.ExportError, match="(?s)has no index.*m.index' is missing.*m.data-00000-of-00001"):
            checkpoint.find_prefix(str(tmp_path / named))


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(export_v1.ExportError, match="no folder .*gone'"):
        checkpoint.find_prefix(str(tmp_path / "gone" / "model.ckpt"))


def test_the_meta_graph_is_the_one_named_or_the_one_beside(model, tmp_path):
    found = checkpoint.read(model)
    assert "w" in {node.name for node in found.graph.graph_def.node} and found.checkpoint == model
    assert found.asset_dirs == (str(tmp_path / "model"), str(tmp_path / "model" / "assets"))
    assert found.tensorflow_version == tf.__version__
    (tmp_path / "elsewhere").mkdir()
    other = small_models.checkpoint(tmp_path / "elsewhere", lambda: v1.get_variable("other", [2]))
    found = checkpoint.read(model, other + ".meta")
    assert "other" in {node.name for node in found.graph.graph_def.node} and found.checkpoint == model
    # Its own MetaGraphDef comes before the one that a Session bundle would have.
    shutil.copy(other + ".meta", tmp_path / "model" / "export.meta")
    assert "w" in {node.name for node in checkpoint.read(model).graph.graph_def.node}
    assert str(tmp_path / "elsewhere") in found.asset_dirs
    os.rename(model + ".meta", tmp_path / "model" / "export.meta")
    assert "w" in {node.name for node in checkpoint.read(model).graph.graph_def.node}
    os.rename(tmp_path / "model" / "export.meta", tmp_path / "model" / "strange.meta")
    with pytest.raises(
        export_v1.ExportError, match=r"(?s)model\.ckpt\.meta' is missing.*Pass --meta_graph=\S*strange\.meta;"
    ):
        checkpoint.read(model)


def test_a_folder_in_the_place_of_the_meta_graph_is_called_one_and_not_proposed(model):
    os.remove(model + ".meta")
    os.mkdir(model + ".meta")
    with pytest.raises(export_v1.ExportError, match=r"model\.ckpt\.meta' is a folder\.\n.*its graph: none\.") as error:
        checkpoint.read(model)
    assert "Pass --meta_graph=" not in str(error.value)
