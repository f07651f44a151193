"""assets: which file a table is filled from."""

import pytest
import tensorflow as tf

import export_v1
from export_v1.passes import tables
from export_v1.source import assets
from tests.support import graphs
from tests.support.graphs import v1


def _tables(file: str = "words.txt", through=tf.identity) -> v1.GraphDef:
    """A table that is filled from a file."""
    with graphs.tensorflow_1() as graph:
        raw = tf.raw_ops
        table = raw.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64, name="table")
        name = through(tf.constant(file, name="file"))
        raw.InitializeTableFromTextFileV2(table_handle=table, filename=name, name="fill", key_index=-2, value_index=-1)
    return graph.as_graph_def()


def _located(files: assets.Files, known=None, **graph):
    result = tables.with_files(_tables(**graph), ["fill"], known=known or {}, frozen={}, find=files.find)
    names, paths = {node.name: node for node in result.graph_def.node}, result.notes.asset_files
    for tensor, path in paths.items():
        constant = names[tensor.split(":")[0]]
        assert constant.op == "Const" and tf.make_ndarray(constant.attr["value"].tensor).item().decode() == path
    return paths


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model" / "sub").mkdir(parents=True)
    for name in ("words.txt", "sub/words.txt", "moved.txt"):
        (tmp_path / "model" / name).write_text(name)
    return tmp_path / "model"


def test_a_file_beside_the_model_is_found_by_its_name_and_said(folder):
    files = assets.Files({}, [str(folder)])
    assert _located(files, file="/long/gone/words.txt") == {"file:0": str(folder / "words.txt")}
    [(what, why)] = files.choices
    assert "/long/gone/words.txt" in what and str(folder / "words.txt") in what and "beside the model" in why


def test_the_folders_are_looked_through_in_order(folder):
    files = assets.Files({}, [str(folder / "sub"), str(folder)])
    assert _located(files) == {"file:0": str(folder / "sub" / "words.txt")}
    (folder / "words.txt").unlink()
    assert _located(assets.Files({}, [str(folder)]), file="sub/words.txt") == {"file:0": str(folder / "sub/words.txt")}


@pytest.mark.parametrize("old", ["/long/gone/words.txt", "words.txt"])
def test_what_the_user_says_comes_first(folder, old):
    files = assets.Files({old: str(folder / "moved.txt")}, [str(folder)])
    assert _located(files, file="/long/gone/words.txt") == {"file:0": str(folder / "moved.txt")}
    with pytest.raises(export_v1.ExportError, match=rf"gone.*--asset={old}="):
        _located(assets.Files({old: "/gone"}, [str(folder)]), file="/long/gone/words.txt")


def test_what_the_source_says_comes_before_a_search(folder):
    known = {"file:0": str(folder / "sub" / "words.txt")}
    assert _located(assets.Files({}, [str(folder)]), known) == known
    gone = {"file:0": str(folder / "gone")}
    assert _located(assets.Files({}, [str(folder)]), gone) == {"file:0": str(folder / "words.txt")}


def test_a_file_outside_of_the_model_is_not_carried_along(folder, tmp_path):
    (tmp_path / "secret").write_text("")
    (folder / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "model_of_another").mkdir()
    (tmp_path / "model_of_another" / "words.txt").write_text("")
    files = assets.Files({}, [str(folder)])
    for known, name in (({"file:0": str(tmp_path / "secret")}, ""), ({}, "../secret"), ({}, "link")):
        with pytest.raises(export_v1.ExportError, match="(?s)outside of the model's folder.*secret.*--asset="):
            _located(files, known, file=name or "words.txt")
    with pytest.raises(export_v1.ExportError, match="outside of the model's folder"):
        _located(files, {"file:0": str(tmp_path / "model_of_another" / "words.txt")})
    anywhere = assets.Files({}, [str(folder)], anywhere=True)
    assert _located(anywhere, file="link") == {"file:0": str(folder / "link")}


def test_a_file_that_is_nowhere_is_named_with_the_places_and_the_flag(folder):
    with pytest.raises(export_v1.ExportError, match="'/a/gone.txt' is not found") as caught:
        _located(assets.Files({}, [str(folder)]), file="/a/gone.txt")
    said = str(caught.value)
    assert str(folder / "gone.txt") in said and "--asset=/a/gone.txt=" in said


def test_a_file_name_is_seen_through_what_only_hands_it_on(folder):
    files = assets.Files({}, [str(folder)])
    default = {"through": lambda name: v1.placeholder_with_default(name, [], name="asset_path")}
    assert _located(files, **default) == {"file:0": str(folder / "words.txt")}
    # Where the source knows the tensor in between, that is the one.
    between = {"asset_path:0": str(folder / "words.txt")}
    assert _located(files, between, **default) == between


def test_a_file_name_that_is_computed_is_refused_with_the_flag(folder):
    joined = {"through": lambda name: tf.strings.join([name, ".gz"], name="joined")}
    with pytest.raises(export_v1.ExportError, match=r"'fill'.*'joined:0' \(StringJoin\).*\n.*--freeze=joined:0="):
        _located(assets.Files({}, [str(folder)]), **joined)
