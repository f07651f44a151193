"""Paths that TensorFlow takes as they are.

TensorFlow's readers look a checkpoint up by a pattern: one below a folder `run[1]` is sought in `run1`, and a V1 checkpoint
that is there is read in its place. `tf.saved_model.load` does not find its variables there either. And a name that is not
UTF-8, as files of other systems have, it does not take at all.
"""

import atexit
import functools
import os
import re
import shutil
import tempfile

_PATTERN = re.compile(r"[*?\[\\]")
# Stands for the shards of a V1 checkpoint, and is meant as a pattern.
_V1_SHARDS = re.compile(r"-\?{5}-of-(\d{5}|\?{5})$")


def of(path: str) -> str:
    """Returns a path that TensorFlow takes as it is, to the same folder, or to the files of the same prefix.

    Where the path itself has other characters, that is a link in a temporary folder, which is there until the process ends.

    Raises:
        OSError: no link can be made.
    """
    shards = _V1_SHARDS.search(path)
    stem = path[: shards.start()] if shards else path
    return path if _is_plain(stem) else _linked(os.path.abspath(stem)) + (shards.group() if shards else "")


def in_utf_8(path: str) -> str:
    """Returns a path to the same file that is UTF-8, as a graph holds paths; nobody looks it up by a pattern.

    Raises:
        OSError: as `of`.
    """
    return path if _is_utf_8(path) else _linked(os.path.abspath(path))


def _is_plain(text: str) -> bool:
    return _is_utf_8(text) and not _PATTERN.search(text)


def _is_utf_8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@functools.cache
def _linked(path: str) -> str:
    links = tempfile.mkdtemp(prefix="export_v1_")
    atexit.register(shutil.rmtree, links, ignore_errors=True)
    folder, name = os.path.split(path)
    if _is_plain(name) and not os.path.isdir(path):
        os.symlink(folder, os.path.join(links, "folder"))
        return os.path.join(links, "folder", name)
    if os.path.isdir(path):
        os.symlink(path, os.path.join(links, "folder"))
        return os.path.join(links, "folder")
    for file in os.listdir(folder):
        if file.startswith(name):
            os.symlink(os.path.join(folder, file), os.path.join(links, "prefix" + file.removeprefix(name)))
    return os.path.join(links, "prefix")
