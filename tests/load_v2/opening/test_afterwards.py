"""What Keras does with its own layers works on a rebuilt model: other backends, converters, precisions, devices.

What is not installed is skipped; `tests/README.md` says which environment has all of it.
"""

import importlib.util
import os
import pathlib
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest

from load_v2.opening import rebuilding
from tests.support import cases

# A transformer, a residual net, recurrent layers.
CASES = ("bert_tiny", "slim_contrib_net", "port_lstm_cells")
_LOAD = """
import os, runpy, sys
import numpy as np
{first}
import keras
from keras import ops
given = {{k[3:]: v for k, v in np.load("sample.npz").items() if k.startswith("in/")}}
wanted = {{k[4:]: v for k, v in np.load("sample.npz").items() if k.startswith("out/")}}

def by_key(found):
    return found if isinstance(found, dict) else {{next(iter(wanted)): found}}

def assert_equal(found, tolerance=1e-5):
    for key, want in wanted.items():
        have = ops.convert_to_numpy(by_key(found)[key]).astype(want.dtype)
        np.testing.assert_allclose(have, want, rtol=tolerance, atol=tolerance, err_msg=key)

{before}
model = runpy.run_path("model.py")["build"]()
model.load_weights("model.weights.h5")
{body}
print("DONE")
"""


@pytest.fixture(scope="module")
def written(exported, tmp_path_factory):
    """Returns a function (case name) -> a folder with model.py, model.weights.h5 and the sample."""
    done: dict[str, pathlib.Path] = {}

    def write(name: str) -> pathlib.Path:
        if name not in done:
            folder = tmp_path_factory.mktemp(name)
            rebuilt = rebuilding.rebuild(exported(name), backends=())
            rebuilding.write(rebuilt.source, rebuilt.model, str(folder / "model.py"), str(folder / "model.weights.h5"))
            sample = rebuilt.plan.sample
            arrays = {f"in/{key}": sample.inputs[key] for key in rebuilt.plan.context.graph.inputs}
            np.savez(folder / "sample.npz", **arrays, **{f"out/{key}": v for key, v in sample.outputs.items()})
            done[name] = folder
        return done[name]

    return write


def _needs(*modules: str) -> pytest.MarkDecorator:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} is not installed")


def _run(folder: pathlib.Path, backend: str, body: str = "assert_equal(model(given, training=False))", **more) -> None:
    """Runs a script where neither this project nor, but for its own backend, TensorFlow can be imported."""
    hidden = ["export_v1", "load_v2", *([] if backend == "tensorflow" else ["tensorflow"])]
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    env |= {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", **more.pop("env", {})}
    first = f"sys.modules.update(dict.fromkeys({hidden!r}))"
    script = _LOAD.format(first=first, body=body, before=more.pop("before", ""))
    python = more.pop("python", sys.executable)
    done = subprocess.run([python, "-c", script], cwd=folder, env=env, capture_output=True, text=True)
    assert "DONE" in done.stdout, done.stderr[-3000:]


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize("name", CASES)
def test_the_code_runs_without_tensorflow_and_without_this_project(name, backend, written):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    _run(written(name), backend)


@pytest.mark.slow
def test_the_code_runs_in_an_environment_of_keras_and_jax_alone(written, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "bare"], check=True)
    python = tmp_path / "bare" / "bin" / "python"
    installed = subprocess.run([python, "-m", "pip", "install", "-q", "keras", "jax"], capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"Keras and JAX cannot be installed here: {installed.stderr[-300:]}")
    for name in CASES:
        _run(written(name), "jax", python=python)


@pytest.mark.parametrize("name", CASES)
@_needs("onnxruntime", "tf2onnx")
def test_onnxruntime_answers_on_the_exported_file(name, written):
    body = """
import onnxruntime
model(given)
model.export("model.onnx", format="onnx", verbose=False)
session = onnxruntime.InferenceSession("model.onnx")
found = session.run(None, {one.name: given[one.name.partition(":")[0]] for one in session.get_inputs()})
keys = sorted(wanted) if len(wanted) > 1 else wanted
assert_equal(dict(zip(keys, found)))
"""
    _run(written(name), "tensorflow", body)


