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


def test_a_mask_that_drops_a_zero_stays():
    def strict(x, keep_prob):
        uniform = tf.raw_ops.RandomUniform(shape=tf.shape(x), dtype=tf.float32)
        return tf.raw_ops.Mul(x=x, y=tf.cast(uniform > 1.0 - keep_prob, tf.float32))

    assert _folded(strict, 1.0)[1] == 0


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
    before = graph.as_graph_def(add_shapes=True)
    assert dropout.of_any_batch(before).graph_def == before, "the data is made of the random numbers, and no mask of it"


def test_a_mask_is_as_large_as_its_data_and_not_as_a_gradient():
    with graphs.tensorflow_1() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [4, 3], name="x")
        mask = tf.cast(tf.random.uniform(tf.constant([4, 3]), seed=1) >= tf.constant(0.5), tf.float32)
        dropped = tf.multiply(x, mask, name="y")
        tf.multiply(tf.square(dropped, name="gradient"), mask)
    made = {node.name: node for node in dropout.of_any_batch(graph.as_graph_def(add_shapes=True)).graph_def.node}
    uniform = next(node for node in made.values() if node.op == "RandomUniform")
    assert list(made[uniform.input[0]].input) == ["x"]


def _shape(x: tf.Tensor) -> tf.Tensor:
    """Returns a Shape op's output; tf.shape makes a constant where it can."""
    return tf.raw_ops.Shape(input=x)


def _masked(shape, low: float = 1.0, shift: float = 0.0, dtype=tf.float32):
    """Returns a graph of x times `floor(1 + uniform * low + shift)`, the random numbers of a shape made by `shape(x, other)`."""
    with graphs.tensorflow_1() as graph:
        x, other = (v1.placeholder(dtype, [4, 3], name=name) for name in ("x", "other"))
        uniform = tf.raw_ops.RandomUniform(shape=shape(x, other), dtype=dtype, name="uniform")
        numbers = tf.raw_ops.Add(
            x=tf.raw_ops.Mul(x=uniform, y=tf.constant(low, dtype)), y=tf.constant(shift, dtype), name="numbers"
        )
        mask = tf.floor(tf.raw_ops.Add(x=tf.constant(1.0, dtype), y=numbers))
        with tf.control_dependencies([tf.no_op(name="gate")]):
            tf.raw_ops.Mul(x=x, y=mask, name="y")
    return graph.as_graph_def(add_shapes=True)


def test_a_mask_shaped_by_another_tensor_stays():
    assert dropout.of_rate_zero(_masked(lambda x, other: _shape(x))).notes.folded == 1
    assert dropout.of_rate_zero(_masked(lambda x, other: _shape(other))).notes.folded == 0


def test_a_mask_of_the_recorded_shape_is_taken_out_and_no_other():
    for shape, count in (([4, 3], 1), ([1, 3], 0), ([4, 1], 0), ([3], 0), ([2, 4, 3], 0)):
        assert dropout.of_rate_zero(_masked(lambda x, other, shape=shape: tf.constant(shape))).notes.folded == count


@pytest.mark.parametrize(("low", "shift", "count"), [(1.0, 0.0, 1), (2.0, 0.0, 0), (1.0, 0.5, 0), (0.5, 0.0, 0)])
def test_random_numbers_have_to_be_of_zero_to_one(low, shift, count):
    assert dropout.of_rate_zero(_masked(lambda x, other: _shape(x), low, shift)).notes.folded == count


def test_who_takes_the_place_of_a_mask_waits_for_what_it_waited_for():
    made = dropout.of_rate_zero(_masked(lambda x, other: _shape(x), dtype=tf.float64)).graph_def
    node = next(node for node in made.node if node.name == "y")
    assert node.op == "Identity" and list(node.input) == ["x", "^gate"]
    assert node.attr["T"].type == tf.float64.as_datatype_enum


