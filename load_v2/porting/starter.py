"""A rules file to begin with: every variable and every weight once, matched, proposed, or left for a person to say."""

import re
from collections.abc import Iterable, Sequence

from load_v2.porting import proposing, suggestions
from load_v2.porting.account import Report

_HEAD = """\
# Rules for model {model!r} from {checkpoint!r}: {weights} weights, {variables} variables.
#   {matched} are certain, {proposed} are proposed, {open} have nothing proposed.
# Look at what is proposed and fill in what is open. Whether it is right, only answers tell: pass --expect=IO.npz.
"""


def text(report: Report, ema: bool | None) -> str:
    """Returns a rules file.

    What is certain is what `port` matches by itself; rules for it change nothing, and show what it does.

    Args:
        report: what was planned without rules.
        ema: whether moving averages are taken.
    """
    assigned = {key for found in report.assignments for key in found.keys} | set(report.skipped)
    placed = {found.weight for found in report.assignments}
    # Of two that have one name and do not fit, the report has a sentence; here they are to be brought together.
    free = {key: entry for key, entry in report.entries.items() if key not in assigned}
    lacking = {path: weight for path, weight in report.weights.items() if path not in placed}
    presets = suggestions.recurrent(report, free)
    within = {key for rule in presets for key in free if key.startswith(f"{rule.candidates[0]}/")}
    filled = {path for rule in presets for path in lacking if path.startswith(f"{rule.weight}/")}
    left = [entry for key, entry in free.items() if key not in within]
    missing = [weight for path, weight in lacking.items() if path not in filled]
    proposals = proposing.propose(left, missing)
    proposed = {proposal.weight for proposal in proposals}
    open_weights = [weight for weight in missing if weight.path not in proposed]
    used = {proposal.key for proposal in proposals}
    lines = _HEAD.format(
        model=report.model,
        checkpoint=report.checkpoint,
        weights=len(report.weights),
        variables=len(report.entries),
        matched=len(report.assignments),
        proposed=len(proposals) + len(filled),
        open=len(open_weights),
    ).splitlines()
    if ema is not None:
        lines += ["", f"ema = {str(ema).lower()}"]
    lines += _section("Certain: names and shapes allow nothing else")
    for found in report.assignments:
        key = found.terms[0].key
        lines += _rule(key, found.weight, (), f"{list(report.entries[key].shape)}, {found.how}")
    lines += _section("Proposed: look at each")
    for rule in presets:
        lines += ["", *rule.toml()]
    for proposal in proposals:
        others = f"; or {', '.join(map(repr, proposal.others))}" if proposal.others else ""
        shape = f"{list(report.entries[proposal.key].shape)}, {proposal.why}{others}"
        lines += _rule(proposal.key, proposal.weight, proposal.steps, shape)
    lines += _section("Weights for which nothing is proposed: write a key, and remove the #")
    for weight in open_weights:
        lines += ["", "# [[rule]]", "# key = ''", f"# weight = {_quoted(weight.path)}  # {list(weight.shape)}"]
    lines += _section("Variables that no weight takes: are they not in this model?")
    for entry in left:
        if entry.key not in used:
            lines += [
                "",
                "[[rule]]",
                f"key = {_pattern(entry.key)}  # {list(entry.shape)}",
                'skip = "not in this model"',
            ]
    lines += _section("Left out in any case")
    lines += [f"# {key}: {reason}" for key, reason in report.skipped.items()]
    return "\n".join(_without_empty_sections(lines)) + "\n"


def _section(title: str) -> list[str]:
    return ["", f"# ---- {title}"]


def _without_empty_sections(lines: Sequence[str]) -> Iterable[str]:
    """Yields the lines without headings that nothing follows."""
    for at, line in enumerate(lines):
        heading = line.startswith("# ----")
        following = next((other for other in lines[at + 1 :] if other), "# ----")
        before_empty = (
            not line and at + 1 < len(lines) and lines[at + 1].startswith("# ----") and _is_empty(lines, at + 1)
        )
        if not (heading and following.startswith("# ----")) and not before_empty:
            yield line


def _is_empty(lines: Sequence[str], heading: int) -> bool:
    return next((other for other in lines[heading + 1 :] if other), "# ----").startswith("# ----")


def _rule(key: str, weight: str, steps: Sequence[str], note: str) -> list[str]:
    lines = ["", "[[rule]]", f"key = {_pattern(key)}  # {note}", f"weight = {_quoted(weight)}"]
    return [*lines, f"transform = [{', '.join(steps)}]"] if steps else lines


def _pattern(key: str) -> str:
    return _quoted(re.sub(r"([.+*?^$()\[\]{}|\\])", r"\\\1", key))


def _quoted(text_: str) -> str:
    """Returns a TOML string: as it is between single quotes, where it has none."""
    if "'" not in text_ and text_.isprintable():
        return f"'{text_}'"
    escaped = "".join(
        f"\\{one}" if one in '"\\' else one if one.isprintable() else f"\\U{ord(one):08x}" for one in text_
    )
    return f'"{escaped}"'
