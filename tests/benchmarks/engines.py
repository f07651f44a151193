"""Ways to score Parquet files beside each other: predict, Beam, Spark and Ray, by number of workers.

    python -m tests.benchmarks.engines EXPORT [--rows=20000] [--workers=1 --workers=2] [--rounds=2]
        [--way=predict --way=spark …] [--python=beam=PYTHON]

The rows are those of the export's sample, over and over, in eight files. Each job runs with a tenth of the rows and with
all of them: the difference is what rows cost, the rest is start-up. A worker has one thread for TensorFlow; for `predict`,
which has one process, workers are threads. Processor time is of all processes of a job, read from /proc ten times a second.
`--python=WAY=PYTHON` is for an engine that is installed elsewhere.
"""

import argparse
import contextlib
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import uuid

import numpy as np

WAYS = ("predict", "beam", "spark", "ray")
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


def measured(arguments: list[str], threads: int) -> tuple[float, float]:
    """Returns the seconds that a command takes, and the processor time of all its processes."""
    mark = f"ENGINES_JOB={uuid.uuid4().hex}"
    name, _, value = mark.partition("=")
    limits = {key: str(threads) for key in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")}
    environment = {**os.environ, **limits, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": os.getcwd(), name: value}
    environment.update(PYSPARK_PYTHON=arguments[0], SPARK_LOCAL_IP="127.0.0.1")
    used: dict[str, float] = {}
    start = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        job = subprocess.Popen(arguments, env=environment, stdout=log, stderr=log)
        while job.poll() is None:
            used.update(_processor_time(mark.encode()))
            time.sleep(0.1)
        took = time.perf_counter() - start
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


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.engines",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("export_dir", metavar="EXPORT")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--workers", type=int, action="append")
    parser.add_argument("--way", action="append", choices=WAYS)
    parser.add_argument("--python", action="append", default=[], metavar="WAY=PYTHON")
    args = parser.parse_args()
    pythons = dict(item.split("=", 1) for item in args.python)
    sizes = [args.rows // 10, args.rows]
    jobs = [(way, count) for count in args.workers or [1, 2] for way in args.way or WAYS]
    results: dict[tuple[str, int, int], list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        sources = {rows: pathlib.Path(scratch, str(rows)) for rows in sizes}
        for rows, folder in sources.items():
            tables(args.export_dir, rows, folder)
        for _ in range(args.rounds):
            for way, count in jobs:
                for rows in sizes:
                    target = pathlib.Path(tempfile.mkdtemp(dir=scratch))
                    python = pythons.get(way, sys.executable)
                    line = command(way, python, args.export_dir, sources[rows], target, count)
                    result = measured(line, count if way == "predict" else 1)
                    results.setdefault((way, count, rows), []).append(result)
                    text = f"{way}, {count}, {rows} rows: {result[0]:.1f} s, {result[1]:.1f} s of processors"
                    print(text, file=sys.stderr, flush=True)
    print(f"Load of the machine meanwhile: {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores.\n")
    print(
        f"| way | workers | {sizes[1]} rows | start-up | its processor time | rows a second | processor time per 1,000 |"
    )
    print("|---|---|---|---|---|---|---|")
    for way, count in jobs:
        few, many = (
            [statistics.median(column) for column in zip(*results[way, count, rows], strict=True)] for rows in sizes
        )
        more = sizes[1] - sizes[0]
        wall, cost = (max(many[at] - few[at], 1e-9) / more for at in (0, 1))
        start, before = few[0] - wall * sizes[0], few[1] - cost * sizes[0]
        print(
            f"| {way} | {count} | {many[0]:.0f} s | {start:.0f} s | {before:.0f} s | {1 / wall:,.0f} | {1000 * cost:.2f} s |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
