"""Writes the variables straight from the checkpoint's files, a few at a time: they are never in memory together.

Where the checkpoint has a variable's bytes in one piece, they are read and handed to SaveV2 as they are. Everything
else (another type in the graph, strings, checkpoints of the first format, slices cut another way, values of
initializers) goes through `Weights.value`, one variable at a time. MergeV2Checkpoints makes one bundle of it all
without copying.

Nothing unchecked gets through: SaveV2 records a checksum of what it writes, and that has to be the one that the
checkpoint recorded when it was written; `Weights.value` has TensorFlow check while it reads.
"""

import concurrent.futures
import contextlib
import dataclasses
import math
import os
import queue
import threading
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saver_pb2

from export_v1.console import progress
from export_v1.format import bundle
from export_v1.weights import restore
from export_v1.weights.restore import Variable, Weights

v1 = tf.compat.v1

# What is read, checked and written at a time. Large enough that the cost of a SaveV2 (a file, a session: 10 ms) does
# not count, small enough that a piece for each worker stays far below what `import tensorflow` itself takes.
PIECE = 64 * 2**20
# One reads while the other writes. More would add memory and contend for one disk.
WORKERS = 2
# TensorFlow takes a fed array as it is where it starts at a multiple of this, and copies it otherwise.
_ALIGNED = 64
# TensorFlow 2.21 writes slices of these and cannot put them together again ("Dtype half not supported").
_NEVER_SLICED = frozenset({tf.float16, tf.uint16, tf.uint32, tf.uint64})


@dataclasses.dataclass(frozen=True)
class _Item:
    """A variable, or a part of a large one, on its way.

    Attributes:
        variable: the variable.
        size: in bytes; 0 where only its value will show.
        part: (start, size) per axis; () for all of it.
        entry: where the checkpoint has the variable in one piece; None: `Weights.value` has to be asked.
        skipped: bytes of the entry before this part.
    """

    variable: Variable
    size: int
    part: bundle.Part = ()
    entry: bundle.Entry | None = None
    skipped: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(size for _, size in self.part) if self.part else self.variable.sizes


@contextlib.contextmanager
def beside(weights: Weights, prefix: str, piece: int) -> Iterator[Callable[[], list[str]]]:
    """Writes the bundle, as `write` does, in a thread beside the block; yields what waits for it and returns its names.

    However the block ends, nothing is written after it: what was not waited for is stopped after the pieces at hand.

    Raises:
        ExportError: as `write`, where the block waits for it.
        OSError: likewise; or the folder of `prefix` cannot be made.
    """
    os.makedirs(os.path.dirname(prefix), exist_ok=True)
    stopped = threading.Event()
    pool = concurrent.futures.ThreadPoolExecutor(1)
    try:
        yield pool.submit(write, weights, prefix, piece, stopped).result
    finally:
        stopped.set()
        pool.shutdown()


def write(weights: Weights, prefix: str, piece: int, stopped: threading.Event | None = None) -> list[str]:
    """Writes every variable into a new bundle under its own name; returns the names of those with NaN or infinity.

    The tensors are, byte for byte, those that a Saver writes after restoring them. One larger than `piece` is stored as
    slices, which every reader of bundles puts together, where TensorFlow can do that for its type.

    Args:
        weights: the variables, of known shape.
        prefix: of the bundle; its folder exists.
        piece: bytes at a time.
        stopped: once it is set, no other piece is begun.

    Raises:
        ExportError: a variable cannot be read, or its bytes are not those that were written; all of these are named.
        OSError: a file cannot be written.
        CancelledError: it was stopped.
    """
    source = bundle.read(weights.checkpoint.prefix) if weights.checkpoint else None
    items = [item for variable in weights.variables for item in _items(variable, source, piece)]
    writing = _Writing(weights, source, f"{prefix}.pieces", [*_groups(items, piece)], stopped)
    written = writing.run()
    with tf.Graph().as_default(), v1.Session() as session:
        session.run(
            tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=written, destination_prefix=prefix, delete_old_dirs=True)
        )
    merged = bundle.read(prefix)
    assert merged is not None, "what was just written is a bundle"
    _compare(items, merged, weights)
    return sorted(writing.not_finite)


