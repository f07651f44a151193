"""What of a training cannot be carried over is named, and left behind where that is asked for."""

import numpy as np
import pytest
import tensorflow as tf

import export_v1
import load_v2
from export_v1 import ExportError
from export_v1.ir.graph import Index
from export_v1.model import Graph
from export_v1.training import leaving, step
from tests.support import graphs
from tests.support.trainings import loss

v1 = tf.compat.v1


def _weighted_by_python(x, y, answer):
    weights = v1.py_func(lambda labels: np.float32(1) + labels, [y], tf.float32, name="weigh")
    weights.set_shape([None, 2])
    return tf.reduce_mean(weights * tf.square(answer - y), name="loss"), ()


def _sampled(x, y, answer):
    classes = v1.get_variable("classes", [9, 2])
    true = tf.cast(tf.reshape(y[:, 0], [-1, 1]) > 0, tf.int64)
    losses = tf.nn.nce_loss(classes, tf.zeros([9]), true, answer, 4, 9)
    return tf.reduce_mean(losses, name="loss"), ()


def _with_a_queue(x, y, answer):
    queue = v1.FIFOQueue(9, [tf.float32], [[2]], name="memory")
    before = tf.reshape(queue.dequeue(name="recalled"), [1, 2])
    return tf.reduce_mean(tf.square(answer - y - before), name="loss"), (queue, tf.reduce_mean(answer, 0))


def _saved(build, tmp_path) -> dict:
    with graphs.tensorflow_1():
        x, y = v1.placeholder(tf.float32, [None, 3], "x"), v1.placeholder(tf.float32, [None, 2], "y")
        answer = tf.matmul(x, v1.get_variable("w", [3, 2]), name="answer")
        differentiated, filled = build(x, y, answer)
        train = v1.train.MomentumOptimizer(0.1, 0.9).minimize(differentiated)
        if filled:
            queue, value = filled
            with tf.control_dependencies([train]):
                tf.group(train, queue.enqueue(tf.identity(value)), name="step")
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            v1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    return {
        "checkpoint": str(tmp_path / "model.ckpt"),
        "export_dir": str(tmp_path / "1"),
        "inputs": {"x": "x:0"},
        "outputs": {"answer": "answer:0"},
        "labels": {"y": "y:0"},
        "resume": True,
    }


CASES = {
    "python": (_weighted_by_python, "calls Python, PyFunc 'weigh'", {"weigh": np.ones([4, 2], np.float32)}),
    "sampling": (_sampled, "LogUniformCandidateSampler", {}),
    "queues": (_with_a_queue, "fills queues from the forward pass", {"recalled": np.ones([2], np.float32)}),
}


@pytest.mark.parametrize("word", CASES)
def test_what_is_in_the_way_is_named_and_left_behind(word, tmp_path):
    build, named, fed = CASES[word]
    flags = _saved(build, tmp_path)
    with pytest.raises(ExportError) as caught:
        export_v1.export(**flags)
    assert named in str(caught.value) and f"Pass --leave_behind={word} to go on without" in str(caught.value)
    assert not (tmp_path / "1").exists()
    report = export_v1.export(leave_behind=[word], **flags)
    entry = report.record.resume
    assert list(entry.left_behind) == [word] and f"--leave_behind={word}" in report.text()
    assert list(entry.labels) == ["y", *fed] and entry.proof.startswith("equal")
    model = load_v2.resume(flags["export_dir"])
    rng = np.random.RandomState(0)
    batch = {"x": rng.randn(4, 3).astype("f"), "y": rng.randn(4, 2).astype("f"), **fed}
    before = np.asarray(model.by_name["w"])
    assert np.isfinite(loss(model, batch))
    assert not np.allclose(before, np.asarray(model.by_name["w"]))


def test_what_python_computed_is_fed(tmp_path):
    flags = _saved(_weighted_by_python, tmp_path)
    export_v1.export(leave_behind=["python"], **flags)
    model = load_v2.resume(flags["export_dir"])
    rng = np.random.RandomState(0)
    x, y, weights = rng.randn(4, 3).astype("f"), rng.randn(4, 2).astype("f"), rng.rand(4, 2).astype("f")
    want = np.mean(weights * np.square(x @ np.asarray(model.by_name["w"]) - y))
    np.testing.assert_allclose(loss(model, {"x": x, "y": y, "weigh": weights}), want, rtol=1e-5)


def test_what_comes_before_a_given_label_is_in_nobodys_way(tmp_path):
    flags = _saved(_weighted_by_python, tmp_path)
    report = export_v1.export(**{**flags, "labels": {"y": "y:0", "weigh": "weigh:0"}})
    assert not report.record.resume.left_behind and list(report.record.resume.labels) == ["y", "weigh"]


