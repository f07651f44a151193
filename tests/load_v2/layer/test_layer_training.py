"""SignatureLayer in training: the losses of TensorFlow 1.15, update ops, regularization, what must not change."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from load_v2 import SignatureLayer
from tests.support import cases, savedmodels

FINE_TUNED = ["convnet_bn_finetune", "bert_tiny", "partitioned_embedding", "lstm_dynamic_rnn", "hub_module_tags"]


@pytest.fixture
def with_train(tmp_path):
    return savedmodels.with_train(tmp_path / "with_train")


def _model(layer, arrays, output):
    inputs = {key: keras.Input(value.shape[1:], dtype=value.dtype.name, name=key) for key, value in arrays.items()}
    answer = layer(inputs)
    return keras.Model(inputs, answer[output] if isinstance(answer, dict) else answer)


# Eager steps take longer: update ops and sparse gradients are where they could differ.
@pytest.mark.parametrize(
    ("name", "eager"),
    [*((name, False) for name in FINE_TUNED), ("convnet_bn_finetune", True), ("partitioned_embedding", True)],
)
def test_fine_tuning_equals_tensorflow_1(exported, name, eager):
    case = cases.load(name)
    tuned, arrays, wanted = case.config["finetune"], case.oracle("in"), case.oracle("finetune")
    model = _model(SignatureLayer(exported(name)), arrays, tuned["output"])
    model.compile(keras.optimizers.SGD(tuned["learning_rate"]), "mse", run_eagerly=eager)
    losses = []
    for _ in range(tuned["steps"]):
        model.reset_metrics()
        losses.append(float(np.ravel(model.train_on_batch(arrays, wanted["target"]))[0]))
    np.testing.assert_allclose(losses, wanted["losses"], rtol=2e-4, atol=1e-6)
    if "out_after" in wanted:
        np.testing.assert_allclose(model(arrays, training=False), wanted["out_after"], rtol=1e-3, atol=1e-4)


def test_sparse_gradients_stay_sparse(exported):
    case = cases.load("partitioned_embedding")
    layer = SignatureLayer(exported("partitioned_embedding"))
    ids = case.oracle("in")["ids"]

    def gradients(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x, training=True) ** 2)
        return tape.gradient(loss, layer.trainable_weights)

    kinds = {}

    @tf.function
    def traced(x):
        found = gradients(x)
        kinds["graph"] = [type(g).__name__ for g in found]
        return [tf.convert_to_tensor(g) for g in found]

    traced(ids)
    kinds["eager"] = [type(g).__name__ for g in gradients(tf.constant(ids))]
    for found in kinds.values():
        by_name = dict(zip([w.name for w in layer.trainable_weights], found, strict=True))
        assert all(kind == "IndexedSlices" for name, kind in by_name.items() if "/emb/" in name), by_name


@pytest.mark.parametrize("traced", [False, True])
def test_training_runs_the_train_signature_and_its_update_ops(with_train, traced):
    layer = SignatureLayer(with_train)
    call = tf.function(layer) if traced else layer
    x = np.float32([[1, 2, 3], [3, 4, 5]])
    moving = {w.name: w for w in layer.weights}["moving"]
    np.testing.assert_allclose(call(x)["y"], x @ [[1, 2], [3, 4], [5, 6]] + [0.5, -0.5])
    assert not np.any(moving)
    got = call(x, training=True)["y"]
    np.testing.assert_allclose(got, (x - x.mean(0)) @ [[1, 2], [3, 4], [5, 6]] + [0.5, -0.5], rtol=1e-6)
    np.testing.assert_allclose(moving, x.mean(0) * 0.1, rtol=1e-6)
    call(x, training=True)
    np.testing.assert_allclose(moving, x.mean(0) * 0.19, rtol=1e-6)


def test_random_ops_differ_at_each_call_and_rest_in_inference(with_train):
    layer = SignatureLayer(with_train)
    x = np.ones((8, 3), "float32")
    for call in (layer, tf.function(layer)):
        first, second = (np.asarray(call(x, training=True)["noise"]) for _ in range(2))
        assert set(np.unique(first)) == {0, 2} and not np.array_equal(first, second)
        assert np.array_equal(call(x)["noise"], x)


def test_a_frozen_layer_neither_trains_nor_updates(with_train):
    layer = SignatureLayer(with_train, trainable=False)
    assert layer.trainable_weights == [] and layer.losses == []
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(1)(layer(inputs)["y"]))
    model.compile("sgd", "mse")
    before = layer.get_weights()
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    model.fit(x, np.zeros((8, 1)), verbose=0)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    layer.trainable = True
    model.compile("sgd", "mse")
    model.fit(x, np.zeros((8, 1)), verbose=0)
    changed = [not np.array_equal(old, new) for old, new in zip(before, layer.get_weights(), strict=True)]
    assert all(changed)


def test_regularization_losses_appear_when_trainable(with_train):
    layer = SignatureLayer(with_train)
    # Half of 1+4+9+16+25+36, and 21 + 0.
    assert float(sum(layer.losses)) == pytest.approx(45.5 + 21)
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layer(inputs)["y"])
    assert float(sum(model.losses)) == pytest.approx(66.5)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    x = np.zeros((4, 3), "float32")
    # With x = 0 the answer is b, so its mean square is 0.25.
    loss = float(np.ravel(model.train_on_batch(x, np.zeros((4, 2))))[0])
    assert loss == pytest.approx(66.5 + 0.25)
    # Gradient of the losses: w + 1 for w, and b (from the mean square) + 1 for b.
    w = {weight.name: weight for weight in layer.weights}
    np.testing.assert_allclose(w["w"], np.float32([[1, 2], [3, 4], [5, 6]]) * 0.9 - 0.1, rtol=1e-5)
    np.testing.assert_allclose(w["b"], [0.5 - 0.1 * 1.5, -0.5 - 0.1 * 0.5], rtol=1e-5)
    layer.trainable = False
    assert layer.losses == [] and model.losses == []


def test_without_a_train_signature_training_infers_and_says_so_once(exported, caplog):
    layer = SignatureLayer(exported("mlp_layers"))
    x = cases.load("mlp_layers").oracle("in")["x"]
    with caplog.at_level("WARNING", "absl"):
        trained, again, served = layer(x, training=True), layer(x, training=True), layer(x)
    np.testing.assert_array_equal(trained["logits"], served["logits"])
    np.testing.assert_array_equal(again["logits"], served["logits"])
    assert sum("no training graph" in record.getMessage() for record in caplog.records) == 1


def test_gradients_reach_the_inputs(exported):
    layer = SignatureLayer(exported("mlp_layers"))
    x = tf.constant(cases.load("mlp_layers").oracle("in")["x"])
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(layer(x)["logits"])
    gradient = tape.gradient(loss, x)
    step = 1e-2 * np.eye(1, 16, 3, dtype="float32")
    slope = (tf.reduce_sum(layer(x + step)["logits"]) - tf.reduce_sum(layer(x - step)["logits"])) / 2e-2
    assert float(slope) == pytest.approx(float(tf.reduce_sum(gradient[:, 3])), rel=2e-2, abs=1e-3)


def test_what_is_computed_before_an_update_never_sees_it(with_train):
    # TensorFlow runs what nothing waits for in any order: without care, one call in four read the updated weights.
    layer = SignatureLayer(with_train)
    start, x = layer.get_weights(), np.ones((4, 3), "float32")
    want, penalty = layer(x)["y"], float(sum(layer.losses))

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            answer = layer(x)["y"]
            loss = tf.reduce_sum(answer**2)
        gradients = tape.gradient(loss, layer.trainable_weights)
        losses = tf.add_n(layer.losses)
        for weight, gradient in zip(layer.trainable_weights, gradients, strict=True):
            weight.assign(gradient * 0)
        return answer, losses

    @tf.function
    def infer_then_assign(x):
        answer = layer(x)["y"]
        for weight in layer.weights:
            weight.assign(tf.zeros(weight.shape))
        return answer

    for _ in range(150):
        layer.set_weights(start)
        answer, losses = step(x)
        np.testing.assert_array_equal(answer, want)
        assert float(losses) == pytest.approx(penalty)
        layer.set_weights(start)
        np.testing.assert_array_equal(infer_then_assign(x), want)
