"""Time to an answer: the export, called in every way there is, against the original in a Session and against peers.

    python -m tests.benchmarks.serving [--tf1=PYTHON] [--bench=PYTHON] [--rounds=7] [--calls=20] [--blocks=8]

--tf1 is the interpreter of an environment with TensorFlow 1.15; the checkpoint is then written by it, and the original
answers in it. --bench is one with tf2onnx, onnxruntime and openvino; without it they are left out if this environment
has none of them. Each way is a process of its own; all are alive at once and are asked in turn,
for so many calls or for about a second, whichever is less. On two cores that takes about five minutes.
"""

import argparse
import importlib.util
import os
import tempfile

from tests.benchmarks import measure
from tests.benchmarks.measure import PYTHON

HERE = os.path.dirname(os.path.abspath(__file__))
WORKER = os.path.join(HERE, "serve_worker.py")
# Seconds of a turn, about.
_TURN = 1.0
ONNX = "export through tf2onnx, onnxruntime"


def workers(folder: str, args: argparse.Namespace) -> dict[str, measure.Worker]:
    """Returns a process for each way there is here, by the name it has in the table."""
    prefix, ours, naive, fast = (os.path.join(folder, name) for name in ("model.ckpt", "export", "naive", "optimized"))
    measure.process(args.tf1 or PYTHON, os.path.join(HERE, "models.py"), "convnet", folder, str(args.blocks))
    ends = ("--input=x=x:0", "--output=probs=probs:0", "--freeze=is_training:0=false")
    measure.process(PYTHON, "-m", "export_v1", f"--checkpoint={prefix}", f"--export_dir={ours}", *ends)
    measure.process(PYTHON, "-m", "export_v1", f"--checkpoint={prefix}", f"--export_dir={fast}", *ends, "--optimize")
    found = {}
    if args.tf1:
        found["original, TensorFlow 1.15"] = measure.Worker(args.tf1, WORKER, "session", prefix)
    else:
        found["original, compat.v1"] = measure.Worker(PYTHON, WORKER, "session", prefix)
        command = (PYTHON, "-m", "tests.benchmarks.naive", prefix, naive, "x=x:0", "probs=probs:0")
        measure.process(*command, "is_training:0=false")
        found["naive export, raw signature"] = measure.Worker(PYTHON, WORKER, "signature", naive)
    found["export in a Session"] = measure.Worker(PYTHON, WORKER, "session_of_export", ours)
    found["export, raw signature"] = measure.Worker(PYTHON, WORKER, "signature", ours)
    found["export, SignatureLayer"] = measure.Worker(PYTHON, WORKER, "layer", ours)
    found["--optimize, raw signature"] = measure.Worker(PYTHON, WORKER, "signature", fast)
    found["--optimize, SignatureLayer"] = measure.Worker(PYTHON, WORKER, "layer", fast)
    found["export, TFSMLayer"] = measure.Worker(PYTHON, WORKER, "tfsm", ours)
    bench = args.bench or PYTHON
    if args.bench or importlib.util.find_spec("tf2onnx"):
        path = os.path.join(folder, "model.onnx")
        measure.process(bench, "-m", "tf2onnx.convert", "--saved-model", ours, "--output", path, "--opset", "15")
        found[ONNX] = measure.Worker(bench, WORKER, "onnxruntime", path)
    if args.bench or importlib.util.find_spec("openvino"):
        found["export in openvino"] = measure.Worker(bench, WORKER, "openvino", ours)
    return found


def compare(found: dict[str, measure.Worker], batch: int, args: argparse.Namespace) -> None:
    """Prints the table for one batch size, after making sure that all give the same answer."""
    asked = {"batch": batch, "calls": 2}
    # The first call of some is not like the rest.
    first_asked = [{name: worker.ask(asked) for name, worker in found.items()} for _ in range(2)][-1]
    answers = {name: answer["answer"] for name, answer in first_asked.items()}
    first = next(iter(answers))
    for name, answer in answers.items():
        if max(abs(one - other) for one, other in zip(answer, answers[first], strict=True)) > 1e-4:
            raise SystemExit(f"{name} answers {answer}, {first} {answers[first]}")
    slowest = max(answer["seconds"] for answer in first_asked.values())
    asked = {"batch": batch, "calls": max(2, min(args.calls, round(_TURN / slowest)))}
    taken = measure.alternating(
        {name: (lambda worker=worker: worker.ask(asked)) for name, worker in found.items()}, args.rounds
    )
    # Where other work runs beside, processor time is what two sides can be compared by.
    times, processor = (
        {name: [answer[what] * 1000 for answer in answers] for name, answers in taken.items()}
        for what in ("seconds", "processor")
    )
    last = ONNX if ONNX in found else first
    rows = [
        (
            name,
            measure.shown(times[name], "ms"),
            f"{measure.ratio(times[name], times[last]):.2f}",
            measure.shown(processor[name], "ms"),
            f"{measure.ratio(processor[name], processor[last]):.2f}",
        )
        for name in found
    ]
    head = (f"batch of {batch}", "answer", f"ratio to {last}", "processor time", "its ratio")
    print(measure.table(head, rows))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tf1")
    parser.add_argument("--bench")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--blocks", type=int, default=8)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        found = workers(folder, args)
        try:
            for batch in (1, 32):
                compare(found, batch, args)
        finally:
            for worker in found.values():
                worker.end()


if __name__ == "__main__":
    main()
