"""What a tensor inside a loop is as a linear function of others: matrices and a bias, however the graph spells it.

`BiasAdd(MatMul(ConcatV2(x, h), kernel), bias)` split into four is four functions of x and h; so are four products added
up one by one. Matrices are only cut, joined and negated here, so they are the variables' own numbers.
"""

import dataclasses

import numpy as np

from export_v1.ir import ops
from export_v1.ir.graph import Tensor
from load_v2.opening.context import Context, Refused
from load_v2.opening.sizes import slice_items


@dataclasses.dataclass(frozen=True)
class Affine:
    """A sum of products of tensors with matrices, plus a bias.

    Attributes:
        terms: tensor -> matrix [its size, size]; None for the tensor itself.
        bias: a vector, None for none.
        size: of the last axis.
        sources: tensors that the matrices and the bias are the values of.
    """

    terms: dict[Tensor, np.ndarray | None]
    bias: np.ndarray | None
    size: int | None
    sources: tuple[Tensor, ...] = ()

    def columns(self, begin: int, end: int) -> "Affine | None":
        """Returns a part of the last axis; None where a tensor itself would have to be cut."""
        if any(matrix is None for matrix in self.terms.values()):
            return None
        terms: dict[Tensor, np.ndarray | None] = {
            tensor: matrix[:, begin:end] for tensor, matrix in self.terms.items() if matrix is not None
        }
        return Affine(terms, None if self.bias is None else self.bias[begin:end], end - begin, self.sources)


def affine(context: Context, tensor: Tensor) -> Affine:
    """Returns a tensor as a linear function of tensors that are none themselves."""
    combined = _combined(context, tensor)
    shape = context.graph.shape(tensor)
    return combined or Affine({tensor: None}, None, shape[-1] if shape else None)


def _combined(context: Context, tensor: Tensor) -> Affine | None:
    op, sources = context.op(tensor), context.sources(tensor)
    if op == "MatMul":
        return _product(context, tensor)
    if op in ops.ADDS | {"BiasAdd"}:
        return _sum(context, *sources)
    if op == "AddN":
        total = affine(context, sources[0]) if context.is_data(sources[0]) else None
        for source in sources[1:]:
            total = _joined(total, affine(context, source)) if total and context.is_data(source) else None
        return total
    if op in {"Split", "SplitV"}:
        return _part(context, tensor)
    if op == "StridedSlice":
        return _slice(context, tensor)
    return None


def _product(context: Context, tensor: Tensor) -> Affine | None:
    data, matrix = context.sources(tensor)
    flips = [context.graph.attr(tensor, key).b for key in ("transpose_a", "transpose_b")]
    if flips[0] or not context.is_data(data) or context.is_data(matrix):
        return None
    kernel = context.values.value(matrix)
    kernel = kernel.T if flips[1] else kernel
    terms: dict[Tensor, np.ndarray | None] = {}
    row = 0
    for part, rows in _parts(context, data, kernel.shape[0]):
        if rows is None:
            return None
        rows_of_part = kernel[row : row + rows]
        if part in terms:
            return None
        terms[part] = rows_of_part
        row += rows
    return Affine(terms, None, kernel.shape[1], (matrix,)) if row == kernel.shape[0] else None


def _parts(context: Context, tensor: Tensor, total: int) -> list[tuple[Tensor, int | None]]:
    """Returns the tensors that are joined along the last axis, with their sizes, of which one may follow from the others."""
    if context.op(tensor) != "ConcatV2":
        return [(tensor, total)]
    *parts, axis = context.sources(tensor)
    rank = context.graph.rank(tensor)
    at = context.values.constant(axis)
    if at is None or int(at) not in (-1, 1) or rank not in (None, 2):
        return [(tensor, total)]
    sizes = [(context.graph.shape(part) or (None,))[-1] for part in parts]
    if sizes.count(None) == 1:
        sizes[sizes.index(None)] = total - sum(size for size in sizes if size is not None)
    return list(zip(parts, sizes, strict=True))


def _sum(context: Context, left: Tensor, right: Tensor) -> Affine | None:
    if context.is_data(left) and context.is_data(right):
        return _joined(affine(context, left), affine(context, right))
    data, bias = (left, right) if context.is_data(left) else (right, left)
    if not context.is_data(data):
        return None
    inner, value = affine(context, data), context.values.value(bias)
    if inner.size is None or value.size not in (1, inner.size) or (value.ndim and value.shape[-1] != value.size):
        return None
    vector = np.broadcast_to(value.reshape(-1), (inner.size,))
    total = vector if inner.bias is None else inner.bias + vector
    return dataclasses.replace(inner, bias=np.asarray(total, value.dtype), sources=(*inner.sources, bias))


def _joined(left: Affine | None, right: Affine | None) -> Affine | None:
    if left is None or right is None or left.size != right.size or set(left.terms) & set(right.terms):
        return None
    biases = [part.bias for part in (left, right) if part.bias is not None]
    bias = biases[0] + biases[1] if len(biases) == 2 else biases[0] if biases else None
    return Affine({**left.terms, **right.terms}, bias, left.size, (*left.sources, *right.sources))


def _part(context: Context, tensor: Tensor) -> Affine | None:
    source, axis = split_source(context, tensor)
    bounds = split_bounds(context, tensor, axis, affine(context, source).size)
    return None if bounds is None else affine(context, source).columns(*bounds)


def split_source(context: Context, tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Returns which input of a Split or a SplitV is the tensor that is cut, and which is the axis."""
    sources = context.sources(tensor)
    return (sources[1], sources[0]) if context.op(tensor) == "Split" else (sources[0], sources[2])


def split_bounds(
    context: Context, tensor: Tensor, axis: Tensor, size: int | None, rank: int = 2
) -> tuple[int, int] | None:
    """Returns where a part begins and ends on the last axis of a tensor, None where it is cut along another."""
    at = context.values.constant(axis)
    if at is None or int(at) not in (-1, rank - 1) or size is None:
        return None
    if context.op(tensor) == "Split":
        part = size // context.graph.attr(tensor, "num_split").i
        return tensor.index * part, (tensor.index + 1) * part
    try:
        parts = context.static(context.sources(tensor)[1], "the sizes")
    except Refused:
        return None
    begins = [0, *np.cumsum(parts).tolist()]
    return begins[tensor.index], begins[tensor.index + 1]


def _slice(context: Context, tensor: Tensor) -> Affine | None:
    items = slice_items(context.graph, context.sizes, tensor)
    inner = affine(context, context.sources(tensor)[0])
    if items is None or len(items) != 2 or items[0] != (None, None, 1) or inner.size is None:
        return None
    if not isinstance(items[1], tuple) or items[1][2] != 1:
        return None
    begin, end, _ = slice(items[1][0], items[1][1]).indices(inner.size)
    return inner.columns(begin, end)
