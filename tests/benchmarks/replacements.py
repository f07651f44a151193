"""What replacements of ops cost, beside the kernels of TensorFlow 1.15.

    python -m tests.benchmarks replacements -- --tf1=PYTHON

PYTHON is the interpreter of an environment with TensorFlow 1.15 and tf.contrib. Each op is run alone, by a Session of
either TensorFlow in a process of its own; the two take turns.
"""

import argparse
import functools
import os
import sys
import tempfile

import numpy as np
import tensorflow as tf

from export_v1.ir import rewrite
from export_v1.ir.graph import GraphDef, Tensor
from export_v1.passes import replace
from tests.benchmarks import measure

WORKER = os.path.join(os.path.dirname(__file__), "op_worker.py")


def cases() -> dict[str, tuple[list[np.ndarray], dict]]:
    """Returns op -> its inputs and attributes, of the size of a small model's."""
    random = np.random.default_rng(0)

    def floats(*shape):
        return random.standard_normal(shape, dtype=np.float32)

    def cell(gates):
        return [floats(32, 256), floats(32, 256), *[floats(32, 256)] * (gates == 4), floats(512, 256 * (gates or 2))]

    steps = [random.integers(0, high, [50, 32, 10], dtype=np.int32) for high in (100, 10)]
    size = 2 * (4 * 128 * (64 + 128) + 8 * 128)
    spans = np.sort(random.integers(0, 1000, [200, 2]), 1)
    return {
        "GatherTree": ([*steps, np.full([32], 50, np.int32), np.int32(2)], {"T": tf.int32}),
        "GRUBlockCell": ([*cell(0), floats(512, 256), floats(512), floats(256)], {"T": tf.float32}),
        "LSTMBlockCell": ([*cell(4), *[floats(256)] * 3, floats(1024)], {"T": tf.float32}),
        "CudnnRNN": (
            [floats(40, 16, 64), np.zeros([2, 16, 128], "f"), np.zeros([2, 16, 128], "f"), 0.1 * floats(size)],
            {"T": tf.float32, "direction": "bidirectional", "is_training": False},
        ),
        "Resampler": ([floats(8, 64, 64, 16), 70 * random.random([8, 4096, 2], np.float32)], {"T": tf.float32}),
        "ReduceSliceSum": ([floats(1000, 64), spans, np.int64(0)], {"T": tf.float32, "Tindices": tf.int64}),
        "ReduceSliceMax": ([floats(1000, 64), spans, np.int64(0)], {"T": tf.float32, "Tindices": tf.int64}),
        "PeriodicResample": ([floats(64, 64, 32)], {"T": tf.float32, "shape": tf.TensorShape([256, 256, None])}),
        "ImageConnectedComponents": ([random.random([4, 128, 128]) < 0.6], {"dtype": tf.bool}),
        "BipartiteMatch": ([floats(100, 60), np.float32([-1])], {}),
        "MaskedMatmul": (
            [floats(500, 64), floats(64, 500), random.integers(0, 500, [5000, 2]), np.bool_(False), np.bool_(False)],
            {},
        ),
        "AdjustHsvInYiq": (
            [floats(8, 64, 64, 3), np.float32(0.3), np.float32(1.1), np.float32(0.9)],
            {"T": tf.float32},
        ),
        "CompareAndBitpack": ([floats(256, 1024), np.float32(0)], {"T": tf.float32}),
    }


def write(folder: str, name: str, inputs: list[np.ndarray], attrs: dict, replaced: bool) -> None:
    """Writes the graph of one op and its inputs."""
    graph_def = GraphDef()
    graph_def.versions.producer = 134
    for at, value in enumerate(inputs):
        dtype, shape = tf.as_dtype(value.dtype), tf.TensorShape(np.shape(value))
        graph_def.node.append(rewrite.node(f"in_{at}", "Placeholder", dtype=dtype, shape=shape))
    node = rewrite.node("node", name, [Tensor(f"in_{at}") for at in range(len(inputs))], **attrs)
    graph_def.node.append(node)
    if replaced:
        graph_def = replace.ops(graph_def, written=graph_def, stored=lambda key: None).graph_def
    with open(os.path.join(folder, f"{name}.pb"), "wb") as file:
        file.write(graph_def.SerializeToString())
    np.savez(os.path.join(folder, f"{name}.npz"), **{f"in_{at}": value for at, value in enumerate(inputs)})


def main() -> None:
    """Prints a table: op, times of the replacement and of the kernel, ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tf1", required=True, help="a Python with TensorFlow 1.15")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for side in ("replaced", "kernel"):
            os.mkdir(os.path.join(folder, side))
            for name, (inputs, attrs) in cases().items():
                write(os.path.join(folder, side), name, inputs, attrs, side == "replaced")
        workers = {
            "ours": measure.Worker(sys.executable, WORKER, os.path.join(folder, "replaced")),
            "theirs": measure.Worker(args.tf1, WORKER, os.path.join(folder, "kernel")),
        }
        rows = []
        for name in cases():
            request = {"name": name, "calls": args.calls}
            sides = {side: functools.partial(worker.ask, request) for side, worker in workers.items()}
            found = measure.alternating(sides, args.rounds)
            times = {
                side: [1000 * value for answer in answers for value in answer["seconds"]]
                for side, answers in found.items()
            }
            ratio = measure.ratio(times["ours"], times["theirs"])
            rows.append([name, *(measure.shown(times[side], "ms") for side in ("ours", "theirs")), f"{ratio:.2f}"])
        print(measure.table(["op", "replacement, TensorFlow 2", "kernel, TensorFlow 1.15", "ratio"], rows))
        for worker in workers.values():
            worker.end()


if __name__ == "__main__":
    main()
