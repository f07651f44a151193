"""Sparse tensors, as their places, their values and their shape; and what is done to the rows that have the same number."""

from export_v1.ir.graph import Tensor
from load_v2.opening import size_algebra
from load_v2.opening.context import Context, Refused, operand
from load_v2.opening.expressions import Binary, Expression, Item, Literal, Sequence, Slice, call
from load_v2.opening.operations.registry import translates
from load_v2.opening.operations.shaping import size
from load_v2.opening.size_algebra import Size

# Op -> what is done to the rows of each number.
RUNS = {
    "SegmentSum": "sum", "SegmentMean": "mean", "SegmentMax": "max", "SegmentMin": "min", "SegmentProd": "prod",
    "SparseSegmentSum": "sum", "SparseSegmentMean": "mean", "SparseSegmentSqrtN": "sqrtn",
    "SparseSegmentSumWithNumSegments": "sum", "SparseSegmentMeanWithNumSegments": "mean",
    "SparseSegmentSqrtNWithNumSegments": "sqrtn",
}  # fmt: skip
_INFIX = {"SparseDenseCwiseAdd": "+", "SparseDenseCwiseMul": "*", "SparseDenseCwiseDiv": "/"}


def sizes_of(context: Context, tensor: Tensor) -> list[Size]:
    """Returns the elements of a small tensor of whole numbers, which may be data.

    Raises:
        Refused: there is no telling how many there are.
    """
    values = context.sizes.numbers(tensor)
    if values is None:
        raise Refused("the shape of a sparse tensor is computed from data")
    return list(values.reshape(-1))


def _shape(values: list[Size]) -> Expression:
    return Sequence(tuple(map(size, values)), is_tuple=True)


def _column(places: Tensor, axis: int) -> Expression:
    return Item(operand(places), (Slice(), Literal(axis)))


def _flat(places: Tensor, shape: list[Size], axes: list[int]) -> tuple[Expression, Size]:
    """Returns the number of each place among all that some axes have, and how many there are."""
    if len(axes) == 1:
        return _column(places, axes[0]), shape[axes[0]]
    columns = Sequence(tuple(_column(places, axis) for axis in axes))
    return call("flat_places", columns, _shape([shape[axis] for axis in axes])), size_algebra.product(
        shape[axis] for axis in axes
    )


@translates(*RUNS)
def _runs(context: Context, tensor: Tensor) -> Expression:
    op, (data, *others) = context.op(tensor), context.sources(tensor)
    rows: Expression = operand(data)
    if op.startswith("Sparse"):
        rows = call("ops.take", rows, operand(others.pop(0)), axis=0)
    return runs(context, RUNS[op], rows, others)


def runs(context: Context, what: str, rows: Expression, others: list[Tensor]) -> Expression:
    """Returns the code of what is done to the rows of each number.

    Args:
        context: of the graph.
        what: is done, by the name that `of_runs` has for it.
        rows: the code of the rows.
        others: the number of each row; and how many numbers there are, where the last one does not tell.
    """
    count = [size(sizes_of(context, others[1])[0])] if len(others) > 1 else []
    return call("of_runs", what, rows, operand(others[0]), *count)


@translates("SparseFillEmptyRows")
def _without_empty_rows(context: Context, tensor: Tensor) -> Expression:
    places, values, whole, default = context.sources(tensor)
    rows = size(sizes_of(context, whole)[0])
    if tensor.index == 2:
        return call("ops.equal", call("of_runs", "count", _column(places, 0), _column(places, 0), rows), 0)
    filled = call("fill_rows", operand(places), operand(values), rows, operand(default))
    return Item(filled, (Literal({0: 0, 1: 1, 3: 2}[tensor.index]),))


@translates("SparseReshape")
def _reshape(context: Context, tensor: Tensor) -> Expression:
    places, before, _ = context.sources(tensor)
    given, wanted = sizes_of(context, before), sizes_of(context, Tensor(tensor.node, 1))
    if tensor.index:
        return call("ops.convert_to_tensor", _shape(wanted), dtype=context.graph.dtype(tensor))
    if given == wanted:
        return operand(places)
    return call("moved_places", _flat(places, given, [*range(len(given))])[0], _shape(wanted))


@translates("SparseToDense")
def _dense(context: Context, tensor: Tensor) -> Expression:
    places, whole, values, default = context.sources(tensor)
    if context.graph.rank(places) != 2:
        raise Refused("its places are no rows")
    shape = _shape(sizes_of(context, whole))
    if context.graph.dtype(tensor) == "bool":
        raise Refused("it makes a dense tensor of truth values")
    dense = call("ops.full", shape, operand(default), dtype=context.graph.dtype(tensor))
    return call("scattered", dense, operand(places), operand(values))


