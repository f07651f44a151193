"""Zip archives (.npz, .keras) that were made to fill the memory or the disk."""

import os
import zipfile
from collections.abc import Iterable

from export_v1 import errors

# Real arrays shrink to a hundredth at best, where most of them is zeros; and small ones do no harm.
_MOST_TIMES, _MOST_BYTES = 200, 2**30


def check_size(
    path: str | os.PathLike, members: Iterable[zipfile.ZipInfo], error: type[errors.UserError], remedy: str
) -> None:
    """Checks that what is read of an archive is of a size that its own explains.

    Raises:
        UserError: it would be far larger when it is unpacked.
    """
    size, packed = sum(member.file_size for member in members), os.path.getsize(path)
    if size > max(_MOST_BYTES, _MOST_TIMES * packed):
        raise error(
            f"{os.fspath(path)!r} is {packed:,} bytes and would be {size:,} when it is unpacked: "
            f"it was made to fill the memory.\n  {remedy}"
        )
