"""Layer norms written out, as TensorFlow runs a graph: with oneDNN it makes one op of them."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1.passes import layer_norms, static_shapes
from tests.support import control_flow, node_defs

SHAPES = [(3, 8), (2, 3, 8)]
EPSILON = 1e-5
RANDOM = np.random.default_rng(0)
GAIN, BIAS = (RANDOM.random(8).astype(np.float32) for _ in range(2))


def _moments(x):
    return tf.nn.moments(x, [len(x.shape) - 1], keepdims=True)


def _divided(x, gain, bias):
    mean, variance = _moments(x)
    return (x - mean) / tf.sqrt(variance + EPSILON) * gain + bias


def _multiplied(x, gain, bias):
    mean, variance = _moments(x)
    return gain * ((x - mean) * tf.math.rsqrt(variance + EPSILON)) + bias


def _without_a_stop(x, gain, bias):
    mean = tf.reduce_mean(x, len(x.shape) - 1, keepdims=True)
    variance = tf.reduce_mean(tf.math.squared_difference(x, mean), len(x.shape) - 1, keepdims=True)
    return (x - mean) / (variance + EPSILON) ** 0.5 * gain + bias


def _by_its_own_function(x, gain, bias):
    """As `tf.contrib.layers.layer_norm` has it; TensorFlow takes it for a norm where its weights are frozen."""
    return tf.nn.batch_normalization(x, *_moments(x), bias, gain, EPSILON)


NORMS = [_divided, _multiplied, _without_a_stop, _by_its_own_function]


def _graph(norm, rank):
    def make():
        x = tf.identity(tf.compat.v1.placeholder(tf.float32, [None] * (rank - 1) + [8], "x"))
        tf.identity(norm(x, tf.convert_to_tensor(GAIN), tf.convert_to_tensor(BIAS)), name="y")

    return node_defs.built(make)


def _answer(graph_def, feeds):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.graph_util.import_graph_def(graph_def, name="")
        return session.run("y:0", feeds)


def _normalized(x):
    deviation = x - x.mean(-1, keepdims=True, dtype=np.float64)
    return deviation / np.sqrt((deviation**2).mean(-1, keepdims=True) + EPSILON) * GAIN + BIAS


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("norm", NORMS)
def test_a_norm_of_small_variance_keeps_its_epsilon(norm, shape):
    graph_def = _graph(norm, len(shape))
    before = graph_def.SerializeToString()
    made = layer_norms.from_the_end(graph_def).graph_def
    assert graph_def.SerializeToString() == before
    x = (RANDOM.normal(size=shape) * 0.01).astype(np.float32)
    np.testing.assert_allclose(_answer(made, {"x:0": x}), _normalized(x), rtol=1e-4, atol=1e-5)
    assert len(made.node) == len(graph_def.node) + 1


def test_recorded_shapes_are_as_good(monkeypatch):
    def make():
        mean, _ = _moments(tf.ensure_shape(tf.compat.v1.placeholder(tf.float32, None, "x"), [None, 8]))
        tf.identity(mean, name="y")

    graph_def = node_defs.built(make)
    shape = tf.TensorShape([None, 8]).as_proto()
    node_defs.find(graph_def, "EnsureShape").attr["_output_shapes"].list.shape.append(shape)
    monkeypatch.setattr(static_shapes, "inferred", lambda graph_def: pytest.fail("nobody has to infer them"))
    assert len(layer_norms.from_the_end(graph_def).graph_def.node) == len(graph_def.node) + 1


def _over(axes, rank=3, keep=True):
    def make():
        x = tf.compat.v1.placeholder(tf.float32, None if rank is None else [4] * rank, "x")
        mean = tf.reduce_mean(x, axes, keepdims=keep)
        tf.identity(tf.math.squared_difference(x, mean), name="y")

    return node_defs.built(make)


@pytest.mark.parametrize(
    "graph_def",
    [_over([1]), _over([0], 1), _over([1, 2]), _over([-1]), _over([3], 4), _over([2], keep=False), _over([2], None)],
    ids=["axis before", "rank 1", "two axes", "from the end", "rank 4", "axis lost", "rank unknown"],
)
def test_other_means_stay(graph_def):
    assert layer_norms.from_the_end(graph_def).graph_def is graph_def


def test_the_axis_of_a_norm_in_a_loop_is_of_the_loop_too():
    with control_flow.graph() as loop:
        x = tf.compat.v1.placeholder(tf.float32, [3, 8], "x")
        condition, body = lambda turn, x: turn < 2, lambda turn, x: (turn + 1, _divided(x, GAIN, BIAS))
        tf.identity(tf.compat.v1.while_loop(condition, body, [0, x])[1], name="y")
    made = layer_norms.from_the_end(loop.as_graph_def(add_shapes=True)).graph_def
    last = next(node for node in made.node if node.name.endswith("last_axis"))
    assert [edge for edge in last.input if edge.startswith("^")]
    x = (RANDOM.normal(size=(3, 8)) * 0.01).astype(np.float32)
    np.testing.assert_allclose(_answer(made, {"x:0": x}), _normalized(_normalized(x)), rtol=1e-4, atol=1e-5)
