"""The order in which a graph computes, and what in a graph of dependencies cannot be put in order."""

import collections
from collections.abc import Mapping, Sequence

from export_v1.ir import ops
from export_v1.ir.graph import Index, NodeDef, parse


def in_order(index: Index) -> list[NodeDef]:
    """Returns the nodes so that each comes after what it reads; a loop's way back does not count.

    Iterative, since a graph of a deep network is deeper than Python's stack.
    """
    done, order = set(), []
    for root in index.graph_def.node:
        stack = [(root, False)]
        while stack:
            node, expanded = stack.pop()
            if expanded:
                order.append(node)
            elif node.name not in done:
                done.add(node.name)
                stack.append((node, True))
                sources = (index.nodes.get(parse(edge).node) for edge in node.input)
                stack.extend(
                    (source, False) for source in sources if source is not None and source.op not in ops.WAYS_BACK
                )
    return order


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
        for source in names:
            readers[source].append(name)
    ready = [name for name, count in waiting.items() if not count]
    while ready:
        name = ready.pop()
        del waiting[name]
        for reader in readers[name]:
            waiting[reader] -= 1
            if not waiting[reader]:
                ready.append(reader)
    return list(waiting)
