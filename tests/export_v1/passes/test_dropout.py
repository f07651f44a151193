import numpy as np
import pytest
import tensorflow as tf

from export_v1.passes import dropout, freeze, prune
from tests.support import graphs
from tests.support.graphs import v1

FLOAT = tf.float32.as_datatype_enum


def _of_1_12(x, keep_prob):
    """tf.nn.dropout as TensorFlow wrote it until 1.12."""
    uniform = tf.raw_ops.RandomUniform(shape=tf.shape(x), dtype=tf.float32)
    uniform = uniform * (tf.constant(1.0) - tf.constant(0.0)) + tf.constant(0.0)
    return tf.raw_ops.Mul(x=x / keep_prob, y=tf.floor(keep_prob + uniform))


def _of_1_15(x, keep_prob):
    """tf.nn.dropout as TensorFlow wrote it from 1.13 on."""
    rate = 1.0 - keep_prob
    uniform = tf.raw_ops.RandomUniform(shape=tf.shape(x), dtype=tf.float32)
    return tf.raw_ops.Mul(x=x * (1.0 / (1.0 - rate)), y=tf.cast(uniform >= rate, tf.float32))


def _folded(build, keep: float):
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        keep_prob = v1.placeholder(tf.float32, [], name="keep_prob")
        tf.identity(build(x, keep_prob), name="y")
    frozen = freeze.to_constants(graph.as_graph_def(), {"keep_prob:0": (FLOAT, keep)}).graph_def
    result = dropout.of_rate_zero(frozen)
    graph_def, count = result.graph_def, result.notes.folded
    return prune.to_outputs(graph_def, ["y"]).graph_def, count


@pytest.mark.parametrize("build", [_of_1_12, _of_1_15])
def test_a_dropout_that_keeps_everything_is_gone(build):
    graph_def, count = _folded(build, 1.0)
    assert count == 1
    assert "RandomUniform" not in graphs.kinds(graph_def)
    x = np.float32([[1, -2, 3]])
    np.testing.assert_array_equal(graphs.run(graph_def, "y:0", {"x:0": x}), x)


@pytest.mark.parametrize("build", [_of_1_12, _of_1_15])
def test_a_dropout_that_drops_stays(build):
    graph_def, count = _folded(build, 0.5)
    assert count == 0
    assert "RandomUniform" in graphs.kinds(graph_def)


def test_a_mask_of_another_shape_stays():
    def broadcast(x, keep_prob):
        uniform = tf.raw_ops.RandomUniform(shape=tf.constant([2, 1, 3]), dtype=tf.float32)
        return tf.raw_ops.Mul(x=x * keep_prob, y=tf.cast(uniform >= 1.0 - keep_prob, tf.float32))

    graph_def, count = _folded(broadcast, 1.0)
    assert count == 0
    assert graphs.run(graph_def, "y:0", {"x:0": np.ones([4, 3], "f")}).shape == (2, 4, 3)


def test_a_mask_of_the_training_batch_fits_any_batch():
    with graphs.tensorflow_1() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [4, 3], name="x")
        uniform = tf.random.uniform(tf.constant([4, 3]), seed=1)
        mask = tf.cast(uniform >= tf.constant(0.5), tf.float32)
        tf.multiply(x * (1.0 / (1.0 - 0.5)), mask, name="y")
        # Noise of that size is no mask of x.
        tf.add(tf.random.uniform(tf.constant([4, 3]), seed=2), x, name="noisy")
    made = dropout.of_any_batch(graph.as_graph_def(add_shapes=True)).graph_def
    nodes = {node.name: node for node in made.node}
    shapes = {nodes[node.input[0]].op for node in made.node if node.op == "RandomUniform"}
    assert shapes == {"Shape", "Const"}
    for node in made.node:
        node.attr.pop("_output_shapes", None)
    nodes["x"].attr["shape"].shape.dim[0].size = -1
    values = np.ones([7, 3], "float32")
    assert set(np.unique(graphs.run(made, "y:0", {"x:0": values}))) == {0, 2}
    four = np.ones([4, 3], "float32")
    before = graph.as_graph_def()
    np.testing.assert_array_equal(graphs.run(made, "y:0", {"x:0": four}), graphs.run(before, "y:0", {"x:0": four}))


def test_no_mask_is_looked_for_along_every_way_up():
    with graphs.tensorflow_1() as graph:
        x = tf.random.uniform(tf.constant([4]), seed=1)
        for _ in range(60):
            x = tf.raw_ops.Add(x=x, y=x)
        tf.multiply(x, tf.cast(x >= 0.5, tf.float32), name="y")
    # 2 ** 60 ways lead from y to the random numbers.
    assert dropout.of_any_batch(graph.as_graph_def(add_shapes=True)).graph_def.node


def test_a_mask_is_as_large_as_its_data_and_not_as_a_gradient():
    with graphs.tensorflow_1() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [4, 3], name="x")
        mask = tf.cast(tf.random.uniform(tf.constant([4, 3]), seed=1) >= tf.constant(0.5), tf.float32)
        dropped = tf.multiply(x, mask, name="y")
        tf.multiply(tf.square(dropped, name="gradient"), mask)
    made = {node.name: node for node in dropout.of_any_batch(graph.as_graph_def(add_shapes=True)).graph_def.node}
    uniform = next(node for node in made.values() if node.op == "RandomUniform")
    assert list(made[uniform.input[0]].input) == ["x"]
