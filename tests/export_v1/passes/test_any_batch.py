"""Shapes that hold the size of the training batch, in graphs that TensorFlow recorded shapes of."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1.ir.graph import GraphDef, Index, Tensor
from export_v1.passes import any_batch, dropout
from tests.support import graphs
from tests.support.graphs import v1


def _recorded(build, shape=(8, 6)) -> GraphDef:
    """Returns a graph with the shapes that a Saver's MetaGraphDef has; only x is open afterwards."""
    with graphs.tensorflow_1() as graph:
        tf.identity(build(v1.placeholder(tf.float32, shape, name="x")), name="y")
    graph_def = graph.as_graph_def(add_shapes=True)
    for node in graph_def.node:
        if node.name == "x":
            del node.attr["_output_shapes"]
            node.attr["shape"].shape.CopyFrom(tf.TensorShape([None, *shape[1:]]).as_proto())
    return graph_def


OPENED = {
    "the batch": lambda x: tf.reshape(x, [8, 2, 3]),
    "rows of rows and back": lambda x: tf.reshape(tf.tanh(tf.reshape(tf.exp(x), [16, 3])), [8, 6]),
}
KEPT = {
    "a time as long as a batch": lambda x: tf.reshape(tf.transpose(tf.exp(x)), [8, 6]),
    "parts of rows": lambda x: tf.reshape(tf.exp(x), [12, 4]),
    "along time": lambda x: tf.reshape(tf.transpose(tf.exp(x)), [6, 8]),
    "an inferred size": lambda x: tf.reshape(x, [8, -1]),
    "a weight": lambda x: x @ tf.reshape(tf.constant(np.ones([8, 6], np.float32)), [8, 6])[:6, :6],
}


@pytest.mark.parametrize("name", sorted(OPENED))
def test_a_reshape_to_the_training_batch_takes_any(name):
    made = any_batch.reshapes(_recorded(OPENED[name]), 8).graph_def
    x = np.random.default_rng(1).normal(size=[3, 6]).astype(np.float32)
    padded = np.concatenate([x, np.zeros([5, 6], np.float32)])
    whole = graphs.run(_recorded(OPENED[name]), "y:0", {"x:0": padded})
    np.testing.assert_allclose(graphs.run(made, "y:0", {"x:0": x}), whole[:3], rtol=1e-6)


@pytest.mark.parametrize("name", sorted(KEPT))
def test_another_reshape_stays(name):
    graph_def = _recorded(KEPT[name])
    assert any_batch.reshapes(graph_def, 8).graph_def.node == graph_def.node


def test_without_a_size_nothing_changes():
    graph_def = _recorded(OPENED["the batch"])
    assert any_batch.reshapes(graph_def, None).graph_def.node == graph_def.node
    assert any_batch.reshapes(graph_def, 7).graph_def.node == graph_def.node


def _ones(*shape):
    return tf.constant(np.ones(shape, np.float32))


def _looped(x):
    return v1.while_loop(lambda i, h: i < 3, lambda i, h: (i + 1, tf.tanh(h + x)), [0, tf.zeros([8, 6])])[1]


def _through_an_array(x):
    array = tf.TensorArray(tf.float32, 2, element_shape=[8, 6]).write(0, x).write(1, x * 2.0)
    return tf.transpose(array.stack(), [1, 0, 2])


def _through_a_list(x):
    v1.enable_control_flow_v2()
    try:
        return tf.transpose(tf.map_fn(lambda y: y * 2.0, tf.stack([x, x + 1.0])), [1, 0, 2])
    finally:
        v1.disable_control_flow_v2()


STARTED = {
    "in arithmetic": lambda x: x + tf.fill(tf.concat([[8], [6]], 0), 2.0),
    "in a concatenation": lambda x: tf.concat([x, tf.zeros([8, 3])], 1),
    "by way of a product": lambda x: x @ _ones(6, 2) + tf.ones([8, 3]) @ _ones(3, 2),
    "what a loop starts with": _looped,
    "one row many times": lambda x: tf.concat([x, tf.tile(tf.constant([[1.0, 2.0]]), [8, 1])], 1),
    "elements of an array": _through_an_array,
    "elements of a list, in functions, too": _through_a_list,
}
NOT_STARTED = {
    "other rows": lambda x: x + tf.constant(np.arange(48).reshape(8, 6), tf.float32),
    "a bias as long as a batch": lambda x: tf.pad(x, [[0, 0], [0, 2]]) + tf.zeros([8]),
    "a weight": lambda x: tf.pad(x, [[0, 0], [0, 2]]) @ tf.zeros([8, 8]),
    "one row beside those found": lambda x: tf.gather(x, tf.where(x[:, 0] > 0)[:, 0]) + tf.fill([1, 6], 2.0),
    "of another size": lambda x: tf.concat([x, tf.zeros([9, 6])], 0),
}


