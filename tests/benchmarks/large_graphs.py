"""Step 1 and --list by the size of the graph, beside what TensorFlow's own import_meta_graph takes.

    python -m tests.benchmarks.large_graphs [--chains=1000,10000,50000,100000] [--blocks=80] [--repetitions=1]

A chain is nodes that each read the one before; blocks are those of the classifier of models.py as it was trained, with
Adam, summaries and conditions. All times are beyond those of `import tensorflow`, which each process pays as well; the median
of all its runs is taken off. On two cores that nobody else uses it takes about five minutes.
"""

import argparse
import os
import shutil
import statistics
import tempfile

from tests.benchmarks import measure
from tests.benchmarks.measure import PYTHON, Run

_BASE = "import tensorflow"
_NAIVE = (
    "import sys, tensorflow as tf; v1 = tf.compat.v1; v1.disable_eager_execution(); s = v1.Session(); "
    "v1.train.import_meta_graph(sys.argv[1] + '.meta', clear_devices=True).restore(s, sys.argv[1])"
)


def sides(prefix: str, folder: str, flags: tuple[str, ...]):
    """Returns what is measured on one graph, by name: functions that return a Run."""
    out = os.path.join(folder, "out")

    def export() -> Run:
        shutil.rmtree(out, ignore_errors=True)
        return measure.process(PYTHON, "-m", "export_v1", prefix, out, "--no_sample", *flags)

    return {
        _BASE: lambda: measure.process(PYTHON, "-c", "import tensorflow"),
        "import_meta_graph, restore": lambda: measure.process(PYTHON, "-c", _NAIVE, prefix),
        "--list": lambda: measure.process(PYTHON, "-m", "export_v1", prefix, "--list"),
        "step 1": export,
    }


def rows(graphs: dict[str, dict[str, list[Run]]]):
    """Yields table rows, several for each graph."""
    imports = [run for runs in graphs.values() for run in runs[_BASE]]
    floor = {what: statistics.median(getattr(run, what) for run in imports) for what in ("wall", "processor")}
    for name, runs in graphs.items():
        for side in [side for side in runs if side != _BASE]:
            times = ([getattr(run, what) - floor[what] for run in runs[side]] for what in ("wall", "processor"))
            yield name, side, *map(measure.shown, times)


def measured(kind: str, size: int, repetitions: int, flags: tuple[str, ...] = ()) -> dict[str, list[Run]]:
    """Returns the runs of each side on one graph, which is made and removed."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder:
        measure.process(PYTHON, os.path.join(os.path.dirname(__file__), "models.py"), kind, folder, str(size))
        return measure.alternating(sides(os.path.join(folder, "model.ckpt"), folder, flags), repetitions)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chains", default="1000,10000,50000,100000")
    parser.add_argument("--blocks", type=int, default=80, help="of the classifier: 350 nodes each")
    parser.add_argument("--repetitions", type=int, default=1)
    args = parser.parse_args(argv)
    found = {}
    for length in map(int, args.chains.split(",")):
        ends = ("--input=x=x:0", "--output=y=y:0")
        found[f"a chain of {length:,} nodes"] = measured("chain", length, args.repetitions, ends)
    if args.blocks:
        found[f"a classifier of {args.blocks} blocks"] = measured("convnet", args.blocks, args.repetitions)
    print(measure.table(("graph", "what", "wall beyond import", "processor time beyond import"), rows(found)))


if __name__ == "__main__":
    main()
