"""told: the shape of a cut as the graph itself tells it."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1.interface import Input
from export_v1.ir.graph import Index
from export_v1.proof import told
from tests.support import graphs
from tests.support.graphs import v1

FLOAT = tf.float32.as_datatype_enum


def _shape(build, tensor: str, shape=None, producer: int | None = None, add_shapes: bool = False):
    with graphs.tensorflow_1() as graph:
        build()
    graph_def = graph.as_graph_def(add_shapes=add_shapes)
    if producer is not None:
        graph_def.versions.producer = producer
    return told.shape(Index(graph_def), Input(tensor, FLOAT, shape))


def _iterator():
    data = tf.data.Dataset.from_tensor_slices((np.ones([9, 5], "f"), np.zeros([9], "i"))).batch(3)
    v1.data.make_one_shot_iterator(data).get_next()


def _queue():
    queue = v1.FIFOQueue(10, [tf.float32, tf.int32], [[5], []])
    queue.dequeue_many(4, name="many")
    queue.dequeue(name="one")


def _sound():
    tf.audio.decode_wav(v1.placeholder(tf.string, []), 2, 400, name="sound")


def _sound_of_any_length():
    tf.audio.decode_wav(v1.placeholder(tf.string, []), 1, name="sound")


@pytest.mark.parametrize(
    ("build", "tensor", "shape"),
    [
        (_iterator, "IteratorGetNext:0", [None, 5]),
        (_iterator, "IteratorGetNext:1", [None]),
        (_queue, "many:0", [None, 5]),
        (_queue, "many:1", [None]),
        (_queue, "one:0", [5]),
        (_sound, "sound:0", [400, 2]),
        (_sound, "sound:1", []),
        (_sound_of_any_length, "sound:0", [16000, 1]),
    ],
)
def test_an_op_tells_the_shape_of_what_it_brings_in(build, tensor, shape):
    assert _shape(build, tensor) == shape


def test_a_shape_of_the_cut_comes_first_and_what_was_recorded_next():
    def build():
        tf.reshape(v1.placeholder(tf.float32, None, "x"), [-1, 7], name="y")

    assert _shape(build, "y:0", [2, 7]) == [2, 7]
    assert _shape(build, "y:0", add_shapes=True) == [None, 7]
    assert _shape(build, "x:0") is None


def test_of_what_has_no_known_rank_nothing_is_told():
    assert _shape(lambda: tf.tanh(v1.placeholder(tf.float32, None, "x"), name="y"), "y:0") is None


@pytest.mark.parametrize(("producer", "shape"), [(9, None), (21, None), (22, [])])
def test_rank_0_means_nothing_in_a_graph_older_than_unknown_shapes(producer, shape):
    build = lambda: v1.placeholder(tf.float32, [], "x")  # noqa: E731
    assert _shape(build, "x:0", [], producer) == shape
    assert _shape(build, "x:0", [2], producer) == [2]
