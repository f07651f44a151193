"""Keras's own test of a layer, to which each layer of Keras's is held."""

import numpy as np
import pytest
import tensorflow as tf

from load_v2 import SignatureLayer
from tests.support import cases, savedmodels
from tests.support.keras_own import run_layer_test

pytestmark = pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")


@pytest.mark.parametrize("name", ["mlp_layers", "convnet_bn_finetune", "lstm_dynamic_rnn"])
@pytest.mark.parametrize("form", ["folder", "loaded"])
def test_exports_of_one_input(exported, name, form):
    path = str(exported(name))
    inputs, answer = cases.load(name).oracle("in"), cases.load(name).oracle()
    layer = SignatureLayer(path)
    run_layer_test(
        SignatureLayer,
        {"path": path if form == "folder" else tf.saved_model.load(path)},
        input_data=next(iter(inputs.values())) if len(inputs) == 1 else inputs,
        expected_num_trainable_weights=len(layer.trainable_weights),
        expected_num_non_trainable_weights=len(layer.weights) - len(layer.trainable_weights),
        # Of a loop's results, shapes are known when it has run.
        expected_output_shape=None if name.startswith("lstm") else _only({k: v.shape for k, v in answer.items()}),
        run_training_check=all(value.ndim for value in answer.values()),
    )


def _only(by_key):
    return next(iter(by_key.values())) if len(by_key) == 1 else by_key


@pytest.mark.parametrize("given", [dict, list])
def test_exports_of_several_inputs_and_outputs(tmp_path, given):
    path = savedmodels.two_inputs(tmp_path / "two")
    data = {"ids": np.int32([[1, 2], [3, 4]]), "mask": np.float32([[1, 0], [0, 1]])}
    run_layer_test(
        SignatureLayer,
        {"path": path, "name": "two"},
        input_data=data if given is dict else list(data.values()),
        expected_output_shape={"sum": (2, 2), "product": (2, 2)},
        expected_num_trainable_weights=1,
        expected_num_losses=0,
        # Keras feeds the training a generator, and TensorFlow takes no list from one.
        run_training_check=given is dict,
    )


def test_integers_a_counter_and_a_scalar(exported):
    data = cases.load("multi_io_int").oracle("in")
    run_layer_test(SignatureLayer, {"path": str(exported("multi_io_int"))}, input_data=data, run_training_check=False)


def test_batch_norm_dropout_and_losses(tmp_path):
    run_layer_test(
        SignatureLayer,
        {"path": savedmodels.with_train(tmp_path / "m")},
        input_shape=(4, 3),
        expected_output_shape={"y": (4, 2), "noise": (4, 3)},
        expected_num_trainable_weights=2,
        expected_num_non_trainable_weights=1,
        expected_num_losses=1,
    )


def test_a_frozen_part_and_other_arguments_are_in_the_config(tmp_path):
    path = savedmodels.with_train(tmp_path / "m")

    class Frozen(SignatureLayer):
        """A layer that is made with a part of it frozen."""

        def __init__(self, path, **kwargs):
            super().__init__(path, extra="ignore", **{key: kwargs[key] for key in kwargs if key != "extra"})
            if isinstance(path, str):
                self.freeze("moving", "b")

    run_layer_test(
        Frozen,
        {"path": path, "trainable": True},
        input_shape=(4, 3),
        custom_objects={"Frozen": Frozen},
        expected_num_trainable_weights=1,
    )
