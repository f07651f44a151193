"""Outputs whose kernels have changed since TensorFlow 1 are not called equal, whatever the proof finds."""

import numpy as np
import pytest
import tensorflow as tf

import export_v1
import load_v2
from export_v1.analysis import changed_kernels
from export_v1.format.comparison import Verdict
from tests.support import graphs, small_models
from tests.support.graphs import v1


def _boxes(scores, sigma):
    corners = np.float32([[0, 0, 1, 1], [0, 0, 1, 0.9], [0, 0, 0.5, 0.5]])
    found = tf.raw_ops.NonMaxSuppressionV5(
        boxes=corners, scores=scores, max_output_size=3, iou_threshold=0.5, score_threshold=0.1, soft_nms_sigma=sigma
    )
    return tf.identity(found.selected_scores)


def _model(sigma) -> None:
    scores = v1.get_variable("w", initializer=tf.constant(1.0)) * v1.placeholder(tf.float32, [3], "x")
    tf.identity(_boxes(scores, sigma), "boxes")
    tf.identity(scores * 2.0, "scores")


def _unproven(build) -> list[str]:
    with graphs.tensorflow_1() as graph:
        build()
    return sorted(changed_kernels.unproven(graph.as_graph_def(), {"boxes": "boxes:0", "scores": "scores:0"}))


@pytest.mark.parametrize(("sigma", "unproven"), [(0.0, []), (0.5, ["boxes"])])
def test_scores_that_decay_are_not_what_tensorflow_1_gave(sigma, unproven):
    assert _unproven(lambda: _model(sigma)) == unproven
    assert _unproven(lambda: _model(v1.placeholder_with_default(tf.constant(sigma), []))) == ["boxes"]


@pytest.mark.parametrize(("sigma", "unproven"), [(0.0, []), (0.5, ["boxes"])])
def test_what_a_function_computes_counts(sigma, unproven):
    @tf.function
    def inner(scores):
        return _boxes(scores, sigma)

    @tf.function
    def outer(scores):
        return inner(scores) * 1.0

    def build() -> None:
        x = v1.placeholder(tf.float32, [3], "x")
        tf.identity(outer(x), "boxes")
        tf.identity(x, "scores")

    assert _unproven(build) == unproven


def test_an_export_says_so(tmp_path):
    (tmp_path / "model").mkdir()
    flags = {"inputs": {"x": "x:0"}, "outputs": {"boxes": "boxes:0", "scores": "scores:0"}}
    report = export_v1.export(
        checkpoint=small_models.checkpoint(tmp_path / "model", lambda: _model(0.5)),
        export_dir=str(tmp_path / "out"),
        **flags,
    )
    assert "NonMaxSuppressionV5" in report.text() and "TensorFlow 2 than in 1.15" in report.text()
    verified = {output.key: output.verdict for output in load_v2.verify(str(tmp_path / "out")).outputs}
    assert verified == {"boxes": Verdict.NOT_PROVEN, "scores": Verdict.EQUAL}
