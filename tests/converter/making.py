"""Makes cases of a converter's test suite: a plugin of pytest, for the interpreter that has TensorFlow 1.15.5.

Each test of the suite builds a graph and gives it to `run_test_case`, with what is fed and what is asked for. In its place
stands here what runs the graph in a Session and writes the case: its files, names and answers, as
`tests/others/judging.py` has them. The folder is $CASES; of one test that asks several times, each is a case.
"""

import json
import os
import sys
import types
from unittest import mock

import numpy as np
import tensorflow as tf

_seen = {}
# The suite asks for the version of a runtime that is not needed, since nothing is converted.
_runtime = types.ModuleType("onnxruntime")
_runtime.__version__ = "1.7.0"
sys.modules.setdefault("onnxruntime", _runtime)
sys.path.insert(0, os.environ["SUITE"])


def pytest_configure(config):
    """Takes the place of what would convert."""
    import backend_test_base

    backend_test_base.Tf2OnnxBackendTestBase.run_test_case = _make


def _make(test, func, feed_dict, input_names_with_port, output_names_with_port, premade_placeholders=False, **_):
    name = "{}.{}.{}".format(type(test).__module__, type(test).__name__, test._testMethodName)
    count = _seen[name] = _seen.get(name, 0) + 1
    folder = os.path.join(os.environ["CASES"], "{}.{}".format(name, count) if count > 1 else name)
    tf.reset_default_graph()
    np.random.seed(1)
    with tf.Session() as session:
        tf.set_random_seed(1)
        placeholders = []
        if not premade_placeholders:
            for key, value in feed_dict.items():
                placeholders.append(tf.placeholder(value.dtype, value.shape, name=key.split(":")[0]))
        func(*placeholders)
        session.run([tf.global_variables_initializer(), tf.tables_initializer()])
        outputs = [session.graph.get_tensor_by_name(output) for output in output_names_with_port]
        os.makedirs(folder)
        source = _saved(session, feed_dict, outputs, folder)
        first, second = (session.run(outputs, feed_dict) for _ in range(2))
    keys = {"i{}".format(at): name for at, name in enumerate(feed_dict)}
    wanted = {"o{}".format(at): name for at, name in enumerate(output_names_with_port)}
    answers = {"in/" + key: _plain(feed_dict[name]) for key, name in keys.items()}
    answers.update({"out/" + key: _plain(first[at]) for at, key in enumerate(wanted)})
    np.savez(os.path.join(folder, "oracle.npz"), **answers)
    case = {"project": "tf2onnx", "year": 2021, "model": name, "source": source, "inputs": keys, "outputs": wanted}
    case["random"] = [key for at, key in enumerate(wanted) if not _same(first[at], second[at])]
    with open(os.path.join(folder, "case.json"), "w") as file:
        json.dump(case, file)
    # Whatever the test asks of a converted graph is so.
    return mock.MagicMock()


def _saved(session, feeds, outputs, folder):
    """Writes the graph as someone would who has one like it, and returns the flag of step 1 for it."""
    if tf.global_variables():
        tf.train.Saver().save(session, os.path.join(folder, "model.ckpt"))
        return {"checkpoint": "model.ckpt"}
    if tf.get_collection(tf.GraphKeys.TABLE_INITIALIZERS):
        inputs = {"i{}".format(at): session.graph.get_tensor_by_name(name) for at, name in enumerate(feeds)}
        named = {"o{}".format(at): output for at, output in enumerate(outputs)}
        directory = os.path.join(folder, "saved_model")
        tf.saved_model.simple_save(session, directory, inputs, named, legacy_init_op=tf.tables_initializer())
        return {"saved_model": "saved_model"}
    with open(os.path.join(folder, "graph.pb"), "wb") as file:
        file.write(session.graph_def.SerializeToString())
    return {"graph_def": "graph.pb"}


def _plain(value):
    """An array that any NumPy reads: texts as TensorFlow has them, bytes."""
    value = np.asarray(value)
    return np.char.encode(value, "utf-8").astype(object) if value.dtype.kind == "U" else value


def _same(one, two):
    one, two = np.asarray(one), np.asarray(two)
    return bool(np.array_equal(one, two) or (one.dtype.kind in "fc" and np.allclose(one, two, 0, 0, equal_nan=True)))
