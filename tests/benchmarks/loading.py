"""Loading in step 2: the export against the naive recipe's, and the layer against plain tf.saved_model.load.

    python -m tests.benchmarks.loading [--repetitions=5] [--layers=16] [--blocks=16]

The first table is of an image classifier's training checkpoint; the second of a model of LAYERS x 64 MiB.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile

from tests.benchmarks import measure
from tests.benchmarks.measure import PYTHON

MODELS = os.path.join(os.path.dirname(__file__), "models.py")


def loaded(way: str, folder: str, count: int = 1) -> dict[str, float]:
    """Returns seconds and MiB of one load in a fresh process."""
    command = (PYTHON, "-m", "tests.benchmarks.load_worker", way, folder, str(count))
    done = subprocess.run(command, cwd=measure.ROOT, env=measure.environment(), capture_output=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def rows(found: dict[str, list[dict[str, float]]]):
    """Yields table rows."""
    for name, runs in found.items():
        memory = statistics.median(run["peak"] for run in runs)
        yield name, measure.shown([run["seconds"] for run in runs]), f"{memory:.0f} MiB"


def seconds(runs: list[dict[str, float]]) -> list[float]:
    """Returns the seconds of the runs."""
    return [run["seconds"] for run in runs]


def training_graph(folder: str, blocks: int, repetitions: int) -> None:
    """Prints what loading a classifier costs, exported by step 1 and by the naive recipe."""
    measure.process(PYTHON, MODELS, "convnet", folder, str(blocks))
    prefix, ours, naive = (os.path.join(folder, name) for name in ("model.ckpt", "export", "naive"))
    ends = ("--input=x=x:0", "--output=probs=probs:0", "--freeze=is_training:0=false")
    measure.process(PYTHON, "-m", "export_v1", f"--checkpoint={prefix}", f"--export_dir={ours}", *ends)
    measure.process(
        PYTHON, "-m", "tests.benchmarks.naive", prefix, naive, "x=x:0", "probs=probs:0", "is_training:0=false"
    )
    found = measure.alternating(
        {
            "naive recipe, tf.saved_model.load": lambda: loaded("saved_model", naive),
            "step 1, tf.saved_model.load": lambda: loaded("saved_model", ours),
            "step 1, SignatureLayer": lambda: loaded("layer", ours),
            "step 1, three SignatureLayers": lambda: loaded("layer", ours, 3),
            "step 1, TFSMLayer": lambda: loaded("tfsm", ours),
        },
        repetitions,
    )
    print(measure.table(("classifier", "load", "memory"), rows(found)))
    for name, path in (("naive recipe", naive), ("step 1", ours)):
        size = os.path.getsize(os.path.join(path, "saved_model.pb"))
        print(f"graph of the {name}: {size / 1024:.0f} KiB")
    naive_runs = seconds(found["naive recipe, tf.saved_model.load"])
    for name in ("step 1, SignatureLayer", "step 1, tf.saved_model.load"):
        part = measure.ratio(seconds(found[name]), naive_runs)
        print(
            f"{name}: {part:.2f} of the time that tf.saved_model.load takes for the naive export (asked: at most 0.5)"
        )


def large_model(folder: str, layers: int, repetitions: int) -> None:
    """Prints what loading a large model costs."""
    measure.process(PYTHON, MODELS, "big", folder, str(layers))
    prefix, ours = os.path.join(folder, "model.ckpt"), os.path.join(folder, "export")
    ends = ("--input=x=x:0", "--output=y=y:0")
    measure.process(PYTHON, "-m", "export_v1", f"--checkpoint={prefix}", f"--export_dir={ours}", *ends)
    for name in os.listdir(folder):
        if name.startswith("model.ckpt.data"):
            os.remove(os.path.join(folder, name))
    found = measure.alternating(
        {
            "tf.saved_model.load": lambda: loaded("saved_model", ours),
            "SignatureLayer": lambda: loaded("layer", ours),
        },
        repetitions,
    )
    print(measure.table((f"{layers * 64} MiB of weights", "load", "memory"), rows(found)))
    part = measure.ratio(seconds(found["SignatureLayer"]), seconds(found["tf.saved_model.load"]))
    print(f"SignatureLayer takes {part:.2f} times tf.saved_model.load (asked: no slower)")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--blocks", type=int, default=16)
    args = parser.parse_args(argv)
    for measured, size in ((training_graph, args.blocks), (large_model, args.layers)):
        with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder:
            measured(folder, size, args.repetitions)


if __name__ == "__main__":
    main()
