"""Telling same-shaped layers apart by their places in two graphs: colour refinement, on both at once.

A layer's first colour is the class it is in. Each round, its new colour is the old one together with the colours of its
nearest neighbours upstream and downstream, and, if asked for, the place that each has where several are joined. Two
layers end with the same colour only if the graph around them looks the same as far as it goes. A graph that is the same
on both sides gives the same colours on both; where a colour has one layer on each side, these are the same layer. Where
the graphs differ, nothing is said at all.
"""

from collections import Counter
from collections.abc import Iterable

from load_v2.porting.flow import Flow
from load_v2.porting.weight_roles import Group

Pairs = list[tuple[Group, Group]]


def told_apart(
    matched: Pairs,
    classes: list[tuple[tuple[Group, ...], tuple[Group, ...]]],
    source_flow: Flow,
    target_flow: Flow,
    *,
    by_place: bool = False,
) -> Pairs:
    """Returns the pairs, out of the classes, that are the only ones in the same place of both graphs.

    Args:
        matched: layers already matched; each pair is a class of its own.
        classes: scopes and layers that fit one another.
        source_flow: the graph of the scopes.
        target_flow: the graph of the layers.
        by_place: whether the order in which layers' outputs are concatenated counts, too.

    Returns:
        Nothing if a layer is missing in its graph, or if the graphs disagree about any layer.
    """
    everything = [((source,), (target,)) for source, target in matched] + classes
    if any(len(sources) != len(targets) for sources, targets in everything):
        return []
    sides = []
    for flow, index in ((source_flow, 0), (target_flow, 1)):
        groups = [(group, colour) for colour, pair in enumerate(everything) for group in pair[index]]
        if not all(flow.knows(group.names) for group, _ in groups):
            return []
        sides.append((groups, _neighbours([group for group, _ in groups], flow, by_place)))
    colours = [{id(group): colour for group, colour in groups} for groups, _ in sides]
    while True:
        finer = [_refined(side, colour) for side, colour in zip(sides, colours, strict=True)]
        if Counter(finer[0].values()) != Counter(finer[1].values()):
            return []
        if len(set(finer[0].values())) == len(set(colours[0].values())):
            break
        numbers = {colour: number for number, colour in enumerate(sorted(set(finer[0].values())))}
        colours = [{name: numbers[colour] for name, colour in side.items()} for side in finer]
    return _only(classes, colours)


def _only(classes, colours) -> Pairs:
    pairs = []
    for sources, targets in classes:
        counted = Counter(colours[0][id(source)] for source in sources)
        for source in sources:
            colour = colours[0][id(source)]
            same = [target for target in targets if colours[1][id(target)] == colour]
            if counted[colour] == 1 and len(same) == 1:
                pairs.append((source, same[0]))
    return pairs


def _neighbours(groups: Iterable[Group], flow: Flow, by_place: bool) -> dict[int, tuple[set, set]]:
    """Returns, for each group, the groups nearest upstream and nearest downstream, each as (place, group)."""
    owner = {name: id(group) for group in groups for name in group.names}
    neighbours: dict[int, tuple[set, set]] = {id(group): (set(), set()) for group in groups}
    for group in groups:
        names = group.names
        for place, name in flow.places(names) if by_place else ((0, near) for near in flow.nearest(names)):
            if name in owner and owner[name] != id(group):
                neighbours[id(group)][0].add((place, owner[name]))
                neighbours[owner[name]][1].add((place, id(group)))
    return neighbours


def _refined(side, colours: dict[int, int]) -> dict[int, tuple]:
    groups, neighbours = side
    return {
        id(group): (
            colours[id(group)],
            tuple(sorted((place, colours[near]) for place, near in neighbours[id(group)][0])),
            tuple(sorted((place, colours[near]) for place, near in neighbours[id(group)][1])),
        )
        for group, _ in groups
    }
