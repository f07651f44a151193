"""Files and folders that appear whole, when they are finished, or not at all."""

import contextlib
import os
import re
import shutil
import socket
import tempfile

from export_v1.console import outcome
from load_v2.errors import LoadError


def _beside(path: str) -> str:
    folder = os.path.dirname(os.path.abspath(path))
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise LoadError(f"{folder!r} cannot be made: {error.strerror}.") from error
    return folder


def new_file(folder: str, suffix: str = "") -> tuple[int, str]:
    """Returns a new hidden file, opened, and its path; its name says which process on which machine it belongs to."""
    sweep(folder)
    return tempfile.mkstemp(suffix=suffix, prefix=f"{_own()}{os.getpid()}-", dir=folder)


def new_folder(folder: str) -> str:
    """Returns a new hidden folder in `folder`, named as `new_file` names files."""
    sweep(folder)
    return tempfile.mkdtemp(prefix=f"{_own()}{os.getpid()}-", dir=folder)


def _own() -> str:
    return f".part_{re.sub('[^A-Za-z0-9_]', '_', socket.gethostname())[:64]}."


def sweep(folder: str) -> None:
    """Removes what killed runs left in `folder`: that of processes of this machine that are gone."""
    owned = re.compile(re.escape(_own()) + r"(\d+)-.*")
    for name in os.listdir(folder):
        match = owned.fullmatch(name)
        if match and not _is_alive(int(match[1])):
            path = os.path.join(folder, name)
            if os.path.isdir(path):
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    os.unlink(path)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        # Of another user.
        pass
    return True


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


class File:
    """`with File(path) as stream`: a new file takes the place of `path` when the block ends without an error."""

    def __init__(self, path: str):
        self._path = os.path.realpath(path)

    def __enter__(self):
        try:
            handle, self.part = new_file(_beside(self._path))
        except OSError as error:
            raise LoadError(f"{self._path!r} cannot be written: {error.strerror}.") from error
        self._stream = os.fdopen(handle, "wb+")
        return self._stream

    def __exit__(self, kind, error, trace):
        with _told(self._path, error):
            return self._closed(kind)

    def _closed(self, kind) -> bool:
        try:
            if kind is None:
                self._stream.flush()
                os.fsync(self._stream.fileno())
                os.chmod(self.part, 0o666 & ~_umask())
                outcome.about_to_appear(self.part, self._path)
                os.replace(self.part, self._path)
                sync(os.path.dirname(self._path))
        finally:
            with contextlib.suppress(OSError):
                self._stream.close()
            if os.path.exists(self.part):
                os.unlink(self.part)
        return False


class Folder:
    """`with Folder(path) as new`: `new` takes the name `path`, which must not exist yet, when the block ends well."""

    def __init__(self, path: str):
        self._path = os.path.abspath(path)

    def __enter__(self) -> str:
        if os.path.lexists(self._path):
            raise LoadError(f"{self._path!r} is there already.\n  Name a new folder.")
        try:
            self._part = new_folder(_beside(self._path))
        except OSError as error:
            raise LoadError(f"{self._path!r} cannot be written: {error.strerror}.") from error
        return self._part

    def __exit__(self, kind, error, trace):
        with _told(self._path, error):
            return self._closed(kind)

    def _closed(self, kind) -> bool:
        try:
            if kind is None:
                os.chmod(self._part, 0o777 & ~_umask())
                outcome.about_to_appear(self._part, self._path)
                os.rename(self._part, self._path)
                sync(os.path.dirname(self._path))
        finally:
            if os.path.isdir(self._part):
                shutil.rmtree(self._part, ignore_errors=True)
        return False


@contextlib.contextmanager
def published(path: str, suffix: str, size: int = 0):
    """Yields the path of a file to write, with that ending; it takes the place of `path` when the block ends well.

    Raises:
        LoadError: there is no room for `size` bytes, or the file cannot be written.
    """
    path = os.path.realpath(path)
    with _told(path):
        folder = new_folder(_beside(path))
        try:
            part = os.path.join(folder, f"out{suffix}")
            _refuse_without_room(part, size)
            yield part
            with open(part, "rb") as stream:
                os.fsync(stream.fileno())
            os.chmod(part, 0o666 & ~_umask())
            outcome.about_to_appear(part, path)
            os.replace(part, path)
            sync(os.path.dirname(path))
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _refuse_without_room(part: str, size: int) -> None:
    """Raises OSError where a file of that size cannot be there: HDF5 crashes when the disk is full at its end."""
    if size:
        with open(part, "wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, size)
        os.unlink(part)


@contextlib.contextmanager
def _told(path: str, error: BaseException | None = None):
    """Turns what the system says about `path`, in the block or as `error` before it, into a LoadError."""
    try:
        yield
    except OSError as failed:
        error = failed
    if isinstance(error, OSError):
        raise LoadError(
            f"{path!r} cannot be written: {error.strerror or error}.\n  Make room, or name another."
        ) from error


def sync(folder: str) -> None:
    """Makes a rename in `folder` survive a power cut, where the system can."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
