"""What a folded condition waits for, what is dead with it, and which branch an If or a Case takes."""

import pytest
import tensorflow as tf

from export_v1.ir.graph import GraphDef
from export_v1.passes import fold, freeze
from tests.support import graphs
from tests.support.graphs import v1

BOOL, INT = tf.bool.as_datatype_enum, tf.int32.as_datatype_enum


def _folded(graph: tf.Graph, values: dict[str, tuple[int, object]]) -> tuple[dict, GraphDef]:
    frozen = freeze.to_constants(graph.as_graph_def(), values).graph_def
    folded = fold.conditions(frozen).graph_def
    return {node.name: node for node in folded.node}, folded


def _waiting() -> tf.Graph:
    with graphs.tensorflow_1() as graph:
        x, flag = v1.placeholder(tf.float32, [], name="x"), v1.placeholder(tf.bool, [], name="flag")
        init = tf.no_op(name="init")
        with tf.control_dependencies([init]):
            no, yes = tf.raw_ops.Switch(data=x, pred=flag, name="switch")
        off, on = tf.negative(no, name="off"), tf.exp(yes, name="on")
        with tf.control_dependencies([init]):
            tf.raw_ops.Merge(inputs=[off, on], name="merge")
    return graph


@pytest.mark.parametrize("flag", [True, False])
def test_a_folded_condition_waits_for_what_it_waited_for(flag):
    nodes, _ = _folded(_waiting(), {"flag:0": (BOOL, flag)})
    taken, other = ("on", "off") if flag else ("off", "on")
    assert nodes["switch"].op == nodes["merge"].op == "Identity"
    assert list(nodes["switch"].input) == ["x", "^init"]
    assert list(nodes["merge"].input) == [taken, "^init"]
    assert nodes[taken].input[0] == "switch", "past the Switch, it would not wait"
    assert other not in nodes


@pytest.mark.parametrize("flag", [True, False])
def test_a_branch_sees_the_write_that_its_switch_waited_for(flag):
    with graphs.tensorflow_1() as graph:
        n, pred = v1.get_variable("n", [], use_resource=True), v1.placeholder(tf.bool, [], name="flag")
        with tf.control_dependencies([n.assign_add(5.0, read_value=False)]):
            read = n.read_value()
            no, yes = tf.raw_ops.Switch(data=read, pred=pred)
        merged, _ = tf.raw_ops.Merge(inputs=[no * 2.0, yes * 3.0])
        tf.identity(merged, name="y")
    _, folded = _folded(graph, {"flag:0": (BOOL, flag)})
    assert graphs.run(folded, "y:0", values={"n": 1.0}) == (18.0 if flag else 12.0)


def test_readers_of_a_switch_that_waits_for_nothing_read_its_data():
    with graphs.tensorflow_1() as graph:
        x, flag = v1.placeholder(tf.float32, [], name="x"), v1.placeholder(tf.bool, [], name="flag")
        no, yes = tf.raw_ops.Switch(data=x, pred=flag, name="switch")
        tf.exp(no, name="off"), tf.exp(yes, name="on")
    for flag in (True, False):
        nodes, _ = _folded(graph, {"flag:0": (BOOL, flag)})
        assert list(nodes["on" if flag else "off"].input) == ["x"]


def test_a_reference_stays_one_through_a_folded_condition():
    with graphs.tensorflow_1() as graph:
        n, flag = v1.get_variable("n", [])._ref(), v1.placeholder(tf.bool, [], name="flag")
        with tf.control_dependencies([tf.no_op(name="init")]):
            no, yes = tf.raw_ops.RefSwitch(data=n, pred=flag, name="switch")
            merged, _ = tf.raw_ops.RefMerge(inputs=[no, yes], name="merge")
        tf.raw_ops.AssignAdd(ref=merged, value=2.0, name="write")
    for flag in (True, False):
        nodes, folded = _folded(graph, {"flag:0": (BOOL, flag)})
        assert nodes["write"].input[0] == "n"
        assert graphs.run(folded, "write:0", values={"n": 1.0}) == 3.0


