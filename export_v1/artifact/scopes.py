"""How many nodes each name scope of a graph had, and how many of them an export keeps."""

from collections import Counter
from collections.abc import Collection, Iterable

# Scopes of which nothing was kept, such as gradients and optimizers, are counted together below this depth.
_DROPPED_DEPTH = 3


def counts(original: Iterable[str], kept: Collection[str]) -> dict[str, tuple[int, int]]:
    """Returns scope -> how many nodes are directly in it, and how many of these were kept.

    A scope is what stands before the last slash of a node's name; "" is the top level. Where a scope and all scopes in
    it were dropped, what is deeper than three levels is counted in the third.

    >>> counts(["x", "a/b/c", "a/b/d", "g/h/i/j/k"], {"x", "a/b/c"})
    {'': (1, 1), 'a/b': (2, 1), 'g/h/i': (1, 0)}

    Args:
        original: names of all nodes.
        kept: names of those that were kept.
    """
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    for name in original:
        scope = name.rpartition("/")[0]
        before[scope] += 1
        after[scope] += name in kept
    alive = {outer for scope, count in after.items() if count for outer in _outer(scope)}
    joined: dict[str, tuple[int, int]] = {}
    for scope, count in before.items():
        shown = scope if scope in alive else _shortened(scope, alive)
        total, left = joined.get(shown, (0, 0))
        joined[shown] = (total + count, left + after[scope])
    return joined


def _outer(scope: str) -> list[str]:
    parts = scope.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _shortened(scope: str, alive: Collection[str]) -> str:
    """Returns the scope, or the outer one that it is counted in; no deeper than where its last kept relative is."""
    outer = _outer(scope)
    depth = sum(name in alive for name in outer)
    return outer[min(len(outer), max(_DROPPED_DEPTH, depth + 1)) - 1]
