"""Python programs as forks of one process that has TensorFlow and Keras imported: most programs here spend most of their
time on that import.

The forked process imports everything else afresh, and no session has run in it.
"""

import json
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Mapping, Sequence

# A program that takes longer hangs.
_SECONDS = 600


class Forks:
    """`with Forks(env) as forks`: runs programs until the block ends."""

    def __init__(self, env: Mapping[str, str]):
        self._env = dict(env)

    def __enter__(self) -> "Forks":
        command = [sys.executable, "-m", __name__]
        self._server = subprocess.Popen(
            command, env=self._env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        return self

    def __exit__(self, *_):
        self._server.stdin.close()
        self._server.stdout.close()
        self._server.wait()

    def run(self, arguments: Sequence, env: Mapping[str, str] | None = None, cwd=None) -> subprocess.CompletedProcess:
        """Runs `python ARGUMENTS`, which begin with "-m" and a module or "-c" and code, as subprocess.run does."""
        arguments = [str(one) for one in arguments]
        with tempfile.TemporaryDirectory(prefix="forks-") as folder:
            said = {1: f"{folder}/stdout", 2: f"{folder}/stderr"}
            asked = {
                "arguments": arguments,
                "env": dict(env or self._env),
                "cwd": str(cwd or os.getcwd()),
                "said": said,
            }
            self._server.stdin.write(json.dumps(asked) + "\n")
            self._server.stdin.flush()
            code = int(self._server.stdout.readline())
            stdout, stderr = (pathlib.Path(path).read_text() for path in said.values())
        return subprocess.CompletedProcess(arguments, code, stdout, stderr)


def _serve() -> dict | None:
    """Forks for each line of standard input; returns what the line asks for in the new process, None in this one."""
    import keras  # noqa: F401
    import tensorflow  # noqa: F401

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            return json.loads(line)
        print(_ended(child), flush=True)
    return None


def _ended(child: int) -> int:
    deadline = time.monotonic() + _SECONDS
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.005)


def _become(asked: dict) -> None:
    os.setsid()
    streams = {0: os.open(os.devnull, os.O_RDONLY)}
    for number, path in asked["said"].items():
        streams[int(number)] = os.open(path, os.O_WRONLY | os.O_CREAT)
    for number, opened in streams.items():
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    kind, what, *arguments = asked["arguments"]
    sys.path[0] = asked["cwd"]
    sys.argv = [kind, *arguments]
    if kind == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(what, "<string>", "exec"), vars(sys.modules["__main__"]))


if __name__ == "__main__":
    wanted = _serve()
    if wanted is not None:
        _become(wanted)
