"""What the training graph tells of a model, and whether a rebuilt model is trained as TensorFlow 1 trains the graph."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from load_v2.opening import dropouts, printed, rebuilding, regularizers, training
from load_v2.opening.layers import Layer
from tests.support import cases
from tests.support.rebuilding import case, code_of, numbers, placeholder

v1 = tf.compat.v1
TRAINED = (
    "rebuild_norms", "rebuild_averages", "rebuild_unrolled", "rebuild_both_ways", "rebuild_tf_keras", "rebuild_masked",
    "rebuild_attention", "rebuild_shared", "rebuild_tied",
    "convnet_bn_finetune", "lstm_dynamic_rnn", "flow_rnn_both_ways",
)  # fmt: skip


def _model(path):
    planned = rebuilding.plan(path)
    keras.backend.clear_session()
    model = rebuilding.execute(planned.source)
    rebuilding.fill(model, planned.layers)
    return planned, model


@pytest.mark.parametrize("name", TRAINED)
def test_fine_tuning_is_tensorflow_1s(name, exported):
    planned, model = _model(exported(name))
    golden = cases.load(name)
    settings, oracle = golden.config["finetune"], golden.oracle("finetune")
    output = model.output[settings["output"]] if isinstance(model.output, dict) else model.output
    trained = keras.Model(model.inputs, output)
    trained.compile(keras.optimizers.SGD(settings["learning_rate"]), "mse")
    given = golden.oracle("in")
    inputs = [given[tensor.name] for tensor in trained.inputs]
    losses = []
    for _ in range(settings["steps"]):
        trained.reset_metrics()
        losses.append(float(np.ravel(trained.train_on_batch(inputs, oracle["target"]))[0]))
    np.testing.assert_allclose(losses, oracle["losses"], rtol=1e-5)
    assert not any("training" in note and "change" in note for note in planned.notes)
    after = keras.ops.convert_to_numpy(trained(inputs, training=False))
    np.testing.assert_allclose(after, oracle["out_after"], rtol=1e-4, atol=1e-5)
    # Biases that no layer has, behind a table and a kernel that belong to others, are weights of no layer.
    assert rebuilding.report(planned).share == (64 / 79 if name == "rebuild_tied" else 1)


def test_without_a_train_signature_batch_norm_keeps_its_averages_and_the_report_says_so(exported):
    planned, model = _model(exported("rebuild_averages"))
    assert any("no `train` signature" in note for note in planned.notes)
    before = [v.numpy() for v in model.non_trainable_variables]
    model(cases.load("rebuild_averages").oracle("in"), training=True)
    assert before
    for old, new in zip(before, model.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(old, new.numpy())


def test_momentum_dropout_and_regularizers_come_from_the_train_signature(exported):
    planned, model = _model(exported("convnet_bn_dropout"))
    assert "layers.Dropout(0.3)" in planned.source and planned.source.count("momentum=0.9") == 2
    assert planned.source.count("= UnbiasedBatchNormalization(") == 1
    kernel = model.get_layer("dense").kernel.numpy()
    # tf.contrib.layers.l2_regularizer(1e-3) is half of that times the sum of squares.
    np.testing.assert_allclose(float(sum(model.losses)), 5e-4 * np.square(kernel).sum(), rtol=1e-6)
    assert not planned.notes


def _train_graph(build):
    with tf.Graph().as_default() as graph:
        x = placeholder("images", [None, 4, 4, 3])
        with v1.name_scope("train"):
            y = build(x)
            tf.nn.relu(y, name="reader")
    return graph.as_graph_def()


DROPOUTS = {
    "by a rate": (lambda x: v1.nn.dropout(x, rate=0.3), (0.3, ())),
    "by what is kept": (lambda x: v1.nn.dropout(x, keep_prob=0.8), (0.2, ())),
    "as TensorFlow 1.13 wrote it": (lambda x: x / 0.8 * tf.floor(0.8 + tf.random.uniform(tf.shape(x))), (0.2, ())),
    "of whole channels": (lambda x: v1.nn.dropout(x, rate=0.5, noise_shape=[tf.shape(x)[0], 1, 1, 3]), (0.5, (1, 2))),
}


@pytest.mark.parametrize("name", DROPOUTS)
def test_a_dropout_is_found_with_its_rate(name):
    build, (rate, shared) = DROPOUTS[name]
    (found,) = dropouts.in_training(_train_graph(build))
    assert (round(found.rate, 5), found.shared) == (rate, shared)
    assert found.readers == (("reader", 0),)


@pytest.mark.parametrize(
    "build",
    [
        lambda x: v1.nn.dropout(x, rate=0.0),
        lambda x: x * 3.0 * tf.cast(tf.random.uniform(tf.shape(x)) >= 0.5, "float32"),
        lambda x: x + tf.random.uniform(tf.shape(x)),
    ],
)
def test_what_is_not_quite_a_dropout_is_none(build):
    assert not [found for found in dropouts.in_training(_train_graph(build)) if found.readers]


def test_a_dropout_of_nothing_that_is_left_in_inference_is_no_code():
    def build():
        x = placeholder("x", [None, 4])
        mask = tf.cast(tf.random.uniform(tf.shape(x)) >= 0.0, "float32")
        return {"x": x}, {"y": tf.nn.relu(x * 1.0 * mask)}

    code, _ = code_of(case(build))
    assert "layers.ReLU()(x)" in code


def _layer(kind, *weights, origins):
    return Layer(kind, "scope", weights=weights, origins=origins)


def test_a_penalty_goes_to_all_weights_that_a_variable_was_cut_into():
    whole = numbers(5, 8)
    layer = _layer("LSTM", whole[:3, ::-1], whole[3:], numbers(8), origins=(("w",), ("w",), ("b",)))
    left = regularizers.add([layer], {"w": regularizers.Penalty(0.0, 0.5)}, {"w": whole})
    assert not left
    assert {key: value.text for key, value in layer.options.items()} == {
        "kernel_regularizer": "keras.regularizers.L2(0.5)", "recurrent_regularizer": "keras.regularizers.L2(0.5)",
    }  # fmt: skip


def test_a_penalty_of_a_weight_that_is_read_elsewhere_is_in_the_layer_inside():
    layer = _layer("Dense", numbers(5, 8), origins=(("w",),))
    layer.arguments = (8,)
    printed.tie(layer)
    assert not regularizers.add([layer], {"w": regularizers.Penalty(0.0, 0.5)}, {"w": numbers(5, 8)})
    inner, shape = layer.arguments
    assert inner.text == 'layers.Dense(8, kernel_regularizer=keras.regularizers.L2(0.5), name="layer")'
    assert shape == (None, 5)


@pytest.mark.parametrize(
    "weights",
    [(numbers(5, 8) + 1,), (numbers(5, 8)[:3],), (numbers(5, 8), numbers(5, 8))],
    ids=["other numbers", "a part", "twice"],
)
def test_a_penalty_of_other_numbers_is_told_and_left_out(weights):
    layers = [_layer("Dense", weight, origins=(("w",),)) for weight in weights]
    assert regularizers.add(layers, {"w": regularizers.Penalty(0.1, 0.5)}, {"w": numbers(5, 8)}) == ["w"]
    assert not any(layer.options for layer in layers)


def test_averages_of_a_signature_without_training_are_none(exported):
    taken = rebuilding.plan(exported("rebuild_averages")).taken
    assert training.averages(taken) == training.Training()


def test_averages_are_found_in_every_spelling(exported):
    found = training.averages(rebuilding.plan(exported("rebuild_norms")).taken)
    assert sorted(found.momenta.values()) == [0.6, 0.6, 0.7, 0.7, 0.9, 0.9]
    assert found.unbiased == {"batch_normalization/moving_variance"}


def test_the_loss_of_sequences_counts_what_a_mask_leaves_out():
    def build():
        x, lengths = placeholder("x", [None, 5, 3]), placeholder("n", [None], "int32")
        cell = tf.constant(numbers(7, 4))

        def body(at, h, written):
            new = tf.tanh(tf.matmul(tf.concat([read.read(at), h], 1), cell))
            past = at >= lengths
            return at + 1, v1.where(past, h, new), written.write(at, v1.where(past, tf.zeros_like(h), new))

        read, steps = tf.TensorArray("float32", 5).unstack(tf.transpose(x, [1, 0, 2])), tf.TensorArray("float32", 5)
        zeros = tf.zeros([tf.shape(x)[0], 4])
        *_, steps = tf.while_loop(lambda at, *_: at < 5, body, [0, zeros, steps])
        return {"x": x, "n": lengths}, {"y": tf.tensordot(tf.transpose(steps.stack(), [1, 0, 2]), numbers(4, 2), 1)}

    built = case(build)
    code, layers = code_of(built)
    keras.backend.clear_session()
    model = rebuilding.execute(code)
    rebuilding.fill(model, layers)
    feeds = {"x": numbers(2, 5, 3), "n": np.int32([5, 2])}
    target = numbers(2, 5, 2, seed=3)
    model.compile("sgd", "mse")
    loss = model.test_on_batch(feeds, target)
    np.testing.assert_allclose(loss, np.mean(np.square(built.answers(feeds)["y"] - target)), rtol=1e-5)
