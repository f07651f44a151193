"""What is being written and not finished: a hidden folder, held by a lock as long as its process lives.

The system gives a lock back when a process ends, however it ends, and whatever namespace, container or user it was in; a
process number says nothing outside of its own. So whoever comes next may take away what nobody holds, and nothing else.
A lock is only believed on the machine that it was taken on, since some file systems keep locks to themselves, and some have
none: what is of another machine, or was never locked, counts as left when nothing in it has changed for a day.
"""

import contextlib
import errno
import os
import re
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # not on Windows, where nothing is swept but by its age
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
_BOOT = "/proc/sys/kernel/random/boot_id"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
# A long run writes something every few minutes; an empty folder is one whose process had no time to lock it.
_OLD, _OLD_AND_EMPTY = 24 * 3600, 60


@contextlib.contextmanager
def folder(parent: str, prefix: str) -> Iterator[str]:
    """Yields a new folder in `parent` that goes away when the block ends, unless it has been renamed.

    What killed runs left under the same prefix is swept first.

    Args:
        parent: an existing folder.
        prefix: what its name starts with.

    Raises:
        OSError: it cannot be made.
    """
    sweep(parent, prefix)
    path, held = _made(parent, prefix)
    try:
        yield path
    finally:
        _remove(path)
        if held is not None:
            os.close(held)


def finish(path: str) -> None:
    """Makes a folder survive a power cut, and takes the lock's file out of it, for it is renamed at once."""
    sync_all(path)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(path, LOCK))
    sync(path)


def _remove(path: str) -> None:
    """Removes a folder; killed meanwhile, it leaves what the next run knows to be nobody's."""
    if not os.path.isdir(path):
        return
    with contextlib.suppress(OSError):
        # What was replaced has come here without one.
        lock = os.path.join(path, LOCK)
        if os.path.lexists(lock) and not stat.S_ISREG(os.lstat(lock).st_mode):
            # A link would lead to somebody's file, a pipe to waiting.
            os.unlink(lock)
        with open(os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
            file.write(_machine())
        for entry in list(os.scandir(path)):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            elif entry.name != LOCK:
                os.unlink(entry.path)
    shutil.rmtree(path, ignore_errors=True)


def parents(path: str) -> None:
    """Makes a folder, and those above it, where they are missing.

    Raises:
        OSError: it cannot be made.
    """
    try:
        os.makedirs(path, exist_ok=True)
    except RecursionError as error:
        raise OSError(f"it is {path.count(os.sep):,} folders deep") from error


def _made(parent: str, prefix: str) -> tuple[str, int | None]:
    """Returns a new folder and the descriptor that holds its lock; None where there are no locks."""
    while True:
        path = tempfile.mkdtemp(prefix=prefix, dir=parent)
        if fcntl is None:
            return path, None
        descriptor = os.open(os.path.join(path, LOCK), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(descriptor, _machine())
            if os.stat(os.path.join(path, LOCK)).st_ino == os.fstat(descriptor).st_ino:
                return path, descriptor
        except (BlockingIOError, FileNotFoundError):
            # Somebody sweeps it at this very moment.
            pass
        except OSError as error:
            os.close(descriptor)
            if error.errno in _NO_ROOM:
                shutil.rmtree(path, ignore_errors=True)
                raise
            return path, None
        os.close(descriptor)


def sweep(parent: str, prefix: str) -> None:
    """Removes what runs that ended before their time left in `parent` under a prefix: folders, named as they are here."""
    named = re.compile(re.escape(prefix) + "[a-z0-9_]{8}")
    with os.scandir(parent) as entries:
        left_over = [
            entry.path for entry in entries if named.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
        ]
    for path in left_over:
        with contextlib.suppress(OSError):
            _sweep_one(path)


def _sweep_one(path: str) -> None:
    try:
        descriptor = _locked(path)
    except BlockingIOError:
        return
    try:
        if (descriptor is not None and os.read(descriptor, 200) == _machine()) or _is_old(path):
            _remove(path)
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _locked(path: str) -> int | None:
    """Returns a descriptor that holds the lock of a folder now; None where it has no lock, or there are none here.

    Raises:
        BlockingIOError: another process holds it.
    """
    if fcntl is None:
        return None
    try:
        descriptor = os.open(os.path.join(path, LOCK), os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        # A pipe that somebody has put there: what reads it waits.
        os.close(descriptor)
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _is_old(path: str) -> bool:
    latest, empty, waiting = os.lstat(path).st_mtime, True, [path]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                empty = False
                latest = max(latest, entry.stat(follow_symlinks=False).st_mtime)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
    return time.time() - latest > (_OLD_AND_EMPTY if empty else _OLD)


def _machine() -> bytes:
    """Returns what no two running systems share; containers on one of them do, and so do their locks."""
    try:
        with open(_BOOT, "rb") as file:
            return file.read().strip()
    except OSError:
        return socket.gethostname().encode()


def sync(path: str) -> None:
    """Makes one file, or the names in one folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_all(path: str) -> None:
    """Makes everything in a folder survive a power cut."""
    for root, _, files in os.walk(path):
        for file in files:
            sync(os.path.join(root, file))
        sync(root)
