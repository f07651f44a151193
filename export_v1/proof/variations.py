"""variations: further inputs, made of a first set that the graph is known to take; the same ones every time.

What the first set cannot show: the other side of a condition that an input decides; negative numbers, which a
ReLU drops; small and large ones, at which a function is straight or saturated.
"""

import dataclasses
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np

# Float inputs are drawn between -s and s for each of these.
SCALES = (1.0, 0.01, 100.0)


@dataclasses.dataclass(frozen=True)
class Variation:
    """A set of inputs, and what is special about it."""

    name: str
    inputs: Mapping[str, np.ndarray]


def of(
    first: Mapping[str, np.ndarray],
    free: Collection[str],
    another: Callable[[], Mapping[str, np.ndarray] | None],
) -> Iterator[Variation]:
    """Yields further sets of inputs, in the shapes of the first one.

    One for each scalar bool input, with its other value; one with other values throughout; one for each of `SCALES`.

    Args:
        first: inputs that the graph takes.
        free: keys of those that may have any value.
        another: makes up other values in the same shapes; None where it has no more.
    """
    for key, value in first.items():
        if np.asarray(value).dtype == bool and np.ndim(value) == 0:
            flipped = np.logical_not(value)
            yield Variation(f"{key} = {str(bool(flipped)).lower()}", {**first, key: flipped})
    other = another() if free else None
    if other is not None and not _same(first, other):
        # What may not have any value is as in the set that is known to be taken.
        yield Variation("other values", {key: other[key] if key in free else value for key, value in first.items()})
    floats = {key for key in free if _is_float(first[key])}
    for scale in SCALES if floats else ():
        drawn = {key: _drawn(key, np.asarray(first[key]), scale) for key in floats}
        yield Variation(f"floats between {-scale:g} and {scale:g}", {**first, **drawn})


def _is_float(value: np.ndarray) -> bool:
    return np.asarray(value).dtype.name in ("float16", "float32", "float64", "bfloat16")


def _same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return all(np.array_equal(value, other[key]) for key, value in one.items())


def _drawn(key: str, like: np.ndarray, scale: float) -> np.ndarray:
    random = np.random.default_rng([zlib.crc32(key.encode()), int(1000 * scale)])
    return random.uniform(-scale, scale, like.shape).astype(like.dtype)
