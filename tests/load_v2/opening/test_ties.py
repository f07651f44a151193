"""Variables that a graph reads in several forms: trained as TensorFlow trains the graph itself."""

import dataclasses
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import export_v1
from load_v2.opening import backends, rebuilding
from tests.support import small_models
from tests.support.rebuilding import numbers, placeholder

v1 = tf.compat.v1
IDS = np.int32([[0, 0, 1, 2, 3], [0, 4, 5, 6, 7], [8, 8, 1, 2, 2]])


def _weight(name, *shape, seed=1):
    return v1.get_variable(name, initializer=0.5 * numbers(*shape, seed=seed), use_resource=True)


def _encoder_and_decoder():
    x, w = placeholder("x", [None, 6]), _weight("encoder/w", 6, 3)
    h = tf.tanh(x @ w + _weight("encoder/b", 3, seed=2))
    return {x: numbers(4, 6)}, tf.nn.sigmoid(tf.matmul(h, w, transpose_b=True) + _weight("decoder/b", 6, seed=3))


def _first_row_of_zeros():
    x, table = placeholder("x", [None, 5], "int32"), _weight("table", 9, 4)
    table = tf.concat([tf.zeros([1, 4]), table[1:]], 0)
    h = tf.reduce_mean(tf.nn.relu(tf.nn.embedding_lookup(table, x) * 2.0), 1)
    return {x: IDS}, tf.matmul(h, tf.transpose(table))


def _zeros_before_a_table():
    x = placeholder("x", [None, 5], "int32")
    table = tf.concat([tf.zeros([2, 4]), 3.0 * _weight("table", 7, 4)], 0)
    h = tf.nn.embedding_lookup(table, x)
    return {x: IDS}, tf.tensordot(tf.tanh(h), table, [[2], [1]])


def _shares_of_rows():
    x, table = placeholder("x", [None, 5], "int32"), tf.concat([tf.zeros([2, 4]), 0.5 * _weight("table", 7, 4)[1:]], 0)
    shares = tf.nn.softmax(tf.matmul(tf.reduce_sum(tf.nn.embedding_lookup(table, x), 1), _weight("w", 4, 8, seed=3)))
    return {x: np.minimum(IDS, 7)}, shares @ table


def _scaled_table_and_its_transpose():
    x, table = placeholder("x", [None, 5], "int32"), _weight("table", 9, 4)
    h = tf.nn.embedding_lookup(table * 2.0, x) + _weight("places", 5, 4, seed=2)
    return {x: IDS}, tf.tensordot(h, tf.transpose(table), 1) + _weight("bias", 9, seed=3)


def _two_biases():
    x, y, w = placeholder("x", [None, 4]), placeholder("y", [None, 4]), _weight("w", 4, 3)
    first = tf.nn.relu(x @ w + _weight("b1", 3, seed=2))
    return {x: numbers(4, 4), y: numbers(4, 4, seed=5)}, first + tf.tanh(y @ w + _weight("b2", 3, seed=3))


def _half_of_it():
    x, w = placeholder("x", [None, 4]), _weight("w", 4, 4)
    return {x: numbers(4, 4)}, tf.tanh(x @ w) @ (0.5 * w)


def _equalized():
    x, w = placeholder("x", [None, 8, 8, 2]), _weight("w", 3, 3, 2, 4)
    h = tf.nn.relu(tf.nn.conv2d(x, w / 4.0, 1, "SAME") + _weight("b", 4, seed=2))
    return {x: numbers(2, 8, 8, 2)}, tf.reduce_mean(h, [1, 2]) @ tf.reshape(0.3 * _weight("head", 8, seed=3), [4, 2])


def _dilated():
    x, w = placeholder("x", [None, 8, 8, 2]), 0.2 * _weight("w", 3, 3, 2, 4)
    h = sum(tf.nn.relu(tf.nn.conv2d(x, w, 1, "SAME", dilations=[rate, rate])) for rate in (1, 2))
    return {x: numbers(2, 8, 8, 2)}, tf.reduce_mean(h, [1, 2]) @ _weight("head", 4, 2, seed=3)


