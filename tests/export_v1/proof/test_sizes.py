"""sizes: what the readers of an input say of its rank and its sizes."""

import pytest
import tensorflow as tf

from export_v1.ir.graph import Tensor
from export_v1.proof import sizes
from export_v1.proof.reading import Reading
from tests.support import graphs
from tests.support.graphs import v1

ANY = [None, None]
KERNEL = [3, 3, 5, 2]


@pytest.mark.parametrize(
    ("read", "so_far", "wanted"),
    [
        (lambda x: tf.nn.conv2d(x, tf.ones(KERNEL), 1, "SAME"), None, [None, None, None, 5]),
        (
            lambda x: tf.nn.conv2d(tf.transpose(x, [0, 2, 3, 1]), tf.ones(KERNEL), 1, "SAME"),
            None,
            [None, 5, None, None],
        ),
        (lambda x: tf.matmul(tf.identity(x), tf.ones([37, 2])), None, [None, 37]),
        (lambda x: tf.matmul(tf.expand_dims(x, 0), tf.ones([1, 37, 2])), ANY, [None, 37]),
        (lambda x: tf.reshape(x, [-1, 28, 28]), None, [None, 28, 28]),
        (lambda x: tf.reshape(x, [-1, 28, 28]), ANY, [None, 784]),
        (lambda x: tf.reshape(x, [6, 28]), [None, 4, None], [6, 4, 7]),
        (lambda x: tf.gather(x, [2, 40]), ANY, [41, None]),
        (lambda x: tf.gather(x, [2, 40], axis=1), ANY, [None, 41]),
        (lambda x: x[:, 25], ANY, [None, 26]),
        (lambda x: tf.slice(x, [0, 20], [-1, 3]), ANY, [None, 23]),
        (lambda x: tf.unstack(x, 6, axis=1), ANY, [None, 6]),
        (lambda x: tf.split(x, [6, 7], axis=1), ANY, [None, 13]),
        (lambda x: tf.nn.space_to_depth(x, 3), [None] * 4, [None, 9, 9, None]),
        (lambda x: x + tf.ones([4, 9]), ANY, [4, 9]),
        (lambda x: tf.stack([x, 28]), None, []),
        (lambda x: tf.shape(x), None, None),
        (lambda x: tf.tanh(x), None, None),
    ],
)
def test_readers_say_what_they_take(read, so_far, wanted):
    with graphs.tensorflow_1() as graph:
        dtype = tf.int32 if wanted == [] else tf.float32
        read(v1.placeholder(dtype, so_far, "x"))
    reading = Reading(graph.as_graph_def())
    reading.assume({"x": so_far})
    assert sizes.wanted(reading, Tensor("x"), so_far) == wanted


def test_what_is_known_stays():
    assert sizes.merged([None, 4], [3, 5]) == [3, 4]
    assert sizes.merged([2], [1, 2]) == [2]
