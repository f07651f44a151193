"""Repeated blocks become a function and a loop."""

import numpy as np
import pytest
import tensorflow as tf

from load_v2.opening import block_text
from tests.support.rebuilding import assert_rebuilt, numbers, placeholder

v1 = tf.compat.v1


def _dense(x, size: int, name: str, seed: int):
    with v1.name_scope(name):
        kernel = tf.constant(numbers(int(x.shape[-1]), size, seed=seed) * 0.3, name="kernel")
        return tf.matmul(x, kernel) + tf.constant(numbers(size, seed=seed + 50), name="bias")


def _block(x, mask, width: int, number: int):
    with v1.name_scope(f"block_{number}"):
        h = tf.nn.relu(_dense(x, width, "up", number))
        h = tf.tanh(_dense(h, 20, "down", number + 20) * mask)
        return x + h * tf.sigmoid(_dense(h, 20, "gate", number + 30))


@pytest.mark.parametrize(
    ("widths", "loop"), [([30] * 6, "for i in range(6):"), ([30, 30, 40, 40, 50], "for i, units in enumerate([")]
)
def test_blocks_in_a_row_are_a_loop(widths, loop):
    def build():
        x, mask = placeholder("x", [None, 20]), placeholder("mask", [None, 1])
        h, scale = x, mask * 2.0
        for number, width in enumerate(widths):
            h = _block(h, scale, width, number)
        return {"x": x, "mask": mask}, {"y": tf.reduce_sum(h, 1)}

    code = assert_rebuilt(build, {"x": numbers(3, 20), "mask": np.abs(numbers(3, 1))}, *["Dense"] * (3 * len(widths)))
    assert loop in code and code.count("layers.Dense(") == 3
    assert code.count("def block(") == 1


def test_blocks_of_which_more_than_the_last_is_read_are_none():
    def build():
        x = placeholder("x", [None, 20])
        outputs = [x]
        for number in range(4):
            outputs.append(_block(outputs[-1], 1.0, 30, number))
        return {"x": x}, {"y": tf.add_n(outputs)}

    code = assert_rebuilt(build, {"x": numbers(3, 20)}, *["Dense"] * 12)
    assert "for " not in code.partition("def build")[2]


def test_a_block_that_stands_in_several_places_is_one_function():
    def build():
        x, other = placeholder("x", [None, 20]), placeholder("other", [None, 20])
        first = _block(_block(_block(x, 1.0, 30, 0), 1.0, 40, 1), 1.0, 30, 4)
        second = tf.square(_block(other, 1.0, 30, 2))
        return {"x": x, "other": other}, {"y": tf.reduce_sum(_block(first * second, 1.0, 30, 3), 1)}

    code = assert_rebuilt(build, {"x": numbers(3, 20), "other": numbers(3, 20, seed=1)}, *["Dense"] * 15)
    assert code.count("def block(x, name, units=30)") == 1 and code.count("layers.Dense(") == 3
    assert 'h = block(h, "block_3")' in code


def test_no_variable_of_a_block_is_called_as_a_function(monkeypatch):
    written, given = block_text.function, []
    monkeypatch.setattr(block_text, "function", lambda *made: given.append(made) or written(*made))

    def block(x, number):
        with v1.name_scope(f"part_{number}"):
            h = _dense(x, 30, "conv", number)
            return x + _dense(h * tf.nn.relu6(h + 3.0), 20, "pconv", number + 20)

    def build():
        h = x = placeholder("x", [None, 20])
        for number in range(4):
            h = block(h, number)
        return {"x": x}, {"y": tf.reduce_sum(h, 1)}

    assert_rebuilt(build, {"x": numbers(3, 20)}, *["Dense"] * 8)
    ((part, functions),) = given
    assert set(functions) == {part.name}
    assert "    conv = layers.Dense(" in written(part, functions)
    assert "    conv_2 = layers.Dense(" in written(part, {part.name, "conv"})


def test_layers_that_are_numbered_one_by_one_are_a_loop():
    def build():
        x = placeholder("x", [None, 20])
        h = x
        for number, name in enumerate(["dense", *(f"dense_{n}" for n in range(1, 7))]):
            h = tf.tanh(_dense(h, 20, name, number))
        return {"x": x}, {"y": h}

    code = assert_rebuilt(build, {"x": numbers(3, 20)}, *["Dense"] * 7)
    assert "for i in range(1, 7):" in code and code.count("layers.Dense(") == 2


def test_names_that_are_numbered_through_the_model_are_numbered_by_a_parameter():
    def build():
        x = placeholder("x", [None, 20])
        h = x
        for n in range(5):
            a = tf.nn.relu(_dense(h, 20, f"up_{2 * n + 3}", n))
            h = h + tf.tanh(_dense(a, 20, f"up_{2 * n + 4}", n + 9)) * tf.sigmoid(
                _dense(a, 20, f"gate_{n + 1}", n + 20)
            )
        return {"x": x}, {"y": h}

    code = assert_rebuilt(build, {"x": numbers(3, 20)}, *["Dense"] * 15)
    assert 'f"up_{n + 1}"' in code and code.count("layers.Dense(") == 3


def test_what_goes_into_a_loop_keeps_its_name_where_others_are_made_before_the_loop():
    """As in stacks of blocks of which each predicts a part, and hands on what is left (N-BEATS)."""

    def build():
        x = placeholder("x", [None, 20])
        totals, rest = [0.0], x
        for stack in range(3):
            h = rest
            for number in range(3):
                h = tf.nn.relu(_dense(h, 20, f"layer_{3 * stack + number}", 3 * stack + number))
            back, part = (_dense(h, 6, f"{name}_{stack}", 20 + stack) for name in ("back", "part"))
            rest -= _dense(back, 20, f"back_out_{stack}", 30 + stack)
            totals.append(totals[-1] + _dense(part, 5, f"part_out_{stack}", 40 + stack))
        return {"x": x}, {"y": totals[-1], "before": totals[-2]}

    code = assert_rebuilt(build, {"x": numbers(3, 20)}, *["Dense"] * 19)
    assert code.count("for i in range(") == 3