def _items(variable: Variable, source: bundle.Index | None, piece: int) -> Iterator[_Item]:
    size = math.prod(variable.sizes) * variable.dtype.size
    entry = source.entry(variable.location.key, variable.location.part) if source and variable.location else None
    plain = _is_plain(variable.dtype)
    if entry is None or not plain or (entry.dtype, entry.size) != (variable.dtype.as_datatype_enum, size):
        yield _Item(variable, size if plain else piece)
        return
    skipped = 0
    most = size if variable.dtype in _NEVER_SLICED else piece
    for part in _parts(variable.sizes, max(most // variable.dtype.size, 1)):
        item_size = math.prod(length for _, length in part) * variable.dtype.size if part else size
        yield _Item(variable, item_size, part, entry, skipped)
        skipped += item_size


def _is_plain(dtype: tf.DType) -> bool:
    return dtype.is_bool or dtype.is_complex or (dtype.is_floating or dtype.is_integer) and not dtype.is_quantized


def _parts(shape: tuple[int, ...], most: int) -> Iterator[bundle.Part]:
    """Yields parts of at most `most` elements, each in one piece in memory, first to last; () where one is enough."""
    if math.prod(shape) <= most:
        yield ()
        return
    # The first axis of which one step is small enough; those before it are taken index by index.
    axis = next(at for at in range(len(shape)) if math.prod(shape[at + 1 :]) <= most)
    step = max(most // math.prod(shape[axis + 1 :]), 1)
    rest = tuple((0, size) for size in shape[axis + 1 :])
    for outer in np.ndindex(*shape[:axis]):
        for start in range(0, shape[axis], step):
            yield (*((at, 1) for at in outer), (start, min(step, shape[axis] - start)), *rest)


def _groups(items: list[_Item], piece: int) -> Iterator[list[_Item]]:
    group: list[_Item] = []
    total = 0
    for item in items:
        if group and total + _padded(item.size) > piece:
            yield group
            group, total = [], 0
        group.append(item)
        total += _padded(item.size)
    if group:
        yield group


def _padded(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED


class _Writing:
    """Groups of items being written, each as a bundle of its own."""

    def __init__(
        self,
        weights: Weights,
        source: bundle.Index | None,
        folder: str,
        groups: list[list[_Item]],
        stopped: threading.Event | None,
    ):
        self.not_finite: set[str] = set()
        self._stopped = stopped or threading.Event()
        self._weights, self._source, self._folder, self._groups = weights, source, folder, groups
        self._buffers: queue.SimpleQueue[np.ndarray] = queue.SimpleQueue()

    def run(self) -> list[str]:
        """Returns the prefixes of the bundles."""
        os.makedirs(self._folder)
        largest = max(sum(_padded(item.size) for item in group if item.entry) for group in self._groups)
        workers = min(WORKERS, len(self._groups))
        for _ in range(workers):
            self._buffers.put(_aligned(largest))
        pool = concurrent.futures.ThreadPoolExecutor(workers)
        # An export is on the disk before it gets its name. Left to the kernel, that work would begin at the very end.
        disk = concurrent.futures.ThreadPoolExecutor(1)
        try:
            written, synced = [], []
            groups = range(len(self._groups))
            for prefix in progress.counted(pool.map(self._write, groups), "writing weights", len(groups), "parts"):
                written.append(prefix)
                synced.append(disk.submit(_sync, bundle.data_file(prefix, 0, 1)))
            for sync in synced:
                sync.result()
            return written
        finally:
            pool.shutdown(cancel_futures=True)
            disk.shutdown(cancel_futures=True)

    def _write(self, number: int) -> str:
        if self._stopped.is_set():
            raise concurrent.futures.CancelledError
        prefix = os.path.join(self._folder, f"{number:06d}")
        buffer = self._buffers.get()
        try:
            values, used = [], 0
            for item in self._groups[number]:
                if item.entry:
                    values.append(self._read(item, buffer[used : used + item.size]))
                    used += _padded(item.size)
                else:
                    values.append(self._weights.value(item.variable))
                if not restore.is_finite(values[-1]):
                    self.not_finite.add(item.variable.name)
            _save(prefix, self._groups[number], values)
        finally:
            self._buffers.put(buffer)
        return prefix

    def _read(self, item: _Item, into: np.ndarray) -> np.ndarray:
        checkpoint, location, entry = self._weights.checkpoint, item.variable.location, item.entry
        assert checkpoint is not None and location is not None and entry is not None and self._source is not None
        path = bundle.data_file(checkpoint.prefix, entry.shard_id, self._source.shards)
        try:
            with open(path, "rb", buffering=0) as file:
                file.seek(entry.offset + item.skipped)
                filled = 0
                while filled < item.size:
                    read = file.readinto(into[filled:].data)
                    if not read:
                        raise OSError(f"{path!r} ends too early")
                    filled += read
        except OSError as error:
            raise restore.unreadable([location.key], checkpoint.prefix, str(error)) from error
        return into.view(item.variable.dtype.as_numpy_dtype).reshape(item.shape)


def _sync(path: str) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _aligned(size: int) -> np.ndarray:
    memory = np.empty(size + _ALIGNED, np.uint8)
    start = -memory.ctypes.data % _ALIGNED
    return memory[start : start + size]


def _save(prefix: str, items: list[_Item], values: list[np.ndarray]) -> None:
    with tf.Graph().as_default(), tf.device("CPU:0"):
        fed = [v1.placeholder(item.variable.dtype, item.shape) for item in items]
        save = tf.raw_ops.SaveV2(
            prefix=prefix,
            tensor_names=[item.variable.name for item in items],
            shape_and_slices=[restore.slice_spec(item.variable.sizes, item.part) for item in items],
            tensors=fed,
        )
        with v1.Session() as session:
            session.run(save, dict(zip(fed, values, strict=True)))


def _compare(items: list[_Item], written: bundle.Index, weights: Weights) -> None:
    entries = {item.variable.name: (item.variable, item.entry) for item in items if item.entry}
    damaged = [variable for name, (variable, entry) in entries.items() if written.checksum(name) != entry.crc32c]
    if damaged:
        assert weights.checkpoint is not None, "an entry is one of the checkpoint"
        keys = [variable.location.key for variable in damaged if variable.location]
        raise restore.unreadable(keys, weights.checkpoint.prefix, "the checksum of its bytes is not the recorded one")


class Saver(tf.compat.v1.train.Saver):
    """A Saver that SavedModelBuilder can be given: it restores as any other, and saves without asking the session."""

    def __init__(self, saver_def: saver_pb2.SaverDef, written: Callable[[], list[str]]):
        """
        Args:
            saver_def: of the nodes that restore.
            written: returns when the bundle that the builder asks for is there: names of those with NaN or infinity.
        """
        super().__init__(saver_def=saver_def)
        self._written = written
        self.not_finite: list[str] = []

    def save(self, sess, save_path, **unused):
        """Waits for the bundle `save_path`."""
        self.not_finite = self._written()
        return save_path
