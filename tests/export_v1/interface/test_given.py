"""Given names and values that do not fit, on graphs made for it; the rest is in test_interface."""

import pytest
import tensorflow as tf

from export_v1 import errors, interface
from export_v1.interface import given
from export_v1.ir import graph
from export_v1.model import Graph
from tests.export_v1.interface.test_interface import load
from tests.support import node_defs
from tests.support.node_defs import node

PLACE = "graph model.meta"
GRAPH = node_defs.graph_def(
    node("x", "Placeholder", dtype=tf.float32, shape=[None, 2]),
    node("mode", "Placeholder", dtype=tf.bool, shape=[]),
    node("own", "NotRegistered", "x"),
    node("lost", "NotRegistered", "x"),
    node("y", "Neg", "own", "^x", T=tf.float32),
)
INDEX = graph.Index(GRAPH)


def test_the_type_of_an_op_that_is_not_registered_is_told_by_its_readers():
    found = given.inputs(INDEX, {"a": "own", "b": "x:0"}, place=PLACE)
    assert found["a"] == interface.Input("own:0", tf.float32.as_datatype_enum, None)
    assert found["b"].shape == [None, 2]


def test_a_type_that_nothing_tells_is_refused():
    with pytest.raises(errors.ExportError) as caught:
        given.inputs(INDEX, {"a": "lost"}, place=PLACE)
    assert "'a'" in str(caught.value) and "'NotRegistered'" in str(caught.value) and "--op_library" in str(caught.value)
    with pytest.raises(errors.ExportError) as caught:
        given.values(INDEX, {"lost": 1.0}, flag="freeze", place=PLACE)
    assert "'lost:0'" in str(caught.value) and "frozen" in str(caught.value)


@pytest.mark.parametrize("flag", ["input", "label"])
def test_a_keyword_of_python_is_no_key(flag):
    with pytest.raises(errors.ExportError, match=f"'lambda'.*\n.*--{flag}=lambda_=x:0\\[None,2\\]"):
        given.inputs(INDEX, {"lambda": "x:0[None,2]"}, place=PLACE, flag=flag)


@pytest.mark.parametrize("flag", ["input", "label"])
def test_what_stays_inside_a_graph_is_no_input(flag):
    """A dataset packs a sparse tensor into a variant; its readers take it apart."""
    index = load("sparse_words").index
    with pytest.raises(errors.ExportError, match="a variant, and no array is one") as caught:
        given.inputs(index, {"text": "IteratorGetNext:0"}, place=PLACE, flag=flag)
    assert f"--{flag}=text_0=DeserializeSparse:0 --{flag}=text_1=DeserializeSparse:1" in str(caught.value)
    with pytest.raises(errors.ExportError, match="a resource, and no array is one"):
        given.inputs(index, {"text": "OneShotIterator:0"}, place=PLACE, flag=flag)


@pytest.mark.parametrize("name", ["^x", "x:1", "z"])
def test_what_is_no_tensor_is_refused(name):
    with pytest.raises(errors.ExportError) as caught:
        given.outputs(INDEX, {"a": name}, place=PLACE)
    assert "--output=a=x:0" in str(caught.value) or name == "z"


@pytest.mark.parametrize("flag", ["freeze", "train_freeze"])
def test_a_tensor_fed_and_frozen_is_refused(flag):
    with pytest.raises(errors.ExportError) as caught:
        interface.resolve(Graph(GRAPH), place=PLACE, inputs={"m": "mode"}, outputs={"y": "y"}, **{flag: {"mode": True}})
    assert "'mode:0'" in str(caught.value) and "true" in str(caught.value)


def test_what_training_still_needs_is_asked_for_with_its_flag():
    """A mode is told by its training value; what only training needs has to be given for training."""
    model = Graph(
        node_defs.graph_def(
            node("x", "Placeholder", dtype=tf.float32, shape=[2]),
            node("mode", "Placeholder", dtype=tf.bool, shape=[]),
            node("other", "Placeholder", dtype=tf.float32, shape=[]),
            node("not", "LogicalNot", "mode"),
            node("s", "Switch", "x", "not", T=tf.float32),
            node("train", "Mul", "s", "other", T=tf.float32),
            node("y", "Merge", "train", "s:1", T=tf.float32, N=2),
        )
    )
    flags = {"place": PLACE, "inputs": {"x": "x"}, "outputs": {"y": "y"}}
    found = interface.resolve(model, **flags, train_freeze={"mode": True, "other": 2.0})
    assert found.frozen == {"mode:0": False} and found.train_frozen == {"mode:0": True, "other:0": 2.0}
    with pytest.raises(errors.ExportError) as caught:
        interface.resolve(model, **flags, train_freeze={"mode": True})
    assert "--train_freeze=other:0=VALUE" in str(caught.value)
    with pytest.raises(errors.ExportError) as caught:
        interface.resolve(model, **flags, freeze={"mode": True})
    assert "--freeze=other:0=VALUE" in str(caught.value) and "--train_freeze" not in str(caught.value)
