"""How fast a rebuilt model is beside SignatureLayer: in tf.function and in predict; under JAX's jit, and in onnxruntime.

    python -m tests.benchmarks rebuilding [-- --cases=bert_tiny,convnet --python=PYTHON --rounds=5 --calls=20]

PYTHON is the interpreter of an environment with jax, tf2onnx and onnxruntime, this one if not given; what it lacks is left
out. Each side is a process of its own with one thread, they take turns, and times are the processor's, so that other work
on the machine counts little. All sides first have to give the recorded answers.
"""

import argparse
import functools
import os
import subprocess
import sys
import tempfile

from tests.benchmarks import measure
from tests.support import cases

HERE = os.path.dirname(os.path.abspath(__file__))
WORKER = os.path.join(HERE, "rebuilding_worker.py")
SIDES = {
    "layer": "SignatureLayer, tf.function",
    "rebuilt": "rebuilt, tf.function",
    "layer_predict": "SignatureLayer, predict",
    "rebuilt_predict": "rebuilt, predict",
    "jax": "rebuilt, jax.jit",
    "onnxruntime": "rebuilt, onnxruntime",
}
# Side -> the one that it is compared with.
_PEERS = {"rebuilt": "layer", "rebuilt_predict": "layer_predict", "jax": "layer", "onnxruntime": "layer"}
# A classifier of 4 residual blocks, written by models.py.
_CONVNET = "convnet"


def prepare(name: str, folder: str, python: str) -> None:
    """Writes into `folder` an export, the rebuilt code with its weights, and an ONNX file where that can be."""
    import export_v1
    from load_v2.commands import rebuild

    os.makedirs(folder)
    export, code, weights = (os.path.join(folder, end) for end in ("1", "model.py", "model.weights.h5"))
    if name == _CONVNET:
        measure.process(sys.executable, os.path.join(HERE, "models.py"), "convnet", folder, "4")
        ends = {"inputs": {"x": "x:0"}, "outputs": {"probs": "probs:0"}, "freeze": {"is_training:0": False}}
        export_v1.export(export_dir=export, checkpoint=os.path.join(folder, "model.ckpt"), **ends)
    else:
        export_v1.export(export_dir=export, **cases.load(name).flags())
    rebuild.write(export, code, weights, backends=["tensorflow"])
    subprocess.run([python, WORKER, folder, "write_onnx"], env=measure.environment(), capture_output=True)


def main() -> None:
    """Prints a table: case, processor time of a batch on each side, ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default="convnet,bert_tiny,slim_contrib_net,port_lstm_cells")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=20)
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder:
        for name in args.cases.split(","):
            prepare(name, os.path.join(folder, name), args.python)
            rows += _measured(name, os.path.join(folder, name), args)
    print(measure.table(("case, 32 rows", "what", "processor time", "to SignatureLayer"), rows))


def _measured(name: str, folder: str, args: argparse.Namespace) -> list[tuple[str, str, str, str]]:
    workers = {side: measure.Worker(args.python, WORKER, folder, side) for side in SIDES}
    asked, missing = {}, {}
    for side, worker in workers.items():
        try:
            worker.ask({"name": name, "calls": 1})
            asked[side] = functools.partial(worker.ask, {"name": name, "calls": args.calls})
        except (RuntimeError, BrokenPipeError):
            missing[side] = "does not run here"
    found = measure.alternating(asked, args.rounds)
    times = {side: [1000 * value for answer in found[side] for value in answer["processor"]] for side in found}
    for worker in workers.values():
        worker.end()
    return [
        (
            name,
            label,
            missing[side] if side in missing else measure.shown(times[side], "ms"),
            f"{measure.ratio(times[side], times[_PEERS[side]]):.2f}" if side in times and side in _PEERS else "",
        )
        for side, label in SIDES.items()
    ]


if __name__ == "__main__":
    main()
