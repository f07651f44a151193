"""A command from its start to its exit code: what the user can put right is one message, never a traceback."""

import contextlib
import gc
import logging
import os
import sys
from collections.abc import Callable, Iterator

from absl import logging as absl_logging

from export_v1 import errors
from export_v1.console import colour, outcome, supervise


def run(work: Callable[[], int], name: str, *, verbose: bool, interrupted: int = 130, prefix: str = "") -> int:
    """Returns the exit code of a command: that of `work`, or 1 after an error, which is printed.

    Args:
        work: does it; its exit code.
        name: of the command, for messages.
        verbose: whether errors keep their traceback.
        interrupted: exit code after Ctrl-C, SIGTERM or SIGHUP.
        prefix: what the message of an error that the user can put right begins with.
    """
    outcome.forget()
    with contextlib.suppress(AttributeError):
        # A path may have bytes in it that no text has; stderr writes these out by itself.
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        with supervise.interruptible():
            code = work()
            sys.stdout.flush()
            return code
    except BrokenPipeError:
        # Whoever reads the output, such as `head`, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print(f"{name}: interrupted; {outcome.text()}.", file=sys.stderr)
        return interrupted
    except Exception as error:
        if verbose:
            raise
        message = f"{prefix}{error}" if isinstance(error, errors.UserError) else defect(name, error)
        print(colour.error(message, sys.stderr), file=sys.stderr)
        return 1


def defect(name: str, error: Exception) -> str:
    """Returns the message for an error that no user can put right."""
    return (
        f"{name}: {type(error).__name__}: {error}\n  This is a bug in {name.split()[0]}, and {outcome.text()}. "
        "Please report it with what --verbosity=1 prints."
    )


# TensorFlow imports these at its end, for the optimizers in Keras's own SavedModels, and goes on where they are not there.
_EAGER_KERAS = ("keras.src.optimizers", "tf_keras.src.optimizers")


def import_tensorflow(verbose: bool, *, keras: bool = True) -> None:
    """Imports TensorFlow; unless `verbose`, keeps quiet what it says about itself, which is not about the user's model.

    While it is imported, TensorFlow 2.21 says that there is no GPU, twice, before any of its log levels has an effect.

    Args:
        verbose: whether it may speak.
        keras: whether Keras comes along, a sixth of the time. Without, it comes when something first asks for it.
    """
    if not verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        absl_logging.set_verbosity(absl_logging.WARNING)
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with contextlib.nullcontext() if verbose else _silent_stderr(), contextlib.nullcontext() if keras else _left_out():
        import tensorflow  # noqa: F401
    # What was imported stays. To look for garbage in it, again and again, would take a second of a large graph's time.
    gc.freeze()


@contextlib.contextmanager
def _left_out() -> Iterator[None]:
    """In this block the modules that TensorFlow would import eagerly are not there, as Python knows it: None."""
    absent = [name for name in _EAGER_KERAS if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    """Keeps quiet what C++ code writes to stderr meanwhile."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
