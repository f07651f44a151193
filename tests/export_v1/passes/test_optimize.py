import numpy as np
import pytest
import tensorflow as tf

from export_v1.ir.graph import Index
from export_v1.passes import constant_weights, optimize
from tests.support import graphs

v1 = tf.compat.v1
VALUES = {
    "w": np.arange(12, dtype=np.float32).reshape(4, 3),
    "rows": np.arange(10, dtype=np.float32).reshape(5, 2),
    "count": np.float32(7),
}


def _graph(build):
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.int32, [None], name="x")
        handles = {
            name: tf.raw_ops.VarHandleOp(shape=value.shape, dtype=tf.float32, shared_name=name, name=name)
            for name, value in VALUES.items()
        }
        tf.identity(build(x, handles), name="y")
    return graph.as_graph_def()


def _read(handle, **more):
    return tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32, **more)


def _rows(x, handles):
    return tf.raw_ops.ResourceGather(resource=handles["rows"], indices=x, dtype=tf.float32)


def _elements(x, handles):
    at = tf.stack([x, tf.zeros_like(x)], axis=1)
    return tf.raw_ops.ResourceGatherNd(resource=handles["rows"], indices=at, dtype=tf.float32)


def _both(x, handles):
    return tf.matmul(tf.one_hot(x, 4), _read(handles["w"])) + _read(handles["count"]) + tf.reduce_sum(_rows(x, handles))


def _awaiting(x, handles):
    with tf.control_dependencies([tf.debugging.assert_positive(x, name="check")]):
        return _read(handles["count"], name="late") + tf.cast(x, tf.float32)


@pytest.mark.parametrize("build", [_rows, _elements, _both, _awaiting])
def test_constants_answer_as_the_variables_did(build):
    graph_def = _graph(build)
    names = constant_weights.constant(graph_def)
    made = constant_weights.of(graph_def, {name: lambda name=name: VALUES[name] for name in names}).graph_def
    assert "VarHandleOp" not in {node.op for node in made.node}
    x = np.array([1, 3, 2], np.int32)
    want = graphs.run(graph_def, "y:0", {"x:0": x}, VALUES)
    np.testing.assert_array_equal(graphs.run(made, "y:0", {"x:0": x}), want)


def test_a_read_that_waits_goes_on_waiting():
    graph_def = _graph(_awaiting)
    made, _ = optimize.inference(graph_def, ["x:0", "y:0"], {"count": lambda: VALUES["count"]})
    with pytest.raises(tf.errors.InvalidArgumentError):
        graphs.run(made, "y:0", {"x:0": [-1]})


def test_a_weight_is_in_the_graph_once():
    def build(x, handles):
        return _read(handles["count"]) + _read(handles["count"]) * tf.cast(x, tf.float32)

    graph_def = _graph(build)
    made, done = optimize.inference(graph_def, ["x:0", "y:0"], {"count": lambda: VALUES["count"]})
    assert [node.name for node in made.node if node.op == "Const"] == ["count"]
    assert done.constants == 1


def test_what_is_written_or_goes_into_a_function_stays_a_variable():
    @tf.function
    def doubled(handle):
        return _read(handle) * 2.0

    def build(x, handles):
        added = tf.raw_ops.AssignAddVariableOp(resource=handles["count"], value=1.0)
        with tf.control_dependencies([added]):
            return _read(handles["count"]) + tf.reduce_sum(doubled(handles["w"])) + tf.reduce_sum(_rows(x, handles))

    assert constant_weights.constant(_graph(build)) == ["rows"]


def test_what_scales_a_norm_by_the_datas_statistics_stays_a_variable():
    def build(x, handles):
        h = tf.matmul(tf.one_hot(x, 4), _read(handles["w"]))
        root = tf.math.rsqrt(tf.math.reduce_variance(h, axis=1, keepdims=True) + 1e-12)
        return h * (root * _read(handles["count"]))

    assert constant_weights.constant(_graph(build)) == ["w", "rows"]


def test_what_scales_by_a_variables_root_is_constant():
    def build(x, handles):
        return tf.cast(x, tf.float32) * (tf.math.rsqrt(_read(handles["count"])) * _read(handles["count"]))

    assert "count" in constant_weights.constant(_graph(build))


def _chain(length):
    with tf.Graph().as_default() as graph:
        h = v1.placeholder(tf.float32, [], name="x")
        for _ in range(length):
            h = tf.stop_gradient(tf.identity(h))
        with tf.control_dependencies([h]):
            one = tf.constant(1.0, name="one")
        tf.add(h, one, name="y")
    return graph.as_graph_def()


def test_identities_are_gone_and_who_waited_waits_for_the_source():
    short, count = optimize.without_identities(_chain(1000), {"x", "y"})
    assert count == 2000
    index = Index(short.graph_def)
    assert {name: list(node.input) for name, node in index.nodes.items()} == {"x": [], "one": ["^x"], "y": ["x", "one"]}


def test_an_identity_that_waits_or_that_is_asked_for_stays():
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [], name="x")
        with tf.control_dependencies([tf.no_op(name="first")]):
            kept = tf.identity(x, name="waits")
        tf.identity(kept, name="y")
    short, count = optimize.without_identities(graph.as_graph_def(), {"x", "y"})
    assert (count, [node.name for node in short.graph_def.node]) == (0, ["x", "first", "waits", "y"])


def test_an_identity_that_tells_which_side_is_alive_stays():
    with tf.Graph().as_default() as graph:
        x, side = v1.placeholder(tf.float32, [], name="x"), v1.placeholder(tf.bool, [], name="side")
        off, on = tf.raw_ops.Switch(data=x, pred=side)
        alive, other = tf.identity(on, name="alive"), tf.identity(off, name="other")
        with tf.control_dependencies([alive]):
            one = tf.constant(1.0, name="one")
        tf.raw_ops.Merge(inputs=[one, other], name="y")
    short, _ = optimize.without_identities(graph.as_graph_def(), {"x", "y"})
    index = Index(short.graph_def)
    assert "alive" in index and "other" not in index
    assert graphs.run(short.graph_def, "y:0", {"x:0": 5.0, "side:0": True}) == 1.0
    assert graphs.run(short.graph_def, "y:0", {"x:0": 5.0, "side:0": False}) == 5.0
