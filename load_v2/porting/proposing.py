"""Which variable could be which weight, where nothing decides it: by names as a person reads them, and by shapes.

Layers first, so that the weights of one layer come from one scope; then what is left, one by one. Every variable and
every weight is proposed at most once.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from load_v2.porting import reshaping, weight_roles
from load_v2.porting.likeness import Likeness
from load_v2.porting.types import Entry, Weight

# Others are told beside a proposal when they are this near.
_NEAR = 0.1
_OTHERS = 3


class Proposal(NamedTuple):
    """A variable for a weight.

    Attributes:
        key: of the variable.
        weight: path of the weight.
        steps: of the transform, as they stand in a rules file.
        why: what speaks for it.
        others: variables that are nearly as likely.
    """

    key: str
    weight: str
    steps: tuple[str, ...]
    why: str
    others: tuple[str, ...] = ()


class _Member(NamedTuple):
    """A variable or a weight, the layer it is in, and where it stands among all of its side."""

    name: str
    layer: str
    role: str
    item: Entry | Weight
    at: int


def propose(entries: Sequence[Entry], weights: Sequence[Weight]) -> list[Proposal]:
    """Returns proposals, in the order of the weights.

    Args:
        entries: variables that have no weight yet.
        weights: those that have no variable yet.
    """
    # As a person counts: `conv_2` before `conv_10`. Weights have the model's own order.
    sources = [
        _Member(entry.key, weight_roles.scope_of(entry.key), weight_roles.role_of(entry.key), entry, at)
        for at, entry in enumerate(sorted(entries, key=lambda entry: _natural(entry.key)))
    ]
    targets = [
        _Member(
            weight.path,
            weight.given or weight_roles.scope_of(weight.path),
            weight_roles.role_of(weight.path),
            weight,
            at,
        )
        for at, weight in enumerate(weights)
    ]
    proposals = _by_layer(sources, targets)
    used_names = {name for proposal in proposals for name in (proposal.key, proposal.weight)}
    proposals += _one_by_one(
        [member for member in sources if member.name not in used_names],
        [member for member in targets if member.name not in used_names],
    )
    order = {weight.path: at for at, weight in enumerate(weights)}
    return sorted(proposals, key=lambda proposal: order[proposal.weight])


def _by_layer(sources: Sequence[_Member], targets: Sequence[_Member]) -> list[Proposal]:
    scopes = _grouped(sources, lambda member: member.layer)
    # Two layers that Keras numbered are two, though their given names are one.
    layers = _grouped(targets, lambda member: weight_roles.scope_of(member.name))
    likeness = Likeness(scopes, [members[0].layer for members in layers.values()])
    ranked = []
    for path, wanted in layers.items():
        for scope, held in scopes.items():
            pairs = _pairs(held, wanted)
            if pairs and len(wanted) > 1:
                score = likeness.of(scope, wanted[0].layer) - sum(way.cost for _, _, way in pairs) / len(pairs)
                ranked.append((score, -_apart(held, wanted), scope, path, pairs))
    ranked.sort(key=lambda candidate: (-candidate[0], -candidate[1], candidate[2], candidate[3]))
    rivals: dict[str, list[tuple[float, str]]] = {}
    for score, _, scope, path, _ in ranked:
        rivals.setdefault(path, []).append((score, scope))
    proposals: list[Proposal] = []
    used: set[str] = set()
    for score, _, scope, path, pairs in ranked:
        if scope in used or path in used:
            continue
        used |= {scope, path}
        why = _why(likeness, scope, layers[path][0].layer)
        near = [other for points, other in rivals[path] if other != scope and points > score - _NEAR]
        for source, target, way in pairs:
            leaf = source.name.rpartition("/")[2]
            others = tuple(f"{other}/{leaf}" for other in near[:_OTHERS])
            proposals.append(Proposal(source.name, target.name, way.steps, why, others))
    return proposals


def _one_by_one(sources: Sequence[_Member], targets: Sequence[_Member]) -> list[Proposal]:
    names = [f"{weight.layer}/{weight.name.rpartition('/')[2]}" for weight in targets]
    likeness = Likeness([variable.name for variable in sources], names)
    ranked = []
    for target, name in zip(targets, names, strict=True):
        for source in sources:
            way = _way(source, target)
            if way is not None:
                score = likeness.of(source.name, name) - way.cost + (0.3 if source.role == target.role else 0.0)
                ranked.append((score, -abs(source.at - target.at), source, target, name, way))
    ranked.sort(key=lambda candidate: (-candidate[0], -candidate[1], candidate[2].name, candidate[3].name))
    rivals: dict[int, list[tuple[float, _Member]]] = {}
    for score, _, source, target, *_ in ranked:
        rivals.setdefault(id(target), []).append((score, source))
    proposals: list[Proposal] = []
    used: set[str] = set()
    for score, _, source, target, name, way in ranked:
        if source.name in used or target.name in used:
            continue
        used |= {source.name, target.name}
        near = [other.name for points, other in rivals[id(target)] if other is not source and points > score - _NEAR]
        proposals.append(
            Proposal(source.name, target.name, way.steps, _why(likeness, source.name, name), tuple(near[:_OTHERS]))
        )
    return proposals


def _pairs(held: Sequence[_Member], wanted: Sequence[_Member]) -> list[tuple[_Member, _Member, reshaping.Way]] | None:
    """Returns a variable of a scope for each weight of a layer, by role; None where one is missing or cannot fit."""
    pairs = []
    for target in wanted:
        fits = [
            (source, way) for source in held if source.role == target.role and (way := _way(source, target)) is not None
        ]
        if len(fits) != 1 or target.role == weight_roles.UNKNOWN:
            return None
        pairs.append((fits[0][0], target, fits[0][1]))
    return pairs


def _way(source: _Member, target: _Member) -> reshaping.Way | None:
    roles = {source.role, target.role}
    if len(roles) > 1 and weight_roles.UNKNOWN not in roles and roles != {"kernel", "embeddings"}:
        return None
    assert isinstance(source.item, Entry) and isinstance(target.item, Weight)
    return reshaping.way(source.item, target.item)


def _grouped(members: Iterable[_Member], layer: Callable[[_Member], str]) -> dict[str, list[_Member]]:
    groups: dict[str, list[_Member]] = {}
    for member in members:
        groups.setdefault(layer(member), []).append(member)
    return groups


def _apart(held: Sequence[_Member], wanted: Sequence[_Member]) -> int:
    """Returns how far a scope and a layer are from the same place in the order of their sides."""
    # Not relative to how many there are: a model is more often the beginning of another than a thinned-out copy.
    return abs(held[0].at - wanted[0].at)


def _why(likeness: Likeness, source: str, target: str) -> str:
    shared = likeness.shared(source, target)
    return f"names share {', '.join(shared)}" if shared else "by shape and order alone"


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name) if part]
