"""Frozen graphs: binary and text, what else such files turn out to be, and constants that become variables again."""

import json
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

import export_v1
import load_v2
from export_v1 import errors
from export_v1.source import graph_def, unfreeze
from tests.support import cases

v1 = tf.compat.v1
CASE = cases.load("odd_frozen")
PB = str(CASE.folder / "frozen.pb")


def _thawed(tmp_path, **flags) -> pathlib.Path:
    folder = tmp_path / "out"
    export_v1.export(export_dir=str(folder), unfreeze=True, **{**CASE.flags(), **flags})
    return folder


@pytest.mark.parametrize("file", ["frozen.pb", "frozen.pbtxt"])
def test_answers_are_those_of_the_graph_before_freezing(file, tmp_path):
    export_v1.export(export_dir=str(tmp_path / "out"), **{**CASE.flags(), "graph_def": str(CASE.folder / file)})
    loaded = tf.saved_model.load(str(tmp_path / "out"))
    assert not loaded.variables
    got = loaded.signatures["serving_default"](**{key: tf.constant(value) for key, value in CASE.oracle("in").items()})
    cases.assert_equal(got, CASE.oracle())
    assert load_v2.verify(str(tmp_path / "out")).equal


def test_a_placeholder_with_a_default_is_frozen_or_an_input(tmp_path):
    names = {key: CASE.config[key] for key in ("inputs", "outputs")}
    report = export_v1.export(graph_def=PB, export_dir=str(tmp_path / "frozen"), **names)
    assert report["frozen"] == {"training:0": False}
    fed = {**names, "inputs": {**names["inputs"], "training": "training:0"}}
    export_v1.export(graph_def=PB, export_dir=str(tmp_path / "fed"), **fed)
    signature = tf.saved_model.load(str(tmp_path / "fed")).signatures["serving_default"]
    inputs = {key: tf.constant(value) for key, value in CASE.oracle("in").items()}
    cases.assert_equal(signature(**inputs, training=tf.constant(False)), CASE.oracle())
    trained = signature(**inputs, training=tf.constant(True))["out"].numpy()
    assert not np.allclose(trained, CASE.oracle()["out"], atol=1e-3)


def test_unfrozen_weights_are_those_of_the_checkpoint(tmp_path):
    loaded = tf.saved_model.load(str(_thawed(tmp_path)))
    origin = cases.load("convnet_bn_finetune")
    checkpoint = tf.train.load_checkpoint(str(origin.folder / origin.config["checkpoint"]))
    assert len(loaded.variables) == 8
    for one in loaded.variables:
        np.testing.assert_array_equal(one.numpy(), checkpoint.get_tensor(one.name.removesuffix(":0")))
    still = {one.name for one in loaded.variables if not one.trainable}
    assert still == {"batch_normalization/moving_mean:0", "batch_normalization/moving_variance:0"}


def test_unfreezing_is_said_and_recorded(tmp_path):
    record = json.loads((_thawed(tmp_path) / "assets.extra" / "export_v1.json").read_text())
    said = " ".join(one["what"] for one in record["choices"])
    assert "8 constants" in said and "2 of them not trainable" in said and "freeze_graph" in said
    assert {one["name"] for one in record["variables"]} >= {"head/kernel", "head/bias"}


def test_unfrozen_graph_fine_tunes_as_tensorflow_1_did(tmp_path):
    layer = load_v2.SignatureLayer(str(_thawed(tmp_path)))
    config, expected, inputs = CASE.config["unfrozen_finetune"], CASE.oracle("finetune"), CASE.oracle("in")
    given = {key: keras.Input(value.shape[1:], name=key) for key, value in inputs.items()}
    model = keras.Model(given, layer(given))
    model.compile(keras.optimizers.SGD(config["learning_rate"]), loss="mse")
    losses = []
    for _ in range(config["steps"]):
        model.reset_metrics()
        losses.append(float(np.ravel(model.train_on_batch(inputs, expected["target"]))[0]))
    np.testing.assert_allclose(losses, expected["losses"], rtol=2e-4)


