"""From two lists of names and shapes to a plan: rules first, in their order, then matching for the rest.

No tensor is read here and no model is touched, so a plan can be made, shown and refused at no cost.
"""

import re
from collections.abc import Iterable, Mapping

from load_v2 import errors
from load_v2.errors import LoadError
from load_v2.porting import bookkeeping, matching, near_misses, presets, shape_fitting, transforms, weight_roles
from load_v2.porting.flow import Flow
from load_v2.porting.rules import Concatenate, Rule, RuleSet
from load_v2.porting.types import Assignment, Entry, Plan, Term, Weight


def make(
    entries: Mapping[str, Entry],
    weights: Iterable[Weight],
    rule_set: RuleSet | None = None,
    *,
    source_flow: Flow | None = None,
    target_flow: Flow | None = None,
) -> Plan:
    """Returns what goes where, and everything that does not fit.

    Guaranteed: every variable is in exactly one of assigned, skipped, left over; every weight in exactly one of
    assigned, kept, missing. An assignment in the plan fits by shape and dtype; one that does not is in `misfits`, and its
    weight among neither the assigned nor the missing.

    Args:
        entries: the checkpoint's variables by key.
        weights: the model's weights.
        rule_set: the rules; none if None.
        source_flow: what computes before what in the graph that was saved, where it is known.
        target_flow: the same for the model.
    """
    planner = _Planner(entries, list(weights))
    for number, rule in enumerate((rule_set or RuleSet()).rules, 1):
        planner.follow(rule, f"rule {number}")
    planner.match(source_flow, target_flow)
    return planner.finish()


