"""How fast a rebuilt model is beside SignatureLayer: in tf.function and in predict; under JAX's jit, and in onnxruntime.

    python -m tests.benchmarks rebuilding [-- --cases=bert_tiny,convnet --python=PYTHON --rounds=5 --calls=20]

PYTHON is the interpreter of an environment with jax, tf2onnx and onnxruntime, this one if not given; what it lacks is left
out. TensorFlow, JAX and onnxruntime each have a process with one thread, all sides take turns, and times are the processor's,
so that other work on the machine counts little. All sides first have to give the recorded answers.
"""

import argparse
import contextlib
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
# Processes; the first has all sides that are not called like one.
_PROCESSES = ("tensorflow", "jax", "onnxruntime")
# A file of ONNX that takes longer is left out.
_LONGEST = 120
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
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(
            [python, WORKER, "write_onnx", folder], env=measure.environment(), capture_output=True, timeout=_LONGEST
        )


def main() -> None:
    """Prints a table: case, processor time of a batch on each side, ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default="convnet,bert_tiny,port_lstm_cells")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=20)
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder:
        names = args.cases.split(",")
        for name in names:
            prepare(name, os.path.join(folder, name), args.python)
        processes = _Processes(args.python)
        for name in names:
            rows += _measured(name, os.path.join(folder, name), processes, args)
        processes.end()
    print(measure.table(("case, 32 rows", "what", "processor time", "to SignatureLayer"), rows))


class _Processes:
    """The processes that answer; one that fails is started anew."""

    def __init__(self, python: str):
        self._python = python
        self._workers = {process: measure.Worker(python, WORKER, process) for process in _PROCESSES}

    def ask(self, folder: str, side: str, calls: int) -> dict | None:
        """Returns what so many calls took, None where the side does not run."""
        process = side if side in _PROCESSES else _PROCESSES[0]
        try:
            return self._workers[process].ask({"name": [folder, side], "calls": calls})
        except (RuntimeError, BrokenPipeError):
            self._workers[process] = measure.Worker(self._python, WORKER, process)
            return None

    def end(self) -> None:
        """Ends them."""
        for worker in self._workers.values():
            worker.end()


def _measured(
    name: str, folder: str, processes: _Processes, args: argparse.Namespace
) -> list[tuple[str, str, str, str]]:
    running = [side for side in SIDES if processes.ask(folder, side, 1) is not None]
    asked = {side: functools.partial(processes.ask, folder, side, args.calls) for side in running}
    found = measure.alternating(asked, args.rounds)
    times = {side: [1000 * value for answer in found[side] for value in answer["processor"]] for side in found}
    return [
        (
            name,
            label,
            measure.shown(times[side], "ms") if side in times else "does not run here",
            f"{measure.ratio(times[side], times[_PEERS[side]]):.2f}" if side in times and side in _PEERS else "",
        )
        for side, label in SIDES.items()
    ]


if __name__ == "__main__":
    main()
