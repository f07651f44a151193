"""sample.npz: the recorded inputs and answers, as they travel with an export.

Arrays `in/KEY` and `out/KEY`. Strings are fixed-length bytes, because numpy would pickle objects, and reading a pickle
runs code; numpy drops zero bytes at the end of those, and serialized records do end so: `lengths/in/KEY` then holds the
true lengths. `noise/KEY` is the measured rounding noise of an answer that is made of nothing else (see `comparison`).
"""

import dataclasses
import os
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
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
    """

    inputs: Mapping[str, np.ndarray]
    outputs: Mapping[str, np.ndarray]
    noise: Mapping[str, float] = dataclasses.field(default_factory=dict)


def write(sample: Arrays, path: str) -> None:
    """Writes a sample file."""
    named = {f"in/{key}": value for key, value in sample.inputs.items()}
    named |= {f"out/{key}": value for key, value in sample.outputs.items()}
    stored: dict[str, Any] = {f"noise/{key}": np.float64(value) for key, value in sample.noise.items()}
    for name, value in named.items():
        value = np.asarray(value)
        stored[name] = value.astype("S") if value.dtype == object else value
        if value.dtype == object and not np.array_equal(stored[name].astype(object), value):
            lengths = [len(string) for string in value.reshape(-1)]
            stored[f"lengths/{name}"] = np.reshape(lengths, value.shape)
    np.savez(path, **stored)


def read(path: str, error: type[errors.UserError], remedy: str) -> Arrays:
    """Returns what a sample file holds; arguments and errors are those of `arrays`."""
    stored = arrays(path, error, remedy)
    noise = {key: float(np.max(value)) for key, value in _side(stored, "noise/").items() if value.dtype.kind == "f"}
    return Arrays(_side(stored, "in/"), _side(stored, "out/"), noise)


def arrays(path: str, error: type[errors.UserError], remedy: str) -> dict[str, np.ndarray]:
    """Returns the arrays of a sample file under their full names; strings as they were written.

    Args:
        path: of the file.
        error: class of the error.
        remedy: what to do where it cannot be read.

    Raises:
        UserError: it is missing or damaged, or would have to be unpickled.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            packed.check_size(path, archive.infolist(), error, remedy)
        with np.load(path, allow_pickle=False) as file:
            stored = {name: file[name] for name in file.files}
        return {name: _whole_strings(value, stored.get(f"lengths/{name}")) for name, value in stored.items()}
    except errors.UserError:
        raise
    except DAMAGED as failure:
        raise error(f"{path!r} cannot be read as .npz: {errors.reason(failure)}.\n  {remedy}") from failure


def _side(stored: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}


def _whole_strings(values: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
    """Returns strings with the zero bytes at their ends that numpy's fixed-length strings drop."""
    if lengths is None:
        return values
    flat = zip(values.reshape(-1).tolist(), lengths.reshape(-1).tolist(), strict=True)
    return np.array([*(string.ljust(length, b"\0") for string, length in flat), None], object)[:-1].reshape(
        values.shape
    )
