"""A process that runs one graph again and again, and says how long it takes; see replacements.py.

    python tests/benchmarks/op_worker.py FOLDER

FOLDER/NAME.pb is a GraphDef with placeholders in_0, in_1, … and a node "node", and perhaps a node "make" that is run
once before; FOLDER/NAME.npz is what the placeholders are fed. Reads
lines of JSON {"name": NAME, "calls": M} and writes {"seconds": of each of M calls}. Runs under TensorFlow 1.15 and
Python 3.7 as well, where tf.contrib brings the ops; of cuDNN's network, the cells for a CPU are run there instead.
"""

import glob
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow.compat.v1 as tf
import timed


def contrib_libraries():
    """Loads the ops of tf.contrib, where there is one."""
    try:
        import tensorflow.contrib as contrib
    except ImportError:
        return
    for path in glob.glob(os.path.join(os.path.dirname(contrib.__file__), "**", "*.so"), recursive=True):
        tf.load_op_library(path)


def twin(x):
    """The output of a bidirectional LSTM of 128 units, of the cells that TensorFlow 1.15 has for a CPU."""
    from tensorflow.contrib import cudnn_rnn, rnn

    cells = [[cudnn_rnn.CudnnCompatibleLSTMCell(128)] for _ in range(2)]
    return rnn.stack_bidirectional_dynamic_rnn(cells[0], cells[1], x, dtype=tf.float32, time_major=True)[0]


def opened(folder, name):
    """Returns a function that runs a graph once."""
    stored = np.load(os.path.join(folder, name + ".npz"))
    keys = sorted(stored.files, key=lambda key: int(key[len("in_") :]))
    inputs = [stored[key].astype(object) if stored[key].dtype.kind == "S" else stored[key] for key in keys]
    graph_def = tf.GraphDef()
    with open(os.path.join(folder, name + ".pb"), "rb") as file:
        graph_def.ParseFromString(file.read())
    session = tf.Session(graph=tf.Graph())
    with session.graph.as_default():
        if tf.VERSION.startswith("1.") and name == "CudnnRNN":
            x = tf.placeholder(tf.float32, inputs[0].shape)
            fetched, feeds, inputs = twin(x).op, [x], inputs[:1]
            session.run(tf.global_variables_initializer())
        else:
            tf.import_graph_def(graph_def, name="")
            if any(node.name == "make" for node in graph_def.node):
                session.run("make")
            fetched = session.graph.get_operation_by_name("node")
            feeds = [key + ":0" for key in keys]
    call = session.make_callable(fetched, feeds)
    return lambda: call(*inputs)


def main(folder):
    """Answers requests until there are no more."""
    contrib_libraries()
    timed.answer(lambda name: opened(folder, name))


if __name__ == "__main__":
    main(sys.argv[1])
