"""Rules to paste where nothing could be decided: candidates in a plausible order, with the alternatives beside them."""

import os
import re
from collections.abc import Iterable

from load_v2.errors import SHOWN
from load_v2.porting import presets, reshaping, weight_roles
from load_v2.porting.likeness import Likeness
from load_v2.porting.types import Entry, Weight


def lines(report) -> list[str]:
    """Returns rules, as lines of TOML, that would place what is missing and account for what is left over.

    Which of them are right is for a person to say; as many as there is something to say about, ten layers at most.

    Args:
        report: a `Report` that is not complete.
    """
    left = {key: report.entries[key] for key in report.left_over}
    rules: list[_Rule] = []
    for case in report.ambiguous[:SHOWN]:
        rules.append(_undecided(case, {rule.candidates[0] for rule in rules}))
    spoken = {case.layer for case in report.ambiguous} | {n for case in report.ambiguous for n in case.candidates}
    rules += recurrent(report, {key: entry for key, entry in left.items() if not _within(key, spoken)})
    spoken |= {name for rule in rules for name in (*rule.candidates, rule.weight)}
    lacking: list[str] = []
    for path in [path for path in report.missing if not _within(path, spoken)]:
        free = [entry for key, entry in left.items() if not _within(key, spoken)]
        rule = _by_shape(free, report.weights[path])
        if rule:
            rules.append(rule)
            spoken.add(rule.candidates[0])
        else:
            lacking.append(path)
    # First, since what is undecided without these weights may be clear then.
    tables = [_table("weight", path, "keep", "not in the checkpoint") for path in _by_end(lacking, report.weights)]
    tables += [rule.toml() for rule in rules]
    if not report.missing:
        unspoken = [key for key in left if not _within(key, spoken)]
        patterns = _by_scope(unspoken, report.entries.keys() - report.skipped.keys())
        tables += [_table("key", found, "skip", "not in this model") for found in patterns]
    return [line for table in tables[: 2 * SHOWN] for line in table]


def _table(field: str, regex: str, what: str, reason: str) -> list[str]:
    return ["[[rule]]", f"{field} = {quoted(regex)}", f'{what} = "{reason}"']


def _by_scope(names: list[str], every: Iterable[str]) -> list[str]:
    """Returns patterns for the names: one for a scope that holds several of them, and nothing else of `every`."""
    others = set(every) - set(names)
    taken = {f"{name[: end.start()]}/" for name in others for end in re.finditer("/", name)}
    scopes: dict[str, list[str]] = {}
    for name in names:
        free = (name[: end.end()] for end in re.finditer("/", name) if name[: end.end()] not in taken)
        scopes.setdefault(next(free, name), []).append(name)
    return [f"{_escaped(scope)}.*" if len(held) > 1 else _escaped(held[0]) for scope, held in scopes.items()]


def _by_end(names: list[str], every: Iterable[str]) -> list[str]:
    """Returns patterns for the names: one for those that end alike as nothing else of `every` does, else by scope."""
    others = set(every) - set(names)
    by_leaf: dict[str, list[str]] = {}
    for name in names:
        by_leaf.setdefault(name.rpartition("/")[2], []).append(name)
    patterns, rest = [], []
    for same in by_leaf.values():
        end = os.path.commonprefix([name[::-1] for name in same])[::-1]
        if len(same) > 2 and "/" in end and not any(name.endswith(end) for name in others):
            patterns.append(f".*{_escaped(end)}")
        else:
            rest += same
    return patterns + _by_scope(rest, every)


class _Rule:
    """A rule for the first candidate; the others are its comment."""

    def __init__(self, candidates: Iterable[str], weight: str, more: Iterable[str] = ()):
        self.candidates, self.weight, self.more = tuple(candidates), weight, tuple(more)

    def toml(self) -> list[str]:
        others = f"    # or {', '.join(map(repr, self.candidates[1:4]))}" if self.candidates[1:] else ""
        key = f"key = {pattern(self.candidates[0])}{others}"
        return ["[[rule]]", key, f"weight = {quoted(self.weight)}", *self.more]


def pattern(key: str) -> str:
    """Returns a rule's pattern, as a TOML string, that matches one name alone."""
    return quoted(_escaped(key))


