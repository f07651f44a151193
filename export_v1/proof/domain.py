"""The values that an input of a graph may have: limits and an order, but no values yet."""

import dataclasses
from collections.abc import Callable

import numpy as np

# Limits of a place of which no reader says anything.
UNSAID = (-(2**31), 2**31)
# Orders that would not hold any more with other limits.
_WHOLE = ("splits", "parts")


@dataclasses.dataclass(frozen=True)
class Domain:
    """The values that an input may have.

    Attributes:
        low: the smallest, one for all or one for each place of the last axes.
        high: the first that is too large, likewise.
        order: "" for none, "rising" (never falling, from `low` on), "distinct" (no two equal), "rows" (no two rows equal,
            and sorted), "splits" (rising from `low` to the largest), "parts" (their sum is the largest) or "definite" (a
            positive definite matrix).
        words: what strings are made of.
        is_loose: whether other values would do, too: these are only convenient.
    """

    low: np.ndarray | float = 1
    high: np.ndarray | float = 3
    order: str = ""
    words: tuple[bytes, ...] = ()
    is_loose: bool = False

    @property
    def is_uniform(self) -> bool:
        """Whether each place has the same limits."""
        return np.ndim(self.low) == 0 and np.ndim(self.high) == 0

    def shifted(self, change: Callable) -> "Domain":
        """Returns the domain of something from which `change` computes this one's limits."""
        return dataclasses.replace(self, low=change(np.asarray(self.low)), high=change(np.asarray(self.high)))

    def at(self, place) -> "Domain":
        """Returns the limits of one place of the first axis, or of several."""
        if self.is_uniform:
            return self
        low, high = np.broadcast_arrays(self.low, self.high)
        return dataclasses.replace(self, low=low[place], high=high[place])


def exactly(value, order: str = "") -> Domain:
    """Returns the domain of one value."""
    array = np.asarray(value, np.int64)
    return Domain(array, array + 1, order)


def below(size: int | None, order: str = "") -> Domain | None:
    """Returns whole numbers from 0 on, below a size where that is known."""
    return Domain(0, size, order) if size else None


def both(first: Domain | None, second: Domain | None) -> Domain | None:
    """Returns values that two readers can take, or those of the first reader where there are none."""
    if first is None or second is None:
        return second if first is None else first
    if first.order in _WHOLE or second.order in _WHOLE:
        return first if first.order in _WHOLE else second
    if first.is_loose != second.is_loose:
        return second if first.is_loose else first
    order, words = first.order or second.order, first.words or second.words
    try:
        low, high = np.maximum(first.low, second.low), np.minimum(first.high, second.high)
    except ValueError:
        return first
    if np.any(low >= high):
        return first
    return Domain(low if low.ndim else float(low), high if high.ndim else float(high), order, words, first.is_loose)
