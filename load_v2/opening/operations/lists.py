"""TensorLists inside the call of a layer: a list is a tensor whose first axis is the place in it."""

from export_v1.ir.graph import Tensor
from load_v2.opening.context import Context, Refused, operand
from load_v2.opening.expressions import Expression, Item, Literal, call
from load_v2.opening.operations.registry import translates


@translates("TensorListGetItem")
def _get(context: Context, tensor: Tensor) -> Expression:
    handle, index, _ = context.sources(tensor)
    return call("ops.take", operand(handle), operand(index), axis=0)


@translates("TensorListSetItem")
def _set(context: Context, tensor: Tensor) -> Expression:
    handle, index, value = context.sources(tensor)
    rank = context.graph.rank(value)
    if rank is None:
        raise Refused("it puts a tensor of unknown rank into a list")
    length = Item(call("ops.shape", operand(handle)), (Literal(0),))
    here = call("ops.equal", call("ops.arange", length, dtype=context.graph.dtype(index)), operand(index))
    if rank:
        here = call("ops.reshape", here, (-1,) + (1,) * rank)
    return call("ops.where", here, call("ops.expand_dims", operand(value), 0), operand(handle))


@translates("TensorListLength")
def _length(context: Context, tensor: Tensor) -> Expression:
    return Item(call("ops.shape", operand(context.sources(tensor)[0])), (Literal(0),))
