"""What a step of a resumed training costs, beside TensorFlow 1.15's train op and beside Keras with a fresh optimizer.

    python -m tests.benchmarks training [-- --tf1=PYTHON]

PYTHON is the interpreter of an environment with TensorFlow 1.15; without it that column is left out. The sides take turns,
each in a process of its own; a step is one call of the compiled train function on a batch that is at hand.
"""

import argparse
import functools
import os
import sys
import tempfile

from tests.benchmarks import measure
from tests.support.trainings import Training

WORKER = os.path.join(os.path.dirname(__file__), "training_worker.py")
CASES = (
    "train_adam",
    "train_nesterov_decay_piecewise",
    "train_ftrl_adagrad_wide_deep",
    "train_rmsprop_rnn_clipped",
    "train_batch_norm_ema",
)


def main() -> None:
    """Prints a table: case, times of a step on each side, ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tf1", help="a Python with TensorFlow 1.15")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=50)
    args = parser.parse_args()
    import export_v1

    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder:
        for name in CASES:
            export_v1.export(export_dir=os.path.join(folder, name), **Training(name).flags())
        workers = {side: measure.Worker(sys.executable, WORKER, folder, side) for side in ("resume", "keras")}
        if args.tf1:
            workers["tf1"] = measure.Worker(args.tf1, WORKER, folder, "tf1")
        rows = []
        for name in CASES:
            request = {"name": name, "calls": args.calls}
            asked = {side: functools.partial(worker.ask, request) for side, worker in workers.items()}
            found = measure.alternating(asked, args.rounds)
            times = {
                side: [1000 * value for answer in answers for value in answer["seconds"]]
                for side, answers in found.items()
            }
            ratios = [f"{measure.ratio(times['resume'], times[side]):.2f}" for side in workers if side != "resume"]
            rows.append([name, *(measure.shown(times[side], "ms") for side in workers), *ratios])
        named = {"resume": "resumed", "keras": "Keras, fresh Adam", "tf1": "TensorFlow 1.15"}
        head = [
            "case",
            *(named[side] for side in workers),
            *(f"to {named[side]}" for side in workers if side != "resume"),
        ]
        print(measure.table(head, rows))
        for worker in workers.values():
            worker.end()


if __name__ == "__main__":
    main()
