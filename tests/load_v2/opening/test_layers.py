"""Pieces of graph that are layers of Keras's, in the spellings of TensorFlow 1 code."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1.ir.graph import Tensor
from load_v2.opening import proof, statements, text
from load_v2.opening.context import operand
from load_v2.opening.expressions import LayerCall
from load_v2.opening.layers import Layer
from tests.support.rebuilding import assert_rebuilt, case, code_of, covered, numbers, placeholder

v1 = tf.compat.v1


def _of_x(shape, build):
    def whole():
        x = placeholder("x", shape)
        return {"x": x}, {"y": build(x)}

    return whole


def _x(*shape):
    return {"x": numbers(*shape, seed=7)}


DENSE = {
    "bias and activation": (lambda x: tf.nn.relu(tf.matmul(x, numbers(20, 3)) + numbers(3)), (4, 20)),
    "transposed kernel": (lambda x: tf.matmul(x, numbers(20, 20), transpose_b=True), (4, 20)),
    "bias with an axis of one": (lambda x: tf.add(numbers(1, 3), tf.matmul(x, numbers(20, 3))), (4, 20)),
    "over three axes": (lambda x: tf.tanh(tf.tensordot(x, numbers(20, 3), 1) + numbers(3)), (4, 5, 20)),
    "reshaped at the end": (
        lambda x: tf.reshape(
            tf.matmul(tf.reshape(x, [-1, 20]), numbers(20, 3)) + numbers(3), [tf.shape(x)[0], tf.shape(x)[1], 3]
        ),
        (4, 5, 20),
    ),
}


@pytest.mark.parametrize("name", DENSE)
def test_a_product_with_a_matrix_is_dense(name):
    build, shape = DENSE[name]
    open_shape = [None] * (len(shape) - 1) + [20]
    assert_rebuilt(_of_x(open_shape, build), _x(*shape), "Dense")


def test_a_product_of_which_more_is_read_is_a_layer_without_its_activation():
    def build():
        x = placeholder("x", [None, 20])
        product = tf.matmul(x, numbers(20, 3))
        return {"x": x}, {"linear": product, "y": tf.nn.relu(product)}

    code = assert_rebuilt(build, _x(4, 20), "Dense")
    assert "activation" not in code and "layers.ReLU()(" in code


def test_the_same_weights_twice_are_one_layer():
    def build():
        a, b = placeholder("a", [None, 20]), placeholder("b", [None, 20])
        kernel = tf.constant(numbers(20, 3))
        return {"a": a, "b": b}, {"y": tf.matmul(a, kernel) - tf.matmul(b, kernel)}

    code = assert_rebuilt(build, {"a": numbers(4, 20), "b": numbers(4, 20, seed=2)}, "Dense")
    assert code.count("layers.Dense(") == 1


def _by_reshapes(x, at):
    """As code does whose axes are put in and dropped by functions of its own, some of them twice."""
    whole, kernel = ([-1, 1, 8, 2], (1, 3)) if at == 1 else ([-1, 8, 1, 2], (3, 1))
    there_and_back = tf.reshape(tf.transpose(tf.reshape(x, [-1, 8, 1, 2]), [0, 2, 1, 3]), [-1, 8, 2])
    y = tf.nn.conv2d(tf.reshape(there_and_back, whole), numbers(*kernel, 2, 4), 1, "SAME")
    return tf.reshape(tf.nn.bias_add(y, numbers(4)), [-1, 8, 4])


CONVOLUTIONS = {
    "plain": (lambda x: tf.nn.conv2d(x, numbers(3, 3, 2, 4), [1, 2, 1, 1], "SAME"), (2, 8, 9, 2), "Conv2D"),
    "grouped": (lambda x: tf.nn.conv2d(x, numbers(3, 3, 1, 4), 1, "VALID"), (2, 8, 9, 2), None),
    "depthwise": (
        lambda x: tf.nn.depthwise_conv2d(x, numbers(3, 3, 2, 3), [1, 1, 1, 1], "SAME"), (2, 8, 9, 2), "DepthwiseConv2D",
    ),
    "three axes": (lambda x: tf.nn.conv3d(x, numbers(2, 2, 2, 2, 4), [1] * 5, "VALID"), (2, 4, 5, 6, 2), "Conv3D"),
    "one axis": (lambda x: tf.nn.conv1d(x, numbers(3, 2, 4), 1, "SAME") + numbers(4), (2, 8, 2), "Conv1D"),
    "one axis, by reshapes": (lambda x: _by_reshapes(x, 1), (2, 8, 2), "Conv1D"),
    "one axis, the other one put in": (lambda x: _by_reshapes(x, 2), (2, 8, 2), "Conv1D"),
    "one axis, with a bias before it is dropped": (
        lambda x: tf.squeeze(
            tf.nn.relu(tf.nn.conv2d(tf.expand_dims(x, 1), numbers(1, 3, 2, 4), 1, "VALID") + numbers(4)), [1]
        ),
        (2, 8, 2), "Conv1D",
    ),
    "dilated through the batch": (
        lambda x: tf.nn.with_space_to_batch(
            x, [2, 2], "VALID", lambda y, *_: tf.nn.conv2d(y, numbers(3, 3, 2, 4), 1, "VALID"), [3, 3]
        ),
        (2, 8, 10, 2), "Conv2D",
    ),
    "transposed": (
        lambda x: tf.nn.conv2d_transpose(
            x, numbers(3, 3, 4, 2), tf.stack([tf.shape(x)[0], tf.shape(x)[1] * 2, tf.shape(x)[2] * 2, 4]), [1, 2, 2, 1]
        ),
        (2, 4, 5, 2), "Conv2DTranspose",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name, (_, _, kind) in CONVOLUTIONS.items() if kind])
def test_convolutions_are_layers(name):
    build, shape, kind = CONVOLUTIONS[name]
    assert_rebuilt(_of_x([None, *shape[1:]], build), _x(*shape), kind)


OTHER_AXES = {
    "a kernel over both": (lambda x: _dropped(tf.expand_dims(x, 1), (2, 3), "SAME"), "Conv2D"),
    "another axis dropped": (lambda x: _dropped(tf.expand_dims(x, 1), (1, 8), "VALID", 2), "Conv2D"),
    "an axis that was there": (lambda x: _dropped(tf.reshape(x, [-1, 2, 4, 2]), (1, 3), "SAME", None), "Conv2D"),
}


def _dropped(x, kernel, padding, at=1):
    y = tf.nn.conv2d(x, numbers(*kernel, 2, 4), 1, padding)
    return tf.reshape(y, [-1, 8, 4]) if at is None else tf.squeeze(y, [at])


@pytest.mark.parametrize("name", OTHER_AXES)
def test_a_convolution_over_more_than_one_axis_stays_one(name):
    build, kind = OTHER_AXES[name]
    code = assert_rebuilt(
        _of_x([None, 8, 2], build), _x(2, 8, 2), *([kind, "Reshape", "Reshape"] if "was there" in name else [kind])
    )
    assert "Conv1D" not in code


def test_pooling_along_one_axis_put_in_by_a_reshape_is_a_layer():
    def build(x):
        return tf.reshape(tf.nn.max_pool2d(tf.reshape(x, [-1, 1, 8, 2]), [1, 2], [1, 2], "VALID"), [-1, 4, 2])

    assert_rebuilt(_of_x([None, 8, 2], build), _x(2, 8, 2), "MaxPooling1D")


THERE_AND_BACK = {
    "time into the batch by ones": (lambda x: tf.reshape(_turned(x, 1), [-1, 6, 4]), True),
    "time into the batch by twos": (lambda x: tf.reshape(_turned(x, 2), [-1, 6, 4]), False),
    "an axis of one moved away and back": (lambda x: _moved(_moved(tf.expand_dims(x, 1)))[:, 0], True),
    "through other shapes": (lambda x: tf.reshape(tf.expand_dims(tf.reshape(x, [-1, 3, 8]), 2), [-1, 6, 4]), True),
    "into another shape": (lambda x: tf.reshape(tf.reshape(x, [-1, 3, 8]), [-1, 4, 6]), False),
}


def _moved(x):
    return tf.transpose(x, [0, 2, 1, 3])


def _turned(x, rate):
    return tf.transpose(tf.reshape(x, [-1, 6 // rate, rate, 4]), [0, 2, 1, 3])


@pytest.mark.parametrize("name", THERE_AND_BACK)
def test_shapes_that_go_there_and_back_again_are_no_code(name):
    build, is_gone = THERE_AND_BACK[name]
    code, layers = code_of(case(_of_x([None, 6, 4], lambda x: tf.sin(build(tf.cos(x))))))
    kinds = [layer.kind for layer in layers]
    assert_rebuilt(_of_x([None, 6, 4], lambda x: tf.sin(build(tf.cos(x)))), _x(2, 6, 4), *kinds)
    assert ("eshape" not in code and "Permute" not in code) == is_gone


KERNELS = numbers(3, 3, 1, 4), numbers(3, 3, 1, 4, seed=2)


def test_convolutions_of_equal_parts_of_the_channels_are_one_in_groups():
    def build(x):
        parts = [tf.nn.conv2d(part, kernel, 2, "SAME") for part, kernel in zip(tf.split(x, 2, 3), KERNELS, strict=True)]
        return tf.nn.relu(tf.concat(parts, 3) + numbers(8))

    code = assert_rebuilt(_of_x([None, 8, 9, 2], build), _x(2, 8, 9, 2), "Conv2D")
    assert "groups=2" in code and "split" not in code


UNGROUPED = {
    "parts in another order": lambda x: tf.concat(
        [tf.nn.conv2d(part, kernel, 1, "SAME") for part, kernel in zip(tf.split(x, 2, 3)[::-1], KERNELS, strict=True)],
        3,
    ),
    "parts of rows": lambda x: tf.concat(
        [tf.nn.conv2d(part, numbers(3, 3, 2, 4), 1, "SAME") for part in tf.split(x, 2, 1)], 3
    ),
    "results above each other": lambda x: tf.concat(
        [tf.nn.conv2d(part, kernel, 1, "SAME") for part, kernel in zip(tf.split(x, 2, 3), KERNELS, strict=True)], 1
    ),
    "a part that is read elsewhere": lambda x: _read_elsewhere(*tf.split(x, 2, 3)),
}


def _read_elsewhere(first, second):
    parts = [tf.nn.conv2d(first, KERNELS[0], 1, "SAME"), tf.nn.conv2d(second, KERNELS[1], 1, "SAME")]
    return tf.concat(parts, 3) * first


@pytest.mark.parametrize("name", UNGROUPED)
def test_other_convolutions_of_parts_are_layers_of_their_own(name):
    assert_rebuilt(_of_x([None, 8, 8, 2], UNGROUPED[name]), _x(2, 8, 8, 2), "Conv2D", "Conv2D")


def test_a_depthwise_convolution_and_a_product_of_channels_made_as_one_are_one_layer():
    def build(x):
        with v1.name_scope("sep"):
            depthwise, pointwise = (
                tf.constant(numbers(3, 3, 2, 1), name="a"),
                tf.constant(numbers(1, 1, 2, 4), name="b"),
            )
        return tf.nn.conv2d(tf.nn.depthwise_conv2d(x, depthwise, [1, 1, 1, 1], "SAME"), pointwise, 1, "VALID")

    assert_rebuilt(_of_x([None, 8, 9, 2], build), _x(2, 8, 9, 2), "SeparableConv2D")


GAMMA, BETA, MEAN, VARIANCE = numbers(4), numbers(4, seed=2), numbers(4, seed=3), np.abs(numbers(4, seed=4)) + 0.5
AVERAGED = {
    "fused": lambda x: v1.nn.fused_batch_norm(x, GAMMA, BETA, MEAN, VARIANCE, 1e-3, is_training=False)[0],
    "unfused": lambda x: tf.nn.batch_normalization(x, MEAN, tf.constant(VARIANCE), BETA, GAMMA, 1e-3),
    "without a scale": lambda x: tf.nn.batch_normalization(x, MEAN, tf.constant(VARIANCE), BETA, None, 1e-3),
    "written out": lambda x: GAMMA * (x - MEAN) / tf.sqrt(tf.constant(VARIANCE) + 1e-3) + BETA,
    "divided first": lambda x: (x - MEAN) / tf.sqrt(tf.constant(VARIANCE) + 1e-3) * GAMMA + BETA,
    "by a power": lambda x: (x - MEAN) * tf.pow(tf.constant(VARIANCE) + 1e-3, -0.5),
}


@pytest.mark.parametrize("name", AVERAGED)
def test_normalization_by_averages_is_batch_normalization(name):
    assert_rebuilt(_of_x([None, 3, 3, 4], AVERAGED[name]), _x(2, 3, 3, 4), "BatchNormalization")


def _normalized(x, axes, scale=True):
    mean, variance = tf.nn.moments(x, axes, keepdims=True)
    return tf.nn.batch_normalization(x, mean, variance, BETA, GAMMA if scale else None, 1e-6)


OF_ITSELF = {
    "tf.nn.moments": (lambda x: _normalized(x, [-1]), "LayerNormalization"),
    "without a scale": (lambda x: _normalized(x, [-1], scale=False), "LayerNormalization"),
    "over space": (lambda x: _normalized(x, [1, 2]), "GroupNormalization"),
    "written out": (
        lambda x: (
            (x - tf.reduce_mean(x, -1, keepdims=True))
            * tf.math.rsqrt(
                tf.reduce_mean(tf.square(x - tf.reduce_mean(x, -1, keepdims=True)), -1, keepdims=True) + 1e-6
            )
        ),
        None,
    ),
}


@pytest.mark.parametrize("name", [name for name, (_, kind) in OF_ITSELF.items() if kind])
def test_normalization_by_own_moments_is_a_layer(name):
    build, kind = OF_ITSELF[name]
    assert_rebuilt(_of_x([None, 3, 3, 4], build), _x(2, 3, 3, 4), kind)


def test_normalization_by_the_moments_of_the_batch_is_none():
    code = assert_rebuilt(_of_x([None, 4], lambda x: _normalized(x, [0])), _x(5, 4))
    assert "Normalization" not in code


def test_rows_of_a_table_are_an_embedding():
    def build():
        ids = placeholder("ids", [None, 3], "int32")
        return {"ids": ids}, {"y": tf.gather(tf.constant(numbers(30, 4)), ids)}

    assert_rebuilt(build, {"ids": np.int32([[1, 2, 29], [0, 5, 5]])}, "Embedding")


@pytest.mark.parametrize("strategy", ["mod", "div"])
def test_a_table_in_parts_is_one_embedding(strategy):
    def build():
        ids = placeholder("ids", [None, 3], "int64")
        parts = [
            tf.constant(numbers(4, 5, seed=1)),
            tf.constant(numbers(4, 5, seed=2)),
            tf.constant(numbers(3, 5, seed=3)),
        ]
        return {"ids": ids}, {"y": v1.nn.embedding_lookup(parts, ids, partition_strategy=strategy)}

    code = assert_rebuilt(build, {"ids": np.int64([[0, 1, 10], [3, 4, 7]])}, "Embedding")
    assert "Embedding(11, 5" in code


POOLS = {
    "largest": (lambda x: tf.nn.max_pool2d(x, 3, 2, "SAME"), "MaxPooling2D"),
    "mean": (lambda x: tf.nn.avg_pool2d(x, 2, 2, "VALID"), "AveragePooling2D"),
    "of all": (lambda x: tf.reduce_mean(x, [1, 2]), "GlobalAveragePooling2D"),
    "largest of all": (lambda x: tf.reduce_max(x, [2, 1], keepdims=True), "GlobalMaxPooling2D"),
    "zeros around": (lambda x: tf.pad(x, [[0, 0], [1, 1], [2, 3], [0, 0]]), "ZeroPadding2D"),
    "flat": (lambda x: tf.reshape(x, [-1, 8 * 9 * 2]), "Flatten"),
    "larger": (lambda x: v1.image.resize_nearest_neighbor(x, [16, 27]), "UpSampling2D"),
}


@pytest.mark.parametrize("name", POOLS)
def test_what_has_no_weights_is_a_layer_too(name):
    build, kind = POOLS[name]
    assert_rebuilt(_of_x([None, 8, 9, 2], build), _x(2, 8, 9, 2), kind)


@pytest.mark.parametrize(("size", "layers"), [(8, []), (9, ["AveragePooling2D"])])
def test_a_mean_over_uneven_padding_leaves_it_out_on_every_backend(size, layers):
    def build(x):
        return tf.nn.avg_pool2d(x, 3, 2, "SAME")

    code = assert_rebuilt(_of_x([None, size, 9, 2], build), _x(2, size, 9, 2), *layers)
    # Keras on PyTorch repeats the border where padding is uneven.
    assert ("ops.pad(" in code) == (not layers)


def _bert_gelu(x):
    return x * 0.5 * (1.0 + tf.math.erf(x / np.float32(np.sqrt(2.0))))


def _gpt_gelu(x):
    return 0.5 * x * (1 + tf.tanh(np.float32(np.sqrt(2 / np.pi)) * (x + 0.044715 * tf.pow(x, 3))))


@pytest.mark.parametrize(
    ("build", "text"),
    [
        (_bert_gelu, " gelu(x)"),
        (_gpt_gelu, "ops.gelu(x, approximate=True)"),
        (lambda x: tf.maximum(0.2 * x, x), "layers.LeakyReLU(0.2)(x)"),
        (lambda x: x * tf.sigmoid(x), 'layers.Activation("silu")(x)'),
    ],
)
def test_activations_are_called_by_their_names(build, text):
    assert text in assert_rebuilt(_of_x([None, 4], build), _x(3, 4))


def test_what_the_graph_calls_gelu_is_not_taken_for_the_function():
    def build(x):
        called = tf.sin(x, name="gelu")
        return _bert_gelu(called) * tf.cos(called)

    assert "gelu_2 = ops.sin(x)" in assert_rebuilt(_of_x([None, 4], build), _x(3, 4))


def test_a_gelu_with_another_number_is_none():
    code = assert_rebuilt(_of_x([None, 4], lambda x: x * 0.5 * (1.0 + tf.math.erf(x / 1.5))), _x(3, 4))
    assert "gelu" not in code


def test_a_learned_leak_is_prelu():
    alpha = np.abs(numbers(4))
    build = _of_x([None, 3, 3, 4], lambda x: tf.nn.relu(x) + alpha * (x - tf.abs(x)) * 0.5)
    assert_rebuilt(build, _x(2, 3, 3, 4), "PReLU")


PRELU = {
    "by the negative part, mirrored": lambda x, alpha: tf.nn.relu(x) + -alpha * tf.nn.relu(-x),
    "by the smaller of zero and x": lambda x, alpha: tf.maximum(0.0, x) + alpha * tf.minimum(0.0, x),
    "by a choice": lambda x, alpha: tf.where(x > 0.0, x, alpha * x),
}


@pytest.mark.parametrize("name", PRELU)
@pytest.mark.parametrize("size", [1, 4])
def test_a_learned_leak_is_prelu_in_every_spelling(name, size):
    alpha = np.abs(numbers(size))
    build = _of_x([None, 3, 3, 4], lambda x: PRELU[name](x, alpha))
    _, layers = code_of(case(build))
    # One number for all channels stays one, or training would make several of it.
    assert [layer.weights[0].size for layer in layers] == [size]
    assert_rebuilt(build, _x(2, 3, 3, 4), "PReLU")


SCALES = {
    "a scale": (lambda x: x * numbers(20), "EinsumDense", (4, 20)),
    "a scale with an offset": (lambda x: numbers(20, seed=2) + numbers(20) * x, "EinsumDense", (4, 20)),
    "of the last two axes": (lambda x: x * numbers(1, 5, 20), "EinsumDense", (4, 5, 20)),
    "summed": (lambda x: tf.reduce_sum(x * numbers(20), -1), "Dense", (4, 5, 20)),
    "summed, the axis kept": (lambda x: tf.reduce_sum(numbers(20) * x, [2], keepdims=True), "Dense", (4, 5, 20)),
}


@pytest.mark.parametrize("name", SCALES)
def test_products_with_weights_one_by_one_are_layers(name):
    build, kind, shape = SCALES[name]
    assert_rebuilt(_of_x([None, *shape[1:]], build), _x(*shape), kind)


@pytest.mark.parametrize("scope", ["inputs", "softmax", "add_1"])
def test_a_layer_has_no_name_that_an_input_or_an_op_of_keras_has(scope):
    """Of TensorFlow 1's scopes some are called like a key of the signature, or like what Keras calls a sum."""

    def build():
        x = placeholder("inputs", [None, 4])
        with tf.name_scope(scope):
            kernel = tf.constant(numbers(4, 3), name="kernel")
        return {"inputs": x}, {"y": tf.nn.softmax(tf.matmul(x, kernel)) + x[:, :3] + x[:, 1:]}

    assert_rebuilt(build, {"inputs": numbers(2, 4)}, "Dense")


