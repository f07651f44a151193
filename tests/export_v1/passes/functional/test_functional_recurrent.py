"""Recurrent networks and decoders made functional: values and gradients, compilers, and a reload from disk."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tests.support import control_flow, recurrent
from tests.support.control_flow import build, check

RANDOM = np.random.RandomState(5)
X = RANDOM.randn(3, 5, 4).astype(np.float32)
LENGTHS = np.array([5, 2, 3], np.int32)
ROWS = RANDOM.randn(3, 4).astype(np.float32)


def flat(make):
    """`make` with its outputs in one list."""
    return lambda *inputs: tf.nest.flatten(make(*inputs))


NETWORKS = {
    "lstm": (flat(functools.partial(recurrent.dynamic_rnn, recurrent.lstm, 6, 2)), (X, LENGTHS)),
    "lstm_all_steps": (flat(functools.partial(recurrent.dynamic_rnn, recurrent.lstm, 6, 2)), (X,)),
    "gru": (flat(functools.partial(recurrent.dynamic_rnn, recurrent.gru, 6, 1)), (X, LENGTHS)),
    "layer_norm": (flat(functools.partial(recurrent.dynamic_rnn, recurrent.layer_norm_lstm, 6, 2)), (X, LENGTHS)),
    "bidirectional": (flat(functools.partial(recurrent.bidirectional, recurrent.lstm, 6, 2)), (X, LENGTHS)),
    "beam_search": (recurrent.beam_search, (ROWS,)),
}


@pytest.mark.parametrize("static", [True, False], ids=["static", "dynamic"])
@pytest.mark.parametrize("name", NETWORKS)
def test_values_and_gradients(name, static):
    make, feeds = NETWORKS[name]

    def make_of_unknown(x, *rest):
        return make(tf.ensure_shape(x, [None] * (x.shape.rank - 1) + [4]), *rest)

    result = check(build(make if static else make_of_unknown, *feeds, static=static))
    loops = 2 if name == "bidirectional" else 1
    assert result.notes.converted["while"] == loops


@pytest.mark.parametrize("compiled", [False, True], ids=["called", "compiled"])
@pytest.mark.parametrize("name", NETWORKS)
def test_reloaded(name, compiled, tmp_path):
    """After a reload from disk: gradients as the original has them, and the same under jit_compile."""
    make, feeds = NETWORKS[name]
    model = build(make, *feeds)
    loaded, signature = control_flow.load(model, control_flow.converted(model).graph_def, str(tmp_path / "model"))
    if compiled and name == "beam_search":
        # Its outputs have as many rows as it took steps, which XLA cannot know: it has to say so.
        with pytest.raises(tf.errors.InvalidArgumentError, match="TensorListResize"):
            control_flow.train_step(model, loaded, signature, compiled)
        return
    outputs, gradients = control_flow.train_step(model, loaded, signature, compiled)
    for got, want in zip(outputs, model.values, strict=True):
        np.testing.assert_allclose(got, want, 1e-5, 1e-5)
    for variable, got in gradients.items():
        want = model.gradients[variable]
        np.testing.assert_allclose(got, want, 1e-5, 1e-5 * np.abs(want).max(), err_msg=variable)


@pytest.mark.parametrize("name", ["lstm", "gru", "lstm_all_steps"])
def test_lite_converter_takes_it(name, tmp_path):
    make, feeds = NETWORKS[name]
    model = build(make, *feeds, gradients=False)
    control_flow.load(model, control_flow.converted(model).graph_def, str(tmp_path / "model"))
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "model"))
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    runner = interpreter.get_signature_runner("serving_default")
    outputs = runner(**{f"x{at}": feed for at, feed in enumerate(feeds)})
    for at, want in enumerate(model.values):
        np.testing.assert_allclose(outputs[f"y{at}"], want, 1e-4, 1e-5)
