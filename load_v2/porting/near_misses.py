"""Why a rule matched nothing, and what it nearly matched."""

import re
from collections.abc import Collection, Iterable, Mapping

from load_v2.errors import closest, quoted
from load_v2.porting import presets
from load_v2.porting.rules import Rule
from load_v2.porting.types import Entry

_SHOWN = 3


def of(rule: Rule, entries: Mapping, used: Collection[str]) -> str:
    """Returns what a rule nearly matched, in words.

    Args:
        rule: one that matched no variable, or, where it keeps weights, no weight.
        entries: all variables by key; for a rule that keeps weights, all weights by path.
        used: those that earlier rules have taken.
    """
    misses = (_one(pattern, rule, entries, used) for pattern in rule.key or rule.targets)
    return next(filter(None, misses), "nothing is like it")


def _one(pattern: str, rule: Rule, entries: Mapping, used: Collection[str]) -> str:
    names = _scopes(entries) if rule.preset else list(entries)
    compiled = re.compile(pattern)
    whole = [name for name in names if compiled.fullmatch(name)]
    used_names = [name for name in whole if name in used or any(key.startswith(f"{name}/") for key in used)]
    if used_names and rule.keep:
        return f"an earlier rule has filled {quoted(used_names, _SHOWN)}"
    if used_names:
        return f"an earlier rule has taken {quoted(used_names, _SHOWN)}; write more = true there if both are meant"
    if whole and rule.preset:
        return f"scope {whole[0]!r} has not the variables that preset {rule.preset!r} needs: {_below(whole[0], rule, entries)}"
    if rule.preset and (inside := [key for key in entries if compiled.fullmatch(key)]):
        return f"with a preset, key is a scope: {inside[0].rpartition('/')[0]!r} instead of {inside[0]!r}"
    if parts := [name for name in names if compiled.search(name)]:
        return f"it matches only a part of {quoted(parts, _SHOWN)}; key matches whole names, such as '.*{pattern}.*'"
    ignoring_case = re.compile(pattern, re.IGNORECASE)
    if other_case := [name for name in names if ignoring_case.fullmatch(name)]:
        return f"upper and lower case differ from {quoted(other_case, _SHOWN)}"
    if pattern.endswith(":0") and pattern.removesuffix(":0") in entries:
        return f"{pattern!r} is a tensor name; the variable is {pattern.removesuffix(':0')!r}"
    # Without what makes it a pattern it may look like a name.
    near = closest(re.sub(r"\\(.)", r"\1", pattern), names, _SHOWN)
    return f"closest: {', '.join(map(repr, near))}" if near else ""


def _scopes(entries: Iterable[str]) -> list[str]:
    return sorted({key[: end.start()] for key in entries for end in re.finditer("/", key)})


def _below(scope: str, rule: Rule, entries: Mapping[str, Entry]) -> str:
    assert rule.preset is not None
    members = presets.members("layer", scope, entries) or {}
    return f"it has {quoted(members, 5)}" if members else f"below it are {quoted(_inner(scope, entries), 5)}"


def _inner(scope: str, entries: Iterable[str]) -> set[str]:
    return {key[len(scope) + 1 :].partition("/")[0] for key in entries if key.startswith(f"{scope}/")}