def _network(batch_norm: str = "fused") -> v1.GraphDef:
    """A network whose weights are plain constants, as tools that fold Identities leave it."""
    rng = np.random.default_rng(0)
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 8, 8, 3], name="x")
        mean = tf.constant([103.0, 116.0, 123.0], name="mean_of_images")
        kernel = tf.constant(rng.normal(size=[3, 3, 3, 4]), tf.float32, name="kernel")
        h = tf.nn.conv2d(x - mean, kernel, 1, "SAME") + tf.constant(rng.normal(size=[4]), tf.float32, name="offset")
        ones = tf.constant(np.ones(4), tf.float32, name="no_scale")
        beta, center, spread = (
            tf.constant(rng.uniform(size=[4]), tf.float32, name=name) for name in ("beta", "center", "spread")
        )
        if batch_norm == "fused":
            h, _, _ = v1.nn.fused_batch_norm(h, ones, beta, center, spread, is_training=False)
        h = tf.reduce_mean(h, [1, 2]) * tf.constant(3.0, name="setting")
        ids = tf.cast(tf.argmax(h, 1), tf.int32)
        table = tf.constant(rng.normal(size=[4, 2]), tf.float32, name="table")
        half = tf.constant(rng.normal(size=[2, 2]), tf.float16, name="half")
        out = tf.matmul(tf.cast(tf.gather(table, ids), tf.float16), half)
        tf.reshape(out, tf.constant([-1, 2], name="shape"), name="y")
    return graph.as_graph_def()


def test_without_marks_whatever_is_read_as_a_weight_is_one():
    thawed = unfreeze.weights(_network())
    assert dict(thawed.trainable) == {
        "kernel": True,
        "offset": True,
        "beta": True,
        "center": False,
        "spread": False,
        "table": True,
        "half": True,
    }
    assert "where an op takes its weights" in thawed.notes[0]
    assert {node.name for node in thawed.graph_def.node if node.op == "Const"} >= {
        "mean_of_images",
        "no_scale",
        "setting",
    }


def test_unfreezing_changes_no_answer(tmp_path):
    (tmp_path / "graph.pb").write_bytes(_network().SerializeToString())
    flags = {"graph_def": str(tmp_path / "graph.pb"), "inputs": {"x": "x:0"}, "outputs": {"y": "y:0"}}
    for name, extra in {"frozen": {}, "thawed": {"unfreeze": True}}.items():
        export_v1.export(export_dir=str(tmp_path / name), **flags, **extra)
    x = tf.constant(np.random.default_rng(1).normal(size=[2, 8, 8, 3]), tf.float32)
    answers = [
        tf.saved_model.load(str(tmp_path / name)).signatures["serving_default"](x=x)["y"]
        for name in ("frozen", "thawed")
    ]
    np.testing.assert_array_equal(*answers)


def test_a_written_out_batch_norm_keeps_its_statistics_untrainable():
    rng = np.random.default_rng(0)
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 4], name="x")
        parts = {}
        for name in ("gamma", "beta", "m", "v"):
            parts[name] = tf.identity(tf.constant(rng.uniform(size=[4]), tf.float32, name=name), name=f"{name}/read")
        scale = tf.math.rsqrt(parts["v"] + 0.001) * parts["gamma"]
        tf.add(x * scale, parts["beta"] - parts["m"] * scale, name="y")
    trainable = unfreeze.weights(graph.as_graph_def()).trainable
    assert trainable == {"gamma": True, "beta": True, "m": False, "v": False}


def test_graph_without_weights_says_what_would_tell():
    with tf.Graph().as_default() as graph:
        tf.add(v1.placeholder(tf.float32, [2]), tf.constant([1.0, 2.0]))
    with pytest.raises(errors.ExportError, match="finds no weights.*1 float constants.*\n.*'MatMul'"):
        unfreeze.weights(graph.as_graph_def())


# Bad input.


