"""One model built several times over the same weights: on several devices, or once to train and once to judge or to serve."""

from collections.abc import Iterable, Sequence

from export_v1.interface.anatomy import Anatomy
from export_v1.interface.ends import End
from export_v1.ir import graph, ops
from export_v1.ir.graph import NodeDef, Tensor
from export_v1.ir.norms import averages

# Attributes that say where a node runs and what it draws, not what it computes.
_PLACE = frozenset({"seed", "seed2", "shared_name", "container"})


def to_serve(anatomy: Anatomy, ends: Sequence[End]) -> tuple[list[End], str]:
    """Returns the ends of the copy to serve, and what to say about the others: "" where there are none.

    Copies read data of their own, each compares with labels of its own, and all use the same trained variables. A copy that
    drops, or whose norms go by the batch, was for training where there is one that does neither; of copies that compute
    the same, node for node, the first is as good as any. Where something else is left, all ends are returned.
    """
    by_sources: dict[tuple[Tensor, ...], list[End]] = {}
    for end in ends:
        by_sources.setdefault(tuple(anatomy.roles.needed_sources([end.tensor.node])), []).append(end)
    copies = [_Copy(anatomy, sources, own) for sources, own in by_sources.items()]
    if len(copies) < 2 or not all(copy.compares for copy in copies) or not _apart(by_sources):
        return list(ends), ""
    if any(copy.weights != copies[0].weights for copy in copies):
        return list(ends), ""
    serving = [copy for copy in copies if not copy.trains] or copies
    if any(copy.written() != serving[0].written() for copy in serving[1:]):
        return list(ends), ""
    apart = len(copies) - len(serving)
    said = [f"the first of {len(serving)} copies over the same weights"] if len(serving) > 1 else []
    said += ["a copy that drops or goes by each batch was for training"] if apart else []
    return serving[0].ends, ", and ".join(said)


def _apart(sources: Iterable[tuple[Tensor, ...]]) -> bool:
    """Whether no two copies read the same data."""
    read = [source for copy in sources for source in copy]
    return len(read) == len(set(read))


class _Copy:
    def __init__(self, anatomy: Anatomy, sources: Sequence[Tensor], ends: list[End]):
        self._index, self._live, self._sources, self.ends = anatomy.index, anatomy.live, sources, ends
        needed = self._live.needed([end.tensor for end in ends], ops.SOURCES)
        self.compares = any(end.kind == "compared" for end in ends)
        self.weights = anatomy.trained(needed)
        drops = any(dropout.node in needed for dropout in anatomy.settling.flags.dropouts)
        self.trains = drops or any(
            average.statistic.node in needed and average.variable not in needed
            for average in self._index.once(averages.kept)
        )

    def written(self) -> list[object]:
        """Returns what the copy computes, with numbers for the names of its nodes: equal where two compute the same."""
        numbers: dict[str, int] = {}
        for end in self.ends:
            numbers.setdefault(end.tensor.node, len(numbers))
        written: list[object] = [(end.kind, numbers[end.tensor.node], end.tensor.index) for end in self.ends]
        todo = list(numbers)
        # What is read is numbered when it is first met, so two graphs of one form are numbered alike; data downwards.
        data: dict[Tensor, int] = {}
        for name in todo:
            node = self._index[name]
            edges: list[tuple[object, ...]] = []
            for tensor in [] if self._is_leaf(node) else self._live.data(node):
                if tensor in self._sources:
                    edges.append((-1 - data.setdefault(tensor, len(data)), self._data(tensor)))
                    continue
                if tensor.node not in numbers:
                    numbers[tensor.node] = len(numbers)
                    todo.append(tensor.node)
                edges.append((numbers[tensor.node], tensor.index))
            written.append((node.op, self._says(node), tuple(edges)))
        return written

    def _is_leaf(self, node: NodeDef) -> bool:
        return node.op in ops.VARIABLES

    def _data(self, tensor: Tensor) -> tuple[object, ...]:
        """The type and shape of data."""
        node = self._index[tensor.node]
        return graph.output_types(node)[tensor.index], str(graph.recorded_shape(node, tensor.index))

    def _says(self, node: NodeDef) -> object:
        """What sets a node apart from another one of its op: a variable's name, the rest's attributes."""
        if self._is_leaf(node):
            return node.name
        kept = {key: value for key, value in node.attr.items() if key not in _PLACE and not key.startswith("_")}
        return tuple((key, kept[key].SerializeToString(deterministic=True)) for key in sorted(kept))
