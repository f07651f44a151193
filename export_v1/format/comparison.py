"""Whether two answers are equal: the one policy of step 1, `verify`, `port` and everything that proves.

Integers, booleans and strings have to be identical, NaN equals NaN and an infinity itself. Two floats are equal when

    |want - have| <= tolerance * (|want| + scale) + noise

`scale` is the root mean square of the whole answer: an element near zero that is what is left of large terms carries
their rounding. There is no other floor, so an answer of size 1e-8 is held to its own size. Only where an answer is made
of rounding noise (a difference of two equal things) does that fail; `noise` says how large it was measured to be.
"""

import dataclasses

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


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One output compared.

    Attributes:
        key: of the output.
        equal: whether all elements are within the tolerance, or identical where they are not floats.
        largest: largest absolute difference; NaN where shapes or types differ.
        relative: largest difference relative to the element that was wanted.
        index: where the largest absolute difference is.
        tolerance: relative tolerance used, 0 for types that must be identical.
        note: what else there is to say, such as two shapes that differ.
    """

    key: str
    equal: bool
    largest: float
    relative: float
    index: tuple[int, ...]
    tolerance: float
    note: str = ""

    def __str__(self) -> str:
        verdict = "equal" if self.equal else "DIFFERENT"
        if self.note:
            return f"{self.key}: {verdict}, {self.note}"
        allowed = f"tolerance {self.tolerance:g}" if self.tolerance else "must be identical"
        where = f" at {list(self.index)}" if self.largest else ""
        size = f"{self.largest:.3g} absolute, {self.relative:.3g} relative"
        return f"{self.key}: {verdict}, largest difference {size}{where} ({allowed})"


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
        return Comparison(key, True, 0.0, 0.0, (), tolerance)
    if not tolerance:
        return _compare_exact(key, want, have)
    wide = "complex128" if want.dtype.kind == "c" else "float64"
    wide_want, wide_have = want.astype(wide), have.astype(wide)
    with np.errstate(invalid="ignore"):
        same = (wide_want == wide_have) | (np.isnan(wide_want) & np.isnan(wide_have))
        difference = np.where(same, 0.0, np.abs(wide_want - wide_have))
        difference = np.where(np.isnan(difference), np.inf, difference)
        allowed = tolerance * (np.abs(wide_want) + scale(wide_want)) + noise
        equal = same | (np.isfinite(difference) & (difference <= allowed))
    return _summed_up(key, wide_want, difference, bool(np.all(equal)), tolerance)


def scale(values: np.ndarray) -> float:
    """Returns the root mean square of the finite elements; 0 where there are none."""
    finite = np.abs(values[np.isfinite(values)])
    return float(np.sqrt(np.mean(finite**2))) if finite.size else 0.0


def _unlike(key: str, note: str) -> Comparison:
    return Comparison(key, False, np.nan, np.nan, (), 0, note)


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
    return Comparison(
        key, equal, float(difference[index]), float(np.nanmax(relative)), tuple(int(i) for i in index), tolerance
    )


def _compare_strings(key: str, want: np.ndarray, have: np.ndarray, sides: tuple[str, str]) -> Comparison:
    differ = _as_bytes(want) != _as_bytes(have)
    if not differ.any():
        return Comparison(key, True, 0.0, 0.0, (), 0.0)
    index = tuple(int(i) for i in np.argwhere(differ)[0])
    first = f"{want[index]!r} {sides[0]}, {have[index]!r} {sides[1]}"
    note = f"{int(differ.sum())} strings differ, first at {list(index)}: {first}"
    return Comparison(key, False, np.nan, np.nan, index, 0.0, note)


def _as_bytes(values: np.ndarray) -> np.ndarray:
    flat = [
        value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else repr(value).encode()
        for value in values.reshape(-1).tolist()
    ]
    return np.array([*flat, b""], dtype=object)[:-1].reshape(values.shape)