def _by_its_norm():
    x, w = placeholder("x", [None, 4]), _weight("w", 4, 3)
    return {x: numbers(4, 4)}, (x @ w) / tf.norm(w, axis=0)


def _parts():
    x, w = placeholder("x", [None, 4]), _weight("w", 4, 6)
    return {x: numbers(4, 4)}, tf.tanh(x @ w[:, :3]) * tf.sigmoid(x @ w[:, 3:])


def _parts_that_overlap():
    x, w = placeholder("x", [None, 4]), _weight("w", 4, 6)
    return {x: numbers(4, 4)}, tf.tanh(x @ w[:, :4]) * tf.sigmoid(x @ w[:, 2:])


def _the_same_both_ways():
    x, half = placeholder("x", [None, 4]), 0.5 * numbers(4, 4, seed=1)
    w = v1.get_variable("w", initializer=half + half.T, use_resource=True)
    return {x: numbers(3, 4)}, tf.tanh(x @ w) @ tf.transpose(w)


def _the_same_both_ways_by_its_norm():
    x, half = placeholder("x", [None, 4]), 0.5 * numbers(4, 4, seed=1)
    w = v1.get_variable("w", initializer=half + half.T, use_resource=True)
    return {x: numbers(3, 4)}, tf.tanh(x @ w) / tf.norm(w, axis=0)


def _transposed_by_its_norm():
    x, w = placeholder("x", [None, 4]), _weight("w", 3, 4)
    return {x: numbers(4, 4)}, tf.matmul(x, w, transpose_b=True) / tf.norm(w, axis=1)


# What builds it -> the layers that have weights.
CASES = {
    _encoder_and_decoder: {"Tied": 1, "Parameter": 1},
    _first_row_of_zeros: {"ReversibleEmbedding": 1},
    _zeros_before_a_table: {"ReversibleEmbedding": 1},
    _shares_of_rows: {"Tied": 1, "Dense": 1},
    _scaled_table_and_its_transpose: {"ReversibleEmbedding": 1, "Embedding": 1, "Parameter": 1},
    _two_biases: {"Dense": 1, "Parameter": 2},
    _half_of_it: {"Dense": 1},
    _equalized: {"Conv2D": 1, "Dense": 1},
    _dilated: {"Tied": 1, "Dense": 1},
    _by_its_norm: {"Tied": 1},
    _parts: {"Dense": 2},
    _parts_that_overlap: {"Parameter": 1},
    _the_same_both_ways: {"Parameter": 1},
    _the_same_both_ways_by_its_norm: {"Parameter": 1},
    _transposed_by_its_norm: {"Tied": 1},
}


@dataclasses.dataclass(frozen=True)
class Trained:
    """A graph that raw TensorFlow has trained for four steps, and the plan of its model."""

    plan: rebuilding.Plan
    given: dict[str, np.ndarray]
    target: np.ndarray
    losses: list[float]
    after: np.ndarray


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    known = {}

    def make(build) -> Trained:
        if build not in known:
            known[build] = _trained(build, tmp_path_factory.mktemp("tied"))
        return known[build]

    return make


def _trained(build, folder) -> Trained:
    with tf.Graph().as_default(), v1.Session() as session:
        feeds, output = build()
        output = tf.identity(output, "output")
        session.run(v1.global_variables_initializer())
        checkpoint = v1.train.Saver().save(session, str(folder / "model.ckpt"))
        target = numbers(*session.run(output, feeds).shape, seed=9)
        loss = tf.reduce_mean(tf.square(output - target))
        step = v1.train.GradientDescentOptimizer(0.1).minimize(loss)
        losses = [session.run([loss, step], feeds)[0] for _ in range(4)]
        after = session.run(output, feeds)
    given = {tensor.op.name: value for tensor, value in feeds.items()}
    np.savez(folder / "sample.npz", **{f"in/{key}": value for key, value in given.items()})
    ends = {"inputs": {key: f"{key}:0" for key in given}, "outputs": {"output": "output:0"}}
    export_v1.export(checkpoint=checkpoint, export_dir=str(folder / "1"), sample=str(folder / "sample.npz"), **ends)
    return Trained(rebuilding.plan(folder / "1"), given, target, losses, after)