def test_a_sum_over_another_axis_is_no_dense():
    code = assert_rebuilt(
        _of_x([None, 5, 20], lambda x: tf.reduce_sum(x * numbers(20), 1)), _x(4, 5, 20), "EinsumDense"
    )
    assert "ops.sum" in code


def _grouped(x, inside):
    gamma, beta = numbers(8), numbers(8, seed=2)
    parted = tf.reshape(x, [-1, 4, 5, 2, 4])
    mean, variance = tf.nn.moments(parted, [1, 2, 4], keepdims=True)
    if inside:
        gamma, beta = gamma.reshape(1, 1, 1, 2, 4), beta.reshape(1, 1, 1, 2, 4)
        return tf.reshape(tf.nn.batch_normalization(parted, mean, variance, beta, gamma, 1e-5), [-1, 4, 5, 8])
    return tf.reshape((parted - mean) / tf.sqrt(variance + 1e-5), [-1, 4, 5, 8]) * gamma + beta


@pytest.mark.parametrize("inside", [True, False], ids=["scaled in groups", "scaled behind them"])
def test_normalization_of_groups_of_channels_is_a_layer(inside):
    code = assert_rebuilt(_of_x([None, 4, 5, 8], lambda x: _grouped(x, inside)), _x(2, 4, 5, 8), "GroupNormalization")
    assert "groups=2" in code


