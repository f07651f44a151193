"""Work in a process of its own, asked from Python: what a graph does to the process that runs it, it does to that one.

The process is a new one, not a fork: TensorFlow's threads do not survive that. What goes in and out are messages of plain
bytes, which nobody unpickles.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import IO

from export_v1.console import supervise

_LENGTH = 8
_LARGEST = 2**40
# What is read or written at once.
_PIECE = 2**20
_MAIN = "import sys; from export_v1.console import apart; apart.answer(sys.argv[1])"


class EndedError(Exception):
    """The process is gone, or had to be ended; the message says by what, and why that happens."""


class Process:
    """A process that answers messages by a function of some module; ended with `close`, or when this one is gone.

    Args:
        function: "module:function". It gets a function that receives the next message, or None when there is none
            any more, and one that sends an answer.
    """

    def __init__(self, function: str):
        paths = dict.fromkeys(path or os.getcwd() for path in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-c", _MAIN, function],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Nothing of a message may wait here.
            bufsize=0,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )

    def ask(self, message: bytes, seconds: float | None = None) -> bytes:
        """Returns the answer to a message.

        Args:
            message: what the function receives.
            seconds: how long it may take; the process is ended when it takes longer.

        Raises:
            EndedError: the process ended before it answered, or took too long.
        """
        assert self._process.stdin is not None and self._process.stdout is not None, "both are pipes"
        until = None if seconds is None else time.monotonic() + seconds
        try:
            self._write(len(message).to_bytes(_LENGTH, "big") + message, until)
            length = int.from_bytes(self._read(_LENGTH, until), "big")
            if length > _LARGEST:
                raise EOFError
            return self._read(length, until)
        except (EOFError, OSError, ValueError):
            # Python raises the last on a pipe that was closed when the process ended.
            raise EndedError(self._why()) from None
        except BaseException:
            # Whoever interrupts the wait does not want the answer; and half of one is of no use.
            self.close()
            raise

    def _write(self, message: bytes, until: float | None) -> None:
        assert self._process.stdin is not None
        left, descriptor = memoryview(message), self._process.stdin.fileno()
        # Who waits with a limit must not wait in a write, for a process that does not read.
        os.set_blocking(descriptor, until is None)
        while left:
            self._wait(descriptor, select.POLLOUT, until)
            left = left[os.write(descriptor, left[:_PIECE]) :]

    def _wait(self, descriptor: int, event: int, until: float | None) -> None:
        """Waits until a pipe is ready, or its other end is closed."""
        if until is None:
            return
        # select(2) takes no descriptor above 1,023, and a server has more of them.
        ready = select.poll()
        ready.register(descriptor, event)
        left = until - time.monotonic()
        if left < 0 or not ready.poll(left * 1000):
            self.close()
            raise EndedError("it exceeded its time limit")

    def _read(self, length: int, until: float | None) -> bytes:
        assert self._process.stdout is not None
        pieces = []
        while length:
            self._wait(self._process.stdout.fileno(), select.POLLIN, until)
            piece = os.read(self._process.stdout.fileno(), min(length, _PIECE))
            if not piece:
                raise EOFError
            pieces.append(piece)
            length -= len(piece)
        return b"".join(pieces)

    def _why(self) -> str:
        self._close_pipes()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        code = self._process.poll()
        self.close()
        return supervise.why_ended(-code) if code is not None and code < 0 else f"it exited with code {code}"

    def close(self) -> None:
        """Ends the process."""
        self._close_pipes()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()

    def _close_pipes(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()


def _send(stream: IO[bytes], message: bytes) -> None:
    stream.write(len(message).to_bytes(_LENGTH, "big"))
    stream.write(message)
    stream.flush()


def answer(function: str) -> None:
    """Answers messages from the standard input by a function, as `Process` has it; what is printed goes to stderr."""
    receiving, sending = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    supervise.begin(signal.SIGTERM)
    module, _, name = function.partition(":")

    def receive() -> bytes | None:
        length = receiving.read(_LENGTH)
        return receiving.read(int.from_bytes(length, "big")) if len(length) == _LENGTH else None

    work: Callable = getattr(__import__(module, fromlist=[name]), name)
    work(receive, lambda message: _send(sending, message))


def packed(values: object) -> bytes:
    """Returns plain values as a message."""
    return json.dumps(values, default=_plain).encode()


def _plain(value: object):
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a supervised process takes plain values, and {value!r} is a {type(value).__name__}")