@pytest.mark.parametrize(
    ("build", "keeps"),
    [
        (lambda x, u: tf.raw_ops.Mul(x=x, y=tf.cast(u >= 0.0, tf.float32)), True),
        (lambda x, u: tf.raw_ops.Mul(x=tf.cast(u >= 0.0, tf.float32), y=x), True),
        (lambda x, u: tf.raw_ops.Mul(x=x, y=tf.cast(u >= 0.1, tf.float32)), False),
        (lambda x, u: tf.raw_ops.Mul(x=x, y=tf.cast(u > 0.0, tf.float32)), False),
        (lambda x, u: tf.raw_ops.Mul(x=x, y=tf.cast(0.0 >= u, tf.float32)), False),
        (lambda x, u: tf.raw_ops.Mul(x=x, y=tf.floor(u + 1.0)), True),
        (lambda x, u: tf.raw_ops.Mul(x=x, y=tf.floor(u + 0.9)), False),
        (lambda x, u: tf.raw_ops.Mul(x=x, y=tf.floor(1.0 + tf.stop_gradient(u))), True),
        (lambda x, u: tf.raw_ops.Mul(x=x, y=u + 1.0), False),
        (lambda x, u: tf.raw_ops.Add(x=x, y=tf.floor(u + 1.0)), False),
        (lambda x, u: tf.raw_ops.Mul(x=x, y=tf.floor(tf.exp(u) + 1.0)), False),
    ],
)
def test_which_masks_keep_everything(build, keeps):
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [2, 3], name="x")
        tf.identity(build(x, tf.raw_ops.RandomUniform(shape=_shape(x), dtype=tf.float32)), name="y")
    result = dropout.of_rate_zero(graph.as_graph_def())
    made, count = result.graph_def, result.notes.folded
    assert count == int(keeps)
    if keeps:
        value = np.float32([[1, 2, 3], [4, 5, 6]])
        np.testing.assert_array_equal(graphs.run(prune.to_outputs(made, ["y"]).graph_def, "y:0", {"x:0": value}), value)


@pytest.mark.parametrize(
    ("scaled", "taken_out"),
    [
        (lambda x: tf.raw_ops.Mul(x=x, y=1.0), True),
        (lambda x: tf.raw_ops.Mul(x=1.0, y=x), True),
        (lambda x: tf.raw_ops.RealDiv(x=x, y=1.0), True),
        (lambda x: tf.raw_ops.RealDiv(x=1.0, y=x), False),
        (lambda x: tf.raw_ops.Mul(x=x, y=2.0), False),
        (lambda x: tf.raw_ops.RealDiv(x=x, y=4.0), False),
    ],
)
def test_only_a_scale_of_one_goes_with_the_mask(scaled, taken_out):
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [2], name="x")
        data = tf.identity(scaled(x), name="scaled")
        made = scaled(x)
        uniform = tf.raw_ops.RandomUniform(shape=_shape(made), dtype=tf.float32)
        tf.raw_ops.Mul(x=made, y=tf.floor(1.0 + uniform), name="y")
    result = dropout.of_rate_zero(graph.as_graph_def())
    folded, count = result.graph_def, result.notes.folded
    node = next(node for node in folded.node if node.name == "y")
    assert count == 1 and (node.input[0] == "x") == taken_out
    answers = graphs.run(folded, ["y:0", data.name], {"x:0": [3.0, 5.0]})
    np.testing.assert_array_equal(*answers)


def test_the_shape_of_a_mask_for_any_batch_has_the_types_that_were_there():
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float64, [4, 3], name="x")
        uniform = tf.raw_ops.RandomUniform(shape=tf.constant([4, 3], tf.int64), dtype=tf.float64, name="uniform")
        tf.raw_ops.Mul(x=x, y=tf.cast(uniform >= tf.constant(0.5, tf.float64), tf.float64), name="y")
        tf.no_op(name="uniform/of_data")
    made = {node.name: node for node in dropout.of_any_batch(graph.as_graph_def(add_shapes=True)).graph_def.node}
    shape = made[made["uniform"].input[0]]
    assert shape.name == "uniform/of_data_1" and list(shape.input) == ["x"]
    assert shape.attr["T"].type == tf.float64.as_datatype_enum
    assert shape.attr["out_type"].type == tf.int64.as_datatype_enum


@pytest.mark.parametrize("shape", [[3], [2, 4, 3], [1, 3]])
def test_a_mask_of_another_recorded_shape_stays_as_large_as_it_is(shape):
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [4, 3], name="x")
        uniform = tf.raw_ops.RandomUniform(shape=tf.constant(shape), dtype=tf.float32)
        tf.raw_ops.Mul(x=x, y=tf.cast(uniform >= 0.5, tf.float32), name="y")
    before = graph.as_graph_def(add_shapes=True)
    assert dropout.of_any_batch(before).graph_def == before
