"""Embedding: rows of a table by number, also of a table in parts."""

from collections.abc import Sequence
from typing import ClassVar

import keras
import numpy as np

from export_v1.ir import ops
from export_v1.ir.graph import Tensor
from load_v2.opening.context import Context, Piece, called, operand
from load_v2.opening.layers import Layer
from load_v2.opening.operations import sparse
from load_v2.opening.patterns.pattern import Missed

# Such an output of a sum over rows stands for the rows themselves.
_BEYOND = 300_000
_STITCHES = frozenset({"DynamicStitch", "ParallelDynamicStitch"})


def of_table(context: Context, table: np.ndarray, sources: Sequence[Tensor]) -> Layer:
    """Returns the layer that holds a table, which is made of some tensors; one that is also a projection can be both."""
    first = context.values.variables(sources[0])
    scope = first[0].name.removesuffix("/part_0") if first else context.scope_of(sources[0])
    kind = "ReversibleEmbedding" if len(sources) == 1 and is_tied(context, sources[0]) else "Embedding"
    return context.layer(kind, scope, [(table, tuple(sources))], table.shape)


def is_tied(context: Context, table: Tensor) -> bool:
    """Returns whether rows of a matrix are taken, and data is multiplied with it, transposed."""
    if not hasattr(keras.layers, "ReversibleEmbedding") or context.graph.rank(table) != 2:
        return False
    readers = [reader for reader, at in context.graph.index.tensor_consumers(table)]
    is_gathered = any(
        reader.op in ops.GATHERS
        and context.sources(Tensor(reader.name))[0] == table
        and context.is_data(Tensor(reader.name))
        for reader in readers
    )
    return is_gathered and any(_is_projection(context, Tensor(reader.name), table) for reader in readers)


def _is_projection(context: Context, tensor: Tensor, table: Tensor) -> bool:
    return (
        context.op(tensor) == "MatMul"
        and context.sources(tensor)[1] == table
        and context.is_data(context.sources(tensor)[0])
        and context.graph.attr(tensor, "transpose_b").b
        and not context.graph.attr(tensor, "transpose_a").b
    )


class Embedding:
    """A gather from a matrix of weights."""

    name: ClassVar[str] = "Embedding"
    roots: ClassVar[frozenset[str]] = (ops.GATHERS - {"ResourceGather"}) | _STITCHES

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the layer that ends in a tensor."""
        if context.op(tensor) in _STITCHES:
            return self._in_parts(context, tensor)
        table, indices, *axis = context.sources(tensor)
        if context.is_data(table) or not context.is_data(indices) or context.graph.rank(table) != 2:
            return None
        if (axis and context.values.number(axis[0]) != 0) or context.graph.attr(tensor, "batch_dims").i:
            return None
        return self._piece(context, tensor, context.values.value(table), [table], indices, ())

    def _piece(
        self, context: Context, tensor: Tensor, table: np.ndarray, sources, indices: Tensor, inside
    ) -> Piece | None:
        if table.dtype.kind != "f":
            return None
        return context.piece(tensor, called(of_table(context, table, sources), indices), self.name, inside)

    def _in_parts(self, context: Context, tensor: Tensor) -> Piece | None:
        """A partitioned table: TensorFlow is asked for every row, whatever the strategy of the partition."""
        count = context.graph.attr(tensor, "N").i
        gathers = context.sources(tensor)[count:]
        tables, partitions = [], set[Tensor | None]()
        for gather in gathers:
            if context.op(gather) not in ops.GATHERS or context.is_data(context.sources(gather)[0]):
                return None
            tables.append(context.sources(gather)[0])
            partitions.add(_origin(context, context.sources(gather)[1], "DynamicPartition"))
        partition = partitions.pop() if len(partitions) == 1 else None
        if partition is None:
            raise Missed("its parts are not chosen by one partition of the ids")
        rows = sum(len(context.values.value(table)) for table in tables)
        indices = self._flat_ids(context, partition)
        if indices is None:
            raise Missed("its ids cannot be told apart from the choice of the part")
        feeds = context.values.with_weights(context.graph.blank_inputs())
        feeds[indices] = np.arange(rows, dtype=context.graph.dtype(indices))
        (whole,) = context.values.run([tensor], feeds)
        if whole.shape[0] != rows or whole.ndim != 2:
            raise Missed("its parts are no rows of one table")
        inside = [Tensor(name) for name in _between(context, tensor, indices)]
        return self._piece(context, tensor, whole, tables, indices, inside)

    def _flat_ids(self, context: Context, partition: Tensor) -> Tensor | None:
        """Returns the vector of ids that both the partition's data and the choice of the part are computed from."""
        data, choice = (context.graph.index.ancestors([source.node]) for source in context.sources(partition))
        common = [name for name in data & choice if context.is_data(Tensor(name))]
        vectors = [Tensor(name) for name in common if context.graph.rank(Tensor(name)) == 1]
        integers = [vector for vector in vectors if context.graph.dtype(vector) in ("int32", "int64")]
        above = {vector: context.graph.index.ancestors([vector.node]) for vector in integers}
        first = [candidate for candidate in integers if all(candidate.node in above[other] for other in integers)]
        return first[0] if first else None