def test_what_waits_for_a_dead_node_is_dead():
    with graphs.tensorflow_1() as graph:
        x, flag = v1.placeholder(tf.float32, [], name="x"), v1.placeholder(tf.bool, [], name="flag")
        no, yes = tf.raw_ops.Switch(data=x, pred=flag)
        with tf.control_dependencies([tf.identity(yes, name="pivot")]):
            on = tf.constant(1.0, name="on")
        with tf.control_dependencies([tf.identity(no, name="other_pivot")]):
            off = tf.constant(2.0, name="off")
        tf.raw_ops.Merge(inputs=[off, on], name="merge")
    for flag in (True, False):
        nodes, folded = _folded(graph, {"flag:0": (BOOL, flag)})
        assert ("on" in nodes, "off" in nodes) == (flag, not flag)
        assert graphs.run(folded, "merge:0", {"x:0": 0.0}) == (1.0 if flag else 2.0)


def test_a_merge_with_two_live_inputs_left_stays_one():
    with graphs.tensorflow_1() as graph:
        x, flag = v1.placeholder(tf.float32, [], name="x"), v1.placeholder(tf.bool, [], name="flag")
        data = v1.placeholder(tf.bool, [], name="data")
        _, dead = tf.raw_ops.Switch(data=x, pred=flag)
        no, yes = tf.raw_ops.Switch(data=x, pred=data)
        gone, twice, thrice = tf.exp(dead, name="gone"), no * 2.0, yes * 3.0
        waited_for = tf.exp(dead, name="waited_for")
        with tf.control_dependencies([tf.no_op(name="init"), waited_for]):
            tf.raw_ops.Merge(inputs=[gone, twice, thrice], name="merge")
            tf.raw_ops.Merge(inputs=[no, yes], name="whole")
    nodes, folded = _folded(graph, {"flag:0": (BOOL, False)})
    assert nodes["merge"].op == "Merge" and nodes["merge"].attr["N"].i == 2
    assert list(nodes["merge"].input)[2:] == list(nodes["whole"].input)[2:] == ["^init"]
    for data in (True, False):
        assert graphs.run(folded, "merge:0", {"x:0": 1.0, "data:0": data}) == (3.0 if data else 2.0)


def test_a_merge_of_nothing_live_is_dead():
    with graphs.tensorflow_1() as graph:
        x, flag = v1.placeholder(tf.float32, [], name="x"), v1.placeholder(tf.bool, [], name="flag")
        no, yes = tf.raw_ops.Switch(data=x, pred=flag)
        inner_no, inner_yes = tf.raw_ops.Switch(data=yes, pred=v1.placeholder(tf.bool, [], name="data"))
        inner, _ = tf.raw_ops.Merge(inputs=[inner_no, inner_yes], name="inner")
        tf.raw_ops.Merge(inputs=[no, inner], name="y")
    nodes, folded = _folded(graph, {"flag:0": (BOOL, False)})
    assert "inner" not in nodes and "Switch_1" not in nodes
    assert graphs.run(folded, "y:0", {"x:0": 4.0}) == 4.0


def test_a_condition_on_what_a_folded_condition_answers_goes_too():
    with graphs.tensorflow_1() as graph:
        x, flag = v1.placeholder(tf.float32, [], name="x"), v1.placeholder(tf.bool, [], name="flag")
        data = v1.placeholder(tf.bool, [], name="data")
        answer = v1.cond(flag, lambda: tf.constant(False), lambda: tf.identity(data))
        tf.identity(v1.cond(answer, lambda: x * 2.0, lambda: x * 3.0), name="y")
    _, folded = _folded(graph, {"flag:0": (BOOL, True)})
    assert "Merge" not in graphs.kinds(folded)
    assert graphs.run(folded, "y:0", {"x:0": 1.0}) == 3.0


def test_as_many_nodes_are_counted_as_went():
    graph = _waiting()
    frozen = freeze.to_constants(graph.as_graph_def(), {"flag:0": (BOOL, True)}).graph_def
    result = fold.conditions(frozen)
    folded, count = result.graph_def, result.notes.folded
    assert count == 1 == len(set(graphs.names(frozen)) - set(graphs.names(folded)))


