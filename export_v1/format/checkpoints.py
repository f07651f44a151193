"""A checkpoint of either format, opened by TensorFlow after what it takes at its word was looked at."""

import glob
import math
import mmap
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from export_v1 import errors
from export_v1.format import bundle, plain_path, table

# What TensorFlow's reader raises for a file that is damaged, or shorter than its index says: it makes Python's exceptions of
# status codes.
UNREADABLE = (tf.errors.OpError, ValueError, RuntimeError, IndexError, KeyError, TypeError, MemoryError)


class Opened(NamedTuple):
    """What a checkpoint holds.

    Attributes:
        reader: TensorFlow's CheckpointReader.
        shapes: key -> shape of each value that a variable can have.
        dtypes: key -> type, likewise.
    """

    reader: Any
    shapes: Mapping[str, list[int]]
    dtypes: Mapping[str, tf.DType]


def opened(prefix: str, error: type[errors.UserError] = errors.ExportError) -> Opened:
    """Opens a checkpoint.

    Guaranteed: reading any of its values, whole or in part, by the reader or by RestoreV2, ends with the value or an
    error, unless its files are changed after this.

    Args:
        prefix: of a bundle; or the file of a V1 checkpoint, or the pattern of its shards.
        error: class of the error.

    Raises:
        UserError: it cannot be opened, is damaged, or was made to do harm.
    """
    try:
        index = bundle.read(prefix, error)
        if index is not None:
            bundle.check_lengths(prefix, index, error)
        else:
            check_kind(prefix, error)
        # Where both formats have the prefix, the reader takes the bundle, and RestoreV2 the other.
        size = _check_v1(prefix, error)
        # tf.train.load_checkpoint takes a prefix that ends in "/" for a folder.
        reader = tf.compat.v1.train.NewCheckpointReader(plain_path.of(prefix))
        shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    except errors.UserError:
        raise
    except (*UNREADABLE, OSError) as unreadable:
        raise bundle.refused(prefix, errors.reason(unreadable), error) from unreadable
    # An iterator's state is a variant; TensorFlow's reader of these takes their lengths at their word, and no variable has one.
    values = [key for key, dtype in dtypes.items() if dtype not in (tf.variant, tf.resource)]
    for key in values:
        if not os.path.isfile(prefix + ".index") and math.prod(shapes[key]) > size:
            raise bundle.refused(prefix, f"its {size:,} bytes cannot hold {key!r} of shape {shapes[key]}", error)
    return Opened(reader, {key: shapes[key] for key in values}, {key: dtypes[key] for key in values})


# How files begin that people take for a checkpoint, what they are, and what to do with them.
_OTHERS = (
    (
        b"\x1f\x8b",
        "packed by gzip",
        "Unpack it; a packed SavedModel or Hub module goes with --saved_model=FILE.tar.gz.",
    ),
    (b"PK\x03\x04", "an archive (.zip, .npz, .keras, PyTorch's)", "Unpack what TensorFlow 1 wrote out of it."),
    (b"\x89HDF", "HDF5, as Keras writes it", "Load it with Keras: keras.models.load_model(FILE)."),
    (b"\x80", "a pickle, as PyTorch and others write it", "TensorFlow 1 wrote none of these."),
)


def check_kind(prefix: str, error: type[errors.UserError] = errors.ExportError) -> None:
    """Checks that the files of a prefix without an index are a V1 checkpoint: any file could be named by it.

    Raises:
        UserError: they are not; what they are, as far as that shows, and what a checkpoint is. Of class `error`.
    """
    for path in filter(os.path.isfile, glob.glob(plain_path.of(prefix))):
        if table.is_one(path):
            continue
        with open(path, "rb") as file:
            head = file.read(8)
        what, remedy = next(
            ((what, remedy) for magic, what, remedy in _OTHERS if head.startswith(magic)),
            ("no file that TensorFlow's Saver writes", "If it is a frozen graph, pass --graph_def=FILE.")
            if head
            else ("empty", "Copy it again."),
        )
        raise error(
            f"{prefix!r} is not a checkpoint: it is {what}.\n  {remedy}\n"
            "  A checkpoint is PREFIX.index and PREFIX.data-00000-of-00001, or, of TensorFlow before 1.0, one file that ends "
            "in TensorFlow's own mark, which this one has not, or has lost."
        )


def _check_v1(prefix: str, error: type[errors.UserError]) -> int:
    """Returns the size of a V1 checkpoint's files: a tensor in them has no more elements than that; 0: there are none."""
    total = 0
    for path in glob.glob(plain_path.of(prefix)):
        if os.path.isfile(path) and os.path.getsize(path):
            total += os.path.getsize(path)
            with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                try:
                    for _ in table.blocks(content):
                        pass
                except table.DamagedError as damaged:
                    raise bundle.refused(prefix, str(damaged), error) from damaged
    return total
