"""A process that loads a model in one way and says how long it took and what memory it has; see loading.py.

python -m tests.benchmarks.load_worker WAY FOLDER [COUNT]
"""

import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tests.benchmarks import measure


def peak() -> float:
    """Returns the largest resident size of this process so far, in MiB."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024


def main(way: str, folder: str, count: str = "1") -> None:
    import keras
    import tensorflow as tf

    keep = []
    if way == "layer":
        import load_v2

        keras.layers.Dense(1).build([None, 1])
        calls = [lambda: keep.append(load_v2.SignatureLayer(folder)) for _ in range(int(count))]
    elif way == "tfsm":
        calls = [lambda: keep.append(keras.layers.TFSMLayer(folder, call_endpoint="serving_default"))] * int(count)
    else:
        calls = [lambda: keep.append(tf.saved_model.load(folder))] * int(count)
    before = peak()
    taken = measure.seconds(lambda: [call() for call in calls])
    print(json.dumps({"seconds": taken, "peak": peak() - before}))


if __name__ == "__main__":
    main(*sys.argv[1:])
