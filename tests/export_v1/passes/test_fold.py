import numpy as np
import pytest
import tensorflow as tf

from export_v1.ir.graph import GraphDef, Index, parse
from export_v1.passes import fold, freeze, prune
from tests.support import graphs
from tests.support.graphs import v1


def _frozen(graph: tf.Graph, flag: str, value: bool, outputs: list[str]) -> tuple[GraphDef, int]:
    graph_def = freeze.to_constants(graph.as_graph_def(), {flag: (tf.bool.as_datatype_enum, value)}).graph_def
    result = fold.conditions(prune.to_outputs(graph_def, outputs).graph_def)
    folded, count = result.graph_def, result.notes.folded
    return prune.to_outputs(folded, outputs).graph_def, count


def _conditional() -> tf.Graph:
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [None], name="x")
        flag = v1.placeholder(tf.bool, [], name="flag")
        scale = tf.constant(3.0, name="scale")
        tf.identity(v1.cond(flag, lambda: x * scale, lambda: x - 1.0), name="y")
    return graph


@pytest.mark.parametrize("flag", [True, False])
def test_only_the_branch_taken_is_left(flag):
    graph = _conditional()
    feeds = {"x:0": np.float32([1, 2])}
    folded, _ = _frozen(graph, "flag:0", flag, ["y"])
    assert not {"Switch", "Merge"} & graphs.kinds(folded)
    assert ("Mul" in graphs.kinds(folded)) == flag
    assert ("Sub" in graphs.kinds(folded)) != flag
    np.testing.assert_array_equal(
        graphs.run(folded, "y:0", feeds), graphs.run(graph.as_graph_def(), "y:0", {**feeds, "flag:0": flag})
    )


def test_a_condition_on_data_stays():
    graph = _conditional()
    result = fold.conditions(graph.as_graph_def())
    folded, count = result.graph_def, result.notes.folded
    assert count == 0
    assert {node.name: node for node in folded.node} == {node.name: node for node in graph.as_graph_def().node}
    for flag in (True, False):
        feeds = {"x:0": np.float32([1, 2]), "flag:0": flag}
        np.testing.assert_array_equal(graphs.run(folded, "y:0", feeds), graphs.run(graph.as_graph_def(), "y:0", feeds))


def test_counts_what_went_and_not_what_came():
    """The branch not taken goes; what says which input the Merge took comes."""
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [], name="x")
        no, yes = tf.raw_ops.Switch(data=x, pred=tf.constant(True))
        merged, which = tf.raw_ops.Merge(inputs=[tf.exp(no, name="dead"), yes])
        tf.add(merged, tf.cast(which, tf.float32), name="y")
    result = fold.conditions(graph.as_graph_def())
    before, after = (set(graphs.names(graph_def)) for graph_def in (graph.as_graph_def(), result.graph_def))
    assert before - after == {"dead"} and after - before
    assert result.notes.folded == 1
    assert graphs.run(result.graph_def, "y:0", {"x:0": 2.0}) == 3.0


@pytest.mark.parametrize("outer", [True, False])
@pytest.mark.parametrize("inner", [True, False])
def test_a_known_condition_inside_an_unknown_one_and_around_it(outer, inner):
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [], name="x")
        data, flag = v1.placeholder(tf.bool, [], name="data"), v1.placeholder(tf.bool, [], name="flag")
        nested = v1.cond(data, lambda: v1.cond(flag, lambda: x * 2.0, lambda: x * 3.0), lambda: x * 5.0)
        around = v1.cond(flag, lambda: v1.cond(data, lambda: x + 2.0, lambda: x + 3.0), lambda: x + 5.0)
        tf.add(nested * 100.0, around, name="y")
    folded, _ = _frozen(graph, "flag:0", inner, ["y"])
    feeds = {"x:0": np.float32(7), "data:0": outer}
    expected = graphs.run(graph.as_graph_def(), "y:0", {**feeds, "flag:0": inner})
    assert graphs.run(folded, "y:0", feeds) == expected
    index = Index(folded)
    predicates = [index.ancestors([parse(node.input[1]).node]) for node in folded.node if node.op == "Switch"]
    assert predicates and all("data" in sources for sources in predicates)


def test_predicates_are_computed_through_logic():
    with graphs.tensorflow_1() as graph:
        x, flag = v1.placeholder(tf.float32, [], name="x"), v1.placeholder(tf.bool, [], name="flag")
        unknown = v1.placeholder(tf.bool, [], name="unknown")
        # False whatever `unknown` is, and then a comparison, a cast and a reshape of it.
        never = tf.logical_and(tf.logical_not(flag), unknown)
        as_number = tf.reshape(tf.cast(never, tf.int32), [])
        tf.identity(v1.cond(tf.equal(as_number, 1), lambda: x, lambda: -x), name="y")
    folded, _ = _frozen(graph, "flag:0", True, ["y"])
    assert graphs.kinds(folded) <= {"Placeholder", "Neg", "Identity", "Const"}
    assert graphs.run(folded, "y:0", {"x:0": 2.0}) == -2.0


def test_which_branch_merge_took_is_a_constant():
    with graphs.tensorflow_1() as graph:
        flag = v1.placeholder(tf.bool, [], name="flag")
        no, yes = tf.raw_ops.Switch(data=tf.constant(4.0), pred=flag)
        _, index = tf.raw_ops.Merge(inputs=[no * 1.0, yes * 1.0])
        tf.identity(index, name="which")
    for flag in (True, False):
        folded, _ = _frozen(graph, "flag:0", flag, ["which"])
        assert graphs.run(folded, "which:0") == int(flag)


def test_a_loop_whose_entry_is_never_taken_goes_with_its_branch():
    with graphs.tensorflow_1() as graph:
        flag, x = v1.placeholder(tf.bool, [], name="flag"), v1.placeholder(tf.float32, [], name="x")

        def loop():
            return v1.while_loop(lambda i, v: i < 3, lambda i, v: (i + 1, v * x), [0, 1.0])[1]

        tf.identity(v1.cond(flag, loop, lambda: x), name="y")
    taken, _ = _frozen(graph, "flag:0", True, ["y"])
    assert "NextIteration" in graphs.kinds(taken)
    assert graphs.run(taken, "y:0", {"x:0": 2.0}) == 8.0
    skipped, _ = _frozen(graph, "flag:0", False, ["y"])
    assert not {"Enter", "Exit", "NextIteration", "Merge"} & graphs.kinds(skipped)
    assert graphs.run(skipped, "y:0", {"x:0": 2.0}) == 2.0


def test_a_functional_condition_becomes_a_call():
    with tf.Graph().as_default() as graph:
        x, flag = v1.placeholder(tf.float32, [], name="x"), v1.placeholder(tf.bool, [], name="flag")
        tf.identity(tf.cond(flag, lambda: x * 2.0, lambda: x * 3.0), name="y")
    for flag in (True, False):
        folded, _ = _frozen(graph, "flag:0", flag, ["y"])
        assert not {"If", "StatelessIf"} & graphs.kinds(folded)
        assert graphs.run(folded, "y:0", {"x:0": 1.0}) == (2.0 if flag else 3.0)