def _origin(context: Context, tensor: Tensor, op: str) -> Tensor | None:
    """Returns output 0 of the node of some op that a tensor goes back to, over first inputs."""
    for _ in range(20):
        if context.op(tensor) == op:
            return Tensor(tensor.node)
        sources = [source for source in context.sources(tensor) if context.is_data(source)]
        if not sources:
            return None
        tensor = sources[0]
    return None


class EmbeddingSum:
    """Sums, means or the like of rows of a matrix of weights: the ids of a sparse tensor looked up, and joined row by row."""

    name: ClassVar[str] = "Embedding of many"
    roots: ClassVar[frozenset[str]] = (
        frozenset(op for op in sparse.RUNS if op.startswith("SparseSegment")) | ops.GATHERS
    )

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the layer, and what is done to what it gives, that end in a tensor."""
        is_gather = context.op(tensor) in ops.GATHERS
        rows, numbers, *others = context.sources(tensor)
        if is_gather and ((others and context.values.number(others[0]) != 0) or _batch_dims(context, tensor)):
            return None
        found = _once_each(context, rows, numbers)
        if found is None and is_gather:
            return None
        table, ids, inside = found or (rows, numbers, [])
        if context.is_data(table) or context.graph.rank(table) != 2 or not context.is_data(ids):
            return None
        value = context.values.value(table)
        if value.dtype.kind != "f":
            return None
        looked_up = called(of_table(context, value, [table]), ids)
        if is_gather:
            return context.piece(tensor, looked_up, self.name, inside)
        each = Tensor(tensor.node, _BEYOND)
        context.virtual[each] = context.piece(each, looked_up, self.name, inside)
        return context.piece(
            tensor, sparse.runs(context, sparse.RUNS[context.op(tensor)], operand(each), others), self.name
        )


def _batch_dims(context: Context, tensor: Tensor) -> int:
    return context.graph.attr(tensor, "batch_dims").i


def _once_each(context: Context, rows: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor, list[Tensor]] | None:
    """Returns the table and the ids where the rows of each id are looked up once, and then repeated; and what does that."""
    if context.op(rows) not in ops.GATHERS or context.op(numbers) != "Unique" or numbers.index != 1:
        return None
    table, ids, *axis = context.sources(rows)
    if ids != Tensor(numbers.node) or (axis and context.values.number(axis[0]) != 0) or _batch_dims(context, rows):
        return None
    return table, context.sources(numbers)[0], [rows] if context.read_once(rows) else []


def _between(context: Context, tensor: Tensor, start: Tensor) -> list[str]:
    above = context.graph.index.ancestors([tensor.node], stop=[start.node])
    return [name for name in above - {start.node} if context.is_data(Tensor(name)) and name in _below(context, start)]


def _below(context: Context, start: Tensor) -> set[str]:
    return context.graph.index.descendants([start.node])
