"""Ops whose output has a size that depends on the data: layers in the code, which tell their shapes themselves."""

import textwrap

from export_v1.ir.graph import Tensor
from load_v2.opening import printed
from load_v2.opening.context import Context, Refused, called
from load_v2.opening.expressions import Expression, Item, Literal, call
from load_v2.opening.layers import Layer, PrintedClass
from load_v2.opening.operations.registry import translates

_REASON = "how much it gives depends on the data"
_UNIQUE = PrintedClass(
    "Unique",
    printed.REGISTERED
    + textwrap.dedent('''\
    class Unique(layers.Layer):
        """The different values of a vector, in the order in which they come, and the place of each element's among them."""

        def call(self, values):
            same = ops.equal(ops.expand_dims(values, 1), ops.expand_dims(values, 0))
            first = ops.argmax(ops.cast(same, "int32"), axis=1)
            is_first = ops.equal(first, ops.arange(ops.shape(values)[0], dtype=first.dtype))
            places = ops.take(ops.cumsum(ops.cast(is_first, "int32")) - 1, first, axis=0)
            return ops.take(values, ops.nonzero(is_first)[0], axis=0), places

        def compute_output_spec(self, values):
            return keras.KerasTensor((None,), values.dtype), keras.KerasTensor(values.shape, "int32")
    '''),
    _REASON,
)
_WHERE = PrintedClass(
    "Where",
    printed.REGISTERED
    + textwrap.dedent('''\
    class Where(layers.Layer):
        """The places of all elements that are true, or not zero, one row for each."""

        def call(self, condition):
            return ops.cast(ops.stack(ops.nonzero(condition), axis=1), "int64")

        def compute_output_spec(self, condition):
            return keras.KerasTensor((None, len(condition.shape)), "int64")
    '''),
    _REASON,
)


def _layer(context: Context, tensor: Tensor, made: PrintedClass) -> Layer:
    if context.inside_call:
        raise Refused(f"{_REASON}, inside a loop or a condition")
    return Layer(kind=made.name, scope=tensor.node, printed=made)


@translates("Unique")
def _unique(context: Context, tensor: Tensor) -> Expression:
    (source,) = context.sources(tensor)
    result = Item(called(_layer(context, tensor, _UNIQUE), source), (Literal(tensor.index),))
    dtype = context.graph.dtype(tensor)
    return call("ops.cast", result, dtype) if tensor.index and dtype != "int32" else result


@translates("Where")
def _where(context: Context, tensor: Tensor) -> Expression:
    return called(_layer(context, tensor, _WHERE), context.sources(tensor)[0])
