"""One function for each reader: an export and inputs by key in, answers by key out, or whatever the reader raises.

What a reader needs is imported in its function: one that is not installed is a red cell of its own.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray]


class Red(Exception):
    """The reader cannot do it; the message is the reason."""


def v1_session(folder: str, inputs: Arrays, outputs: list[str]) -> Arrays:
    """tf.compat.v1.saved_model.load into a Session."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        signature = v1.saved_model.load(session, ["serve"], folder).signature_def["serving_default"]
        feeds = {signature.inputs[key].name: value for key, value in inputs.items()}
        return session.run({key: info.name for key, info in signature.outputs.items()}, feeds)


def c_api(folder: str, inputs: Arrays, outputs: list[str]) -> Arrays:
    """TF_LoadSessionFromSavedModel, as TensorFlow Serving has it."""
    from tests.support import c_api as api

    with api.Session(folder) as session:
        return session.predict(inputs)


def tf2(folder: str, inputs: Arrays, outputs: list[str]) -> Arrays:
    """tf.saved_model.load."""
    import tensorflow as tf

    serve = tf.saved_model.load(folder).signatures["serving_default"]
    return {key: value.numpy() for key, value in serve(**{k: tf.constant(v) for k, v in inputs.items()}).items()}


def _cli(*arguments: str) -> str:
    command = [os.path.join(os.path.dirname(sys.executable), "saved_model_cli"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise Red(lines[-1] if lines else f"exit {done.returncode}")
    return done.stdout


def cli_show(folder: str, inputs: Arrays, outputs: list[str]) -> Arrays | None:
    """saved_model_cli show."""
    shown = _cli("show", "--dir", folder, "--all")
    missing = [key for key in [*inputs, *outputs] if f"['{key}'] tensor_info" not in shown]
    if missing or "tensorflow/serving/predict" not in shown:
        raise Red(f"shows no {missing or 'method name'}")
    return None


def cli_run(folder: str, inputs: Arrays, outputs: list[str]) -> Arrays:
    """saved_model_cli run."""
    with tempfile.TemporaryDirectory() as scratch:
        given = []
        for key, value in inputs.items():
            np.save(os.path.join(scratch, f"in_{key}.npy"), value)
            given.append(f"{key}={scratch}/in_{key}.npy")
        found = ["--tag_set", "serve", "--signature_def", "serving_default"]
        _cli("run", "--dir", folder, *found, "--inputs", ";".join(given), "--outdir", scratch)
        return {key: np.load(os.path.join(scratch, f"{key}.npy"), allow_pickle=True) for key in outputs}


def cli_scan(folder: str, inputs: Arrays, outputs: list[str]) -> Arrays | None:
    """saved_model_cli scan."""
    said = _cli("scan", "--dir", folder, "--tag_set", "serve")
    if "does not contain the default denylisted ops" not in said:
        raise Red(said.strip().splitlines()[-1])
    return None


def tflite(folder: str, inputs: Arrays, outputs: list[str]) -> Arrays:
    """TFLite's own ops only."""
    return _tflite(folder, inputs, ["TFLITE_BUILTINS"])


def tflite_flex(folder: str, inputs: Arrays, outputs: list[str]) -> Arrays:
    """TFLite with TensorFlow's kernels for what it lacks."""
    return _tflite(folder, inputs, ["TFLITE_BUILTINS", "SELECT_TF_OPS"])


def _tflite(folder: str, inputs: Arrays, ops: list[str]) -> Arrays:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(folder, ["serving_default"], {"serve"})
    converter.target_spec.supported_ops = [getattr(tf.lite.OpsSet, name) for name in ops]
    try:
        content = converter.convert()
    except Exception as error:
        # Hundreds of lines, of which those that name an op matter.
        missing = sorted(set(re.findall(r"'(tf\.\w+)' op is neither a custom op nor a flex op", str(error))))
        raise Red(f"the converter lacks {', '.join(missing)}") if missing else error from None
    interpreter = tf.lite.Interpreter(model_content=content)
    try:
        return interpreter.get_signature_runner("serving_default")(**inputs)
    except RuntimeError as error:
        lacking = sorted(set(re.findall(r"\(Flex(\w+)\) failed to prepare", str(error))))
        if not lacking:
            raise
        raise Red(f"converts; this wheel's interpreter has no Flex delegate, to run {', '.join(lacking)}") from error


def onnx(folder: str, inputs: Arrays, outputs: list[str]) -> Arrays:
    """tf2onnx, then onnxruntime, with the ops for strings that onnxruntime-extensions adds."""
    import onnxruntime
    import onnxruntime_extensions

    with tempfile.TemporaryDirectory() as scratch:
        file = os.path.join(scratch, "model.onnx")
        command = [sys.executable, "-m", "tf2onnx.convert", "--saved-model", folder, "--output", file, "--opset", "18"]
        command += ["--tag", "serve", "--signature_def", "serving_default", "--extra_opset", "ai.onnx.contrib:1"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode or not os.path.exists(file):
            raise Red("tf2onnx: " + _worst(done.stderr))
        options = onnxruntime.SessionOptions()
        options.register_custom_ops_library(onnxruntime_extensions.get_library_path())
        try:
            session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise Red(f"onnxruntime: {error}; tf2onnx: {_worst(done.stderr)}") from error
    names = {one.name.partition(":")[0]: one.name for one in session.get_inputs()}
    # Strings are text there, and bytes here.
    given = {
        key: value.astype(str).astype(object) if value.dtype.kind == "O" else value for key, value in inputs.items()
    }
    got = session.run(None, {names[key]: value for key, value in given.items() if key in names})
    return dict(zip([one.name.partition(":")[0] for one in session.get_outputs()], got, strict=True))


def _worst(log: str) -> str:
    """Returns the line of a log that says what went wrong: an error, else its last."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR" in line or "Error" in line]
    return (errors or lines or ["no output"])[-1]


def openvino(folder: str, inputs: Arrays, outputs: list[str]) -> Arrays:
    """openvino.convert_model, on its CPU."""
    import openvino as ov

    model = ov.convert_model(folder)
    compiled = ov.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    given = {}
    for port in compiled.inputs:
        key = next((name for name in inputs if any(_is(name, known) for known in port.get_names())), None)
        if key is None:
            raise Red(f"input {sorted(port.get_names())} has no key of the signature")
        given[port] = inputs[key]
    got = compiled(given)
    answers = {}
    for key in outputs:
        port = next((one for one in compiled.outputs if any(_is(key, known) for known in one.get_names())), None)
        if port is not None:
            answers[key] = got[port]
    return answers


def _is(key: str, known: str) -> bool:
    return known.partition(":")[0] == key


# Column -> reader, in the order of the table.
READERS = {
    "v1 Session": v1_session,
    "C API": c_api,
    "saved_model_cli show": cli_show,
    "saved_model_cli run": cli_run,
    "saved_model_cli scan": cli_scan,
    "tf.saved_model.load": tf2,
    "TFLite": tflite,
    "TFLite + TF ops": tflite_flex,
    "tf2onnx + onnxruntime": onnx,
    "OpenVINO": openvino,
}
