"""Exports of the golden cases with control flow: nothing of v1 is left in them, and they train as TensorFlow 1 did."""

import json

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from tests.support import cases, control_flow

LOOPS = ["lstm_dynamic_rnn", "flow_decoder_stops_early", "flow_rnn_both_ways", "flow_scan_map_cond"]


@pytest.mark.parametrize("name", [*cases.names("meta_ckpt"), *cases.names("saved_model"), *cases.names("hub_module")])
def test_no_v1_control_flow_is_left(name, exported):
    folder = exported(name)
    record = json.loads((folder / "assets.extra" / "export_v1.json").read_text())
    assert record["unconverted"] == []
    saved_model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    for meta_graph in saved_model.meta_graphs:
        assert control_flow.left(meta_graph.graph_def) == []


@pytest.mark.parametrize("name", LOOPS)
def test_answers_are_those_of_tensorflow_1_compiled_too(name, exported):
    case = cases.load(name)
    signature = tf.saved_model.load(str(exported(name))).signatures["serving_default"]
    inputs = {key: tf.constant(value) for key, value in case.oracle("in").items()}
    cases.assert_equal(signature(**inputs), case.oracle())
    if name != "flow_decoder_stops_early":  # XLA refuses outputs whose length depends on the data.
        cases.assert_equal(tf.function(lambda: signature(**inputs), jit_compile=True)(), case.oracle())


@pytest.mark.parametrize("name", [name for name in LOOPS if "finetune" in cases.load(name).config])
def test_fine_tuning_is_that_of_tensorflow_1(name, exported):
    """Three steps of SGD: the losses, and the answer after them."""
    case = cases.load(name)
    loaded = tf.saved_model.load(str(exported(name)))
    signature, config, expected = loaded.signatures["serving_default"], case.config["finetune"], case.oracle("finetune")
    inputs = {key: tf.constant(value) for key, value in case.oracle("in").items()}
    losses = []
    for _ in range(config["steps"]):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(signature(**inputs)[config["output"]] - expected["target"]))
        losses.append(float(loss))
        for variable, gradient in zip(loaded.variables, tape.gradient(loss, loaded.variables), strict=True):
            variable.assign_sub(config["learning_rate"] * gradient)
    np.testing.assert_allclose(losses, expected["losses"], rtol=2e-4)
    np.testing.assert_allclose(signature(**inputs)[config["output"]], expected["out_after"], rtol=2e-4, atol=1e-5)


def test_lite_converter_takes_a_dynamic_rnn_of_any_batch_and_length(exported):
    case = cases.load("lstm_dynamic_rnn")
    model = tf.lite.TFLiteConverter.from_saved_model(str(exported("lstm_dynamic_rnn"))).convert()
    runner = tf.lite.Interpreter(model_content=model).get_signature_runner("serving_default")
    cases.assert_equal(runner(**case.oracle("in")), case.oracle())
