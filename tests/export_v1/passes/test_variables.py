import numpy as np
import pytest
import tensorflow as tf

from export_v1.errors import ExportError
from export_v1.ir import graph as graph_module
from export_v1.ir import ops
from export_v1.passes import prune, variables
from tests.support import graphs
from tests.support.graphs import v1


def _converted(graph: tf.Graph, outputs: list[str]):
    pruned = prune.to_outputs(graph.as_graph_def(), outputs).graph_def
    return pruned, variables.to_resources(pruned).graph_def


def _no_references(graph_def) -> bool:
    return not any(any(graph_module.ref_outputs(node)) or any(graph_module.ref_inputs(node)) for node in graph_def.node)


def test_reads_become_reads_of_a_resource():
    with graphs.tensorflow_1() as graph:
        w = v1.get_variable("scope/w", [2, 2])
        tf.matmul(w, v1.placeholder(tf.float32, [2, 2], name="x"), name="y")
    before, after = _converted(graph, ["y"])
    assert {"VariableV2"} <= graphs.kinds(before)
    assert _no_references(after) and "VarHandleOp" in graphs.kinds(after)
    values, feeds = {"scope/w": [[1, 2], [3, 4]]}, {"x:0": np.eye(2, dtype="f")}
    np.testing.assert_array_equal(graphs.run(after, "y:0", feeds, values), graphs.run(before, "y:0", feeds, values))


def test_a_variable_read_without_an_identity():
    with graphs.tensorflow_1() as graph:
        w = v1.get_variable("w", [2])
        tf.raw_ops.Add(x=w._ref(), y=w._ref(), name="y")
    before, after = _converted(graph, ["y"])
    assert _no_references(after)
    np.testing.assert_array_equal(graphs.run(after, "y:0", values={"w": [1, 2]}), [2, 4])


def test_writes_keep_their_order():
    with graphs.tensorflow_1() as graph:
        n = v1.get_variable("n", [], initializer=v1.zeros_initializer())
        x = v1.placeholder(tf.float32, [], name="x")
        # Computed with, since an Identity of a reference may share its buffer and change after the fact.
        before = tf.add(n.read_value(), 100.0, name="before")
        with tf.control_dependencies([before]):
            first = v1.assign_add(n, x)
        with tf.control_dependencies([first]):
            second = v1.assign_sub(n, 1.0)
        with tf.control_dependencies([second]):
            tf.identity(n.read_value() * 10.0, name="after")
        # The value that a write gives back is the variable's right after it.
        tf.identity(v1.assign(v1.get_variable("m", []), x * 2.0) + 1.0, name="assigned")
    fetches, feeds, values = ["before:0", "after:0", "assigned:0"], {"x:0": 5.0}, {"n": 2.0, "m": 0.0}
    old, new = _converted(graph, ["before", "after", "assigned"])
    assert _no_references(new)
    assert graphs.run(old, fetches, feeds, values) == [102.0, 60.0, 11.0]
    assert graphs.run(new, fetches, feeds, values) == [102.0, 60.0, 11.0]


def test_scatter_updates_and_counters():
    with graphs.tensorflow_1() as graph:
        w = v1.get_variable("w", [4])
        tf.identity(v1.scatter_add(w, [1, 3], [10.0, 20.0]), name="scattered")
        c = v1.get_variable("c", [], tf.int32)
        tf.identity(tf.raw_ops.CountUpTo(ref=c._ref(), limit=9), name="counted")
    values = {"w": [1, 2, 3, 4], "c": 5}
    old, new = _converted(graph, ["scattered", "counted"])
    assert _no_references(new)
    for result in (
        graphs.run(old, ["scattered:0", "counted:0"], values=values),
        graphs.run(new, ["scattered:0", "counted:0"], values=values),
    ):
        np.testing.assert_array_equal(result[0], [1, 12, 3, 24])
        assert result[1] == 5


@pytest.mark.parametrize("flag", [True, False])
def test_a_write_inside_a_condition(flag):
    with graphs.tensorflow_1() as graph:
        n = v1.get_variable("n", [])
        pred = v1.placeholder(tf.bool, [], name="pred")
        tf.identity(v1.cond(pred, lambda: v1.assign_add(n, 1.0), lambda: n * 7.0), name="y")
    old, new = _converted(graph, ["y"])
    assert _no_references(new)
    feeds, values = {"pred:0": flag}, {"n": 3.0}
    assert graphs.run(new, "y:0", feeds, values) == graphs.run(old, "y:0", feeds, values) == (4.0 if flag else 21.0)


def test_resource_variables_stay_as_they_are():
    with tf.Graph().as_default() as graph:
        w = v1.get_variable("w", [2], use_resource=True)
        tf.identity(w, name="y")
    before, after = _converted(graph, ["y"])
    assert before == after


def test_an_op_without_a_twin_is_named(monkeypatch):
    # Every op of TensorFlow that writes a reference has one by now.
    monkeypatch.setattr(
        ops, "WRITE_TWINS", {op: twin for op, twin in ops.WRITE_TWINS.items() if op != "ApplyPowerSign"}
    )
    with graphs.tensorflow_1() as graph:
        w = v1.get_variable("w", [2])
        tf.raw_ops.ApplyPowerSign(
            var=w._ref(),
            m=v1.get_variable("m", [2])._ref(),
            lr=0.1,
            logbase=0.1,
            sign_decay=0.1,
            beta=0.1,
            grad=[1.0, 1.0],
            name="odd",
        )
    with pytest.raises(ExportError, match="'odd' .ApplyPowerSign."):
        _converted(graph, ["odd"])


def test_an_identity_shares_the_buffer_of_a_variable_that_is_written():
    with graphs.tensorflow_1() as graph:
        n = v1.get_variable("n", [], initializer=v1.zeros_initializer())
        x = v1.placeholder(tf.float32, [3], name="x")
        operand = tf.multiply(x, 2.0, name="twice")
        with tf.control_dependencies([v1.assign_add(n, 1.0, name="write")]):
            # `n` is the Identity "n/read", which waits for nothing; the addition waits, and sees the write.
            tf.add(operand, n, name="waits")
        written = v1.assign_add(v1.get_variable("m", []), 5.0)
        m = graph.get_tensor_by_name("m/read:0")
        # No control edge here: the operand is what makes it wait.
        tf.add(tf.multiply(written, 10.0, name="operand"), m, name="operand_waits")
    fetches, feeds, values = ["waits:0", "operand_waits:0"], {"x:0": [0.0, 1.0, 2.0]}, {"n": 0.0, "m": 1.0}
    old, new = _converted(graph, ["waits", "operand_waits"])
    assert _no_references(new)
    # A read that waits for less may see the write all the same, if it happens to run later.
    nodes = {node.name: node for node in new.node}
    assert list(nodes[nodes["waits"].input[1]].input) == ["n", "^write", "^twice"]
    assert list(nodes[nodes["operand_waits"].input[1]].input) == ["m", "^operand"]
    for graph_def in (old, new):
        waits, operand_waits = graphs.run(graph_def, fetches, feeds, values)
        np.testing.assert_array_equal(waits, [1, 3, 5])
        assert operand_waits == 66.0
