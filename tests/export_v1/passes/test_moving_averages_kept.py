"""Which variables are the moving averages of which statistics, and how the graph goes by them."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1.ir.graph import Index, NodeDef, Tensor
from export_v1.ir.norms import averages
from tests.support import graphs, norms
from tests.support.graphs import v1

raw = tf.raw_ops


def _centred(shape=(3,), name="average", axes=0, dtype=tf.float32, resource=False):
    """Returns a graph that subtracts a mean of x, of which a variable is the moving average."""
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        average = v1.get_variable(name, shape, dtype, use_resource=resource)
        mean = tf.reduce_mean(x, axes, name="mean")
        change = (average - tf.cast(mean, dtype)) * tf.constant(0.1, dtype)
        update = average.assign_sub(change, read_value=False) if resource else v1.assign_sub(average, change)
        with tf.control_dependencies([update]):
            tf.subtract(x, mean, name="y")
    return graph.as_graph_def()


def test_an_average_is_kept_for_each_channel():
    (found,) = averages.kept(Index(_centred()))
    assert (found.statistic, found.variable, found.update) == (Tensor("mean"), "average", "AssignSub")


def test_a_scalar_is_the_average_of_a_loss():
    before = _centred((), axes=None)
    assert averages.kept(Index(before)) == []
    result = norms.by_averages(before)
    after, names = result.graph_def, result.notes.moving_averages
    assert names == () and after.node == before.node


def test_what_is_called_biased_is_divided_before_it_is_an_average():
    assert averages.kept(Index(_centred(name="average/biased"))) == []
    assert averages.kept(Index(_centred(name="unbiased"))) != []


@pytest.mark.parametrize("resource", [False, True])
@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_an_average_of_another_type_is_cast(dtype, resource):
    result = norms.by_averages(_centred(dtype=dtype, resource=resource))
    made, names = result.graph_def, result.notes.moving_averages
    assert names == ("average",)
    values, x = [1.0, 2.0, 3.0], np.float32([[1, 1, 1], [5, 5, 5]])
    np.testing.assert_array_equal(graphs.run(made, "y:0", {"x:0": x}, {"average": values}), x - np.float32(values))
    assert ("average/average/cast" in graphs.names(made)) == (dtype != tf.float32)


def test_a_statistic_of_half_precision_goes_by_an_average_of_single():
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float16, [None, 3], name="x")
        average, mean = v1.get_variable("average", [3]), tf.reduce_mean(x, 0, name="mean")
        v1.assign_sub(average, (average - tf.cast(mean, tf.float32)) * 0.1)
        tf.subtract(x, mean, name="y")
    result = norms.by_averages(graph.as_graph_def())
    made, names = result.graph_def, result.notes.moving_averages
    assert names == ("average",)
    got = graphs.run(made, "y:0", {"x:0": np.float16([[5, 5, 5]])}, {"average": [1.0, 2.0, 3.0]})
    np.testing.assert_array_equal(got, np.float16([[4, 3, 2]]))


def _fused(kept=("mean", "variance"), training=True, op="FusedBatchNormV3"):
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [None, 2, 2, 3], name="x")
        scale, offset = tf.constant([1.0, 2.0, 3.0], name="scale"), tf.constant([0.5] * 3, name="offset")
        moving = {name: v1.get_variable(name, [3]) for name in ("mean", "variance")}
        empty = tf.constant([], name="empty") if training else tf.constant([1.0] * 3)
        norm = getattr(raw, op)(
            x=x, scale=scale, offset=offset, mean=empty, variance=empty, is_training=training, name="norm"
        )
        updates = [
            v1.assign_sub(moving[name], (moving[name] - norm[at]) * 0.1, name=f"{name}_update")
            for at, name in ((1, "mean"), (2, "variance")) if name in kept
        ]  # fmt: skip
        with tf.control_dependencies(updates):
            tf.identity(norm[0], name="y")
    return graph.as_graph_def()


@pytest.mark.parametrize("op", ["FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"])
def test_a_fused_batch_norm_goes_by_both_of_its_averages(op):
    before = _fused(op=op)
    result = norms.by_averages(before)
    made, names = result.graph_def, result.notes.moving_averages
    assert names == ("mean", "variance")
    nodes = {node.name: node for node in made.node}
    assert list(nodes["norm"].input) == ["x", "scale", "offset", "mean/average", "variance/average"]
    assert not nodes["norm"].attr["is_training"].b and list(nodes["y"].input) == ["norm"]
    assert next(node for node in before.node if node.name == "norm").attr["is_training"].b
    x, mean, variance = np.float32(np.arange(12).reshape(1, 2, 2, 3)), np.float32([1, 2, 3]), np.float32([4, 1, 9])
    got = graphs.run(made, "y:0", {"x:0": x}, {"mean": mean, "variance": variance})
    epsilon = nodes["norm"].attr["epsilon"].f
    want = (x - mean) / np.sqrt(variance + epsilon) * np.float32([1, 2, 3]) + 0.5
    np.testing.assert_allclose(got, want, rtol=1e-4)


@pytest.mark.parametrize("kept", [("mean",), ("variance",), ()])
def test_a_fused_batch_norm_with_half_its_averages_stays_as_it_is(kept):
    before = _fused(kept)
    result = norms.by_averages(before)
    made, names = result.graph_def, result.notes.moving_averages
    assert names == () and made.node == before.node


def test_a_fused_batch_norm_of_inference_has_no_statistics():
    before = _fused(training=False)
    assert averages.kept(Index(before)) == []
    norm, other = (next(node for node in one.node if node.name == "norm") for one in (before, _fused()))
    assert not averages.is_training(norm) and averages.is_training(other)
    gradient = NodeDef(op="FusedBatchNormGradV3")
    gradient.attr["is_training"].b = True
    assert not averages.is_training(gradient)


@pytest.mark.parametrize(
    ("update", "found"),
    [
        (lambda v, m: v1.assign(v, v * 0.9 + m * 0.1), "mean"),
        (lambda v, m: v1.assign(v, v + m * 0.1), ""),
        (lambda v, m: v1.assign(v, m * 0.9 + m * 0.1), ""),
        (lambda v, m: v1.assign_sub(v, (v - m) / 10.0), ""),
        (lambda v, m: v1.assign_sub(v, v - m), ""),
        (lambda v, m: v1.assign_sub(v, (v1.get_variable("other", [3]) - m) * 0.1), ""),
        (lambda v, m: v1.assign_sub(v, (v + m) * 0.1), ""),
        (lambda v, m: v1.assign_sub(v, (v - tf.exp(m, name="of_mean")) * 0.1), "of_mean"),
        (lambda v, m: raw.ScatterSub(ref=v._ref(), indices=[0], updates=((v - m) * 0.1)[:1]), ""),
        (lambda v, m: v1.assign(v, tf.where(tf.fill([3], True), v * 0.9 + m * 0.1, v)), "mean"),
    ],
)
def test_which_updates_make_an_average(update, found):
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        update(v1.get_variable("average", [3]), tf.reduce_mean(x, 0, name="mean"))
    kept = [(one.statistic.node, one.variable) for one in averages.kept(Index(graph.as_graph_def()))]
    assert kept == ([(found, "average")] if found else [])


def test_a_name_that_is_taken_is_not_given_again():
    graph_def = _centred(dtype=tf.float64)
    for name in ("average/average", "average/average_1/cast"):
        graph_def.node.add(name=name, op="NoOp")
    made = norms.by_averages(graph_def).graph_def
    assert len(set(graphs.names(made))) == len(made.node)


def test_only_the_updates_of_what_is_gone_by_are_waited_for_no_more():
    graph_def = _centred()
    node = next(node for node in graph_def.node if node.name == "y")
    graph_def.node.add(name="other", op="NoOp")
    node.input.append("^other")
    made = norms.by_averages(graph_def).graph_def
    assert list(next(node for node in made.node if node.name == "y").input) == ["x", "average/average", "^other"]