@translates("SparseReorder")
def _in_order(context: Context, tensor: Tensor) -> Expression:
    places, *_ = context.sources(tensor)
    order = call("order_of_places", operand(places))
    return call("ops.take", operand(context.sources(tensor)[tensor.index]), order, axis=0)


@translates("SparseReduceSum")
def _sum(context: Context, tensor: Tensor) -> Expression:
    places, values, whole, axes = context.sources(tensor)
    shape = sizes_of(context, whole)
    gone = {int(axis) % len(shape) for axis in context.static(axes, "the axes").reshape(-1)}
    kept = [axis for axis in range(len(shape)) if axis not in gone]
    if not kept:
        code = call("ops.sum", operand(values))
    else:
        ids, count = _flat(places, shape, kept)
        code = call("of_runs", "sum", operand(values), ids, size(count))
    keep = context.graph.attr(tensor, "keep_dims").b
    left = [1 if axis in gone else shape[axis] for axis in range(len(shape)) if keep or axis in kept]
    return code if len(left) == 1 and len(kept) == 1 else call("ops.reshape", code, _shape(left))


@translates("SparseSoftmax")
def _softmax(context: Context, tensor: Tensor) -> Expression:
    places, values, whole = context.sources(tensor)
    shape = sizes_of(context, whole)
    ids, count = _flat(places, shape, [*range(len(shape) - 1)])
    return call("softmax_of_runs", operand(values), ids, size(count))


@translates(*_INFIX)
def _with_dense(context: Context, tensor: Tensor) -> Expression:
    places, values, whole, dense = context.sources(tensor)
    known, shape = context.sizes.shape(dense), sizes_of(context, whole)
    if known is None or len(known) > len(shape):
        raise Refused("the rank of the dense tensor is not known")
    around = len(shape) - len(known)
    axes = [around + at for at, whole_size in enumerate(known) if whole_size != 1]
    if any(known[axis - around] != shape[axis] for axis in axes):
        raise Refused("the dense tensor may be stretched")
    if not axes:
        other: Expression = call("ops.reshape", operand(dense), ())
    else:
        other = call("ops.take", call("ops.reshape", operand(dense), (-1,)), _flat(places, shape, axes)[0], axis=0)
    return Binary(_INFIX[context.op(tensor)], operand(values), other)


@translates("SparseTensorDenseAdd")
def _added(context: Context, tensor: Tensor) -> Expression:
    places, values, _, dense = context.sources(tensor)
    known = context.sizes.shape(dense)
    if known is None:
        raise Refused("the rank of the dense tensor is not known")
    spread = call("ops.scatter", operand(places), operand(values), _shape([*known]))
    return call("ops.add", operand(dense), spread)


@translates("SparseTensorDenseMatMul")
def _product(context: Context, tensor: Tensor) -> Expression:
    places, numbers, whole, dense = context.sources(tensor)
    shape = sizes_of(context, whole)
    flipped = context.graph.attr(tensor, "adjoint_a").b
    rows, columns = (_column(places, at) for at in ((1, 0) if flipped else (0, 1)))
    factor: Expression = operand(dense)
    if context.graph.attr(tensor, "adjoint_b").b:
        factor = call("ops.transpose", factor)
    products = Binary("*", call("ops.take", factor, columns, axis=0), call("ops.expand_dims", operand(numbers), 1))
    count = size(shape[1 if flipped else 0])
    if isinstance(count, Literal):
        return call("ops.segment_sum", products, rows, num_segments=count)
    return call("of_runs", "sum", products, rows, count)


@translates("DynamicPartition")
def _part(context: Context, tensor: Tensor) -> Expression:
    data, parts = context.sources(tensor)
    rank, depth = context.graph.rank(data), context.graph.rank(parts)
    if rank is None or depth is None:
        raise Refused("it takes a tensor of unknown rank apart")
    return call("rows_of_part", operand(data), operand(parts), tensor.index)


@translates("DynamicStitch", "ParallelDynamicStitch")
def _stitched(context: Context, tensor: Tensor) -> Expression:
    sources = context.sources(tensor)
    if any(context.graph.rank(source) is None for source in sources):
        raise Refused("it puts tensors of unknown rank together")
    count = len(sources) // 2
    places, rows = (Sequence(tuple(map(operand, half))) for half in (sources[:count], sources[count:]))
    return call("stitched", places, rows)
