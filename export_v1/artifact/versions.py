"""A base path of TensorFlow Serving: exports side by side in folders whose names are their version numbers."""

import contextlib
import dataclasses
import errno
import os
from collections.abc import Collection, Iterator

from export_v1 import errors
from export_v1.artifact import destination
from export_v1.console import outcome, unfinished

# TensorFlow Serving reads a version as a signed 64-bit number and passes over what is negative or larger.
LARGEST = 2**63 - 1


@dataclasses.dataclass
class Target:
    """Where an export is written: `folder` while it is, `path` from when it is whole."""

    folder: str
    path: str


@contextlib.contextmanager
def target(export_dir: str, *, overwrite: bool = False, versioned: bool = False) -> Iterator[Target]:
    """Yields where to write; what is there becomes `target.path` when the block ends well, and goes away when not.

    Args:
        export_dir: the folder itself or, with `versioned`, the base path below which it gets the next number.
        overwrite: whether a folder that is there may be replaced.
        versioned: whether `export_dir` is a base path.

    Raises:
        ExportError: `export_dir` is not free, is no base path, or cannot be written.
    """
    if versioned:
        with _next_version(export_dir) as version:
            yield version
        return
    with destination.whole(export_dir, overwrite) as folder:
        yield Target(folder, export_dir)


def check(export_dir: str, sources: Collection[str], *, overwrite: bool = False, versioned: bool = False) -> None:
    """Checks what `target` would, before any work is done; and that the export replaces none of its sources."""
    destination.check_apart(os.path.join(export_dir, "1") if versioned else export_dir, sources)
    if versioned:
        numbers(export_dir)
    else:
        destination.check_free(os.path.realpath(export_dir), overwrite)


@contextlib.contextmanager
def _next_version(base: str) -> Iterator[Target]:
    """Yields a folder to write into that becomes the next version below `base`, in one rename.

    It is written in `base` itself, hidden: a server that polls `base` passes over names that are not numbers, and a
    base path may be a volume of its own, which no rename can enter from outside. Of exports that run at the same time
    each gets a number of its own.
    """
    numbers(base)
    with destination.partial(os.path.realpath(base), ".partial-", base) as folder:
        version = Target(folder, "")
        yield version
        unfinished.finish(folder)
        os.chmod(folder, 0o755)
        version.path = _renamed(folder, base)
        unfinished.sync(base)


def _renamed(folder: str, base: str) -> str:
    while True:
        number = max(numbers(base), default=0) + 1
        if number > LARGEST:
            raise errors.ExportError(
                f"{base!r} has version {LARGEST}, and there is no larger number.\n  Rename the versions there."
            )
        path = os.path.join(base, str(number))
        outcome.about_to_appear(folder, path)
        try:
            # rename(2) replaces no folder that has something in it, and a version always has: who comes second gets an
            # error, and the number after.
            os.rename(folder, path)
            return path
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise


def numbers(base: str) -> list[int]:
    """Returns the versions below a base path, which may be missing still.

    Files and hidden folders are passed over, as TensorFlow Serving does, and so are links such as `latest`.

    Raises:
        ExportError: `base` is a file or a SavedModel itself, or holds a folder that is not a number.
    """
    if not os.path.lexists(base):
        return []
    if not os.path.isdir(base):
        raise errors.ExportError(f"{base!r} is a file, so it cannot be a base path.\n  Pass another --export_dir=DIR.")
    names = os.listdir(base)
    if {"saved_model.pb", "saved_model.pbtxt"} & set(names):
        parent, name = os.path.split(os.path.abspath(base))
        remedy = f"Move it to a version of its own, {os.path.join(base, '1')!r}, or pass another --export_dir=DIR."
        if _is_number(name):
            remedy = f"If it is a version of {os.path.basename(parent)!r}, pass --export_dir={parent}."
        raise errors.ExportError(
            f"{base!r} is a SavedModel itself, so it cannot be a base path: servers look for versions below it.\n"
            f"  {remedy}"
        )
    strange = [name for name in names if not _is_number(name) and _is_folder(base, name)]
    if strange:
        raise errors.ExportError(
            f"{base!r} holds folders whose names are not version numbers: {errors.quoted(strange)}.\n"
            "  TensorFlow Serving would never load them: only whole numbers, such as '1', are versions.\n"
            "  Rename them, move them away, or pass another --export_dir=DIR."
        )
    return sorted(int(name) for name in names if _is_number(name))


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and int(name) <= LARGEST


def _is_folder(base: str, name: str) -> bool:
    path = os.path.join(base, name)
    return not name.startswith(".") and os.path.isdir(path) and not os.path.islink(path)
