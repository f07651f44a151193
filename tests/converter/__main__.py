"""The small graphs of a converter's own test suite through both steps; prints a table.

    python -m tests.converter --suite=FOLDER --tf1=PYTHON --cases=FOLDER [PATTERN…]
    python -m tests.converter --cases=FOLDER [PATTERN…]

FOLDER of `--suite` has the tests of tf2onnx 1.8.5, of which this project has nothing; PYTHON has TensorFlow 1.15.5, that
tf2onnx and pytest (with parameterized, timeout-decorator and PyYAML, which the tests import). It makes a case of each graph,
with its answers, and what is in `--cases` then is exported with its names and held against them. PATTERN is of names as
`test_backend.BackendTests.test_add`; `--minutes` ends the run after so long, and the rest is counted as not reached.
"""

import argparse
import collections
import fnmatch
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from export_v1.console import apart
from tests.others import judging

KINDS = ("equal", "random", "not proven", "stops", "wrong", "ended")
_SECONDS = 240
# TensorFlow keeps something of every graph.
_IN_ONE_PROCESS = 150


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.converter", description=__doc__.splitlines()[0])
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", default=["*"])
    parser.add_argument("--suite", type=Path)
    parser.add_argument("--tf1", default="python")
    parser.add_argument("--cases", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    args = parser.parse_args(arguments)
    until = time.monotonic() + 60 * args.minutes
    if args.suite is not None:
        make(args.suite.resolve(), args.tf1, args.cases.resolve())
    folders = [
        file.parent
        for file in sorted(args.cases.glob("*/case.json"))
        if any(fnmatch.fnmatch(file.parent.name, pattern) for pattern in args.patterns)
    ]
    if not folders:
        sys.exit(f"No case in {str(args.cases)!r} has such a name; --suite and --tf1 make them.")
    results: dict[str, str] = {}
    for folder, result in run(folders, until):
        results[folder.name] = result
        if kind(result) != "equal":
            print(f"{folder.name}: {result}", flush=True)
    print(table(results))
    print(f"{len(results)} graphs, {len(folders) - len(results)} more not reached.")
    return int(any(kind(result) in ("stops", "wrong", "ended") for result in results.values()))


def make(suite: Path, python: str, cases: Path) -> None:
    """Makes a case of each graph that the tests in `suite` build, in new folders below `cases`, by another interpreter."""
    cases.mkdir(parents=True)
    place = {"SUITE": str(suite), "CASES": str(cases), "PYTHONPATH": str(Path(__file__).parent)}
    # Tests that hold the converted graph against something fail, since nothing is converted; the rest is made all the same.
    command = [
        python,
        "-m",
        "pytest",
        "-q",
        "--tb=no",
        "-p",
        "making",
        "--continue-on-collection-errors",
        "-p",
        "no:cacheprovider",
        str(suite),
    ]
    subprocess.run(command, env={**os.environ, **place, "TF_CPP_MIN_LOG_LEVEL": "3"}, cwd=cases, check=False)


def run(folders: list[Path], until: float, work: str = "tests.converter.__main__:answer") -> Iterator[tuple[Path, str]]:
    """Yields each folder and what came of it, up to a moment; a process of its own runs them, a new one if it ends."""
    process, asked = None, 0
    try:
        for folder in folders:
            if time.monotonic() > until:
                return
            if process is None or asked == _IN_ONE_PROCESS:
                if process is not None:
                    process.close()
                process, asked = apart.Process(work), 0
            asked += 1
            try:
                result = process.ask(str(folder).encode(), _SECONDS).decode()
            except apart.EndedError as error:
                process, result = None, f"ended: {error}"
            yield folder, result
    finally:
        if process is not None:
            process.close()


def answer(receive: Callable[[], bytes | None], send: Callable[[bytes], None]) -> None:
    """Answers folders of cases with what came of them; an exception of ours is that, too."""
    while (message := receive()) is not None:
        try:
            result = judging.with_names(Path(message.decode()))
        except Exception as error:
            result = f"ended: {type(error).__name__}: {error}"
        send(result.encode())


def kind(result: str) -> str:
    """Returns which of `KINDS` a result is."""
    if result.startswith("not compared, random"):
        return "random"
    if result.startswith("equal"):
        return "not proven" if judging.NO_SAMPLE in result else "equal"
    return next((kind for kind in ("stops", "ended") if result.startswith(f"{kind}:")), "wrong")


def table(results: dict[str, str]) -> str:
    """Returns a table of how many of each file's graphs came to what, from name -> result."""
    counts: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for name, result in results.items():
        for row in (name.split(".")[0], "all"):
            counts[row][kind(result)] += 1
    rows = sorted(counts.items(), key=lambda row: (row[0] == "all", row[0]))
    lines = [f"| tests | graphs | {' | '.join(KINDS)} |", "|---|" + "---|" * (1 + len(KINDS))]
    for name, count in rows:
        cells = [str(count[kind] or "") for kind in KINDS]
        lines.append(f"| {name} | {sum(count.values())} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
