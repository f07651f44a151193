"""Layers under load: many threads, many layers; for a minute or thousands of times with `-m slow`."""

import gc
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from tests import cases

# A layer of a few kilobytes leaves this much behind at most, on the average of many; what TensorFlow keeps of any
# tf.function that was dropped (names, kernels in caches) is more than all of ours. Measured: see LEAK.
KIB_A_LAYER = 64


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _under_load(path: str, seconds: float, threads: int, tmp_path) -> dict[str, float]:
    """Calls one layer from many threads while another saves and a third trains a second layer on the same export."""
    import keras

    from load_v2 import SignatureLayer

    x = cases.load("mlp_layers").oracle("in")["x"]
    layer, tuned = SignatureLayer(path), SignatureLayer(path)
    model = keras.Sequential([keras.Input((x.shape[1],)), layer])
    sizes = (1, 2, 3, 7, 16, 33)
    batches = {size: np.resize(x, (size, x.shape[1])) for size in sizes}
    want = {size: _only(layer(batch)) for size, batch in batches.items()}
    stop, wrong, errors, counts = threading.Event(), [], [], {"calls": 0, "saves": 0, "steps": 0}
    lock = threading.Lock()

    def guarded(work):
        def run(*args):
            try:
                while not stop.is_set():
                    work(*args)
            except Exception as error:
                errors.append(repr(error))
                stop.set()

        return run

    def ask(number: int) -> None:
        size = sizes[(number + counts["calls"]) % len(sizes)]
        got = _only(layer(batches[size]))
        if not np.allclose(got, want[size], atol=1e-6):
            wrong.append(size)
        with lock:
            counts["calls"] += 1

    def save() -> None:
        model.save(tmp_path / "m.keras")
        counts["saves"] += 1

    optimizer = keras.optimizers.SGD(0.01)
    optimizer.build(tuned.trainable_variables)

    def tune() -> None:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(_tensor(tuned(batches[16], training=True)) ** 2)
        optimizer.apply(tape.gradient(loss, [v.value for v in tuned.trainable_variables]), tuned.trainable_variables)
        counts["steps"] += 1

    workers = [threading.Thread(target=guarded(ask), args=(at,)) for at in range(threads)]
    workers += [threading.Thread(target=guarded(save)), threading.Thread(target=guarded(tune))]
    for worker in workers:
        worker.start()
    time.sleep(seconds / 4)
    gc.collect()
    warm, functions = _resident(), layer._functions.count
    stop.wait(seconds * 3 / 4)
    stop.set()
    for worker in workers:
        worker.join(60)
    assert not errors and not any(worker.is_alive() for worker in workers), errors
    assert not wrong
    gc.collect()
    assert layer._functions.count == functions
    return {**counts, "functions": functions, "grown_mib": (_resident() - warm) / 2**20}


def _tensor(answer):
    return next(iter(answer.values())) if isinstance(answer, dict) else answer


def _only(answer) -> np.ndarray:
    return np.asarray(_tensor(answer))


@pytest.mark.parametrize(
    ("threads", "seconds"), [(4, 8), pytest.param(16, 60, marks=pytest.mark.slow)], ids=["short", "a minute"]
)
def test_one_layer_in_many_threads(threads, seconds, exported, tmp_path):
    found = _under_load(str(exported("mlp_layers")), seconds, threads, tmp_path)
    print(found)
    assert min(found["calls"], found["saves"], found["steps"]) > 0
    assert found["functions"] <= 2
    assert found["grown_mib"] < 64


# One process that makes and drops `count` layers, or what TensorFlow loads by itself, and tells what each leaves.
LEAK = """
import gc, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np, tensorflow as tf
path, count, ours = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "ours"
x = np.zeros((2, int(sys.argv[4])), "float32")

def resident():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024

def one():
    if ours:
        from load_v2 import SignatureLayer
        SignatureLayer(path)(x)
    else:
        tf.saved_model.load(path).signatures["serving_default"](tf.constant(x))

marks = []
for at in range(count):
    one()
    if at + 1 in (count // 4, count):
        marks.append(resident())
print((marks[1] - marks[0]) / (count * 3 / 4))
"""


def _left_behind(path, count: int, whose: str, env) -> float:
    """Returns KiB that stay in memory for each layer made and dropped."""
    width = cases.load("mlp_layers").oracle("in")["x"].shape[1]
    done = subprocess.run(
        [sys.executable, "-c", LEAK, str(path), str(count), whose, str(width)], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return float(done.stdout.split()[-1])


@pytest.mark.slow
def test_layers_made_and_dropped_leave_little_behind(exported, subprocess_env):
    assert _left_behind(exported("mlp_layers"), 120, "ours", subprocess_env) < KIB_A_LAYER


@pytest.mark.slow
def test_ten_thousand_layers_leave_less_behind_than_tensorflow_alone(exported, subprocess_env):
    ours = _left_behind(exported("mlp_layers"), 10_000, "ours", subprocess_env)
    theirs = _left_behind(exported("mlp_layers"), 1_000, "theirs", subprocess_env)
    print(f"{ours:.1f} KiB for each layer, {theirs:.1f} KiB for each tf.saved_model.load without load_v2")
    assert ours < max(KIB_A_LAYER, theirs)
