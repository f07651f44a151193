"""TensorArray ops one by one: what becomes a list as a whole, and what is waited for."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1.passes import functional
from tests.support import control_flow, graphs, node_defs
from tests.support.control_flow import build, check, v1
from tests.support.node_defs import find, inputs, of_op

X = np.linspace(-1.0, 1.0, 6, dtype=np.float32).reshape(3, 2)


def array(size=3, **options):
    options = {"clear_after_read": False, "colocate_with_first_write_call": False, **options}
    return v1.TensorArray(tf.float32, size=size, **options)


def size(one, name=None):
    """How many elements an array has, asked as the graph runs: Python's `size()` of one that cannot grow is a constant."""
    return v1.raw_ops.TensorArraySizeV3(handle=one.handle, flow_in=one.flow, name=name)


def with_flow(one, flow):
    return v1.TensorArray(tf.float32, handle=one.handle, flow=flow)


def convert(graph, *keep):
    result = functional.convert(graph, keep=keep)
    assert result.notes.unconverted == [] and control_flow.left(result.graph_def) == []
    return result.graph_def


@pytest.mark.parametrize(
    ("rows", "whole"),
    [
        pytest.param(lambda: tf.range(3), True, id="all"),
        pytest.param(lambda: tf.range(2), False, id="fewer"),
        pytest.param(lambda: tf.range(1, 3), False, id="not from 0"),
        pytest.param(lambda: tf.range(0, 3, 2), False, id="every other"),
        pytest.param(lambda: tf.constant([2, 0, 2]), False, id="listed"),
        pytest.param(lambda: tf.range(v1.placeholder_with_default(2, [])), False, id="computed"),
        pytest.param(lambda: tf.range(size(array(2))), False, id="size of another array"),
    ],
)
def test_gathered_rows(rows, whole):
    result = check(build(lambda x: array(3).unstack(x).gather(rows()), X))
    assert bool(of_op(result.graph_def, "GatherV2")) != whole


def test_all_there_was_of_an_array_that_grew_is_not_all_of_it():
    def make(x):
        return array(2, dynamic_size=True).unstack(x).gather(tf.range(2))

    model = build(make, X)
    assert model.values[0].shape == (2, 2)
    check(model)
    made = check(build(lambda x: array(2, dynamic_size=True).unstack(x).stack(), X)).graph_def
    assert of_op(made, "TensorListStack") and not of_op(made, "GatherV2")


def test_all_rows_of_an_array_of_computed_size():
    def make(x):
        rows = tf.shape(x)[0]
        return array(rows).unstack(x).gather(tf.range(tf.shape(x)[0]))

    assert not of_op(check(build(make, X, static=False)).graph_def, "GatherV2")


def test_sizes_of_one_op_on_one_input_are_not_the_same_when_the_op_is_set_otherwise():
    """Bytes and characters of "aéb"."""

    def make():
        text = tf.constant("aéb")
        size, count = (v1.strings.length(text, unit=unit) for unit in ("BYTE", "UTF8_CHAR"))
        one = array(size).unstack(tf.constant([1.0, 2.0, 3.0, 4.0]))
        tf.identity(one.gather(tf.range(count)), name="y")

    np.testing.assert_array_equal(graphs.run(convert(node_defs.built(make), "y:0"), "y:0"), [1, 2, 3])


@pytest.mark.parametrize("kind", ["placeholders", "outputs of one op", "sums", "drawn"])
def test_sizes_from_elsewhere_are_not_the_same(kind):
    def make():
        if kind == "placeholders":
            size, count = v1.placeholder(tf.int32, [], "size"), v1.placeholder(tf.int32, [], "count")
        elif kind == "outputs of one op":
            size, count = tf.unstack(v1.placeholder_with_default([3, 2], [2], "both"))
        elif kind == "sums":
            one = v1.placeholder_with_default(1, [])
            size, count = one + 2, one + 1
        else:
            shape = tf.constant([], tf.int32)
            size, count = (tf.random.uniform(shape, 2, 4, tf.int32, name="n") for _ in range(2))
        rows = v1.placeholder(tf.float32, [None], "rows")
        one = array(size).unstack(rows)
        tf.identity(one.gather(tf.range(count)), name="y")

    graph = node_defs.built(make)
    for node in of_op(graph, "RandomUniformInt"):
        # As two draws without a seed are in a graph that was built outside of Python.
        node.attr["seed2"].i = 0
    made = convert(graph, "y:0")
    assert of_op(made, "GatherV2")
    if kind != "drawn":
        feeds = {"rows:0": [1.0, 2.0, 3.0]}
        feeds |= {"size:0": 3, "count:0": 2} if kind == "placeholders" else {}
        np.testing.assert_array_equal(graphs.run(made, "y:0", feeds), [1, 2])


