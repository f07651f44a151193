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
    _users: dict = field(default_factory=dict, compare=False)

    def __post_init__(self):
        for name, operations in self.operations.items():
            for operation in operations:
                self._users.setdefault(operation, set()).add(name)

    def nearest(self, names: Iterable[str]) -> frozenset[str]:
        """Returns the variables met first when going back from what uses `names`; `names` are not among them."""
        start = {operation for name in names for operation in self.operations.get(name, ())}
        own, seen, found = set(names), set(start), set()
        stack = [source for operation in start for source in self.feeds.get(operation, ())]
        while stack:
            operation = stack.pop()
            if operation in seen:
                continue
            seen.add(operation)
            users = self._users.get(operation, set()) - own
            if users:
                found |= users
            else:
                stack.extend(self.feeds.get(operation, ()))
        return frozenset(found)

    def after(self, names: Iterable[str]) -> frozenset[str]:
        """Returns every variable that `names` cannot do without: those used upstream, however far."""
        seen = {operation for name in names for operation in self.operations.get(name, ())}
        stack, found = [source for operation in seen for source in self.feeds.get(operation, ())], set()
        reached = set()
        while stack:
            operation = stack.pop()
            if operation in reached:
                continue
            reached.add(operation)
            found |= self._users.get(operation, set())
            stack.extend(self.feeds.get(operation, ()))
        return frozenset(found)

    def knows(self, names: Iterable[str]) -> bool:
        return all(self.operations.get(name) for name in names)
