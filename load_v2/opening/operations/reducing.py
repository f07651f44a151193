"""Ops that reduce axes, and searches along an axis."""

from export_v1.ir.graph import Tensor
from load_v2.opening.context import Context, Refused, operand
from load_v2.opening.expressions import Binary, Expression, Item, Literal, call
from load_v2.opening.operations.registry import translates
from load_v2.opening.operations.shaping import size

_FUNCTIONS = {
    "Mean": "mean", "Sum": "sum", "Max": "max", "Min": "min", "Prod": "prod", "All": "all", "Any": "any",
    "EuclideanNorm": "norm",
}  # fmt: skip


@translates(*_FUNCTIONS)
def _reduction(context: Context, tensor: Tensor) -> Expression:
    source, axes = context.sources(tensor)
    rank = context.graph.rank(source)
    at = [int(axis) for axis in context.static(axes, "the axes").reshape(-1)]
    if not at:
        return operand(source)
    keep = context.graph.attr(tensor, "keep_dims").b or None
    everything = rank is not None and len({axis % rank for axis in at}) == rank
    axis = None if everything else at[0] if len(at) == 1 else tuple(at)
    return call(f"ops.{_FUNCTIONS[context.op(tensor)]}", operand(source), axis=axis, keepdims=keep)


@translates("ArgMax", "ArgMin")
def _search(context: Context, tensor: Tensor) -> Expression:
    source, axis = context.sources(tensor)
    code = call(f"ops.{context.op(tensor).lower()}", operand(source), axis=int(context.static(axis, "the axis")))
    dtype = context.graph.dtype(tensor)
    return code if dtype == "int32" else call("ops.cast", code, dtype)


@translates("TopKV2", "TopK")
def _largest(context: Context, tensor: Tensor) -> Expression:
    source = context.sources(tensor)[0]
    count: Expression = Literal(context.graph.attr(tensor, "k").i)
    if context.op(tensor) == "TopKV2":
        known = context.sizes.array(context.sources(tensor)[1])
        if known is None:
            raise Refused("how many it takes is computed from data")
        count = size(known.item())
    result = Item(call("ops.top_k", operand(source), count), (Literal(tensor.index),))
    # PyTorch counts in 64 bits.
    return call("ops.cast", result, context.graph.dtype(tensor)) if tensor.index else result


@translates("InTopKV2")
def _in_top(context: Context, tensor: Tensor) -> Expression:
    predictions, targets, count = context.sources(tensor)
    return call("ops.in_top_k", operand(targets), operand(predictions), int(context.static(count, "k")))


@translates("L2Loss")
def _half_of_squares(context: Context, tensor: Tensor) -> Expression:
    return Binary("/", call("ops.sum", call("ops.square", operand(context.sources(tensor)[0]))), Literal(2))
