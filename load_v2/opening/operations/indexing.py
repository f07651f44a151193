"""Ops that take elements, rows and slices out of tensors."""

import numpy as np

from export_v1.ir.graph import Tensor
from load_v2.opening import expressions, size_algebra, sizes
from load_v2.opening.context import Context, Refused, operand
from load_v2.opening.expressions import Binary, Constant, Expression, Item, Literal, Slice, call
from load_v2.opening.operations.registry import translates
from load_v2.opening.operations.shaping import end, shape, size, target

# Op -> what Keras calls it, and whether a segment of nothing is the least or the largest number.
_SEGMENTS = {
    "UnsortedSegmentSum": ("sum", None), "UnsortedSegmentProd": ("prod", None),
    "UnsortedSegmentMax": ("max", "min"), "UnsortedSegmentMin": ("min", "max"),
}  # fmt: skip


@translates("StridedSlice")
def _strided_slice(context: Context, tensor: Tensor) -> Expression:
    items = sizes.slice_items(context.graph, context.sizes, tensor, also_data=True)
    if items is None:
        raise Refused("it slices at places that are computed from data")
    source = context.sources(tensor)[0]
    given = context.sizes.shape(source)
    parts: list[Expression] = []
    reversed_axes: list[int] = []
    axis: int | None = 0
    for at, item in enumerate(items):
        if item == "all":
            parts.append(Literal(...))
            # What is said behind it is said of the last axes.
            axis = None if given is None else len(given) - sum(other != "new" for other in items[at + 1 :])
            continue
        if item == "new":
            parts.append(Literal(None))
            continue
        if not isinstance(item, tuple):
            parts.append(size(item))
        else:
            start, stop, step = item
            if step < 0:
                # PyTorch has no negative steps.
                if axis is None:
                    raise Refused("it slices backwards along an axis that is not known")
                start, stop, step = _from_the_end(start, stop, step, None if given is None else given[axis])
                reversed_axes.append(axis)
            whole = given is not None and axis is not None and axis < len(given) and stop == given[axis]
            stop = None if whole and step > 0 else stop
            parts.append(Slice(end(start), end(stop), None if step == 1 else step))
        axis = None if axis is None else axis + 1
    whole_source: Expression = operand(source)
    if reversed_axes:
        axes = reversed_axes[0] if len(reversed_axes) == 1 else tuple(reversed_axes)
        whole_source = call("ops.flip", whole_source, axis=axes)
    return _item(whole_source, parts)


def _from_the_end(start, stop, step: int, length: size_algebra.Size | None) -> tuple[int | None, int | None, int]:
    """Returns the slice of a reversed axis that is the same as one with a negative step of the axis itself."""
    if start is None and stop is None:
        return None, None, -step
    if not isinstance(length, int) or not all(end is None or isinstance(end, int) for end in (start, stop)):
        raise Refused("it slices backwards along an axis of unknown size")
    first, last, _ = slice(start, stop, step).indices(length)
    return length - 1 - first, length - 1 - last, -step


def _item(source: Expression, parts: list[Expression]) -> Expression:
    while parts and (parts[-1] == Literal(...) or (parts[-1] == Slice() and Literal(...) not in parts)):
        parts.pop()
    return Item(source, tuple(parts)) if parts else source


@translates("Slice")
def _slice(context: Context, tensor: Tensor) -> Expression:
    source, begin, count = context.sources(tensor)
    first, counts = context.sizes.numbers(begin), context.sizes.numbers(count)
    given = context.sizes.shape(source)
    if first is None or counts is None:
        raise Refused("it slices at places that are computed from data")
    parts: list[Expression] = []
    for axis, (start, length) in enumerate(zip(first, counts, strict=True)):
        whole = length == -1 or (given is not None and (length == given[axis] if start == 0 else False))
        if given is not None and isinstance(given[axis], int) and isinstance(length, int):
            whole = whole or size_algebra.computed("+", start, length) == given[axis]
        stop = None if whole else size_algebra.computed("+", start, length)
        parts.append(Slice(end(start) or None, end(stop)))
    return _item(operand(source), parts)


@translates("GatherV2", "Gather")
def _gather(context: Context, tensor: Tensor) -> Expression:
    source, indices, *rest = context.sources(tensor)
    axis = int(context.static(rest[0], "the axis")) if rest else 0
    batch = context.graph.attr(tensor, "batch_dims").i
    if not batch:
        return call("ops.take", operand(source), operand(indices), axis=axis)
    rank, index_rank = context.graph.rank(source), context.graph.rank(indices)
    if batch == axis == 1 and index_rank == 2 and rank is not None:
        code: Expression = operand(indices)
        for _ in range(rank - 2):
            code = call("ops.expand_dims", code, -1)
        return call("ops.take_along_axis", operand(source), code, axis=1)
    if batch == axis == 1 and index_rank == 1 and rank is not None:
        code = operand(indices)
        for _ in range(rank - 1):
            code = call("ops.expand_dims", code, -1)
        return call("ops.squeeze", call("ops.take_along_axis", operand(source), code, axis=1), 1)
    raise Refused("it gathers rows within each member of a batch in a way that keras.ops lacks")


