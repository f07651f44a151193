"""A folder that appears whole or not at all, and takes the place of nothing but an export."""

import contextlib
import ctypes
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator

from export_v1 import errors
from export_v1.console import outcome, unfinished

# Linux: swap two paths in one step. (renameat2(2); AT_FDCWD is -100, RENAME_EXCHANGE is 2.)
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_GRAPHS = frozenset({"saved_model.pb", "saved_model.pbtxt"})
_ASSETS = "assets"
# What TensorFlow, Keras, Hub and step 1 put into a SavedModel, beside the files that its graph names.
_PARTS = re.compile(
    r"""saved_model\.pb(txt)?|fingerprint\.pb|keras_metadata\.pb|model-settings\.json|tfhub_module\.pb
    |variables(/variables\.(index|data-\d{5}-of-\d{5}))?|debug(/saved_model_debug_info\.pb)?|assets
    |assets\.extra(/(export_v1\.json|sample\.npz|training\.npz|tf_serving_warmup_requests))?""",
    re.VERBOSE,
)


@contextlib.contextmanager
def whole(path: str, overwrite: bool = False) -> Iterator[str]:
    """Yields a folder to write into; it becomes `path` when the block ends well, and goes away when it does not.

    The folder stands beside `path`, so that the last step is one rename. Everything in it reaches the disk before. With
    `overwrite`, what stood at `path` stays there until that step.

    Raises:
        ExportError: `path` exists and is not to be replaced, see `check_free`, or it cannot be written.
    """
    path = os.path.realpath(path)
    check_free(path, overwrite)
    parent, name = os.path.split(path)
    if os.path.exists(path):
        unfinished.sweep(parent, f".{name}.old-")
    with partial(parent, f".{name}.partial-", path) as folder:
        yield folder
        unfinished.finish(folder)
        check_free(path, overwrite)
        _publish(folder, path)


@contextlib.contextmanager
def partial(parent: str, prefix: str, path: str) -> Iterator[str]:
    """Yields a new folder in `parent` that goes away when the block ends, unless it has been renamed.

    Args:
        parent: made where it is missing.
        prefix: what its name starts with.
        path: what the export is called in messages.

    Raises:
        ExportError: the folder cannot be made, or something in the block could not be written.
    """
    with contextlib.ExitStack() as stack:
        try:
            unfinished.parents(parent)
            folder = stack.enter_context(unfinished.folder(parent, prefix))
        except OSError as error:
            raise errors.ExportError(
                f"Folder {path!r} cannot be made: {error.strerror or error}.\n  Pass another --export_dir=DIR."
            ) from error
        try:
            yield folder
        except OSError as error:
            raise errors.ExportError(
                f"The export cannot be written to {path!r}: {error.strerror or error}.\n"
                f"  {_free_space(parent)}Free some space, or pass another --export_dir=DIR."
            ) from error


def sweep_for(path: str, versioned: bool = False) -> None:
    """Removes what killed runs left of an export to `path`; see `unfinished.sweep`."""
    path = os.path.realpath(path)
    parent, prefix = (
        (path, ".partial-") if versioned else (os.path.dirname(path), f".{os.path.basename(path)}.partial-")
    )
    with contextlib.suppress(OSError):
        unfinished.sweep(parent, prefix)


def check_free(path: str, overwrite: bool) -> None:
    """Checks that an export may go to `path`.

    Raises:
        ExportError: something is there, and is not to be replaced, or is no export or SavedModel.
    """
    if not os.path.lexists(path):
        return
    if not os.path.isdir(path):
        raise errors.ExportError(f"{path!r} exists and is a file.\n  Pass another --export_dir=DIR.")
    names = os.listdir(path)
    if not names:
        return
    if not _GRAPHS & set(names):
        raise errors.ExportError(
            f"Folder {path!r} is not an export: it has no saved_model.pb.\n  It holds: {errors.quoted(names)}.\n"
            "  --overwrite replaces exports and other SavedModels, nothing else. Pass another --export_dir=DIR."
        )
    strange = _strange(path)
    if strange:
        raise errors.ExportError(
            f"Folder {path!r} holds files that do not belong to an export: {errors.quoted(strange)}.\n"
            "  --overwrite would delete it. Move it away, or pass another --export_dir=DIR."
        )
    if not overwrite:
        raise errors.ExportError(
            f"Folder {path!r} exists and is not empty.\n  Pass --overwrite to replace it, or another --export_dir=DIR."
        )