def test_a_predicate_that_is_no_scalar_is_left_to_tensorflow():
    graph_def = _waiting().as_graph_def()
    frozen = freeze.to_constants(graph_def, {"flag:0": (BOOL, [True])}).graph_def
    result = fold.conditions(frozen)
    folded, count = result.graph_def, result.notes.folded
    assert count == 0 and {"Switch", "Merge"} <= graphs.kinds(folded)


def _case() -> tf.Graph:
    with tf.Graph().as_default() as graph:
        x, which = v1.placeholder(tf.float32, [], name="x"), v1.placeholder(tf.int32, [], name="which")
        made = tf.switch_case(which, [lambda: x * 2.0, lambda: x * 3.0, lambda: x * 5.0])
        tf.identity(made, name="y")
    return graph


@pytest.mark.parametrize("which", [-2, -1, 0, 1, 2, 3, 7])
def test_a_case_out_of_range_takes_the_last_branch(which):
    graph, feeds = _case(), {"x:0": 1.0}
    _, folded = _folded(graph, {"which:0": (INT, which)})
    assert not {"Case", "StatelessCase"} & graphs.kinds(folded)
    want = graphs.run(graph.as_graph_def(), "y:0", {**feeds, "which:0": which})
    assert graphs.run(folded, "y:0", feeds) == want == {0: 2.0, 1: 3.0}.get(which, 5.0)


@pytest.mark.parametrize(
    ("op", "call"), [("If", "StatefulPartitionedCall"), ("StatelessIf", "PartitionedCall"),
                     ("Case", "StatefulPartitionedCall"), ("StatelessCase", "PartitionedCall")]
)  # fmt: skip
def test_an_effect_stays_one_and_its_call_waits(op, call):
    graph_def = GraphDef()
    graph_def.node.add(name="init", op="NoOp")
    graph_def.node.add(name="x", op="Placeholder").attr["dtype"].type = tf.float32.as_datatype_enum
    selector = graph_def.node.add(name="selector", op="Const")
    selector.attr["dtype"].type = INT
    selector.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(1))
    node = graph_def.node.add(name="branch", op=op, input=["selector", "x", "^init"])
    node.attr["Tin"].list.type.append(tf.float32.as_datatype_enum)
    node.attr["Tout"].list.type.append(tf.int64.as_datatype_enum)
    node.attr["then_branch"].func.name, node.attr["else_branch"].func.name = "second", "first"
    node.attr["branches"].list.func.add(name="first")
    node.attr["branches"].list.func.add(name="second")
    made = {one.name: one for one in fold.conditions(graph_def).graph_def.node}["branch"]
    assert made.op == call and list(made.input) == ["x", "^init"]
    assert made.attr["f"].func.name == "second"
    assert list(made.attr["Tin"].list.type) == [tf.float32.as_datatype_enum]
    assert list(made.attr["Tout"].list.type) == [tf.int64.as_datatype_enum]


@pytest.mark.parametrize("predicate", [True, False, 0, 3, 0.0, 0.5, [True], [False], [], [0, 0]])
def test_an_if_takes_what_tensorflow_calls_true(predicate):
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [], name="x")
        value = tf.constant(predicate, name="predicate")

        @tf.function(input_signature=[tf.TensorSpec([], tf.float32)])
        def then(x):
            return x * 2.0

        @tf.function(input_signature=[tf.TensorSpec([], tf.float32)])
        def other(x):
            return x * 3.0

        branches = {"then_branch": then.get_concrete_function(), "else_branch": other.get_concrete_function()}
        for one in branches.values():
            one.add_to_graph(graph)
        made = tf.raw_ops.If(cond=value, input=[x], Tout=[tf.float32], **branches)
        tf.identity(made[0], name="y")
    folded = fold.conditions(graph.as_graph_def()).graph_def
    assert "If" not in graphs.kinds(folded)
    want = graphs.run(graph.as_graph_def(), "y:0", {"x:0": 1.0})
    assert graphs.run(folded, "y:0", {"x:0": 1.0}) == want
