"""What computes before what: enough of a graph to tell apart layers that look the same."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Flow:
    """A graph of operations, and which of them a variable belongs to.

    `operations`: variable name -> the operations that use it first. `feeds`: operation -> the operations it takes its
    inputs from. Operations without variables are in `feeds` too; they are passed through.
    """

    operations: Mapping[str, frozenset[Hashable]]
    feeds: Mapping[Hashable, frozenset[Hashable]]
    _users: dict = field(default_factory=dict, compare=False, repr=False)
    _upstream: dict = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self):
        for name, operations in self.operations.items():
            for operation in operations:
                self._users.setdefault(operation, set()).add(name)

    def nearest(self, names: Iterable[str]) -> frozenset[str]:
        """Returns the variables met first when going back from what uses `names`; `names` are not among them."""
        start = {operation for name in names for operation in self.operations.get(name, ())}
        own, seen, met = set(names), set(start), set()
        stack = [source for operation in start for source in self.feeds.get(operation, ())]
        while stack:
            operation = stack.pop()
            if operation in seen:
                continue
            seen.add(operation)
            users = self._users.get(operation, set()) - own
            if users:
                met |= users
            else:
                stack.extend(self.feeds.get(operation, ()))
        return frozenset(met)

    def after(self, names: Iterable[str]) -> frozenset[str]:
        """Returns every variable that `names` cannot do without: those used upstream, however far."""
        start = frozenset(operation for name in names for operation in self.operations.get(name, ()))
        if start not in self._upstream:
            self._upstream[start] = self._reached(start)
        return self._upstream[start]

    def _reached(self, start: frozenset[Hashable]) -> frozenset[str]:
        stack, reached, users = (
            [source for operation in start for source in self.feeds.get(operation, ())],
            set(),
            set(),
        )
        while stack:
            operation = stack.pop()
            if operation not in reached:
                reached.add(operation)
                users |= self._users.get(operation, set())
                stack.extend(self.feeds.get(operation, ()))
        return frozenset(users)

    def knows(self, names: Iterable[str]) -> bool:
        """Tells whether the graph has all these variables."""
        return all(self.operations.get(name) for name in names)
