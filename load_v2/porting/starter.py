"""A rules file to begin with: every variable and every weight once, matched, proposed, or left for a person to say."""

from collections.abc import Sequence

from load_v2.porting import proposing, reshaping, suggestions
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
    assigned = {key for assignment in report.assignments for key in assignment.keys} | set(report.skipped)
    placed = {assignment.weight for assignment in report.assignments}
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
    body: list[str] = []
    for assignment in report.assignments:
        key = assignment.terms[0].key
        way = reshaping.way(report.entries[key], report.weights[assignment.weight]) or reshaping.Way()
        body += _rule(key, assignment.weight, way.steps, f"{list(report.entries[key].shape)}, {assignment.how}")
    lines += _section("Certain: names and shapes allow nothing else", body)
    body = [line for rule in presets for line in ("", *rule.toml())]
    for proposal in proposals:
        others = f"; or {', '.join(map(repr, proposal.others))}" if proposal.others else ""
        shape = f"{list(report.entries[proposal.key].shape)}, {proposal.why}{others}"
        body += _rule(proposal.key, proposal.weight, proposal.steps, shape)
    lines += _section("Proposed: look at each", body)
    body = []
    for weight in open_weights:
        body += [
            "",
            "# [[rule]]",
            "# key = ''",
            f"# weight = {suggestions.quoted(weight.path)}  # {list(weight.shape)}",
        ]
    lines += _section("Weights for which nothing is proposed: write a key, and remove the #", body)
    body = []
    for entry in left:
        if entry.key not in used:
            body += [
                "",
                "[[rule]]",
                f"key = {suggestions.pattern(entry.key)}  # {list(entry.shape)}",
                'skip = "not in this model"',
            ]
    lines += _section("Variables that no weight takes: are they not in this model?", body)
    lines += _section("Left out in any case", [f"# {key}: {reason}" for key, reason in report.skipped.items()])
    return "\n".join(lines) + "\n"


def _section(title: str, body: list[str]) -> list[str]:
    """Returns the lines of a section; none where there is nothing in it."""
    return ["", f"# ---- {title}", *body] if body else []


def _rule(key: str, weight: str, steps: Sequence[str], note: str) -> list[str]:
    lines = ["", "[[rule]]", f"key = {suggestions.pattern(key)}  # {note}", f"weight = {suggestions.quoted(weight)}"]
    return [*lines, f"transform = [{', '.join(steps)}]"] if steps else lines
