"""TFRecord files of tf.Example: one feature for each input or output, flattened."""

import contextlib
import gzip
import zlib
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from export_v1.format import plain_path
from load_v2 import errors
from load_v2.errors import LoadError
from load_v2.program.signature import Spec
from load_v2.scoring import atomic

_STORED = {"string": tf.string}
# A record is its length, a checksum of that, its bytes, and a checksum of these.
_HEAD, _AROUND, _MOST = 8, 16, 2**62


class Reader:
    """Examples whose features are the inputs without the batch dimension; sizes must be known from the signature.

    A signature that takes serialized examples itself (one string input of rank 1) gets the records as they are.
    """

    count = None

    def __init__(self, path: str, specs: Mapping[str, Spec]):
        self._path = path
        self._specs = specs
        only = next(iter(specs.values())) if len(specs) == 1 else None
        self._raw = only is not None and only.dtype == "string" and only.shape is not None and len(only.shape) == 1
        if not self._raw:
            self._features = {key: _feature(path, key, spec) for key, spec in specs.items()}

    def batches(self, size: int) -> Iterator[dict]:
        check_lengths(self._path)
        compression = "GZIP" if self._path.endswith(".gz") else None
        records = tf.data.TFRecordDataset(plain_path.of(self._path), compression).batch(size)
        if not self._raw:
            records = records.map(self._parse, num_parallel_calls=tf.data.AUTOTUNE)
        try:
            for batch in records.prefetch(tf.data.AUTOTUNE):
                if self._raw:
                    yield {next(iter(self._specs)): batch}
                else:
                    yield {key: tf.cast(value, self._specs[key].dtype) for key, value in batch.items()}
        except tf.errors.OpError as error:
            raise LoadError(f"{self._path!r} cannot be read: {error.message}") from error

    def _parse(self, batch: tf.Tensor) -> dict:
        return tf.io.parse_example(batch, self._features)


def check_lengths(path: str) -> None:
    """Checks that every record of a file ends within it; TensorFlow makes room for as much as it is told.

    Raises:
        LoadError: one does not, or the file cannot be read.
    """
    try:
        with gzip.open(path) if path.endswith(".gz") else open(path, "rb") as file:
            at = number = 0
            while head := file.read(_HEAD):
                length = int.from_bytes(head, "little")
                if length < _MOST:
                    file.seek(at + length + _AROUND - 1)
                if length >= _MOST or not file.read(1):
                    raise LoadError(
                        f"{path!r} cannot be read: it ends within record {number:,}, which begins at byte {at:,} and is "
                        f"said to have {length:,} bytes.\n  It is cut off, or no TFRecord. Get a fresh copy of it."
                    )
                at, number = at + length + _AROUND, number + 1
    except (OSError, EOFError, zlib.error) as error:
        raise LoadError(f"{path!r} cannot be read: {error}.\n  Get a fresh copy of it.") from error


def _feature(path: str, key: str, spec: Spec) -> tf.io.FixedLenFeature:
    if not spec.shape or None in spec.shape[1:]:
        raise LoadError(
            f"Input {key!r} is {spec}: an example in {path!r} has no shape, so all sizes but the first must be known.\n"
            "  Use .npz or .npy, or give the shape in step 1."
        )
    dtype = tf.as_dtype(spec.dtype)
    stored = tf.float32 if dtype.is_floating else _STORED.get(spec.dtype, tf.int64)
    return tf.io.FixedLenFeature(spec.shape[1:], stored)


class _Records:
    """One tf.Example for each row; floats as float32, integers and booleans as int64, shapes are not kept."""

    def __init__(self, records: tf.io.TFRecordWriter):
        self._records = records

    def write(self, batch: Mapping[str, np.ndarray]) -> None:
        rows = len(next(iter(batch.values())))
        for row in range(rows):
            # As an array of one, because a string alone would lose zero bytes at its end to numpy.
            features = {key: _packed(array[row : row + 1]) for key, array in batch.items()}
            example = tf.train.Example(features=tf.train.Features(feature=features))
            with _as_the_system_says():
                self._records.write(example.SerializeToString())


@contextlib.contextmanager
def writer(path: str) -> Iterator[_Records]:
    """Yields a writer of TFRecord."""
    options = tf.io.TFRecordOptions(compression_type="GZIP" if path.endswith(".gz") else "")
    with atomic.published(path) as part:
        records = tf.io.TFRecordWriter(plain_path.of(part), options)
        try:
            yield _Records(records)
        except BaseException:
            # What is unfinished goes away; that it cannot be closed says nothing new.
            with contextlib.suppress(tf.errors.OpError):
                records.close()
            raise
        with _as_the_system_says():
            records.close()


@contextlib.contextmanager
def _as_the_system_says() -> Iterator[None]:
    """Turns TensorFlow's word for a full disk into the system's."""
    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(errors.reason(error)) from error


def _packed(value: np.ndarray) -> tf.train.Feature:
    flat = np.asarray(value).reshape(-1)
    if flat.dtype.kind == "f" or flat.dtype.name == "bfloat16":
        return tf.train.Feature(float_list=tf.train.FloatList(value=flat.astype("float32")))
    if flat.dtype.kind in "iub":
        return tf.train.Feature(int64_list=tf.train.Int64List(value=flat.astype("int64")))
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[bytes(item) for item in flat]))