def _read(tmp_path, content: bytes, name: str = "graph.pb"):
    (tmp_path / name).write_bytes(content)
    return graph_def.read(str(tmp_path / name))


@pytest.mark.parametrize("content", [b"", b"nonsense", pathlib.Path(PB).read_bytes()[:3000]])
def test_file_that_is_no_graph_says_so(tmp_path, content):
    with pytest.raises(errors.ExportError, match="graph.pb.* is not a GraphDef.*\n.*freeze_graph"):
        _read(tmp_path, content)


def test_other_files_name_the_flag_for_them(tmp_path):
    model = pathlib.Path(cases.load("odd_saved_model").flags()["saved_model"]) / "saved_model.pb"
    with pytest.raises(errors.ExportError, match=f"--saved_model={tmp_path}"):
        _read(tmp_path, model.read_bytes())
    meta = pathlib.Path(cases.load("mlp_layers").flags()["checkpoint"] + ".meta")
    with pytest.raises(errors.ExportError, match="--checkpoint=PREFIX --meta_graph="):
        _read(tmp_path, meta.read_bytes())
    with pytest.raises(errors.ExportError, match="TensorFlow Lite"):
        _read(tmp_path, b"\x1c\x00\x00\x00TFL3" + bytes(30))
    with pytest.raises(errors.ExportError, match="Keras"):
        _read(tmp_path, b"\x89HDF\r\n\x1a\n")
    with pytest.raises(errors.ExportError, match="git lfs pull"):
        _read(tmp_path, b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


def test_missing_file_says_so(tmp_path):
    with pytest.raises(errors.ExportError, match="cannot be read: No such file"):
        graph_def.read(str(tmp_path / "nothing.pb"))


def test_graph_that_is_not_frozen_names_its_variables_and_the_flags(tmp_path):
    case = cases.load("mlp_layers")
    meta = v1.MetaGraphDef.FromString(pathlib.Path(case.flags()["checkpoint"] + ".meta").read_bytes())
    (tmp_path / "graph.pbtxt").write_text(text_format.MessageToString(meta.graph_def))
    names = {key: case.config[key] for key in ("inputs", "outputs")}
    with pytest.raises(errors.ExportError, match="4 variables have no values.*'dense/bias'.*\n.*--meta_graph=FILE"):
        export_v1.export(graph_def=str(tmp_path / "graph.pbtxt"), export_dir=str(tmp_path / "out"), **names)
    # As the message says: with its checkpoint it is as good as a MetaGraphDef.
    checkpoint = case.flags()["checkpoint"]
    export_v1.export(
        checkpoint=checkpoint, meta_graph=str(tmp_path / "graph.pbtxt"), export_dir=str(tmp_path / "out"), **names
    )
    loaded = tf.saved_model.load(str(tmp_path / "out"))
    got = loaded.signatures["serving_default"](**{key: tf.constant(value) for key, value in case.oracle("in").items()})
    cases.assert_equal(got, case.oracle())
    assert all(one.trainable for one in loaded.variables)


@pytest.mark.parametrize("flag", ["graph_def", "meta_graph", "saved_model"])
def test_text_deeper_than_pythons_stack_is_one_message(flag, tmp_path):
    text = (
        "node { name: 'x' op: 'Placeholder' "
        + "attr { key: 'f' value { func { name: 'g' " * 5000
        + "} } } " * 5000
        + "}"
    )
    if flag == "saved_model":
        (tmp_path / "saved_model.pbtxt").write_text(f"meta_graphs {{ graph_def {{ {text} }} }}")
        given = {"saved_model": str(tmp_path)}
    else:
        (tmp_path / "m.pbtxt").write_text(text)
        given = {flag: str(tmp_path / "m.pbtxt")}
    if flag == "meta_graph":
        given["checkpoint"] = cases.load("mlp_layers").flags()["checkpoint"]
    with pytest.raises(export_v1.ExportError, match="is not a"):
        export_v1.inspect(**given)
