"""Digests of an export's files, and digests.json: what an archive held when it was saved. By them whoever has it can tell
whether it still does.

SHA-256 of each file, and in an archive of each weight. It tells damage, and a change by somebody who left it as it was. It
is no signature: whoever changes a file on purpose can write its new digest, too. Against that, keep the digest of the whole
archive where they cannot reach it.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from export_v1 import errors

PATH = os.path.join("assets.extra", "digests.json")
_PIECE = 2**20


def of_array(value: np.ndarray) -> str:
    """Returns the digest of an array: of its type, its shape and its bytes."""
    value = np.asarray(value)
    made = hashlib.sha256(f"{value.dtype.name} {list(value.shape)}\n".encode())
    made.update(np.ascontiguousarray(value).data.cast("B") if value.dtype.kind in "fiub" else value.tobytes())
    return made.hexdigest()


def write(folder: str, weights: Iterable[tuple[str, str]]) -> None:
    """Writes the digests of all files in a folder, and of weights: the name and the digest of each, in their order."""
    content = {"files": _of_files(folder), "weights": [list(pair) for pair in weights]}
    os.makedirs(os.path.join(folder, os.path.dirname(PATH)), exist_ok=True)
    with open(os.path.join(folder, PATH), "w", encoding="utf-8") as stream:
        json.dump(content, stream, indent=1)


def changed_files(folder: str, error: type[errors.UserError]) -> list[str] | None:
    """Returns the files that are not what they were, or were not there; None where the folder has no digests."""
    content = _read(folder, error)
    if content is None:
        return None
    now = _of_files(folder)
    return sorted(name for name in {*now, *content["files"]} if now.get(name) != content["files"].get(name))


def weights(folder: str, error: type[errors.UserError]) -> list[tuple[str, str]] | None:
    """Returns the name and the digest of each weight, in their order; None where the folder has no digests."""
    content = _read(folder, error)
    return None if content is None else [(name, digest) for name, digest in content["weights"]]


def _of_files(folder: str, skipped: Callable[[str], bool] = lambda name: False) -> dict[str, str]:
    digests = {}
    for root, _, files in os.walk(folder):
        for file in files:
            path = os.path.join(root, file)
            name = os.path.relpath(path, folder).replace(os.sep, "/")
            if name != PATH.replace(os.sep, "/") and not skipped(name):
                digests[name] = of_file(path)
    return digests


def of_export(folder: str) -> dict[str, str]:
    """Returns the digest of each file of an export by its name in the folder, but of those that have checksums of their own,
    the variables, and of what is about the export or for servers: their settings, and in `assets.extra` all but arrays.
    """
    return dict(sorted(_of_files(folder, skipped=_is_apart).items()))


def _is_apart(name: str) -> bool:
    if name.startswith("assets.extra/"):
        return not name.endswith(".npz")
    # What is being written holds a lock.
    return name.startswith(("variables/", ".")) or name == "model-settings.json"


def of_file(path: str) -> str:
    """Returns the digest of a file."""
    made = hashlib.sha256()
    with open(path, "rb") as stream:
        while piece := stream.read(_PIECE):
            made.update(piece)
    return made.hexdigest()


def _read(folder: str, error: type[errors.UserError]) -> Mapping | None:
    file = os.path.join(folder, PATH)
    if not os.path.exists(file):
        return None
    try:
        with open(file, encoding="utf-8") as stream:
            content = json.load(stream)
        pairs = [(str(name), str(digest)) for name, digest in content["weights"]]
        return {"files": dict(content["files"]), "weights": pairs}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as damaged:
        raise error(f"{file!r} is damaged: {type(damaged).__name__}: {damaged}.\n  Save the model again.") from damaged
