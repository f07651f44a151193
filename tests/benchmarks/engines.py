"""Ways to score Parquet files beside each other: predict, Beam, Spark and Ray, by number of workers.

    python -m tests.benchmarks engines -- [--export=DIR] [--rows=20000] [--workers=1 --workers=2] [--rounds=1]
        [--model=0] [--way=predict --way=spark …] [--python=beam=PYTHON] [--limit=150]

The rows are those of the export's sample, over and over, in eight files. Each job runs with a tenth of the rows and with
all of them: the difference is what rows cost, the rest is start-up. A worker has one thread for TensorFlow; for `predict`,
which has one process, workers are threads. Processor time is of all processes of a job, read from /proc ten times a second.
`--python=WAY=PYTHON` is for an engine that is installed elsewhere. `--model=0` is the cheap model alone, `--model=1` the
expensive one: each takes about five minutes on two cores. A job that does not end in --limit seconds is ended, with all
its processes, and its row says so.
"""

import argparse
import contextlib
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence

import numpy as np

from tests.benchmarks import measure

# Way -> the package that it needs.
WAYS = {"predict": "pyarrow", "beam": "apache_beam", "spark": "pyspark", "ray": "ray"}
FILES = 8
_RAY = """
import sys, ray
from load_v2.ray import Predictor
export, source, target, workers = sys.argv[1:]
# A core more than workers, for what reads and writes.
ray.init(num_cpus=int(workers) + 1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
ray.data.DataContext.get_current().enable_progress_bars = False
ray.data.read_parquet(source).map_batches(
    Predictor, fn_constructor_args=[export], batch_format="pyarrow", batch_size=1024, concurrency=int(workers)
).write_parquet(target)
"""


def tables(export_dir: str, rows: int, folder: pathlib.Path) -> None:
    """Writes the sample's inputs as Parquet files of `rows` rows in all, with an id."""
    import pyarrow
    from pyarrow import parquet

    folder.mkdir()
    with np.load(os.path.join(export_dir, "assets.extra", "sample.npz")) as arrays:
        inputs = {key.removeprefix("in/"): arrays[key] for key in arrays.files if key.startswith("in/")}
    for part, ids in enumerate(np.array_split(np.arange(rows), FILES)):
        columns = {"id": pyarrow.array(ids)}
        for key, values in inputs.items():
            flat = values.reshape(len(values), -1)[ids % len(values)]
            columns[key] = pyarrow.array(flat.ravel() if values.ndim == 1 else list(flat))
        parquet.write_table(pyarrow.table(columns), folder / f"{part}.parquet")


def command(
    way: str, python: str, export_dir: str, source: pathlib.Path, target: pathlib.Path, workers: int
) -> list[str]:
    """Returns the command of a job."""
    out = {"predict": target / "out.parquet", "beam": target / "out.parquet"}.get(way, target / "out")
    pattern, beginning = f"--input={source}/*.parquet", [python, "-m", f"load_v2.{way}", export_dir]
    if way == "predict":
        return [python, "-m", "load_v2", "predict", export_dir, f"--inputs={source}", f"--outputs={out}"]
    if way == "beam":
        flags = [f"--direct_num_workers={workers}", "--direct_running_mode=multi_processing"]
        return [*beginning, pattern, f"--output={out}", *flags]
    if way == "spark":
        # A task for each file, as Beam and Ray have.
        flags = [
            f"--master=local[{workers}]",
            "--conf=spark.ui.enabled=false",
            "--conf=spark.sql.files.openCostInBytes=1g",
        ]
        return [*beginning, f"--input={source}", f"--output={out}", *flags]
    return [python, "-c", _RAY, export_dir, str(source), str(out), str(workers)]


class Unended(Exception):
    """A job has not ended in its time."""


