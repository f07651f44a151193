"""Which variable of the checkpoint is which weight of the model, where that can be known without being told.

A wrong match that looks right is the worst outcome, so nothing is scored and nothing is guessed: each step below
removes possibilities, and a match is used only when one is left. The steps, for whole layers (a scope's variables
together) first, and then for single variables in what remains:

0. *Heads.* Where the saved graph has heads that the model does not have, their variables are out (see `heads`).
1. *Parts.* A variable's role is the last part of its name, in every dialect (`weights` is a kernel). A scope fits a
   layer if roles and shapes are equal, all of them. Nothing is transposed here. Scopes and layers that fit one another
   make a class; a scope whose only fit is one layer, which fits no other, is matched: "only one fits". What is left
   after all steps goes through them again with one difference: a convolution of one position is a dense layer.
2. *Graph.* Where the checkpoint has its .meta file and the model is functional, both sides know what computes before
   what. Members of a class are told apart by the classes of their nearest neighbours, upstream and downstream, and
   those by theirs, until nothing changes; then by the order in which what they give is concatenated, too. If the two
   sides differ at any point (the model computes something else), this step is not used at all.
3. *Names.* In a class of several, drop what all its members have in common on each side; if what is left names every
   member, and the same on both sides, that is the match. Numbers that Keras made up (`dense_7`) are no names: they
   count the layers of the process.
4. *Attachment.* A scope inside the scope of a matched layer (`conv1/BatchNorm` in `conv1`) belongs to the layer that
   follows the matched one directly.
5. *Order.* Scopes whose names differ in numbers only (`dense`, `dense_1`, `block2/conv_3`) were made in the order of
   the numbers. Layers have an order only if each computes from the one before, as in a `Sequential`: two heads side by
   side have none. Then the n-th scope is the n-th layer, provided that every other member of the same family of names
   that was matched above lies where that order says.

Where more is known than needed, it must agree: names against order is no match. What remains is reported with every
candidate. A class of unequal sides is matched by names only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from load_v2.porting import heads, refine, weight_roles
from load_v2.porting.flow import Flow
from load_v2.porting.types import Ambiguity, Entry, Weight
from load_v2.porting.weight_roles import Group


@dataclass(frozen=True)
class Pair:
    key: str
    weight: str
    how: str


@dataclass
class Matching:
    pairs: list[Pair] = field(default_factory=list)
    ambiguous: list[Ambiguity] = field(default_factory=list)


def match(
    entries: Iterable[Entry],
    weights: Iterable[Weight],
    source_flow: Flow | None = None,
    target_flow: Flow | None = None,
) -> Matching:
    """Returns the matches that are the only ones possible, and the candidates where there are several."""
    weights = list(weights)
    entries = heads.needed(list(entries), weights, source_flow)
    matching = Matching()

    def rest(known: set[str]) -> tuple[list[Entry], list[Weight]]:
        used = known | {name for pair in matching.pairs for name in (pair.key, pair.weight)}
        return [e for e in entries if e.key not in used], [w for w in weights if w.path not in used]

    def by_layers(undecided: set[str], known: Sequence[tuple[Group, Group]], *, as_dense: bool) -> _Stage:
        scopes, layers = (weight_roles.groups(side, as_dense=as_dense) for side in rest(undecided))
        stage = _Stage(scopes, layers, source_flow, target_flow, known)
        matching.pairs += stage.run()
        return stage

    layers = by_layers(set(), (), as_dense=False)
    # A class of layers that fit but could not be told apart stays as it is: its variables one by one would be no
    # better.
    dense = by_layers(layers.undecided(), layers.matched, as_dense=True)
    if dense.found:
        layers = by_layers(dense.undecided(), dense.matched, as_dense=False)
    matching.ambiguous += layers.ambiguous() + dense.ambiguous()
    variables, single_weights = (_singles(side) for side in rest(layers.undecided() | dense.undecided()))
    singles = _Stage(variables, single_weights, source_flow, target_flow)
    matching.pairs += singles.run()
    matching.ambiguous += singles.ambiguous()
    return matching


def _singles(variables: Iterable[Entry | Weight]) -> list[Group]:
    return [
        Group(group.path, (member,), group.given, group.members)
        for group in weight_roles.groups(variables)
        for member in group.members
    ]


@dataclass(frozen=True)
class Class:
    """Scopes and layers that fit one another."""

    sources: tuple[Group, ...]
    targets: tuple[Group, ...]

    @property
    def even(self) -> bool:
        return len(self.sources) == len(self.targets)


class _Stage:
    """The steps, over some of the scopes and layers.

    Args:
        sources: scopes that are to be matched.
        targets: layers that are to be matched.
        source_flow: as of `match`.
        target_flow: as of `match`.
        known: pairs that were matched before.
    """

    def __init__(
        self,
        sources: list[Group],
        targets: list[Group],
        source_flow,
        target_flow,
        known: Sequence[tuple[Group, Group]] = (),
    ):
        self.sources, self.targets = sources, targets
        self.source_flow, self.target_flow = source_flow, target_flow
        self.known = list(known)
        self.found: list[tuple[Group, Group, str]] = []

    @property
    def matched(self) -> refine.Pairs:
        return [*self.known, *((source, target) for source, target, _ in self.found)]

    def run(self) -> list[Pair]:
        """Applies the steps until none of them finds anything more."""
        steps = (self._forced, self._by_graph, self._by_names, self._attached, self._by_order)
        while any(step() for step in steps):
            pass
        return [
            Pair(source[2], target[2], how)
            for scope, layer, how in self.found
            for source, target in zip(scope.members, layer.members, strict=True)
        ]

    def classes(self) -> list[Class]:
        """Returns the classes of what is not matched yet: connected parts of the relation 'fits'."""
        done = {id(group) for scope, layer, _ in self.found for group in (scope, layer)}
        sources = [group for group in self.sources if id(group) not in done]
        targets = [group for group in self.targets if id(group) not in done]
        result = []
        while targets:
            these, those = [targets.pop(0)], []
            grown = True
            while grown:
                more = [s for s in sources if any(weight_roles.alike(s, t) for t in these)]
                sources = [s for s in sources if s not in more]
                those += more
                also = [t for t in targets if any(weight_roles.alike(s, t) for s in those)]
                targets = [t for t in targets if t not in also]
                these += also
                grown = bool(more or also)
            if those:
                result.append(Class(tuple(those), tuple(these)))
        return result

    def ambiguous(self) -> list[Ambiguity]:
        ambiguities = []
        for group in self.classes():
            for target in group.targets:
                fits = [source for source in group.sources if weight_roles.alike(source, target)]
                whole = len(target.members) > 1
                name = target.path if whole else target.members[0][2]
                names = tuple(source.path if whole else source.members[0][2] for source in fits)
                ambiguities.append(Ambiguity(name, names, whole))
        return ambiguities

    def undecided(self) -> set[str]:
        """Returns the names of the variables and weights of classes that could not be told apart."""
        groups = [group for part in self.classes() for group in (*part.sources, *part.targets)]
        return {name for group in groups for name in group.names}

    def _add(self, pairs: list[tuple[Group, Group]], how: str) -> bool:
        self.found += [(source, target, how) for source, target in pairs]
        return bool(pairs)

    def _forced(self) -> bool:
        # A complete match that is the only one always has a member with a single partner (a leaf), so taking leaves
        # away one after another finds it, and finds nothing where there are two.
        pairs = []
        for part in self.classes():
            for target in part.targets if part.even else ():
                fits = [source for source in part.sources if weight_roles.alike(source, target)]
                if len(fits) == 1 and _solvable(part, fits[0], target):
                    pairs.append((fits[0], target))
        return self._add(pairs, "only one fits")

    def _by_graph(self) -> bool:
        if self.source_flow is None or self.target_flow is None:
            return False
        classes = [(part.sources, part.targets) for part in self.classes()]
        pairs = refine.told_apart(self.matched, classes, self.source_flow, self.target_flow)
        if not pairs and self.source_flow.joins and self.target_flow.joins:
            pairs = refine.told_apart(self.matched, classes, self.source_flow, self.target_flow, by_place=True)
        return self._add([(s, t) for s, t in pairs if weight_roles.alike(s, t)], "same place in both graphs")

    def _by_names(self) -> bool:
        added = False
        for part in self.classes():
            pairs = by_names(part.sources, part.targets) if part.even else same_names(part.sources, part.targets)
            if pairs and all(weight_roles.alike(s, t) for s, t in pairs) and not self._against_order(part, pairs):
                added = self._add(pairs, "same name")
        return added

    def _against_order(self, part: Class, pairs) -> bool:
        """Tells whether the scopes' numbers and the layers' order contradict a match by names."""
        ordered = numbered(part.sources)
        chain = chained([target for _, target in pairs], self.target_flow)
        if ordered is None or chain is None:
            return False
        partner = {id(source): target for source, target in pairs}
        return [partner[id(source)] for source in ordered if id(source) in partner] != chain

    def _attached(self) -> bool:
        if self.target_flow is None:
            return False
        owners = {source.path: target for source, target, _ in self.found if source.path}
        pairs = []
        for part in self.classes():
            inside = {id(source): owners.get(_enclosing(source.path, owners)) for source in part.sources}
            for source in part.sources:
                owner = inside[id(source)]
                if owner is None or sum(other is owner for other in inside.values()) > 1:
                    continue
                weights = set(owner.names)
                after = [t for t in part.targets if weight_roles.alike(source, t) and self._follows(t, weights)]
                if len(after) == 1:
                    pairs.append((source, after[0]))
        unique = len({id(target) for _, target in pairs}) == len(pairs)
        return self._add(pairs if unique else [], "attached to a matched layer")

    def _follows(self, target: Group, weights: set[str]) -> bool:
        nearest = self.target_flow.nearest(target.names)
        return bool(nearest) and nearest <= weights

    def _by_order(self) -> bool:
        for part in self.classes():
            if not part.even or not all(weight_roles.alike(s, t) for s in part.sources for t in part.targets):
                continue
            sources, targets = numbered(part.sources), chained(part.targets, self.target_flow)
            if sources and targets and _names_agree(sources, targets) and self._family_agrees(sources, targets):
                return self._add(list(zip(sources, targets, strict=True)), "same order")
        return False

    def _family_agrees(self, sources: list[Group], targets: list[Group]) -> bool:
        """Tells whether already matched scopes of the same family lie where the order of their numbers says."""
        pairs = list(zip(sources, targets, strict=True))
        family = skeleton(sources[0])
        pairs += [(source, target) for source, target, _ in self.found if skeleton(source) == family]
        pairs.sort(key=lambda pair: numbers(pair[0]))
        return chained([target for _, target in pairs], self.target_flow) == [target for _, target in pairs]


def _names_agree(sources: list[Group], targets: list[Group]) -> bool:
    """Tells whether the layers' own names allow this order: neither other names nor other numbers."""
    named = by_names(sources, targets)
    order = numbered(targets)
    return (not named or [target for _, target in named] == targets) and order in (None, targets)


