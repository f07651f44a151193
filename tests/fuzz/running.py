"""One mutation in a process of its own: what came out, how long it took, how much memory it needed."""

import dataclasses
import os
import pathlib
import pickle
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback

from tests.fuzz import hostile
from tests.fuzz.targets import Target

# A whole export of the material takes one or two seconds. What takes this much processor time hangs, and so does what
# waits for so long: on a machine that does other things as well, time alone says little.
SECONDS = 60
WAITING = 600
# `import tensorflow` and an export of the material take 270 MiB; an allocation beyond this fails.
MEMORY = 8 * 2**30
RESIDENT = 1536
GOOD = ("refused", "same", "changed", "harmless")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a mutation led to.

    Attributes:
        kind: "refused" by an error to read; "same" or "changed": a result, complete, as without damage or another one;
            "harmless": the damage changed nothing. Findings are: "wrong": a result that must have been the same;
            "defect": another exception; "let in": a canary was written; "left": files left behind; "died": the process;
            "hung"; "memory".
        target: name of the target.
        seed: of the mutation.
        done: what the damage was.
        said: the error.
        seconds: of processor time that it took.
        peak: largest resident size in MiB.
    """

    kind: str
    target: str
    seed: int
    done: str
    said: str
    seconds: float
    peak: float

    @property
    def is_finding(self) -> bool:
        return self.kind not in GOOD


def one(target: Target, seed: int, material: pathlib.Path, clean: object = None) -> Outcome:
    """Returns what one mutation leads to; the same for the same seed.

    Args:
        target: what is damaged.
        seed: of the generator.
        material: where `targets.prepare` wrote.
        clean: what comes out without damage, for targets that say so.
    """
    folder = pathlib.Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        return _forked(target, seed, material, folder, clean)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def undamaged(target: Target, material: pathlib.Path) -> object:
    """Returns what comes out of the material as it is."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        whole = dataclasses.replace(target, damage=lambda *_: "nothing", exact=False)
        outcome = _forked(whole, 0, material, folder, None)
        if outcome.kind != "changed":
            raise RuntimeError(f"{target.name}: undamaged, it ends as {outcome}")
        with open(folder / "result", "rb") as file:
            return pickle.load(file)["result"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _forked(target: Target, seed: int, material: pathlib.Path, folder: pathlib.Path, clean) -> Outcome:
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        _in_child(target, seed, material, folder, clean)
    hung = not _ended(child, start + WAITING)
    if hung:
        os.kill(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    seconds, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
    told = {"kind": "died", "done": "", "said": _end_of(folder / "said")}
    if (folder / "result").exists():
        with open(folder / "result", "rb") as file:
            told |= pickle.load(file)
    if hung or os.waitstatus_to_exitcode(status) == -signal.SIGXCPU:
        told["kind"] = "hung"
    elif os.waitstatus_to_exitcode(status) != 0:
        told |= {"kind": "died", "said": f"{os.waitstatus_to_exitcode(status)}: {_end_of(folder / 'said')}"}
    elif peak > RESIDENT:
        told["kind"] = "memory"
    return Outcome(told["kind"], target.name, seed, told["done"], told["said"], seconds, peak)


def _ended(child: int, deadline: float) -> bool:
    while time.monotonic() < deadline:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return True
        time.sleep(0.005)
    return False


def _in_child(target: Target, seed: int, material: pathlib.Path, folder: pathlib.Path, clean) -> None:
    try:
        with open(folder / "said", "wb") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 10))
        # What a process that died meanwhile was doing.
        _tell(folder, {"kind": "died", "done": "?", "said": ""})
        _tell(folder, _tried(target, seed, material, folder, clean))
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(99)
    os._exit(0)


class _LetInError(BaseException):
    """The canary is there."""


def _tell(folder: pathlib.Path, what: dict) -> None:
    with open(folder / "result", "wb") as file:
        pickle.dump(what, file)


def _tried(target: Target, seed: int, material: pathlib.Path, folder: pathlib.Path, clean) -> dict:
    rng = random.Random(f"{target.name} {seed}")
    copy, out = folder / target.material, folder / "out"
    shutil.copytree(material / target.material, copy)
    if target.material == "words":
        os.symlink(material / "lookup_vocab_export", folder / "lookup_vocab_export")
    os.mkdir(out)
    hostile.canary = str(folder / "canary")
    done = target.damage(copy, rng)
    _tell(folder, {"kind": "died", "done": done, "said": ""})
    try:
        try:
            result = target.use(copy, out)
        finally:
            if os.path.exists(hostile.canary):
                raise _LetInError
    except _LetInError:
        return {"kind": "let in", "done": done, "said": traceback.format_exc()}
    except Exception as error:
        names = {one.__name__ for one in type(error).__mro__}
        said = f"{type(error).__name__}: {error}"
        if not names & set(target.refusals):
            return {"kind": "defect", "done": done, "said": traceback.format_exc()}
        if os.listdir(out):
            return {"kind": "left", "done": done, "said": f"{os.listdir(out)}; {said}"}
        return {"kind": "refused", "done": done, "said": said}
    if clean is None:
        return {"kind": "changed", "done": done, "said": "", "result": result}
    if result == clean:
        return {"kind": "same", "done": done, "said": ""}
    return {"kind": "wrong" if target.exact else "changed", "done": done, "said": f"{result!r:.300}"}


def _end_of(path: pathlib.Path) -> str:
    if not path.exists():
        return ""
    lines = [line for line in path.read_text(errors="replace").splitlines() if "cudart_stub" not in line]
    return "\n".join(lines[-12:])
