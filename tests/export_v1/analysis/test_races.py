"""Answers that depend on whether a variable is read before or after it is written."""

import tensorflow as tf

from export_v1.analysis import races
from tests.support import graphs
from tests.support.graphs import v1


def _graph(build):
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [3], name="x")
        for key, tensor in build(x, v1.get_variable("v", initializer=[1.0, 2.0, 3.0], use_resource=False)).items():
            tf.identity(tensor, name=key)
    return graph.as_graph_def()


def _one_after_the_other(x, v):
    before = v * 1.0
    with tf.control_dependencies([before]):
        written = v1.assign_add(v, x)
    with tf.control_dependencies([written]):
        return {"before": before, "written": written + 0.0, "after": v.read_value() * 2.0}


def _left_open(x, v):
    view = tf.identity(v)
    with tf.control_dependencies([view]):
        written = v1.assign_add(v, x)
    return {"read": view * 2.0, "written": written + 0.0, "other": x * 2.0}


def _undecided(build):
    graph_def = _graph(build)
    keys = ("before", "written", "after", "read", "other")
    names = {node.name for node in graph_def.node}
    asked = [key for key in keys if key in names]
    kept = v1.graph_util.extract_sub_graph(graph_def, asked)
    return races.undecided(kept, {key: f"{key}:0" for key in asked})


def test_what_is_ordered_is_decided():
    assert _undecided(_one_after_the_other) == {}


def test_a_view_that_is_read_whenever_is_not():
    assert _undecided(_left_open) == {
        "read": "'mul' reads variable 'v', 'AssignAdd' writes it, and the graph leaves open which is first"
    }


def _moving(x, v):
    """A side of a condition that moves an average."""

    def moved():
        with tf.control_dependencies([v1.assign_add(v, x)]):
            return x * 2.0

    return moved


def _on_two_sides(predicate):
    """An average that one side of a condition moves, and the other reads, through a view that was made before both."""

    def build(x, v):
        view = tf.identity(v)
        return {"read": v1.cond(predicate(x), _moving(x, v), lambda: view * x)}

    return build


def test_two_sides_of_a_condition_never_meet():
    assert _undecided(_on_two_sides(lambda x: x[0] > 0)) == {}


def test_what_never_runs_races_with_nothing():
    def frozen(x, v):
        view = tf.identity(v)
        return {"read": v1.cond(tf.constant(False), _moving(x, v), lambda: x) + view * 1.0}

    assert _undecided(frozen) == {}


def test_a_side_that_writes_races_with_what_is_read_outside():
    def outside(x, v):
        view = tf.identity(v)
        return {"read": v1.cond(x[0] > 0, _moving(x, v), lambda: x) + view * 1.0}

    assert list(_undecided(outside)) == ["read"]


def test_two_sides_of_a_condition_in_a_loop_both_have_their_turn():
    def turns(x, v):
        def step(i, total):
            def moved():
                with tf.control_dependencies([v1.assign_add(v, x)]):
                    return total + 0.0

            return i + 1, v1.cond(tf.equal(i % 2, 0), moved, lambda: total + tf.identity(v) * 1.0)

        return {"read": v1.while_loop(lambda i, _: i < 4, step, [0, x])[1]}

    assert list(_undecided(turns)) == ["read"]
