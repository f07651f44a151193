"""Whether two answers are equal: the one policy of step 1, `verify`, `port` and everything that proves.

There are three verdicts, and nothing that was not compared is ever called equal. Integers, booleans and strings have to
be identical, NaN equals NaN and an infinity itself. Two floats are equal when

    |want - have| <= tolerance * (|want| + scale) + noise

`scale` is the root mean square of the whole answer: an element near zero that is what is left of large terms carries
their rounding. There is no other floor, so an answer of size 1e-8 is held to its own size. Only where an answer is made
of rounding noise (a difference of two equal things) does that fail; `noise` says how large it was measured to be.
"""

import dataclasses
import enum
from collections.abc import Iterable

import numpy as np

# The passes change no arithmetic, but TensorFlow may fold, fuse and order sums differently in another graph, session or
# version. What that can make of each type, relative to the size of the answer:
TOLERANCES = {
    # 80 units in the last place (1.2e-7). Exports of real models stay below 20; one changed weight shows in the third
    # or fourth digit.
    "float32": 1e-5,
    "complex64": 1e-5,
    # Mostly float32 arithmetic that was cast at its end, so what holds for float32 holds here.
    "float64": 1e-5,
    "complex128": 1e-5,
    # 10 and 6 units in the last place (9.8e-4, 7.8e-3): intermediate values are rounded to these types, too.
    "float16": 1e-2,
    "bfloat16": 5e-2,
}


class Verdict(enum.Enum):
    """What is known of an answer; the word is the value."""

    EQUAL = "equal"
    DIFFERENT = "different"
    NOT_PROVEN = "not proven"

    def __str__(self) -> str:
        return self.value.upper() if self is Verdict.DIFFERENT else self.value


