"""Changes made in copies of the tree, each in a process of its own that runs the tests named.

The process is forked from one that has imported what takes long, and imports the project from its copy.
"""

import dataclasses
import importlib
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tests.mutants import lists
from tests.mutants.change import Change

# What waits for this many times the processor time that it may take hangs: with other work beside it, time alone says
# little.
_WAITING = 5
NOTICED, SURVIVED, MISFIT, UNPROVEN = "noticed", "SURVIVED", "does not apply", "unproven"


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of a change.

    Attributes:
        change: the change.
        kind: NOTICED; SURVIVED: its tests pass; MISFIT: it does not apply; UNPROVEN: its tests fail without it as well.
        said: the test that fails, or what else there is to say.
        seconds: from start to end.
    """

    change: Change
    kind: str
    said: str
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class Unchanged:
    """How the tests end in a tree without any change.

    Attributes:
        failing: id of each test that fails, or file that does not run to its end -> the end of what it said.
        ran: ids of all tests that ran.
    """

    failing: Mapping[str, str]
    ran: frozenset[str]

    def proves(self, test: str) -> bool:
        """Whether a test, or all tests of a file, ran and passed."""
        return any(_within(one, test) for one in self.ran) and not any(
            _within(one, test) or _within(test, one) for one in self.failing
        )


def _within(one: str, other: str) -> bool:
    return one == other or one.startswith((f"{other}::", f"{other}["))


def preload(modules: Iterable[str]) -> None:
    """Imports what every process forked from here needs. It must not start threads: sessions, eager ops."""
    for module in modules:
        importlib.import_module(module)


def unchanged(changes: Iterable[Change], root: pathlib.Path, jobs: int, seconds: int) -> Unchanged:
    """Runs once, without any change, all tests that the changes name, one process for each file."""
    by_file: dict[str, list[str]] = {}
    for test in dict.fromkeys(test for change in changes for test in change.tests):
        if (root / test.partition("::")[0]).is_file():
            by_file.setdefault(test.partition("::")[0], []).append(test)
    tasks = [_Task(tuple([file] if file in tests else tests)) for file, tests in by_file.items()]
    failing, ran = {}, set()
    for end in _ends(tasks, root, jobs, seconds, stop_early=False):
        ran.update(end.ran)
        failing.update({test: end.said for test in end.failed})
        if end.code != 0 and not end.failed:
            failing[end.task.tests[0].partition("::")[0]] = f"{end.why}\n{end.said}"
    return Unchanged(failing, frozenset(ran))


def run(changes: Sequence[Change], root: pathlib.Path, before: Unchanged, jobs: int, seconds: int) -> Iterator[Result]:
    """Yields what became of each change, in the order in which they end.

    Args:
        changes: what to try.
        root: top of the tree; it is only read.
        before: how the tests end without them; those that fail are left out.
        jobs: how many at a time.
        seconds: of processor time that each may take.
    """
    tasks = []
    for change in changes:
        misfit, tests = lists.problem(change, root), tuple(filter(before.proves, change.tests))
        if misfit:
            yield Result(change, MISFIT, misfit)
        elif not tests:
            yield Result(change, UNPROVEN, "its tests fail without it, or are not there")
        else:
            tasks.append(_Task(tests, change))
    for end in _ends(tasks, root, jobs, seconds, stop_early=True):
        kind = NOTICED if end.code else SURVIVED
        yield Result(end.task.change, kind, ", ".join(end.failed[:1]) or end.why, end.seconds)


@dataclasses.dataclass(frozen=True)
class _Task:
    tests: tuple[str, ...]
    change: Change | None = None


@dataclasses.dataclass(frozen=True)
class _End:
    task: _Task
    code: int
    why: str
    seconds: float
    ran: Sequence[str]
    failed: Sequence[str]
    said: str


@dataclasses.dataclass(frozen=True)
class _Running:
    task: _Task
    copy: pathlib.Path
    folder: pathlib.Path
    start: float


def _ends(tasks: Iterable[_Task], root: pathlib.Path, jobs: int, seconds: int, stop_early: bool) -> Iterator[_End]:
    waiting, running = list(reversed(list(tasks))), {}
    with tempfile.TemporaryDirectory(prefix="mutants-") as made:
        folder = pathlib.Path(made)
        free = [_copied(root, folder / f"tree-{number}") for number in range(min(jobs, len(waiting)))]
        try:
            while waiting or running:
                while waiting and free:
                    task, copy = waiting.pop(), free.pop()
                    place = pathlib.Path(tempfile.mkdtemp(dir=folder))
                    _write(task.change, root, copy)
                    running[_forked(task, copy, place, seconds, stop_early)] = _Running(
                        task, copy, place, time.monotonic()
                    )
                child, hung = _next(running, _WAITING * seconds)
                one = running.pop(child)
                yield _end(child, one, hung)
                _restore(one.task.change, root, one.copy)
                shutil.rmtree(one.folder, ignore_errors=True)
                free.append(one.copy)
        finally:
            for child in running:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)


def _copied(root: pathlib.Path, to: pathlib.Path) -> pathlib.Path:
    """Copies what a commit of everything would hold; outside of a repository, all but hidden and compiled files."""
    asked = ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "."]
    listed = subprocess.run(asked, capture_output=True)
    if listed.returncode:
        shutil.copytree(root, to, ignore=shutil.ignore_patterns(".*", "__pycache__", "*.egg-info"))
        return to
    for name in map(os.fsdecode, filter(None, listed.stdout.split(b"\0"))):
        # A file that is deleted and not yet committed is listed all the same.
        if (root / name).exists():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, to / name)
    return to


def _write(change: Change | None, root: pathlib.Path, copy: pathlib.Path) -> None:
    if change:
        (copy / change.file).write_text(lists.changed(change, root))
        _forget_compiled(copy / change.file)


def _restore(change: Change | None, root: pathlib.Path, copy: pathlib.Path) -> None:
    if change:
        shutil.copy2(root / change.file, copy / change.file)
        _forget_compiled(copy / change.file)


def _forget_compiled(path: pathlib.Path) -> None:
    # Python takes a compiled file for the right one by size and second of the source, which two changes may share.
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
        compiled.unlink()


def _next(running: Mapping[int, _Running], limit: float) -> tuple[int, bool]:
    """Waits until a child ends or has run for too long; returns it, and whether it has."""
    while True:
        for child, one in running.items():
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return child, False
            if time.monotonic() - one.start > limit:
                return child, True
        time.sleep(0.02)


def _end(child: int, one: _Running, hung: bool) -> _End:
    # With what its tests have started.
    os.killpg(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    told = one.folder / "told"
    record = json.loads(told.read_text()) if told.exists() else {"ran": [], "failed": [], "ended": False}
    said = (one.folder / "said").read_text(errors="replace") if (one.folder / "said").exists() else ""
    why = "its tests pass" if record["ended"] and code == 0 else f"the process ends with {code}"
    why = "times out" if hung or code == -signal.SIGXCPU else why
    # A process that ends amid the tests has not passed them, whatever it says.
    code = code if record["ended"] else code or 1
    return _End(one.task, code, why, time.monotonic() - one.start, record["ran"], record["failed"], said[-3000:])


def _forked(task: _Task, copy: pathlib.Path, place: pathlib.Path, seconds: int, stop_early: bool) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        os.setsid()
        with open(place / "said", "wb") as said, open(os.devnull, "rb") as nothing:
            os.dup2(nothing.fileno(), 0)
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 10))
        code = _in_child(task, copy, place, stop_early)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _in_child(task: _Task, copy: pathlib.Path, place: pathlib.Path, stop_early: bool) -> int:
    import pytest

    (place / "tmp").mkdir()
    # Programs that tests start find the copy, too. With CI set, generated examples are the same each time.
    os.environ.update(PYTHONPATH=str(copy), TMPDIR=str(place / "tmp"), CI="1")
    tempfile.tempdir = None
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    own = {path.stem for path in copy.iterdir()}
    for name in [name for name in sys.modules if name.partition(".")[0] in own]:
        del sys.modules[name]
    importlib.invalidate_caches()
    record = _Record(place / "told")
    options = ["-q", "-p", "no:cacheprovider", f"--rootdir={copy}", f"--basetemp={place / 'pytest'}", "--tb=short"]
    # What is imported before the fork is pytest's plugin, too, and warnings are errors.
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return int(pytest.main([*options, *(["-x"] if stop_early else []), *task.tests], plugins=[record]))


class _Record:
    """A plugin of pytest that writes down which tests ran and which failed, as it goes: the process may be killed."""

    def __init__(self, path: pathlib.Path):
        self._path = path
        self._ran: list[str] = []
        self._failed: list[str] = []
        self._ended = False

    def pytest_runtest_logreport(self, report):
        if report.when == "call":
            self._ran.append(report.nodeid)
        self._note(report)

    def pytest_collectreport(self, report):
        self._note(report)

    def pytest_sessionfinish(self):
        self._ended = True
        self._write()

    def _note(self, report):
        if report.failed:
            self._failed.append(report.nodeid)
        self._write()

    def _write(self):
        self._path.write_text(json.dumps({"ran": self._ran, "failed": self._failed, "ended": self._ended}))
