"""Numpy files, read and written a few rows at a time."""

import contextlib
import io
import math
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping

import numpy as np

from export_v1.format import packed
from export_v1.format.sample import DAMAGED, known_to_files
from load_v2.errors import LoadError, unknown
from load_v2.program.signature import Spec
from load_v2.scoring import atomic, memory

_COPY_BYTES = 2**22


class _Batched:
    """Cuts inputs into batches; what has no rows (scalars) is given whole each time."""

    def __init__(self, path: str, specs: Mapping[str, Spec]):
        self._path = path
        self._specs = specs
        self.count = 0

    def _check(self, shapes: Mapping[str, tuple]) -> None:
        for key in self._specs:
            if key not in shapes:
                raise unknown("Input", key, repr(self._path), shapes, f"Rename an array to {key!r}.")
            sizes = shapes[key]
            if any(isinstance(size, bool) or not isinstance(size, int) or size < 0 for size in sizes):
                raise LoadError(f"{self._path!r} is damaged: array {key!r} has the shape {sizes}.")
            if not sizes and self._specs[key].has_rows:
                raise LoadError(
                    f"In {self._path!r} array {key!r} is a scalar; the signature has {self._specs[key]}, one row for each "
                    "example.\n  Give it as many rows as there are examples."
                )
        lengths = {key: shapes[key][0] for key, spec in self._specs.items() if spec.has_rows}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{key}: {length}" for key, length in lengths.items())
            raise LoadError(f"The arrays of {self._path!r} have different lengths: {listed}.")
        self.count = next(iter(lengths.values()), 1)


class MapReader(_Batched):
    """One .npy for a signature with one input, or a folder with KEY.npy for each; mapped, not read."""

    def __init__(self, path: str, specs: Mapping[str, Spec]):
        super().__init__(path, specs)
        if os.path.isdir(path):
            files = {name[:-4]: os.path.join(path, name) for name in os.listdir(path) if name.endswith(".npy")}
        elif len(specs) == 1:
            files = {next(iter(specs)): path}
        else:
            raise LoadError(
                f"{path!r} holds one array, the signature has {len(specs)} inputs: {', '.join(specs)}.\n"
                "  Pass a folder with one KEY.npy each, or an .npz."
            )
        self._arrays = {key: _mapped(file) for key, file in files.items() if key in specs}
        self._check({key: self._arrays[key].shape if key in self._arrays else () for key in files})

    def batches(self, size: int) -> Iterator[dict]:
        with contextlib.ExitStack() as opened:
            streams = {
                key: opened.enter_context(open(str(array.filename), "rb", buffering=0))
                for key, array in self._arrays.items()
            }
            for start in range(0, self.count, size):
                yield {
                    key: _read_rows(streams[key], array, start, size)
                    if array.ndim and self._specs[key].has_rows
                    else array[()]
                    for key, array in self._arrays.items()
                }


def _mapped(file: str) -> np.memmap:
    try:
        # Not np.load: it leaves a file open that turns out to be an archive.
        return np.lib.format.open_memmap(file, mode="r")
    except DAMAGED as error:
        raise LoadError(f"{file!r} cannot be read as a plain array: {error}") from error


