"""What calling the layer costs beside the graph itself: eager calls, inside tf.function, and predict.

    python -m tests.benchmarks.layer_overhead [EXPORT] [--rounds=N]

Peers, all on the same export in one process, called in turn: the raw concrete signature of tf.saved_model.load,
keras.layers.TFSMLayer, this layer, and a Keras model around each layer. With --session=PYTHON, the path of a Python
that has TensorFlow 1.15, session.run of the original checkpoint is measured in a process of its own right before.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

_SESSION = """
import json, sys, time
import numpy as np, tensorflow as tf
prefix, calls = sys.argv[1], int(sys.argv[2])
saver = tf.train.import_meta_graph(prefix + ".meta", clear_devices=True)
x = np.random.RandomState(0).randn(8, 16).astype("f")
with tf.Session() as session:
    saver.restore(session, prefix)
    feed, fetches = {"x:0": x}, ["probs:0", "dense_1/BiasAdd:0"]
    for _ in range(200): session.run(fetches, feed)
    start = time.perf_counter()
    for _ in range(calls): session.run(fetches, feed)
    print(json.dumps((time.perf_counter() - start) / calls * 1e6))
"""


def measure(calls: dict, count: int, rounds: int) -> dict[str, list[float]]:
    """Returns microseconds per call for each name, one number for each round; the names take turns within a round."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        for _ in range(100):
            call()
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(count):
                call()
            found[name].append((time.perf_counter() - start) / count * 1e6)
    return found


def eager_calls(path: str) -> dict:
    """Returns name -> a call of the same eager batch of 8 rows."""
    import keras
    import tensorflow as tf

    from load_v2 import SignatureLayer

    x = tf.random.stateless_normal([8, 16], [1, 2])
    raw = tf.saved_model.load(path).signatures["serving_default"]
    peer = keras.layers.TFSMLayer(path, call_endpoint="serving_default")
    layer = SignatureLayer(path)
    inputs = keras.Input((16,))
    models = {
        "model of this layer": keras.Model(inputs, layer(inputs)),
        "model of TFSMLayer": keras.Model(inputs, peer(inputs)),
    }
    return {
        "raw signature": lambda: raw(x=x),
        "this layer": lambda: layer(x),
        "TFSMLayer": lambda: peer(x),
        **{name: (lambda model=model: model(x)) for name, model in models.items()},
    }


def traced_calls(path: str) -> dict:
    """Returns name -> a tf.function around ten chained calls, which share the function's own cost."""
    import tensorflow as tf

    from load_v2 import SignatureLayer

    x = tf.random.stateless_normal([8, 16], [1, 2])
    raw = tf.saved_model.load(path).signatures["serving_default"]
    layer = SignatureLayer(path)

    def ten(call):
        @tf.function
        def run(value):
            for _ in range(10):
                value = value + tf.reduce_sum(call(value)["probs"]) * 1e-9
            return value

        return lambda: run(x)

    return {"raw signature": ten(lambda value: raw(x=value)), "this layer": ten(layer)}


def _table(title: str, found: dict[str, list[float]], base: str) -> None:
    reference = statistics.median(found[base])
    print(f"\n{title}\n| | median | range | ratio |\n|---|---|---|---|")
    for name, values in found.items():
        median = statistics.median(values)
        # The ratio of medians drifts with the machine's load; within a round all took turns.
        ratio = (
            statistics.median(a / b for a, b in zip(values, found[base], strict=True)) if base else median / reference
        )
        print(f"| {name} | {median:.0f} µs | {min(values):.0f}-{max(values):.0f} | {ratio:.2f} |")


def _exported() -> str:
    from tests.benchmarks.measure import PYTHON, process
    from tests.support import cases

    folder = os.path.join(tempfile.mkdtemp(), "1")
    case = cases.load("mlp_layers")
    ends = [f"--{way}={key}={tensor}" for way in ("input", "output") for key, tensor in case.config[f"{way}s"].items()]
    prefix = case.folder / case.config["checkpoint"]
    process(PYTHON, "-m", "export_v1", f"--checkpoint={prefix}", f"--export_dir={folder}", *ends)
    return folder


def _session(python: str, rounds: int) -> list[float]:
    from tests.support import cases

    case = cases.load("mlp_layers")
    prefix = str(case.folder / case.config["checkpoint"])
    command = [python, "-c", _SESSION, prefix, "2000"]
    # TensorFlow 2 leaves TF2_BEHAVIOR behind for its children, and TensorFlow 1.15 minds it.
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "TF2_BEHAVIOR")}
    return [
        json.loads(subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
        for _ in range(rounds)
    ]


def main(argv: list[str]) -> None:
    """Measures and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("export", nargs="?", help="export of mlp_layers; made when not given")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--session", help="a Python with TensorFlow 1.15")
    args = parser.parse_args(argv)
    path = args.export or _exported()
    session = _session(args.session, 3) if args.session else None
    _table("Eager call, batch of 8, mlp_layers", measure(eager_calls(path), 200, args.rounds * 5), "raw signature")
    _table("Ten calls in one tf.function", measure(traced_calls(path), 60, args.rounds * 5), "raw signature")
    if session:
        print(f"\nsession.run in TensorFlow 1.15: {', '.join(f'{value:.0f}' for value in session)} µs")


if __name__ == "__main__":
    main(sys.argv[1:])
