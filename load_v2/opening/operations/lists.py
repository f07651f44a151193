"""TensorLists inside the call of a layer: a list is a tensor whose first axis is the place in it."""

from export_v1.ir.graph import Tensor
from load_v2.opening.context import Context, Refused, operand
from load_v2.opening.expressions import Expression, Item, Literal, call
from load_v2.opening.operations.registry import translates


@translates("TensorListGetItem")
def _get(context: Context, tensor: Tensor) -> Expression:
    handle, index, _ = context.sources(tensor)
    whole = context.sources(handle)[0] if context.op(handle) == "TensorListFromTensor" else handle
    return call("ops.take", operand(whole), operand(index), axis=0)


@translates("TensorListSetItem")
def _set(context: Context, tensor: Tensor) -> Expression:
    handle, index, value = context.sources(tensor)
    if context.graph.rank(value) is None:
        raise Refused("it puts a tensor of unknown rank into a list")
    return call("put", operand(handle), operand(index), operand(value))


@translates("TensorListFromTensor")
def _from_tensor(context: Context, tensor: Tensor) -> Expression:
    if not context.inside_call:
        raise Refused("it makes a list outside a loop")
    return operand(context.sources(tensor)[0])


@translates("TensorListLength")
def _length(context: Context, tensor: Tensor) -> Expression:
    return Item(call("ops.shape", operand(context.sources(tensor)[0])), (Literal(0),))
