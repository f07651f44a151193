"""save: which writer is used, what the written graph holds, and what is said about the weights."""

import dataclasses
import json
import resource
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import export_v1
from export_v1.artifact import save
from export_v1.format import bundle
from export_v1.ir import importing, safety
from export_v1.weights import restore, session, stream
from tests.export_v1.weights.test_stream import VALUES, variable, weights_of, write_checkpoint
from tests.support import cases

v1 = tf.compat.v1


def exported(weights) -> save.Exported:
    """Returns a graph that adds 1 to its input, beside the variables."""
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None], "x")
        tf.add(x, 1.0, "y")
        for one in weights.variables:
            handle = tf.raw_ops.VarHandleOp(dtype=one.dtype, shape=one.shape, shared_name=one.name, name=one.name)
            assert handle.op.name == one.name
    signature = ({"x": "x:0"}, {"y": "y:0"}, "tensorflow/serving/predict")
    return save.Exported(graph.as_graph_def(), {"serving_default": signature}, (), {}, (), weights)


@pytest.fixture
def weights(tmp_path) -> restore.Weights:
    values = {name: VALUES[name] for name in ("large", "long")}
    write_checkpoint(str(tmp_path / "model"), values)
    return weights_of(str(tmp_path / "model"), values)


@pytest.mark.parametrize("above", [True, False])
def test_the_line_between_the_writers_is_the_size_of_all_variables(tmp_path, monkeypatch, weights, above):
    assert weights.size() == VALUES["large"].nbytes + VALUES["long"].nbytes
    monkeypatch.setattr(save, "STREAMED_ABOVE", weights.size() - above)
    used = []
    monkeypatch.setattr(stream, "write", lambda *args, real=stream.write: used.append("stream") or real(*args))
    simple = v1.saved_model.simple_save
    monkeypatch.setattr(v1.saved_model, "simple_save", lambda *a, **k: used.append("simple_save") or simple(*a, **k))
    written = save.write(exported(weights), str(tmp_path / "out"))
    assert used == (["stream"] if above else ["simple_save"]) and written.streamed == above


def test_streamed_weights_are_in_a_session_only_for_a_check(tmp_path, monkeypatch, weights):
    monkeypatch.setattr(save, "STREAMED_ABOVE", 0)
    filled = []
    monkeypatch.setattr(save, "fill", lambda *args: filled.append("filled") or session.fill(*args))
    save.write(exported(weights), str(tmp_path / "unchecked"))
    assert not filled
    got = []
    save.write(exported(weights), str(tmp_path / "checked"), [lambda opened: got.append(opened.run("large/Read:0"))])
    assert filled and np.array_equal(got[0], VALUES["large"])


def _held_import(monkeypatch, then) -> None:
    """Has the graph imported only when the first piece of the variables is written, and `then` was called."""
    written = threading.Event()

    def piece(*args, real=stream._save):
        real(*args)
        written.set()

    def imported(*args, real=importing.meta_graph):
        assert written.wait(60), "no variable was written while the graph is imported"
        then()
        real(*args)

    monkeypatch.setattr(stream, "_save", piece)
    monkeypatch.setattr(importing, "meta_graph", imported)


def test_variables_are_streamed_while_the_graph_is_imported(tmp_path, monkeypatch, weights):
    monkeypatch.setattr(save, "STREAMED_ABOVE", 0)
    _held_import(monkeypatch, lambda: None)
    written = save.write(exported(weights), str(tmp_path / "out"))
    assert set(written.checksums) == {"large", "long"}


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError])
def test_nothing_is_written_once_the_import_has_failed(tmp_path, monkeypatch, kind):
    """An export that fails removes its folder: whoever still wrote into it would leave something behind."""
    monkeypatch.setattr(save, "STREAMED_ABOVE", 0)
    monkeypatch.setattr(stream, "PIECE", 400)
    values = {f"layer_{at}": np.arange(at, at + 100, dtype=np.float32) for at in range(60)}
    write_checkpoint(str(tmp_path / "model"), values)

    def fail() -> None:
        monkeypatch.setattr(stream, "_save", lambda *args, real=stream._save: time.sleep(0.1) or real(*args))
        raise kind("no")

    _held_import(monkeypatch, fail)
    given = exported(weights_of(str(tmp_path / "model"), values))
    with pytest.raises(kind if kind is KeyboardInterrupt else export_v1.ExportError, match="no"):
        save.write(given, str(tmp_path / "out"))
    left = sorted((tmp_path / "out").rglob("*"))
    assert not [path for path in left if path.name == "variables.index"]
    time.sleep(0.5)
    assert sorted((tmp_path / "out").rglob("*")) == left