def test_fewer_rows_than_there_is_room_for():
    def make(x):
        one = array(5, element_shape=[2]).scatter(tf.range(3), x)
        return one.stack(), one.size()

    model = build(make, X)
    assert model.values[1] == 5
    check(model)


def test_rows_and_then_one_more():
    def make(x):
        one = array(5, element_shape=[2]).scatter(tf.range(3), x)
        return one.write(4, x[0]).read(4), one.read(2)

    check(build(make, X))


def test_what_is_filled_once_and_read_one_by_one_is_the_tensor_as_a_list():
    """However many rows there is room for: XLA knows no other way to fill a list. What gave the count can be fed."""

    def make():
        rows = v1.placeholder(tf.float32, [3, 2], "rows")
        count = v1.placeholder(tf.int32, [], "count")
        one = array(3, element_shape=[2]).scatter(tf.range(count), rows)
        tf.identity(one.read(1), name="y")

    made = convert(node_defs.built(make), "y:0")
    assert of_op(made, "TensorListFromTensor") and not of_op(made, "TensorListScatterIntoExistingList", "Range")
    assert find(made, "count").op == "Placeholder"
    np.testing.assert_array_equal(graphs.run(made, "y:0", {"rows:0": X, "count:0": 3}), X[1])


def test_rows_put_elsewhere_are_scattered():
    def make(x):
        one = array(3, element_shape=[2]).scatter([2, 0, 1], x)
        return one.read(0), one.read(2)

    made = check(build(make, X)).graph_def
    assert of_op(made, "TensorListScatterIntoExistingList") and not of_op(made, "TensorListFromTensor")


def test_rows_put_over_others():
    """A scatter into an array that has elements keeps those it does not reach."""

    def make(x):
        one = array(3, element_shape=[2]).write(2, x[0])
        return one.scatter(tf.range(2), x[:2]).stack()

    check(build(make, X, gradients=False))


@pytest.mark.parametrize("grows", [False, True])
def test_only_an_array_that_may_grow_is_resized(grows):
    def make(x):
        return array(3, dynamic_size=grows).write(0, x).read(0)

    made = check(build(make, X)).graph_def
    assert bool(of_op(made, "TensorListResize")) == grows
    assert [one.attr["resize_if_index_out_of_bounds"].b for one in of_op(made, "TensorListSetItem")] == [grows]


@pytest.mark.parametrize("grow", [(False, True), (True, False)])
def test_a_group_may_grow_if_one_of_it_may(grow):
    def make():
        p = v1.placeholder(tf.bool, [], "p")
        first, second = (array(1, element_shape=[], dynamic_size=dynamic) for dynamic in grow)
        handle, flow = v1.cond(p, lambda: (first.handle, first.flow), lambda: (second.handle, second.flow))
        one = v1.TensorArray(tf.float32, handle=handle, flow=flow).write(0, 3.0)
        tf.identity(one.read(0), name="y")
        size(one, "n")

    result = functional.convert(node_defs.pruned(node_defs.built(make), "y", "n"), keep=["y:0", "n:0"])
    assert result.notes.unconverted == [] and result.notes.converted["tensor_array"] == 2
    assert [one.attr["resize_if_index_out_of_bounds"].b for one in of_op(result.graph_def, "TensorListSetItem")] == [
        True
    ]
    for given in (True, False):
        assert graphs.run(result.graph_def, ["y:0", "n:0"], {"p:0": given}) == [3.0, 1]


