"""Which heads of the saved graph the model has, where it does not have them all.

A checkpoint of training often holds more than the model that is wanted: an auxiliary classifier, a discriminator, the
head of another task. Its layers look like others, so that no class of them comes out even. What a head needs is a part
of the saved graph, though, and parts can be counted: where those of exactly one choice of heads have the model's roles
and shapes, all of them, the other heads' own variables are not the model's.
"""

import itertools
from collections import Counter
from collections.abc import Iterable

from load_v2.porting import weight_roles
from load_v2.porting.flow import Flow
from load_v2.porting.types import Entry, Weight

# As many choices as there are subsets.
_MOST = 10


def needed(entries: list[Entry], weights: Iterable[Weight], flow: Flow | None) -> list[Entry]:
    """Returns the variables that the model's heads need, or all where that is not certain.

    Args:
        entries: of the checkpoint.
        weights: of the model.
        flow: what computes before what in the saved graph.
    """
    if flow is None:
        return entries
    wanted = _counted(weights)
    if _counted(entries) == wanted:
        return entries
    by_key = {entry.key: entry for entry in entries}
    known = [group for group in weight_roles.groups(entries) if flow.knows(group.names)]
    needs = {id(group): frozenset(group.names) | flow.after(group.names) for group in known}
    heads = [
        needs[id(group)]
        for group in known
        if not any(needs[id(other)] & set(group.names) for other in known if other is not group)
    ]
    if not 1 < len(heads) <= _MOST:
        return entries
    unions = (
        frozenset().union(*some) for count in range(1, len(heads)) for some in itertools.combinations(heads, count)
    )
    choices = [names for names in unions if _counted(by_key[name] for name in names if name in by_key) == wanted]
    return [entry for entry in entries if entry.key in choices[0]] if len(choices) == 1 else entries


def _counted(variables: Iterable[Entry | Weight]) -> Counter:
    return Counter(member[:2] for group in weight_roles.groups(variables, as_dense=True) for member in group.members)
