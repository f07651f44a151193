"""verify replays the recorded step of a training: its loss, its gradients and its update."""

import dataclasses
import os

import numpy as np
import pytest
import tensorflow as tf

import export_v1
import load_v2
from export_v1 import ExportError
from export_v1.format import training_sample
from tests.support import graphs
from tests.support.trainings import Training

v1 = tf.compat.v1

# A Keras optimizer, TensorFlow 1's own on rows, moving averages of weights and of batch norm.
NAMES = ["train_adam", "train_rows_partitioned", "train_adam_ema", "train_batch_norm_ema"]


@pytest.mark.parametrize("name", NAMES)
def test_a_training_is_replayed(name, exports):
    report = load_v2.verify(exports(name))
    lines = [line for line in report.lines() if line.startswith("training, ")]
    assert report.equal and len(lines) == 3
    assert "gradients: equal" in lines[1] and "variables after the step: equal" in lines[2]


@pytest.fixture
def changed(exports):
    """Returns a function that changes the recorded step of an export, until the test ends."""
    file = os.path.join(exports("train_adam"), training_sample.PATH)
    with open(file, "rb") as stream:
        content = stream.read()
    step = training_sample.read(file, ExportError, "")

    def change(**sides):
        training_sample.write(
            dataclasses.replace(step, **{key: side(getattr(step, key)) for key, side in sides.items()}), file
        )
        return load_v2.verify(exports("train_adam"))

    yield change
    with open(file, "wb") as stream:
        stream.write(content)


def _one_off(values, name):
    return {**values, name: values[name] * np.float32(1.001)}


def test_what_differs_is_named(changed):
    for sides, named in (
        ({"losses": lambda values: _one_off(values, "loss")}, "training, loss: DIFFERENT"),
        ({"gradients": lambda values: _one_off(values, "net/d0/kernel")}, "gradient of 'net/d0/kernel': DIFFERENT"),
        (
            {"after": lambda values: _one_off(values, "net/d0/kernel")},
            "variable 'net/d0/kernel' after the step: DIFFERENT",
        ),
        ({"gradients": lambda values: {}}, "gradient of 'net/d0/kernel': DIFFERENT"),
    ):
        report = changed(**sides)
        assert not report.equal and any(named in line for line in report.lines()), report.lines()
        # One line stands for all that are equal, and for none that differs.
        assert not any("gradients: equal" in line for line in report.lines()) or "gradients" not in sides


def test_what_was_not_recorded_is_not_proven(changed):
    lines = changed(after=lambda values: {}).lines()
    assert "training, variables after the step: not proven, the original's were not recorded" in lines


def test_without_its_optimizer_the_losses_are_replayed(tmp_path):
    export_v1.export(export_dir=str(tmp_path / "1"), **Training("train_adam").flags(leave_behind=["optimizer"]))
    lines = load_v2.verify(tmp_path / "1").lines()
    assert "training, gradients and update: not proven, the optimizer was left behind" in lines
    assert any(line.startswith("training, loss: equal") for line in lines)


def test_a_recorded_step_that_is_gone_is_different(exports, tmp_path):
    path = exports("train_adam")
    file = os.path.join(path, training_sample.PATH)
    os.rename(file, tmp_path / "kept")
    try:
        report = load_v2.verify(path)
    finally:
        os.rename(tmp_path / "kept", file)
    assert not report.equal and any(line.startswith("training: DIFFERENT") for line in report.lines())


def test_without_a_sample_a_training_is_not_proven(tmp_path):
    export_v1.export(export_dir=str(tmp_path / "1"), **Training("train_adam").flags(no_sample=True))
    assert any("training: not proven, --no_sample" in line for line in load_v2.verify(tmp_path / "1").lines())


def test_a_large_variable_is_compared_by_what_was_kept_of_it(tmp_path):
    with graphs.tensorflow_1():
        x = v1.placeholder(tf.float32, [None, 40], "x")
        answer = tf.matmul(x, v1.get_variable("w", [40, 30]), name="answer")
        v1.train.GradientDescentOptimizer(0.1).minimize(tf.reduce_mean(tf.square(answer), name="loss"))
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            v1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    ends = {"inputs": {"x": "x:0"}, "outputs": {"answer": "answer:0"}}
    export_v1.export(checkpoint=str(tmp_path / "model.ckpt"), export_dir=str(tmp_path / "1"), resume=True, **ends)
    step = training_sample.read(str(tmp_path / "1" / training_sample.PATH), ExportError, "")
    assert step.after["w"].shape == (1000,) and load_v2.verify(tmp_path / "1").equal
