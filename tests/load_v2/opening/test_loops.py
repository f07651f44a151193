"""Recurrent layers, from loops and from steps that are written out; and loops whose steps are made of layers."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from load_v2.opening import cover, regularizers, text
from tests.support.rebuilding import assert_rebuilt, case, code_of, numbers, placeholder

v1 = tf.compat.v1
UNITS, STEPS = 4, 5


def _weights(*sizes: int):
    return [tf.constant(numbers(*size, seed=at)) for at, size in enumerate(sizes)]


def _lstm_step(x, h, c, kernel, bias):
    i, j, f, o = tf.split(tf.nn.bias_add(tf.matmul(tf.concat([x, h], 1), kernel), bias), 4, axis=1)
    c = tf.sigmoid(f + 1.0) * c + tf.sigmoid(i) * tf.tanh(j)
    return tf.sigmoid(o) * tf.tanh(c), c


def _zeros(x):
    return tf.zeros([tf.shape(x)[0], UNITS])


def _unrolled_lstm(steps_of, outputs_of):
    def build():
        x = placeholder("x", [None, STEPS, 3])
        kernel, bias = _weights((3 + UNITS, 4 * UNITS), (4 * UNITS,))
        h, c, outputs = _zeros(x), _zeros(x), []
        for step in steps_of(x):
            h, c = _lstm_step(step, h, c, kernel, bias)
            outputs.append(h)
        return {"x": x}, {"y": outputs_of(outputs, c)}

    return build


def _slices(x):
    return [x[:, at] for at in range(STEPS)]


def _split(x):
    return [tf.squeeze(part, [1]) for part in tf.split(x, STEPS, 1)]


UNROLLED = {
    "the last output": (lambda x: tf.unstack(x, axis=1), lambda outputs, c: outputs[-1], "layers.LSTM(4, name"),
    "every output": (_slices, lambda outputs, c: tf.stack(outputs, 1), "return_sequences=True"),
    "every output, time major": (_split, lambda outputs, c: tf.stack(outputs, 0), "ops.transpose"),
    "one output of several": (_slices, lambda outputs, c: outputs[2], "[:, 2]"),
    "the state, too": (_slices, lambda outputs, c: tf.concat([c, outputs[-1]], 1), "return_state=True"),
    "backwards": (lambda x: _slices(x)[::-1], lambda outputs, c: outputs[-1], "go_backwards=True"),
}


@pytest.mark.parametrize("name", UNROLLED)
def test_steps_that_are_written_out_are_one_lstm(name):
    steps_of, outputs_of, text = UNROLLED[name]
    code = assert_rebuilt(_unrolled_lstm(steps_of, outputs_of), {"x": numbers(3, STEPS, 3)}, "LSTM")
    assert text in code


def test_outputs_side_by_side_are_the_sequence_reshaped():
    build = _unrolled_lstm(_slices, lambda outputs, c: tf.concat(outputs, 1))
    assert_rebuilt(build, {"x": numbers(3, STEPS, 3)}, "LSTM", "Reshape")


def test_a_step_that_reads_what_another_has_given_is_no_layer():
    def build():
        x = placeholder("x", [None, UNITS])
        kernel, bias = _weights((2 * UNITS, 4 * UNITS), (4 * UNITS,))
        h, c = _lstm_step(x, _zeros(x), _zeros(x), kernel, bias)
        for _ in range(3):
            h, c = _lstm_step(tf.nn.relu(h), h, c, kernel, bias)
        return {"x": x}, {"y": h}

    assert "LSTM" not in {layer.kind for layer in code_of(case(build))[1]}


def test_steps_with_other_weights_begin_a_layer_of_their_own():
    def build():
        x = placeholder("x", [None, STEPS, 3])
        h, c, bias = _zeros(x), _zeros(x), tf.constant(numbers(4 * UNITS))
        kernels = _weights((3 + UNITS, 4 * UNITS), (3 + UNITS, 4 * UNITS))
        for at in range(4):
            h, c = _lstm_step(x[:, at], h, c, kernels[at // 2], bias)
        return {"x": x}, {"y": h}

    code = assert_rebuilt(build, {"x": numbers(3, STEPS, 3)}, "LSTM", "LSTM")
    assert "initial_state=" in code


def test_a_stack_of_simple_cells_both_ways_hands_sequences_on():
    def step(x, h, kernel):
        return tf.tanh(tf.matmul(tf.concat([x, h], 1), kernel))

    def layer(steps, size, seed):
        kernel, h, outputs = tf.constant(numbers(size + UNITS, UNITS, seed=seed)), _zeros(steps[0]), []
        for x in steps:
            h = step(x, h, kernel)
            outputs.append(h)
        return outputs

    def build():
        x = placeholder("x", [None, STEPS, 3])
        forward, backward = layer(_slices(x), 3, 1), layer(_slices(x)[::-1], 3, 2)[::-1]
        both = [tf.concat(pair, 1) for pair in zip(forward, backward, strict=True)]
        return {"x": x}, {"y": layer(both, 2 * UNITS, 3)[-1]}

    code = assert_rebuilt(build, {"x": numbers(3, STEPS, 3)}, "Bidirectional", "SimpleRNN")
    assert "ops.stack" not in code and "ops.flip" not in code


def _steps_of_a_simple_cell(x, units, seed, step=tf.tanh):
    kernel, h, outputs = tf.constant(numbers(3 + units, units, seed=seed)), tf.zeros([tf.shape(x)[0], units]), []
    for part in _slices(x):
        h = step(tf.matmul(tf.concat([part, h], 1), kernel))
        outputs.append(h)
    return tf.stack(outputs, 1)


def _both_ways(merge, backward=lambda x: tf.reverse(_steps_of_a_simple_cell(tf.reverse(x, [1]), UNITS, 2), [1])):
    def build():
        x = placeholder("x", [None, STEPS, 3])
        return {"x": x}, {"y": merge(_steps_of_a_simple_cell(x, UNITS, 1), backward(x))}

    return build


@pytest.mark.parametrize(
    ("merge", "mode"),
    [
        (lambda one, other: tf.concat([one, other], 2), ""),
        (lambda one, other: one + other, 'merge_mode="sum"'),
        (lambda one, other: one * other, 'merge_mode="mul"'),
    ],
)
def test_sequences_that_meet_are_one_layer(merge, mode):
    assert mode in assert_rebuilt(_both_ways(merge), {"x": numbers(3, STEPS, 3)}, "Bidirectional")


NO_PAIRS = {
    "the same way": lambda x: _steps_of_a_simple_cell(x, UNITS, 2),
    "the same way, and turned round": lambda x: tf.reverse(_steps_of_a_simple_cell(x, UNITS, 2), [1]),
    "not put back in order": lambda x: _steps_of_a_simple_cell(tf.reverse(x, [1]), UNITS, 2),
    "another activation": lambda x: tf.reverse(_steps_of_a_simple_cell(tf.reverse(x, [1]), UNITS, 2, tf.nn.relu), [1]),
    "another sequence": lambda x: tf.reverse(_steps_of_a_simple_cell(tf.reverse(2 * x, [1]), UNITS, 2), [1]),
    "the features reversed": lambda x: tf.reverse(_steps_of_a_simple_cell(tf.reverse(x, [2]), UNITS, 2), [1]),
}


@pytest.mark.parametrize("name", NO_PAIRS)
def test_layers_that_are_no_pair_stay_two(name):
    build = _both_ways(lambda one, other: tf.concat([one, other], 2), NO_PAIRS[name])
    assert_rebuilt(build, {"x": numbers(3, STEPS, 3)}, "SimpleRNN", "SimpleRNN")


def test_layers_of_unequal_size_or_read_apart_stay_two():
    def other_size(x):
        return tf.reverse(_steps_of_a_simple_cell(tf.reverse(x, [1]), UNITS + 1, 2), [1])

    for build in (
        _both_ways(lambda one, other: tf.concat([one, other], 2), other_size),
        _both_ways(lambda one, other: tf.concat([one, other, one[:, ::-1] * 2.0], 2)),
        _both_ways(lambda one, other: tf.concat([tf.concat([one, other], 2), one], 2)),
        _both_ways(lambda one, other: tf.concat([one, other], 1)),
    ):
        assert_rebuilt(build, {"x": numbers(3, STEPS, 3)}, "SimpleRNN", "SimpleRNN")


def _hard(slope):
    return lambda x: tf.maximum(tf.minimum(slope * x + 0.5, 1.0), 0.0)


@pytest.mark.parametrize(("slope", "count"), [(0.2, 1), (0.25, 0)])
def test_gates_that_open_by_the_hard_sigmoid_of_tf_keras_are_an_lstms(slope, count):
    def build():
        x = placeholder("x", [None, STEPS, 3])
        kernel, bias = _weights((3 + UNITS, 4 * UNITS), (4 * UNITS,))
        h, c = _zeros(x), _zeros(x)
        for step in _slices(x):
            i, f, j, o = tf.split(tf.nn.bias_add(tf.matmul(tf.concat([step, h], 1), kernel), bias), 4, axis=1)
            c = _hard(slope)(f) * c + _hard(slope)(i) * tf.tanh(j)
            h = _hard(slope)(o) * tf.tanh(c)
        return {"x": x}, {"y": h}

    code, layers = code_of(case(build))
    assert [layer.kind for layer in layers].count("LSTM") == count
    assert ("recurrent_activation=hard_sigmoid" in code) == bool(count)
    assert_rebuilt(build, {"x": 3 * numbers(3, STEPS, 3)}, *(layer.kind for layer in layers))


@pytest.mark.parametrize(("step", "text"), [(-1, "layers.SimpleRNN(4, name"), (2, "return_sequences=True")])
def test_the_last_step_of_a_sequence_is_what_a_layer_gives(step, text):
    def build():
        x = placeholder("x", [None, STEPS, 3])
        kernel = tf.constant(numbers(3 + UNITS, UNITS))
        steps = tf.TensorArray("float32", STEPS).unstack(tf.transpose(x, [1, 0, 2]))

        def body(at, h, outputs):
            h = tf.tanh(tf.matmul(tf.concat([steps.read(at), h], 1), kernel))
            return at + 1, h, outputs.write(at, h)

        outputs = tf.TensorArray("float32", STEPS, element_shape=[None, UNITS])
        _, _, outputs = tf.while_loop(lambda at, *_: at < STEPS, body, [0, _zeros(x), outputs])
        return {"x": x}, {"y": outputs.stack()[step]}

    assert text in assert_rebuilt(build, {"x": numbers(3, STEPS, 3)}, "SimpleRNN")


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("name", ["zeros", "what it gave before", "ones"])
def test_steps_that_a_mask_leaves_out_give_zeros_or_what_was_given_before(name, last):
    """As tf.keras writes its recurrent layers behind a mask; for a Bidirectional it asks for zeros."""

    def build():
        x, valid = placeholder("x", [None, STEPS, 3]), placeholder("valid", [None, STEPS], "bool")
        kernel = tf.constant(numbers(3 + UNITS, UNITS))
        steps = tf.TensorArray("float32", STEPS).unstack(tf.transpose(x, [1, 0, 2]))
        masks = tf.TensorArray("bool", STEPS).unstack(tf.transpose(tf.expand_dims(valid, -1), [1, 0, 2]))
        first = tf.zeros_like(_zeros(x))
        else_ = tf.ones_like(first) if name == "ones" else first

        def body(at, h, outputs, *given):
            new = tf.tanh(tf.matmul(tf.concat([steps.read(at), h], 1), kernel))
            mask = tf.tile(masks.read(at), [1, UNITS])
            output = tf.where(mask, new, *(given or [else_]))
            return at + 1, tf.where(mask, new, h), outputs.write(at, output), *(output for _ in given)

        outputs = tf.TensorArray("float32", STEPS, element_shape=[None, UNITS])
        begins = [0, _zeros(x), outputs, *([first] if name == "what it gave before" else [])]
        outputs = tf.while_loop(lambda at, *_: at < STEPS, body, begins)[2].stack()
        return {"x": x, "valid": valid}, {"y": outputs[-1] if last else tf.transpose(outputs, [1, 0, 2])}

    valid = np.array([[1, 1, 1, 1, 1], [0, 1, 0, 0, 1], [1, 0, 1, 0, 0]], bool)
    feeds = {"x": numbers(3, STEPS, 3), "valid": valid}
    _, layers = code_of(case(build))
    kinds = [layer.kind for layer in layers]
    code = assert_rebuilt(build, feeds, *kinds)
    assert kinds.count("SimpleRNN") == (name != "ones")
    assert ("zero_output_for_mask" in code) == (name == "zeros")


def test_the_penalties_of_both_ways_are_those_of_two_layers():
    _, (both,) = code_of(case(_both_ways(lambda one, other: tf.concat([one, other], 2))))
    both.parts = tuple(
        dataclasses.replace(part, origins=((name,), (f"{name}/b",), (f"{name}/c",)))
        for name, part in zip(("one", "other"), both.parts, strict=True)
    )
    values = {name: part.weights[0] for name, part in zip(("one", "other"), both.parts, strict=True)}
    assert regularizers.add([both], {"one": regularizers.Penalty(0.0, 0.1)}, values) == []
    assert "backward_layer=" in text.constructed(both) and text.constructed(both).count("L2(0.1)") == 1
    assert regularizers.add([both], {"other": regularizers.Penalty(0.0, 0.1)}, values) == []
    assert "backward_layer=" not in text.constructed(both) and text.constructed(both).count("L2(0.1)") == 1


@pytest.mark.parametrize("output", ["h", "c"])
def test_the_op_that_takes_all_steps_is_an_lstm(output):
    def build():
        x = placeholder("x", [STEPS, None, 3])
        kernel, bias = _weights((3 + UNITS, 4 * UNITS), (4 * UNITS,))
        state, diagonal = tf.zeros([tf.shape(x)[1], UNITS]), tf.zeros([UNITS])
        given = tf.raw_ops.BlockLSTM(
            seq_len_max=tf.constant(STEPS, tf.int64), x=x, cs_prev=state, h_prev=state, w=kernel, wci=diagonal,
            wcf=diagonal, wco=diagonal, b=bias, forget_bias=0.5, cell_clip=-1.0, use_peephole=False,
        )  # fmt: skip
        return {"x": x}, {"y": given.h if output == "h" else given.cs[-1]}

    assert_rebuilt(build, {"x": numbers(STEPS, 3, 3)}, "LSTM")


@pytest.mark.parametrize("count", [STEPS, 2])
@pytest.mark.parametrize("op", ["BlockLSTM", "BlockLSTMV2"])
def test_the_op_with_peepholes_is_a_layer_that_gives_every_state(op, count):
    def build():
        x = placeholder("x", [STEPS, None, 3])
        kernel, bias, *peepholes = _weights((3 + UNITS, 4 * UNITS), (4 * UNITS,), *[(UNITS,)] * 3)
        state = tf.zeros([tf.shape(x)[1], UNITS]) + x[0, :, :1]
        more = {"forget_bias": 0.5} if op == "BlockLSTM" else {}
        given = getattr(tf.raw_ops, op)(
            seq_len_max=tf.constant(count, tf.int64), x=x, cs_prev=state, h_prev=tf.tanh(state), w=kernel,
            wci=peepholes[0], wcf=peepholes[1], wco=peepholes[2], b=bias, cell_clip=0.3, use_peephole=True, **more,
        )  # fmt: skip
        return {"x": x}, {"h": given.h, "c": given.cs}

    _, layers = code_of(case(build))
    assert "FusedLSTM" in {layer.kind for layer in layers}
    assert_rebuilt(build, {"x": numbers(STEPS, 3, 3)}, *(layer.kind for layer in layers))


def _loop_of(step, sizes):
    def build():
        x = placeholder("x", [None, STEPS, 3])
        weights = _weights(*sizes)

        def body(at, h):
            return at + 1, step(tf.gather(tf.transpose(x, [1, 0, 2]), at), h, *weights)

        _, h = tf.while_loop(lambda at, h: at < STEPS, body, [0, _zeros(x)])
        return {"x": x}, {"y": h}

    return build


def _leaky(x, h, kernel, bias, scale):
    h = 0.5 * h + 0.5 * tf.nn.relu(tf.matmul(tf.concat([x, h], 1), kernel) + bias)
    mean, variance = tf.nn.moments(h, [-1], keepdims=True)
    return tf.nn.batch_normalization(h, mean, variance, None, scale, 1e-5)


def test_the_weights_of_a_loop_are_in_layers_inside_its_own():
    build = _loop_of(_leaky, [(3 + UNITS, UNITS), (UNITS,), (UNITS,)])
    code, layers = code_of(case(build))
    (loop,) = [layer for layer in layers if layer.weights]
    assert sorted(part.kind for part in loop.parts) == ["Dense", "LayerNormalization"]
    assert sum(value.size for part in loop.parts for value in part.weights) == sum(v.size for v in loop.weights)
    assert "Parameter" not in code
    assert_rebuilt(build, {"x": numbers(3, STEPS, 3)}, *(layer.kind for layer in layers))


def test_a_weight_of_a_loop_that_no_layer_has_belongs_to_the_loop():
    build = _loop_of(lambda x, h, mixed: tf.tanh(h) - mixed[0] * mixed[1], [(20, UNITS)])
    code, layers = code_of(case(build))
    assert "self.add_weight(" in code and "Parameter" not in code
    assert_rebuilt(build, {"x": numbers(3, STEPS, 3)}, *(layer.kind for layer in layers))


def test_what_is_inside_a_loop_takes_no_name_of_keras():
    build = _loop_of(lambda x, h, weights: tf.tanh(tf.matmul(h, weights)), [(UNITS, UNITS)])
    _, layers = code_of(case(build))
    (part,) = next(layer for layer in layers if layer.parts).parts
    assert part.variable.removeprefix("self.") not in dir(tf.keras.layers.Layer)


def test_weights_come_out_in_keras_order():
    build = _loop_of(_leaky, [(3 + UNITS, UNITS), (UNITS,), (UNITS,)])
    _, layers = code_of(case(build))
    loop = next(layer for layer in layers if layer.parts)
    assert [value.shape for value in loop.weights] == [v.shape for part in loop.parts for v in part.weights]
    assert all(isinstance(value, np.ndarray) for value in loop.weights)


def _conditions_in_a_loop(x, h, kernel):
    product = tf.matmul(h, kernel)
    nested = tf.cond(tf.reduce_sum(product) > 0.0, lambda: tf.tanh(product), lambda: product * 0.5)
    return tf.cond(tf.reduce_sum(x) > 0.0, lambda: nested + 1.0, lambda: h)


def test_conditions_inside_a_loop_are_choices():
    build = _loop_of(_conditions_in_a_loop, [(UNITS, UNITS)])
    code, layers = code_of(case(build))
    assert code.count("ops.where(") == 2
    for sign in (1, -1):
        assert_rebuilt(build, {"x": sign * np.abs(numbers(3, STEPS, 3))}, *(layer.kind for layer in layers))


def _condition(one, other):
    """Returns a graph with a loop in which a condition gives one thing or another, from a vector of three."""

    def build():
        x = placeholder("x", [None, STEPS, 3])

        def body(at, h):
            branch = tf.cond(tf.reduce_sum(h) > 0.0, lambda: one(h), lambda: other(h))
            return at + 1, h + tf.reduce_sum(branch)

        return {"x": x}, {"y": tf.while_loop(lambda at, h: at < 2, body, [0, x[:, 0]])[1]}

    return build


def test_a_loop_in_a_condition_reads_a_large_constant():
    def build():
        x = placeholder("x", [None, STEPS, 5])
        changes = tf.constant(numbers(5, 5))

        def scanned():
            steps = tf.transpose(x, [1, 0, 2])
            return tf.scan(lambda h, step: tf.tanh(step + tf.reduce_max(h[:, :, None] + changes, 1)), steps)[-1]

        return {"x": x}, {"y": tf.cond(tf.reduce_sum(x) > 0.0, scanned, lambda: x[:, 0])}

    _, layers = code_of(case(build))
    for sign in (1, -1):
        assert_rebuilt(build, {"x": sign * np.abs(numbers(3, STEPS, 5))}, *(layer.kind for layer in layers))


def test_a_branch_that_may_fail_is_only_run_where_it_is_taken():
    build = _condition(lambda h: tf.gather(h, [1]), lambda h: tf.gather(h, [0]))
    code, layers = code_of(case(build))
    assert "ops.cond(" in code and "def otherwise_2():" in code
    for rows in (2, 1):
        # With one row, the first branch would fail.
        assert_rebuilt(build, {"x": -np.abs(numbers(rows, STEPS, 3))}, *(layer.kind for layer in layers))


def test_a_choice_that_would_stretch_a_shape_is_refused():
    result = cover.cover(case(_condition(lambda h: tf.reduce_sum(h, 0, keepdims=True), lambda h: h)).context)
    assert result.refusals


def test_a_loop_in_a_loop_reads_what_is_around_it_and_its_weights_are_the_layers():
    def inner(x, h, kernel, bias):
        loop = tf.while_loop(
            lambda at, g: at < 3, lambda at, g: (at + 1, tf.tanh(tf.matmul(g, kernel) + bias + x[:, :1])), [0, h]
        )
        return loop[1] * bias

    build = _loop_of(inner, [(UNITS, UNITS), (UNITS,)])
    code, layers = code_of(case(build))
    assert "def take_2(" in code and [part.kind for layer in layers for part in layer.parts] == ["Dense"]
    assert_rebuilt(build, {"x": numbers(3, STEPS, 3)}, *(layer.kind for layer in layers))


def test_a_map_of_scans_is_one_layer():
    def build():
        x = placeholder("x", [None, STEPS, 3])
        kernel = tf.constant(numbers(3, 3))
        step = lambda h, part: tf.tanh(h + tf.linalg.matvec(kernel, part))  # noqa: E731
        return {"x": x}, {"y": tf.map_fn(lambda row: tf.scan(step, row), x)}

    code, layers = code_of(case(build))
    assert "ops.scan(" in code and "take_2(" in code
    assert_rebuilt(build, {"x": numbers(3, STEPS, 3)}, *(layer.kind for layer in layers))


def _growing(limit):
    def build():
        x = placeholder("x", [None, 3])
        kernel = tf.constant(numbers(3, 3))
        outputs = tf.TensorArray("float32", 0, dynamic_size=True, element_shape=[None, 3])

        def body(at, h, outputs):
            h = 0.4 * tf.tanh(tf.matmul(h, kernel))
            return at + 1, h, outputs.write(at, h)

        def proceed(at, h, _):
            going = tf.reduce_sum(tf.abs(h)) > 0.05
            return going if limit is None else tf.logical_and(at < limit, going)

        at, _, outputs = tf.while_loop(proceed, body, [0, x, outputs])
        return {"x": x}, {"y": outputs.stack(), "count": at}

    return build


def test_a_list_that_grows_is_as_long_as_the_loop_took_steps():
    code, layers = code_of(case(_growing(9)))
    assert "compute_output_spec" in code
    for scale in (1.0, 0.3):
        assert_rebuilt(_growing(9), {"x": scale * numbers(2, 3)}, *(layer.kind for layer in layers))


def test_a_list_that_grows_without_a_bound_has_its_steps_counted_first():
    code, layers = code_of(case(_growing(None)))
    assert code.count("ops.while_loop(") == 2
    for scale in (1.0, 0.3):
        assert_rebuilt(_growing(None), {"x": scale * numbers(2, 3)}, *(layer.kind for layer in layers))


def _joining(rows):
    def build():
        x = placeholder("x", [6, 3])
        outputs = tf.TensorArray("float32", 3, element_shape=[rows, 3], infer_shape=False)
        body = lambda at, h, outputs: (at + 1, h * 0.5, outputs.write(at, h[: rows or 3 - at]))  # noqa: E731
        loop = tf.while_loop(lambda at, *_: at < 3, body, [0, x, outputs])
        return {"x": x}, {"y": loop[2].concat()}

    return build


def test_the_rows_of_a_list_are_joined_where_its_tensors_have_equally_many():
    code, layers = code_of(case(_joining(2)))
    assert "ops.reshape(" in code
    assert_rebuilt(_joining(2), {"x": numbers(6, 3)}, *(layer.kind for layer in layers))
    covered = cover.cover(case(_joining(None)).context)
    assert [refusal.op for refusal in covered.refusals if "different lengths" in refusal.reason] == [
        "TensorListConcatV2"
    ]


def test_a_shape_inside_a_loop_has_sizes_of_numbers_that_are_data():
    def build():
        x, count = placeholder("x", [2, 3]), placeholder("count", [1], "int32")
        body = lambda at, h: (at + 1, h + tf.scatter_nd([[1], [0]], h, [count[0] * 2, 3])[:2])  # noqa: E731
        return {"x": x, "count": count}, {"y": tf.while_loop(lambda at, h: at < 3, body, [0, x])[1]}

    code, layers = code_of(case(build))
    assert "(as_size(count, 0) * 2, 3)" in code or "(2 * as_size(count, 0), 3)" in code, code
    assert_rebuilt(build, {"x": numbers(2, 3), "count": np.int32([3])}, *(layer.kind for layer in layers))


def test_a_list_that_begins_at_another_place_has_room_for_all_it_is_given():
    def build():
        x = placeholder("x", [None, 3])
        outputs = tf.TensorArray("float32", 0, dynamic_size=True, element_shape=[None, 3])
        body = lambda at, place, h, outputs: (at + 1, place + 1, h * 2.0, outputs.write(place, h))  # noqa: E731
        loop = tf.while_loop(lambda at, *_: at < 4, body, [0, 3, x, outputs])
        return {"x": x}, {"y": loop[3].stack()}

    _, layers = code_of(case(build))
    assert_rebuilt(build, {"x": numbers(2, 3)}, *(layer.kind for layer in layers))


def test_what_a_loop_hands_on_unchanged_is_known_in_it():
    def build():
        x, most = placeholder("x", [None, 3]), tf.constant(3)
        body = lambda at, most, h: (at + 1, tf.identity(most), h * 2.0)  # noqa: E731
        loop = tf.while_loop(lambda at, most, h: (at < most) & (tf.reduce_sum(h) < 9.0), body, [0, most, x])
        return {"x": x}, {"y": loop[2]}

    code, layers = code_of(case(build))
    assert "< 3" in code
    assert_rebuilt(build, {"x": numbers(2, 3)}, *(layer.kind for layer in layers))


def test_a_list_that_begins_with_an_element_grows_after_it():
    def build():
        x = placeholder("x", [None, 3])
        outputs = tf.TensorArray("float32", 0, dynamic_size=True, element_shape=[None, 3]).write(0, x)
        body = lambda at, h, outputs: (at + 1, h * 0.5, outputs.write(at, h))  # noqa: E731
        loop = tf.while_loop(lambda at, h, _: tf.reduce_max(h) > 0.1, body, [1, x + 1.0, outputs])
        return {"x": x}, {"y": loop[2].stack()}

    _, layers = code_of(case(build))
    assert_rebuilt(build, {"x": numbers(2, 3)}, *(layer.kind for layer in layers))


def test_a_list_that_is_read_while_it_grows_without_a_bound_is_refused():
    def build():
        x = placeholder("x", [None, 3])
        outputs = tf.TensorArray("float32", 0, dynamic_size=True, element_shape=[None, 3], clear_after_read=False)
        outputs = outputs.write(0, x)

        def body(at, h, outputs):
            h = tf.tanh(outputs.read(at - 1) + h)
            return at + 1, h, outputs.write(at, h)

        loop = tf.while_loop(lambda at, h, _: tf.reduce_sum(h) < 9.0, body, [1, x, outputs])
        return {"x": x}, {"y": loop[2].stack()}

    assert cover.cover(case(build).context).refusals


def test_a_loop_over_several_sequences_of_any_length_runs():
    def build():
        x, y = placeholder("x", [None, None, 3]), placeholder("y", [None, None, 1])
        kernel = tf.constant(numbers(3 + UNITS, UNITS))
        parts = [tf.TensorArray("float32", tf.shape(x)[1]).unstack(tf.transpose(part, [1, 0, 2])) for part in (x, y)]

        def body(at, h):
            new = tf.tanh(tf.matmul(tf.concat([parts[0].read(at), h], 1), kernel))
            return at + 1, h + parts[1].read(at) * (new - h)

        _, h = tf.while_loop(lambda at, h: at < tf.shape(x)[1], body, [0, _zeros(x)])
        return {"x": x, "y": y}, {"h": h}

    _, layers = code_of(case(build))
    feeds = {"x": numbers(2, STEPS, 3), "y": np.abs(numbers(2, STEPS, 1))}
    assert_rebuilt(build, feeds, *(layer.kind for layer in layers))


def test_a_loop_over_rows_of_a_constant_has_them_as_an_array():
    def build():
        x = placeholder("x", [None, UNITS])
        (rows,) = _weights((3, UNITS))
        folded = v1.foldl(lambda h, row: tf.tanh(h * row + 1.0), rows, initializer=x)
        counted = v1.foldl(lambda h, number: h * 0.5 + tf.cast(number, "float32"), tf.range(3), initializer=x)
        return {"x": x}, {"folded": folded, "counted": counted}

    code = assert_rebuilt(build, {"x": numbers(2, UNITS)}, "FoldlWhile", "Foldl1While")
    assert code.count("ops.scan(") == 2


def _ends_by_data(x, doubled):
    def goes_on(at, h):
        return (at < 5) & (tf.reduce_sum(h) < 1e6)

    return tf.while_loop(goes_on, lambda at, h: (at + 1, tf.abs(h) + doubled), [0, doubled])[1]


def _reversed(x, doubled):
    return tf.reverse_sequence(doubled, tf.fill([tf.shape(x)[0]], 2), 1, 0)


def _chosen(x, doubled):
    return tf.cond(tf.reduce_sum(x) > 0.0, lambda: doubled + 1.0, lambda: doubled)


_SHAPE = 'KerasTensor((None, None, 4), "float32")'
PRODUCTS = {
    "a loop": (_ends_by_data, _SHAPE, "While"),
    "a map": (lambda x, doubled: tf.map_fn(tf.nn.softmax, doubled), _SHAPE, "MapWhile"),
    "a condition": (_chosen, _SHAPE, "Cond"),
    "a reversal": (_reversed, "KerasTensor(sequences.shape, sequences.dtype)", "DynamicFill ReverseSequence"),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_with_a_number_is_not_taken_for_sparse(name):
    """Keras 3.15 takes it so, and would try a printed layer on a sparse tensor, which its operations refuse."""
    make, told, kinds = PRODUCTS[name]

    def build():
        x = placeholder("x", [None, None, UNITS])
        return {"x": x}, {"y": make(x, x * 2.0)}

    assert told in assert_rebuilt(build, {"x": numbers(2, STEPS, UNITS)}, *kinds.split())


def test_steps_written_out_within_a_loop_are_steps_of_its_layer():
    def build():
        x = placeholder("x", [None, STEPS, 3])
        kernel, bias = _weights((3 + UNITS, 4 * UNITS), (4 * UNITS,))

        def body(at, given):
            h, c, outputs = _zeros(given), _zeros(given), []
            for step in _slices(given):
                h, c = _lstm_step(step, h, c, kernel, bias)
                outputs.append(h[:, :3])
            return at + 1, tf.stack(outputs, 1)

        return {"x": x}, {"y": tf.while_loop(lambda at, _: at < 2, body, [0, x])[1]}

    code = assert_rebuilt(build, {"x": numbers(2, STEPS, 3, seed=7)}, "While")
    assert "layers.LSTM(" not in code and "while_loop" in code
