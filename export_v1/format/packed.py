"""Archives (.npz, .keras, .tar.gz) that were made to fill the memory, the disk, or the time of who unpacks them."""

import os
from collections.abc import Iterable

from export_v1 import errors

# Real arrays shrink to a hundredth at best, where most of them is zeros; and small ones do no harm.
_MOST_TIMES, _MOST_BYTES = 200, 2**30
# No model has so many files, nor folders so deep.
_MOST_MEMBERS, _DEEPEST = 100_000, 100


def check(
    path: str | os.PathLike, members: Iterable[tuple[str, int]], error: type[errors.UserError], remedy: str
) -> None:
    """Checks that what an archive holds is of a size that its own explains; stops at the first member that is too much.

    Args:
        path: of the archive.
        members: name and unpacked size of each.
        error: class of the error.
        remedy: what to do.

    Raises:
        UserError: it would be far larger when it is unpacked, or has too many members, or folders that are too deep.
    """
    packed, size = os.path.getsize(path), 0
    most = max(_MOST_BYTES, _MOST_TIMES * packed)
    for count, (name, own) in enumerate(members, 1):
        size += own
        if size > most:
            what = f"is {packed:,} bytes and would be more than {most:,} when it is unpacked"
        elif count > _MOST_MEMBERS:
            what = f"has more than {_MOST_MEMBERS:,} members"
        elif name.count("/") > _DEEPEST:
            what = f"has a member {name.count('/'):,} folders deep, {name[:60]!r}…"
        else:
            continue
        raise error(f"{os.fspath(path)!r} {what}, which no model needs: it may have been made to do harm.\n  {remedy}")