def _solvable(part: Class, source: Group, target: Group) -> bool:
    """Tells whether the rest of a class can still be matched completely (Kuhn's augmenting paths)."""
    rest = [group for group in part.sources if group is not source]
    partner: dict[int, Group] = {}

    def place(wanted: Group, tried: set[int]) -> bool:
        for candidate in rest:
            if id(candidate) in tried or not weight_roles.alike(candidate, wanted):
                continue
            tried.add(id(candidate))
            holder = partner.get(id(candidate))
            if holder is None or place(holder, tried):
                partner[id(candidate)] = wanted
                return True
        return False

    return all(place(wanted, set()) for wanted in part.targets if wanted is not target)


def by_names(sources: Sequence[Group], targets: Sequence[Group]) -> list[tuple[Group, Group]]:
    """Returns the pairs whose distinguishing words are equal, or nothing if that does not pair all of them."""
    by_source, by_target = _distinguishing(sources), _distinguishing(targets)
    if len(by_source) != len(sources) or set(by_source) != set(by_target) or len(by_target) != len(targets):
        return []
    return [(by_source[words], by_target[words]) for words in by_source]


def _distinguishing(groups: Sequence[Group]) -> dict[tuple, Group]:
    worded = [(weight_roles.words(group.given), group) for group in groups]
    common = set.intersection(*(set(words) for words, _ in worded))
    return {tuple(word for word in words if word not in common): group for words, group in worded}


