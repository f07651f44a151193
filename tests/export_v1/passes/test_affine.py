"""Each fold against TensorFlow's own answers to the graph as it was."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1.ir.graph import Index
from export_v1.passes import affine
from tests.support import graphs

v1 = tf.compat.v1
RANDOM = np.random.RandomState(0)


def _values(*shape, positive=False):
    values = RANDOM.rand(*shape) + 0.5 if positive else RANDOM.randn(*shape)
    return tf.constant(values.astype(np.float32))


def _norm(x, count, **more):
    scale, offset, mean = (_values(count) for _ in range(3))
    return tf.raw_ops.FusedBatchNormV3(
        x=x, scale=scale, offset=offset, mean=mean, variance=_values(count, positive=True), is_training=False, **more
    ).y


def _written_out(x, count):
    """tf.nn.batch_normalization as TensorFlow 1 writes it."""
    mean, variance, offset, scale = _values(count), _values(count, positive=True), _values(count), _values(count)
    inverse = tf.math.rsqrt(variance + 1e-3) * scale
    return x * inverse + (offset - mean * inverse)


def _conv(x):
    return tf.nn.conv2d(x, _values(3, 3, 4, 6), 1, "SAME")


def _dense(x):
    return tf.matmul(tf.reduce_mean(x, [1, 2]), _values(4, 6))


LAYERS = {
    "convolution": (_conv, 6),
    "strided, dilated": (lambda x: tf.nn.conv2d(x, _values(3, 3, 4, 5), 1, "VALID", dilations=2), 5),
    "depthwise": (lambda x: tf.nn.depthwise_conv2d(x, _values(3, 3, 4, 2), [1, 1, 1, 1], "SAME"), 8),
    "transposed": (lambda x: tf.nn.conv2d_transpose(x, _values(3, 3, 7, 4), [2, 16, 16, 7], 2), 7),
    "three axes": (lambda x: tf.nn.conv3d(x[:, None], _values(1, 3, 3, 4, 5), [1] * 5, "SAME"), 5),
    "dense": (_dense, 6),
    "dense, kernel transposed": (
        lambda x: tf.matmul(tf.reduce_mean(x, [1, 2]), _values(6, 4), transpose_b=True),
        6,
    ),
    "along a line": (lambda x: tf.nn.conv1d(x[:, 0], _values(3, 4, 6), 1, "SAME"), 6),
}
STEPS = {
    "fused": lambda x, n: _norm(x, n) if x.shape.rank == 4 else _written_out(x, n),
    "written out": _written_out,
    "a bias before": lambda x, n: _written_out(tf.nn.bias_add(x, _values(n)), n),
    "product and sum": lambda x, n: _values(n) + _values(n) * x,
    "difference": lambda x, n: (x - _values(n)) * 2.0,
    "difference from": lambda x, n: _values(n) - x,
    "quotient": lambda x, n: x / _values(n, positive=True) + 1.0,
}


def _graph(build):
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, [None, 8, 8, 4], name="x")
        tf.identity(tf.nn.relu(build(x), name="last"), name="y")
    return graph.as_graph_def()


def _answer(graph_def, rows=2):
    x = np.random.RandomState(1).randn(rows, 8, 8, 4).astype(np.float32)
    return graphs.run(graph_def, "y:0", {"x:0": x})


def _folded(build):
    graph_def = _graph(build)
    before = graph_def.SerializeToString()
    result, folded = affine.into_kernels(graph_def, {"x", "y"})
    assert graph_def.SerializeToString() == before
    np.testing.assert_allclose(_answer(result.graph_def), _answer(graph_def), rtol=1e-4, atol=1e-5)
    return Index(result.graph_def), folded


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("layer", LAYERS)
def test_what_scales_channels_goes_into_the_kernel(layer, steps):
    build, count = LAYERS[layer]
    index, folded = _folded(lambda x: STEPS[steps](build(x), count))
    assert folded.layers == 1
    source = index[index["last"].input[0]]
    assert source.op == "BiasAdd" or (source.op == "Squeeze" and index[source.input[0]].op == "BiasAdd")


def test_counts_norms_and_other_steps():
    _, folded = _folded(lambda x: _norm(tf.nn.bias_add(_conv(x), _values(6)), 6) * 2.0)
    assert folded == affine.Folded(layers=1, norms=1, steps=2)


def test_what_follows_once_the_channels_are_squeezed_away_stays():
    def build(x):
        channel = tf.nn.conv2d(x, _values(3, 3, 4, 1), 1, "SAME") * 2.0
        return tf.nn.bias_add(tf.squeeze(channel, [3]), _values(8))

    assert _folded(build)[1] == affine.Folded(layers=1, steps=1)


def test_layers_in_a_row_each_take_their_own():
    _, folded = _folded(lambda x: _norm(tf.nn.conv2d(_norm(_conv(x), 6), _values(3, 3, 6, 6), 1, "SAME"), 6))
    assert folded == affine.Folded(layers=2, norms=2)


def test_a_kernel_of_two_layers_stays_for_the_other():
    def build(x):
        kernel = _values(3, 3, 4, 4)
        first = _norm(tf.nn.conv2d(x, kernel, 1, "SAME"), 4)
        return tf.nn.conv2d(tf.nn.relu(first), kernel, 1, "SAME")

    assert _folded(build)[1].layers == 1


def _twice(x):
    h = _conv(x)
    return _norm(h, 6) + h


def _awaited(x):
    h = _conv(x)
    with tf.control_dependencies([h]):
        other = tf.identity(x)
    return _norm(h, 6) + tf.reduce_sum(other)


def _waiting(x):
    scale, h = _values(6), _conv(x)
    with tf.control_dependencies([tf.reduce_sum(x)]):
        return h * scale


def _by_statistics(x):
    return tf.raw_ops.FusedBatchNormV3(
        x=_conv(x), scale=_values(6), offset=_values(6), mean=[], variance=[], is_training=True
    ).y


def _asking_for_the_mean(x):
    y, mean, *_ = tf.raw_ops.FusedBatchNormV3(
        x=_conv(x), scale=_values(6), offset=_values(6), mean=_values(6), variance=_values(6, positive=True),
        is_training=False,
    )  # fmt: skip
    return y + mean


UNTOUCHED = {
    "somebody else reads it": _twice,
    "somebody waits for it": _awaited,
    "it waits for something": _waiting,
    "batch statistics": _by_statistics,
    "the mean is read": _asking_for_the_mean,
    "a bias alone": lambda x: tf.nn.bias_add(_conv(x), _values(6)),
    "by place, not by channel": lambda x: _conv(x) * _values(8, 1, 1),
    "more axes than the data": lambda x: tf.matmul(tf.reduce_mean(x, [1, 2]), _values(4, 6)) * _values(1, 1, 6),
    "a scale that is data": lambda x: _conv(x) * tf.reduce_mean(x),
    "a quotient of it": lambda x: _values(6) / _conv(x),
    "kernel is data": lambda x: _norm(tf.nn.conv2d(x, tf.reduce_mean(x) * _values(3, 3, 4, 6), 1, "SAME"), 6),
    "infinite": lambda x: tf.minimum(_conv(x) * np.float32(np.inf), 1.0) * 0.0 + 1.0,
}


@pytest.mark.parametrize("why", UNTOUCHED)
def test_stays_as_it_is(why):
    graph_def = _graph(UNTOUCHED[why])
    result, folded = affine.into_kernels(graph_def, {"x", "y"})
    assert folded.layers == 0
    assert list(result.graph_def.node) == list(graph_def.node)


def test_what_has_to_stay_stays():
    graph_def = _graph(lambda x: _norm(tf.identity(_conv(x), name="asked"), 6))
    result, folded = affine.into_kernels(graph_def, {"x", "y", "asked"})
    assert (folded.layers, list(result.graph_def.node)) == (0, list(graph_def.node))


def test_who_waits_for_what_is_gone_waits_for_what_has_its_value():
    def build(x):
        h = _norm(_conv(x), 6)
        with tf.control_dependencies([h]):
            waits = tf.constant(1.0, name="waits")
        return tf.nn.relu(h) + waits

    index, folded = _folded(build)
    assert folded.norms == 1
    [edge] = [edge for edge in index["waits"].input if edge.startswith("^")]
    assert index[edge[1:]].op == "BiasAdd"


def test_channels_first():
    def build(x):
        h = tf.nn.conv2d(tf.transpose(x, [0, 3, 1, 2]), _values(3, 3, 4, 6), 1, "SAME", data_format="NCHW")
        return tf.nn.bias_add(h, _values(6), data_format="NCHW") * _values(6, 1, 1)

    graph_def = _graph(build)
    result, folded = affine.into_kernels(graph_def, {"x", "y"})
    assert (folded.layers, folded.steps) == (1, 2)
    [bias] = [node for node in result.graph_def.node if node.op == "BiasAdd"]
    assert bias.attr["data_format"].s == b"NCHW"
    # This TensorFlow may have no kernel for it on a CPU.
    try:
        want = _answer(graph_def)
    except tf.errors.UnimplementedError:
        pytest.skip("no convolution with channels first on this processor")
    np.testing.assert_allclose(_answer(result.graph_def), want, rtol=1e-4, atol=1e-5)