def overall(verdicts: Iterable[Verdict]) -> Verdict:
    """Returns the verdict on several things: different where one is, equal where all that were compared are.

    >>> overall([Verdict.EQUAL, Verdict.NOT_PROVEN]), overall([])
    (<Verdict.EQUAL: 'equal'>, <Verdict.NOT_PROVEN: 'not proven'>)
    """
    reached = set(verdicts)
    return next((verdict for verdict in (Verdict.DIFFERENT, Verdict.EQUAL) if verdict in reached), Verdict.NOT_PROVEN)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One output compared.

    Attributes:
        key: of the output.
        verdict: equal where all elements are within the tolerance, or identical where they are not floats.
        largest: largest absolute difference; NaN where shapes or types differ.
        relative: largest difference relative to the element that was wanted.
        index: where the largest absolute difference is.
        tolerance: relative tolerance used, 0 for types that must be identical.
        note: what else there is to say, such as two shapes that differ.
    """

    key: str
    verdict: Verdict
    largest: float
    relative: float
    index: tuple[int, ...]
    tolerance: float
    note: str = ""

    @property
    def equal(self) -> bool:
        """Whether the output was compared and is equal."""
        return self.verdict is Verdict.EQUAL

    def to_json(self) -> dict[str, object]:
        """Returns it as plain JSON values; a difference that is no finite number is null."""
        finite = {name: value if np.isfinite(value) else None for name, value in
                  (("largest", self.largest), ("relative", self.relative))}  # fmt: skip
        return {
            "key": self.key,
            "verdict": self.verdict.value,
            **finite,
            "index": list(self.index),
            "tolerance": self.tolerance,
            "note": self.note,
        }

    def __str__(self) -> str:
        return f"{self.key}: {self.verdict}, {self.difference}"

    @property
    def difference(self) -> str:
        """What the difference is, in words: the note, or how large and where it is."""
        if self.note:
            return self.note
        allowed = f"tolerance {self.tolerance:g}" if self.tolerance else "must be identical"
        where = f" at {list(self.index)}" if self.largest else ""
        size = f"{self.largest:.3g} absolute, {self.relative:.3g} relative"
        return f"largest difference {size}{where} ({allowed})"


_WORST_FIRST = (Verdict.DIFFERENT, Verdict.NOT_PROVEN, Verdict.EQUAL)


def rank(compared: Comparison) -> tuple[int, float]:
    """Returns what sorts comparisons, the worst first: those that differ, then by the largest difference."""
    return _WORST_FIRST.index(compared.verdict), -float(np.nan_to_num(compared.relative))


def compare(
    key: str,
    want: np.ndarray,
    have: np.ndarray,
    *,
    noise: float = 0.0,
    sides: tuple[str, str] = ("in the TF1 sample", "in the TF2 result"),
) -> Comparison:
    """Returns how `have` differs from `want`.

    Args:
        key: what the answer is called.
        want: the answer that is right.
        have: the answer to judge; equal only if it has the same shape and type.
        noise: absolute size of the rounding noise that was measured in `want`.
        sides: where the two are from, for notes.

    >>> print(compare("y", np.float32([1, 2]), np.float32([1, 3])))
    y: DIFFERENT, largest difference 1 absolute, 0.5 relative at [1] (tolerance 1e-05)
    """
    if want.shape != have.shape:
        return _unlike(key, f"shape {list(want.shape)} {sides[0]}, {list(have.shape)} {sides[1]}")
    if want.dtype.kind in "SOU" and have.dtype.kind in "SOU":
        return _compare_strings(key, want, have, sides)
    if want.dtype != have.dtype:
        return _unlike(key, f"{want.dtype} {sides[0]}, {have.dtype} {sides[1]}")
    tolerance = TOLERANCES.get(want.dtype.name, 0.0)
    if not want.size:
        return Comparison(key, Verdict.EQUAL, 0.0, 0.0, (), tolerance)
    if not tolerance:
        return _compare_exact(key, want, have)
    double = "complex128" if want.dtype.kind == "c" else "float64"
    want, have = want.astype(double), have.astype(double)
    with np.errstate(invalid="ignore"):
        same = (want == have) | (np.isnan(want) & np.isnan(have))
        difference = np.where(same, 0.0, np.abs(want - have))
        difference = np.where(np.isnan(difference), np.inf, difference)
        equal = same | (np.isfinite(difference) & (difference <= allowed(want, tolerance, noise)))
    return _summed_up(key, want, difference, bool(np.all(equal)), tolerance)


def not_proven(key: str, why: str) -> Comparison:
    """Returns what there is to say of an output that was not, or could not be, compared."""
    return Comparison(key, Verdict.NOT_PROVEN, np.nan, np.nan, (), 0, why)


def missing(key: str, where: str) -> Comparison:
    """Returns what there is to say of an answer that should be somewhere and is not: that counts as different."""
    return _unlike(key, where)


def allowed(want: np.ndarray, tolerance: float, noise: float = 0.0) -> np.ndarray:
    """Returns by how much an answer may differ from each element of `want`."""
    return tolerance * (np.abs(want) + scale(want)) + noise


def scale(values: np.ndarray) -> float:
    """Returns the root mean square of the finite elements; 0 where there are none."""
    finite = np.abs(values[np.isfinite(values)])
    return float(np.sqrt(np.mean(finite**2))) if finite.size else 0.0


def _unlike(key: str, note: str) -> Comparison:
    return Comparison(key, Verdict.DIFFERENT, np.nan, np.nan, (), 0, note)


def _compare_exact(key: str, want: np.ndarray, have: np.ndarray) -> Comparison:
    differ = want != have
    # As Python's integers: the difference of two of 64 bits fits neither a float nor 64 bits.
    difference = np.zeros(want.shape)
    for index in map(tuple, np.argwhere(differ)):
        difference[index] = abs(int(want[index]) - int(have[index]))
    return _summed_up(key, want, difference, not differ.any(), 0.0)


def _summed_up(key: str, want: np.ndarray, difference: np.ndarray, equal: bool, tolerance: float) -> Comparison:
    index = np.unravel_index(int(np.argmax(difference)), difference.shape)
    size = np.abs(want.astype("float64") if want.dtype.kind in "iub" else want)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(difference == 0, 0.0, difference / size)
    # Infinitely far from an infinity is no ratio; where there is nothing else, it is as far as can be.
    largest = float(np.max(relative, where=~np.isnan(relative), initial=0.0))
    if np.isnan(relative).all():
        largest = np.inf
    verdict = Verdict.EQUAL if equal else Verdict.DIFFERENT
    return Comparison(key, verdict, float(difference[index]), largest, tuple(int(i) for i in index), tolerance)


def _compare_strings(key: str, want: np.ndarray, have: np.ndarray, sides: tuple[str, str]) -> Comparison:
    differ = _as_bytes(want) != _as_bytes(have)
    if not differ.any():
        return Comparison(key, Verdict.EQUAL, 0.0, 0.0, (), 0.0)
    index = tuple(int(i) for i in np.argwhere(differ)[0])
    first = f"{want[index]!r} {sides[0]}, {have[index]!r} {sides[1]}"
    note = f"{int(differ.sum())} strings differ, first at {list(index)}: {first}"
    return Comparison(key, Verdict.DIFFERENT, np.nan, np.nan, index, 0.0, note)


def _as_bytes(values: np.ndarray) -> np.ndarray:
    flat = [
        value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else repr(value).encode()
        for value in values.reshape(-1).tolist()
    ]
    return np.array([*flat, b""], dtype=object)[:-1].reshape(values.shape)
