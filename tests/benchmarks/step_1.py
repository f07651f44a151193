"""Step 1 against the naive recipe, against `cp` of what is kept, and against `import tensorflow`, by checkpoint size.

    python -m tests.benchmarks.step_1 [--layers=5,16,64] [--repetitions=3] [--naive_up_to=16] [--folder=DIR]

A layer is 192 MiB of checkpoint, of which 64 MiB serve. Prints the table, the ratios asked for, and the growth of time
and memory as text; writes the growth as growth.svg into DIR (by default where temporary files go), where matplotlib is
installed.
"""

import argparse
import os
import shutil
import statistics
import tempfile

from tests.benchmarks import measure
from tests.benchmarks.measure import PYTHON, Run

FLOOR = "import tensorflow, then cp"
FLAGS = ("--input=x=x:0", "--output=y=y:0")


def sides(prefix: str, folder: str, with_naive: bool):
    """Returns what is compared for one checkpoint, by name: functions that return a Run."""
    kept, out = os.path.join(folder, "kept"), os.path.join(folder, "out")

    def fresh(*command: str) -> Run:
        shutil.rmtree(out, ignore_errors=True)
        # What the side before has left to be written is not this one's.
        os.sync()
        return measure.process(*command)

    def export(*more: str) -> Run:
        return fresh(PYTHON, "-m", "export_v1", f"--checkpoint={prefix}", f"--export_dir={out}", *FLAGS, *more)

    export()
    shutil.rmtree(kept, ignore_errors=True)
    os.rename(os.path.join(out, "variables"), kept)
    found = {
        "import tensorflow": lambda: measure.process(PYTHON, "-c", "import tensorflow"),
        # One after the other, as step 1 has to do it: right after `rm`, cp finds its memory ready, and is twice as fast.
        FLOOR: lambda: fresh("sh", "-c", f"{PYTHON} -c 'import tensorflow' 2>/dev/null && cp -r {kept} {out}"),
        # Nobody else runs the model; with its answers recorded and compared step 1 has it in memory.
        "step 1": lambda: export("--no_sample"),
        "step 1, proven": export,
    }
    if with_naive:
        found["naive recipe"] = lambda: fresh(PYTHON, "-m", "tests.benchmarks.naive", prefix, out, "x=x:0", "y=y:0")
    return found


def measured(layers: int, repetitions: int, with_naive: bool) -> dict[str, list[Run]]:
    """Returns the runs of each side on a checkpoint of that many layers, which is made and removed."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder:
        measure.process(PYTHON, os.path.join(os.path.dirname(__file__), "models.py"), "big", folder, str(layers))
        return measure.alternating(sides(os.path.join(folder, "model.ckpt"), folder, with_naive), repetitions)


def rows(layers: int, runs: dict[str, list[Run]]):
    """Yields table rows for one checkpoint size."""
    base = statistics.median(run.peak for run in runs["import tensorflow"])
    for name, found in runs.items():
        peak = statistics.median(run.peak for run in found)
        above = f"{peak:.0f} MiB ({peak - base:+.0f})"
        processor = statistics.median(run.processor for run in found)
        wall = measure.shown([run.wall for run in found])
        yield f"{layers * 192 / 1024:.1f} GiB", name, wall, f"{processor:.1f} s", above


def headline(layers: int, runs: dict[str, list[Run]]) -> str:
    """Returns the ratios that were asked for."""
    ours = runs["step 1"]
    times = measure.ratio([run.wall for run in ours], [run.wall for run in runs[FLOOR]])
    lines = f"{layers * 192 / 1024:.1f} GiB: step 1 takes {times:.2f} times as long as {FLOOR} (asked: at most 1.5)"
    if "naive recipe" in runs:
        wall = measure.ratio([run.wall for run in runs["naive recipe"]], [run.wall for run in ours])
        peak = measure.ratio([run.peak for run in runs["naive recipe"]], [run.peak for run in ours])
        lines += f"; the naive recipe {wall:.1f} times as long as step 1, in {peak:.1f} times the memory"
    return lines


def curve(points: dict[int, dict[str, list[Run]]]) -> str:
    """Returns time and memory against checkpoint size as bars of text."""
    lines = []
    for what, unit in (("wall", "s"), ("peak", "MiB")):
        largest = max(getattr(run, what) for runs in points.values() for found in runs.values() for run in found)
        lines.append(f"{what}:")
        for layers, runs in points.items():
            for name, found in runs.items():
                value = statistics.median(getattr(run, what) for run in found)
                bar = "#" * max(round(40 * value / largest), 1)
                lines.append(f"  {layers * 192 / 1024:5.1f} GiB  {name:28}{bar:41}{value:8.1f} {unit}")
    return "\n".join(lines)


def picture(points: dict[int, dict[str, list[Run]]], path: str) -> None:
    """Writes the curve as SVG where matplotlib is installed."""
    try:
        import matplotlib
    except ImportError:
        return
    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.5))
    for axis, what, unit in zip(axes, ("wall", "peak"), ("seconds", "MiB resident"), strict=True):
        for name in next(iter(points.values())):
            sizes = [layers for layers in points if name in points[layers]]
            medians = [statistics.median(getattr(run, what) for run in points[layers][name]) for layers in sizes]
            axis.plot([layers * 192 / 1024 for layers in sizes], medians, marker="o", label=name)
        axis.set(xlabel="checkpoint, GiB", ylabel=unit, ylim=(0, None))
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(path)
    print(f"the same as a picture: {path}")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", default="5,16,64")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--naive_up_to", type=int, default=16, help="layers; the recipe needs the checkpoint in memory")
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="where growth.svg goes")
    args = parser.parse_args(argv)
    points = {}
    for layers in map(int, args.layers.split(",")):
        points[layers] = measured(layers, args.repetitions, layers <= args.naive_up_to)
    head = ("checkpoint", "what", "wall", "processor", "peak memory (above import)")
    print(measure.table(head, [row for layers, runs in points.items() for row in rows(layers, runs)]))
    print(*(headline(layers, runs) for layers, runs in points.items()), sep="\n")
    print(curve(points))
    picture(points, os.path.join(args.folder, "growth.svg"))


if __name__ == "__main__":
    main()
