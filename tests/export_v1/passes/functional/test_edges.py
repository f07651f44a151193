"""What loops and conditions wait for, and those that stay as they are, with the reason."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1.passes import functional
from tests.support import control_flow, graphs, node_defs
from tests.support.control_flow import build, check, v1
from tests.support.node_defs import find, inputs, of_op

X = np.linspace(-1.0, 1.0, 6, dtype=np.float32).reshape(3, 2)


def loop(name="while", n=3, body=lambda y: y * 2.0, **options):
    """A loop beside a node that nothing waits for yet."""
    if "ready" not in [one.name for one in tf.compat.v1.get_default_graph().get_operations()]:
        tf.no_op(name="ready")
    y = v1.constant(1.0, name="start")
    return v1.while_loop(lambda i, y: i < n, lambda i, y: (i + 1, body(y)), [0, y], name=name, **options)


def condition():
    """A condition beside a node that nothing waits for yet, its predicate and its data placeholders."""
    tf.no_op(name="ready")
    p, x = v1.placeholder(tf.bool, [], "p"), v1.placeholder(tf.float32, [2], "x")
    off, on = v1.raw_ops.Switch(data=x, pred=p, name="switch")
    return v1.raw_ops.Merge(inputs=[tf.negative(off, name="off"), tf.exp(on, name="on")], name="merge")


def convert(graph, *keep):
    """Returns the conversion, in which every construct is converted."""
    result = functional.convert(graph, keep=keep)
    assert result.notes.unconverted == [] and control_flow.left(result.graph_def) == []
    return result.graph_def


def stays(graph, *keep):
    """Returns the constructs left as they were, with the reasons."""
    result = functional.convert(graph, keep=keep)
    assert result.notes.unconverted == sorted(result.notes.unconverted)
    return dict(result.notes.unconverted)


@pytest.mark.parametrize("name", ["while/Enter_1", "while/mul", "while/Less", "while/NextIteration_1"])
def test_a_while_waits_for_what_its_nodes_waited_for(name):
    graph = node_defs.built(loop)
    waiting = "while/mul" if name == "while/NextIteration_1" else name
    find(graph, waiting).input.append("^ready")
    made = convert(graph, "while/Exit_1:0", "ready")
    [node] = of_op(made, "StatelessWhile")
    assert "^ready" in node.input


def test_a_while_waits_for_what_an_invariant_waited_for():
    def make():
        tf.no_op(name="ready")
        # Too big to be copied into the functions.
        big = v1.constant(np.ones(512, np.float32), name="big")
        v1.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y + big), [0, tf.zeros([512])])

    graph = node_defs.built(make)
    [enter] = [one for one in of_op(graph, "Enter") if one.input[0] == "big"]
    enter.input.append("^ready")
    [node] = of_op(convert(graph, "while/Exit_1:0", "ready"), "StatelessWhile")
    assert "^ready" in node.input and "big" in node.input


def test_an_exit_still_waits_for_what_is_outside():
    graph = node_defs.built(loop)
    find(graph, "while/Exit_1").input.extend(["^ready", "^while/Exit"])
    made = convert(graph, "while/Exit_1:0", "ready")
    node = find(made, "while/Exit_1")
    assert node.op == "Identity" and "^ready" in node.input


def test_exits_give_their_own_variables():
    def make():
        start = [0, v1.constant(1.0), v1.constant(7, tf.int64)]
        v1.while_loop(lambda i, y, z: i < 3, lambda i, y, z: (i + 1, y * 2.0, z - 1), start)

    names = ["while/Exit_2:0", "while/Exit:0", "while/Exit_1:0"]
    made = convert(node_defs.built(make), *names)
    assert graphs.run(made, names) == [4, 3, 8.0]
    # Inputs: a counter, the most iterations, the variables.
    [node] = of_op(made, "StatelessWhile")
    types = [tf.int32, tf.int32, tf.int32, tf.float32, tf.int64]
    assert list(node.attr["T"].list.type)[:5] == [one.as_datatype_enum for one in types]
    assert node.attr["_num_original_outputs"].i == len(node.input)
    assert node.attr["_lower_using_switch_merge"].b and node.attr["_xla_propagate_compile_time_consts"].b
    assert graphs.run(made, node.input[0] + ":0") == 0
    assert graphs.run(made, f"{node.name}:0") == 3


@pytest.mark.parametrize("parallel", [1, 32])
def test_parallel_iterations_stay(parallel):
    graph = node_defs.built(lambda: loop(parallel_iterations=parallel))
    [node] = of_op(convert(graph, "while/Exit_1:0"), "StatelessWhile")
    assert node.attr["parallel_iterations"].i == parallel


def test_an_exit_from_where_the_body_reads_stays():
    graph = node_defs.built(loop)
    find(graph, "while/Exit_1").input[0] = "while/Switch_1:1"
    reason = stays(graph, "while/Exit_1:0")["while/LoopCond"]
    assert "while/Exit_1" in reason and "while/Switch_1" in reason


def test_an_exit_that_no_variable_feeds_stays():
    graph = node_defs.built(loop)
    find(graph, "while/Exit_1").input[0] = "while/mul"
    assert "while/Exit_1" in stays(graph, "while/Exit_1:0")["while/LoopCond"]


def test_a_way_back_without_an_enter_stays():
    graph = node_defs.built(loop)
    find(graph, "while/Merge_1").input[0] = "while/Identity"
    assert "while/Merge_1" in stays(graph, "while/Exit_1:0")["while/LoopCond"]


def test_a_frame_with_two_conditions_stays():
    graph = node_defs.built(loop)
    second = graph.node.add()
    second.CopyFrom(find(graph, "while/LoopCond"))
    second.name = "while/LoopCond_1"
    assert "while/LoopCond_1" in stays(graph, "while/Exit_1:0")["while/LoopCond"]


def test_an_effect_that_condition_and_body_share_stays():
    def make():
        drawn = []

        def more(i, y):
            drawn.append(tf.random.uniform([], name="draw"))
            return drawn[0] < 0.5

        v1.while_loop(more, lambda i, y: (i + 1, y + drawn[0]), [0, 0.0])

    reason = stays(node_defs.built(make), "while/Exit_1:0")["while/LoopCond"]
    assert "while/draw" in reason and "condition" in reason and "body" in reason


def test_an_effect_in_one_function_makes_a_while_with_effects():
    graph = node_defs.built(lambda: loop(body=lambda y: y + tf.random.uniform([])))
    [node] = of_op(convert(graph, "while/Exit_1:0"), "While", "StatelessWhile")
    assert node.op == "While"
    bodies = [one for one in convert(graph, "while/Exit_1:0").library.function if one.signature.is_stateful]
    assert [one.signature.name for one in bodies] == [node.attr["body"].func.name]
    assert "while/random_uniform/RandomUniform" in bodies[0].control_ret
    assert list(bodies[0].signature.control_output) == ["while/random_uniform/RandomUniform"]


def test_a_loop_something_in_which_is_fetched_stays():
    graph = node_defs.built(loop)
    assert "while/mul" in stays(graph, "while/mul:0", "while/Exit_1:0")["while/LoopCond"]


def test_what_cannot_be_inside_is_said_of_the_outer_loop():
    def make():
        def body(i, y):
            v1.while_loop(lambda j, z: j < 2, lambda j, z: (j + 1, z * 2.0), [0, y], name="inner")
            return i + 1, y

        v1.while_loop(lambda i, y: i < 3, body, [0, 1.0])

    graph = node_defs.built(make)
    find(graph, "while/inner/Exit_1").input[0] = "while/inner/Switch_1:1"
    find(graph, "while/NextIteration_1").input[0] = "while/inner/Exit_1"
    reason = stays(graph, "while/Exit_1:0")["while/LoopCond"]
    assert "while/inner/LoopCond" in reason


def test_an_if_waits_for_what_its_switches_waited_for():
    graph = node_defs.built(condition)
    find(graph, "switch").input.append("^ready")
    [node] = of_op(convert(graph, "merge:0", "ready"), "StatelessIf")
    assert "^ready" in node.input and node.input[0] == "p"


def test_an_if_waits_for_what_its_branches_waited_for():
    graph = node_defs.built(condition)
    find(graph, "on").input.append("^ready")
    [node] = of_op(convert(graph, "merge:0", "ready"), "StatelessIf")
    assert "^ready" in node.input


def test_a_merge_still_waits_for_what_is_outside():
    graph = node_defs.built(condition)
    find(graph, "merge").input.append("^ready")
    made = convert(graph, "merge:0", "ready")
    assert find(made, "merge").op == "Identity" and "^ready" in inputs(made, "merge")
    made = convert(graph, "merge:0", "merge:1", "ready")
    assert find(made, "merge").op == "IdentityN" and "^ready" in inputs(made, "merge")


@pytest.mark.parametrize("swapped", [False, True])
def test_branches_and_the_position_that_arrived(swapped):
    graph = node_defs.built(condition)
    if swapped:
        edges = inputs(graph, "merge")
        del find(graph, "merge").input[:]
        find(graph, "merge").input.extend(edges[::-1])
    made = convert(graph, "merge:0", "merge:1")
    for given in (False, True):
        value, position = graphs.run(made, ["merge:0", "merge:1"], {"p:0": given, "x:0": [1.0, 2.0]})
        np.testing.assert_allclose(value, np.exp([1.0, 2.0]) if given else [-1.0, -2.0], 1e-6)
        assert position == (given != swapped)
    [node] = of_op(made, "StatelessIf")
    assert node.attr["Tcond"].type == tf.bool.as_datatype_enum
    assert list(node.attr["Tout"].list.type) == [tf.float32.as_datatype_enum, tf.int32.as_datatype_enum]


def test_a_second_condition_on_what_the_first_gave_is_one_of_its_own():
    """One Switch feeds both, so they look like one; but one If cannot take its own result."""

    def make(x):
        p = tf.reduce_sum(x) > 0
        off, on = v1.raw_ops.Switch(data=x, pred=p)
        first, _ = v1.raw_ops.Merge(inputs=[off * 2, on * 3])
        off_first, on_first = v1.raw_ops.Switch(data=first, pred=p)
        second, _ = v1.raw_ops.Merge(inputs=[off + off_first, on - on_first])
        return second

    for sign in (1, -1):
        assert check(build(make, sign * (X + 0.1))).notes.converted["cond"] == 2


def test_conditions_that_would_draw_twice_stay():
    def make():
        p = v1.placeholder(tf.bool, [], "p")
        off, on = v1.raw_ops.Switch(data=tf.constant([2]), pred=p)
        drawn = v1.raw_ops.RandomUniform(shape=off, dtype=tf.float32, name="draw")
        first, _ = v1.raw_ops.Merge(inputs=[drawn, tf.cast(on, tf.float32)], name="first")
        off_first, on_first = v1.raw_ops.Switch(data=first, pred=p)
        v1.raw_ops.Merge(inputs=[drawn + off_first, -on_first], name="second")

    reason = stays(node_defs.built(make), "second:0")["first"]
    assert "draw" in reason and "more than once" in reason


@pytest.mark.parametrize("drawn", [True, False])
def test_an_effect_needed_beside_its_branch_stays(drawn):
    def make():
        p = v1.placeholder(tf.bool, [], "p")
        off, on = v1.raw_ops.Switch(data=tf.constant([2]), pred=p)
        within = v1.raw_ops.RandomUniform(shape=on, dtype=tf.float32) if drawn else tf.cast(on, tf.float32)
        within = tf.identity(within, name="within")
        v1.raw_ops.Merge(inputs=[tf.cast(off, tf.float32), within * 2.0], name="merge")
        tf.negative(within, name="beside")

    result = functional.convert(node_defs.built(make), keep=["merge:0", "beside:0"])
    if drawn:
        [(_, reason)] = [pair for pair in result.notes.unconverted if pair[0] == "merge"]
        assert "RandomUniform" in reason and "outside" in reason
    else:
        # What has no effects can be computed in both places.
        assert result.notes.converted["cond"] == 1 and find(result.graph_def, "beside").input[0] == "within"


@pytest.mark.parametrize("nested", [False, True])
def test_a_recurrence_in_a_branch_that_asserts_its_lengths_is_no_reason_to_stay(nested):
    """As tf.contrib.crf decodes: what is left of the arrays reads the branch, and must not hold its assertion there."""

    def recurrence(x):
        lengths = v1.shape(x)[:1]
        with tf.control_dependencies([v1.assert_greater(lengths, 0)]):
            count = tf.identity(lengths)[0]
        array = v1.TensorArray(tf.float32, count, dynamic_size=False).unstack(x)
        made = v1.TensorArray(tf.float32, count)
        _, _, made = v1.while_loop(
            lambda at, y, made: at < count,
            lambda at, y, made: (at + 1, y + array.read(at), made.write(at, y)),
            [0, tf.zeros([2]), made],
        )
        return tf.reduce_sum(made.stack(), 0)

    def chosen(x):
        return v1.cond(tf.shape(x)[0] > 1, lambda: recurrence(x), lambda: x[0])

    def make(x):
        if not nested:
            return chosen(x)
        return v1.while_loop(lambda i, y: i < 2, lambda i, y: (i + 1, y + chosen(x)), [0, tf.zeros([2])])[1]

    for rows in (3, 1):
        model = build(make, X[:rows], static=False)
        convert(model.graph_def, *model.outputs)
        check(model)


def test_three_branches_and_unlike_branches_stay():
    def make():
        p, q = v1.placeholder(tf.bool, [], "p"), v1.placeholder(tf.bool, [], "q")
        x = tf.constant(1.0)
        off, on = v1.raw_ops.Switch(data=x, pred=p)
        off_off, off_on = v1.raw_ops.Switch(data=off, pred=q)
        v1.raw_ops.Merge(inputs=[on, off_on, off_off], name="three")
        other, _ = v1.raw_ops.Switch(data=x, pred=q)
        v1.raw_ops.Merge(inputs=[on, other], name="unlike")

    reasons = stays(node_defs.built(make), "three:0", "unlike:0")
    assert reasons.keys() == {"three", "unlike"}
    assert "3 branches" in reasons["three"] and "predicate" in reasons["unlike"]


def test_a_switch_that_no_merge_ends_is_said():
    def make():
        _, on = v1.raw_ops.Switch(data=tf.constant(1.0), pred=v1.placeholder(tf.bool, []), name="alone")
        tf.identity(on, name="y")

    result = functional.convert(node_defs.built(make), keep=["y:0"])
    assert [name for name, _ in result.notes.unconverted] == ["alone"] and not any(result.notes.converted.values())


def test_a_condition_around_a_loop_that_stays_stays_too():
    def make():
        p = v1.placeholder(tf.bool, [], "p")
        v1.cond(p, lambda: loop("loop")[1], lambda: tf.constant(1.0))
        loop("other")

    graph = node_defs.built(make)
    found = functional.convert(graph, keep=["cond/Merge:0", "cond/loop/mul:0", "other/Exit_1:0"])
    assert {"cond/loop/LoopCond", "cond/Merge"} == {name for name, _ in found.notes.unconverted}
    assert found.notes.converted == {"while": 1, "cond": 0, "tensor_array": 0}


def test_what_nothing_reads_stays_and_what_the_conversion_left_over_goes():
    def make():
        loop()
        v1.placeholder(tf.float32, [], "fed")
        tf.negative(tf.constant(2.0), name="unread")
        v1.map_fn(lambda row: row * 2, tf.ones([3, 2]))

    made = convert(node_defs.built(make), "while/Exit_1:0", "map/TensorArrayStack/TensorArrayGatherV3:0")
    assert {"fed", "unread"} <= set(graphs.names(made))
    # The indices of the `stack`.
    assert not [name for name in graphs.names(made) if "TensorArrayStack/range" in name]


def test_what_only_the_next_iteration_waits_for_happens_in_each():
    """A gradient pushes onto stacks that way: nothing in the loop reads the push."""

    def make():
        count = v1.get_variable("count", [], use_resource=True)
        loop(body=lambda y: y * 2.0)
        with tf.control_dependencies([v1.get_default_graph().get_operation_by_name("while/Exit_1")]):
            tf.identity(count.read_value(), name="times")

    graph = node_defs.built(make)
    for node in ("handle", "step", "push"):
        graph.node.add(name=f"while/{node}")
    handle, one, push = (find(graph, f"while/{name}") for name in ("handle", "step", "push"))
    handle.op, one.op, push.op = "Enter", "Const", "AssignAddVariableOp"
    handle.input.append("count")
    handle.attr["T"].type = tf.resource.as_datatype_enum
    handle.attr["is_constant"].b = True
    handle.attr["frame_name"].CopyFrom(find(graph, "while/Enter").attr["frame_name"])
    one.input.append("^while/Identity")
    one.attr["dtype"].type = tf.float32.as_datatype_enum
    push.attr["dtype"].type = tf.float32.as_datatype_enum
    one.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(1.0))
    push.input.extend(["while/handle", "while/step"])
    find(graph, "while/NextIteration_1").input.append("^while/push")
    made = convert(graph, "times:0")
    assert graphs.run(made, "times:0", values={"count": 0.0}) == 3.0


def test_what_a_branch_has_a_copy_of_is_not_left_behind():
    def make():
        p, x = v1.placeholder(tf.bool, [], "p"), v1.placeholder(tf.float32, [2], "x")
        small = v1.constant(3.0, name="small")
        v1.identity(v1.cond(p, lambda: x * small, lambda: x + 1.0), name="y")

    # The Switch of the predicate itself is read by nobody, and stays.
    made = {node.name for node in functional.convert(node_defs.built(make), keep=("y:0",)).graph_def.node}
    assert {"p", "x", "y"} <= made and "small" not in made and "cond/pred_id" not in made
