"""The order in which a graph computes, and what in a graph of dependencies cannot be put in order."""

import collections
from collections.abc import Mapping, Sequence

from export_v1.ir import ops
from export_v1.ir.graph import Index, NodeDef

# No name of a node.
_LEFT = "^"


def in_order(index: Index) -> list[NodeDef]:
    """Returns the nodes so that each comes after what it reads; a loop's way back does not count.

    Iterative, since a graph of a deep network is deeper than Python's stack.
    """
    nodes, order = index.nodes, []
    # What is done, or is never come to by an edge.
    ways_back = {name for name, op in index.kinds.items() if op in ops.WAYS_BACK}
    done = set(ways_back)
    # Tuples of names that many nodes wait for; each is followed once.
    waited: set[int] = set()
    for root in nodes:
        if root in ways_back:
            done.remove(root)
        # A node that is left, once all it reads is done, stands below a marker.
        stack = [root]
        while stack:
            name = stack.pop()
            if name == _LEFT:
                order.append(nodes[stack.pop()])
            elif name not in done:
                done.add(name)
                stack += (name, _LEFT)
                data, controls = index.edges(name)
                stack += [tensor.node for tensor in data if tensor.node not in done and tensor.node in nodes]
                if controls and id(controls) not in waited:
                    waited.add(id(controls))
                    stack += [source for source in controls if source not in done and source in nodes]
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