def _strange(path: str) -> list[str]:
    """Returns what is in the folder of a SavedModel and no part of one."""
    paths = []
    for root, folders, files in os.walk(path):
        paths += [os.path.relpath(os.path.join(root, name), path) for name in (*folders, *files)]
    strange = [name for name in paths if not _PARTS.fullmatch(name.replace(os.sep, "/"))]
    if any(name.startswith(_ASSETS) for name in strange):
        own = {os.path.join(_ASSETS, *name.split("/")) for name in _assets(path)}
        strange = [
            name for name in strange if name not in own and not any(n.startswith(f"{name}{os.sep}") for n in own)
        ]
    return sorted(strange)


def _assets(path: str) -> set[str]:
    """Returns the names of the files in `assets` that a SavedModel has itself; none of one that cannot be read."""
    # Late: what is refused before costs no import of TensorFlow.
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

    from export_v1.source import text_format

    names, saved_model = set(), saved_model_pb2.SavedModel()
    try:
        for name in _GRAPHS & set(os.listdir(path)):
            with open(os.path.join(path, name), "rb") as file:
                content = file.read()
            if name.endswith(".pb"):
                saved_model.MergeFromString(content)
            else:
                text_format.parsed(content, saved_model)
        for meta_graph in saved_model.meta_graphs:
            names |= {asset.filename for asset in meta_graph.asset_file_def}
            if "saved_model_assets" in meta_graph.collection_def:
                for packed in meta_graph.collection_def["saved_model_assets"].any_list.value:
                    names.add(meta_graph_pb2.AssetFileDef.FromString(packed.value).filename)
    except (OSError, DecodeError):
        return set()
    return names


def check_apart(path: str, sources: Collection[str]) -> None:
    """Checks that an export to `path` replaces nothing that it is made of.

    Args:
        path: where the export goes.
        sources: files, folders and checkpoint prefixes that are read.

    Raises:
        ExportError: `path` is or holds one of them, or is inside a SavedModel that is read.
    """
    path = os.path.realpath(path)
    for source in sources:
        real = os.path.realpath(source)
        if real == path or real.startswith(os.path.join(path, "")):
            raise errors.ExportError(
                f"--export_dir={path} holds what the export is made of: {source!r}.\n  Pass another --export_dir=DIR."
            )
        is_model = os.path.isdir(real) and bool(_GRAPHS & set(os.listdir(real)))
        if is_model and path.startswith(os.path.join(real, "")):
            raise errors.ExportError(
                f"--export_dir={path} is inside the model that is exported: {source!r}.\n"
                "  Pass an --export_dir=DIR beside it."
            )


def _publish(partial: str, path: str) -> None:
    os.chmod(partial, 0o755)
    outcome.about_to_appear(partial, path)
    if not os.path.isdir(path):
        os.rename(partial, path)
    elif not os.listdir(path):
        # rename(2) replaces an empty folder.
        os.rename(partial, path)
    elif not _exchange(partial, path):
        aside = tempfile.mkdtemp(prefix=f".{os.path.basename(path)}.old-", dir=os.path.dirname(path))
        os.rename(path, aside)
        os.rename(partial, path)
        shutil.rmtree(aside, ignore_errors=True)
    unfinished.sync(os.path.dirname(path))


def _exchange(first: str, second: str) -> bool:
    """Swaps two folders in one step; returns False where the system cannot."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        return libc.renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) == 0
    except (OSError, AttributeError):
        return False


def _free_space(folder: str) -> str:
    try:
        return f"{shutil.disk_usage(folder).free / 2**20:,.0f} MiB are free there. "
    except OSError:
        return ""
