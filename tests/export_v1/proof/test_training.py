"""The gradients of an exported training are the original's, or it is not exported."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import export_v1
import load_v2
from export_v1 import ExportError
from export_v1.planning import variant
from export_v1.proof import memory
from export_v1.training import gradients
from tests.support import graphs
from tests.support.trainings import Training

v1 = tf.compat.v1


@pytest.mark.parametrize("name", ["train_adam", "train_rows_partitioned", "train_rmsprop_rnn_clipped", "train_towers"])
def test_loss_and_gradients_are_proven(name, tmp_path):
    report = export_v1.export(export_dir=str(tmp_path / "1"), **Training(name).flags())
    assert report.record.resume.proof == "equal"
    assert f"{len(report.record.resume.gradients)} gradients against the original's: equal" in report.text()
    assert report.record.resume.recorded


def test_gradients_of_the_wrong_variables_stop_the_export(tmp_path, monkeypatch):
    found = gradients.of

    def swapped(*args):
        one, *others, last = sorted(found(*args), key=lambda gradient: gradient.variable)
        two = [gradient for gradient in others if gradient.variable == "net/d1/kernel"]
        del last
        # Two kernels of one shape: nothing but their values tells that they were swapped.
        (first,) = [gradient for gradient in (one, *others) if gradient.variable == "net/d0/kernel"]
        rest = [gradient for gradient in found(*args) if gradient not in (first, *two)]
        return (
            dataclasses.replace(first, values=two[0].values),
            dataclasses.replace(two[0], values=first.values),
            *rest,
        )

    monkeypatch.setattr(gradients, "of", swapped)
    case = Training("train_nesterov_decay_piecewise")
    with pytest.raises(ExportError, match="(?s)does not differentiate as the original does.*gradient of 'net/d"):
        export_v1.export(export_dir=str(tmp_path / "1"), **case.flags())
    assert not list(tmp_path.iterdir())


def _with_another_rate(graph_def):
    for node in graph_def.node:
        if node.name.endswith("Adam/beta1"):
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.float32(0.8)))
            yield node.name


def test_another_update_stops_the_export(tmp_path, monkeypatch):
    transformed, changed = variant.transformed, []

    def tampered(planned, files):
        made = transformed(planned, files)
        changed.extend(_with_another_rate(made.graph_def))
        return made

    monkeypatch.setattr(variant, "transformed", tampered)
    with pytest.raises(
        ExportError, match="(?s)does not update its variables as the original does.*after a step: DIFFERENT"
    ):
        export_v1.export(export_dir=str(tmp_path / "1"), **Training("train_adam").flags())
    assert changed and not list(tmp_path.iterdir())


def _dropping(tmp_path, drops_in_a_loop: bool) -> dict:
    with graphs.tensorflow_1():
        x, y = v1.placeholder(tf.float32, [None, 4], "x"), v1.placeholder(tf.float32, [None, 3], "y")
        hidden = tf.matmul(x, v1.get_variable("w", [4, 3]), name="answer")

        def dropped(value):
            return v1.nn.dropout(value, keep_prob=0.5)

        if drops_in_a_loop:
            _, out = v1.while_loop(lambda at, _: at < 2, lambda at, value: (at + 1, dropped(value)), [0, hidden])
        else:
            out = dropped(hidden)
        step = v1.train.get_or_create_global_step()
        v1.train.AdamOptimizer(0.1).minimize(tf.reduce_mean(tf.square(out - y), name="loss"), step)
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            v1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    ends = {"inputs": {"x": "x:0"}, "outputs": {"answer": "answer:0"}, "labels": {"y": "y:0"}}
    return {"checkpoint": str(tmp_path / "model.ckpt"), "resume": True, **ends}


@pytest.mark.parametrize("drops_in_a_loop", [False, True])
def test_dropout_is_held_for_the_proof(drops_in_a_loop, tmp_path):
    report = export_v1.export(export_dir=str(tmp_path / "1"), **_dropping(tmp_path, drops_in_a_loop))
    assert report.record.resume.random and "draws random numbers" in report.text()
    assert report.record.resume.proof == "equal, with its random numbers held fixed"
    assert load_v2.verify(tmp_path / "1").equal


def test_without_a_sample_nothing_is_called_proven(tmp_path):
    report = export_v1.export(export_dir=str(tmp_path / "1"), **Training("train_adam").flags(no_sample=True))
    assert report.record.resume.proof.startswith("not proven: --no_sample")


def test_a_gradient_that_is_rounding_noise_is_named(tmp_path):
    # The bias before a batch norm that is written out has none but that.
    report = export_v1.export(export_dir=str(tmp_path / "1"), **Training("train_batch_norm_ema").flags())
    assert report.record.resume.proof.startswith("equal")


@pytest.mark.parametrize(
    ("room", "proof"),
    [
        # The model fits, with its slots twice, but no gradients beside it.
        (2100, "not proven: the variables take "),
        # Those fit, but not the variables after each of several steps.
        (4000, "equal, all but the update: the variables take "),
        (2**20, "equal"),
    ],
)
def test_a_step_that_does_not_fit_into_memory_is_not_made(room, proof, tmp_path, monkeypatch):
    enough = 512 * 2**20
    monkeypatch.setattr(memory, "free", lambda: enough + room)
    report = export_v1.export(export_dir=str(tmp_path / "1"), **Training("train_adam").flags())
    found = report.record.resume.proof
    assert report.record.sample is not None and found.startswith(proof) and (room == 2**20) == (found == "equal")