class _Planner:
    def __init__(self, entries: Mapping[str, Entry], weights: list[Weight]):
        self.entries, self.weights = entries, {weight.path: weight for weight in weights}
        self.reasons = bookkeeping.reasons(entries)
        self.plan = Plan()
        self.used: set[str] = set()
        self.filled: dict[str, Assignment] = {}
        # Those that a message in `misfits` speaks of already.
        self.failed_keys: set[str] = set()
        self.failed_weights: set[str] = set()

    def free(self) -> dict[str, Entry]:
        return {key: entry for key, entry in self.entries.items() if key not in self.used}

    def follow(self, rule: Rule, label: str) -> None:
        """Applies one rule to every variable that it matches."""
        if rule.keep:
            used = self._keep(rule, label)
        elif rule.skip:
            used = self._skip(rule, label)
        elif rule.preset:
            used = self._preset(rule, rule.preset, label)
        else:
            used = self._map(rule, label)
        if not used:
            names = self.weights if rule.keep else self.entries
            near = near_misses.of(rule, names, {*self.used, *self.filled, *self.plan.kept})
            self.plan.unused_rules.append(f"{label} ({', '.join(rule.key or rule.targets)}): {near}")

    def _keep(self, rule: Rule, label: str) -> bool:
        free = [path for path in self.weights if path not in self.filled and path not in self.plan.kept]
        paths = [path for path in free if any(re.fullmatch(pattern, path) for pattern in rule.targets)]
        reason = rule.keep if isinstance(rule.keep, str) else f"kept by {label}"
        self.plan.kept.update(dict.fromkeys(paths, reason))
        return bool(paths)

    def _skip(self, rule: Rule, label: str) -> bool:
        keys = [key for key in self.free() for pattern in rule.key if re.fullmatch(pattern, key)]
        for key in keys:
            reason = rule.skip if isinstance(rule.skip, str) else f"skipped by {label}"
            self.plan.skipped[key] = self.reasons.get(key, reason)
            self.used.add(key)
        return bool(keys)

    def _preset(self, rule: Rule, preset: str, label: str) -> bool:
        free = {key: entry for key, entry in self.free().items() if key not in self.reasons}
        scopes = sorted({key[: end.start()] for key in free for end in re.finditer("/", key)})
        used = False
        for scope in scopes:
            match = re.fullmatch(rule.key[0], scope)
            source = presets.members(preset, scope, free) if match else None
            if match is None or source is None:
                continue
            used = True
            try:
                target = self._layer(match.expand(rule.targets[0]), beneath=preset in presets.RECURRENT)
                assignments = presets.expand(preset, source, target, rule.forget_bias)
            except LoadError as error:
                self._refuse(f"{label}: {scope!r}: {error}", [entry.key for entry in source.values()])
                continue
            for assignment in assignments:
                self._assign(assignment, f"{label}, preset {preset}", rule.more)
        return used

    def _map(self, rule: Rule, label: str) -> bool:
        """Groups the variables that a rule matches by the weights they are for; joined ones come in pattern order."""
        wanted: dict[tuple[str, ...], dict[int, list[str]]] = {}
        for key in self.free():
            for position, pattern in enumerate(rule.key):
                match = re.fullmatch(pattern, key)
                if match:
                    targets = tuple(match.expand(template) for template in rule.targets)
                    wanted.setdefault(targets, {}).setdefault(position, []).append(key)
        for targets, by_position in wanted.items():
            keys = [key for position in sorted(by_position) for key in by_position[position]]
            if all(key in self.reasons for key in keys) and not any(self._named(target) for target in targets):
                continue  # A wide pattern caught an optimizer slot: there is no such weight, and none is meant.
            if len(keys) != len(rule.key) or len(by_position) != len(rule.key):
                self._refuse(f"{label}: {errors.quoted(keys)} for {targets[0]!r}: expected {len(rule.key)}", keys)
                continue
            self._feed(rule, label, keys, targets)
        return bool(wanted)

    def _feed(self, rule: Rule, label: str, keys: list[str], targets: tuple[str, ...]) -> None:
        for index, target in enumerate(targets):
            weights = self._named(target)
            if len(weights) != 1:
                self._refuse(f"{label}: {self._nameless(target, weights)}", keys)
                continue
            steps = [step.part(index) if isinstance(step, transforms.Split) else step for step in rule.transform]
            self._assign(_assignment(weights[0], keys, steps), label, rule.more)

    def _assign(self, assignment: Assignment, how: str, more: bool = False) -> None:
        assignment = Assignment(assignment.weight, assignment.terms, assignment.steps, assignment.axis, how)
        if not more:
            self.used.update(assignment.keys)
        weight = self.weights[assignment.weight]
        earlier = self.filled.get(weight.path)
        if earlier:
            fault = f"{earlier.how} gives it {errors.quoted(earlier.keys)} already"
        elif weight.path in self.plan.kept:
            fault = "an earlier rule keeps it as the model has it"
        else:
            fault = shape_fitting.misfit(assignment, weight, self.entries)
        if fault:
            self._refuse(f"{how}: {errors.quoted(assignment.keys)} for {weight.path!r}: {fault}", assignment.keys)
            self.failed_weights.add(weight.path)
        else:
            self.filled[weight.path] = assignment

    def _refuse(self, message: str, keys: Iterable[str]) -> None:
        self.plan.misfits.append(message)
        self.used.update(keys)
        self.failed_keys.update(keys)

    def _named(self, template: str) -> list[str]:
        """Returns the weights meant by a path: the one that is it, else those that end with it at a part boundary."""
        if template in self.weights:
            return [template]
        return [path for path in self.weights if path.split("#")[0].endswith(f"/{template}")]

    def _nameless(self, template: str, weights: list[str]) -> str:
        if weights:
            return f"weight {template!r} could be any of {errors.quoted(weights)}; write more of its path"
        near = errors.closest(template, self.weights)
        return f"weight {template!r} is not in the model" + (f"; closest: {', '.join(map(repr, near))}" if near else "")

    def _layer(self, template: str, *, beneath: bool) -> dict[str, Weight]:
        """Returns the weights of the layer with that path, or of the one cell beneath it, by role."""
        by_role: dict[str, list[Weight]] = {}
        for path, weight in self.weights.items():
            owner = weight_roles.scope_of(path)
            if f"/{owner}".endswith(f"/{template}") or (beneath and f"/{template}/" in f"/{owner}/"):
                role = weight_roles.role_of(path)
                by_role.setdefault(role if role != weight_roles.UNKNOWN else path.rsplit("/", 1)[-1], []).append(weight)
        several = sorted(
            {weight_roles.scope_of(weight.path) for same in by_role.values() if len(same) > 1 for weight in same}
        )
        if several:
            raise LoadError(f"layer {template!r} could be any of {errors.quoted(several)}; write more of its path")
        if not by_role:
            layers = {weight_roles.scope_of(path) for path in self.weights}
            near = errors.closest(template, layers)
            raise LoadError(
                f"layer {template!r} is not in the model" + (f"; closest: {', '.join(map(repr, near))}" if near else "")
            )
        return {role: same[0] for role, same in by_role.items()}

    def match(self, source_flow: Flow | None, target_flow: Flow | None) -> None:
        """Matches by itself what the rules have not mentioned."""
        used = {key for assignment in self.filled.values() for key in assignment.keys}
        entries = [entry for key, entry in self.free().items() if key not in self.reasons and key not in used]
        weights = [weight for path, weight in self.weights.items() if self._is_open(path)]
        matched = matching.match(entries, weights, source_flow, target_flow)
        for pair in matched.pairs:
            shape = self.weights[pair.weight].shape
            steps = () if shape == self.entries[pair.key].shape else (transforms.Reshape(shape),)
            self._assign(Assignment(pair.weight, (Term(pair.key),), steps), pair.how)
        self.plan.ambiguous = matched.ambiguous

    def _is_open(self, path: str) -> bool:
        return path not in self.filled and path not in self.failed_weights and path not in self.plan.kept

    def finish(self) -> Plan:
        """Accounts for every variable and every weight."""
        plan = self.plan
        plan.assignments = [self.filled[path] for path in self.weights if path in self.filled]
        used = {key for assignment in plan.assignments for key in assignment.keys}
        rest = [key for key in self.entries if key not in used and key not in plan.skipped]
        plan.skipped.update({key: self.reasons[key] for key in rest if key in self.reasons})
        plan.left_over = [key for key in rest if key not in self.reasons and key not in self.failed_keys]
        plan.missing = [path for path in self.weights if self._is_open(path)]
        self._pair_misshapen()
        return plan

    def _pair_misshapen(self) -> None:
        """Turns a missing weight and a left over variable of the same name and role into one misfit."""
        undecided = {name for ambiguity in self.plan.ambiguous for name in (ambiguity.layer, *ambiguity.candidates)}
        for path in list(self.plan.missing):
            weight, layer = self.weights[path], weight_roles.scope_of(path)
            same = [
                key
                for key in self.plan.left_over
                if weight_roles.role_of(key) == weight_roles.role_of(path) != weight_roles.UNKNOWN
                and matching.same_path(weight_roles.scope_of(key), weight.given or layer)
            ]
            if len(same) == 1 and not undecided & {path, layer, same[0], weight_roles.scope_of(same[0])}:
                fault = shape_fitting.misfit(Assignment(path, (Term(same[0]),)), weight, self.entries)
                if fault:
                    self.plan.misfits.append(f"{same[0]!r} for {path!r}: {fault}")
                    self.plan.missing.remove(path)
                    self.plan.left_over.remove(same[0])


def _assignment(weight: str, keys: list[str], steps: list) -> Assignment:
    joins = [position for position, step in enumerate(steps) if isinstance(step, Concatenate)]
    if not joins:
        return Assignment(weight, (Term(keys[0]),), tuple(steps))
    before, after = tuple(steps[: joins[0]]), tuple(steps[joins[0] + 1 :])
    return Assignment(weight, tuple(Term(key, before) for key in keys), after, steps[joins[0]].axis)