def _escaped(name: str) -> str:
    return re.sub(r"([.+*?^$()\[\]{}|\\])", r"\\\1", name)


def quoted(name: str) -> str:
    """Returns a TOML string: as it is between single quotes, where it has none."""
    if "'" not in name and name.isprintable():
        return f"'{name}'"
    escaped = "".join(
        f"\\{mark}" if mark in '"\\' else mark if mark.isprintable() else f"\\U{ord(mark):08x}" for mark in name
    )
    return f'"{escaped}"'


def _within(name: str, scopes: Iterable[str]) -> bool:
    return any(name == scope or name.startswith(f"{scope}/") for scope in scopes)


def _undecided(case, offered: set[str]) -> _Rule:
    named = set(weight_roles.words(case.layer))
    # Those first that share most words with the layer; then as they are numbered.
    ordered = sorted(
        case.candidates,
        key=lambda name: (
            -len(named & set(weight_roles.words(name))),
            [(base, number or 0) for base, number in weight_roles.parts(name)],
        ),
    )
    # A candidate that no earlier layer has been offered, so that pasting all of it uses each of them once.
    first = next((name for name in ordered if name not in offered), ordered[0])
    others = [name for name in ordered if name != first]
    return _Rule((first, *others), case.layer, ('preset = "layer"',) if case.whole_layer else ())


def recurrent(report, left: dict[str, Entry]) -> list[_Rule]:
    """Returns preset rules for recurrent layers whose TF1 cells are in the checkpoint.

    Args:
        report: a `Report` that is not complete.
        left: the variables to look at.
    """
    rules, used = [], set()
    inner = {weight_roles.scope_of(key) for key in left}
    scopes = sorted(inner | set(map(weight_roles.scope_of, inner)))
    likeness = Likeness(scopes, [weight_roles.scope_of(path) for path in report.missing])
    for path in report.missing:
        layer = weight_roles.scope_of(path)
        inputs = report.weights.get(f"{layer}/kernel")
        if weight_roles.role_of(path) != "recurrent_kernel" or inputs is None:
            continue
        rows = inputs.shape[0] + report.weights[path].shape[0]
        cells = [(scope, _preset_of(scope, left, rows, inputs.shape)) for scope in scopes if scope not in used]
        # The most alike first, as they are sorted: `fw` is `forward_lstm`.
        ranked = [(-likeness.of(scope, layer), scope, preset) for scope, preset in cells if preset]
        fits = [(scope, preset) for _, scope, preset in sorted(ranked)]
        if fits:
            scope, preset = fits[0]
            used.add(scope)
            note = ["forget_bias = 1.0    # what the cell was built with"] if preset == "lstm" else []
            same = [other for other, kind in fits if kind == preset]
            rules.append(_Rule(same, layer, (f'preset = "{preset}"', *note)))
    return rules


def _preset_of(scope: str, left: dict[str, Entry], rows: int, kernel: tuple[int, ...]) -> str:
    """Returns the preset by which the scope's variables could be a layer with that kernel, or ''."""
    units = kernel[1] // (4 if kernel[1] == 4 * (rows - kernel[0]) else 3)
    for preset in ("cudnn_lstm" if "cudnn" in scope else "lstm", "cudnn_gru", "gru"):
        source = presets.members(preset, scope, left) if scope else None
        if source is None:
            continue
        gates = 4 if "lstm" in preset else 2
        first = source["kernel" if "lstm" in preset else "gates/kernel"]
        if first.shape == (rows, gates * units) and kernel[1] == (4 if gates == 4 else 3) * units:
            return preset
    return ""


def _by_shape(free: list[Entry], weight: Weight) -> _Rule | None:
    """Returns a rule for the variables that are the weight in size: as they are, or by the steps most likely meant."""
    role = weight_roles.role_of(weight.path)
    ways = [
        (way.cost, way.steps, entry.key)
        for entry in free
        if (way := reshaping.way(entry, weight))
        and (
            entry.shape == weight.shape or entry.shape[::-1] == weight.shape or weight_roles.role_of(entry.key) == role
        )
    ]
    if not ways:
        return None
    _, steps, _ = min(ways, key=lambda found: found[0])
    keys = [key for _, same, key in ways if same == steps]
    return _Rule(keys, weight.path, [f"transform = [{', '.join(steps)}]"] if steps else [])
