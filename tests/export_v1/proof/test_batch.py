"""A batch size fixed in training is left open where the original's answers do not depend on it, and only there."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf

import export_v1
import load_v2
from export_v1.format import record
from export_v1.ir import rewrite
from export_v1.ir.graph import Tensor
from export_v1.passes import variables
from export_v1.passes.result import Result
from export_v1.proof import batch
from tests.support import cases

v1 = tf.compat.v1


@pytest.fixture
def saved(tmp_path):
    """Returns a function that saves what `build(x)` makes of a placeholder x of a given shape as a checkpoint."""

    def save(build, shape, dtype=tf.float32) -> str:
        with tf.Graph().as_default(), v1.Session() as session:
            build(v1.placeholder(dtype, shape, "x"))
            v1.get_variable("unused", [1], use_resource=False)
            session.run(v1.global_variables_initializer())
            return v1.train.Saver().save(session, str(tmp_path / "model.ckpt"))

    return save


def _export(checkpoint: str, tmp_path, outputs=("y",), **flags):
    named = {"inputs": {"x": "x:0"}, "outputs": {key: f"{key}:0" for key in outputs}, **flags}
    return export_v1.export(checkpoint=checkpoint, export_dir=str(tmp_path / "export"), **named)


def _shapes(folder) -> dict[str, list[int | None]]:
    """What the SignatureDef on disk says: a server goes by that."""
    with tf.Graph().as_default(), v1.Session() as session:
        signature = v1.saved_model.load(session, ["serve"], str(folder)).signature_def["serving_default"]
    sides = {**signature.inputs, **signature.outputs}
    return {key: tf.TensorShape(info.tensor_shape).as_list() for key, info in sides.items()}


def _weight(name: str, shape) -> tf.Tensor:
    return v1.get_variable(name, shape, initializer=v1.random_normal_initializer(seed=7), use_resource=False)


def _convolution(x: tf.Tensor) -> None:
    hidden = tf.nn.relu(tf.nn.conv2d(x, _weight("kernel", [3, 3, 3, 4]), 2, "SAME"))
    flat = tf.reshape(hidden, [-1, 6 * 6 * 4])
    tf.nn.softmax(flat @ _weight("dense", [6 * 6 * 4, 5]), name="y")


def _fixed_size(x: tf.Tensor) -> None:
    image = tf.reshape(x, [-1, 1, 2, 3])
    tf.nn.conv2d_transpose(image, _weight("filters", [1, 1, 2, 3]), [8, 1, 2, 2], 1, name="y")


def _mixes_rows(x: tf.Tensor) -> None:
    tf.identity((x - tf.reduce_mean(x, 0, keepdims=True)) @ _weight("dense", [6, 2]), "y")


def _by_position(x: tf.Tensor) -> None:
    # tf.shape would answer with the placeholder's own size while the graph is built.
    places = tf.range(tf.raw_ops.Shape(input=x)[0]) % 8
    tf.identity(x + tf.gather(_weight("places", [8]), places)[:, None], "y")


def _per_row(x: tf.Tensor) -> None:
    tf.identity(tf.tanh(x @ _weight("dense", [6, 2])), "y")


def test_a_fixed_training_batch_is_left_open(saved, tmp_path):
    checkpoint = saved(_convolution, [256, 12, 12, 3])
    report = _export(checkpoint, tmp_path)
    assert _shapes(report.export_dir) == {"x": [None, 12, 12, 3], "y": [None, 5]}
    images = np.random.default_rng(3).random((256, 12, 12, 3)).astype(np.float32)
    with tf.Graph().as_default(), v1.Session() as session:
        v1.train.import_meta_graph(checkpoint + ".meta").restore(session, checkpoint)
        want = session.run("y:0", {"x:0": images})
    serve = tf.saved_model.load(report.export_dir).signatures["serving_default"]
    for rows in (1, 7, 256):
        np.testing.assert_allclose(serve(x=tf.constant(images[:rows]))["y"], want[:rows], rtol=1e-5, atol=1e-6)


def test_what_was_opened_is_said_and_recorded_beside_the_original_shape(saved, tmp_path):
    report = _export(saved(_convolution, [256, 12, 12, 3]), tmp_path)
    with open(tmp_path / "export" / "assets.extra" / "export_v1.json") as file:
        record = json.load(file)
    assert record["inputs"]["x"]["shape"] == [256, 12, 12, 3]
    assert record["inputs"]["x"]["relaxed_shape"] == [None, 12, 12, 3]
    (choice,) = [one for one in record["choices"] if "batch size" in one["what"]]
    assert "open" in choice["what"] and "256" in choice["what"] and "1 and 257 rows" in choice["why"]
    assert choice["what"] in report.text() and "x float32 [None, 12, 12, 3] -> y float32 [None, 5]" in report.text()


@pytest.mark.parametrize(
    "build, shape, why",
    [
        (_fixed_size, [8, 6], "the original graph fails: "),
        (_mixes_rows, [8, 6], r"output 'y' may depend on other rows, which 'Mean' \(Mean\) puts together"),
        (_by_position, [8, 6], r"output 'y' may depend on other rows, which 'range' \(Range\) puts together"),
        (_mixes_rows, [1, 6], r"output 'y' may depend on other rows, which 'Mean' \(Mean\) puts together"),
        (lambda x: tf.reduce_mean(x, name="y"), [8, 6], "output 'y' may depend on other rows"),
        (lambda x: tf.squeeze(x + _weight("b", [6]), name="y"), [8, 6], r"\[6\] for 1 rows, \[8, 6\] for 8"),
        (lambda x: v1.random_normal([8, 2], name="y") + 0 * x[0, 0], [8, 6], "change from run to run"),
    ],
)
def test_a_batch_that_the_answers_depend_on_stays(saved, tmp_path, build, shape, why):
    report = _export(saved(build, shape), tmp_path)
    assert _shapes(report.export_dir)["x"] == shape
    (choice,) = [one for one in report["choices"] if "batch size" in one["what"]]
    assert choice["what"] == f"the batch size stays {shape[0]}: x {shape}"
    assert re.search(why, choice["why"]), choice["why"]
    assert "relaxed_shape" not in report["inputs"]["x"]


@pytest.mark.parametrize("size", [1, 2, 8])
def test_a_batch_of_any_fixed_size_is_left_open(saved, tmp_path, size):
    report = _export(saved(_per_row, [size, 6]), tmp_path)
    assert _shapes(report.export_dir) == {"x": [None, 6], "y": [None, 2]}


def test_an_output_that_has_no_rows_does_not_keep_the_others_fixed(saved, tmp_path):
    def build(x):
        _per_row(x)
        tf.identity(_weight("scale", []) * 2.0, "scale_out")

    report = _export(saved(build, [8, 6]), tmp_path, outputs=("y", "scale_out"))
    assert _shapes(report.export_dir) == {"x": [None, 6], "y": [None, 2], "scale_out": []}


def test_an_output_that_only_happens_to_be_as_long_does_not_keep_the_others_fixed(saved, tmp_path):
    def build(x):
        _per_row(x)
        tf.identity(_weight("table", [8]) * 2.0, "table_out")

    report = _export(saved(build, [8, 6]), tmp_path, outputs=("y", "table_out"))
    assert _shapes(report.export_dir) == {"x": [None, 6], "y": [None, 2], "table_out": [8]}


def test_a_scalar_input_stays_a_scalar(saved, tmp_path):
    def build(x):
        scale = v1.placeholder(tf.float32, [], "scale")
        tf.identity(tf.tanh(x @ _weight("dense", [6, 2])) * scale, "y")

    report = _export(saved(build, [8, 6]), tmp_path, inputs={"x": "x:0", "scale": "scale:0"})
    assert _shapes(report.export_dir) == {"x": [None, 6], "scale": [], "y": [None, 2]}


def test_the_opened_shape_is_recorded_of_the_tensors_that_have_it_alone():
    shapes = {"rows": [8, 3], "other": [4, 3], "scalar": [], "any": None, "open": [None, 8], "inner": [2, 8]}
    outputs = {key: record.TensorEntry(key, "float32", shape) for key, shape in shapes.items()}
    described = {"k": record.SignatureEntry({"x": record.TensorEntry("x:0", "float32", [8])}, outputs)}
    found = batch.Opened(None, 8).described(described)["k"]
    assert found.inputs["x"] == record.TensorEntry("x:0", "float32", [8], [None])
    relaxed = {key: entry.relaxed_shape for key, entry in found.outputs.items()}
    assert relaxed == {key: [None, 3] if key == "rows" else None for key in shapes}
    assert batch.Opened(None).described(described) == described


def test_an_export_has_to_give_the_answers_in_other_batches_too(saved, tmp_path, monkeypatch):
    def build(x):
        rows = tf.identity(tf.raw_ops.Shape(input=x)[0], "rows")
        zeros = tf.raw_ops.Fill(dims=[rows, 1], value=tf.constant(0.0, name="excess"))
        tf.identity(tf.tanh(x @ _weight("dense", [6, 2])) + zeros, "y")

    def broken(graph_def, index, real=variables.to_resources):
        made = real(graph_def, index)
        others = [node for node in made.graph_def.node if node.name != "excess"]
        if len(others) < len(made.graph_def.node):
            more = rewrite.node("more", "Sub", [Tensor("rows"), Tensor("eight")], T=tf.int32)
            excess = rewrite.node("excess", "Cast", [Tensor("more")], SrcT=tf.int32, DstT=tf.float32)
            others += [rewrite.constant("eight", 8, tf.int32), more, excess]
        return Result(rewrite.with_nodes(made.graph_def, others))

    checkpoint = saved(build, [8, 6])
    monkeypatch.setattr(variables, "to_resources", broken)
    with pytest.raises(export_v1.ExportError, match="does not answer as the original does(?s:.*)'y'"):
        _export(checkpoint, tmp_path)
    assert not (tmp_path / "export").exists()
    # At the size that the graph has, both answer the same.
    assert _export(checkpoint, tmp_path, inputs={"x": "x:0[8,6]"})["sample"] is not None


def test_a_shape_that_is_given_is_the_shape(saved, tmp_path):
    report = _export(saved(_per_row, [8, 6]), tmp_path, inputs={"x": "x:0[8,6]"})
    assert _shapes(report.export_dir) == {"x": [8, 6], "y": [8, 2]}
    assert not [one for one in report["choices"] if "batch size" in one["what"]]


def test_an_open_batch_is_not_spoken_of(saved, tmp_path):
    report = _export(saved(_per_row, [None, 6]), tmp_path)
    assert not [one for one in report["choices"] if "batch size" in one["what"]]


def test_without_a_sample_it_stays_and_the_reason_is_said(saved, tmp_path):
    report = _export(saved(_per_row, [8, 6]), tmp_path, no_sample=True)
    assert _shapes(report.export_dir)["x"] == [8, 6]
    (choice,) = [one for one in report["choices"] if "batch size" in one["what"]]
    assert "no sample is recorded" in choice["why"] and "--input=KEY=TENSOR[None,…]" in choice["why"]


def test_inputs_of_different_first_sizes_stay(saved, tmp_path):
    def build(x):
        state = v1.placeholder(tf.float32, [2, 8, 6], "state")
        tf.identity(x + state[0] + _weight("b", [6]), "y")

    inputs = {"x": "x:0", "state": "state:0"}
    report = _export(saved(build, [8, 6]), tmp_path, inputs=inputs)
    assert _shapes(report.export_dir) == {"x": [8, 6], "state": [2, 8, 6], "y": [8, 6]}
    assert not [one for one in report["choices"] if "batch size" in one["what"]]


def test_the_train_signature_is_opened_with_the_other(saved, tmp_path):
    def build(x):
        flag = v1.placeholder(tf.bool, [], "is_training")
        hidden = tf.cond(flag, lambda: x * 2.0, lambda: x)
        tf.identity(hidden @ _weight("dense", [6, 2]), "y")

    frozen = {"freeze": {"is_training:0": False}, "train_freeze": {"is_training:0": True}}
    report = _export(saved(build, [8, 6]), tmp_path, **frozen)
    train = tf.saved_model.load(report.export_dir).signatures["train"]
    assert train(x=tf.ones([3, 6]))["y"].shape == [3, 2]


def test_a_train_signature_that_needs_the_size_keeps_both_fixed(saved, tmp_path):
    def build(x):
        flag = v1.placeholder(tf.bool, [], "is_training")
        # A mask of the static shape: what tf.nn.dropout makes of a fixed batch.
        off, on = tf.raw_ops.Switch(data=x, pred=flag)
        hidden = tf.raw_ops.Merge(inputs=[off, tf.nn.dropout(on, rate=0.5)])[0]
        tf.identity(hidden @ _weight("dense", [6, 2]), "y")

    frozen = {"freeze": {"is_training:0": False}, "train_freeze": {"is_training:0": True}}
    report = _export(saved(build, [8, 6]), tmp_path, **frozen)
    assert _shapes(report.export_dir)["x"] == [8, 6]
    (choice,) = [one for one in report["choices"] if "batch size" in one["what"]]
    assert "its signature 'train' fails: " in choice["why"]


def test_the_constant_shape_of_a_sparse_input_is_said(tmp_path, saved):
    """tf.sparse_placeholder(type, [2, 3]) of TensorFlow 1 is two placeholders and a constant."""

    def build(x):
        indices = v1.placeholder(tf.int64, [None, 2], "s/indices")
        rows = tf.SparseTensor(
            indices, v1.placeholder(tf.float32, [None], "s/values"), tf.constant([2, 3], tf.int64, name="s/shape")
        )
        tf.add(tf.sparse.sparse_dense_matmul(rows, _weight("w", [3, 4])), tf.reduce_sum(x), name="y")

    checkpoint = saved(build, [])
    names = {"indices": "s/indices:0", "values": "s/values:0"}
    report = _export(checkpoint, tmp_path, inputs={"x": "x:0", **names})
    [said] = [choice for choice in report["choices"] if "batch size" in choice["what"]]
    assert said["what"] == "the batch size stays 2: the sparse tensor of 'indices' has shape [2, 3]"
    assert "--input=KEY=s/shape:0 beside the others" in said["why"]
    report = _export(checkpoint, tmp_path, inputs={"x": "x:0", **names, "shape": "s/shape:0"}, overwrite=True)
    assert not any("batch size" in choice["what"] for choice in report["choices"])
    shape = np.int64([4, 3])
    layer = load_v2.SignatureLayer(tmp_path / "export")
    given = {"x": np.float32(0), "indices": np.int64([[3, 1]]), "values": np.float32([2]), "shape": shape}
    answer = layer(given)
    assert np.array_equal(answer[:3], np.zeros([3, 4])) and np.any(answer[3])


def test_rows_that_look_at_each_other_keep_the_batch_of_the_case(tmp_path):
    report = export_v1.export(**cases.load("proof_rows_mix").flags(), export_dir=str(tmp_path / "export"))
    [said] = [choice for choice in report["choices"] if "batch size" in choice["what"]]
    assert said["what"].startswith("the batch size stays 4") and "may depend on other rows" in said["why"]