@pytest.mark.parametrize("name", ["bert_tiny", "slim_contrib_net"])
def test_litert_answers_on_the_exported_file(name, written):
    body = """
import tensorflow as tf
model(given)
model.export("model.tflite", format="litert", verbose=False)
run = tf.lite.Interpreter("model.tflite").get_signature_runner()
shapes = {key: one["shape"] for key, one in run.get_input_details().items()}
rows = [run(**{key: value[at : at + 1] for key, value in given.items()}) for at in range(len(next(iter(given.values()))))]
found = {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}
by_shape = {value.shape: value for value in found.values()}
assert_equal({key: by_shape[value.shape] for key, value in wanted.items()})
"""
    _run(written(name), "tensorflow", body)


@pytest.mark.parametrize("name", CASES)
@_needs("openvino", "scipy")
def test_openvino_answers(name, written):
    # Where the processor has bfloat16, `predict` rounds to it, unless it is told not to; Keras has no option for that.
    before = """
import openvino
compiled = openvino.compile_model
openvino.compile_model = lambda *given: compiled(*given, config={"INFERENCE_PRECISION_HINT": "f32"})
"""
    _run(written(name), "openvino", "assert_equal(model.predict(given, verbose=0), 1e-4)", before=before)


@pytest.mark.parametrize("name", CASES)
def test_mixed_precision_is_a_setting(name, written):
    body = """
assert any(layer.compute_dtype == "float16" for layer in model.layers)
assert all(weight.dtype != "float16" for weight in model.weights)
assert_equal(model(given, training=False), 0.05)
"""
    _run(written(name), "tensorflow", body, before='keras.config.set_dtype_policy("mixed_float16")')


@pytest.mark.parametrize("name", CASES)
@_needs("jax")
def test_two_devices_share_the_rows_and_the_weights(name, written):
    before = """
devices = keras.distribution.list_devices("cpu")
assert len(devices) == 2
layout = keras.distribution.LayoutMap(keras.distribution.DeviceMesh((1, 2), ["batch", "model"], devices))
layout[".*(dense|logits|Logits).*kernel"] = (None, "model")
rows = keras.distribution.DataParallel(devices=devices)
both = keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")
keras.distribution.set_distribution({"rows": rows, "weights": both}[os.environ["SHARED"]])
"""
    body = """
count = len(next(iter(given.values()))) // 2 * 2
given = {key: value[:count] for key, value in given.items()}
wanted = {key: value[:count] for key, value in wanted.items()}
assert_equal(model.predict(given, verbose=0, batch_size=count))
model.compile("sgd", "mse")
first = model.train_on_batch(given, wanted if len(wanted) > 1 else next(iter(wanted.values())))
assert np.isfinite(first).all()
"""
    env = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    for shared in ("rows", "weights"):
        _run(written(name), "jax", body, before=before, env={**env, "SHARED": shared})


@pytest.mark.parametrize("name", CASES)
def test_each_layer_is_trained_or_not_by_itself(name, written):
    body = """
fixed, free = [layer for layer in model.layers if layer.trainable_weights][:2]
fixed.trainable = False
before = [[np.array(w) for w in layer.get_weights()] for layer in (fixed, free)]
model.compile(keras.optimizers.SGD(0.1), "mse")
targets = {key: value + 1 for key, value in wanted.items()}
model.train_on_batch(given, targets if len(targets) > 1 else next(iter(targets.values())))
after = [layer.get_weights() for layer in (fixed, free)]
same = [all(map(np.array_equal, old, new)) for old, new in zip(before, after)]
assert same == [True, False], same
"""
    _run(written(name), "tensorflow", body)


def test_lora_and_whole_numbers_and_archives_in_safe_mode(exported, tmp_path):
    rebuilt = rebuilding.rebuild(exported("bert_tiny"), backends=())
    given = {key: rebuilt.plan.sample.inputs[key] for key in rebuilt.plan.context.graph.inputs}
    want = rebuilt.model(given, training=False)
    rebuilt.model.save(tmp_path / "model.keras")
    tuned = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    dense = [layer for layer in tuned.layers if isinstance(layer, (keras.layers.Dense, keras.layers.Embedding))]
    for layer in dense:
        layer.enable_lora(2)
    cases.assert_equal(tuned(given, training=False), {key: np.asarray(value) for key, value in want.items()})
    assert dense and len([w for w in tuned.trainable_weights if "lora" in w.path]) == 2 * len(dense)
    whole = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    with warnings.catch_warnings():
        # Keras warns of each layer that has nothing to quantize.
        warnings.simplefilter("ignore")
        whole.quantize("int8")
    small = whole(given, training=False)
    for key, value in want.items():
        assert 0 < float(np.abs(np.asarray(small[key]) - np.asarray(value)).max()) < 0.2
