"""Dense: a product with a matrix, over two axes or more."""

import numpy as np

from export_v1.ir.graph import Tensor
from load_v2.opening.context import Context
from load_v2.opening.patterns.linear import Linear


def product(context: Context, tensor: Tensor) -> Linear | None:
    """Returns the product of data with a matrix that makes a tensor."""
    op = context.op(tensor)
    if op not in {"MatMul", "BatchMatMul", "BatchMatMulV2"}:
        return None
    data, matrix = context.sources(tensor)
    flips = ("transpose_a", "transpose_b") if op == "MatMul" else ("adj_x", "adj_y")
    first, second = (context.graph.attr(tensor, key).b for key in flips)
    if first or not context.is_data(data) or context.is_data(matrix) or context.graph.rank(matrix) != 2:
        return None
    kernel = context.values.value(matrix)
    kernel = np.ascontiguousarray(kernel.T) if second else kernel
    channels = kernel.shape[1]
    return Linear("Dense", data, ((kernel, matrix),), channels, (tensor,), (channels,), flipped=second)


def over_many_axes(context: Context, tensor: Tensor, inner: Linear | None) -> Linear | None:
    """Returns the product over the last of three axes or more, which TensorFlow 1 writes with a reshape before and after.

    Args:
        context: of the graph.
        tensor: what the second reshape gives.
        inner: the product that it is made of.
    """
    if inner is None or inner.kind != "Dense" or context.op(tensor) != "Reshape":
        return None
    flat = inner.source
    if context.op(flat) != "Reshape" or not context.read_once(inner.inside[0]):
        return None
    source = context.sources(flat)[0]
    before, after = context.sizes.shape(source), context.sizes.shape(tensor)
    if before is None or after is None or len(before) < 3 or before[:-1] != after[:-1]:
        return None
    if before[-1] != inner.kernels[0][0].shape[0] or after[-1] != inner.channels:
        return None
    return inner.with_source(source, tensor, *((flat,) if context.read_once(flat) else ()))