@translates("OneHot")
def _one_hot(context: Context, tensor: Tensor) -> Expression:
    indices, depth, on, off = context.sources(tensor)
    if context.is_data(on) or context.is_data(off):
        raise Refused("its values are computed")
    high, low = (expressions.scalar(context.values.value(value)) for value in (on, off))
    axis, dtype = context.graph.attr(tensor, "axis").i, context.graph.dtype(tensor)
    is_scale = not low and dtype != "bool"
    classes = context.sizes.array(depth)
    if classes is None:
        raise Refused("the depth is computed from data")
    code = call(
        "ops.one_hot", operand(indices), size(classes.item()),
        axis=None if axis == -1 else axis, dtype=dtype if is_scale else "bool",
    )  # fmt: skip
    if is_scale:
        return code if high == 1 else Binary("*", code, Literal(high))
    if dtype == "bool":
        return code if high and not low else call("ops.where", code, bool(high), bool(low))
    chosen = call("ops.where", code, high, low)
    return chosen if dtype in ("float32", "int32") else call("ops.cast", chosen, dtype)


@translates("GatherNd")
def _gather_many(context: Context, tensor: Tensor) -> Expression:
    source, indices = context.sources(tensor)
    given, places = context.sizes.shape(source), context.graph.shape(indices)
    if given is None or not places or places[-1] is None:
        raise Refused("it gathers by indices of unknown depth")
    depth = places[-1]
    # One index for all axes that are looked up, into a tensor in which they are one axis.
    flat: Expression | None = None
    for axis in range(depth):
        part: Expression = Item(operand(indices), (Literal(...), Literal(axis)))
        stride = size_algebra.product(given[axis + 1 : depth])
        part = part if stride == 1 else Binary("*", part, size(stride))
        flat = part if flat is None else Binary("+", flat, part)
    if flat is None:
        raise Refused("it gathers the whole tensor")
    rows = operand(source) if depth == 1 else call("ops.reshape", operand(source), shape((-1, *given[depth:])))
    return call("ops.take", rows, flat, axis=0)


@translates("ScatterNd")
def _scatter(context: Context, tensor: Tensor) -> Expression:
    indices, updates, shape_tensor = context.sources(tensor)
    wanted = shape(target(context, tensor, shape_tensor))
    return call("ops.scatter", operand(indices), operand(updates), wanted)


@translates("TensorScatterUpdate")
def _scatter_update(context: Context, tensor: Tensor) -> Expression:
    return call("ops.scatter_update", *map(operand, context.sources(tensor)))


@translates(*_SEGMENTS)
def _segments(context: Context, tensor: Tensor) -> Expression:
    data, ids, count = context.sources(tensor)
    if context.graph.rank(ids) != 1:
        raise Refused("its ids are no vector")
    sizes = context.sizes.numbers(count)
    if sizes is None:
        raise Refused("the number of segments is computed from data")
    name, of_nothing = _SEGMENTS[context.op(tensor)]
    number = size(sizes.reshape(-1)[0])
    code = call(f"ops.segment_{name}", operand(data), operand(ids), num_segments=number)
    if of_nothing is None:
        return code
    if context.graph.dtype(tensor) != "float32":
        raise Refused("a segment of nothing has another value on each backend")
    # TensorFlow begins with the least number, where others begin with an infinity.
    return call(f"ops.{name}imum", code, float(getattr(np.finfo("float32"), of_nothing)))


@translates("MatrixDiagPart", "DiagPart")
def _main_diagonal(context: Context, tensor: Tensor) -> Expression:
    return call("ops.diagonal", operand(context.sources(tensor)[0]), axis1=-2, axis2=-1)


@translates("InvertPermutation")
def _inverse_order(context: Context, tensor: Tensor) -> Expression:
    return call("ops.cast", call("ops.argsort", operand(context.sources(tensor)[0])), context.graph.dtype(tensor))


@translates("Bucketize")
def _bucketize(context: Context, tensor: Tensor) -> Expression:
    boundaries = np.array(context.graph.attr(tensor, "boundaries").list.f, "float32")
    return call("ops.digitize", operand(context.sources(tensor)[0]), Constant(boundaries, f"{tensor.node}/boundaries"))


@translates("Roll")
def _roll(context: Context, tensor: Tensor) -> Expression:
    source, shifts, axes = context.sources(tensor)
    by, along = (
        tuple(int(number) for number in context.static(s, "how far it rolls").reshape(-1)) for s in (shifts, axes)
    )
    return call("ops.roll", operand(source), by[0] if len(by) == 1 else by, axis=along[0] if len(along) == 1 else along)
