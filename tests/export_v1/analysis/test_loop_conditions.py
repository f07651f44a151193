"""loop_conditions: which inputs decide how long a loop runs."""

import tensorflow as tf

from export_v1.analysis import loop_conditions
from export_v1.ir import ops
from tests.support import graphs
from tests.support.graphs import v1


def _build() -> None:
    x, n, limit = (
        v1.placeholder(tf.float32, [None], "x"),
        v1.placeholder(tf.int32, [], "n"),
        v1.placeholder(tf.float32, [], "limit"),
    )
    rows = tf.shape(x)[0]
    _, total = tf.while_loop(
        lambda i, t: tf.logical_and(i < tf.minimum(n, rows), tf.reduce_sum(t) < limit),
        lambda i, t: (i + 1, t + 1.0),
        [0, tf.zeros([3])],
    )
    tf.multiply(total[0], x, name="y")


def test_what_reaches_the_condition_by_its_value_decides():
    with graphs.tensorflow_1() as graph:
        _build()
    # The loop reads only the size of x.
    assert loop_conditions.inputs(graph.as_graph_def(), ["x:0", "n:0", "limit:0"]) == {"n:0", "limit:0"}


def test_a_graph_without_loops_has_none():
    with graphs.tensorflow_1() as graph:
        tf.identity(v1.placeholder(tf.float32, [3], "x"), "y")
    assert loop_conditions.inputs(graph.as_graph_def(), ["x:0", "elsewhere:1"]) == set()


def test_what_a_functional_loop_is_given_decides_as_does_what_the_graph_has_under_another_name():
    with tf.Graph().as_default() as graph:
        _build()
    assert any(node.op in ops.WHILES for node in graph.as_graph_def().node)
    found = loop_conditions.inputs(graph.as_graph_def(), ["x:0", "n:0", "limit:0", "elsewhere:1"])
    assert {"n:0", "limit:0", "elsewhere:1"} <= found
