"""variations: further inputs, made of a first set that the graph is known to take; the same ones every time.

What the first set cannot show: the other side of a condition that an input decides; negative numbers, which a ReLU drops;
small and large ones, at which a function is straight or saturated.
"""

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping

import numpy as np

from export_v1.format import record

# How many sets of other values are asked for; see `examples.sets`.
SETS = 4


@dataclasses.dataclass(frozen=True)
class Variation:
    """A set of inputs, and what is special about it."""

    name: str
    inputs: Mapping[str, np.ndarray]


def of(
    first: Mapping[str, np.ndarray], free: Collection[str], others: Iterable[Mapping[str, np.ndarray]]
) -> Iterator[Variation]:
    """Yields further sets of inputs, in the shapes of the first one.

    One for each scalar bool input, with its other value; then one for each of the others.

    Args:
        first: inputs that the graph takes.
        free: keys of those that may have any value; the rest are as in the set that is known to be taken.
        others: other values in the same shapes, of other scales and signs.
    """
    for key, value in first.items():
        if np.asarray(value).dtype == bool and np.ndim(value) == 0:
            flipped = np.logical_not(value)
            yield Variation(f"{key} = {str(bool(flipped)).lower()}", {**first, key: flipped})
    for at, other in enumerate(others if free else (), 1):
        inputs = {key: other[key] if key in free else value for key, value in first.items()}
        if any(not np.array_equal(inputs[key], value) for key, value in first.items()):
            yield Variation(f"{record.OTHER_VALUES}, {at}", inputs)
