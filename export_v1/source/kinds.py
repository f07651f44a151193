"""Which kind of source a path is, seen from what is there. Nothing of it is read but names."""

import glob
import os

from export_v1 import errors

PACKED = (".tar.gz", ".tgz", ".tar")
SAVED_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt")
# A TF1 Hub module has it beside its SavedModel.
HUB_MARK = "tfhub_module.pb"
_SAVED_MODELS = (*SAVED_MODEL_FILES, HUB_MARK)
_GRAPHS = (".pb", ".pbtxt")
_CHECKPOINTS = ("checkpoint", "*.index", "*.meta", "*.data-?????-of-?????")


def flag_of(path: str) -> str:
    """Returns the flag that takes a path: "checkpoint", "saved_model", "graph_def" or "builder".

    Raises:
        ExportError: nothing is there, or something that is no model, or a folder with models of two kinds.
    """
    if os.path.isdir(path):
        return _of_folder(path)
    name = os.path.basename(path)
    if name in _SAVED_MODELS:
        return "saved_model"
    if os.path.isfile(path) and name.endswith(PACKED):
        return "saved_model"
    if os.path.isfile(path) and name.endswith(_GRAPHS):
        return "graph_def"
    code = path.rpartition(":")[0]
    if code and (code.endswith(".py") or not os.path.exists(path)) and _is_code(code):
        return "builder"
    if os.path.isfile(path) or glob.glob(f"{glob.escape(path)}.*") or glob.glob(f"{glob.escape(path)}-?????-of-?????"):
        # A checkpoint by its prefix, or by any of its files; one in V1 format is a file of any name.
        return "checkpoint"
    raise _nothing(path)


def _of_folder(folder: str) -> str:
    def has(*patterns: str) -> list[str]:
        paths = [path for pattern in patterns for path in glob.glob(os.path.join(glob.escape(folder), pattern))]
        return sorted(os.path.relpath(path, folder) for path in paths)

    saved = has(*_SAVED_MODELS, *(os.path.join("[0-9]*", name) for name in _SAVED_MODELS))
    checkpoints = has(*_CHECKPOINTS)
    if saved and checkpoints:
        raise errors.ExportError(
            f"{folder!r} has a SavedModel ({saved[0]}) and a checkpoint ({checkpoints[0]}).\n"
            f"  Pass --saved_model={folder} or --checkpoint={folder}."
        )
    if saved:
        return "saved_model"
    if checkpoints:
        return "checkpoint"
    graphs = has("*.pb", "*.pbtxt")
    if graphs:
        raise errors.ExportError(f"{folder!r} is a folder.\n  Name the file: {os.path.join(folder, graphs[0])}.")
    known = sorted(os.listdir(folder))
    raise errors.ExportError(
        f"There is no model in {folder!r}.\n"
        + (f"  Found: {errors.quoted(known)}.\n" if known else "  The folder is empty.\n")
        + "  A model is a checkpoint (PREFIX.index and PREFIX.meta), a SavedModel (saved_model.pb) or a frozen graph (FILE.pb)."
    )


def _is_code(code: str) -> bool:
    return os.path.isfile(code) or (not code.endswith(".py") and all(part.isidentifier() for part in code.split(".")))


def _nothing(path: str) -> errors.UserError:
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        return errors.no_path("model", path)
    return errors.unknown(
        "Model", os.path.basename(path), f"folder {folder!r}", {_prefix(name) for name in os.listdir(folder)}
    )


def _prefix(name: str) -> str:
    """Returns a checkpoint's prefix for any of its files, and other names as they are."""
    stem, _, ending = name.rpartition(".")
    return stem if stem and (ending in ("index", "meta") or ending.startswith("data-")) else name