def _started(build) -> tuple[GraphDef, GraphDef]:
    before = _recorded(build)
    return before, any_batch.arrays(any_batch.starts(before, 8, {"x:0": [None, 6]}).graph_def, 8).graph_def


@pytest.mark.parametrize("name", sorted(STARTED))
def test_what_has_as_many_equal_rows_as_the_training_batch_fits_any(name):
    before, made = _started(STARTED[name])
    x = np.random.default_rng(1).normal(size=[8, 6]).astype(np.float32)
    whole = graphs.run(before, "y:0", {"x:0": x})
    np.testing.assert_array_equal(graphs.run(made, "y:0", {"x:0": x}), whole)
    with pytest.raises((tf.errors.OpError, ValueError)):
        graphs.run(before, "y:0", {"x:0": x[:3]})
    np.testing.assert_allclose(graphs.run(made, "y:0", {"x:0": x[:3]}), whole[:3], rtol=1e-6)


@pytest.mark.parametrize("name", sorted(NOT_STARTED))
def test_what_is_not_of_the_batch_stays(name):
    before, made = _started(NOT_STARTED[name])
    assert made.node == before.node


def test_what_starts_stays_without_a_size_and_inside_a_loop():
    before = _recorded(STARTED["in arithmetic"])
    assert any_batch.starts(before, None, {"x:0": [8, 6]}).graph_def == before
    assert any_batch.arrays(before, None).graph_def == before

    def build(x):
        return v1.while_loop(lambda i, h: i < 3, lambda i, h: (i + 1, h + tf.fill([8, 6], 1.0)), [0, x])[1]

    before, made = _started(build)
    assert made.node == before.node


@pytest.mark.parametrize("noise", [[8, 6], [8, 1]])
def test_a_mask_of_the_training_batch_has_the_rows_of_its_data(noise):
    def build(x):
        # As TensorFlow wrote it from 1.13 on.
        uniform = tf.raw_ops.RandomUniform(shape=tf.constant(noise), dtype=tf.float32)
        return tf.raw_ops.Mul(x=tf.exp(x) * 2.0, y=tf.cast(uniform >= tf.constant(0.5), tf.float32))

    graph_def = _recorded(build)
    made = dropout.of_any_batch(graph_def).graph_def
    answer = graphs.run(made, "y:0", {"x:0": np.zeros([200, 6], np.float32)})
    assert answer.shape == (200, 6) and set(np.unique(answer)) == {0.0, 2.0}
    # A mask of one column drops whole rows.
    assert (len(np.unique(answer, axis=0)) == 2) == (noise == [8, 1])


@pytest.mark.parametrize("noise", [None, [8, 6], [8, 1]])
def test_in_a_loop_of_tensorflow_1_what_is_opened_is_in_the_loop(noise):
    def build(x):
        def step(at, y):
            ones = tf.exp(x) * tf.ones([])
            if noise is None:
                return at + 1, y + tf.reshape(ones, [8, 6])
            uniform = tf.raw_ops.RandomUniform(shape=tf.constant(noise), dtype=tf.float32)
            return at + 1, y + tf.raw_ops.Mul(x=ones, y=tf.cast(uniform >= tf.constant(0.5), tf.float32))

        shapes = (tf.TensorShape([]), tf.TensorShape([None, 6]))
        return tf.while_loop(lambda at, y: at < 2, step, (tf.constant(0), tf.exp(x)), shapes)[1]

    graph_def = _recorded(build)
    opened = any_batch.reshapes(graph_def, 8) if noise is None else dropout.of_any_batch(graph_def)
    assert opened.graph_def.node != graph_def.node
    answer = graphs.run(opened.graph_def, "y:0", {"x:0": np.zeros([30, 6])})
    assert answer.shape == (30, 6) and set(np.unique(answer)) == ({3.0} if noise is None else {1.0, 2.0, 3.0})


def test_the_training_size_is_what_all_inputs_have():
    with graphs.tensorflow_1() as graph:
        v1.placeholder(tf.float32, [8, 2], name="a")
        v1.placeholder(tf.float32, [8], name="b")
        v1.placeholder(tf.float32, [4, 2], name="c")
        v1.placeholder(tf.float32, [], name="scalar")
        queue = tf.queue.FIFOQueue(10, [tf.float32], shapes=[[2]])
        tf.raw_ops.QueueDequeueUpToV2(handle=queue.queue_ref, n=8, component_types=[tf.float32], name="d")
        v1.placeholder(tf.float32, [None, 2], name="open")
    index = Index(graph.as_graph_def(add_shapes=True))

    def size(*names):
        return any_batch.training_size(index, [Tensor(name) for name in names])

    assert size("a", "b", "scalar") == size("d") == size("a", "d") == 8
    assert size("a", "c") is None and size("open") is None and size("scalar") is None
