"""Time of a 200-step LSTM: functional control flow against the v1 loop it was made from, in one run.

    python -m tests.benchmarks.lstm_control_flow

Prints one JSON line: the ratio of medians (below 1: the converted graph is faster), for inference in a Session, for
the same as a loaded SavedModel, and the medians in milliseconds. The two sides take turns, so that what else the
machine does falls on both.
"""

import json
import os
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from export_v1.passes import functional
from tests.support import control_flow
from tests.support.control_flow import v1

tf.get_logger().setLevel("ERROR")

STEPS, BATCH, INPUTS, UNITS = 200, 16, 64, 128
ROUNDS = 60


def lstm(x, lengths):
    """An LSTM over `x` float32 [batch, steps, inputs] as `dynamic_rnn` builds it, written out."""
    kernel = v1.get_variable(
        "kernel",
        [INPUTS + UNITS, 4 * UNITS],
        use_resource=True,
        initializer=v1.random_normal_initializer(stddev=0.1, seed=1),
    )
    bias = v1.get_variable("bias", [4 * UNITS], use_resource=True, initializer=v1.zeros_initializer())
    steps = tf.shape(x)[1]
    inputs = v1.TensorArray(tf.float32, size=steps, element_shape=[None, INPUTS]).unstack(tf.transpose(x, [1, 0, 2]))
    outputs = v1.TensorArray(tf.float32, size=steps, element_shape=[None, UNITS])
    zeros = tf.zeros([tf.shape(x)[0], UNITS])

    def body(time_, c, h, out):
        z = tf.nn.bias_add(tf.matmul(tf.concat([inputs.read(time_), h], 1), kernel), bias)
        i, j, f, o = tf.split(z, 4, 1)
        new_c = tf.sigmoid(f + 1.0) * c + tf.sigmoid(i) * tf.tanh(j)
        new_h = tf.sigmoid(o) * tf.tanh(new_c)
        done = tf.broadcast_to((time_ >= lengths)[:, None], tf.shape(h))
        new_c, new_h = tf.where(done, c, new_c), tf.where(done, h, new_h)
        return time_ + 1, new_c, new_h, out.write(time_, tf.where(done, tf.zeros_like(h), new_h))

    loop = v1.while_loop(lambda time_, *_: time_ < steps, body, [0, zeros, zeros, outputs], parallel_iterations=32)
    return tf.transpose(loop[3].stack(), [1, 0, 2]), loop[2]


def session_runner(graph_def, model):
    """Returns a function that runs a graph once in a Session of its own."""
    with tf.Graph().as_default():
        variables = [
            v1.get_variable(name, initializer=value, use_resource=True) for name, value in model.variables.items()
        ]
        tf.import_graph_def(graph_def, {f"{v.op.name}:0": v.handle for v in variables}, name="")
        session = v1.Session()
        session.run(v1.global_variables_initializer())
        return session.make_callable(list(model.outputs), feed_list=list(model.feeds)), session


def main() -> None:
    random = np.random.RandomState(0)
    x = random.randn(BATCH, STEPS, INPUTS).astype(np.float32)
    lengths = random.randint(STEPS // 2, STEPS + 1, BATCH).astype(np.int32)
    model = control_flow.build(lstm, x, lengths, static=False, gradients=False)
    modern = functional.convert(model.graph_def, keep=model.outputs)
    original, _first = session_runner(model.graph_def, model)
    converted, _second = session_runner(modern.graph_def, model)
    with tempfile.TemporaryDirectory() as folder:
        loaded, signature = control_flow.load(model, modern.graph_def, os.path.join(folder, "model"))
    feeds = list(model.feeds.values())
    tensors = {f"x{at}": tf.constant(feed) for at, feed in enumerate(feeds)}
    sides = {
        "original": lambda: original(*feeds),
        "converted": lambda: converted(*feeds),
        "loaded": lambda: [value.numpy() for value in signature(**tensors).values()],
    }
    for one, other in zip(sides["original"](), sides["converted"](), strict=True):
        np.testing.assert_allclose(one, other, 1e-5, 1e-6)
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, run in sides.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values[ROUNDS // 10 :]) for name, values in times.items()}
    print(
        json.dumps(
            {
                "steps": STEPS,
                "ratio_session": round(medians["converted"] / medians["original"], 3),
                "ratio_loaded": round(medians["loaded"] / medians["original"], 3),
                "milliseconds": {name: round(value * 1e3, 2) for name, value in medians.items()},
            }
        )
    )


if __name__ == "__main__":
    main()
