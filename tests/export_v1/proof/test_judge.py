"""judge: TensorFlow's shape functions on shapes and values that placeholders might have."""

import numpy as np
import tensorflow as tf

from export_v1.proof import judge
from tests.support import graphs
from tests.support.graphs import v1


def test_a_refusal_names_the_op_and_the_sizes():
    with graphs.tensorflow_1() as graph:
        tf.matmul(v1.placeholder(tf.float32, None, "x"), tf.ones([5, 2]), name="dense_7/product")
    refusal = judge.refusal(graph.as_graph_def(), {"x": [3, 6]})
    assert refusal is not None and refusal.node == "dense_7/product" and refusal.numbers[:2] == [6, 5]
    assert judge.refusal(graph.as_graph_def(), {"x": [3, 5]}) is None


def test_values_of_integers_are_judged_as_well():
    with graphs.tensorflow_1() as graph:
        tf.reshape(tf.ones([4, 6]), v1.placeholder(tf.int32, [2], "shape"), name="y")
    graph_def = graph.as_graph_def()
    shapes = {"shape": [2]}
    assert judge.refusal(graph_def, shapes, {"shape": np.array([3, 8], np.int32)}) is None
    assert judge.refusal(graph_def, shapes, {"shape": np.array([3, 9], np.int32)}).node == "y"
    # The graph that was given stays as it is.
    assert graph_def.node[-2].op == "Placeholder" or "Placeholder" in graphs.kinds(graph_def)


def test_the_numbers_of_a_message_are_sizes_and_not_parts_of_names():
    refusal = judge.Refusal.of("Dimensions are 29 and 40 for '{{node layer_12/add_3}} = Add[T=DT_FLOAT](x)' [1.13.1]")
    assert refusal.node == "layer_12/add_3" and refusal.numbers == [29, 40]
