"""flat: functions spelled out where they are called, so that a graph's readers and shapes are all in one graph."""

import tensorflow as tf

from export_v1.ir import graph as ir
from export_v1.proof import flat, judge
from tests.support import graphs
from tests.support.graphs import v1


def _built(build):
    with tf.Graph().as_default() as graph:
        build()
    return graph.as_graph_def()


def _nested():
    x, flag = v1.placeholder(tf.float32, None, "x"), v1.placeholder(tf.bool, [], "flag")

    @tf.function
    def twice(value):
        return tf.split(value, 2)[1] * 2.0

    def looped():
        return tf.while_loop(lambda n, s: n < 3, lambda n, s: (n + 1, tf.tanh(s)), [0, twice(x)])[1]

    tf.identity(tf.cond(flag, looped, lambda: tf.linalg.matvec(twice(x), tf.ones([4]))), name="y")


def test_calls_branches_and_loops_are_spelled_out():
    graph_def = _built(_nested)
    found = flat.flattened(graph_def)
    assert not graphs.kinds(found) & {
        "If",
        "StatelessIf",
        "While",
        "StatelessWhile",
        "PartitionedCall",
        "StatefulPartitionedCall",
    }
    assert {"BatchMatMulV2", "Split", "Less", "Tanh"} <= graphs.kinds(found)
    assert "Tanh" not in graphs.kinds(graph_def)
    # It holds together: TensorFlow imports it.
    assert judge.refusal(found, {}) is None


def test_shape_functions_judge_what_stands_in_a_function():
    graph_def = _built(_nested)
    found = flat.flattened(graph_def)
    assert judge.refusal(graph_def, {"x": [6, 5]}) is None
    refusal = judge.refusal(found, {"x": [6, 5]})
    assert refusal is not None and "MatMul" in refusal.message and {4, 5} <= set(refusal.numbers)
    assert judge.refusal(found, {"x": [6, 4]}) is None


def test_an_edge_from_a_later_output_is_that_output():
    def build():
        x = v1.placeholder(tf.float32, [4, 6], "x")

        @tf.function
        def parts(value):
            first, second = tf.raw_ops.SplitV(value=value, size_splits=[2, 4], axis=1, num_split=2)
            values, places = tf.nn.top_k(second, 3)
            return first, places

        tf.identity(parts(x)[1], name="y")

    found = flat.flattened(_built(build))
    index = ir.Index(found)
    above = index.ancestors(["y"])
    assert any(index[name].op == "TopKV2" for name in above)
    assert judge.imported(found, {}).get_tensor_by_name("y:0").shape == [4, 3]


def test_a_graph_that_calls_nothing_is_the_same():
    graph_def = _built(lambda: tf.negative(v1.placeholder(tf.float32, [2], "x")))
    assert flat.flattened(graph_def) is graph_def
