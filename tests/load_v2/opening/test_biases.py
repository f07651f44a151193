"""Biases of sums of products."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1.ir.graph import Tensor
from tests.support.rebuilding import assert_rebuilt, case, code_of, numbers, placeholder

KERNELS, BIAS = (numbers(4, 5), numbers(3, 5, seed=2)), numbers(5, seed=3)

SUMS = {
    "behind both": lambda a, b: (a + b) + BIAS,
    "before both": lambda a, b: BIAS + (a + b),
    "as a bias": lambda a, b: tf.nn.bias_add(a + b, BIAS),
    "as a row": lambda a, b: a + b + BIAS[None],
}


def _of_two(build):
    def built():
        x, h = placeholder("x", [None, 4]), placeholder("h", [None, 3])
        y = build(tf.matmul(x, KERNELS[0]), tf.matmul(h, KERNELS[1]))
        return {"x": x, "h": h}, {"y": tf.tanh(y)}

    return built


@pytest.mark.parametrize("name", SUMS)
def test_the_bias_of_a_sum_of_products_is_in_a_dense(name):
    build = _of_two(SUMS[name])
    code, layers = code_of(case(build))
    assert sorted(len(layer.weights) for layer in layers if layer.kind == "Dense") == [1, 2]
    assert_rebuilt(build, {"x": numbers(2, 4), "h": numbers(2, 3)}, "Dense", "Dense")
    assert "Parameter" not in code


def test_a_bias_beside_one_product_is_in_that():
    def build():
        x, h = placeholder("x", [None, 4]), placeholder("h", [None, 5])
        return {"x": x, "h": h}, {"y": (tf.exp(h) + tf.matmul(x, KERNELS[0])) + BIAS}

    assert_rebuilt(build, {"x": numbers(2, 4), "h": numbers(2, 5)}, "Dense")
    assert len(_biased_products(case(build))) == 1


def _biased_products(built) -> list[str]:
    """Returns the sums of a product and something that is no data, in the graph that the code is written for."""
    context = built.context
    sums = [node.name for node in context.graph.graph_def.node if node.op in {"Add", "AddV2", "BiasAdd"}]
    pairs = {name: context.sources(Tensor(name)) for name in sums}
    return [
        name
        for name, pair in pairs.items()
        if "MatMul" in map(context.op, pair) and not all(map(context.is_data, pair))
    ]


OTHERS = {
    "a sum that is read elsewhere": lambda a, b: (total := a + b) + BIAS + tf.sin(total),
    "a product that is read elsewhere": lambda a, b: (a + b) + BIAS + tf.sin(a) + tf.sin(b),
    "a bias that makes it larger": lambda a, b: (a + b) + numbers(2, 5),
    "a number": lambda a, b: (a + b) + 2.0,
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_sums_stay_as_they_are(name):
    build = _of_two(OTHERS[name])
    _, layers = code_of(case(build))
    assert not _biased_products(case(build))
    assert {len(layer.weights) for layer in layers if layer.kind == "Dense"} == {1}
    assert_rebuilt(build, {"x": numbers(2, 4), "h": numbers(2, 3)}, *(layer.kind for layer in layers))


def test_a_channel_that_is_spread_keeps_its_bias_behind_the_sum():
    def build():
        x, h = placeholder("x", [None, 4]), placeholder("h", [None, 5])
        return {"x": x, "h": h}, {"y": (tf.matmul(x, numbers(4, 1)) + tf.sin(h)) + np.float32([1, 2, 3, 4, 5])}

    assert_rebuilt(build, {"x": numbers(2, 4), "h": numbers(2, 5)}, "Dense")
    assert not _biased_products(case(build))
