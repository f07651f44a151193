"""What was done, to the last variable and the last weight; and, where something does not fit, what to write instead."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from load_v2.errors import SHOWN, LoadError
from load_v2.porting import presets, roles
from load_v2.porting.proof import Difference
from load_v2.porting.records import Ambiguity, Assignment, Entry, Plan, Weight
from load_v2.porting.transforms import text


@dataclass
class Report:
    """The account of one loading.

    `assignments`: a weight, the variables it came from, how they were found. `skipped`: variable -> why. `left_over` and
    `missing`: variables without a weight and weights without a variable. `misfits`: sentences, each naming both sides.
    `ambiguous`: layers with several candidates. `choices`: what was decided without being asked. `proven`: how many
    weights were read back and found equal, bit for bit. `unequal`: those that were not. `answers`: the worst element of each
    output, if answers were expected.
    """

    checkpoint: str
    model: str
    entries: Mapping[str, Entry]
    weights: Mapping[str, Weight]
    assignments: list[Assignment]
    skipped: dict[str, str]
    missing: list[str]
    left_over: list[str]
    misfits: list[str]
    ambiguous: list[Ambiguity]
    choices: list[str]
    unused_rules: list[str]
    proven: int = 0
    unequal: list[Difference] = field(default_factory=list)
    answers: list[Difference] = field(default_factory=list)

    @classmethod
    def of_plan(cls, plan: Plan, checkpoint: str, model: str, entries, weights) -> "Report":
        return cls(
            checkpoint,
            model,
            entries,
            {weight.path: weight for weight in weights},
            plan.assignments,
            plan.skipped,
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
        """Returns the error that says everything that does not fit, at once, and what rules would mend it."""
        failed = len(self.weights) - len(self.assignments)
        first = (
            f"{failed} of {len(self.weights)} weights of model {self.model!r} find no value in "
            f"{os.path.basename(self.checkpoint)!r}"
            if failed
            else f"{len(self.left_over) or len(self.misfits)} of {len(self.entries)} variables of "
            f"{os.path.basename(self.checkpoint)!r} have no place in model {self.model!r}"
        )
        lines = [f"{first}; the model is unchanged.", *self._faults()]
        pasted = suggestions(self)
        if pasted:
            lines += ["  Paste what is right into a rules file, and pass it as rules:", *(f"    {line}" for line in pasted)]
        return LoadError("\n".join(lines))

    def _faults(self) -> list[str]:
        lines = [f"  Misfit: {misfit}." for misfit in self.misfits[:SHOWN]]
        if len(self.misfits) > SHOWN:
            lines.append(f"  … and {len(self.misfits) - SHOWN} misfits more.")
        lines += _listed("Missing in the checkpoint", [_sized(p, self.weights[p].shape) for p in self.missing])
        lines += _listed("Left over in the checkpoint", [_sized(k, self.entries[k].shape) for k in self.left_over])
        for found in self.ambiguous[:SHOWN]:
            lines.append(f"  Undecided: {found.layer!r} could be {' or '.join(map(repr, found.candidates[:SHOWN]))}.")
        lines += _listed("Rules that matched nothing", self.unused_rules)
        return lines

    def __str__(self):
        lines = [f"{len(self.assignments)} of {len(self.weights)} weights of {self.model!r} loaded from {self.checkpoint!r}"]
        for assignment in self.assignments:
            steps = [text(step) for term in assignment.terms for step in term.steps]
            steps += [text(step) for step in assignment.steps]
            done = f", {', '.join(steps)}" if steps else ""
            lines.append(f"  {assignment.weight} <- {', '.join(assignment.keys)}  ({assignment.how}{done})")
        reasons: dict[str, list[str]] = {}
        for key, reason in self.skipped.items():
            reasons.setdefault(re.sub(r"'.*'", "…", reason), []).append(key)
        for reason, keys in sorted(reasons.items()):
            lines.append(f"  skipped, {reason}: {len(keys)} ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''})")
        lines += [f"  chosen: {choice}" for choice in self.choices]
        lines += self._faults()
        lines.append(f"  proven: {self.proven} weights read back equal, bit for bit")
        lines += [f"  unequal: {difference}" for difference in self.unequal]
        lines += [f"  answer: {'equal' if answer.equal else 'NOT equal'}; {answer}" for answer in self.answers]
        return "\n".join(lines)


def _sized(name, shape) -> str:
    return f"{name!r} {list(shape)}"


def _listed(title: str, names: list[str]) -> list[str]:
    if not names:
        return []
    return [f"  {title} ({len(names)}): {', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''}."]


def suggestions(report: Report) -> list[str]:
    """Returns rules, as lines of TOML, that would place what is missing and account for what is left over.

    They are candidates, in a plausible order, with the alternatives beside them: which are right is for a person to say.
    """
    rules, spoken = _undecided(report), {name for found in report.ambiguous for name in found.candidates}
    recurrent, keys = _recurrent(report)
    rules += recurrent
    undecided = {found.layer for found in report.ambiguous}
    left = [key for key in report.left_over if not _within(key, spoken) and key not in keys]
    for path in report.missing:
        if path in undecided or roles.scope_of(path) in undecided or any(f"weight = '{w}'" in "".join(recurrent) for w in ()):
            continue
        weight = report.weights[path]
        fits = [key for key in left if _could_be(report.entries[key], weight)]
        if fits and not any(_within(path, {line[10:-1]}) for line in recurrent if line.startswith("weight = ")):
            rules += _rule(fits[0], path, fits[1:], *_steps(report.entries[fits[0]], weight))
            left.remove(fits[0])
    if left and not report.missing:
        rules += [line for key in left[:SHOWN] for line in ("[[rule]]", f"key = '{_escaped(key)}'", 'skip = "not in this model"')]
    return rules


def _escaped(key: str) -> str:
    return re.sub(r"([.+*?^$()\[\]{}|\\])", r"\\\1", key)


def _within(name: str, scopes) -> bool:
    return any(name == scope or name.startswith(f"{scope}/") for scope in scopes)


def _rule(key: str, weight: str, others, *more: str) -> list[str]:
    alternatives = f"    # or {', '.join(map(repr, list(others)[:3]))}" if others else ""
    return ["[[rule]]", f"key = '{_escaped(key)}'{alternatives}", f"weight = '{weight}'", *more]


def _undecided(report: Report) -> list[str]:
    lines, used = [], set()
    for found in report.ambiguous[:SHOWN]:
        ordered = sorted(found.candidates, key=lambda name: [(base, number or 0) for base, number in roles.parts(name)])
        free = [name for name in ordered if name not in used] or ordered
        used.add(free[0])
        others = [name for name in ordered if name != free[0]]
        lines += _rule(free[0], found.layer, others, *(['preset = "layer"'] if found.whole_layer else []))
    return lines


def _recurrent(report: Report) -> tuple[list[str], set[str]]:
    """Returns preset rules for Keras recurrent layers whose TF1 cells are in the checkpoint, and those cells' variables."""
    lines, keys = [], set()
    left = {key: report.entries[key] for key in report.left_over}
    for path in report.missing:
        if roles.role_of(path) != "recurrent_kernel":
            continue
        layer = roles.scope_of(path)
        units, inputs = report.weights[path].shape[0], report.weights.get(f"{layer}/kernel")
        for scope in sorted({roles.scope_of(key) for key in left} | {roles.scope_of(roles.scope_of(key)) for key in left}):
            for preset in ("cudnn_lstm", "lstm") if "cudnn" in scope else ("lstm", "cudnn_gru", "gru"):
                source = presets.members(preset, scope, left) if scope and inputs else None
                first = source and (source.get("kernel") or source.get("gates/kernel"))
                if first and first.shape[0] == inputs.shape[0] + units and not keys & {e.key for e in source.values()}:
                    note = ["forget_bias = 1.0    # what the cell was built with"] if preset == "lstm" else []
                    lines += _rule(scope, layer, (), f'preset = "{preset}"', *note)
                    keys |= {entry.key for entry in source.values()}
                    break
    return lines, keys


def _could_be(entry: Entry, weight: Weight) -> bool:
    return entry.shape == weight.shape or bool(_steps(entry, weight))


def _steps(entry: Entry, weight: Weight) -> list[str]:
    if entry.shape == weight.shape:
        return []
    if entry.shape == weight.shape[::-1] and len(entry.shape) == 2:
        return ["transform = [{ transpose = [1, 0] }]"]
    if roles.role_of(entry.key) == roles.role_of(weight.path) and len(weight.shape) == len(entry.shape) + 1:
        size = 1
        for side in weight.shape:
            size *= side
        total = 1
        for side in entry.shape:
            total *= side
        return [f"transform = [{{ reshape = {list(weight.shape)} }}]"] if size == total else []
    return []
