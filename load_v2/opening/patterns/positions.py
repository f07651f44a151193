"""A learned row for each position of a sequence, added to what stands there: an Embedding of the positions."""

from typing import ClassVar

import numpy as np

from export_v1.ir import ops
from export_v1.ir.graph import Tensor
from load_v2.opening.context import Context, Piece, operand
from load_v2.opening.expressions import Binary, Item, LayerCall, Literal, Slice, call
from load_v2.opening.operations import shaping
from load_v2.opening.patterns import embedding
from load_v2.opening.size_algebra import Size
from load_v2.opening.sizes import is_whole, slice_items

# What the Embedding gives is an output of the sum that the graph does not have.
_BEYOND = 400_000


class Positions:
    """A sum of sequences and a table with as many rows as they have steps."""

    name: ClassVar[str] = "positions"
    roots: ClassVar[frozenset[str]] = ops.ADDS

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the layer that ends in a tensor."""
        first, second = context.sources(tensor)
        for data, table in ((first, second), (second, first)):
            if not context.is_data(data) or context.is_data(table) or context.graph.dtype(data) != "float32":
                continue
            value, shape = context.values.value(table), context.graph.shape(data)
            if not context.values.variables(table) or value.ndim not in (2, 3) or shape is None or len(shape) != 3:
                continue
            rows = value.reshape(value.shape[-2:])
            if value.size != rows.size or tuple(shape[1:]) != rows.shape or 1 in rows.shape:
                continue
            scope = context.values.variables(table)[0].name
            layer = context.layer("Embedding", scope, [(np.ascontiguousarray(rows), (table,))], rows.shape)
            # One row of the batch is enough to count the steps; what is counted does not matter.
            steps = Item(operand(data), (Slice(None, 1), Slice(), Literal(0)))
            count = call("ops.cumsum", call("ops.ones_like", steps, dtype="int32"), axis=1)
            embedded = Tensor(tensor.node, _BEYOND)
            code = LayerCall(layer, (Binary("-", count, Literal(1)),))
            context.virtual[embedded] = Piece((embedded,), code, self.name, frozenset(), layer.scope)
            return context.piece(tensor, Binary("+", operand(data), operand(embedded)), self.name)
        return None


class FirstPositions:
    """The first rows of a table, as many as a sequence has steps."""

    name: ClassVar[str] = "first positions"
    roots: ClassVar[frozenset[str]] = frozenset({"Slice", "StridedSlice"})

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the layer that ends in a tensor."""
        table = context.sources(tensor)[0]
        if context.is_data(table) or context.graph.rank(table) != 2 or not context.values.variables(table):
            return None
        count = self._count(context, tensor)
        if count is None or isinstance(count, int):
            return None
        positions = Tensor(tensor.node, _BEYOND)
        code = call("ops.arange", shaping.size(count), dtype="int32")
        context.virtual[positions] = Piece((positions,), code, "Range", frozenset(), tensor.node)
        layer = embedding.of_table(context, context.values.value(table), [table])
        return context.piece(tensor, LayerCall(layer, (operand(positions),)), self.name)

    def _count(self, context: Context, tensor: Tensor) -> Size | None:
        """Returns how many rows are taken, None where they are not the first ones or not whole."""
        width = context.sizes.axis(context.sources(tensor)[0], 1)
        if context.op(tensor) == "Slice":
            begin, counts = (context.sizes.array(source) for source in context.sources(tensor)[1:])
            if begin is None or counts is None or list(begin) != [0, 0] or counts[1] not in (-1, width):
                return None
            return counts[0]
        items = slice_items(context.graph, context.sizes, tensor)
        if items is None or not isinstance(items[0], tuple) or items[0][0] not in (None, 0) or items[0][2] != 1:
            return None
        return items[0][1] if all(map(is_whole, items[1:])) else None
