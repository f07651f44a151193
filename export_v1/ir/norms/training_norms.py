"""The batch norms of a graph that go by the statistics of each batch, and what takes their place during inference.

A norm may be one fused op, or written out in arithmetic; then all statistics of one tensor belong to it. It can go by
its moving averages if nothing of the batch is left once they stand in the place of the statistics: a norm that centres
by what training has kept, and scales by the batch, is neither the one graph nor the other.
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping

from export_v1.errors import quoted
from export_v1.ir import ops
from export_v1.ir.graph import Index, NodeDef, Tensor, data_inputs
from export_v1.ir.match import origin
from export_v1.ir.norms import averages, moments
from export_v1.ir.norms.averages import Average

_QUOTIENTS = frozenset({"RealDiv", "Div"})


@dataclasses.dataclass(frozen=True)
class Norm:
    """A batch norm in its training form.

    Attributes:
        name: of the fused op, or of the tensor that is normalized.
        averages: statistic -> its moving average, in the place of which it stands during inference.
        corrections: what renorm corrects a batch by -> (0 or 1, which it is during inference, a statistic of its shape).
        updates: names of the ops that keep averages of its statistics.
        problem: why it cannot go by moving averages, as a clause; "" where it can.
    """

    name: str
    averages: Mapping[Tensor, Average] = dataclasses.field(default_factory=dict)
    corrections: Mapping[Tensor, tuple[int, Tensor]] = dataclasses.field(default_factory=dict)
    updates: frozenset[str] = frozenset()
    problem: str = ""

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of the variables that it goes by during inference."""
        return tuple(dict.fromkeys(average.variable for average in self.averages.values()))


def found(index: Index, live: Collection[str], outputs: Iterable[Tensor]) -> list[Norm]:
    """Returns the batch norms that outputs need and that go by the statistics of each batch.

    A norm written out is known only by the averages that the graph keeps of it.

    Args:
        index: of a whole graph, with its update ops.
        live: names of the nodes that run when the outputs are computed, update ops included.
        outputs: what is wanted of the graph.
    """
    kept = index.once(averages.kept)
    forward = _Forward(index, live, list(outputs))
    reached = forward.reached()
    by_statistic: dict[Tensor, list[Average]] = {}
    for average in kept:
        by_statistic.setdefault(average.statistic, []).append(average)
    norms = [
        _fused(index[name], by_statistic, reached) for name in sorted(reached) if averages.is_training(index[name])
    ]
    groups: dict[frozenset[Tensor], list[Tensor]] = {}
    for statistic in by_statistic:
        if index[statistic.node].op not in ops.BATCH_NORMS:
            groups.setdefault(moments.reduced(index, statistic), []).append(statistic)
    for data, statistics in groups.items():
        summed = {node.name for statistic in statistics for node in moments.reductions(index, statistic)}
        if summed & reached:
            norms.append(_WrittenOut(index, forward, data, statistics, by_statistic).norm())
    return norms


class _Forward:
    """The nodes that outputs are computed from; what is waited for, such as the updates of averages, has no part in them."""

    def __init__(self, index: Index, live: Collection[str], outputs: list[Tensor]):
        self._index, self._live, self._outputs = index, live, outputs

    def reached(self, stops: Collection[Tensor] = ()) -> set[str]:
        """Returns the names of the nodes that the outputs are computed from where `stops` are given."""
        seen: set[str] = set()
        todo = [tensor.node for tensor in self._outputs if tensor not in stops]
        while todo:
            name = todo.pop()
            if name in seen or name not in self._live:
                continue
            seen.add(name)
            node = self._index[name]
            todo.extend(tensor.node for tensor in data_inputs(node) if tensor not in stops)
        return seen


