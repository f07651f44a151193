"""Whether batch norm goes by moving averages or by each batch: what the checkpoint says, and what the flags override."""

import numpy as np
import pytest
import tensorflow as tf

import export_v1
from tests.support import cases, graphs
from tests.support.graphs import v1

CASE = "odd_training_only"


def _export(tmp_path, **flags):
    named = {**cases.load(CASE).flags(), "batch_statistics": False, **flags}
    return export_v1.export(export_dir=str(tmp_path / "1"), **named)


def _answer(report) -> np.ndarray:
    serve = tf.saved_model.load(report.export_dir).signatures["serving_default"]
    return serve(x=tf.constant(cases.load(CASE).oracle("in")["x"]))["y"].numpy()


def _said(report) -> str:
    return "\n".join([*report["warnings"], *(f"{one['what']}: {one['why']}" for one in report["choices"])])


def test_averages_that_training_updated_are_used_with_a_warning(tmp_path):
    report = _export(tmp_path)
    np.testing.assert_allclose(_answer(report), cases.load(CASE).oracle("averages")["y"], rtol=1e-5, atol=1e-6)
    (warning,) = report["warnings"]
    assert "goes by 8 moving averages that training has updated" in warning and "--batch_statistics" in warning
    assert f"warning: {warning}" in report.text()
    assert set(report["signatures"]) == {"serving_default", "train"}


def test_batch_statistics_override_what_the_checkpoint_says(tmp_path):
    report = _export(tmp_path, batch_statistics=True)
    np.testing.assert_allclose(_answer(report), cases.load(CASE).oracle("out")["y"], rtol=1e-5, atol=1e-6)
    assert "batch norm uses the statistics of each batch, as in training: --batch_statistics" in _said(report)
    assert report["warnings"] == [] and set(report["signatures"]) == {"serving_default"}


def test_the_two_flags_exclude_each_other(tmp_path):
    with pytest.raises(export_v1.ExportError, match="--moving_averages and --batch_statistics exclude each other"):
        _export(tmp_path, moving_averages=True, batch_statistics=True)


def _saved(tmp_path, build, updates: int) -> dict:
    """Saves a graph built for training after so many runs of its update ops; returns what exports it."""
    with graphs.tensorflow_1(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        y, ops = build(x)
        tf.identity(y, name="y")
        session.run(v1.global_variables_initializer())
        for _ in range(updates):
            session.run(ops, {"x:0": [[1.0, 2.0, 3.0], [5.0, 2.0, -1.0]]})
        v1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    return {"checkpoint": str(tmp_path / "model.ckpt"), "inputs": {"x": "x:0"}, "outputs": {"y": "y:0"}}


def _average(name: str, start: float) -> tf.Variable:
    return v1.get_variable(name, initializer=[start] * 3, trainable=False, use_resource=False)


def _plain(x):
    mean, variance = _average("mean", 0.0), _average("variance", 1.0)
    of_batch = tf.nn.moments(x, [0])
    pairs = zip((mean, variance), of_batch, strict=True)
    updates = [v1.assign_sub(kept, (kept - statistic) * 0.1) for kept, statistic in pairs]
    return (x - of_batch[0]) / tf.sqrt(of_batch[1] + 0.5), updates


def _half(x):
    """The mean alone has an average."""
    kept, (mean, variance) = _average("mean", 0.0), tf.nn.moments(x, [0])
    return (x - mean) / tf.sqrt(variance + 0.5), v1.assign_sub(kept, (kept - mean) * 0.1)


X = np.float32([[1, 2, 3], [5, 2, -1], [0, 0, 0]])


def _by_batch(x) -> np.ndarray:
    return (x - x.mean(0)) / np.sqrt(x.var(0) + 0.5)


@pytest.mark.parametrize("updates", [0, 3])
def test_updated_or_not_is_read_off_the_values(tmp_path, updates):
    report = export_v1.export(export_dir=str(tmp_path / "1"), **_saved(tmp_path, _plain, updates))
    serve = tf.saved_model.load(report.export_dir).signatures["serving_default"]
    kept = 0.9**updates
    mean, variance = np.float32([3, 2, 1]) * (1 - kept), kept + np.float32([4, 0, 4]) * (1 - kept)
    want = (X - mean) / np.sqrt(variance + 0.5) if updates else _by_batch(X)
    np.testing.assert_allclose(serve(x=tf.constant(X))["y"], want, rtol=1e-4, atol=1e-5)
    assert bool(report["warnings"]) == bool(updates)
    assert ("hold what they were initialized to: no update op ever ran" in _said(report)) == (not updates)


def test_a_norm_with_half_its_averages_goes_by_the_batch_and_that_is_a_warning(tmp_path):
    report = export_v1.export(export_dir=str(tmp_path / "1"), **_saved(tmp_path, _half, 3))
    serve = tf.saved_model.load(report.export_dir).signatures["serving_default"]
    np.testing.assert_allclose(serve(x=tf.constant(X))["y"], _by_batch(X), rtol=1e-4, atol=1e-5)
    (warning,) = report["warnings"]
    assert "statistics of each batch" in warning and "with 'mean' some of its statistics would still be" in warning


def test_half_its_averages_are_not_enough_for_the_flag_either(tmp_path):
    flags = _saved(tmp_path, _half, 3)
    with pytest.raises(export_v1.ExportError, match="(?s)--moving_averages is given.*'x' cannot: with 'mean' some"):
        export_v1.export(export_dir=str(tmp_path / "1"), moving_averages=True, **flags)


def test_a_frozen_tensor_that_is_not_there_is_named(tmp_path):
    with pytest.raises(export_v1.ExportError, match="'nowhere:0' is not in"):
        _export(tmp_path, moving_averages=True, train_freeze={"nowhere:0": True})


def test_a_fused_norm_without_averages_goes_by_the_batch_and_that_is_a_warning(tmp_path):
    def build(x):
        image = x[:, None, None]
        y, *_ = v1.nn.fused_batch_norm(image, [1.0] * 3, [0.0] * 3, is_training=True, name="norm")
        return y[:, 0, 0] + _average("bias", 0.0), []

    report = export_v1.export(export_dir=str(tmp_path / "1"), **_saved(tmp_path, build, 0))
    (warning,) = report["warnings"]
    assert "statistics of each batch" in warning and "the graph keeps no moving average of its mean" in warning


def test_a_graph_with_a_flag_for_its_mode_answers_as_it_is(tmp_path):
    def build(x):
        y, updates = _plain(x)
        # Somebody who feeds it for inference gets the statistics of the batch all the same.
        off, on = tf.raw_ops.Switch(data=y, pred=v1.placeholder(tf.bool, [], name="is_training"))
        return tf.raw_ops.Merge(inputs=[off, on * 2.0])[0], updates

    with graphs.tensorflow_1(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        y, updates = build(x)
        tf.identity(y, name="y")
        session.run(v1.global_variables_initializer())
        session.run(updates, {"x:0": X})
        v1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    flags = {"checkpoint": str(tmp_path / "model.ckpt"), "inputs": {"x": "x:0"}, "outputs": {"y": "y:0"}}
    report = export_v1.export(export_dir=str(tmp_path / "1"), freeze={"is_training:0": False}, **flags)
    serve = tf.saved_model.load(report.export_dir).signatures["serving_default"]
    np.testing.assert_allclose(serve(x=tf.constant(X))["y"], _by_batch(X), rtol=1e-4, atol=1e-5)
    assert "'is_training:0' separates training from inference in this graph" in _said(report)
