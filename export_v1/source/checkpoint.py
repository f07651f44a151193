"""A Saver checkpoint: its prefix however it was named, and the MetaGraphDef beside it."""

import glob
import os
import re
import shlex
from collections.abc import Sequence

from export_v1 import errors
from export_v1.format import bundle, checkpoints
from export_v1.model import Source
from export_v1.source import events, meta_graph

_DATA = re.compile(r"\.data-\d{5}-of-\d{5}$")
# What a V1 checkpoint is written as when it is sharded; TensorFlow reads it by the pattern with "?????".
_V1_SHARD = re.compile(r"-\d{5}-of-(\d{5})$")
_V1_SHARD_PATTERN = re.compile(r"-\?{5}-of-\d{5}$")


def read(checkpoint: str, meta_graph_file: str | None = None) -> Source:
    """Returns a checkpoint and its MetaGraphDef as a source.

    Args:
        checkpoint: Saver prefix, its folder (latest checkpoint), or any of its files.
        meta_graph_file: MetaGraphDef file, or an events file of TensorBoard; None: beside the checkpoint.

    Raises:
        ExportError: no checkpoint is there, or no MetaGraphDef, or one of their files is missing or damaged.
    """
    prefix, notes = find_prefix(checkpoint)
    check_files(prefix)
    path = meta_graph_file or _meta_beside(prefix)
    meta, chosen = events.read(path) if events.is_events_file(path) else (meta_graph.read(path), ())
    beside = (os.path.dirname(os.path.abspath(prefix)), os.path.dirname(os.path.abspath(path)))
    # A Session bundle has its files in a folder of that name.
    folders = dict.fromkeys((*beside, os.path.join(beside[0], "assets")))
    return Source(
        kind="checkpoint",
        path=prefix,
        graph=meta_graph.to_graph(meta),
        checkpoint=prefix,
        tensorflow_version=meta.meta_info_def.tensorflow_version,
        asset_dirs=tuple(folders),
        notes=notes + chosen,
    )


def find_prefix(named: str) -> tuple[str, tuple[str, ...]]:
    """Returns the Saver prefix that `named` means, and a note where more than one reading was possible.

    Raises:
        ExportError: nothing of that name is a checkpoint; what is there is listed.
    """
    if os.path.isdir(named):
        return _in_folder(named)
    stem = _DATA.sub("", named)
    for ending in (".index", ".meta"):
        stem = stem.removesuffix(ending)
    if not _DATA.search(named):
        for prefix in dict.fromkeys((_V1_SHARD.sub(r"-?????-of-\1", named), named, stem, *_v1_patterns(stem))):
            if _exists(prefix):
                return prefix, ()
    elif _exists(stem):
        return stem, ()
    folder = os.path.dirname(stem) or "."
    if glob.glob(glob.escape(stem) + ".data-*") or os.path.exists(stem + ".meta"):
        present = [os.path.basename(path) for path in glob.glob(glob.escape(stem) + ".*")]
        raise errors.ExportError(
            f"Checkpoint {stem!r} has no index: {stem + '.index'!r} is missing.\n"
            f"  Found: {errors.quoted(present)}.\n"
            "  A checkpoint is PREFIX.index, PREFIX.data-00000-of-00001 and PREFIX.meta; copy all of them."
        )
    if not os.path.isdir(folder):
        raise errors.ExportError(f"Checkpoint {named!r} is not there: no folder {folder!r}.")
    known = _prefixes(folder)
    raise errors.unknown(
        "Checkpoint", named, f"folder {folder!r}", known, f"Pass --checkpoint={known[0]}." if known else ""
    )


def _exists(prefix: str) -> bool:
    """Tells whether a checkpoint of either format has this prefix; one in V1 format is a file, or a pattern of some."""
    if os.path.exists(prefix + ".index"):
        return True
    shards = _V1_SHARD_PATTERN.search(prefix)
    stem, ending = (prefix[: shards.start()], shards.group()) if shards else (prefix, "")
    return (
        bool(glob.glob(glob.escape(stem) + ending))
        and not os.path.isdir(prefix)
        and not prefix.endswith((".meta", ".index"))
    )


def _v1_patterns(stem: str) -> list[str]:
    """Returns the pattern of a sharded V1 checkpoint, where its Saver was given `stem` as a path."""
    shards = glob.glob(glob.escape(stem) + "-?????-of-?????")
    return sorted({_V1_SHARD.sub(r"-?????-of-\1", path) for path in shards})