def _obstacles(build) -> dict[str, tuple[str, ...]]:
    """Returns the tensors of each obstacle by its word, where build(x, w) returns a loss and what the step runs last."""
    with graphs.tensorflow_1() as graph:
        x, w = v1.placeholder(tf.float32, [None, 3], "x"), v1.get_variable("w", [3, 2])
        differentiated, last = build(x, w)
        train = v1.train.GradientDescentOptimizer(0.1).minimize(differentiated)
        with tf.control_dependencies([train]):
            tf.group(train, *last(), name="step")
        graph_def = graph.as_graph_def(add_shapes=True)
    found = step.find(Graph(graph_def, {"w": True}), None, (), "graph g")
    return {one.word: one.tensors for one in leaving.of(Index(graph_def), found, found.losses, ["x:0"])}


def _from_python_of_python(x, w):
    inner = v1.py_func(np.float32, [x], tf.float32, name="inner")
    waited_for = v1.py_func(np.float32, [x], tf.float32, name="waited_for")
    outer = v1.py_func(np.float32, [inner], tf.float32, name="outer")
    with tf.control_dependencies([waited_for]):
        return tf.reduce_mean(tf.matmul(x, w)[:, 0] * tf.reshape(outer, [-1])[0]), list


def _from_two_queues(x, w):
    filled, other = (v1.FIFOQueue(9, [tf.float32], [[2]], name=name) for name in ("filled", "other"))
    answer = tf.matmul(x, w)
    loss = tf.reduce_mean(tf.square(answer - filled.dequeue(name="recalled") - other.dequeue(name="read")))
    return loss, lambda: [filled.enqueue(tf.reduce_mean(answer, 0))]


def _from_a_stage(x, w):
    answer = tf.matmul(x, w)
    (recalled,) = tf.raw_ops.Unstage(dtypes=[tf.float32], shared_name="area", name="recalled")
    tf.raw_ops.Unstage(dtypes=[tf.float32], shared_name="other", name="read")
    loss = tf.reduce_mean(tf.square(answer - tf.reshape(recalled, [1, 2])))
    return loss, lambda: [tf.raw_ops.Stage(values=[tf.reduce_mean(answer, 0)], shared_name="area")]


@pytest.mark.parametrize(
    ("build", "word", "tensors"),
    [
        (_from_python_of_python, "python", ("outer:0",)),
        (_from_two_queues, "queues", ("recalled:0",)),
        (_from_a_stage, "queues", ("recalled:0",)),
    ],
)
def test_what_is_fed_in_place_is_what_the_loss_reads(build, word, tensors):
    assert _obstacles(build)[word] == tensors


def test_the_flag_that_is_offered_has_what_was_left_already():
    standing = [leaving.Obstacle("python", "the loss calls Python"), leaving.Obstacle("queues", "it fills queues")]
    with pytest.raises(ExportError, match="Pass --leave_behind=sampling,queues,python to go on"):
        leaving.refuse(standing, ["sampling", "queues"], "graph g")


def _out_of_one_gradient(x, y, answer):
    return tf.reduce_mean(tf.square(answer - y), name="loss"), ()


def test_without_its_optimizer_a_training_waits_for_one(tmp_path):
    flags = _saved(_out_of_one_gradient, tmp_path)
    report = export_v1.export(leave_behind=["optimizer"], **flags)
    assert "update" not in report.record.signatures and report.record.resume.recorded
    assert "all but the optimizer, which was left behind" in report.text()
    assert load_v2.verify(flags["export_dir"]).equal
    model = load_v2.resume(flags["export_dir"])
    batch = {"x": np.ones([4, 3], "f"), "y": np.ones([4, 2], "f")}
    with pytest.raises(ValueError, match="compile"):
        model.train_on_batch(batch)
    model.compile(tf.keras.optimizers.SGD(0.1))
    before = np.asarray(model.by_name["w"])
    loss(model, batch)
    gradient = batch["x"].T @ (batch["x"] @ before - batch["y"]) * 2 / 8
    np.testing.assert_allclose(np.asarray(model.by_name["w"]), before - 0.1 * gradient, rtol=1e-5, atol=1e-6)


def test_words_that_mean_nothing_are_refused(tmp_path):
    flags = _saved(_out_of_one_gradient, tmp_path)
    with pytest.raises(ExportError, match=r"'queue' is not in the values of --leave_behind"):
        export_v1.export(leave_behind=["queue"], **flags)
    with pytest.raises(ExportError, match="--leave_behind goes with --resume"):
        export_v1.export(**{**flags, "labels": {}, "resume": False}, leave_behind=["queues"])
