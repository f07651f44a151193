"""How long the code of known architectures is: blocks that come again are written once."""

import numpy as np
import tensorflow as tf

from load_v2.opening import source
from tests.support.rebuilding import case, code_of, numbers, placeholder

v1 = tf.compat.v1
# What a person sees at once.
_SCREEN = 50


def _dense(x, size: int, name: str):
    with v1.name_scope(name):
        kernel = tf.constant(numbers(int(x.shape[-1]), size, seed=len(name)), name="kernel")
        return tf.nn.bias_add(tf.matmul(x, kernel), tf.constant(numbers(size), name="bias"))


def _layer_norm(x, name: str):
    with v1.name_scope(name):
        mean, variance = tf.nn.moments(x, [-1], keepdims=True)
        size = int(x.shape[-1])
        beta, gamma = tf.constant(numbers(size), name="beta"), tf.constant(numbers(size, seed=2), name="gamma")
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-12)


def _heads(x, count: int, steps: int):
    return tf.transpose(tf.reshape(x, [-1, steps, count, int(x.shape[-1]) // count]), [0, 2, 1, 3])


def _bert(layers: int):
    """The encoder as google-research/bert writes it, on vectors: two-dimensional between the layers."""

    def build():
        steps, width = 6, 8
        x = placeholder("x", [None, steps, width])
        h = tf.reshape(x, [-1, width])
        for number in range(layers):
            with v1.name_scope(f"bert/encoder/layer_{number}/"):
                query, key, value = (_heads(_dense(h, width, f"attention/self/{n}"), 2, steps) for n in "qkv")
                scores = tf.nn.softmax(tf.matmul(query, key, transpose_b=True) * (1 / np.sqrt(width // 2)))
                mixed = tf.reshape(tf.transpose(tf.matmul(scores, value), [0, 2, 1, 3]), [-1, width])
                h = _layer_norm(h + _dense(mixed, width, "attention/output/dense"), "attention/output/LayerNorm")
                inner = _dense(h, 4 * width, "intermediate/dense")
                inner = inner * 0.5 * (1.0 + tf.math.erf(inner / np.float32(np.sqrt(2.0))))
                h = _layer_norm(h + _dense(inner, width, "output/dense"), "output/LayerNorm")
        return {"x": x}, {"y": tf.reshape(h, [-1, steps, width])}

    return build


def _norm(x, name: str):
    with v1.name_scope(name):
        parts = (tf.constant(np.abs(numbers(int(x.shape[-1]))), name=n) for n in ("gamma", "beta", "mean", "variance"))
        return v1.nn.fused_batch_norm(x, *parts, epsilon=1.001e-5, is_training=False)[0]


def _convolution(x, size: int, kernel: int, stride: int, name: str):
    with v1.name_scope(name):
        weights = tf.constant(numbers(kernel, kernel, int(x.shape[-1]), size), name="weights")
        return tf.nn.conv2d(x, weights, stride, "SAME")


def _unit(x, depth: int, stride: int):
    preact = tf.nn.relu(_norm(x, "preact"))
    shortcut = x if stride == 1 else tf.nn.max_pool2d(x, 1, stride, "SAME")
    if int(x.shape[-1]) != 4 * depth:
        shortcut = _convolution(preact, 4 * depth, 1, stride, "shortcut")
    h = tf.nn.relu(_norm(_convolution(preact, depth, 1, 1, "conv1"), "conv1/BatchNorm"))
    h = tf.nn.relu(_norm(_convolution(h, depth, 3, stride, "conv2"), "conv2/BatchNorm"))
    return shortcut + _convolution(h, 4 * depth, 1, 1, "conv3")


def _resnet_152():
    """slim's resnet_v2_152, with few channels: the last unit of a block halves the image."""
    x = placeholder("image", [None, 32, 32, 3])
    with v1.name_scope("resnet_v2_152/"):
        h = tf.nn.max_pool2d(_convolution(x, 4, 7, 2, "conv1"), 3, 2, "SAME")
        for block, (units, stride) in enumerate([(3, 2), (8, 2), (36, 2), (3, 1)], 1):
            for unit in range(1, units + 1):
                with v1.name_scope(f"block{block}/unit_{unit}/bottleneck_v2"):
                    h = _unit(h, 2**block, stride if unit == units else 1)
        h = tf.reduce_mean(tf.nn.relu(_norm(h, "postnorm")), [1, 2])
        return {"image": x}, {"logits": _dense(h, 10, "logits")}


def _code(build) -> tuple[str, list]:
    return code_of(case(build))


def test_a_bert_of_twelve_layers_is_no_longer_than_one_of_two():
    (two, few), (twelve, many) = _code(_bert(2)), _code(_bert(12))
    assert len(many) > 5 * len(few) > 0
    assert source.lines_of_code(twelve) <= source.lines_of_code(two) + 1
    assert "for i in range(12):" in twelve


def test_a_resnet_152_fits_on_two_screens():
    code, layers = _code(_resnet_152)
    assert sum(layer.kind == "Conv2D" for layer in layers) == 1 + 4 + 50 * 3
    assert len(code.splitlines()) <= 2 * _SCREEN
    assert max(map(len, code.splitlines())) <= 120
