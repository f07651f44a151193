"""What a loop says of itself: the most iterations it can make, and the variables that are read before it."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1.ir import graph
from export_v1.passes import functional
from tests.support import control_flow, graphs, node_defs
from tests.support.control_flow import build, check, v1
from tests.support.node_defs import find, of_op

F = tf.float32
X = np.linspace(-1.0, 1.0, 6, dtype=np.float32).reshape(3, 2)


def most(condition, start=0, step=lambda i: i + 1, x=3):
    """Returns the most iterations that a While is told for a loop with a counter."""

    def make():
        fed = v1.placeholder(tf.int32, [], "fed")
        v1.while_loop(
            lambda i, n, y: condition(i, n, fed), lambda i, n, y: (step(i), n, y * 2.0), [start, fed + 2, 1.0]
        )

    made = functional.convert(node_defs.built(make), keep=["while/Exit_2:0"]).graph_def
    [loop] = of_op(made, "StatelessWhile")
    return graphs.run(made, graph.parse(loop.input[1]).name, {"fed:0": x} if "fed" in graphs.names(made) else {})


@pytest.mark.parametrize(
    ("expected", "options"),
    [
        (7, {"condition": lambda i, n, fed: i < 7}),
        (5, {"condition": lambda i, n, fed: i < 7, "start": 2}),
        (3, {"condition": lambda i, n, fed: i < fed}),
        (5, {"condition": lambda i, n, fed: i < n}),
        # Constants are known where XLA compiles; what is fed is not.
        (9, {"condition": lambda i, n, fed: (i < fed) & (i < 9)}),
        (9, {"condition": lambda i, n, fed: (i < 9) & (n < 100)}),
        (7, {"condition": lambda i, n, fed: i < 7, "step": lambda i: 1 + i}),
        (-1, {"condition": lambda i, n, fed: (i < 3) | (i < 7)}),
        (-1, {"condition": lambda i, n, fed: i <= 7}),
        (-1, {"condition": lambda i, n, fed: i < 7, "step": lambda i: i + 2}),
        (-1, {"condition": lambda i, n, fed: i < 7, "step": lambda i: i + fed_one(i)}),
        (-1, {"condition": lambda i, n, fed: i < 7, "step": lambda i: i * 2, "start": 1}),
        (-1, {"condition": lambda i, n, fed: i < 7, "step": lambda i: i - 1}),
        (-1, {"condition": lambda i, n, fed: i < 7, "start": np.int64(0)}),
        (-1, {"condition": lambda i, n, fed: tf.cast(i, F) < 7.0}),
        (-1, {"condition": lambda i, n, fed: tf.cast(i, tf.int64) < 7}),
    ],
)
def test_most_iterations(expected, options):
    assert most(**options) == expected


def fed_one(i):
    return i - i + 1


def test_a_limit_that_changes_is_none():
    def make():
        v1.while_loop(lambda i, n: i < n, lambda i, n: (i + 1, n - 1), [0, 10])

    made = functional.convert(node_defs.built(make), keep=["while/Exit:0"]).graph_def
    assert graphs.run(made, graph.parse(of_op(made, "StatelessWhile")[0].input[1]).name) == -1
    assert graphs.run(made, "while/Exit:0") == 5


def test_a_counter_that_starts_where_it_is_fed_has_no_limit():
    def make():
        v1.while_loop(lambda i: i < 9, lambda i: i + 1, [v1.placeholder_with_default(2, [])])

    made = functional.convert(node_defs.built(make), keep=["while/Exit:0"]).graph_def
    assert graphs.run(made, graph.parse(of_op(made, "StatelessWhile")[0].input[1]).name) == -1


def variable(name="v"):
    return v1.get_variable(name, initializer=np.float32([1, 2, 3]), use_resource=True)


def test_a_variable_only_read_is_read_before_the_loop_and_one_written_is_not():
    def make(x):
        read, written = variable("read"), variable("written")

        def body(i, y):
            with tf.control_dependencies([written.assign_add([1.0, 1.0, 1.0])]):
                now = written.read_value()
            return i + 1, y + read.read_value()[0] + now[0]

        # One iteration at a time: in the original nothing else keeps a write from overtaking the read before it.
        return v1.while_loop(lambda i, y: i < 3, body, [0, x], parallel_iterations=1)[1]

    model = build(make, X, gradients=False)
    made = control_flow.converted(model).graph_def
    [read] = [one for one in made.node if one.op == "ReadVariableOp"]
    assert read.input[0] == "read"
    inside = [one for function in made.library.function for one in function.node_def if one.op == "ReadVariableOp"]
    assert len(inside) == 1
    values, _ = control_flow.answers(made, model)
    np.testing.assert_allclose(values[0], model.values[0], 1e-6)


def test_a_read_before_the_loop_waits_for_what_the_loop_waited_for():
    def make():
        v = variable()
        with tf.control_dependencies([tf.no_op(name="ready")]):
            start = tf.constant(0.0) + 0.0
        v1.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y + v.read_value()[0]), [0, start])

    graph_def = node_defs.built(make)
    find(graph_def, "while/Enter_1").input.append("^ready")
    made = functional.convert(graph_def, keep=["while/Exit_1:0", "ready"]).graph_def
    [read] = [one for one in made.node if one.op == "ReadVariableOp" and "read_v" in one.name]
    # The initializer writes the variable, and might be on the way to the loop.
    assert list(read.input)[:2] == ["v", "^ready"] and read.attr["dtype"].type == F.as_datatype_enum


def test_gathered_rows_and_shapes_of_a_variable():
    def make(x):
        table = v1.get_variable(
            "table", initializer=np.arange(12, dtype=np.float32).reshape(2, 3, 2), use_resource=True
        )

        def body(i, y):
            rows = v1.raw_ops.ResourceGather(
                resource=table.handle, indices=tf.stack([[i], [i]]), dtype=F, batch_dims=1, validate_indices=True
            )
            size = v1.raw_ops.VariableShape(input=table.handle, out_type=tf.int64)
            return i + 1, y + tf.reduce_sum(rows) + tf.cast(size[1], F)

        return v1.while_loop(lambda i, y: i < 3, body, [0, x])[1]

    made = check(build(make, X, gradients=False)).graph_def
    assert not of_op(made, "ResourceGather", "VariableShape")


def test_a_variable_whose_shape_alone_is_asked_for_is_not_read():
    def make(x):
        table = variable("table")

        def body(i, y):
            return i + 1, y + tf.cast(v1.raw_ops.VariableShape(input=table.handle)[0], F)

        return v1.while_loop(lambda i, y: i < 3, body, [0, x])[1]

    made = check(build(make, X, gradients=False)).graph_def
    assert of_op(made, "VariableShape") and not of_op(made, "ReadVariableOp")
