"""Variables that inference writes: a layer keeps them from call to call, as TensorFlow 1's session did."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from load_v2.errors import LoadError
from load_v2.opening import carried, rebuilding
from load_v2.program import artefact
from load_v2.program.program import Part
from load_v2.program.signature import Spec
from tests.support import cases

CASE = "odd_carried_state"


@pytest.fixture(scope="module")
def rebuilt(exported):
    return rebuilding.rebuild(exported(CASE), backends=["tensorflow"])


def _answers(model, calls: int = 3) -> list[dict[str, np.ndarray]]:
    x = cases.load(CASE).oracle("in")["x"]
    return [{key: np.asarray(value) for key, value in model({"x": x + at}).items()} for at in range(calls)]


def test_each_call_goes_on_where_the_one_before_it_ended(rebuilt):
    model = keras.models.clone_model(rebuilt.model)
    model.set_weights(rebuilt.model.get_weights())
    for at, answer in enumerate(_answers(model)):
        cases.assert_equal(answer, cases.load(CASE).oracle(str(at)))


def test_predict_goes_on_as_well(rebuilt):
    model = keras.models.clone_model(rebuilt.model)
    model.set_weights(rebuilt.model.get_weights())
    x, want = cases.load(CASE).oracle("in")["x"], [cases.load(CASE).oracle(str(at)) for at in range(3)]
    outputs = keras.Model(model.input, {key: model.output[key] for key in ("y",)})
    for at in range(3):
        got = outputs.predict({"x": x + at}, batch_size=2, verbose=0)
        np.testing.assert_allclose(got["y"], want[at]["y"], rtol=1e-5)


def test_an_archive_keeps_what_was_written(rebuilt, tmp_path):
    model = keras.models.clone_model(rebuilt.model)
    model.set_weights(rebuilt.model.get_weights())
    _answers(model, calls=1)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", custom_objects={"rebuilt>State": type(_state(model))})
    x = cases.load(CASE).oracle("in")["x"]
    cases.assert_equal({k: np.asarray(v) for k, v in again({"x": x + 1}).items()}, cases.load(CASE).oracle("1"))


def _state(model):
    return next(layer for layer in model.layers if type(layer).__name__ == "State")


def test_what_is_kept_is_not_trained_and_is_told(rebuilt):
    state = _state(rebuilt.model)
    assert not state.trainable_weights and len(state.weights) == 3
    assert len(rebuilt.model.trainable_weights) == 2
    assert rebuilt.report.printed.keys() == {"State"}
    assert any("'cell/state', 'step', 'total'" in note for note in rebuilt.report.notes)


def test_a_model_that_forgets_is_not_returned(exported, tmp_path):
    plan = rebuilding.plan(exported(CASE))
    code = plan.source.replace("value.assign(written)", "pass")
    model = rebuilding.execute(code)
    rebuilding.fill(model, plan.layers)
    files = str(tmp_path / "model.py"), str(tmp_path / "model.weights.h5")
    rebuilding.write(code, model, *files)
    assert code != plan.source
    with pytest.raises(LoadError, match="gives other answers") as error:
        rebuilding.prove(plan, *files, ["tensorflow"])
    # The first call is right.
    assert "after" in str(error.value) and "before: DIFFERENT" in str(error.value)


def _of_graph(build) -> tuple[list[str], set[str]]:
    """Returns the names of what a graph hands on, and the ops of the nodes in its place."""
    with tf.Graph().as_default() as built:
        handle = tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[], shared_name="v", name="v")
        x = tf.compat.v1.placeholder(tf.float32, [], name="x")
        y = tf.identity(build(handle, x), name="y")
    graph_def = built.as_graph_def()
    graph_def.node.remove(next(node for node in graph_def.node if node.name == "v"))
    variable = artefact.Variable("v", ("v",), "float32", (), False, "v", "")
    part = Part(graph_def, (Spec("x:0", "float32", ()),), {"y": Spec(y.name, "float32", ())})
    changed, ends = carried.without_writes(part, [variable])
    return [end.variable.name for end in ends], {node.op for node in changed.graph_def.node}


def _read(handle):
    return tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32)


def _written(handle, value, after=()):
    with tf.control_dependencies(after):
        return tf.raw_ops.AssignSubVariableOp(resource=handle, value=value)


def test_a_read_before_a_write_and_one_after_it():
    def build(handle, x):
        old = _read(handle)
        with tf.control_dependencies([_written(handle, old * x)]):
            return _read(handle) + old

    names, ops = _of_graph(build)
    assert names == ["v"] and "Sub" in ops and not any("Variable" in op for op in ops)


def test_a_write_that_nothing_orders_stays_a_write():
    def build(handle, x):
        with tf.control_dependencies([_written(handle, x)]):
            waits = tf.identity(x)
        return _read(handle) + waits

    names, ops = _of_graph(build)
    assert not names and "AssignSubVariableOp" in ops


def test_two_writes_that_nothing_orders_stay_writes():
    def build(handle, x):
        with tf.control_dependencies([_written(handle, x), _written(handle, x * x)]):
            return _read(handle)

    assert not _of_graph(build)[0]


def test_a_variable_of_which_another_op_takes_parts_stays_written():
    def build(handle, x):
        with tf.control_dependencies([_written(handle, x)]):
            return tf.cast(tf.raw_ops.VariableShape(input=handle)[:1], tf.float32) + _read(handle)

    assert not _of_graph(build)[0]