OPS = {
    "TensorArrayV3": ("TensorListReserve", lambda one, x: None),
    "TensorArrayReadV3": ("TensorListGetItem", lambda one, x: one.unstack(x).read(0)),
    "TensorArrayWriteV3": ("TensorListSetItem", lambda one, x: one.write(0, x).flow),
    "TensorArraySizeV3": ("TensorListLength", lambda one, x: size(one)),
    "TensorArrayCloseV3": ("NoOp", lambda one, x: one.close()),
    "TensorArrayGatherV3": ("TensorListStack", lambda one, x: one.unstack(x).stack()),
    "TensorArrayScatterV3": ("TensorListFromTensor", lambda one, x: one.unstack(x).flow),
    "TensorArraySplitV3": ("TensorListSplit", lambda one, x: one.split(x, [1, 1, 1]).flow),
    "TensorArrayConcatV3": ("TensorListConcatV2", lambda one, x: one.split(x, [1, 1, 1]).concat()),
}


@pytest.mark.parametrize("op", OPS)
def test_each_op_waits_for_what_it_waited_for(op):
    becomes, use = OPS[op]

    def make():
        tf.no_op(name="ready")
        use(array(3, infer_shape=False), tf.constant(X))

    graph = node_defs.built(make)
    [node] = of_op(graph, op)
    node.input.append("^ready")
    made = convert(graph, "ready")
    one = find(made, node.name)
    assert one.op == becomes and one.input[-1] == "^ready"
    if becomes not in ("TensorListLength", "NoOp"):
        assert one.attr["element_dtype"].type == tf.float32.as_datatype_enum


def test_rows_of_a_scattered_array_wait_too():
    def make():
        tf.no_op(name="ready")
        one = array(5, element_shape=[2]).scatter([2, 0, 1], tf.constant(X))
        one.gather([1])

    graph = node_defs.built(make)
    for op in ("TensorArrayScatterV3", "TensorArrayGatherV3"):
        of_op(graph, op)[0].input.append("^ready")
    made = convert(graph, "ready")
    for op in ("TensorListScatterIntoExistingList", "TensorListStack"):
        assert of_op(made, op)[0].input[-1] == "^ready"


def test_concatenated_elements_of_known_rest():
    def make():
        one = array(2, element_shape=[None, 2], infer_shape=False)
        tf.identity(one.split(v1.placeholder(tf.float32, [3, 2], "x"), [1, 2]).concat(), name="y")

    graph = node_defs.built(make)
    of_op(graph, "TensorArrayConcatV3")[0].attr["element_shape_except0"].shape.CopyFrom(tf.TensorShape([2]).as_proto())
    made = convert(graph, "y:0")
    [node] = of_op(made, "TensorListConcatV2")
    assert graphs.run(made, node.input[1] + ":0").tolist() == [-1, 2]
    np.testing.assert_array_equal(graphs.run(made, "y:0", {"x:0": X}), X)


def test_shapes_that_ops_say():
    """What reads says more than what makes; -1 stands for no rank."""

    def make():
        array(3, element_shape=[None], infer_shape=False).write(0, v1.placeholder(tf.float32, None, "x")).stack()

    graph = node_defs.built(make)
    of_op(graph, "TensorArrayGatherV3")[0].attr["element_shape"].shape.CopyFrom(tf.TensorShape([2]).as_proto())
    assert graphs.run(convert(graph), "TensorArray/element_shape:0").tolist() == [2]
    made = convert(node_defs.built(lambda: size(array(3, infer_shape=False))))
    assert graphs.run(made, "TensorArray/element_shape:0") == -1


def test_shapes_of_all_that_is_written():
    def make(x):
        one = array(2, infer_shape=False)
        flow = v1.cond(tf.reduce_sum(x) > 0, lambda: one.write(1, x[:1]).flow, lambda: one.write(1, x[:2]).flow)
        return with_flow(one, flow).read(1)

    for sign in (1, -1):
        made = check(build(make, sign * (X + 0.1))).graph_def
        # Rows differ, columns do not.
        assert graphs.run(made, "TensorArray/element_shape:0").tolist() == [-1, 2]