def _prefixes(folder: str) -> list[str]:
    prefixes = [path.removesuffix(".index") for path in glob.glob(os.path.join(glob.escape(folder), "*.index"))]
    prefixes += [path.removesuffix(".index") for path in glob.glob(os.path.join(glob.escape(folder), ".index"))]
    return sorted(prefixes)


def _in_folder(folder: str) -> tuple[str, tuple[str, ...]]:
    # A Saver given "folder/" as its prefix writes files that are named by their ending alone: "folder/.index".
    bare = os.path.join(folder, "")
    if os.path.exists(bare + ".index"):
        return bare, ()
    latest = bundle.latest(folder)
    # The path in there is of the machine that trained the model.
    for prefix in (latest, os.path.join(folder, os.path.basename(latest))):
        if latest and _exists(prefix):
            return prefix, (f"checkpoint {prefix!r}: the latest, by {os.path.join(folder, 'checkpoint')!r}",)
    prefixes = _prefixes(folder) or _v1_prefixes(folder)
    if len(prefixes) == 1:
        return prefixes[0], (f"checkpoint {prefixes[0]!r}: the only one in {folder!r}",)
    if not prefixes:
        raise errors.ExportError(
            f"Folder {folder!r} holds no checkpoint.\n"
            f"  Found: {errors.quoted(os.listdir(folder)) or 'nothing'}.\n"
            "  A checkpoint is PREFIX.index, PREFIX.data-00000-of-00001 and PREFIX.meta."
        )
    raise errors.ExportError(
        f"Folder {folder!r} holds {len(prefixes)} checkpoints and no record of the latest.\n"
        f"  Found: {errors.quoted(prefixes)}.\n"
        f"  Pass --checkpoint={prefixes[-1]}."
    )


def _v1_prefixes(folder: str) -> list[str]:
    prefixes = set()
    for path in glob.glob(os.path.join(glob.escape(folder), "*.meta")):
        stem = path.removesuffix(".meta")
        shards = glob.glob(glob.escape(stem) + "-[0-9][0-9][0-9][0-9][0-9]-of-*")
        prefixes |= {_V1_SHARD.sub(r"-?????-of-\1", shard) for shard in shards} or (
            {stem} if os.path.isfile(stem) else set()
        )
    return sorted(prefixes)


def check_files(prefix: str) -> None:
    """Checks that every file of a checkpoint is there.

    Raises:
        ExportError: a data file is missing; which, and what is there. Or the index is damaged, or it is no checkpoint.
    """
    if not os.path.exists(prefix + ".index"):
        checkpoints.check_kind(prefix)
        return
    files = sorted(glob.glob(glob.escape(prefix) + ".data-*"))
    counts = {path[-5:] for path in files}
    if len(counts) == 1:
        count = int(counts.pop())
        wanted = [f"{prefix}.data-{shard:05d}-of-{count:05d}" for shard in range(count)]
        missing = sorted(set(wanted) - set(files))
    else:
        missing = [f"{prefix}.data-00000-of-00001"] if not files else []
    if missing:
        raise errors.ExportError(
            f"Checkpoint {prefix!r} is not complete. Missing: {errors.quoted(missing)}.\n"
            f"  Found: {errors.quoted(os.path.basename(path) for path in glob.glob(glob.escape(prefix) + '.*'))}.\n"
            "  Copy the whole checkpoint: PREFIX.index and every PREFIX.data-…-of-…."
        )
    bundle.read(prefix)


def _meta_beside(prefix: str) -> str:
    folder = os.path.dirname(prefix) or "."
    for path in (prefix + ".meta", _V1_SHARD_PATTERN.sub("", prefix) + ".meta", os.path.join(folder, "export.meta")):
        if os.path.isfile(path):
            return path
    others = [
        path
        for pattern in ("*.meta", "*.pbtxt", "events.out.tfevents.*")
        for path in sorted(glob.glob(os.path.join(glob.escape(folder), pattern)))
        if os.path.isfile(path)
    ]
    what = "is a folder" if os.path.isdir(prefix + ".meta") else "is missing"
    raise errors.ExportError(
        f"Checkpoint {prefix!r} has no MetaGraphDef beside it: {prefix + '.meta'!r} {what}.\n"
        f"  Files in the folder that may hold its graph: {errors.quoted(others) or 'none'}.\n"
        f"  {_named(others)}; where none was kept, rebuild the graph with --builder=FILE.py:FUNCTION."
    )


def _named(files: Sequence[str]) -> str:
    return f"Pass --meta_graph={shlex.quote(files[0])}" if len(files) == 1 else "Name it with --meta_graph=FILE"
