"""Numpy files, read and written a few rows at a time."""

import contextlib
import io
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping

import numpy as np

from export_v1.format.sample import DAMAGED, known_to_files
from load_v2.errors import LoadError, unknown
from load_v2.program.signature import Spec
from load_v2.scoring import atomic

_COPY_BYTES = 2**22


def _has_rows(spec: Spec) -> bool:
    """Whether an input comes row by row: it is no scalar."""
    return spec.shape is None or len(spec.shape) > 0


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
        lengths = {key: shapes[key][0] for key, spec in self._specs.items() if _has_rows(spec) and shapes[key]}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{key}: {length}" for key, length in lengths.items())
            raise LoadError(f"The arrays of {self._path!r} have different lengths: {told}.")
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
        for start in range(0, self.count, size):
            yield {
                key: _read_rows(array, start, size) if array.ndim and _has_rows(self._specs[key]) else array[()]
                for key, array in self._arrays.items()
            }


def _mapped(file: str) -> np.memmap:
    try:
        # Not np.load: it leaves a file open that turns out to be an archive.
        return np.lib.format.open_memmap(file, mode="r")
    except DAMAGED as error:
        raise LoadError(f"{file!r} cannot be read as a plain array: {error}") from error


def _read_rows(array: np.memmap, start: int, size: int) -> np.ndarray:
    """Returns rows as an array of their own, so that whoever reads ahead has read.

    They are mapped for that alone: the pages of a map of the whole file would be counted as memory of this process, one
    after the other, until they are all of it.
    """
    rows = array[start : start + size]
    if not array.flags.c_contiguous or not rows.nbytes:
        return np.array(rows)
    offset = array.offset + start * (rows.nbytes // len(rows))
    assert array.filename is not None, "it is mapped from a file"
    return np.array(np.memmap(array.filename, array.dtype, "r", offset, rows.shape))


class ArchiveReader(_Batched):
    """An .npz, compressed or not; its arrays are read front to back side by side, a batch at a time."""

    def __init__(self, path: str, specs: Mapping[str, Spec]):
        super().__init__(path, specs)
        try:
            with zipfile.ZipFile(path) as archive:
                headers = {n[:-4]: _header(archive, n) for n in archive.namelist() if n.endswith(".npy")}
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
        with zipfile.ZipFile(self._path) as archive:
            streams, whole = {}, {}
            for key, spec in self._specs.items():
                shape, fortran, dtype = self._headers[key]
                if not shape or not _has_rows(spec) or fortran or dtype.hasobject:
                    # Columns first, or pickled: there are no rows to read one after the other.
                    whole[key] = _whole(self._path, key)
                else:
                    streams[key] = archive.open(key + ".npy")
                    _skip_header(streams[key])
            for start in range(0, self.count, size):
                rows = min(size, self.count - start)
                batch = {key: self._read(key, stream, rows) for key, stream in streams.items()}
                for key, array in whole.items():
                    batch[key] = array[start : start + rows] if array.ndim and _has_rows(self._specs[key]) else array
                yield batch

    def _read(self, key: str, stream, rows: int) -> np.ndarray:
        shape, _, dtype = self._headers[key]
        wanted = rows * dtype.itemsize * int(np.prod(shape[1:], dtype=np.int64))
        data = stream.read(wanted)
        if len(data) != wanted:
            raise LoadError(f"{self._path!r} is cut: array {key!r} ends early.")
        return np.frombuffer(data, dtype).reshape(rows, *shape[1:])


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
        self._length += len(rows)
        if rows.dtype.kind == "S":
            self._strings.append(rows)
        else:
            self._stream.write(np.ascontiguousarray(rows, self._first.dtype).tobytes())

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
        told = {"descr": np.lib.format.dtype_to_descr(self._first.dtype), "fortran_order": False}
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {**told, "shape": (length, *self._first.shape[1:])})
        self._stream.write(header.getvalue())


def _plain_strings(rows: np.ndarray) -> np.ndarray:
    plain = rows.astype("S")
    if rows.size and any(value.endswith(b"\0") for value in rows.reshape(-1).tolist()):
        raise LoadError(
            "An output holds strings that end in zero bytes, which numpy files drop.\n"
            "  Write TFRecord: --outputs=OUT.tfrecord"
        )
    return plain


class ArrayWriter:
    """One output into one .npy."""

    def __init__(self, path: str):
        self._file = atomic.File(path)

    def __enter__(self):
        self._array = _GrowingArray(self._file.__enter__())
        return self

    def write(self, batch: Mapping[str, np.ndarray]) -> None:
        self._array.write(next(iter(batch.values())))

    def __exit__(self, kind, error, trace):
        if kind is None:
            self._array.close()
        return self._file.__exit__(kind, error, trace)


class FolderWriter:
    """Each output into a KEY.npy of its own, all in a new folder."""

    def __init__(self, path: str):
        self._folder = atomic.Folder(path)

    def __enter__(self):
        self._path = self._folder.__enter__()
        self._streams: dict = {}
        self._arrays: dict[str, _GrowingArray] = {}
        return self

    def write(self, batch: Mapping[str, np.ndarray]) -> None:
        for key, rows in batch.items():
            if key not in self._arrays:
                self._streams[key] = open(os.path.join(self._path, key.replace("/", "_") + ".npy"), "wb+")
                self._arrays[key] = _GrowingArray(self._streams[key])
            self._arrays[key].write(rows)

    def __exit__(self, kind, error, trace):
        for key, stream in self._streams.items():
            if kind is None:
                self._arrays[key].close()
                stream.flush()
                os.fsync(stream.fileno())
            stream.close()
        return self._folder.__exit__(kind, error, trace)


class ArchiveWriter:
    """All outputs into one .npz: grown as separate arrays beside it, then put together."""

    def __init__(self, path: str):
        self._file = atomic.File(path)
        self._near = os.path.dirname(os.path.realpath(path))

    def __enter__(self):
        self._target = self._file.__enter__()
        self._parts = atomic.new_folder(self._near)
        self._arrays: dict[str, tuple] = {}
        return self

    def write(self, batch: Mapping[str, np.ndarray]) -> None:
        for key, rows in batch.items():
            if key not in self._arrays:
                stream = open(os.path.join(self._parts, str(len(self._arrays))), "wb+")
                self._arrays[key] = (stream, _GrowingArray(stream))
            self._arrays[key][1].write(rows)

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self._put_together()
        except BaseException as failed:
            # What could not be put together must not be taken for whole.
            kind, error = type(failed), failed
            raise
        finally:
            shutil.rmtree(self._parts, ignore_errors=True)
            for stream, _ in self._arrays.values():
                with contextlib.suppress(OSError):
                    stream.close()
            self._file.__exit__(kind, error, trace)

    def _put_together(self) -> None:
        with zipfile.ZipFile(self._target, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for key, (stream, array) in self._arrays.items():
                array.close()
                stream.seek(0)
                with archive.open(key + ".npy", "w", force_zip64=True) as member:
                    shutil.copyfileobj(stream, member, _COPY_BYTES)
