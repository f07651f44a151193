"""sample.npz: the recorded inputs and answers, as they travel with an export.

Arrays `in/KEY` and `out/KEY`. Further sets of inputs, and the answers to them, are `sets/1/in/KEY`, `sets/1/out/KEY`,
`sets/2/…`; a reader that knows nothing of them still has a whole sample. `noise/KEY` (`sets/N/noise/KEY`) is the measured
rounding noise of an answer that is made of nothing else (see `comparison`).

Two kinds of arrays are not stored as they are. Strings are fixed-length bytes, because numpy would pickle objects, and
reading a pickle runs code; numpy drops zero bytes at the end of those, and serialized records do end so: `lengths/in/KEY`
then holds the true lengths. numpy's files have no bfloat16: such an array is float32, which holds the same values, and
`dtypes/in/KEY` names its type.
"""

import dataclasses
import os
import re
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from export_v1 import errors
from export_v1.format import packed

PATH = os.path.join("assets.extra", "sample.npz")
# What numpy lets through from zipfile, zlib and its own parser of headers where a file is damaged.
DAMAGED = (
    *(
        OSError,
        ValueError,
        EOFError,
        KeyError,
        SyntaxError,
        TypeError,
        NotImplementedError,
        RuntimeError,
        MemoryError,
        OverflowError,
    ),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)


@dataclasses.dataclass(frozen=True)
class Arrays:
    """Inputs, and the answers to them, by key.

    Attributes:
        inputs: one array per input key.
        outputs: one array per output key.
        noise: output key -> size of the rounding noise in its answer; no key where there is nothing to allow for.
        further: other inputs and the answers to them; these have no further ones themselves.
    """

    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]
    noise: Mapping[str, float] = dataclasses.field(default_factory=dict)
    further: Sequence["Arrays"] = ()


def write(sample: Arrays, path: str) -> None:
    """Writes a sample file."""
    stored: dict[str, Any] = {}
    for at, one_set in enumerate((sample, *sample.further)):
        prefix = f"sets/{at}/" if at else ""
        stored |= {f"{prefix}noise/{key}": np.float64(value) for key, value in one_set.noise.items()}
        for side, values in (("in", one_set.inputs), ("out", one_set.outputs)):
            for key, value in values.items():
                stored |= as_stored(f"{prefix}{side}/{key}", np.asarray(value))
    np.savez(path, **stored)


def as_stored(name: str, value: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the arrays that an array is stored as."""
    plain = known_to_files(value)
    if plain is not value:
        return {name: plain, f"dtypes/{name}": np.asarray(value.dtype.name.encode())}
    if value.dtype != object:
        return {name: value}
    strings = value.astype("S")
    if np.array_equal(strings.astype(object), value):
        return {name: strings}
    lengths = np.reshape([len(string) for string in value.reshape(-1)], value.shape)
    return {name: strings, f"lengths/{name}": lengths}


def known_to_files(value: np.ndarray) -> np.ndarray:
    """Returns an array as numpy can store it: float32 where it would write plain bytes and forget the type, as of bfloat16."""
    dtype = value.dtype
    unknown = dtype.kind == "V" and dtype.names is None and not dtype.name.startswith("void")
    return value.astype(np.float32) if unknown else value


def read(path: str, error: type[errors.UserError], remedy: str) -> Arrays:
    """Returns what a sample file holds; arguments and errors are those of `arrays`."""
    stored = arrays(path, error, remedy)
    numbers = sorted({int(match[1]) for match in map(_OF_A_SET.match, stored) if match})
    try:
        further = tuple(_one_set(stored, f"sets/{number}/") for number in numbers)
        return dataclasses.replace(_one_set(stored, ""), further=further)
    except (TypeError, ValueError) as failure:
        raise error(f"{path!r} is damaged: {failure}.\n  {remedy}") from failure


_OF_A_SET = re.compile(r"sets/(\d{1,9})/")


def _one_set(stored: Mapping[str, np.ndarray], prefix: str) -> Arrays:
    noise = side(stored, f"{prefix}noise/")
    for key, value in noise.items():
        check_noise(key, value)
    return Arrays(
        side(stored, f"{prefix}in/"),
        side(stored, f"{prefix}out/"),
        {key: float(np.max(value)) for key, value in noise.items() if value.dtype.kind == "f" and value.size},
    )


def check_noise(key: str, value: np.ndarray) -> None:
    """Checks that rounding noise is a size: with another, any answer would be equal to any other.

    Raises:
        TypeError, ValueError: it is none.
    """
    if not np.all(np.isfinite(value) & (value >= 0)):
        raise ValueError(f"the rounding noise of {key!r} is no size: {value}")


def arrays(path: str, error: type[errors.UserError], remedy: str) -> dict[str, np.ndarray]:
    """Returns the arrays of a sample file under their full names; strings and bfloat16 as they were written.

    Args:
        path: of the file.
        error: class of the error.
        remedy: what to do where it cannot be read.

    Raises:
        UserError: it is missing or damaged, or would have to be unpickled.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = ((member.filename, member.file_size) for member in archive.infolist())
            packed.check(path, members, error, remedy)
        # NumPy leaves a file open that it cannot read.
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            stored = {name: file[name] for name in file.files}
        return {name: _restored(name, value, stored) for name, value in stored.items()}
    except errors.UserError:
        raise
    except FileNotFoundError as failure:
        raise errors.no_path("file", str(path), remedy, error) from failure
    except DAMAGED as failure:
        raise error(f"{path!r} cannot be read as .npz: {errors.reason(failure)}.\n  {remedy}") from failure


def is_about_another(name: str) -> bool:
    """Returns whether an array is no input of the first set, but an answer, or says something of another array."""
    return name.startswith(("out/", "lengths/", "noise/", "dtypes/", "sets/"))


def side(stored: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Returns the arrays whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}


def _restored(name: str, value: np.ndarray, stored: Mapping[str, np.ndarray]) -> np.ndarray:
    dtype = stored.get(f"dtypes/{name}")
    if dtype is not None:
        return value.astype(_numpy_type(dtype.item().decode()))
    if value.dtype == np.dtype("V2"):
        # The first exports wrote bfloat16 as it came, and numpy forgot what it was.
        return value.view(_numpy_type("bfloat16"))
    return _whole_strings(value, stored.get(f"lengths/{name}"))


def _numpy_type(name: str) -> np.dtype:
    # The type is TensorFlow's own; who only asks for --help shall not wait for the import.
    import tensorflow as tf

    return np.dtype(tf.as_dtype(name).as_numpy_dtype)


def _whole_strings(values: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
    """Returns strings with the zero bytes at their ends that numpy's fixed-length strings drop."""
    if lengths is None:
        return values
    # What was stored is as wide as the longest of them was.
    if not np.all((lengths >= 0) & (lengths <= values.dtype.itemsize)):
        raise ValueError(f"strings of {values.dtype.itemsize:,} bytes at most are said to be of {lengths.max():,}")
    flat = zip(values.reshape(-1).tolist(), lengths.reshape(-1).tolist(), strict=True)
    return np.array([*(string.ljust(length, b"\0") for string, length in flat), None], object)[:-1].reshape(
        values.shape
    )
