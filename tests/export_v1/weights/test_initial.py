"""initial and weights: values that no checkpoint holds, and which variables are trainable."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import export_v1
from export_v1.model import Graph, Source
from export_v1.request import Request
from export_v1.weights import initial, located
from export_v1.weights.restore import Weights
from tests.support import graphs, small_models
from tests.support.graphs import v1

NOTHING = Weights(())


def _graph(build) -> v1.GraphDef:
    with graphs.tensorflow_1() as graph:
        build()
    return graph.as_graph_def()


def _model(build, **fields) -> Source:
    return Source("saved_model", "m", Graph(_graph(build), **fields))


def _chain() -> None:
    a = v1.get_variable("a", initializer=tf.constant([1.0, 2.0]))
    v1.get_variable("b", initializer=a.read_value() * 10.0)
    v1.get_variable("bare", initializer=tf.constant(7.0)).assign(9.0, name="later")


def test_values_are_what_the_initializers_compute():
    model = _model(_chain)
    found = initial.values(["a", "bare"], model, NOTHING)
    assert np.array_equal(found["a"], [1, 2]) and found["bare"] == 7
    assert initial.values([], model, NOTHING) == {}


def test_an_initializer_reads_what_is_known():
    known = small_models.initial(a=np.float32([5, 6]))
    assert np.array_equal(initial.values(["b"], _model(_chain), known)["b"], [50, 60])


def test_a_value_that_the_source_has_comes_first_and_the_training_graph_last():
    model = dataclasses.replace(
        _model(lambda: v1.get_variable("a", initializer=3.0)),
        values={"given": np.float32(4)},
        train_graph=Graph(_graph(_chain)),
    )
    found = initial.values(["given", "a", "bare"], model, NOTHING)
    assert found == {"given": 4, "a": 3, "bare": 7}


def test_a_variable_without_an_initializer_is_named():
    def build():
        handle = tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[], name="w")
        [value] = tf.raw_ops.RestoreV2(prefix="p", tensor_names=["w"], shape_and_slices=[""], dtypes=[tf.float32])
        tf.raw_ops.AssignVariableOp(resource=handle, value=value)

    with pytest.raises(export_v1.ExportError, match="(?s)'w' has no value.*--rename="):
        initial.values(["w"], _model(build), NOTHING)


def test_an_initializer_that_cannot_be_run_is_one_message():
    def build():
        v1.get_variable(
            "w", initializer=tf.reshape(v1.placeholder(tf.float32, [None], "fed"), [3]), validate_shape=False
        )

    with pytest.raises(export_v1.ExportError, match="(?s)initializers of 'w' cannot be run.*--rename="):
        initial.values(["w"], _model(build), NOTHING)


# What a loader runs after restoring.


def _reset() -> None:
    _chain()
    graph = v1.get_default_graph()
    with tf.control_dependencies([graph.get_operation_by_name("later"), graph.get_operation_by_name("a/Assign")]):
        tf.no_op(name="main_op")


def test_what_the_main_op_sets_is_what_the_model_answers_with():
    known = small_models.initial(a=np.float32([5, 6]), bare=np.float32(1))
    model = _model(_reset, main_ops=("main_op", "gone")).graph
    # `a` only gets its initializer, which is there for what a checkpoint does not hold.
    assert initial.reset(model, known) == {"bare": 9}
    assert initial.reset(model, small_models.initial(a=np.float32([5, 6]))) == {}
    assert initial.reset(dataclasses.replace(model, main_ops=()), known) == {}
    assert initial.written_by(model, ["main_op"]) == {"a", "bare"}
    assert initial.written_by(model, ["b/Assign", "gone"]) == {"b"}


# Weights of a whole export.


def _resources() -> None:
    for name, dtype, shape in (("w", tf.float32, [2]), ("steps", tf.int64, []), ("open", tf.float32, None)):
        handle = tf.raw_ops.VarHandleOp(dtype=dtype, shape=shape, name=name, shared_name=name)
        tf.raw_ops.ReadVariableOp(resource=handle, dtype=dtype, name=f"{name}/read")


def _of(tmp_path, request=None, **fields):
    small_models.write_variables(
        str(tmp_path / "model"), {"w": np.float32([1, 2]), "steps": np.int64(3), "open": np.float32([[4]])}
    )
    model = _model(_resources, **fields)
    model = dataclasses.replace(model, checkpoint=str(tmp_path / "model"))
    return located.of(model.graph.graph_def, model, request or Request())


def test_collections_say_what_is_trainable_and_without_them_floats_are(tmp_path):
    listed = _of(tmp_path, trainable={"w": False, "steps": False, "open": True})
    assert {one.name: one.trainable for one in listed.weights.variables} == {"w": False, "steps": False, "open": True}
    alone = _of(tmp_path)
    assert {one.name: one.trainable for one in alone.weights.variables} == {"w": True, "steps": False, "open": True}


def test_an_open_shape_is_that_of_the_checkpoint(tmp_path):
    shapes = {one.name: one.shape for one in _of(tmp_path).weights.variables}
    assert shapes == {"w": (2,), "steps": (), "open": (1, 1)}


def test_statistics_of_a_batch_norm_are_not_trainable_without_collections():
    def build():
        names = ("scale", "offset", "mean", "variance")
        handles = [tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[3], name=name) for name in names]
        values = [tf.raw_ops.ReadVariableOp(resource=one, dtype=tf.float32) for one in handles]
        tf.raw_ops.FusedBatchNormV3(
            x=v1.placeholder(tf.float32, [None, 2, 2, 3]), is_training=False,
            **dict(zip(names, values, strict=True)),
        )  # fmt: skip

    trainable = {one.name: one.trainable for one in located.listed(_model(build))}
    assert trainable == {"scale": True, "offset": True, "mean": False, "variance": False}


def test_a_graph_without_values_is_refused_unless_asked_for():
    model = _model(_chain)
    graph_def = v1.GraphDef()
    for name in ("a", "bare"):
        node = graph_def.node.add(name=name, op="VarHandleOp")
        node.attr["dtype"].type = small_models.FLOAT
        node.attr["shape"].shape.unknown_rank = True
    with pytest.raises(export_v1.ExportError, match="2 variables have no values.*'a', 'bare'(?s:.*)--init_missing"):
        located.of(graph_def, model, Request())
    local = dataclasses.replace(model, graph=dataclasses.replace(model.graph, local=frozenset({"a", "bare"})))
    for found in (located.of(graph_def, model, Request(init_missing=True)), located.of(graph_def, local, Request())):
        assert {one.name: one.shape for one in found.weights.variables} == {"a": (2,), "bare": ()}
        assert found.weights.value(found.weights.variables[1]) == 7
    assert located.of(v1.GraphDef(), model, Request()).weights.variables == ()


def test_a_variable_that_the_main_op_sets_is_not_restored(tmp_path):
    small_models.write_variables(str(tmp_path / "model"), {"a": np.float32([5, 6]), "bare": np.float32(1)})
    model = dataclasses.replace(_model(_reset, main_ops=("main_op",)), checkpoint=str(tmp_path / "model"))
    graph_def = v1.GraphDef()
    for name in ("a", "bare"):
        node = graph_def.node.add(name=name, op="VarHandleOp")
        node.attr["dtype"].type = small_models.FLOAT
        node.attr["shape"].shape.unknown_rank = True
    found = located.of(graph_def, model, Request())
    values = {one.name: found.weights.value(one).tolist() for one in found.weights.variables}
    assert values == {"a": [5, 6], "bare": 9}
    assert [what for what, _ in found.choices] == ["variable 'bare' is 9.0"]
