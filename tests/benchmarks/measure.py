"""How things are measured: whole processes, side by side, taking turns, and written as tables."""

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

PYTHON = sys.executable
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@dataclasses.dataclass(frozen=True)
class Run:
    """One process from start to end: seconds, seconds of processor time, and its largest resident size in MiB."""

    wall: float
    processor: float
    peak: float


def process(*command: str, quiet: bool = True) -> Run:
    """Runs a command to its end and returns what it took.

    The caller has to be small: Linux counts a child's peak from its parent's size, and never lets it fall.

    Raises:
        RuntimeError: it failed; with what it printed.
    """
    out = subprocess.PIPE if quiet else None
    start = time.perf_counter()
    with subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=out, stderr=subprocess.STDOUT) as child:
        printed = child.stdout.read() if quiet else b""
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {child.returncode}\n{printed.decode(errors='replace')}")
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def environment() -> dict[str, str]:
    """Returns the environment for child processes: the packages found, TensorFlow quiet."""
    path = os.pathsep.join(filter(None, (ROOT, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}


def alternating(sides: Mapping[str, Callable[[], object]], repetitions: int) -> dict[str, list]:
    """Returns what each side returned, `repetitions` times; they take turns, so that noise falls on all of them."""
    found = {name: [] for name in sides}
    for round_ in range(repetitions):
        order = list(sides) if round_ % 2 == 0 else list(reversed(sides))
        for name in order:
            found[name].append(sides[name]())
    return found


def seconds(call: Callable[[], object]) -> float:
    """Returns how long a call took."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def shown(values: Sequence[float], unit: str = "s") -> str:
    """Returns a median with its range, "1.20 s (1.10-1.35)"."""
    digits = 0 if min(values) >= 100 else 1 if min(values) >= 10 else 2
    middle, low, high = (f"{value:.{digits}f}" for value in (statistics.median(values), min(values), max(values)))
    return f"{middle} {unit} ({low}-{high})"


def ratio(values: Sequence[float], to: Sequence[float]) -> float:
    """Returns the median of the ratios of runs that stood side by side."""
    return statistics.median(one / other for one, other in zip(values, to, strict=True))


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Returns a table as Markdown has it."""
    lines = [" | ".join(map(str, row)) for row in (head, *rows)]
    lines.insert(1, " | ".join("---" for _ in lines[0].split(" | ")))
    return "\n".join(f"| {line} |" for line in lines)


class Worker:
    """A child process that answers lines of JSON: a request in, an answer out."""

    def __init__(self, *command: str):
        self._command = command
        self._child = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def ask(self, request: object) -> object:
        """Returns the answer to a request.

        Raises:
            RuntimeError: the process has ended.
        """
        self._child.stdin.write(json.dumps(request).encode() + b"\n")
        self._child.stdin.flush()
        for line in self._child.stdout:
            if line.startswith(b"{"):
                return json.loads(line)
        raise RuntimeError(f"{' '.join(self._command)} ended with exit code {self._child.wait()}")

    def end(self) -> None:
        """Ends the process."""
        self._child.stdin.close()
        self._child.wait()
        self._child.stdout.close()