def measured(arguments: list[str], threads: int, limit: float) -> tuple[float, float]:
    """Returns the seconds that a command takes, and the processor time of all its processes.

    Raises:
        Unended: it takes longer than `limit` seconds, and was ended.
    """
    mark = f"ENGINES_JOB={uuid.uuid4().hex}"
    name, _, value = mark.partition("=")
    limits = {key: str(threads) for key in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")}
    environment = {**os.environ, **limits, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": os.getcwd(), name: value}
    environment.update(PYSPARK_PYTHON=arguments[0], SPARK_LOCAL_IP="127.0.0.1")
    used: dict[str, float] = {}
    start = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        job = subprocess.Popen(arguments, env=environment, stdout=log, stderr=log)
        while job.poll() is None and time.perf_counter() - start < limit:
            used.update(_processor_time(mark.encode()))
            time.sleep(0.1)
        took = time.perf_counter() - start
        ended = job.poll() is not None
        # Daemons of an engine may outlive its job.
        for process in _processor_time(mark.encode()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
        job.wait()
        if not ended:
            raise Unended(f"not ended in {limit:.0f} s")
        if job.returncode:
            log.seek(0)
            sys.exit(log.read().decode(errors="replace")[-3000:])
    return took, sum(used.values())


def _processor_time(mark: bytes) -> dict[str, float]:
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if mark in pathlib.Path(entry.path, "environ").read_bytes():
                    fields = pathlib.Path(entry.path, "stat").read_text().rpartition(")")[2].split()
                    found[entry.name] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return found


def exports(folder: pathlib.Path) -> dict[str, tuple[str, int]]:
    """Makes the two models; returns, by name, where the export is and how many rows a job has."""
    small = os.path.join(measure.ROOT, "fixtures", "mlp_layers", "model.ckpt-3")
    large = folder / "convnet"
    measure.process(measure.PYTHON, os.path.join(os.path.dirname(__file__), "models.py"), "convnet", str(large), "8")
    made = {}
    for name, rows, checkpoint, flags in (
        ("cheap: 16 numbers through two layers", 200_000, small, ("--input=x=x:0", "--output=probs=probs:0")),
        ("expensive: a picture of 64 x 64 through 17 convolutions", 2_000, str(large / "model.ckpt"),
         ("--input=x=x:0", "--output=probs=probs:0", "--freeze=is_training:0=false")),
    ):  # fmt: skip
        made[name] = str(folder / f"export-{len(made)}"), rows
        measure.process(
            measure.PYTHON, "-m", "export_v1", f"--checkpoint={checkpoint}", f"--export_dir={made[name][0]}", *flags
        )  # fmt: skip
    return made


def job(
    way: str, python: str, export_dir: str, source: pathlib.Path, scratch: str, workers: int, limit: float
) -> tuple[float, float] | None:
    """Runs a job; returns its seconds and its processor time, or None where it did not end in its time."""
    target = pathlib.Path(tempfile.mkdtemp(dir=scratch))
    line = command(way, python, export_dir, source, target, workers)
    try:
        return measured(line, workers if way == "predict" else 1, limit)
    except Unended:
        return None


Job = tuple[float, float] | None


def costs(few: Sequence[Job], many: Sequence[Job], rows: Sequence[int]) -> list[str]:
    """Returns the cells of a table from the jobs with few and with many rows: what starting costs, and what rows cost."""
    if None in (*few, *many):
        return ["not ended in its time", *("" for _ in range(4))]
    (few_wall, few_used), (wall, used) = (
        [statistics.median(column) for column in zip(*runs, strict=True)] for runs in (few, many)
    )
    per_row = [max(most - least, 0) / (rows[1] - rows[0]) for least, most in ((few_wall, wall), (few_used, used))]
    start, before = few_wall - per_row[0] * rows[0], few_used - per_row[1] * rows[0]
    rate = f"{1 / per_row[0]:,.0f}" if per_row[0] else "not told from noise"
    return [f"{wall:.0f} s", f"{start:.0f} s", f"{before:.1f} s", rate, f"{1000 * per_row[1]:.3g} s"]


def main(argv: list[str] | None = None) -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.engines",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--export", metavar="DIR", help="a model of your own, in place of the two")
    parser.add_argument("--rows", type=int, help="rows of a job; default: as many as take a while")
    parser.add_argument("--model", type=int, action="append", help="0 or 1: only the cheap or the expensive one")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--limit", type=float, default=150.0, help="seconds that a job may take")
    parser.add_argument("--workers", type=int, action="append")
    parser.add_argument("--way", action="append", choices=WAYS)
    parser.add_argument("--python", action="append", default=[], metavar="WAY=PYTHON")
    args = parser.parse_args(argv)
    pythons = {way: sys.executable for way in WAYS} | dict(item.split("=", 1) for item in args.python)
    ways = []
    for way in args.way or WAYS:
        if subprocess.run([pythons[way], "-c", f"import {WAYS[way]}"], capture_output=True, check=False).returncode:
            print(f"{way} is left out: {pythons[way]} has no {WAYS[way]}.")
        else:
            ways.append(way)
    head = ("model", "way", "workers", "rows", "a job", "start-up", "its processor time", "rows a second",
            "processor time per 1,000 rows")  # fmt: skip
    found = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as scratch:
        models = {args.export: (args.export, args.rows or 20_000)} if args.export else exports(pathlib.Path(scratch))
        for at, (name, (export_dir, rows)) in enumerate(models.items()):
            if args.model is not None and at not in args.model:
                continue
            sizes = [(args.rows or rows) // 10, args.rows or rows]
            sources = [pathlib.Path(scratch, f"{at}-{size}") for size in sizes]
            for size, source in zip(sizes, sources, strict=True):
                tables(export_dir, size, source)
            for workers in args.workers or [1, 2]:
                sides = {
                    (way, source): lambda way=way, source=source, to=export_dir, count=workers: job(
                        way, pythons[way], to, source, scratch, count, args.limit
                    )
                    for way in ways
                    for source in sources
                }
                runs = measure.alternating(sides, args.rounds)
                for way in ways:
                    cells = costs(runs[way, sources[0]], runs[way, sources[1]], sizes)
                    found.append((name, way, workers, f"{sizes[1]:,}", *cells))
                    print("|", " | ".join(map(str, found[-1])), "|", file=sys.stderr, flush=True)
    print(measure.table(head, found))
    print(f"Load of the machine meanwhile: {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