def test_a_check_that_fails_leaves_nothing(tmp_path, weights):
    def check(opened):
        raise export_v1.ExportError("the answers differ")

    with pytest.raises(export_v1.ExportError, match="the answers differ"):
        save.write(exported(weights), str(tmp_path / "out"), [check])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("line", [0, 2**40])
def test_what_was_written_is_told(tmp_path, monkeypatch, weights, line):
    monkeypatch.setattr(save, "STREAMED_ABOVE", line)
    large = np.array(VALUES["large"])
    large.flat[5] = np.nan
    given = dataclasses.replace(
        weights,
        variables=(*weights.variables, variable("bad", large, location=None)),
        initial={"bad": large},
    )
    written = save.write(exported(given), str(tmp_path / "out"))
    index = bundle.read(str(tmp_path / "out" / "variables" / "variables"))
    assert written.not_finite == ("bad",)
    assert written.checksums == {name: index.tensors[name].crc32c for name in ("large", "long", "bad")}
    source = bundle.read(weights.checkpoint.prefix)
    assert all(written.checksums[name] == source.tensors[name].crc32c for name in ("large", "long"))


@pytest.mark.parametrize("line", [0, 2**40])
def test_nan_in_a_checkpoint_is_a_warning_of_the_report(tmp_path, monkeypatch, line):
    monkeypatch.setattr(save, "STREAMED_ABOVE", line)
    with tf.Graph().as_default(), v1.Session() as opened:
        x = v1.placeholder(tf.float32, [None, 2], "x")
        w = v1.get_variable("w", initializer=tf.constant([[1.0, np.inf], [2.0, 3.0]]), use_resource=False)
        tf.matmul(x, w, name="y")
        opened.run(v1.global_variables_initializer())
        v1.train.Saver().save(opened, str(tmp_path / "model"))
    report = export_v1.export(
        checkpoint=str(tmp_path / "model"), export_dir=str(tmp_path / "out"), inputs={"x": "x:0"}, outputs={"y": "y:0"}
    )
    assert report["warnings"] == ["variable 'w' holds NaN or infinity"]
    assert "warning: variable 'w' holds NaN or infinity" in report.text()


def test_the_written_graph_has_no_nodes_of_the_filling(exported):
    folder = exported("convnet_bn_dropout")
    content = (folder / "saved_model.pb").read_bytes()
    [meta] = saved_model_pb2.SavedModel.FromString(content).meta_graphs
    names = [node.name for node in meta.graph_def.node]
    assert not [name for name in names if name.startswith("restore/")]
    assert len(meta.collection_def["variables"].bytes_list.value) == len(
        json.loads((folder / "assets.extra" / "export_v1.json").read_text())["variables"]
    )


@pytest.mark.parametrize("line", [0, 2**40], ids=["stream", "simple_save"])
def test_a_full_disk_is_an_error_and_no_export(tmp_path, monkeypatch, line):
    monkeypatch.setattr(save, "STREAMED_ABOVE", line)
    flags = cases.load("mlp_layers").flags()
    # The variables take more than this, everything else is smaller; SIGXFSZ is off in Python, so writing fails.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(export_v1.ExportError, match="cannot be written to .*\n.*Free some space"):
            export_v1.export(export_dir=str(tmp_path / "out"), **flags, no_sample=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not [*tmp_path.iterdir()]


PREDICT, CLASSIFY = "tensorflow/serving/predict", "tensorflow/serving/classify"


def _with_a_table(tmp_path, signatures) -> save.Exported:
    """Returns a graph with a table from a file, a variable that it counts its answers with, and a loss."""
    (tmp_path / "words.txt").write_text("a\nb\n")
    with tf.Graph().as_default() as graph:
        raw = tf.raw_ops
        x = v1.placeholder(tf.string, [None], "x")
        table = raw.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64, shared_name="words")
        file = tf.constant(str(tmp_path / "words.txt"), name="file")
        fields = {"key_index": -2, "value_index": -1}
        raw.InitializeTableFromTextFileV2(table_handle=table, filename=file, name="fill", **fields)
        found = raw.LookupTableFindV2(table_handle=table, keys=x, default_value=tf.constant(-1, tf.int64))
        tf.identity(found, "ids")
        for name in ("w", "still"):
            handle = raw.VarHandleOp(dtype=tf.float32, shape=[], shared_name=name, name=name)
            raw.AssignAddVariableOp(resource=handle, value=1.0, name=f"count_{name}")
            tf.identity(raw.ReadVariableOp(resource=handle, dtype=tf.float32), f"{name}_value")
        tf.multiply(graph.get_tensor_by_name("w_value:0"), 2.0, name="loss")
    variables = tuple(restore.Variable(name, tf.float32, (), name == "w") for name in ("w", "still"))
    weights = restore.Weights(variables, None, {"w": np.float32(5), "still": np.float32(6)})
    sides = {key: ({"x": "x:0"}, {"ids": "ids:0"}, method) for key, method in signatures.items()}
    files = {"file:0": str(tmp_path / "words.txt")}
    return save.Exported(graph.as_graph_def(), sides, ("fill",), files, ("loss:0",), weights)