def _fused(node: NodeDef, by_statistic: Mapping[Tensor, list[Average]], reached: set[str]) -> Norm:
    used = {}
    for output, what in ((1, "mean"), (2, "variance")):
        unread = [a for a in by_statistic.get(Tensor(node.name, output), []) if a.variable not in reached]
        if len({average.variable for average in unread}) != 1:
            return Norm(node.name, problem=f"the graph keeps no moving average of its {what}")
        used[Tensor(node.name, output)] = unread[0]
    return Norm(node.name, used, updates=frozenset(average.update for average in used.values()))


class _WrittenOut:
    """A norm written out: the statistics of one tensor that the graph keeps averages of."""

    def __init__(
        self,
        index: Index,
        forward: _Forward,
        data: frozenset[Tensor],
        statistics: list[Tensor],
        by_statistic: Mapping[Tensor, list[Average]],
    ):
        self._index, self._forward = index, forward
        self._kept = [average for statistic in statistics for average in by_statistic[statistic]]
        self._name = min(tensor.node for tensor in data)
        self._summed = {
            node.name
            for name in forward.reached()
            if (node := index[name]).op in ("Mean", "Sum")
            and moments.reductions(index, Tensor(name))
            and moments.reduction_data(index, node) in data
        }

    def norm(self) -> Norm:
        """Returns the norm, by its averages if nothing of the batch is left then."""
        reached = self._forward.reached()
        used: dict[Tensor, Average] = {}
        for average in self._kept:
            if average.variable not in reached:
                statistic = self._as_used(average.statistic, reached)
                if statistic is not None and used.setdefault(statistic, average).variable != average.variable:
                    return self._left(f"{average.variable!r} and {used[statistic].variable!r} are averages of the same")
        if not used:
            return self._left("what the graph keeps an average of is not what it normalizes by")
        corrections = self._corrections(used)
        after = self._forward.reached([*used, *corrections])
        if after & self._summed:
            names = quoted(sorted(average.variable for average in used.values()), 2)
            return self._left(f"with {names} some of its statistics would still be those of the batch")
        beside = {average.variable for average in self._kept} & after - {average.variable for average in used.values()}
        if beside:
            return self._left(f"it also reads {quoted(sorted(beside), 2)}, which training corrects a batch by")
        return Norm(self._name, used, corrections, frozenset(average.update for average in self._kept))

    def _left(self, problem: str) -> Norm:
        return Norm(self._name, problem=problem)

    def _as_used(self, statistic: Tensor, reached: set[str]) -> Tensor | None:
        """Returns the statistic that the graph computes with: that which is kept, or that of which it is a multiple.

        An unbiased variance is kept in the place of the one that a batch is divided by.
        """
        if statistic.node in reached:
            return statistic
        node = self._index[statistic.node]
        if node.op in {"Mul", *_QUOTIENTS}:
            of_batch = [tensor for tensor in data_inputs(node) if moments.reduced(self._index, tensor)]
            if len(of_batch) == 1:
                return self._as_used(origin(self._index, of_batch[0], ops.IDENTITIES | {"Cast"}), reached)
        return None

    def _corrections(self, used: Mapping[Tensor, Average]) -> dict[Tensor, tuple[int, Tensor]]:
        """Returns what renorm corrects by: deviation / kept deviation is 1, (mean - kept mean) / kept deviation is 0."""
        after = self._forward.reached(used)
        read = {average.variable for average in self._kept} & after - {average.variable for average in used.values()}
        shape = next(iter(used))
        corrections = {}
        for name in sorted(after):
            node = self._index[name]
            if read and node.op in _QUOTIENTS and self._reads(data_inputs(node)[1], read):
                above = self._index[origin(self._index, data_inputs(node)[0], ops.IDENTITIES | {"Cast"}).node]
                if above.op == "Sqrt":
                    corrections[Tensor(name)] = 1, shape
                elif above.op == "Sub" and self._reads(data_inputs(above)[1], read):
                    corrections[Tensor(name)] = 0, shape
        return corrections

    def _reads(self, tensor: Tensor, variables: set[str]) -> bool:
        above = list(moments.arithmetic(self._index, tensor))
        sources = {source.node for node in above for source in data_inputs(node)} | {node.name for node in above}
        return bool(sources & variables)
