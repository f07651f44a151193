"""TensorArrays that no list can stand for: they stay as they are, with the reason."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1.passes import functional
from tests.export_v1.passes.functional.test_array_ops import array, with_flow
from tests.support import node_defs
from tests.support.control_flow import v1
from tests.support.node_defs import find, of_op

X = np.linspace(-1.0, 1.0, 6, dtype=np.float32).reshape(3, 2)


def stays(graph, *keep):
    """Returns why the only array of a graph stays."""
    result = functional.convert(graph, keep=keep)
    assert result.notes.converted["tensor_array"] == 0
    return dict(result.notes.unconverted)["TensorArray"]


def test_split_into_what_has_elements_stays():
    def make():
        array(3, infer_shape=False).write(0, tf.constant(X)).split(tf.constant(X), [1, 1, 1]).concat(name="y")

    assert "split" in stays(node_defs.built(make), "y:0").lower()


def test_flow_that_meets_something_else_stays():
    def make():
        one = array(2, element_shape=[])
        p = v1.placeholder(tf.bool, [], "p")
        flow = v1.cond(p, lambda: one.write(0, 2.0).flow, lambda: tf.constant(0.0))
        tf.identity(with_flow(one, flow).read(0), name="y")

    assert "cond/Merge" in stays(node_defs.built(make), "y:0")


def test_handle_that_meets_something_else_stays():
    def make():
        one = array(2, element_shape=[]).write(0, 2.0)
        p = v1.placeholder(tf.bool, [], "p")
        off, _ = v1.raw_ops.Switch(data=one.handle, pred=p)
        other = v1.placeholder(tf.resource, [], "other")
        handle, _ = v1.raw_ops.Merge(inputs=[off, other], name="meets")
        v1.raw_ops.TensorArrayReadV3(handle=handle, index=0, flow_in=one.flow, dtype=tf.float32, name="y")

    assert "meets" in stays(node_defs.built(make), "y:0")


def test_flow_of_something_else_stays():
    def make():
        one = array(2, element_shape=[])
        with_flow(one, v1.placeholder(tf.float32, [], "other")).read(0, name="y")

    assert "y" in stays(node_defs.built(make), "y:0")


@pytest.mark.parametrize("kept", ["TensorArray:0", "TensorArray:1"])
def test_handle_or_flow_that_is_kept_stays(kept):
    graph = node_defs.built(lambda: array(2, element_shape=[]).write(0, 2.0).read(0, name="y"))
    assert kept in stays(graph, "y:0", kept)


def test_handle_used_by_another_op_stays():
    def make():
        one = array(2, element_shape=[])
        with tf.control_dependencies([one.write(0, 1.0).flow]):
            v1.raw_ops.TensorArrayGradV3(handle=one.handle, flow_in=one.flow, source="s", name="other")

    reason = stays(node_defs.built(make), "other:1")
    assert "other" in reason and "TensorArrayGradV3" in reason


def test_flow_that_decides_stays():
    def make():
        array(2, element_shape=[]).write(0, 1.0).mark_used()
        v1.raw_ops.Switch(data=tf.constant(1.0), pred=tf.constant(True), name="decided")

    graph = node_defs.built(make)
    find(graph, "decided").input[1] = of_op(graph, "TensorArrayWriteV3")[0].name
    assert "Switch" in stays(graph, "decided:0")


def test_array_in_a_loop_that_stays_stays():
    def make():
        body = lambda i, one: (i + 1, one.write(i, 2.0))  # noqa: E731
        v1.while_loop(lambda i, one: i < 2, body, [0, array(2, element_shape=[])])[1].stack("y")
        tf.identity(array(2, element_shape=[]).write(0, 3.0).read(0), name="z")

    graph = node_defs.built(make)
    result = functional.convert(graph, keep=["while/Identity:0", "y/y:0", "z:0"])
    reasons = dict(result.notes.unconverted)
    assert reasons.keys() == {"TensorArray", "while/LoopCond"}
    assert result.notes.converted == {"while": 0, "cond": 0, "tensor_array": 1}
