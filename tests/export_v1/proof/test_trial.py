"""Guesses at a sample run in a process of their own, whose end or delay is a message."""

import os
import signal
import time

import numpy as np
import pytest
import tensorflow as tf

import export_v1
from export_v1.proof import examples, sample, trial
from export_v1.source import assets
from tests.support import graphs, small_models
from tests.support.graphs import v1

FILES = assets.Files({}, ())


def _model(build, inputs: dict[str, str], outputs: list[str], weights=None) -> trial.Model:
    with graphs.tensorflow_1() as graph:
        build()
    return trial.Model(graph.as_graph_def(), (), inputs, outputs, {}, weights or small_models.initial())


def _counting():
    """Counts to a number in steps of two, which an odd number is never one of."""
    count = v1.placeholder(tf.int32, [], "count")
    weight = v1.get_variable("weight", [2], use_resource=False)
    result = tf.while_loop(lambda n: tf.not_equal(n, count), lambda n: n + 2, [0])
    tf.cast(result, tf.float32) * tf.identity(weight, name="read")
    tf.add(tf.cast(result, tf.float32), tf.gather(tf.reshape(weight, [2]), 1), name="y")


@pytest.mark.slow
def test_a_graph_answers_refuses_ends_and_does_not_end(monkeypatch):
    model = _model(_counting, {"count": "count:0"}, ["y:0"], small_models.initial(weight=np.ones([2], np.float32)))
    monkeypatch.setattr(trial, "GRACE", 0.5)
    with trial.Trial(model, seconds=2) as guesses:
        assert guesses.refusal({"count": np.int32(6)}) is None
        assert "shape" in (guesses.refusal({"count": np.zeros([2], np.int32)}) or "")
        first = guesses._process.pid
        before = time.monotonic()
        assert "no answer after 2 seconds" in guesses.refusal({"count": np.int32(7)})
        assert time.monotonic() - before < 20
        # Another process goes on where that one was ended.
        assert guesses.refusal({"count": np.int32(6)}) is None and guesses._process.pid != first
        os.kill(guesses._process.pid, signal.SIGKILL)
        assert "SIGKILL" in guesses.refusal({"count": np.int32(6)})
        assert guesses.refusal({"count": np.int32(6)}) is None
        os.kill(guesses._process.pid, signal.SIGKILL)
        with pytest.raises(trial.GivenUp, match="SIGKILL"):
            guesses.refusal({"count": np.int32(6)})
        assert guesses._process is None


def test_a_graph_that_cannot_be_imported_gives_up_at_once():
    model = _model(_counting, {"count": "count:0"}, ["y:0"])
    broken = model.graph_def
    next(node for node in broken.node if node.name == "y").op = "NoSuchOp"
    with trial.Trial(model) as guesses, pytest.raises(trial.GivenUp, match="NoSuchOp"):
        guesses.refusal({"count": np.int32(6)})


def test_the_weights_of_a_checkpoint_are_restored_there(tmp_path):
    """The index that the graph computes is one of a table only with the checkpoint's own weights."""

    def build():
        at = v1.get_variable("at", [], tf.int32, v1.constant_initializer(3), use_resource=False)
        v1.placeholder(tf.float32, [None], "x")
        tf.gather(v1.get_default_graph().get_tensor_by_name("x:0"), tf.identity(at), name="y")

    prefix = small_models.checkpoint(tmp_path, build)
    with trial.Trial(_model(build, {"x": "x:0"}, ["y:0"], small_models.restored(prefix, "at"))) as guesses:
        assert guesses.refusal({"x": np.zeros([4], np.float32)}) is None
        assert guesses.refusal({"x": np.zeros([3], np.float32)}) is not None


def test_a_model_whose_first_values_never_end_has_a_sample(monkeypatch):
    """Whether the loop ends depends on a condition, and that on values."""
    monkeypatch.setattr(trial, "SECONDS", 2)
    with graphs.tensorflow_1() as graph:
        x, y = v1.placeholder(tf.float32, [40], "x"), v1.placeholder(tf.float32, [40], "y")
        # In [0, 1) no mean is below 0; with both signs one is.
        never = tf.while_loop(lambda n: tf.reduce_min(x) >= 0.0, lambda n: n + 1, [0])
        tf.add(tf.reduce_sum(x + y), tf.cast(never, tf.float32), name="z")
    asked = small_models.asked(graph, {"x": "x:0", "y": "y:0"}, {"z": "z:0"})
    recorded = sample.record(asked, "serving_default", small_models.initial(), FILES)
    assert recorded.inputs["x"].min() < 0 and recorded.origin == "generated"


def test_a_plain_model_starts_no_process(monkeypatch):
    def refuse(*args, **fields):
        raise AssertionError("a process was started")

    monkeypatch.setattr(trial.subprocess, "Popen", refuse)
    with graphs.tensorflow_1() as graph:
        tf.matmul(v1.placeholder(tf.float32, [None, 4], "x"), tf.ones([4, 2]), name="y")
    asked = small_models.asked(graph, {"x": "x:0"}, {"y": "y:0"})
    recorded = sample.record(asked, "serving_default", small_models.initial(), FILES)
    assert recorded.inputs["x"].shape == (examples.BATCH, 4)


def test_where_no_guess_fits_the_reason_is_that_of_the_first(monkeypatch):
    monkeypatch.setattr(trial.Trial, "refusal", lambda self, inputs: "another reason")
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [None, 4], "x")
        with tf.control_dependencies([v1.Assert(tf.reduce_all(x > 100.0), ["too small"])]):
            tf.identity(x, name="y")
    asked = small_models.asked(graph, {"x": "x:0"}, {"y": "y:0"})
    with pytest.raises(export_v1.ExportError, match="too small"):
        sample.record(asked, "serving_default", small_models.initial(), FILES)
