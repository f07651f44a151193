"""What constants determine, against what a session computes from them."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1.analysis import constants, liveness
from export_v1.ir import ordering
from export_v1.ir.graph import GraphDef, Index, Tensor
from tests.support import graphs
from tests.support.graphs import v1

raw = tf.raw_ops
PAIRS = "Equal NotEqual Less LessEqual Greater GreaterEqual Add AddV2 Sub Mul RealDiv".split()


def _arithmetic() -> None:
    three, five = tf.constant([3.0, 5.0, 5.0], name="a"), tf.constant([5.0, 3.0, 5.0], name="b")
    for op in PAIRS:
        getattr(raw, op)(x=three, y=five, name=op)
    for op in ("Neg", "Square", "Sqrt", "Rsqrt"):
        getattr(raw, op)(x=three, name=op)
    for op in ("Identity", "StopGradient"):
        getattr(v1 if op == "Identity" else tf, {"Identity": "identity", "StopGradient": "stop_gradient"}[op])(
            three, name=op
        )
    yes, both = tf.constant(True, name="yes"), tf.constant([[True, False], [True, True]], name="both")
    raw.LogicalNot(x=yes, name="LogicalNot")
    raw.LogicalAnd(x=yes, y=both, name="LogicalAnd")
    raw.LogicalOr(x=tf.constant(False), y=both, name="LogicalOr")
    raw.Cast(x=tf.constant([2.7, -2.7, 0.0]), DstT=tf.int32, name="Cast")
    raw.Cast(x=tf.constant([2.7, 0.0]), DstT=tf.bool, name="Cast_1")
    one = tf.constant([[[7], [8]]], name="one")
    raw.Squeeze(input=one, name="Squeeze")
    raw.Reshape(tensor=one, shape=[2, 1], name="Reshape")
    raw.ConcatV2(values=[one, one], axis=1, name="ConcatV2")
    raw.Pack(values=[three, five], axis=1, name="Pack")
    raw.Range(start=1, limit=7, delta=2, name="Range")
    raw.StridedSlice(input=three, begin=[-1], end=[0], strides=[1], shrink_axis_mask=1, name="StridedSlice")
    raw.StridedSlice(input=three, begin=[1], end=[3], strides=[1], name="StridedSlice_1")
    raw.StridedSlice(input=three, begin=[2], end=[1], strides=[1], begin_mask=1, name="StridedSlice_2")
    raw.StridedSlice(input=three, begin=[1], end=[1], strides=[1], end_mask=1, name="StridedSlice_3")
    raw.ExpandDims(input=one, axis=-1, name="ExpandDims")
    for op in ("All", "Any"):
        for at, (axes, keep) in enumerate(((0, False), ([1], True), ([0, 1], False), ([0, 1], True))):
            getattr(raw, op)(input=both, axis=axes, keep_dims=keep, name=f"{op}_{at}")


def test_values_are_those_of_a_session():
    with graphs.tensorflow_1() as graph:
        _arithmetic()
    graph_def = graph.as_graph_def()
    known = liveness.known_values(graph_def)
    assert {node.op for node in graph_def.node} >= set(constants.EVALUATORS) - {"Enter"}
    wanted = [node.name for node in graph_def.node]
    assert {tensor.node for tensor in known} == set(wanted)
    for name, value in zip(wanted, graphs.run(graph_def, [f"{name}:0" for name in wanted]), strict=True):
        got = known[Tensor(name)]
        assert got.dtype == value.dtype and got.shape == value.shape, name
        np.testing.assert_array_equal(got, value, err_msg=name)


def test_what_enters_a_loop_is_known_only_where_it_stays_the_same():
    with graphs.tensorflow_1() as graph:
        one = tf.constant(1)
        raw.Enter(data=one, frame_name="f", is_constant=True, name="constant")
        raw.Enter(data=one, frame_name="f", name="changes")
    known = liveness.known_values(graph.as_graph_def())
    assert known[Tensor("constant")] == 1 and Tensor("changes") not in known


@pytest.mark.parametrize("first", [True, False])
def test_one_operand_may_decide(first):
    with graphs.tensorflow_1() as graph:
        unknown = v1.placeholder(tf.bool, [], name="unknown")
        for op in ("LogicalAnd", "LogicalOr"):
            for constant in (True, False):
                pair = [tf.constant(constant), unknown]
                x, y = pair if first else pair[::-1]
                getattr(raw, op)(x=x, y=y, name=f"{op}_{constant}")
    known = liveness.known_values(graph.as_graph_def())
    assert not known[Tensor("LogicalAnd_False")] and known[Tensor("LogicalOr_True")]
    assert not {Tensor("LogicalAnd_True"), Tensor("LogicalOr_False"), Tensor("unknown")} & set(known)


def test_a_vector_does_not_decide_alone():
    with graphs.tensorflow_1() as graph:
        raw.LogicalAnd(x=[False], y=v1.placeholder(tf.bool, [None]), name="y")
    assert Tensor("y") not in liveness.known_values(graph.as_graph_def())


def test_an_axis_of_an_operand_that_is_not_known_is_no_error():
    with graphs.tensorflow_1() as graph:
        mask = v1.placeholder(tf.bool, [None, None], name="mask")
        tf.reduce_all(tf.logical_and(tf.constant(False), mask), name="y")
    assert Tensor("y") not in liveness.known_values(graph.as_graph_def())


@pytest.mark.parametrize(
    "build",
    [
        lambda: raw.RealDiv(x=1.0, y=0.0, name="y"),
        lambda: raw.RealDiv(x=[1.0, 1.0], y=[1.0, 0.0], name="y"),
        lambda: raw.Squeeze(input=[[1.0]], axis=[1], name="y"),
        lambda: raw.Exp(x=1.0, name="y"),
        lambda: raw.Add(x=[[1.0]] * 5, y=[[1.0] * 4], name="y"),
    ],
    ids=["divided by zero", "partly by zero", "one axis squeezed", "no evaluator", "more than a few"],
)
def test_what_is_not_followed(build):
    with graphs.tensorflow_1() as graph:
        build()
    assert Tensor("y") not in liveness.known_values(graph.as_graph_def())


def test_a_few_elements_are_followed_and_no_more():
    with graphs.tensorflow_1() as graph:
        tf.constant(np.arange(16), name="few")
        tf.constant(np.arange(17), name="many")
    known = liveness.known_values(graph.as_graph_def())
    assert len(known[Tensor("few")]) == 16 and Tensor("many") not in known


def test_order_puts_what_is_read_first_however_deep():
    graph_def = GraphDef()
    for at in range(5000, 0, -1):
        graph_def.node.add(name=f"n{at}", op="Identity", input=[f"n{at - 1}"])
    graph_def.node.add(name="n0", op="NoOp")
    assert [node.name for node in ordering.in_order(Index(graph_def))] == [f"n{at}" for at in range(5001)]


def test_order_counts_control_edges_and_not_the_way_back():
    graph_def = GraphDef()
    graph_def.node.add(name="merge", op="Merge", input=["enter", "next"])
    graph_def.node.add(name="next", op="NextIteration", input=["body"])
    graph_def.node.add(name="body", op="Identity", input=["merge", "^last"])
    graph_def.node.add(name="enter", op="Enter", input=["gone"])
    graph_def.node.add(name="last", op="NoOp")
    order = [node.name for node in ordering.in_order(Index(graph_def))]
    assert sorted(order) == ["body", "enter", "last", "merge", "next"]
    assert order.index("enter") < order.index("merge") < order.index("body") < order.index("next")
    assert order.index("last") < order.index("body")
