"""Start of step 1: what answers without TensorFlow, and what a small model costs beyond the import.

python -m tests.benchmarks.start_up [--repetitions=5]
"""

import argparse
import itertools
import json
import os
import statistics
import tempfile

from tests.benchmarks import measure
from tests.benchmarks.measure import PYTHON

CASE = os.path.join(measure.ROOT, "fixtures", "mlp_layers", "model.ckpt-3")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        numbers = itertools.count()

        def export():
            to = os.path.join(folder, str(next(numbers)))
            return measure.process(PYTHON, "-m", "export_v1", f"--checkpoint={CASE}", f"--export_dir={to}", *flags())

        found = measure.alternating(
            {
                "import tensorflow": lambda: measure.process(PYTHON, "-c", "import tensorflow"),
                "export_v1 --help": lambda: measure.process("sh", "-c", f"{PYTHON} -m export_v1 --help; true"),
                "a flag that is not there": lambda: measure.process(
                    "sh", "-c", f"{PYTHON} -m export_v1 --inptu=x; true"
                ),
                "export_v1 --list": lambda: measure.process(
                    PYTHON, "-m", "export_v1", f"--checkpoint={CASE}", "--list"
                ),
                "step 1 of a small model": export,
            },
            args.repetitions,
        )
    rows = []
    for name, runs in found.items():
        processor, peak = (
            statistics.median(values) for values in zip(*((run.processor, run.peak) for run in runs), strict=True)
        )
        rows.append((name, measure.shown([run.wall for run in runs]), f"{processor:.1f} s", f"{peak:.0f} MiB"))
    print(measure.table(("what", "wall", "processor", "peak memory"), rows))
    base = [run.wall for run in found["import tensorflow"]]
    ours = [run.wall for run in found["step 1 of a small model"]]
    beyond = statistics.median(one - 1.15 * other for one, other in zip(ours, base, strict=True))
    print(f"step 1 of a small model takes 1.15 times the import and {beyond:.2f} s (asked: at most 1 s)")


def flags() -> list[str]:
    """Returns the flags that export the golden case, as its case.json has them."""
    with open(os.path.join(os.path.dirname(CASE), "case.json"), encoding="utf-8") as file:
        case = json.load(file)
    found = []
    for flag in ("input", "output"):
        found += [f"--{flag}={key}={tensor}" for key, tensor in case[f"{flag}s"].items()]
    return found + [f"--freeze={tensor}={value}" for tensor, value in case.get("freeze", {}).items()]


if __name__ == "__main__":
    main()
