"""A process that answers for one model in one way, and says how long answers take; see serving.py.

    python tests/benchmarks/serve_worker.py WAY MODEL

Reads lines of JSON {"batch": N, "calls": M}, writes {"seconds": median of M calls, "processor": seconds of processor
time a call, "answer": to the first row}. Runs under TensorFlow 1.15 and Python 3.7 as well: WAY "session" is the original
checkpoint in a Session.
"""

import json
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

SHAPE = [64, 64, 3]


def session(prefix):
    """The original, training graph and all, as it answers in the TensorFlow at hand."""
    import tensorflow.compat.v1 as tf

    opened = tf.Session(graph=tf.Graph())
    with opened.graph.as_default():
        tf.train.import_meta_graph(prefix + ".meta", clear_devices=True).restore(opened, prefix)
    answer = opened.make_callable("probs:0", ["x:0", "is_training:0"])
    return lambda x: answer(x, False)


def session_of_export(folder):
    """The export in a Session, as TensorFlow Serving runs it."""
    import tensorflow.compat.v1 as tf

    opened = tf.Session(graph=tf.Graph())
    with opened.graph.as_default():
        meta = tf.saved_model.load(opened, ["serve"], folder)
    signature = meta.signature_def["serving_default"]
    return opened.make_callable(signature.outputs["probs"].name, [signature.inputs["x"].name])


def signature(folder):
    """The raw signature of tf.saved_model.load."""
    import tensorflow as tf

    loaded = tf.saved_model.load(folder)
    call = loaded.signatures["serving_default"]
    frozen = {} if len(call.structured_input_signature[1]) == 1 else {"is_training": tf.constant(False)}
    return lambda x, keep=loaded: call(x=tf.constant(x), **frozen)["probs"].numpy()


def layer(folder):
    """SignatureLayer."""
    import load_v2

    made = load_v2.SignatureLayer(folder)
    return lambda x: np.asarray(made(x))


def tfsm(folder):
    """Keras's own TFSMLayer."""
    import keras

    made = keras.layers.TFSMLayer(folder, call_endpoint="serving_default")
    return lambda x: np.asarray(made(x)["probs"])


def onnxruntime(path):
    """ONNX Runtime on what tf2onnx makes of the export."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Threads that turn while they wait would count as work, and take it from whoever is asked next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    made = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = made.get_inputs()[0].name
    return lambda x: made.run(None, {name: x})[0]


def openvino(folder):
    """OpenVINO on the export."""
    import openvino

    core = openvino.Core()
    # In the others' precision: where the machine has bfloat16, OpenVINO takes that unless it is told.
    made = core.compile_model(core.read_model(folder), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda x: made([x])[0]


WAYS = {one.__name__: one for one in (session, session_of_export, signature, layer, tfsm, onnxruntime, openvino)}


def main(way, model):
    answer = WAYS[way](model)
    for line in sys.stdin:
        asked = json.loads(line)
        x = np.random.RandomState(0).rand(asked["batch"], *SHAPE).astype(np.float32)
        got = answer(x)
        taken, before = [], time.process_time()
        for _ in range(asked["calls"]):
            start = time.time()
            answer(x)
            taken.append(time.time() - start)
        processor = (time.process_time() - before) / len(taken)
        middle = sorted(taken)[len(taken) // 2]
        found = {"seconds": middle, "processor": processor, "answer": np.asarray(got)[0].tolist()}
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
