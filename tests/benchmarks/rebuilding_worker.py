"""A process that answers batches by a rebuilt model, or by SignatureLayer, and says how long that takes; see rebuilding.py.

    python tests/benchmarks/rebuilding_worker.py tensorflow|jax|onnxruntime
    python tests/benchmarks/rebuilding_worker.py write_onnx FOLDER

FOLDER has an export (1), model.py, model.weights.h5 and, for onnxruntime, model.onnx. Requests name a folder and a side.
"""

import os
import runpy
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_NUM_INTRAOP_THREADS"] = os.environ["TF_NUM_INTEROP_THREADS"] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
os.environ["KERAS_BACKEND"] = "jax" if sys.argv[1:] == ["jax"] else "tensorflow"

import numpy as np
import timed

ROWS = 32
# Rows for predict: so many batches of 32.
BATCHES = 4


def batch(folder, wanted=("in",)):
    """Returns the recorded inputs, or answers, by key: 32 rows, the sample's again and again."""
    with np.load(os.path.join(folder, "1", "assets.extra", "sample.npz")) as stored:
        found = {key.partition("/")[2]: stored[key] for key in stored.files if key.partition("/")[0] in wanted}
    return {key: value[np.arange(ROWS) % len(value)] for key, value in found.items()}


def rebuilt(folder):
    """Returns the rebuilt model with its weights."""
    model = runpy.run_path(os.path.join(folder, "model.py"))["build"]()
    model.load_weights(os.path.join(folder, "model.weights.h5"))
    return model


def layer(folder):
    """Returns SignatureLayer in a model."""
    import keras

    import load_v2

    given, found = batch(folder), load_v2.SignatureLayer(os.path.join(folder, "1"))
    inputs = {key: keras.Input(value.shape[1:], dtype=value.dtype.name, name=key) for key, value in given.items()}
    return keras.Model(inputs, found(inputs))


def compiled(model, given):
    """Returns a call of a model in tf.function."""
    import tensorflow as tf

    fixed = {key: tf.constant(value) for key, value in given.items()}
    function = tf.function(lambda values: model(values, training=False))
    return lambda: function(fixed)


def predicting(model, given):
    """Returns a call of predict on many batches."""
    many = {key: np.concatenate([value] * BATCHES) for key, value in given.items()}
    return lambda: model.predict(many, batch_size=ROWS, verbose=0)


def by_jax(folder, given):
    """Returns a call of the model as JAX compiles it."""
    import jax

    model = rebuilt(folder)
    state = (
        [variable.value for variable in model.trainable_variables],
        [variable.value for variable in model.non_trainable_variables],
    )
    function = jax.jit(lambda trained, others, values: model.stateless_call(trained, others, values, training=False)[0])
    fixed = {key: jax.numpy.asarray(value) for key, value in given.items()}
    return lambda: jax.block_until_ready(function(*state, fixed))


def by_onnxruntime(folder, given):
    """Returns a call of onnxruntime on the exported file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(os.path.join(folder, "model.onnx"), options)
    feeds = {one.name: given[one.name.partition(":")[0]] for one in session.get_inputs()}
    return lambda: session.run(None, feeds)


def make(folder, side):
    """Returns what is timed, once it has given the recorded answers."""
    given, answers = batch(folder), batch(folder, ("out",))
    if side == "jax":
        call = by_jax(folder, given)
    elif side == "onnxruntime":
        call = by_onnxruntime(folder, given)
    else:
        model = layer(folder) if side.startswith("layer") else rebuilt(folder)
        call = (predicting if side.endswith("predict") else compiled)(model, given)
    found = call()
    found = list(found.values()) if isinstance(found, dict) else found if isinstance(found, list) else [found]
    by_shape = {np.shape(value)[1:]: np.asarray(value)[:ROWS] for value in found}
    for want in answers.values():
        np.testing.assert_allclose(by_shape[want.shape[1:]], want, rtol=1e-4, atol=1e-4)
    return call


def main(process, folder=None):
    """Answers requests until there are no more, or writes the ONNX file."""
    if process == "write_onnx":
        model = rebuilt(folder)
        model(batch(folder))
        model.export(os.path.join(folder, "model.onnx"), format="onnx", verbose=False)
        return
    timed.answer(lambda name: make(*name), warm=3)


if __name__ == "__main__":
    main(*sys.argv[1:])
