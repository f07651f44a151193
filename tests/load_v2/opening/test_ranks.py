"""Inputs of which a graph does not tell the rank: what it reads them as, or what was given."""

import numpy as np
import pytest
import tensorflow as tf

import export_v1
from load_v2.errors import LoadError
from load_v2.opening import rebuilding

KERNEL = np.arange(24, dtype="float32").reshape(6, 4) / 24


def _exported(tmp_path, build, **flags) -> str:
    """Returns the export of what a function makes of an input of unknown rank."""
    with tf.Graph().as_default() as graph:
        tf.identity(build(tf.compat.v1.placeholder("float32", None, name="x")), name="y")
    frozen, path = tmp_path / "frozen.pb", tmp_path / "1"
    frozen.write_bytes(graph.as_graph_def().SerializeToString())
    named = {"inputs": {"x": "x:0"}, "outputs": {"y": "y:0"}, **flags}
    export_v1.export(graph_def=str(frozen), export_dir=str(path), **named)
    return str(path)


READ = {
    "rows of numbers": (lambda x: tf.reshape(x, [-1, 6]) @ KERNEL, (None, 6)),
    "rows in a form": (lambda x: tf.reduce_sum(tf.reshape(tf.identity(x), [-1, 2, 3]), 2), (None, 6)),
    "as many rows as there are": (lambda x: tf.reshape(x, [tf.shape(x)[0], 2, 3])[:, 1] * 2.0, (None, 6)),
    "a matrix": (lambda x: tf.raw_ops.MatMul(a=x, b=KERNEL), (None, 6)),
    "images": (lambda x: tf.nn.conv2d(x, np.ones([2, 2, 3, 3], "f"), 1, "SAME"), (None, None, None, 3)),
}


@pytest.mark.parametrize("name", READ)
def test_what_the_graph_reads_is_what_the_model_takes(name, tmp_path):
    build, shape = READ[name]
    path = _exported(tmp_path, build)
    plan = rebuilding.plan(path)
    assert plan.context.graph.shape(plan.context.inputs["x"]) == shape
    rebuilt = rebuilding.rebuild(path, backends=["tensorflow"])
    given = np.float32(np.random.default_rng(3).normal(size=[size or 5 for size in shape]))
    np.testing.assert_allclose(rebuilt.model({"x": given}), build(tf.constant(given)), rtol=1e-5, atol=1e-5)
    assert any("the model takes what the graph reads" in note for note in rebuilt.report.notes)


OPEN = {
    "any numbers": lambda x: tf.tanh(x),
    "rows in two forms": lambda x: (
        tf.concat([tf.reshape(x, [-1, 6]), tf.reshape(x, [-1, 6])], 0) + tf.reshape(x, [-1, 3])[:1, :1]
    ),
    "rows, and their shape": lambda x: tf.reshape(x, [-1, 6]) + tf.cast(tf.rank(x), "float32"),
    "rows, and all that is left of 1": lambda x: tf.reshape(x, [-1, 6]) + tf.reshape(tf.subtract(1.0, x), [-1])[0],
    "rows as many as columns": lambda x: tf.reshape(x, [tf.shape(x)[1], 6]) * 1.0,
    "rows, and their last size": lambda x: tf.reshape(x, [-1, 6]) * tf.cast(tf.shape(x)[1], "float32"),
    "a number of rows": lambda x: tf.reshape(x, [2, 6]),
}


@pytest.mark.parametrize("name", OPEN)
def test_what_may_have_several_ranks_is_refused_with_the_flag(name, tmp_path):
    path = _exported(tmp_path, OPEN[name])
    with pytest.raises(LoadError, match=r"(?s)rank of input 'x'.*--input=x=x:0\[None,.*--static takes it from them"):
        rebuilding.plan(path)


def test_the_rank_of_made_up_inputs_is_taken_where_that_is_asked_for(tmp_path):
    path = _exported(tmp_path, OPEN["rows in two forms"])
    with pytest.raises(LoadError, match=r"--input=x=x:0\[None,6\]"):
        rebuilding.plan(path)
    rebuilt = rebuilding.rebuild(path, backends=["tensorflow"], static=True)
    assert "the signature does not tell the rank of 'x'; its sizes are the sample's" in rebuilt.report.notes
    model = rebuilt.model
    given = np.float32(np.random.default_rng(3).normal(size=(5, *model.inputs[0].shape[1:])))
    assert given.shape == (5, 6)
    np.testing.assert_allclose(model({"x": given}), OPEN["rows in two forms"](given), rtol=1e-5, atol=1e-5)


def test_a_scalar_that_is_added_to_a_variable_is_one(tmp_path):
    module = tf.Module()
    module.total = tf.Variable(1.0)
    add = tf.function(lambda x: {"y": module.total.assign_add(x)}, [tf.TensorSpec(None, tf.float32, "x")])
    tf.saved_model.save(module, str(tmp_path), {"serving_default": add})
    plan = rebuilding.plan(tmp_path)
    assert plan.context.graph.shape(plan.context.inputs["x"]) == ()


def test_the_shape_that_was_given_comes_first(tmp_path):
    np.savez(tmp_path / "in.npz", x=np.ones([5, 2, 3], "f"))
    path = _exported(tmp_path, lambda x: tf.reshape(x, [-1, 6]) @ KERNEL, sample=str(tmp_path / "in.npz"))
    plan = rebuilding.plan(path)
    assert plan.context.graph.shape(plan.context.inputs["x"]) == (None, 2, 3)
    assert plan.notes == ("the signature does not tell the rank of 'x'; its sizes are the sample's",)