def test_normalization_of_everything_with_a_scale_for_each_channel_is_one_group():
    def build(x):
        mean, variance = tf.nn.moments(x, [1, 2, 3], keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, BETA, GAMMA, 1e-6)

    assert "groups=1" in assert_rebuilt(_of_x([None, 3, 3, 4], build), _x(2, 3, 3, 4), "GroupNormalization")


def _attention(x, scale=0.5, mask=None, biased=True, one_product=False):
    def dense(y, size, seed):
        y = tf.tensordot(y, tf.constant(numbers(y.shape[-1], size, seed=seed)), 1)
        return y + numbers(size, seed=seed + 1) if biased else y

    def heads(y):
        return tf.transpose(tf.reshape(y, [-1, 5, 2, 4]), [0, 2, 1, 3])

    parts = tf.split(dense(x, 24, 1), 3, -1) if one_product else [dense(x, 8, seed) for seed in (1, 3, 5)]
    q, k, v = map(heads, parts)
    scores = tf.matmul(q, k, transpose_b=True) * scale
    if mask is not None:
        scores += (1.0 - tf.cast(mask[:, None, None], "float32")) * -1e4
    joined = tf.reshape(tf.transpose(tf.matmul(tf.nn.softmax(scores), v), [0, 2, 1, 3]), [-1, 5, 8])
    return dense(joined, 6, 7)


