"""What was done, to the last variable and the last weight; and, where something does not fit, what to write instead."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from export_v1.console import tables
from export_v1.format.comparison import Comparison
from load_v2.errors import SHOWN, LoadError
from load_v2.porting import suggestions
from load_v2.porting.transforms import text
from load_v2.porting.types import Ambiguity, Assignment, Entry, Plan, Weight


@dataclass(repr=False)
class Report:
    """The account of one loading; printed, to the last variable.

    `assignments`: a weight, the variables it came from, how they were found. `skipped`: variable -> why. `kept`: weight
    that stays as the model had it -> why. `left_over` and `missing`: variables without a weight and weights without a
    variable. `misfits`: sentences, each naming both sides. `ambiguous`: layers with several candidates. `choices`: what
    was decided by default. `proven`: how many weights were read back and found equal, bit for bit. `unequal`: those that
    were not. `answers`: the worst element of each output, if answers were expected.
    """

    checkpoint: str
    model: str
    entries: Mapping[str, Entry]
    weights: Mapping[str, Weight]
    assignments: list[Assignment]
    skipped: dict[str, str]
    kept: dict[str, str]
    missing: list[str]
    left_over: list[str]
    misfits: list[str]
    ambiguous: list[Ambiguity]
    choices: list[str]
    unused_rules: list[str]
    proven: int = 0
    unequal: list[Comparison] = field(default_factory=list)
    answers: list[Comparison] = field(default_factory=list)

    @classmethod
    def of_plan(cls, plan: Plan, checkpoint: str, model: str, entries, weights) -> "Report":
        return cls(
            checkpoint,
            model,
            entries,
            {weight.path: weight for weight in weights},
            plan.assignments,
            plan.skipped,
            plan.kept,
            plan.missing,
            plan.left_over,
            plan.misfits,
            plan.ambiguous,
            plan.choices,
            plan.unused_rules,
        )

    @property
    def complete(self) -> bool:
        return not (self.missing or self.left_over or self.misfits)

    def refusal(self) -> LoadError:
        """Returns the error that says everything that does not fit, at once, and which rules would fix it."""
        failed = len(self.weights) - len(self.assignments) - len(self.kept)
        first = (
            f"{os.path.basename(self.checkpoint)!r} has no matching variable for {failed} of {len(self.weights)} weights of "
            f"model {self.model!r}"
            if failed
            else f"Model {self.model!r} has no matching weight for {len(self.left_over) or len(self.misfits)} of "
            f"{len(self.entries)} variables of {os.path.basename(self.checkpoint)!r}"
        )
        lines = [f"{first}; the model is unchanged.", *self._faults()]
        pasted = suggestions.lines(self)
        if pasted:
            lines.append("  Paste what is right into a rules file, and pass it as rules:")
            lines += [f"    {line}" for line in pasted]
        return LoadError("\n".join(lines))

    def _faults(self) -> list[str]:
        lines = [f"  Does not fit: {misfit}." for misfit in self.misfits[:SHOWN]]
        if len(self.misfits) > SHOWN:
            lines.append(f"  … and {len(self.misfits) - SHOWN} more that do not fit.")
        lines += _listed("Missing in the checkpoint", [_sized(p, self.weights[p].shape) for p in self.missing])
        lines += _listed("Left over in the checkpoint", [_sized(k, self.entries[k].shape) for k in self.left_over])
        for ambiguity in self.ambiguous[:SHOWN]:
            lines.append(
                f"  Undecided: {ambiguity.layer!r} could be {' or '.join(map(repr, ambiguity.candidates[:SHOWN]))}."
            )
        lines += [f"  Matched nothing: {unused}." for unused in self.unused_rules[:SHOWN]]
        return lines

    def __repr__(self) -> str:
        return self._table().text()

    def _repr_html_(self) -> str:
        return self._table().html()

    def _table(self) -> tables.Table:
        rows = [
            ("source", self.checkpoint),
            ("loaded", f"{len(self.assignments)} of {len(self.weights)} weights"),
            ("proven", f"{self.proven} weights read back equal, bit for bit"),
            ("skipped", f"{len(self.skipped)} variables"),
        ]
        rows += [("kept as they were", _named(list(self.kept)))] if self.kept else []
        rows += [
            (name, _named(names)) for name, names in (("missing", self.missing), ("left over", self.left_over)) if names
        ]
        rows += [("misfit", misfit) for misfit in self.misfits[:SHOWN]]
        rows += [("answer", str(answer)) for answer in self.answers]
        return tables.Table(f"Weights of {self.model!r}", rows)

    def __str__(self):
        count = f"{len(self.assignments)} of {len(self.weights)} weights"
        lines = [f"{count} of {self.model!r} loaded from {self.checkpoint!r}"]
        for assignment in self.assignments:
            steps = [text(step) for term in assignment.terms for step in term.steps]
            steps += [text(step) for step in assignment.steps]
            done = f", {', '.join(steps)}" if steps else ""
            lines.append(f"  {assignment.weight} <- {', '.join(assignment.keys)}  ({assignment.how}{done})")
        lines += _by_reason("skipped", self.skipped) + _by_reason("kept as the model had it", self.kept)
        lines += [f"  chosen: {choice}" for choice in self.choices]
        lines += self._faults()
        lines.append(f"  proven: {self.proven} weights read back equal, bit for bit")
        lines += [f"  unequal: {compared}" for compared in self.unequal]
        lines += [f"  answer: {'equal' if answer.equal else 'NOT equal'}; {answer}" for answer in self.answers]
        return "\n".join(lines)


def _by_reason(what: str, reasons: Mapping[str, str]) -> list[str]:
    names: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        names.setdefault(re.sub(r"'.*'", "…", reason), []).append(name)
    return [f"  {what}, {reason}: {len(same)} ({_first(same)})" for reason, same in sorted(names.items())]


def _named(names: list[str]) -> str:
    return f"{len(names)}: {_first(names)}"


def _first(names: list[str]) -> str:
    return f"{', '.join(names[:3])}{', …' if len(names) > 3 else ''}"


def _sized(name, shape) -> str:
    return f"{name!r} {list(shape)}"


def _listed(title: str, names: list[str]) -> list[str]:
    if not names:
        return []
    return [f"  {title} ({len(names)}): {', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''}."]
