"""A packed SavedModel (.tar.gz, as Hub modules travel), unpacked where nothing else is."""

import lzma
import os
import shutil
import tarfile
import tempfile
import weakref
import zlib

from export_v1 import errors
from export_v1.format import packed
from export_v1.source.kinds import PACKED

_PIECE = 2**20


class Unpacked:
    """A folder that exists as long as this object does, and at the longest as long as the process."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="export_v1-")
        self._remove = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def remove(self) -> None:
        """Removes the folder now."""
        self._remove()


def is_packed(path: str) -> bool:
    """Returns whether a file is a tar archive, by its name or by what is in it (hub's cache drops the ending)."""
    return path.endswith(PACKED) or (os.path.getsize(path) > 0 and tarfile.is_tarfile(path))


def unpacked(path: str) -> Unpacked:
    """Returns the archive's files and folders in a new folder of their own.

    Raises:
        ExportError: it is no archive or only half of one, or a member of it would be written elsewhere or is no plain
            file: an absolute path, a "..", a link, a device.
    """
    made = Unpacked()
    try:
        with tarfile.open(path) as archive:
            # One after the other: a list of all would be as large as whoever packed it likes.
            sizes = ((member.name, member.size) for member in archive)
            packed.check(path, sizes, errors.ExportError, "If you trust where it is from, unpack it yourself.")
            members = archive.getmembers()
            for member in members:
                _refuse(member, path)
            for member in members:
                _extract(archive, member, made.folder)
            # The checksum of what was compressed stands behind the archive's end; it is compared when that is read.
            while archive.fileobj.read(_PIECE):
                pass
    except errors.ExportError:
        made.remove()
        raise
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error, lzma.LZMAError) as error:
        made.remove()
        raise errors.ExportError(
            f"{path!r} cannot be unpacked: {error}.\n"
            "  Get it again, or unpack it yourself and pass --saved_model=FOLDER."
        ) from error
    return made


def _refuse(member: tarfile.TarInfo, path: str) -> None:
    parts = member.name.replace("\\", "/").split("/")
    if not (member.isfile() or member.isdir()):
        what = "a link" if member.issym() or member.islnk() else "a special file"
    elif member.name.startswith(("/", "\\")) or ".." in parts or os.path.splitdrive(member.name)[0]:
        what = "a path that leads out of the folder"
    else:
        return
    raise errors.ExportError(
        f"{path!r} is refused: its member {member.name!r} is {what}, which no SavedModel needs.\n"
        "  If you trust where it is from, unpack it yourself and pass --saved_model=FOLDER."
    )


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: str) -> None:
    # Names, contents and nothing else: owners, modes and times of somebody else's machine stay in the archive.
    target = os.path.join(folder, *[part for part in member.name.split("/") if part not in ("", ".")])
    if member.isdir():
        os.makedirs(target, exist_ok=True)
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    source = archive.extractfile(member)
    assert source is not None, "other kinds of members have been refused"
    with source as content, open(target, "wb") as file:
        shutil.copyfileobj(content, file)