@pytest.mark.parametrize("options", [{}, {"one_product": True}, {"biased": False}])
def test_attention_of_several_heads_is_one_layer(options):
    build = _of_x([None, 5, 8], lambda x: _attention(x, **options))
    assert_rebuilt(build, _x(3, 5, 8), "MultiHeadAttention")


def test_attention_takes_a_mask_of_zeros_and_ones():
    def build():
        x, mask = placeholder("x", [None, 5, 8]), placeholder("mask", [None, 5], "int32")
        return {"x": x, "mask": mask}, {"y": _attention(x, mask=mask)}

    feeds = {"x": numbers(2, 5, 8), "mask": np.int32([[1, 1, 1, 0, 0], [1, 0, 1, 1, 1]])}
    code = assert_rebuilt(build, feeds, "MultiHeadAttention")
    assert "attention_mask=" in code
    built = case(build)
    assert not proof.check(built.context, covered(built).pieces, feeds)
    # The graph can be given other numbers than Keras's mask has, and then it is no such layer.
    assert proof.check(built.context, covered(built).pieces, {**feeds, "mask": feeds["mask"] * 2})


def test_attention_takes_no_mask_of_the_sequence_that_it_reads():
    """A recurrent layer with lengths attaches one to what it gives; TensorFlow 1 goes by all steps behind it."""
    x, h, found, lengths = map(Tensor, ("x", "h", "found", "lengths"))
    recurrent, attention = Layer("LSTM", "rnn", (4,)), Layer("MultiHeadAttention", "attention", (2, 2))
    masked = LayerCall(recurrent, (operand(x),), (("mask", operand(lengths)),))
    given = [
        statements.Statement((h,), masked, "rnn"),
        statements.Statement((found,), LayerCall(attention, (operand(h), operand(h))), "attention"),
    ]
    names = {x: "x", h: "h", lengths: "lengths"}
    for statement in given:
        statement.code.layer.variable = statement.scope
    first, second = (text.flat(statement.code, names) for statement in statements._without_stray_masks(given))
    assert first == "rnn(x, mask=lengths)" and second == "attention(ops.copy(h), ops.copy(h))"
    assert text.flat(statements._without_stray_masks(given[1:])[0].code, names) == "attention(h, h)"