def test_elements_that_are_split_are_of_any_length():
    def make(x):
        one = array(2, infer_shape=False).split(x, [1, 2])
        return one.read(0), one.read(1)

    made = check(build(make, X)).graph_def
    assert graphs.run(made, "TensorArray/element_shape:0").tolist() == [-1, 2]


def test_of_two_that_are_written_neither_tells_the_others_length():
    def make(x):
        return array(2, element_shape=[None, 2], infer_shape=False).write(0, x).write(1, x[:1]).concat()

    check(build(make, X, static=False))


def test_controls_from_what_is_gone_go_with_it():
    """The Enter that carried a handle into the loop is no more; the graph has to be one still."""

    def make():
        def body(i, one):
            with tf.control_dependencies([one.handle]):
                return i + 1, one.write(i, tf.identity(2.0, name="waits"))

        tf.no_op(name="ready")
        v1.while_loop(lambda i, one: i < 2, body, [0, array(2, element_shape=[])])[1].stack("y")

    made = convert(node_defs.built(make), "y/y:0")
    assert graphs.run(made, "y/y:0").tolist() == [2.0, 2.0]


@pytest.mark.parametrize("shaped", [True, False])
def test_list_of_a_loop_is_reserved_with_a_shape_measured_before_it(shaped):
    """What is written has the shape of a tensor from before the loop, whose rows are known only as the graph runs."""

    def make(x):
        before = tf.tanh(x * 2.0, name="before")

        def body(i, one):
            row = v1.where(before > 0, before, before * i) if shaped else tf.concat([before] * 2, 0)
            return i + 1.0, one.write(tf.cast(i, tf.int32), row)

        one = array(3, infer_shape=False)
        return v1.while_loop(lambda i, one: i < 3.0, body, [0.0, one])[1].stack()

    model = build(make, X, static=False)
    made = check(model).graph_def
    [node] = of_op(made, "TensorListReserve")
    assert ("measured_shape" in node.input[0]) == shaped
    if shaped:
        assert graphs.run(made, node.input[0] + ":0", model.feeds).tolist() == [3, 2]
        # What stacks the list says so, too.
        assert of_op(made, "TensorListStack")[0].input[1] == node.input[0]


def test_a_list_of_known_shape_is_not_measured():
    def make(x):
        body = lambda i, one: (i + 1, one.write(i, x))  # noqa: E731
        return v1.while_loop(lambda i, one: i < 3, body, [0, array(3)])[1].stack()

    made = check(build(make, X)).graph_def
    assert inputs(made, "TensorArray")[0] == "TensorArray/element_shape"


@pytest.mark.parametrize("shapes", [((2,), (3,)), ((2,), (None,))])
def test_elements_of_different_shapes_written_one_after_the_other_stay_an_array(shapes):
    def make():
        one = array(2, infer_shape=False)
        for at, shape in enumerate(shapes):
            one = one.write(at, v1.placeholder(tf.float32, shape, name=f"x{at}"))
        tf.identity(one.read(1), name="y")

    graph = node_defs.built(make)
    result = functional.convert(graph, keep=["y:0"])
    [(name, why)] = result.notes.unconverted
    assert name == "TensorArray" and "its elements differ in shape" in why
    feeds = {"x0:0": [1.0, 2.0], "x1:0": [3.0, 4.0, 5.0]}
    assert graphs.run(result.graph_def, "y:0", feeds).tolist() == [3.0, 4.0, 5.0]


def test_elements_that_tensorflow_1_held_to_one_shape_become_a_list():
    def make():
        one = array(2, infer_shape=True, element_shape=[None])
        one = one.write(0, v1.placeholder(tf.float32, [2], name="x0"))
        one = one.write(1, v1.placeholder(tf.float32, [None], name="x1"))
        tf.identity(one.read(1), name="y")

    convert(node_defs.built(make), "y:0")
