"""The recorded answers beside the export's, as points to plot."""

import dataclasses

import numpy as np

from export_v1.format import comparison
from export_v1.format.comparison import Comparison

# Points of one plot; of larger answers so many are drawn, the largest differences among them.
_POINTS = 1500
# How far an answer may be off, in parts of what is allowed; the last group is what is too far.
EDGES = (0.0, 1e-3, 1e-2, 1e-1, 1.0)
GROUPS = ("identical", "up to 1/1000", "up to 1/100", "up to 1/10", "up to all", "more")


@dataclasses.dataclass(frozen=True)
class Plot:
    """One output under one set of inputs, read by one reader.

    Attributes:
        reader: what read the export.
        number: of the set of inputs; 0 is the first.
        comparison: of the two answers.
        elements: how many there are.
        points: pairs of the recorded element and the export's; none of strings.
        groups: how many elements are in each of `GROUPS`.
    """

    reader: str
    number: int
    comparison: Comparison
    elements: int
    points: tuple[tuple[float, float], ...] = ()
    groups: tuple[int, ...] = ()


def of(reader: str, number: int, want: np.ndarray, have: np.ndarray, compared: Comparison, noise: float = 0.0) -> Plot:
    """Returns what there is to plot of an answer."""
    plain = Plot(reader, number, compared, int(want.size))
    if want.shape != have.shape or want.dtype.kind in "SOU" or have.dtype.kind in "SOU" or not want.size:
        return plain
    if want.dtype.kind == "c":
        want, have = np.abs(want), np.abs(have)
    want, have = (side.reshape(-1).astype("float64") for side in (want, have))
    with np.errstate(over="ignore", invalid="ignore"):
        same = (want == have) | (np.isnan(want) & np.isnan(have))
        allowed = comparison.allowed(want, compared.tolerance, noise)
        off = np.where(same, 0.0, np.abs(want - have))
        parts = np.divide(off, allowed, out=np.where(off > 0, np.inf, 0.0), where=allowed > 0)
    parts = np.where(np.isnan(parts), np.inf, parts)
    groups = np.bincount(np.searchsorted(EDGES, parts, side="left"), minlength=len(GROUPS))
    finite = np.flatnonzero(np.isfinite(want) & np.isfinite(have))
    if finite.size > _POINTS:
        worst = finite[np.argsort(parts[finite])[-_POINTS // 10 :]]
        spread = finite[np.linspace(0, finite.size - 1, _POINTS - worst.size).astype(int)]
        finite = np.unique(np.concatenate([worst, spread]))
    points = tuple(zip(want[finite].tolist(), have[finite].tolist(), strict=True))
    return dataclasses.replace(plain, points=points, groups=tuple(int(count) for count in groups))


def worst_first(plots: list[Plot]) -> list[Plot]:
    """Returns the plots of each output once, that of the set and reader that differ most, different ones first."""
    chosen: dict[str, Plot] = {}
    for plot in plots:
        other = chosen.get(plot.comparison.key)
        if other is None or comparison.rank(plot.comparison) < comparison.rank(other.comparison):
            chosen[plot.comparison.key] = plot
    return sorted(chosen.values(), key=lambda plot: comparison.rank(plot.comparison)[0])