@pytest.mark.parametrize(
    "signatures",
    [
        {"serving_default": PREDICT},
        {"serving_default": CLASSIFY},
        {"other": PREDICT},
        {"serving_default": PREDICT, "labels": CLASSIFY},
    ],
)
def test_what_is_written_has_everything_that_belongs_to_it(tmp_path, signatures):
    seen = []

    def check(opened) -> None:
        seen.append(list(opened.run("ids:0", {"x:0": ["b", "c"]})))
        opened.run("count_w")

    exported = _with_a_table(tmp_path, signatures)
    with safety.applied(safety.Policy(own_paths=exported.asset_files.values())):
        written = save.write(exported, str(tmp_path / "out"), [check, check])
    assert seen == [[1, -1], [1, -1]] and not written.streamed
    (tmp_path / "words.txt").unlink()
    with tf.Graph().as_default(), v1.Session() as opened:
        meta = v1.saved_model.load(opened, ["serve"], str(tmp_path / "out"))
        assert list(opened.run("ids:0", {"x:0": ["a", "c"]})) == [0, -1]
        # What the checks counted is not what is exported.
        assert opened.run(["w_value:0", "still_value:0"]) == [5, 6]
        assert [one.op.name for one in v1.trainable_variables()] == ["w"]
        assert [one.op.name for one in v1.global_variables()] == ["w", "still"]
        assert [one.name for one in v1.get_collection("regularization_losses")] == ["loss:0"]
    assert {key: one.method_name for key, one in meta.signature_def.items()} == signatures
    assert (tmp_path / "out" / "assets" / "words.txt").read_text() == "a\nb\n"


def test_only_writes_that_an_answer_waits_for_change_variables():
    graph_def = v1.GraphDef()
    graph_def.node.add(name="train", op="AssignVariableOp")
    graph_def.node.add(name="x", op="Placeholder")
    graph_def.node.add(name="y", op="Identity", input=["x"])
    assert not save.writes_variables(graph_def, ["y:0"])
    graph_def.node[2].input.append("^train")
    assert save.writes_variables(graph_def, ["y:0"]) and not save.writes_variables(graph_def, ["x:0"])


def test_writes_inside_functions_count():
    graph_def = v1.GraphDef()
    graph_def.node.add(name="call", op="PartitionedCall").attr["f"].func.name = "outer"
    outer, inner, other = (graph_def.library.function.add() for _ in range(3))
    outer.signature.name, inner.signature.name, other.signature.name = "outer", "inner", "other"
    outer.node_def.add(name="again", op="StatefulPartitionedCall").attr["f"].func.name = "inner"
    other.node_def.add(name="write", op="AssignVariableOp")
    assert not save.writes_variables(graph_def, ["call:0"])
    inner.node_def.add(name="write", op="AssignVariableOp")
    assert save.writes_variables(graph_def, ["call:0"])


@pytest.mark.parametrize(("producer", "written"), [(21, 21), (0, tf.version.GRAPH_DEF_VERSION)])
def test_a_graph_keeps_the_version_that_it_was_written_by(tmp_path, producer, written):
    given = _with_a_table(tmp_path, {"serving_default": PREDICT})
    given.graph_def.versions.producer = producer
    assert save.meta_graph(given)[0].graph_def.versions.producer == written
    assert given.graph_def.versions.producer == producer