@pytest.mark.parametrize("build", CASES, ids=lambda build: build.__name__.strip("_"))
def test_it_is_trained_as_the_graph_is(build, trained):
    made = trained(build)
    plan = made.plan
    with_weights = [layer.kind for layer in plan.layers if layer.weights]
    assert {kind: with_weights.count(kind) for kind in with_weights} == CASES[build], plan.source
    assert not [note for note in plan.notes if "training" in note and "change" in note]
    keras.backend.clear_session()
    model = rebuilding.execute(plan.source)
    rebuilding.fill(model, plan.layers)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    have = []
    for _ in range(4):
        model.reset_metrics()
        have.append(float(model.train_on_batch(made.given, made.target)))
    np.testing.assert_allclose(have, made.losses, rtol=1e-5)
    np.testing.assert_allclose(model.predict_on_batch(made.given), made.after, rtol=1e-4, atol=1e-5)


# Trains each model, as it was written and as an archive has it, whose weights are those that the first began with.
_TRAINS = """
import runpy, sys
import numpy as np
import keras
for number in range(int(sys.argv[1])):
    data = dict(np.load(f"{number}.npz"))
    given = {key[3:]: keras.ops.convert_to_tensor(value) for key, value in data.items() if key.startswith("in/")}
    code = runpy.run_path(f"{number}.py")
    first = code["build"]()
    first.load_weights(f"{number}.weights.h5")
    first.save("model.keras")
    for model in (first, keras.saving.load_model("model.keras", safe_mode=True)):
        model.compile(keras.optimizers.SGD(0.1), "mse")
        have = []
        for _ in range(4):
            model.reset_metrics()
            have.append(float(model.train_on_batch(given, data["target"])))
        np.testing.assert_allclose(have, data["losses"], rtol=1e-4, err_msg=str(data["name"]))
        after = keras.ops.convert_to_numpy(model(given, training=False))
        np.testing.assert_allclose(after, data["after"], rtol=1e-3, atol=1e-4, err_msg=str(data["name"]))
print("DONE")
"""


@pytest.mark.parametrize("backend", backends.KNOWN)
def test_it_is_trained_so_on_each_backend_and_out_of_an_archive(backend, trained, tmp_path):
    if backend not in backends.installed():
        pytest.skip(f"{backend} is not installed")
    for number, build in enumerate(CASES):
        made = trained(build)
        keras.backend.clear_session()
        model = rebuilding.execute(made.plan.source)
        rebuilding.fill(model, made.plan.layers)
        rebuilding.write(made.plan.source, model, tmp_path / f"{number}.py", tmp_path / f"{number}.weights.h5")
        given = {f"in/{key}": value for key, value in made.given.items()}
        results = {"target": made.target, "losses": made.losses, "after": made.after, "name": build.__name__}
        np.savez(tmp_path / f"{number}.npz", **given, **results)
    env = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", _TRAINS, str(len(CASES))], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert "DONE" in done.stdout, done.stderr[-3000:]


def test_weights_with_the_same_numbers_stay_two(tmp_path):
    """As biases that begin with zeros do: training parts them."""

    def build() -> None:
        a, b = (v1.get_variable(name, initializer=np.full([4], 0.25, np.float32), use_resource=True) for name in "ab")

        def step(at, h):
            return at + 1, tf.maximum(h, a * 2.0) - tf.minimum(h, b * 2.0)

        tf.identity(tf.while_loop(lambda at, h: at < 3, step, [0, placeholder("x", [None, 4])])[1], "y")

    (tmp_path / "model").mkdir()
    checkpoint = small_models.checkpoint(tmp_path / "model", build)
    export_v1.export(checkpoint=checkpoint, export_dir=str(tmp_path / "1"), inputs={"x": "x:0"}, outputs={"y": "y:0"})
    plan = rebuilding.plan(tmp_path / "1")
    assert plan.source.count("add_weight(") == 2, plan.source
