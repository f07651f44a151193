"""The command in a process of its own, so that whatever ends it is one message.

A graph from a stranger can make TensorFlow abort, or fill the memory until the system kills. No `except` sees that; the
process that waits for it does. Nothing here needs TensorFlow: the fork comes before its import.
"""

import atexit
import contextlib
import ctypes
import faulthandler
import os
import signal
import sys
from collections.abc import Callable

from export_v1.console import outcome

# prctl(2): the signal that a process gets when its parent is gone.
_SET_PARENT_DEATH_SIGNAL = 1
_FORWARDED = (signal.SIGTERM, signal.SIGHUP)
_WHY: dict[int, str] = {
    signal.SIGKILL: "it was killed, most often because memory ran out",
    signal.SIGXFSZ: "a file grew larger than allowed (ulimit -f)",
    signal.SIGXCPU: "it used more CPU time than allowed (ulimit -t)",
    signal.SIGALRM: "the graph did not answer the sample in time, most likely because of an endless loop; --no_sample skips that",
}
# Whether this process is one that `supervised` has started.
_is_supervised = False


def supervised(main: Callable[[], int], name: str, clear: Callable[[], None] = lambda: None) -> int:
    """Returns the exit code of `main` run in a child process; where a signal ended the child, says so and returns 1.

    SIGTERM and SIGHUP are handed on, unless they are ignored here, as SIGHUP is under nohup; when this process is
    killed outright, the child gets SIGTERM and cleans up.

    Args:
        main: what to run; its exit code.
        name: of the command, for the message.
        clear: called where the child has failed, to remove what it left: a signal can come between the making of a
            folder and the block that would remove it.
    """
    if not hasattr(os, "fork"):
        return main()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        begin(signal.SIGTERM)
        _end(main())

    def hand_on(number, frame):
        # The child may be gone, and this process about to say so.
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    for number in _heard():
        signal.signal(number, hand_on)
    # The terminal sends Ctrl-C to both; the child says what there is to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code:
        clear()
    if code >= 0:
        return code
    print(
        f"{name}: the process ended by {signal.Signals(-code).name}; {outcome.text()}.\n  Why: {_why(-code)}.",
        file=sys.stderr,
    )
    return 1


def begin(when_alone: signal.Signals) -> None:
    """Makes this process a supervised one: another waits for it, and says what ended it.

    Args:
        when_alone: the signal that it gets when the other is gone.
    """
    global _is_supervised
    _is_supervised = True
    # absl has switched it on; this process has a parent that says what there is to say.
    faulthandler.disable()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, when_alone)


def _why(number: int) -> str:
    return _WHY.get(number, "TensorFlow crashes like this on a graph or a file that is damaged or malicious")


def why_ended(number: int) -> str:
    """Returns by which signal a process ended, and why that happens."""
    return f"it ended by {signal.Signals(number).name}: {_why(number)}"


def _heard() -> list[signal.Signals]:
    """Returns the signals that end a command, without those that whoever started it has it ignore."""
    return [number for number in _FORWARDED if signal.getsignal(number) is not signal.SIG_IGN]


@contextlib.contextmanager
def time_limit(seconds: float):
    """Ends a supervised process that is still in the block after so long, whatever C++ code it is in.

    A process that nobody supervises is left alone: it is the user's own, and nothing would say why it ended.
    """
    if not _is_supervised:
        yield
        return
    # The default action ends the process, and the parent tells why; a handler would wait for Python to come back.
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _end(code: int) -> None:
    """Ends this process after its exit handlers, without taking TensorFlow apart module by module: that takes 0.7 s."""
    # Private, and the only way to run the handlers, which remove temporary folders. CPython 3.10 to 3.13.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextlib.contextmanager
def interruptible():
    """Makes SIGTERM and SIGHUP what Ctrl-C is: a KeyboardInterrupt, after which everything half-written goes away."""
    received = []

    def interrupt(number, frame):
        received.append(number)
        raise KeyboardInterrupt

    # Ctrl-C as well, unless it is ignored here, as in a job in the background.
    listens = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    try:
        before = {n: signal.signal(n, interrupt) for n in (*_heard(), *([signal.SIGINT] if listens else []))}
    except ValueError:
        # Not in the main thread: whoever runs this there has handlers of their own.
        before = {}
    try:
        yield
    except Exception as error:
        # TensorFlow's C++ code makes a RuntimeError of a KeyboardInterrupt that comes while it calls Python.
        if received:
            raise KeyboardInterrupt from error
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
