"""Constants in place of variables: what read a variable waits for what it waited for."""

import numpy as np
import tensorflow as tf

from export_v1.ir.graph import Index
from export_v1.passes import constant_weights
from tests.support import graphs
from tests.support.graphs import v1

_WEIGHT = np.float32([[1, 2], [3, 4], [5, 6]])


def _graph():
    with graphs.tensorflow_1() as graph:
        handle = tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[3, 2], shared_name="w", name="w")
        rows = v1.placeholder(tf.int32, [None], name="rows")
        with tf.control_dependencies([tf.raw_ops.Assert(condition=rows[0] < 3, data=[rows], name="checked")]):
            read = tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32, name="read")
            tf.raw_ops.ResourceGather(resource=handle, indices=rows, dtype=tf.float32, name="gathered")
        tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32, name="plain")
        tf.add(read[:1], graph.get_tensor_by_name("plain:0")[1:2], name="y")
        tf.identity(graph.get_tensor_by_name("gathered:0"), name="z")
    return graph.as_graph_def()


def test_a_read_that_waits_still_waits():
    result = constant_weights.of(_graph(), {"w": lambda: _WEIGHT})
    index = Index(result.graph_def)
    assert list(index["read"].input) == ["w", "^checked"]
    assert index["gathered"].op == "GatherV2" and list(index["gathered"].input)[-1] == "^checked"
    assert "plain" not in index


def test_the_answers_are_those_of_the_variable():
    made = constant_weights.of(_graph(), {"w": lambda: _WEIGHT}).graph_def
    np.testing.assert_array_equal(graphs.run(made, "y:0", {"rows:0": [0]}), _WEIGHT[:1] + _WEIGHT[1:2])
    np.testing.assert_array_equal(graphs.run(made, "z:0", {"rows:0": [2, 0]}), _WEIGHT[[2, 0]])
