"""Each v1 construct, converted: its values and gradients are those of the original graph in a Session."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from export_v1.passes import functional
from tests.support import control_flow
from tests.support.control_flow import build, check, v1

X = np.linspace(-1.0, 1.0, 6, dtype=np.float32).reshape(3, 2)
N = np.int32(4)


def weight(shape=(2, 2), name="w"):
    values = np.linspace(-0.5, 0.8, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    return v1.get_variable(name, initializer=values, use_resource=True)


def test_while_loop_with_invariants():
    def make(x, n):
        w = weight()
        return v1.while_loop(lambda i, y: i < n, lambda i, y: (i + 1, tf.tanh(y @ w) + x), [0, x])

    result = check(build(make, X, N))
    assert result.notes.converted == {"while": 1, "cond": 0, "tensor_array": 0}
    node = next(node for node in result.graph_def.node if "While" in node.op)
    assert node.op == "StatelessWhile"
    # The variable is read once, before the loop, and passed to it.
    assert not any(n.op == "ReadVariableOp" for f in result.graph_def.library.function for n in f.node_def)


def test_condition_on_data():
    def make(x):
        w = weight()
        return v1.cond(tf.reduce_sum(x) > 0, lambda: (x @ w, x * 2), lambda: (tf.sin(x), x @ tf.transpose(w)))

    for sign in (1, -1):
        result = check(build(make, sign * (X + 0.1)))
        assert result.notes.converted == {"while": 0, "cond": 1, "tensor_array": 0}
        assert [node.op for node in result.graph_def.node if node.op.endswith("If")] == ["StatelessIf"]


def test_nested_conditions():
    def make(x):
        w = weight()
        p, q = tf.reduce_sum(x) > 0, tf.reduce_max(x) > 0.5

        def inner():
            return v1.cond(q, lambda: x @ w, lambda: v1.cond(p, lambda: x + 1, lambda: x * x))

        return v1.cond(p, inner, lambda: v1.cond(q, lambda: tf.exp(x), inner))

    for scale, shift in ((1, 0.1), (1, -0.1), (0.3, 0.1), (0.3, -0.1)):
        check(build(make, X * np.float32(scale) + np.float32(shift)))


def test_condition_in_loop_and_loop_in_condition():
    def make(x, n):
        w = weight()

        def body(i, y):
            odd = tf.equal(i % 2, 1)
            return i + 1, v1.cond(odd, lambda: tf.tanh(y @ w), lambda: y * 1.1 + x)

        def loop():
            return v1.while_loop(lambda i, y: i < n, body, [0, x])[1]

        return v1.cond(tf.reduce_sum(x) > 0, loop, lambda: -x)

    for sign in (1, -1):
        result = check(build(make, sign * (X + 0.1), N))
        assert result.notes.converted == {"while": 1, "cond": 2, "tensor_array": 0}


def test_nested_loops():
    def make(x, n):
        w = weight()

        def outer(i, y):
            inner = v1.while_loop(lambda j, z: j < i, lambda j, z: (j + 1, tf.tanh(z @ w) + y * 0.1), [0, y])
            return i + 1, inner[1]

        return v1.while_loop(lambda i, y: i < n, outer, [0, x])

    result = check(build(make, X, N))
    assert result.notes.converted["while"] == 2


def test_loop_variable_that_grows():
    def make(x, n):
        return v1.while_loop(
            lambda i, y: i < n,
            lambda i, y: (i + 1, tf.concat([y, y[:1] * 2], 0)),
            [0, x],
            shape_invariants=[tf.TensorShape([]), tf.TensorShape([None, 2])],
        )

    result = check(build(make, X, N))
    node = next(node for node in result.graph_def.node if "While" in node.op)
    assert [[dim.size for dim in shape.dim] for shape in node.attr["output_shapes"].list.shape][3] == [-1, 2]


def test_two_loops_of_one_frame_name():
    """A GraphDef imported twice has two loops in one frame: TensorFlow 2 refuses to run that, TensorFlow 1 did."""
    model = build(lambda x: v1.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * x), [0, x])[1], X)
    with control_flow.graph() as twice:
        x = v1.placeholder(tf.float32, X.shape, "x0")
        first = tf.import_graph_def(model.graph_def, {"x0:0": x}, ["y0:0"], name="a")[0]
        second = tf.import_graph_def(model.graph_def, {"x0:0": x + 1}, ["y0:0"], name="b")[0]
    both = dataclasses.replace(
        model,
        graph_def=twice.as_graph_def(),
        outputs=[first.name, second.name],
        values=[X**4, (X + 1) ** 4],
        gradients={},
    )
    assert check(both).notes.converted["while"] == 2


def test_two_conditions_on_one_predicate():
    def make(x):
        p = tf.reduce_sum(x) > 0
        y = v1.cond(p, lambda: x * 2, lambda: x + 1)
        return v1.cond(p, lambda: y * x, lambda: y - x)

    result = check(build(make, X + 0.1))
    assert result.notes.converted["cond"] == 2


def test_value_index_of_a_merge():
    def make(x):
        off, on = v1.raw_ops.Switch(data=x, pred=tf.reduce_sum(x) > 0)
        return v1.raw_ops.Merge(inputs=[off * 2, on * 3])

    for sign in (1, -1):
        model = build(make, sign * (X + 0.1))
        assert model.values[1] == (sign + 1) // 2
        check(model)


def test_one_switch_feeds_several_merges():
    def make(x):
        off, on = v1.raw_ops.Switch(data=x, pred=tf.reduce_sum(x) > 0)
        first, _ = v1.raw_ops.Merge(inputs=[off * 2, on * 3])
        second, _ = v1.raw_ops.Merge(inputs=[tf.exp(on), tf.sin(off)])
        return first, second

    for sign in (1, -1):
        result = check(build(make, sign * (X + 0.1)))
        assert result.notes.converted["cond"] == 1


def test_branch_with_side_effects_only():
    def make(x):
        count = v1.get_variable("count", initializer=np.float32(1), use_resource=True)
        change = v1.cond(tf.reduce_sum(x) > 0, lambda: count.assign_add(10.0), lambda: tf.identity(count))
        with tf.control_dependencies([change]):
            return x * count.read_value()

    for sign in (1, -1):
        model = build(make, sign * (X + 0.1))
        result = control_flow.converted(model)
        values, _ = control_flow.answers(result.graph_def, model)
        np.testing.assert_allclose(values[0], sign * (X + 0.1) * (11 if sign > 0 else 1), 1e-5)
        assert [node.op for node in result.graph_def.node if node.op.endswith("If")] == ["If"]


def test_effects_in_a_body_keep_their_order():
    def make(x, n):
        log = v1.get_variable("log", initializer=np.float32(1), use_resource=True)

        def body(i, y):
            with tf.control_dependencies([log.assign(log.read_value() * 2.0)]):
                with tf.control_dependencies([log.assign_add(tf.cast(i, tf.float32))]):
                    now = log.read_value()
            # The next iteration would otherwise be free to write before this one has read.
            with tf.control_dependencies([now]):
                return i + 1, y + now

        i, y = v1.while_loop(lambda i, y: i < n, body, [0, x])
        with tf.control_dependencies([i]):
            return y, log.read_value()

    model = build(make, X, N)
    assert model.values[1] == 16 + 4 + 4 + 3
    result = control_flow.converted(model)
    values, _ = control_flow.answers(result.graph_def, model)
    np.testing.assert_allclose(values[0], model.values[0], 1e-6)
    assert values[1] == model.values[1]
    assert [node.op for node in result.graph_def.node if node.op.endswith("While")] == ["While"]


def test_assertion_fails_as_it_did():
    def make(x):
        with tf.control_dependencies([v1.assert_positive(x)]):
            return tf.identity(x)

    model = build(make, np.abs(X) + 0.1)
    check(model)
    model.feeds = {"x0:0": X}
    with pytest.raises(tf.errors.InvalidArgumentError, match="x > 0"):
        control_flow.answers(control_flow.converted(model).graph_def, model)


def test_table_in_a_loop():
    """The table itself goes into the loop; what readies it stays outside."""

    def make(x):
        keys, values = tf.constant([0, 1, 2]), tf.constant([2.0, 3.0, 5.0])
        table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), -1.0)
        ready = v1.get_collection(v1.GraphKeys.TABLE_INITIALIZERS)
        with tf.control_dependencies(ready):
            first = tf.constant(0) + 0
        return v1.while_loop(lambda i, y: i < 4, lambda i, y: (i + 1, y * table.lookup(i)), [first, x])[1]

    model = build(make, X)
    np.testing.assert_allclose(model.values[0], -30 * X, 1e-6)
    result = check(model)
    assert [node.op for node in result.graph_def.node if node.op.endswith("While")] == ["While"]


@pytest.mark.parametrize("static", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda x: v1.map_fn(lambda row: tf.tanh(tf.tensordot(row, weight(), 1)), x), id="map_fn"),
        pytest.param(lambda x: v1.map_fn(lambda r: r[0] * r[1][0], (x, x * 2), dtype=tf.float32), id="map_fn_of_two"),
        pytest.param(lambda x: v1.scan(lambda a, e: tf.tanh(tf.tensordot(e, weight(), 1) + a), x), id="scan"),
        pytest.param(lambda x: v1.scan(lambda a, e: tf.tanh(e * a), x, reverse=True), id="scan_reverse"),
        pytest.param(lambda x: v1.foldl(lambda a, e: tf.tanh(tf.tensordot(a, weight(), 1)) + e, x), id="foldl"),
        pytest.param(lambda x: v1.foldr(lambda a, e: tf.sin(a) * e, x), id="foldr"),
    ],
)
def test_higher_order(make, static):
    result = check(build(lambda x: _reused(make, x), X, static=static))
    assert result.notes.converted["while"] == 1 and result.notes.converted["tensor_array"] >= 1


def _reused(make, x):
    with v1.variable_scope("scope", reuse=v1.AUTO_REUSE):
        return make(x)


def test_tensor_array_operations():
    def make(x, n):
        array = v1.TensorArray(tf.float32, size=0, dynamic_size=True, infer_shape=False, clear_after_read=False)
        array = v1.while_loop(lambda i, a: i < n, lambda i, a: (i + 1, a.write(i, x[: i % 2 + 1] * 2.0)), [0, array])[1]
        parts = v1.TensorArray(tf.float32, size=2, infer_shape=False, clear_after_read=False).split(x, [1, 2])
        fixed = v1.TensorArray(tf.float32, size=3, clear_after_read=False).unstack(x)
        scattered = v1.TensorArray(tf.float32, size=5, element_shape=[2], clear_after_read=False).scatter([4, 1, 0], x)
        return (
            array.concat(),
            parts.concat(),
            parts.read(1),
            fixed.gather([2, 0, 2]),
            scattered.stack(),
            scattered.read(1) * scattered.read(4),
            array.size(),
        )

    result = check(build(make, X, N))
    assert result.notes.converted["tensor_array"] == 4


def test_tensor_array_across_a_condition():
    def make(x):
        array = v1.TensorArray(tf.float32, size=3, element_shape=[2])
        flow = v1.cond(tf.reduce_sum(x) > 0, lambda: array.write(1, x[0]).flow, lambda: array.write(2, x[1]).flow)
        return _with_flow(array, flow).stack()

    for sign in (1, -1):
        check(build(make, sign * (X + 0.1)))


def _with_flow(array, flow):
    return v1.TensorArray(tf.float32, handle=array.handle, flow=flow)


def test_tensor_array_whose_flow_is_fetched_stays():
    def make(x):
        array = v1.TensorArray(tf.float32, size=2).write(0, x)
        return array.flow * 1.0, array.read(0)

    result = check(build(make, X, gradients=False), complete=False)
    assert result.notes.converted["tensor_array"] == 0
    [(construct, reason)] = result.notes.unconverted
    assert construct == "TensorArray" and "mul" in reason


def test_loop_that_holds_what_stays_is_left_whole():
    def make(x):
        array = v1.TensorArray(tf.float32, size=3)
        i, array = v1.while_loop(lambda i, a: i < 3, lambda i, a: (i + 1, a.write(i, x)), [0, array])
        y = v1.cond(tf.reduce_sum(x) > 0, lambda: x, lambda: -x)
        return array.flow * 1.0, array.stack(), y

    result = check(build(make, X, gradients=False), complete=False)
    assert result.notes.converted == {"while": 0, "cond": 1, "tensor_array": 0}
    assert [name for name, _ in result.notes.unconverted] == ["TensorArray", "while/LoopCond"]


def test_greedy_decoder_stops_when_it_is_done():
    """The number of steps depends on the data; outputs are collected in an array of unknown length."""

    def make(x):
        w = weight((2, 5), "w")
        e = weight((5, 2), "e")

        def body(i, state, token, done, out):
            state = tf.tanh(state + tf.gather(e, token))
            logits = state @ w
            token = tf.argmax(logits, -1, output_type=tf.int32)
            return i + 1, state, token, done | tf.equal(token, 0), out.write(i, logits)

        array = v1.TensorArray(tf.float32, size=0, dynamic_size=True)
        loop = v1.while_loop(
            lambda i, s, t, done, o: (i < 9) & ~tf.reduce_all(done),
            body,
            [0, x, tf.zeros([3], tf.int32), tf.zeros([3], tf.bool), array],
        )
        return loop[4].stack(), loop[1], loop[0]

    result = check(build(make, X))
    assert result.notes.converted == {"while": 1, "cond": 0, "tensor_array": 1}


def test_equal_graph_when_there_is_nothing_to_convert():
    model = build(lambda x: x @ weight(), X)
    result = functional.convert(model.graph_def, keep=model.outputs)
    assert result.graph_def == model.graph_def
    assert result.notes.unconverted == [] and not any(result.notes.converted.values())


def test_names_of_exits_and_merges_stay():
    def make(x):
        y = v1.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y * x), [0, x])[1]
        return v1.cond(tf.reduce_sum(y) > 0, lambda: y, lambda: -y)

    model = build(make, X)
    ops = {node.name: node.op for node in model.graph_def.node}
    names = [f"{name}:0" for name, op in ops.items() if op in ("Exit", "Merge") and not name.startswith("while/Merge")]
    result = functional.convert(model.graph_def, keep=names)
    assert {node.name for node in result.graph_def.node} >= {name.split(":")[0] for name in names}


def test_conversion_is_deterministic():
    def make(x, n):
        y = v1.while_loop(lambda i, y: i < n, lambda i, y: (i + 1, tf.tanh(y @ weight())), [0, x])[1]
        return v1.cond(tf.reduce_sum(y) > 0, lambda: y, lambda: -y)

    model = build(make, X, N)
    first, second = (functional.convert(model.graph_def, keep=model.outputs).graph_def for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)


def loop_of_fixed_length(x):
    w = weight()
    return v1.while_loop(lambda i, y: i < 4, lambda i, y: (i + 1, tf.tanh(y @ w) + x), [0, x])[1]


def loop_until(x):
    w = weight()
    return v1.while_loop(lambda i, y: (i < 9) & (tf.reduce_max(y) < 3.0), lambda i, y: (i + 1, y + x * w[0]), [0, x])[1]


def condition(x):
    w = weight()
    return v1.cond(tf.reduce_sum(x) > 0, lambda: x @ w, lambda: tf.sin(x @ w))


def condition_in_loop(x):
    w = weight()
    return v1.while_loop(
        lambda i, y: i < 4,
        lambda i, y: (i + 1, v1.cond(tf.equal(i % 2, 0), lambda: tf.tanh(y @ w), lambda: y + x)),
        [0, x],
    )[1]


def loop_in_loop(x):
    w = weight()
    return v1.while_loop(
        lambda i, y: i < 3,
        lambda i, y: (i + 1, v1.while_loop(lambda j, z: j < 2, lambda j, z: (j + 1, tf.tanh(z @ w)), [0, y])[1] + x),
        [0, x],
    )[1]


def mapped(x):
    return v1.map_fn(lambda row: tf.tanh(tf.tensordot(row, weight(), 1)), x)


@pytest.mark.parametrize("compiled", [False, True], ids=["called", "compiled"])
@pytest.mark.parametrize("make", [loop_of_fixed_length, loop_until, condition, condition_in_loop, loop_in_loop, mapped])
def test_reloaded_with_gradients(make, compiled, tmp_path):
    model = build(make, X + 0.1)
    loaded, signature = control_flow.load(model, control_flow.converted(model).graph_def, str(tmp_path / "model"))
    got, gradients = control_flow.train_step(model, loaded, signature, compiled)
    np.testing.assert_allclose(got[0], model.values[0], 1e-5, 1e-6)
    np.testing.assert_allclose(gradients["w"], model.gradients["w"], 1e-5, 1e-5)
