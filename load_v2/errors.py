"""LoadError, and its messages."""

import contextlib
import functools
import os
from collections.abc import Iterator

from export_v1 import errors
from export_v1.errors import SHOWN as SHOWN
from export_v1.errors import closest as closest
from export_v1.errors import quoted as quoted
from export_v1.errors import reason as reason


class LoadError(errors.UserError):
    """Step 2 cannot do what was asked; the message is complete in itself and is printed without a traceback."""


unknown = functools.partial(errors.unknown, error=LoadError)
no_path = functools.partial(errors.no_path, error=LoadError)


def path_of(given: object) -> str:
    """Returns the path of a folder as text.

    Raises:
        LoadError: it is no path, for example what tf.saved_model.load returned.
    """
    if isinstance(given, (str, os.PathLike)):
        return os.fspath(given)
    kind = f"{type(given).__module__}.{type(given).__qualname__}"
    raise LoadError(
        f"The path of a folder is needed here, and this is a {kind}.\n  Pass the --export_dir of step 1, or the folder that "
        "was loaded; SignatureLayer alone also takes what tf.saved_model.load returned."
    )


@contextlib.contextmanager
def blamed(
    what: str, remedy: str = "It is damaged, or was written by an incompatible TensorFlow. Export again."
) -> Iterator[None]:
    """Where the block fails on what is in a file, raises a LoadError that begins with `what` and has the reason."""
    try:
        yield
    except LoadError:
        raise
    except Exception as error:
        # TensorFlow's loader has classes of its own as well.
        if not isinstance(error, _failures()) and type(error).__module__.partition(".")[0] != "tensorflow":
            raise
        kind = "" if isinstance(error, ValueError) or hasattr(error, "error_code") else f"{type(error).__name__}: "
        raise LoadError(f"{what}: {kind}{reason(error)}\n  {remedy}") from error


def _failures() -> tuple[type[Exception], ...]:
    """Returns what TensorFlow, protobuf and this package raise on files that are damaged."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    plain = (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, MemoryError)
    return (*plain, tf.errors.OpError, DecodeError)
