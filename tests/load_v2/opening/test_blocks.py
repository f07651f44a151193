"""Repeated blocks become a function and a loop."""

import numpy as np
import pytest
import tensorflow as tf

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
    ("widths", "loop"), [([30] * 6, "for i in range(6):"), ([30, 30, 40, 40, 50], "for units, name in [")]
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
