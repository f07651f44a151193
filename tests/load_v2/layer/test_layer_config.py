"""SignatureLayer beyond its answers: configs, clones, what it says once, refusals, and what Keras is told of it."""

import copy
import gc
import json
import os
import pickle

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from absl import logging
from tensorflow.core.protobuf import saved_model_pb2

from load_v2 import LoadError, SignatureLayer, private
from tests.support import cases, savedmodels
from tests.support.graphs import v1

X = np.float32([[1, 2, 3], [3, 4, 5]])


@pytest.fixture
def with_train(tmp_path) -> str:
    return savedmodels.with_train(tmp_path / "with_train")


@pytest.fixture
def scale(tmp_path) -> str:
    return savedmodels.scale(tmp_path / "scale")


def test_a_clone_has_the_values_and_the_graph_of_its_original_and_weights_of_its_own(scale):
    original = SignatureLayer(scale)
    original.set_weights([np.float32(5)])
    clone = SignatureLayer.from_config(original.get_config())
    assert float(clone(2.0)) == 10 and clone.name == original.name
    clone.set_weights([np.float32(7)])
    assert float(original(2.0)) == 10 and float(clone(2.0)) == 14


def test_a_changed_config_does_not_get_the_graph_of_the_original(scale):
    original = SignatureLayer(scale)
    config = original.get_config()
    config["description"]["outputs"][0][1] = "float64"
    layer = SignatureLayer.from_config(config)
    with pytest.raises(LoadError, match="has no graph"):
        layer(2.0)
    assert float(layer.weights[0]) == 0 and float(original(2.0)) == 6


def test_a_config_outlives_its_layer_without_a_graph(scale):
    layer = SignatureLayer(scale, name="one")
    config = layer.get_config()
    del layer
    gc.collect()
    with pytest.raises(LoadError, match="'one'.*has no graph"):
        SignatureLayer.from_config(config)(2.0)


def test_a_config_is_not_used_up(scale):
    layer = SignatureLayer(scale, name="one", trainable=False)
    config = layer.get_config()
    assert config["name"] == "one" and config["trainable"] is False
    for _ in range(2):
        again = SignatureLayer.from_config(config)
        assert (
            again.name == "one" and not again.trainable and again.get_config()["description"] == config["description"]
        )


def test_shapes_that_a_call_told_are_in_the_config(scale):
    layer = SignatureLayer(scale)
    assert layer.get_config()["description"]["shapes"] == []
    layer(keras.Input((5, 7)))
    assert layer.get_config()["description"]["shapes"] == [[[[None, 5, 7]], [[None, 5, 7]]]]


def test_an_output_of_unknown_rank_is_no_output_of_a_functional_model(tmp_path):
    with savedmodels.session() as current:
        x = v1.placeholder(tf.float32, [None], name="x")
        shape = v1.placeholder(tf.int32, [None], name="shape")
        made = tf.reshape(x, shape) * savedmodels.variable("w", np.float32(2))
        path = savedmodels.save(tmp_path / "m", current, {"x": x, "shape": shape}, {"y": made})
    layer = SignatureLayer(path, name="reshape")
    with pytest.raises(LoadError, match="'reshape'.*output 'y' is unknown"):
        layer({"x": keras.Input(()), "shape": keras.Input((), dtype="int32")})
    assert layer(x=np.zeros(4), shape=[2, 2]).shape == (2, 2)


def test_specs_are_in_call_order_and_cannot_be_changed_from_outside(tmp_path):
    layer = SignatureLayer(savedmodels.two_inputs(tmp_path / "two"))
    assert list(layer.input_specs) == ["ids", "mask"] and list(layer.output_specs) == ["product", "sum"]
    layer.input_specs.clear()
    layer.output_specs.clear()
    assert list(layer.input_specs) == ["ids", "mask"] and list(layer.output_specs) == ["product", "sum"]


def test_training_needs_the_flag_and_a_trainable_layer(with_train):
    layer = SignatureLayer(with_train)
    moving = next(w for w in layer.weights if w.name == "moving")
    for training in (None, False):
        layer(X, training=training)
    layer.trainable = False
    layer(X, training=True)
    assert not np.any(moving)
    layer.trainable = True
    layer(X, training=True)
    assert np.all(moving)


