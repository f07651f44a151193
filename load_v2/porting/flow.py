"""What computes before what: enough of a graph to tell apart layers that look the same."""

from collections.abc import Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Flow:
    """A graph of operations, and which of them a variable belongs to.

    `operations`: variable name -> the operations that use it first. `feeds`: operation -> the operations it takes its
    inputs from. Operations without variables are in `feeds` too; they are passed through. `joins`: the operations that
    put their inputs beside each other (concatenate, stack), in the order in which `feeds` has them.
    """

    operations: Mapping[str, frozenset[Hashable]]
    feeds: Mapping[Hashable, Collection[Hashable]]
    joins: frozenset[Hashable] = frozenset()
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

    def places(self, names: Iterable[str]) -> frozenset[tuple[int, str]]:
        """Returns the variables that `nearest` does, each with its place among the inputs that were joined on the way.

        A join of a join is one join of all; what is not joined is at place 0. The kernel that reads a join has its input
        channels in this order, so that two graphs that put the same in another order do not compute the same.
        """
        start = {operation for name in names for operation in self.operations.get(name, ())}
        own = set(names)
        # An operation is seen twice: before its inputs, and after them. In a cycle it has nothing to give yet.
        parts: dict[Hashable, tuple[frozenset[str], ...]] = dict.fromkeys(start, ())
        stack = [(source, False) for operation in start for source in self.feeds.get(operation, ())]
        while stack:
            operation, is_ready = stack.pop()
            if is_ready:
                parts[operation] = self._joined(operation, parts)
            elif operation not in parts:
                users = frozenset(self._users.get(operation, set()) - own)
                parts[operation] = (users,) if users else ()
                if not users:
                    stack.append((operation, True))
                    stack += [(source, False) for source in self.feeds.get(operation, ())]
        return frozenset(
            (place, name)
            for operation in start
            for place, part in enumerate(self._joined(operation, parts))
            for name in part
        )

    def _joined(self, operation: Hashable, parts: Mapping[Hashable, tuple[frozenset[str], ...]]):
        sources = self.feeds.get(operation, ())
        if operation in self.joins:
            # An input of the model is a part, too, in which there is no variable.
            return tuple(part for source in sources for part in parts[source] or (frozenset(),))
        with_variables = [parts[source] for source in dict.fromkeys(sources) if any(parts[source])]
        if len(with_variables) < 2:
            return with_variables[0] if with_variables else ()
        return (frozenset().union(*(part for source in with_variables for part in source)),)

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
