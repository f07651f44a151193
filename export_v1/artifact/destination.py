"""A folder that appears whole or not at all."""

import contextlib
import ctypes
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator

from export_v1 import errors
from export_v1.console import outcome

# Linux: swap two paths in one step. (renameat2(2); AT_FDCWD is -100, RENAME_EXCHANGE is 2.)
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextlib.contextmanager
def whole(path: str, overwrite: bool = False) -> Iterator[str]:
    """Yields a folder to write into; it becomes `path` when the block ends well, and goes away when it does not.

    The folder stands beside `path`, so that the last step is one rename. Everything in it reaches the disk before. With
    `overwrite`, what stood at `path` stays there until that step.

    Raises:
        ExportError: `path` exists and `overwrite` is false, or it cannot be written.
    """
    path = os.path.realpath(path)
    check_free(path, overwrite)
    parent, name = os.path.split(path)
    if os.path.exists(path):
        sweep(parent, f".{name}.old-")
    with partial(parent, f".{name}.partial-", path) as folder:
        yield folder
        sync(folder)
        check_free(path, overwrite)
        _publish(folder, path)


@contextlib.contextmanager
def partial(parent: str, prefix: str, path: str) -> Iterator[str]:
    """Yields a new folder in `parent` that goes away when the block ends, unless it has been renamed.

    Args:
        parent: made where it is missing.
        prefix: what its name starts with.
        path: what the export is called in messages.

    Raises:
        ExportError: the folder cannot be made, or something in the block could not be written.
    """
    try:
        os.makedirs(parent, exist_ok=True)
        sweep(parent, prefix)
        folder = _made(parent, prefix)
    except OSError as error:
        raise errors.ExportError(
            f"Folder {path!r} cannot be made: {error.strerror}.\n  Pass another --export_dir=DIR."
        ) from error
    try:
        yield folder
    except OSError as error:
        raise errors.ExportError(
            f"The export cannot be written to {path!r}: {error.strerror or error}.\n"
            f"  {_free_space(parent)}Make room, or pass another --export_dir=DIR."
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _made(parent: str, prefix: str) -> str:
    """Returns a new folder whose name says which process on which machine it belongs to."""
    return tempfile.mkdtemp(prefix=f"{prefix}{_machine()}.{os.getpid()}-", dir=parent)


def _machine() -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", socket.gethostname())[:64]


def sweep(parent: str, prefix: str) -> None:
    """Removes the folders that killed runs left: those of processes of this machine that are gone."""
    owned = re.compile(re.escape(f"{prefix}{_machine()}.") + r"(\d+)-[^/]*")
    for name in os.listdir(parent):
        match = owned.fullmatch(name)
        if match and not _is_alive(int(match[1])):
            shutil.rmtree(os.path.join(parent, name), ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        # Of another user.
        pass
    return True


def sweep_for(path: str, versioned: bool = False) -> None:
    """Removes what killed runs left of an export to `path`; see `sweep`."""
    path = os.path.realpath(path)
    parent, prefix = (
        (path, ".partial-") if versioned else (os.path.dirname(path), f".{os.path.basename(path)}.partial-")
    )
    with contextlib.suppress(OSError):
        sweep(parent, prefix)


def check_free(path: str, overwrite: bool) -> None:
    """Checks that an export may go to `path`.

    Raises:
        ExportError: something is there, and is not to be replaced or is no folder.
    """
    if not os.path.lexists(path):
        return
    if not os.path.isdir(path):
        raise errors.ExportError(f"{path!r} exists and is a file.\n  Pass another --export_dir=DIR.")
    if not overwrite and os.listdir(path):
        raise errors.ExportError(
            f"Folder {path!r} exists and is not empty.\n  Pass --overwrite to replace it, or another --export_dir=DIR."
        )


def _publish(partial: str, path: str) -> None:
    os.chmod(partial, 0o755)
    outcome.about_to_appear(partial, path)
    if not os.path.isdir(path):
        os.rename(partial, path)
    elif not os.listdir(path):
        # rename(2) replaces an empty folder.
        os.rename(partial, path)
    elif not _exchange(partial, path):
        aside = _made(os.path.dirname(path), f".{os.path.basename(path)}.old-")
        os.rename(path, aside)
        os.rename(partial, path)
        shutil.rmtree(aside, ignore_errors=True)
    sync_one(os.path.dirname(path))


def _exchange(one: str, other: str) -> bool:
    """Swaps two folders in one step; returns False where the system cannot."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        return libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0
    except (OSError, AttributeError):
        return False


def sync(folder: str) -> None:
    """Makes everything in a folder survive a power cut."""
    for root, _, files in os.walk(folder):
        for file in files:
            sync_one(os.path.join(root, file))
        sync_one(root)


def sync_one(path: str) -> None:
    """Makes one file, or the names in one folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _free_space(folder: str) -> str:
    try:
        return f"{shutil.disk_usage(folder).free / 2**20:,.0f} MiB are free there. "
    except OSError:
        return ""
