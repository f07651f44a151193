"""ordering: what a graph of dependencies has that cannot be put in order."""

import collections
from collections.abc import Mapping, Sequence


def unordered(needed: Mapping[str, Sequence[str]]) -> list[str]:
    """Returns the names that depend on themselves, or on one that does; none where all can be put in order.

    >>> unordered({"a": ["b"], "b": ["a"], "c": []})
    ['a', 'b']

    Args:
        needed: name -> names that it depends on, all of them among the names.
    """
    waiting = {name: len(names) for name, names in needed.items()}
    readers = collections.defaultdict(list)
    for name, names in needed.items():
        for one in names:
            readers[one].append(name)
    ready = [name for name, count in waiting.items() if not count]
    while ready:
        name = ready.pop()
        del waiting[name]
        for reader in readers[name]:
            waiting[reader] -= 1
            if not waiting[reader]:
                ready.append(reader)
    return list(waiting)
