"""Files and folders that appear whole, when they are finished, or not at all."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

from export_v1.console import outcome, unfinished
from load_v2.errors import LoadError

_PREFIX = ".load_v2-unfinished-"


@contextlib.contextmanager
def file(path: str) -> Iterator[BinaryIO]:
    """Yields a new file to write; it takes the place of `path` when the block ends well.

    Raises:
        LoadError: it cannot be written.
    """
    with published(path) as part, open(part, "wb+") as stream:
        yield stream


@contextlib.contextmanager
def folder(path: str) -> Iterator[str]:
    """Yields a new folder; it takes the name `path`, which must not exist yet, when the block ends well.

    Raises:
        LoadError: there is something, or it cannot be written.
    """
    path = os.path.abspath(path)
    if os.path.lexists(path):
        raise LoadError(f"{path!r} already exists.\n  Name a new folder.")
    with _told(path), unfinished.folder(_beside(path), _PREFIX) as part:
        yield part
        unfinished.finish(part)
        os.chmod(part, 0o777 & ~_umask())
        outcome.about_to_appear(part, path)
        os.rename(part, path)
        unfinished.sync(os.path.dirname(path))


@contextlib.contextmanager
def published(path: str, suffix: str = "", size: int = 0) -> Iterator[str]:
    """Yields the path of a file to write, with that ending; it takes the place of `path` when the block ends well.

    Raises:
        LoadError: there is no room for `size` bytes, or the file cannot be written.
    """
    path = os.path.realpath(path)
    with _told(path), unfinished.folder(_beside(path), _PREFIX) as parts:
        part = os.path.join(parts, f"out{suffix}")
        _refuse_without_room(part, size)
        yield part
        unfinished.sync(part)
        os.chmod(part, 0o666 & ~_umask())
        outcome.about_to_appear(part, path)
        os.replace(part, path)
        unfinished.sync(os.path.dirname(path))


@contextlib.contextmanager
def scratch(path: str) -> Iterator[str]:
    """Yields a folder on the disk of `path` that goes away when the block ends.

    Raises:
        LoadError: it cannot be written.
    """
    path = os.path.realpath(path)
    with _told(path), unfinished.folder(_beside(path), _PREFIX) as parts:
        yield parts


@contextlib.contextmanager
def temporary(size: int = 0) -> Iterator[str]:
    """Yields a folder among the system's temporary ones that goes away when the block ends.

    Raises:
        LoadError: there is no room for `size` bytes, or the block found none for what it wrote.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="load_v2_") as path:
            _refuse_without_room(os.path.join(path, "room"), size)
            yield path
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise LoadError(
            f"There is no room for temporary files in {tempfile.gettempdir()!r}: {error.strerror}.\n"
            "  Free some space there, or name a folder on another disk: TMPDIR=DIR"
        ) from error


def room(model) -> int:
    """Returns how many bytes a file of a Keras model's weights may take."""
    # What HDF5 adds to the numbers themselves is some kilobytes for each weight.
    return sum(_bytes(weight) + 4096 for weight in model.weights)


def _bytes(weight) -> int:
    return weight.value.dtype.size * (weight.value.shape.num_elements() or 0)


def _beside(path: str) -> str:
    parent = os.path.dirname(path)
    try:
        unfinished.parents(parent)
    except OSError as error:
        raise LoadError(f"{parent!r} cannot be made: {error.strerror or error}.") from error
    return parent


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _refuse_without_room(part: str, size: int) -> None:
    """Raises OSError where a file of that size cannot be there: HDF5 crashes when the disk is full at its end."""
    if size:
        with open(part, "wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, size)
        os.unlink(part)


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
    """Turns what the system says in the block about `path` into a LoadError."""
    try:
        yield
    except OSError as error:
        raise LoadError(
            f"{path!r} cannot be written: {error.strerror or error}.\n  Free some space, or choose another path."
        ) from error