def test_attention_with_another_scale_is_none():
    _, layers = code_of(case(_of_x([None, 5, 8], lambda x: _attention(x, scale=0.3))))
    assert {layer.kind for layer in layers if layer.weights} == {"Dense"}


def test_a_table_that_is_also_a_projection_is_one_layer():
    def build():
        ids, table = placeholder("ids", [None, 4], "int32"), tf.constant(numbers(9, 6))
        h = tf.tanh(tf.gather(table, ids))
        return {"ids": ids}, {"y": tf.reshape(tf.matmul(tf.reshape(h, [-1, 6]), table, transpose_b=True), [-1, 4, 9])}

    code, layers = code_of(case(build))
    assert [layer.kind for layer in layers if layer.weights] == ["ReversibleEmbedding"] and "reverse=True" in code
    assert_rebuilt(build, {"ids": np.int32([[1, 2, 8, 0]])}, *(layer.kind for layer in layers))


def test_groups_that_are_scaled_inside_and_behind_keep_both_scales():
    build = _of_x([None, 4, 5, 8], lambda x: _grouped(x, True) * numbers(8, seed=5) + numbers(8, seed=6))
    assert_rebuilt(build, _x(2, 4, 5, 8), "GroupNormalization")


@pytest.mark.parametrize(
    ("shape", "kernel", "flipped"),
    [([5, None, 4], (5, 4, 3), False), ([None, 5, 6, 4], (5, 4, 4), True), ([2, 5, None, 4], (2, 5, 4, 3), False)],
    ids=["before the batch", "behind it, flipped", "two axes"],
)
def test_a_matrix_for_each_member_of_an_axis_is_einsum_dense(shape, kernel, flipped):
    def build():
        x = placeholder("x", shape)
        return {"x": x}, {"y": tf.matmul(x, numbers(*kernel), transpose_b=flipped)}

    assert_rebuilt(build, {"x": numbers(*(3 if size is None else size for size in shape))}, "EinsumDense")


def test_one_matrix_for_a_group_of_size_one_is_none_for_each():
    def build():
        x = placeholder("x", [None, 6, 4])
        return {"x": x}, {"y": tf.matmul(x, numbers(1, 4, 5))}

    assert "ops.matmul(" in assert_rebuilt(build, {"x": numbers(3, 6, 4)}, "Parameter")
