"""The numbers of an export's variables: range, mean, spread, histogram, and what is not finite."""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from load_v2.layer import archive_file, weights
from load_v2.program import artefact

BINS = 24


@dataclasses.dataclass(frozen=True)
class Numbers:
    """What one variable holds.

    Attributes:
        lowest: smallest finite value; None where there is none.
        highest: largest finite value.
        mean: of the finite values.
        spread: standard deviation of the finite values.
        bins: how many of the finite values are in each of `BINS` equal parts of the range.
        nan: how many are NaN.
        infinite: how many are infinite.
    """

    lowest: float | None = None
    highest: float | None = None
    mean: float | None = None
    spread: float | None = None
    bins: tuple[int, ...] = ()
    nan: int = 0
    infinite: int = 0


def read(source: artefact.Artefact) -> Iterator[tuple[artefact.Variable, Numbers]]:
    """Yields each variable and what it holds; a bounded number of values is in memory at a time.

    Raises:
        LoadError: a value is missing, or of another type or shape than the graph wants.
    """
    weights.check(source.variables, source)
    for variable, value in zip(source.variables, weights.restored(source.variables, source.bundle), strict=True):
        yield variable, numbers(value.numpy())


def of_archive(stored: archive_file.Stored) -> Iterator[tuple[artefact.Variable, Numbers]]:
    """Yields each variable of a layer in an archive and what it holds; one value is in memory at a time.

    Raises:
        LoadError: a value is missing, or nothing tells which is which.
    """
    by_name = {variable.name: variable for variable in stored.source.variables}
    for name, value in stored.values():
        if name in by_name:
            yield by_name[name], numbers(value)


def numbers(values: np.ndarray) -> Numbers:
    """Returns what an array holds; nothing of strings.

    >>> numbers(np.float32([0, 1, np.nan, 1])).nan, numbers(np.float32([0, 1])).bins[-1]
    (1, 1)
    """
    # NumPy's own kinds, and bfloat16, which is of kind "V".
    if values.dtype.kind in "SOU" or not values.size:
        return Numbers()
    flat = values.reshape(-1)
    flat = np.abs(flat) if flat.dtype.kind == "c" else flat.astype("float32" if flat.dtype.itemsize < 4 else "float64")
    nan, infinite = int(np.isnan(flat).sum()), int(np.isinf(flat).sum())
    if nan or infinite:
        flat = flat[np.isfinite(flat)]
    if not flat.size:
        return Numbers(nan=nan, infinite=infinite)
    lowest, highest = float(flat.min()), float(flat.max())
    # Of the largest floats not even the range is a float; their histogram is that of their quarters.
    part = 1.0 if math.isfinite(highest - lowest) else 0.25
    with np.errstate(over="ignore", invalid="ignore"):
        counted, _ = np.histogram(flat * part, BINS, (lowest * part, highest * part))
        mean, spread = float(flat.mean(dtype="float64")), float(flat.std(dtype="float64"))
    return Numbers(lowest, highest, mean, spread, tuple(int(count) for count in counted), nan, infinite)