def _read_rows(stream, array: np.memmap, start: int, size: int) -> np.ndarray:
    """Returns rows as an array of their own, so that whoever reads ahead has read.

    They are not taken from the map: its pages would be counted as memory of this process, one after the other, until they
    are all of the file.
    """
    shape = (min(size, len(array) - start), *array.shape[1:])
    if not array.flags.c_contiguous or not math.prod(shape):
        return np.array(array[start : start + size])
    stream.seek(array.offset + start * (array.nbytes // len(array)))
    return _filled(stream, shape, array.dtype, f"{array.filename!r} is truncated: its array ends early.")


def _filled(stream, shape: tuple[int, ...], dtype: np.dtype, truncated: str) -> np.ndarray:
    """Returns an array of what comes next in a stream.

    Raises:
        LoadError: the stream ends before it is full.
    """
    rows = memory.empty(shape, dtype)
    if rows.nbytes:
        place, filled = rows.reshape(-1).view(np.uint8).data, 0
        while filled < len(place):
            count = stream.readinto(place[filled:])
            if not count:
                raise LoadError(truncated)
            filled += count
    return rows


class ArchiveReader(_Batched):
    """An .npz, compressed or not; its arrays are read front to back side by side, a batch at a time."""

    def __init__(self, path: str, specs: Mapping[str, Spec]):
        super().__init__(path, specs)
        try:
            with zipfile.ZipFile(path) as archive:
                sizes = ((member.filename, member.file_size) for member in archive.infolist())
                packed.check(path, sizes, LoadError, "Save the inputs again.")
                headers = {n[:-4]: _header(archive, n) for n in archive.namelist() if n.endswith(".npy")}
        except LoadError:
            raise
        except DAMAGED as error:
            raise LoadError(f"{path!r} cannot be read as .npz: {error}") from error
        self._headers = headers
        self._check({key: header[0] for key, header in headers.items()})

    def batches(self, size: int) -> Iterator[dict]:
        try:
            yield from self._batches(size)
        except LoadError:
            raise
        except DAMAGED as error:
            raise LoadError(f"{self._path!r} is damaged: {error}") from error

    def _batches(self, size: int) -> Iterator[dict]:
        with contextlib.ExitStack() as opened:
            archive = opened.enter_context(zipfile.ZipFile(self._path))
            streams, arrays = {}, {}
            for key, spec in self._specs.items():
                shape, fortran, dtype = self._headers[key]
                if not shape or not spec.has_rows or fortran or dtype.hasobject:
                    # Columns first, or pickled: there are no rows to read one after the other.
                    arrays[key] = _whole(self._path, key)
                else:
                    streams[key] = opened.enter_context(archive.open(key + ".npy"))
                    _skip_header(streams[key])
            for start in range(0, self.count, size):
                rows = min(size, self.count - start)
                batch = {key: self._read(key, stream, rows) for key, stream in streams.items()}
                for key, array in arrays.items():
                    batch[key] = array[start : start + rows] if array.ndim and self._specs[key].has_rows else array
                yield batch

    def _read(self, key: str, stream, rows: int) -> np.ndarray:
        shape, _, dtype = self._headers[key]
        return _filled(stream, (rows, *shape[1:]), dtype, f"{self._path!r} is truncated: array {key!r} ends early.")


def _header(archive: zipfile.ZipFile, name: str):
    with archive.open(name) as stream:
        return _skip_header(stream)


def _skip_header(stream):
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(stream)


def _whole(path: str, key: str) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return arrays[key]
    except ValueError as error:
        raise LoadError(
            f"{path!r}: array {key!r} is stored as Python objects, which could run code when read.\n"
            f"  Save it as plain bytes: numpy.asarray({key}, dtype='S')."
        ) from error


class _GrowingArray:
    """A .npy that is written row by row and gets its length at the end; strings wait until the longest is known."""

    def __init__(self, stream):
        self._stream = stream
        self._first: np.ndarray | None = None
        self._length = 0
        self._strings: list[np.ndarray] = []

    def write(self, rows: np.ndarray) -> None:
        rows = known_to_files(np.asarray(rows))
        if rows.dtype.kind == "O":
            rows = _plain_strings(rows)
        if self._first is None:
            self._first = rows[:0]
            if rows.dtype.kind != "S":
                self._put_header(0)
        if rows.shape[1:] != self._first.shape[1:]:
            raise LoadError(
                f"An output has rows of shape {list(self._first.shape[1:])} and, from row {self._length} on, "
                f"{list(rows.shape[1:])}: one array cannot hold both.\n  Write TFRecord: --outputs=OUT.tfrecord"
            )
        self._length += len(rows)
        if rows.dtype.kind == "S":
            self._strings.append(rows)
        else:
            self._stream.write(np.ascontiguousarray(rows, self._first.dtype).reshape(-1).view(np.uint8))

    def close(self) -> None:
        if self._strings:
            np.lib.format.write_array(self._stream, np.concatenate(self._strings), version=(1, 0))
        elif self._first is not None:
            end = self._stream.tell()
            self._stream.seek(0)
            self._put_header(self._length)
            self._stream.seek(end)

    def _put_header(self, length: int) -> None:
        assert self._first is not None, "a header is written once the type is known"
        # Numpy pads the header so that the first dimension can grow to any length in place.
        description = {"descr": np.lib.format.dtype_to_descr(self._first.dtype), "fortran_order": False}
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {**description, "shape": (length, *self._first.shape[1:])})
        self._stream.write(header.getvalue())


def _plain_strings(rows: np.ndarray) -> np.ndarray:
    plain = rows.astype("S")
    if rows.size and any(value.endswith(b"\0") for value in rows.reshape(-1).tolist()):
        raise LoadError(
            "An output holds strings that end in zero bytes, which numpy files drop.\n"
            "  Write TFRecord: --outputs=OUT.tfrecord"
        )
    return plain


class _OneArray:
    """One output into one .npy."""

    def __init__(self, stream):
        self._array = _GrowingArray(stream)

    def write(self, batch: Mapping[str, np.ndarray]) -> None:
        self._array.write(next(iter(batch.values())))

    def finish(self) -> None:
        self._array.close()


class _EachArray:
    """Each output into a KEY.npy of its own, in one folder."""

    def __init__(self, folder: str, streams: contextlib.ExitStack):
        self._folder = folder
        self._streams = streams
        self.files: dict[str, str] = {}
        self._arrays: dict[str, _GrowingArray] = {}

    def write(self, batch: Mapping[str, np.ndarray]) -> None:
        for key, rows in batch.items():
            if key not in self._arrays:
                self.files[key] = os.path.join(self._folder, key.replace("/", "_") + ".npy")
                self._arrays[key] = _GrowingArray(self._streams.enter_context(open(self.files[key], "wb+")))
            self._arrays[key].write(rows)

    def finish(self) -> None:
        for array in self._arrays.values():
            array.close()
        self._streams.close()


@contextlib.contextmanager
def array_writer(path: str) -> Iterator[_OneArray]:
    """Yields a writer of one output into one .npy."""
    with atomic.file(path) as stream:
        target = _OneArray(stream)
        yield target
        target.finish()


@contextlib.contextmanager
def folder_writer(path: str) -> Iterator[_EachArray]:
    """Yields a writer of each output into a KEY.npy of its own, all in a new folder."""
    with atomic.folder(path) as folder, contextlib.ExitStack() as streams:
        target = _EachArray(folder, streams)
        yield target
        target.finish()


@contextlib.contextmanager
def archive_writer(path: str) -> Iterator[_EachArray]:
    """Yields a writer of all outputs into one .npz: grown as separate arrays beside it, then put together."""
    with atomic.scratch(path) as folder, contextlib.ExitStack() as streams:
        target = _EachArray(folder, streams)
        yield target
        target.finish()
        with atomic.file(path) as archive_path:
            _put_together(target.files, archive_path)


def _put_together(files: Mapping[str, str], archive_file) -> None:
    with zipfile.ZipFile(archive_file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for key, file in files.items():
            with open(file, "rb") as stream, archive.open(key + ".npy", "w", force_zip64=True) as member:
                shutil.copyfileobj(stream, member, _COPY_BYTES)
