"""Loops whose condition is constantly true are found before anything runs them."""

import pytest
import tensorflow as tf

from export_v1.analysis import endless
from export_v1.errors import ExportError
from export_v1.ir.graph import GraphDef
from tests.support import graphs
from tests.support.graphs import v1


def _v1_loop(condition, name: str = "scope/around") -> GraphDef:
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [], name="x")
        v1.while_loop(condition, lambda value: value * 2.0, [x], name=name)
    return graph.as_graph_def()


def test_a_loop_of_a_constant_condition_is_named():
    assert endless.loops(_v1_loop(lambda value: tf.constant(True))) == ["scope/around"]
    assert endless.loops(_v1_loop(lambda value: tf.constant(1) < tf.constant(2))) == ["scope/around"]


@pytest.mark.parametrize("condition", [lambda value: tf.constant(False), lambda value: value < 9.0])
def test_a_loop_that_may_end_is_let_be(condition):
    graph_def = _v1_loop(condition)
    assert endless.loops(graph_def) == []
    endless.check(graph_def)


def test_the_error_says_which_and_what_to_do():
    with pytest.raises(ExportError, match="(?s)'scope/around'.*--input=.*--no_sample"):
        endless.check(_v1_loop(lambda value: tf.constant(True)))


def _constant(nodes, name: str, value) -> None:
    node = nodes.add(name=name, op="Const")
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))


def _while(value, op: str = "While", returned: str = "value:output:0") -> GraphDef:
    """Returns a graph with a functional loop whose condition is a constant that passes through a NoOp-like chain."""
    graph_def = GraphDef()
    function = graph_def.library.function.add()
    function.signature.name = "condition"
    _constant(function.node_def, "first", value)
    function.node_def.add(name="value", op="Identity", input=["first:output:0"])
    function.ret["out"] = returned
    graph_def.library.function.add().signature.name = "other"
    node = graph_def.node.add(name="loop", op=op)
    node.attr["cond"].func.name, node.attr["body"].func.name = "condition", "other"
    return graph_def


@pytest.mark.parametrize("op", ["While", "StatelessWhile"])
def test_a_functional_loop_too(op):
    assert endless.loops(_while(True, op)) == ["loop"]
    assert endless.loops(_while(False, op)) == []


@pytest.mark.parametrize(("value", "found"), [([True, True], True), ([True, False], False), ([], False), (3, True)])
def test_what_counts_as_true(value, found):
    assert bool(endless.loops(_while(value))) == found


def test_only_the_first_output_of_a_constant_is_its_value():
    assert endless.loops(_while(True, returned="value:output:1")) == []


def test_what_is_called_cond_is_no_loop():
    assert endless.loops(_while(True, op="If")) == []


def test_a_condition_that_is_not_there_is_no_error():
    graph_def = _while(True)
    graph_def.node[0].attr["cond"].func.name = "gone"
    assert endless.loops(graph_def) == []


def test_loops_inside_functions_are_found():
    graph_def = _while(True)
    inner = graph_def.library.function[1]
    inner.node_def.add(name="deep", op="While").attr["cond"].func.name = "condition"
    _constant(inner.node_def, "yes", True)
    inner.node_def.add(name="old/LoopCond", op="LoopCond", input=["yes:output:0"])
    assert sorted(endless.loops(graph_def)) == ["deep", "loop", "old"]