def same_names(sources: Sequence[Group], targets: Sequence[Group]) -> list[tuple[Group, Group]]:
    """Returns the pairs with equal paths, one perhaps within an outer scope: all of the smaller side, or nothing."""
    pairs = [(s, t) for s in sources for t in targets if same_path(s.given, t.given)]
    smaller = min(len(sources), len(targets))
    unique = len({id(s) for s, _ in pairs}) == len({id(t) for _, t in pairs}) == len(pairs)
    return pairs if unique and len(pairs) == smaller else []


def same_path(first: str, second: str) -> bool:
    """Tells whether two paths are equal, or one is the end of the other.

    >>> same_path("model/conv1", "conv1"), same_path("conv11", "conv1")
    (True, False)
    """
    first, second = f"/{first.lower()}", f"/{second.lower()}"
    return first.endswith(second) or second.endswith(first)


def skeleton(group: Group) -> tuple[str, ...]:
    return tuple(base for base, _ in weight_roles.parts(group.given))


def numbers(group: Group) -> tuple[int, ...]:
    # The first of a TF1 family has no number, the second has 1.
    return tuple(number or 0 for _, number in weight_roles.parts(group.given))


def numbered(groups: Iterable[Group]) -> list[Group] | None:
    """Returns the scopes in the order of their numbers, or None if their names differ in more than numbers."""
    groups = sorted(groups, key=numbers)
    if len({skeleton(group) for group in groups}) > 1 or len({numbers(group) for group in groups}) < len(groups):
        return None
    return groups


def chained(groups: Iterable[Group], flow: Flow | None) -> list[Group] | None:
    """Returns the layers in the order of computation, or None unless each of them computes from the one before."""
    groups = list(groups)
    if flow is None or not all(flow.knows(group.names) for group in groups):
        return None
    upstream = {id(group): flow.after(group.names) for group in groups}
    groups.sort(key=lambda group: len(upstream[id(group)]))
    for earlier, later in zip(groups, groups[1:], strict=False):
        first, second = (set(group.names) for group in (earlier, later))
        if not first <= upstream[id(later)] or second & upstream[id(earlier)]:
            return None
    return groups


def _enclosing(path: str, known: dict) -> str:
    """Returns the innermost known scope around a path, or ''."""
    outer = path.rpartition("/")[0]
    while outer and outer not in known:
        outer = outer.rpartition("/")[0]
    return outer
