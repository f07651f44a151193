"""Functions of `keras.ops` that are layers, too: where they are written as layers, and where not."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from load_v2.opening import as_layers, expressions, rebuilding, statements, text
from load_v2.opening.layers import Layer
from tests.support.rebuilding import assert_rebuilt, case, code_of, covered, numbers, placeholder

v1 = tf.compat.v1


def _of_x(shape, build, dtype="float32"):
    def built():
        x = placeholder("x", shape, dtype)
        return {"x": x}, {"y": build(x)}

    return built


FUNCTIONS = {
    "relu": (tf.nn.relu, ["ReLU"], "layers.ReLU()("),
    "leaky relu": (tf.nn.leaky_relu, ["LeakyReLU"], "layers.LeakyReLU(0.2)("),
    "a steeper leak": (lambda x: tf.nn.leaky_relu(x, 0.45), ["LeakyReLU"], "layers.LeakyReLU(0.45)("),
    **{
        name: (function, ["Activation"], f'layers.Activation("{name}")(')
        for name, function in {
            "relu6": lambda x: tf.nn.relu6(4.0 * x), "elu": tf.nn.elu, "selu": tf.nn.selu, "sigmoid": tf.sigmoid,
            "tanh": tf.tanh, "softplus": tf.nn.softplus, "softsign": tf.nn.softsign, "softmax": tf.nn.softmax,
            "log_softmax": tf.nn.log_softmax, "silu": lambda x: x * tf.sigmoid(x),
        }.items()
    },
    "transpose": (lambda x: tf.transpose(x, [0, 3, 1, 2]), ["Permute"], "layers.Permute((3, 1, 2))("),
    "concatenation": (lambda x: tf.concat([x, x * x, -x], 3), ["Concatenate"], "layers.Concatenate()(["),
    "of rows": (lambda x: tf.concat([x * 2.0, x], 1), ["Concatenate"], "layers.Concatenate(axis=1)(["),
    "sum": (lambda x: tf.nn.relu(x) + x, ["ReLU", "Add"], "layers.Add()(["),
    "sum of three": (lambda x: tf.reverse(x, [1]) + x[:, ::-1] + x, ["Add"], "layers.Add()(["),
    "sum of many": (lambda x: tf.add_n([tf.reverse(x, [1]), x, tf.reverse(x, [2])]), ["Add"], "layers.Add()(["),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_that_is_a_layer_is_written_as_that(name):
    build, kinds, line = FUNCTIONS[name]
    code = assert_rebuilt(_of_x([None, 3, 5, 4], build), {"x": 3 * numbers(2, 3, 5, 4)}, *kinds)
    assert line in code


OTHERS = {
    "another order of the batch": (lambda x: tf.transpose(x, [1, 0, 2]), [None, 3, 4]),
    "rows of the batch": (lambda x: tf.concat([x, x], 0), [None, 3, 4]),
    "a vector": (tf.nn.relu, [None]),
    "a sum of unequal shapes": (lambda x: x + x[:, :1], [None, 3, 4]),
    "a formula": (lambda x: x * x + x, [None, 3, 4]),
    "with a constant": (lambda x: tf.concat([x, tf.ones([2, 3, 1])], 2), [2, 3, 4]),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_functions_stay_functions(name):
    build, shape = OTHERS[name]
    built = case(_of_x(shape, build))
    kinds = [layer.kind for layer in code_of(built)[1]]
    assert not {"Permute", "Concatenate", "ReLU", "Add"} & set(kinds), kinds
    assert_rebuilt(_of_x(shape, build), {"x": numbers(*(size or 2 for size in shape))}, *kinds)


@pytest.mark.parametrize("dtype", ["float16", "int32"])
def test_what_a_layer_would_cast_or_is_not_made_for_stays_a_function(dtype):
    def build(x):
        return tf.concat([tf.transpose(x, [0, 2, 1]), tf.nn.relu(x[:, :, :3])], 2)

    x = np.arange(18).reshape(2, 3, 3).astype(dtype)
    assert "layers." not in assert_rebuilt(_of_x([None, 3, 3], build, dtype), {"x": x})


def test_inside_a_loop_no_layer_is_made():
    def build(x):
        return tf.while_loop(lambda at, _: at < 3, lambda at, y: (at + 1, tf.nn.relu(y) + tf.tanh(y)), [0, x])[1]

    code, layers = code_of(case(_of_x([None, 4], build)))
    assert "ops.relu(" in code and not {"ReLU", "Add", "Activation"} & {layer.kind for layer in layers}


def test_a_sum_of_which_a_part_is_read_elsewhere_keeps_that_part():
    def build(x):
        part = tf.nn.relu(x) + x
        return tf.concat([part + x[:, ::-1], part], 1)

    code = assert_rebuilt(_of_x([None, 3, 4], build), {"x": numbers(2, 3, 4)}, "ReLU", "Add", "Add", "Concatenate")
    assert code.count("layers.Add()(") == 2


def test_a_layer_that_does_something_else_gives_way_to_the_function(monkeypatch):
    """The slope of a LeakyReLU, the order of a Permute and the axis of a Concatenate are seen by the proof."""

    def build(x):
        h = tf.transpose(tf.nn.leaky_relu(x, 0.3), [0, 2, 1])
        return tf.concat([h, tf.reverse(h, [1])], 1)

    wrong = {
        "LeakyReLU": {"arguments": (0.2,)},
        "Permute": {"arguments": ((1, 2),)},
        "Concatenate": {"options": {"axis": -1}},
    }
    built = case(_of_x([None, 4, 4], build))
    make = built.context.layer

    def other(kind, scope, weights=(), **settings):
        made: Layer = make(kind, scope, weights, **settings)
        return dataclasses.replace(made, **wrong.get(kind, {}))

    monkeypatch.setattr(built.context, "layer", other)
    sample = rebuilding.codec.Arrays({"x": numbers(2, 4, 4)}, {})
    found = rebuilding.proven(built.context, sample)
    assert not found.refusals and {rule for rule, _ in built.context.rejected} == {as_layers.RULE}
    assert len(built.context.rejected) == 3
    assert not [part for piece in found.pieces for part in expressions.walk(piece.code) if hasattr(part, "layer")]


def test_a_mask_that_a_sum_hands_on_does_not_reach_an_output():
    built = case(_of_x([None, 3, 4], lambda x: tf.nn.relu(x) + x))
    pieces = covered(built).pieces
    masked = expressions.LayerCall(
        Layer("LSTM", "rnn"), (expressions.Operand(built.context.inputs["x"]),), (("mask", expressions.Literal(None)),)
    )
    h, y = (piece.outputs[0] for piece in (pieces[1], pieces[0]))
    given = [
        statements.Statement((h,), masked, "rnn"),
        statements.Statement((y,), pieces[0].code, "add"),
    ]
    code = statements._without_masks(given, {"y": expressions.Operand(y)})["y"]
    assert text.flat(code, {y: "y"}) == "ops.copy(y)"