def test_another_layer_hands_its_training_flag_on(with_train):
    class Outer(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner, self.drop = SignatureLayer(with_train), keras.layers.Dropout(0.999)

        def call(self, inputs, training=None):
            return self.drop(self.inner(inputs)["y"])

    outer = Outer()
    assert np.all(outer(X, training=False))
    moving = next(w for w in outer.inner.weights if w.name == "moving")
    assert not np.any(moving) and not private.inside_a_layer_call()
    assert not np.all(outer(X, training=True))
    assert np.all(moving)


def test_a_frozen_layer_has_the_same_weights_none_of_them_trainable(with_train):
    layer = SignatureLayer(with_train, trainable=False)
    assert [w.name for w in layer.weights] == ["w", "b", "moving"] and layer.trainable_weights == []
    # A model around it asks the weights themselves.
    inputs = keras.Input((3,))
    assert keras.Model(inputs, layer(inputs)).trainable_weights == [] and not any(w.trainable for w in layer.weights)
    layer.trainable = True
    assert [w.name for w in layer.trainable_weights] == ["w", "b"] and len(layer.losses) == 1


def test_a_loss_of_weights_that_do_not_train_is_none(tmp_path):
    with savedmodels.session() as current:
        x = v1.placeholder(tf.float32, [None], name="x")
        fixed, w = savedmodels.variable("a", np.float32(2), trainable=False), savedmodels.variable("w", np.float32(3))
        for loss in (fixed * 100, fixed * w):
            v1.add_to_collection(v1.GraphKeys.REGULARIZATION_LOSSES, loss)
        path = savedmodels.save(tmp_path / "m", current, {"x": x}, {"y": x * fixed * w})
    layer = SignatureLayer(path)
    assert [float(loss) for loss in layer.losses] == [6]


@pytest.fixture
def said(monkeypatch) -> list[str]:
    found = []
    monkeypatch.setattr(logging, "warning", lambda message, *values: found.append(message % values))
    return found


def test_a_gradient_that_was_python_is_told_once_and_in_training_only(tmp_path, said):
    with savedmodels.session() as current:

        @tf.custom_gradient
        def same(value):
            return tf.identity(value), lambda dy: dy * 100

        x = v1.placeholder(tf.float32, [None], name="x")
        path = savedmodels.save(
            tmp_path / "m", current, {"x": x}, {"y": same(x * savedmodels.variable("w", np.float32(2)))}
        )
    layer = SignatureLayer(path, name="base")
    layer(np.float32([1]))
    assert said == []
    for _ in range(2):
        with tf.GradientTape() as tape:
            answer = layer(np.float32([3]), training=True)
        assert float(tape.gradient(answer, layer.trainable_weights)[0]) == 3
    custom, without = said
    assert "'base'" in custom and "gradient" in custom and "'IdentityN" in custom
    assert "no training graph" in without


def test_layers_say_things_each_for_itself(scale, said):
    for name in ("one", "two"):
        layer = SignatureLayer(scale, name=name)
        layer(1.0, training=True)
        layer(1.0, training=True)
    assert len(said) == 2 and "'one'" in said[0] and "'two'" in said[1]


def _saved(with_train, tmp_path) -> str:
    layer = SignatureLayer(with_train)
    inputs = keras.Input((3,))
    keras.Model(inputs, layer(inputs)).save_weights(tmp_path / "m.weights.h5")
    return str(tmp_path / "m.weights.h5")


@pytest.mark.parametrize("what", ["missing", "shape", "more"])
def test_weights_that_do_not_fit_are_named(with_train, tmp_path, what):
    file = _saved(with_train, tmp_path)
    with h5py.File(file, "r+") as stored:
        group = next(stored[path] for path in _groups(stored) if len(stored[path]) == 3)
        if what == "more":
            group["3"] = np.zeros(3)
        else:
            del group["0"]
        if what == "shape":
            group["0"] = np.zeros([2, 3], "float32")
    layer = SignatureLayer(with_train, name="base")
    inputs = keras.Input((3,))
    with pytest.raises(ValueError) as caught:
        keras.Model(inputs, layer(inputs)).load_weights(file)
    told = {
        "missing": "'w' is missing",
        "shape": "'w': [3, 2] in the layer, [2, 3] in the file",
        "more": "4 in the file",
    }
    assert told[what] in str(caught.value) and "3 in the layer" in str(caught.value) and "'base'" in str(caught.value)


def _groups(stored) -> list[str]:
    found = []
    stored.visititems(lambda path, item: found.append(path) if path.endswith("vars") else None)
    return found


def test_weights_that_fit_are_loaded(with_train, tmp_path):
    file = _saved(with_train, tmp_path)
    layer = SignatureLayer(with_train)
    want = layer.get_weights()
    layer.set_weights([w + 1 for w in want])
    inputs = keras.Input((3,))
    keras.Model(inputs, layer(inputs)).load_weights(file)
    for got, wanted in zip(layer.get_weights(), want, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_an_export_is_refused_before_anything_of_it_runs(tmp_path):
    path = savedmodels.reads_file(tmp_path / "file")
    with pytest.raises(LoadError, match="(?s)graph of '.*file'.*ReadFile.*allow_ops"):
        SignatureLayer(path)
    with pytest.raises(LoadError, match="ReadFile"):
        SignatureLayer(path, allow_ops=["WriteFile"])
    os.remove(os.path.join(savedmodels.scale(tmp_path / "scale"), "variables", "variables.index"))
    with pytest.raises(LoadError, match="'scale'"):
        SignatureLayer(tmp_path / "scale")


def test_xla_is_offered_where_it_may_be_tried(with_train, tmp_path):
    assert SignatureLayer(with_train).supports_jit
    words = SignatureLayer(savedmodels.vocabulary(tmp_path / "words", ["a"]))
    assert not words.supports_jit and not SignatureLayer.from_config(words.get_config()).supports_jit


def test_inputs_are_not_cast_by_keras(scale):
    layer = SignatureLayer(scale)
    with pytest.raises(LoadError, match="'x' is string"):
        layer(tf.constant(["a"]))
    traced = tf.function(layer, autograph=False)
    with pytest.raises(LoadError, match="'x' is complex64"):
        traced(tf.constant([1j], tf.complex64))


def test_what_keras_and_tensorflow_tell_in_private():
    assert private.safe_mode() in (None, True)
    with keras.src.saving.serialization_lib.SafeModeScope(False):
        assert private.safe_mode() is False
    x = tf.constant(2.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        with private.no_recording():
            hidden = x * x
        answer = x * 3 + hidden
    assert float(answer) == 10 and float(tape.gradient(answer, x)) == 3
    double = tf.function(lambda value: value * 2).get_concrete_function(tf.TensorSpec([], tf.float32))
    assert float(tf.nest.flatten(private.call(double, [x]))[0]) == 4


@pytest.mark.parametrize("traced", [False, True])
def test_a_signature_without_inputs_is_called_without(tmp_path, traced):
    with savedmodels.session() as current:
        x = v1.placeholder(tf.float32, [], name="x")
        path = savedmodels.save(tmp_path / "m", current, {"x": x}, {"y": savedmodels.variable("w", np.float32(2)) * 3})
    file = tmp_path / "m" / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    model.meta_graphs[0].signature_def["serving_default"].inputs.clear()
    file.write_bytes(model.SerializeToString())
    layer = SignatureLayer(path)
    assert float(tf.function(lambda: layer())() if traced else layer()) == 6


def test_a_config_has_no_link_and_a_clone_is_found_all_the_same(scale):
    original = SignatureLayer(scale, name="one")
    original.set_weights([np.float32(5)])
    config = original.get_config()
    in_json = json.loads(json.dumps(config))
    assert in_json == config and not {"origin", "frozen", "extra"} & set(config)
    assert pickle.loads(pickle.dumps(config)) == config
    # As it is, copied, and through a wrapper or a model of models.
    for given in (config, copy.deepcopy(config)):
        assert float(SignatureLayer.from_config(given)(2.0)) == 10
    for lost in (in_json, pickle.loads(pickle.dumps(config))):
        with pytest.raises(LoadError, match="(?s)has no graph.*clone_model"):
            SignatureLayer.from_config(lost)(2.0)
    inputs = keras.Input((3,))
    inner = keras.Model(inputs, original(inputs))
    outer = keras.Model(inputs, inner(inputs))
    wrapped = keras.Sequential([keras.Input((4, 3)), keras.layers.TimeDistributed(original)])
    x = np.ones((1, 3), "float32")
    assert keras.models.clone_model(outer)(x).numpy().tolist() == [[5, 5, 5]]
    assert keras.Model.from_config(outer.get_config())(x).numpy().tolist() == [[5, 5, 5]]
    assert (keras.models.clone_model(wrapped)(np.ones((1, 4, 3), "float32")).numpy() == 5).all()


@pytest.mark.parametrize("name", ["mlp_layers", "convnet_bn_finetune", "lookup_vocab"])
def test_archives_of_the_version_before_still_load(name):
    model = keras.models.load_model(cases.FOLDER / "archives" / f"{name}.keras")
    case = cases.load(name)
    got = model({key: tf.constant(value) for key, value in case.oracle("in").items()})
    cases.assert_equal(got if isinstance(got, dict) else {next(iter(case.oracle())): got}, case.oracle())
    assert "origin" not in model.layers[-1].get_config()
    assert not keras.models.clone_model(model).layers[-1].get_config().get("frozen")
