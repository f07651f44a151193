"""What became of that which a command writes, for the messages of one that is interrupted or killed.

What is written becomes whole in one rename, and a signal can come right before or right after it. So the file or folder is
told by its number on the disk, which it keeps when it is renamed: whoever asks looks where it stands now. The memory for it
is shared with the process that waits for this one, since what kills this process leaves it nothing to say.
"""

import json
import mmap
import os

_SIZE = 2**14
# A process that is forked shares it.
_shared = mmap.mmap(-1, _SIZE)


def about_to_appear(part: str, path: str) -> None:
    """Says that what is at `part` is finished, and about to be renamed to `path`."""
    status = os.stat(part)
    known = [*_known(), [os.path.abspath(path), status.st_dev, status.st_ino]]
    while len(content := json.dumps(known).encode()) > _SIZE:
        known = known[1:]
    _shared[:] = content.ljust(_SIZE)


def forget() -> None:
    """Starts anew: nothing has been written."""
    _shared[:] = b" " * _SIZE


def text() -> str:
    """Returns what there is to say: "nothing was written", or what was, and that it is whole."""
    whole = [path for path, device, number in _known() if _stands_at(path, device, number)]
    if not whole:
        return "nothing was written"
    return f"{' and '.join(map(repr, dict.fromkeys(whole)))} had been written before, and {'are' if whole[1:] else 'is'} whole"


def _known() -> list[list]:
    content = _shared[:].strip(b" \0")
    return json.loads(content) if content else []


def _stands_at(path: str, device: int, number: int) -> bool:
    try:
        status = os.stat(path)
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == (device, number)
