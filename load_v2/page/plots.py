"""Small plots as SVG, in the colours of the page."""

import html
import math
from collections.abc import Sequence

from load_v2.page.proof import GROUPS, Plot

_SIDE = 260
_EDGE = 34


def histogram(bins: Sequence[int], label: str) -> str:
    """Returns bars, high as the square root of what is counted, so that a tail is seen beside a peak."""
    if not bins:
        return ""
    width, height, top = 96, 22, max(bins)
    step = width / len(bins)
    bars = "".join(
        f"M{at * step:.1f} {height}v-{max(1.0, height * math.sqrt(count / top)):.1f}h{step - 0.5:.1f}V{height}z"
        for at, count in enumerate(bins)
        if count
    )
    return (
        f'<svg class="bars" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{html.escape(label)}"><path d="{bars}"/></svg>'
    )


def scatter(plot: Plot) -> str:
    """Returns recorded answers against the export's; equal ones lie on the diagonal."""
    if not plot.points:
        return ""
    values = [value for point in plot.points for value in point]
    lowest, highest = min(values), max(values)
    inner = _SIDE - 2 * _EDGE

    def place(value: float) -> float:
        # Halves, since the distance of the largest float from its negative is no float. One value stands in the middle.
        span = highest / 2 - lowest / 2
        return (value / 2 - lowest / 2) / span * inner if span else inner / 2

    dots = "".join(
        f"M{_EDGE + place(want):.1f} {_SIDE - _EDGE - place(have):.1f}h0" for want, have in dict.fromkeys(plot.points)
    )
    frame = f'<rect class="frame" x="{_EDGE}" y="{_EDGE}" width="{inner}" height="{inner}"/>'
    diagonal = f'<path class="rule" d="M{_EDGE} {_SIDE - _EDGE}L{_SIDE - _EDGE} {_EDGE}"/>'
    ends = (
        f'<text x="{_EDGE}" y="{_SIDE - 18}">{lowest:.4g}</text>'
        f'<text x="{_SIDE - _EDGE}" y="{_SIDE - 18}" text-anchor="end">{highest:.4g}</text>'
        f'<text x="{_SIDE / 2}" y="{_SIDE - 4}" text-anchor="middle">the original, recorded</text>'
        f'<text transform="translate(14 {_SIDE / 2}) rotate(-90)" text-anchor="middle">this export</text>'
    )
    label = f"{plot.comparison.key}: recorded answers against the export's"
    return (
        f'<svg class="plot" viewBox="0 0 {_SIDE} {_SIDE}" role="img" aria-label="{html.escape(label)}">'
        f'{frame}{diagonal}<path class="dots" d="{dots}"/>{ends}</svg>'
    )


def differences(plot: Plot) -> str:
    """Returns how many elements differ by how much of what is allowed."""
    total = sum(plot.groups)
    if not total:
        return ""
    row, left, width = 28, 96, 150
    parts = []
    for at, (name, count) in enumerate(zip(GROUPS, plot.groups, strict=True)):
        y = at * row + 26
        length = max(2.0, width * count / total) if count else 0.0
        kind = "bad" if at == len(GROUPS) - 1 else "good"
        parts.append(
            f'<text x="{left - 6}" y="{y + 13}" text-anchor="end">{name}</text>'
            f'<rect class="{kind}" x="{left}" y="{y}" width="{length:.1f}" height="18" rx="2"/>'
            f'<text x="{left + length + 5:.1f}" y="{y + 13}">{count:,}</text>'
        )
    label = f"{plot.comparison.key}: how many elements differ by how much of what is allowed"
    height = len(GROUPS) * row + 30
    return (
        f'<svg class="plot" viewBox="0 0 300 {height}" role="img" aria-label="{html.escape(label)}">'
        f'<text x="0" y="12">elements, by their share of the allowed difference</text>{"".join(parts)}</svg>'
    )
