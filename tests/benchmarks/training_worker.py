"""A process that trains on, and says how long steps take; see training.py.

    python tests/benchmarks/training_worker.py FOLDER tf1|resume|keras

Reads lines of JSON {"name": CASE, "calls": M} and writes {"seconds": of each of M steps}. FOLDER/CASE is an export with its
training. "tf1" runs TensorFlow 1's own train op on the case's checkpoint, under TensorFlow 1.15 and Python 3.7.
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import timed

FIXTURES = os.path.join(os.path.dirname(__file__), "..", "..", "fixtures")


def batch(case):
    """Returns the config of a case and one batch by key."""
    folder = os.path.join(FIXTURES, case)
    with open(os.path.join(folder, "case.json")) as file:
        config = json.load(file)
    stored = np.load(os.path.join(folder, "oracle.npz"))
    keys = list(config["inputs"]) + list(config["resume"]["labels"])
    return folder, config, {key: stored["resume/0/" + key] for key in keys}


def by_tensorflow_1(exports, case):
    """Returns a function that runs the train op once."""
    folder, config, values = batch(case)
    with open(os.path.join(exports, case, "assets.extra", "export_v1.json")) as file:
        train_op = json.load(file)["resume"]["train_op"]
    session = tf.Session(graph=tf.Graph())
    with session.graph.as_default():
        prefix = os.path.join(folder, config["checkpoint"])
        tf.train.import_meta_graph(prefix + ".meta").restore(session, prefix)
    tensors = dict(list(config["inputs"].items()) + list(config["resume"]["labels"].items()))
    feeds = [tensors[key] for key in values] + list(config["train_freeze"])
    call = session.make_callable([session.graph.get_operation_by_name(train_op), config["resume"]["loss"]], feeds)
    given = list(values.values()) + list(config["train_freeze"].values())
    return lambda: call(*given)


def by_resume(exports, case):
    """Returns a function that makes one step of a resumed training, as fit makes it."""
    import load_v2

    model = load_v2.resume(os.path.join(exports, case))
    return _step(model, batch(case)[2])


def by_keras(exports, case):
    """Returns a function that makes one step of Keras's own training of the same layer, with a fresh optimizer."""
    import keras

    import load_v2

    _, config, values = batch(case)
    layer = load_v2.SignatureLayer(os.path.join(exports, case))
    inputs = {
        key: keras.Input(values[key].shape[1:], dtype=values[key].dtype.name, name=key) for key in config["inputs"]
    }
    outputs = layer(inputs)
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=False)
    target = np.zeros_like(np.asarray(layer({key: values[key] for key in config["inputs"]})))
    return _step(model, ({key: values[key] for key in config["inputs"]}, target))


def _step(model, values):
    data = tf.data.Dataset.from_tensors(values).repeat()
    iterator = iter(data)
    function = model.make_train_function() or model.train_function
    return lambda: {key: float(value) for key, value in function(iterator).items()}


def main(exports, side):
    """Answers requests until there are no more."""
    make = {"tf1": by_tensorflow_1, "resume": by_resume, "keras": by_keras}[side]
    timed.answer(lambda name: make(exports, name), warm=3)


if __name__ == "__main__":
    main(*sys.argv[1:3])
