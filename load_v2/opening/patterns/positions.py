"""A learned row for each position of a sequence, added to what stands there: an Embedding of the positions."""

from typing import ClassVar

import numpy as np

from export_v1.ir import ops
from export_v1.ir.graph import Tensor
from load_v2.opening.context import Context, Piece, operand
from load_v2.opening.expressions import Binary, Item, LayerCall, Literal, Slice, call

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
