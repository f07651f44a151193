"""Scoring on Beam's DirectRunner by number of worker processes: fixed cost and rows a second. Needs the extra `beam`.

    python -m tests.benchmarks.scoring EXPORT [--rows=2000] [--processes=1 --processes=2] [--rounds=3]

The rows are those of the export's sample, over and over. Each job runs with a tenth of the rows and with all of them:
the difference is what rows cost, the rest is what a job costs before its first row. Each process has one thread for
TensorFlow, as workers of a cluster have one core; the numbers of processes take turns within a round.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np


def table(export_dir: str, rows: int, path: str) -> None:
    """Writes the sample's inputs as a Parquet file of `rows` rows with an id."""
    import pyarrow
    from pyarrow import parquet

    with np.load(os.path.join(export_dir, "assets.extra", "sample.npz")) as arrays:
        inputs = {key.removeprefix("in/"): arrays[key] for key in arrays.files if key.startswith("in/")}
    columns = {"id": list(range(rows))}
    for key, values in inputs.items():
        flat = [values[at % len(values)].ravel() for at in range(rows)]
        columns[key] = [row.tolist() if values.ndim > 1 else row[0] for row in flat]
    # Row groups are what Beam splits a file into; four bundles for each of two processes.
    parquet.write_table(pyarrow.table(columns), path, row_group_size=max(rows // 8, 1))


def seconds(export_dir: str, source: str, scratch: str, processes: int) -> tuple[float, float]:
    """Returns how long a job takes from start to end, and how much processor time, all its processes together."""
    target = os.path.join(tempfile.mkdtemp(dir=scratch), "out.parquet")
    command = [sys.executable, "-m", "load_v2.beam", export_dir, f"--input={source}", f"--output={target}"]
    command += [f"--direct_num_workers={processes}", "--direct_running_mode=multi_processing"]
    threads = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, env={**os.environ, **threads}, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    after, end = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    return end - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.scoring",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("export_dir", metavar="EXPORT")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processes", type=int, action="append")
    args = parser.parse_args()
    processes = args.processes or [1, 2]
    found: dict[tuple[int, int], list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        sizes = [args.rows // 10, args.rows]
        sources = {rows: os.path.join(scratch, f"{rows}.parquet") for rows in sizes}
        for rows, path in sources.items():
            table(args.export_dir, rows, path)
        for _ in range(args.rounds):
            for rows in sizes:
                for count in processes:
                    took = seconds(args.export_dir, sources[rows], scratch, count)
                    found.setdefault((count, rows), []).append(took)
                    said = f"{rows} rows, {count} processes: {took[0]:.1f} s, {took[1]:.1f} s of processors"
                    print(said, file=sys.stderr, flush=True)
    print(f"Load of the machine meanwhile: {os.getloadavg()[1]:.1f} on {os.cpu_count()} cores.\n")
    print(
        f"| processes | {sizes[0]} rows | {sizes[1]} rows | rows a second | processor seconds: before rows, per 1,000 |"
    )
    print("|---|---|---|---|---|")
    for count in processes:
        few, many = ([statistics.median(column) for column in zip(*found[count, rows], strict=True)] for rows in sizes)
        more = sizes[1] - sizes[0]
        cost = (many[1] - few[1]) / more
        rate = more / max(many[0] - few[0], 1e-9)
        before = few[1] - cost * sizes[0]
        print(f"| {count} | {few[0]:.0f} s | {many[0]:.0f} s | {rate:,.0f} | {before:.0f}, {1000 * cost:.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
