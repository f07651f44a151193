"""A checkpoint opened for reading one tensor at a time: which variables it holds, and the value of one."""

import os
import re

import numpy as np
import tensorflow as tf

from export_v1.format import bundle, checkpoints, plain_path
from load_v2.errors import LoadError, quoted
from load_v2.porting.types import Entry, Shape

_OWN_FILE = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})(\.pbtxt)?$")
_V1_SHARD = re.compile(r"-(\d{5}|\?{5})-of-(\d{5}|\?{5})$")
# A partitioned variable saved part by part: `emb/part_0`, and its slots, `emb/part_0/Adam`.
_PART = re.compile(r"(?P<name>.*)/part_(?P<number>\d+)(?P<rest>/.*)?")


def locate(path: str | os.PathLike) -> str:
    """Returns the prefix that TensorFlow reads, for a prefix, its folder, or any one of its files.

    A folder means its latest checkpoint, the only one it holds, or a SavedModel's `variables/variables`. V1 files,
    whole or sharded, are found too.

    Raises:
        LoadError: there is no checkpoint, or a folder holds several and does not say which is the latest.
    """
    path = os.fspath(path)
    for prefix in (_OWN_FILE.sub("", path), path):
        if tf.io.gfile.exists(f"{prefix}.index") or (tf.io.gfile.exists(prefix) and not tf.io.gfile.isdir(prefix)):
            return _V1_SHARD.sub("-?????-of-?????", prefix)
        if tf.io.gfile.glob(f"{prefix}-?????-of-?????"):
            return f"{prefix}-?????-of-?????"
    if not tf.io.gfile.isdir(path):
        raise LoadError(f"There is no checkpoint at {path!r}.\n  Give a prefix such as 'model.ckpt-3', or its folder.")
    return _in_folder(path)


def _in_folder(folder: str) -> str:
    latest = bundle.latest(folder)
    # `checkpoint` often holds the absolute path of the machine that trained; the files lie beside it all the same.
    wanted = [latest, os.path.join(folder, os.path.basename(latest))] if latest else []
    wanted += [os.path.join(folder, ""), os.path.join(folder, "variables", "variables")]
    for prefix in wanted:
        if tf.io.gfile.exists(f"{prefix}.index") or _is_v1(prefix):
            return prefix
    prefixes = sorted(name[: -len(".index")] for name in tf.io.gfile.glob(os.path.join(folder, "*.index")))
    if len(prefixes) == 1:
        return prefixes[0]
    if not prefixes:
        raise LoadError(f"Folder {folder!r} holds no checkpoint.\n  Give a prefix such as {folder!r}/model.ckpt-3.")
    names = [os.path.basename(name) for name in prefixes]
    raise LoadError(
        f"Folder {folder!r} holds {len(prefixes)} checkpoints and does not say which is the latest.\n"
        f"  Known ({len(names)}): {quoted(names)}.\n  Give one of them, such as {prefixes[-1]!r}."
    )


def _is_v1(prefix: str) -> bool:
    return bool(tf.io.gfile.glob(plain_path.of(prefix))) and not tf.io.gfile.isdir(prefix)


class Checkpoint:
    """The variables of one checkpoint. Values are read when asked for, and not kept.

    A variable that was saved in parts (`emb/part_0`, `emb/part_1`…) appears once, whole, under its own name (`emb`).
    """

    def __init__(self, path: str | os.PathLike):
        self.prefix = locate(path)
        self._reader, shapes, dtypes = checkpoints.opened(self.prefix, LoadError)
        self.entries = {key: Entry(key, tuple(shapes[key]), dtypes[key].name) for key in sorted(shapes)}
        self.parts = _joined(self.entries)
        for name, (keys, axis) in self.parts.items():
            whole = _whole([self.entries.pop(key).shape for key in keys], axis)
            self.entries[name] = Entry(name, whole, dtypes[keys[0]].name)
        self.entries = dict(sorted(self.entries.items()))

    def read(self, key: str) -> np.ndarray:
        """Returns the value of one variable, whole.

        Raises:
            LoadError: the files are damaged or cut short.
        """
        keys, axis = self.parts.get(key, ((key,), 0))
        try:
            values = [np.asarray(self._reader.get_tensor(part)) for part in keys]
        except checkpoints.UNREADABLE as error:
            raise LoadError(f"Variable {key!r} of {self.prefix!r} cannot be read: {error}") from error
        return values[0] if len(values) == 1 else np.concatenate(values, axis)


def _joined(entries: dict[str, Entry]) -> dict[str, tuple[tuple[str, ...], int]]:
    """Returns the whole variables: name -> (keys of its parts in order, axis)."""
    parts: dict[str, dict[int, str]] = {}
    for key in entries:
        match = _PART.fullmatch(key)
        if match:
            parts.setdefault(match["name"] + (match["rest"] or ""), {})[int(match["number"])] = key
    whole = {}
    for name, numbered in parts.items():
        keys = tuple(numbered[number] for number in sorted(numbered))
        axis = _axis([entries[key].shape for key in keys])
        if name not in entries and sorted(numbered) == list(range(len(keys))) and axis is not None:
            whole[name] = (keys, axis)
    return whole


def _axis(shapes: list[Shape]) -> int | None:
    """Returns the one axis along which the parts differ; 0, TensorFlow's own choice, where they are all alike."""
    if not shapes[0] or len({len(shape) for shape in shapes}) > 1:
        return None
    differing = [axis for axis, sides in enumerate(zip(*shapes, strict=True)) if len(set(sides)) > 1]
    return None if len(differing) > 1 else (differing or [0])[0]


def _whole(shapes: list[Shape], axis: int) -> Shape:
    return (*shapes[0][:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :])
