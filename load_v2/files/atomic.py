"""Files and folders that appear whole, when they are finished, or not at all."""

import os
import shutil
import tempfile

from load_v2.errors import LoadError


def _beside(path: str) -> str:
    folder = os.path.dirname(os.path.abspath(path))
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise LoadError(f"{folder!r} cannot be made: {error.strerror}.") from error
    return folder


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
            handle, self.part = tempfile.mkstemp(prefix=".part_", dir=_beside(self._path))
        except OSError as error:
            raise LoadError(f"{self._path!r} cannot be written: {error.strerror}.") from error
        self._stream = os.fdopen(handle, "wb+")
        return self._stream

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self._stream.flush()
                os.fsync(self._stream.fileno())
                os.chmod(self.part, 0o666 & ~_umask())
                os.replace(self.part, self._path)
                sync(os.path.dirname(self._path))
        finally:
            self._stream.close()
            if os.path.exists(self.part):
                os.unlink(self.part)
        return False


class Folder:
    """`with Folder(path) as new`: the new folder takes the name `path`, which must not be there yet, when the block ends well."""

    def __init__(self, path: str):
        self._path = os.path.abspath(path)

    def __enter__(self) -> str:
        if os.path.lexists(self._path):
            raise LoadError(f"{self._path!r} is there already.\n  Name a new folder.")
        self._part = tempfile.mkdtemp(prefix=".part_", dir=_beside(self._path))
        return self._part

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                os.chmod(self._part, 0o777 & ~_umask())
                os.rename(self._part, self._path)
                sync(os.path.dirname(self._path))
        finally:
            if os.path.isdir(self._part):
                shutil.rmtree(self._part, ignore_errors=True)
        return False


def sync(folder: str) -> None:
    """Makes a rename in `folder` survive a power cut, where the system can."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
