"""Ops that change shapes, and ops that make tensors of a given shape."""

from collections.abc import Iterable

from export_v1.ir.graph import Tensor
from load_v2.opening import expressions, printed, size_algebra
from load_v2.opening.context import Context, Refused, called, operand
from load_v2.opening.expressions import (
    Binary,
    Call,
    Expression,
    Item,
    LayerCall,
    Literal,
    Negative,
    Sequence,
    Slice,
    call,
)
from load_v2.opening.loops.affine import split_source
from load_v2.opening.operations.registry import translates
from load_v2.opening.size_algebra import Applied, Atom, Axis, Number, Product, Size, Value


def size(value: Value) -> Expression:
    """Returns the expression for a size, which asks real tensors for what is unknown."""
    if not isinstance(value, Product):
        return Literal(value)
    code: Expression | None = None if value.factor in (1, -1) else Literal(value.factor)
    for atom in value.unknown:
        part = _atom(atom)
        code = part if code is None else Binary("*", code, part)
    assert code is not None
    return Negative(code) if value.factor == -1 else code


def _atom(atom: Atom) -> Expression:
    if isinstance(atom, Axis):
        return Item(call("ops.shape", operand(atom.tensor)), (Literal(atom.axis),))
    if isinstance(atom, Number):
        place = () if atom.place is None else (Literal(atom.place),)
        if atom.asked:
            return call("as_size", operand(atom.tensor), *place)
        return Item(operand(atom.tensor), place) if place else operand(atom.tensor)
    if isinstance(atom, Applied):
        given = map(size, atom.arguments)
        if atom.function == "as_type":
            return call("as_type", *given, atom.dtype)
        symbol = _INFIX.get(atom.function)
        return call("of_sizes", atom.function, *given) if symbol is None else Binary(symbol, *given)
    left, right = size(atom.left), size(atom.right)
    if atom.symbol in ("max", "min"):
        return call("of_sizes", f"{atom.symbol}imum", left, right)
    return Binary(atom.symbol, left, right)


_INFIX = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "less": "<", "less_equal": "<=", "greater": ">",
          "greater_equal": ">="}  # fmt: skip


def end(value: Size | None) -> int | Expression | None:
    """Returns an end of a slice."""
    return value if value is None or isinstance(value, int) else size(value)


def total(sizes: Iterable[Size]) -> Size:
    """Returns the sum of sizes."""
    result: Size = 0
    for value in sizes:
        result = size_algebra.computed("+", result, value)
    return result


def shape(values) -> Expression:
    """Returns the tuple of some sizes."""
    if all(isinstance(value, int) for value in values):
        return Literal(tuple(values))
    return Sequence(tuple(size(size_algebra.asked(value)) for value in values), is_tuple=True)


def target(context: Context, tensor: Tensor, shape_tensor: Tensor) -> list[Size]:
    """Returns the sizes that a shape tensor asks for.

    Raises:
        Refused: they depend on more than sizes and whole numbers that are data.
    """
    values = context.sizes.numbers(shape_tensor)
    if values is None:
        raise Refused("its shape is computed from data")
    return list(values.reshape(-1))


@translates("Reshape")
def _reshape(context: Context, tensor: Tensor) -> Expression:
    source, shape_tensor = context.sources(tensor)
    sizes = context.sizes.reshaped(shape_tensor)
    if sizes is None:
        raise Refused("its shape is computed from data")
    wanted = list(sizes.reshape(-1))
    given = context.sizes.shape(source)
    if given is not None and -1 in wanted:
        rest = size_algebra.divided(
            size_algebra.product(given), size_algebra.product(size for size in wanted if size != -1)
        )
        if rest is not None:
            wanted = [rest if size == -1 else size for size in wanted]
    if given is not None and list(given) == wanted:
        return operand(source)
    return reshaped(context, source, given, wanted)


def reshaped(context: Context, source: Tensor, given: tuple[Size, ...] | None, wanted: list[Size]) -> Expression:
    """Returns the code that gives a tensor another shape; a -1 stands where one size follows from the others."""
    unknown = [at for at, size in enumerate(wanted) if not isinstance(size, int) or size == -1]
    keeps_batch = given and wanted and not isinstance(given[0], int) and given[0] == wanted[0]
    if given and keeps_batch and not context.inside_call and len(unknown) <= 2:
        if len(wanted) == 2 and len(given) > 2:
            return called(context.layer("Flatten", ""), source)
        rest = tuple(-1 if at in unknown else size for at, size in enumerate(wanted))[1:]
        return called(context.layer("Reshape", "", arguments=(rest,)), source)
    if len(unknown) <= 1:
        return call(
            "ops.reshape", operand(source), tuple(-1 if at in unknown else size for at, size in enumerate(wanted))
        )
    # All but one have to be said.
    last = -1 if -1 in wanted else next(size for size in wanted if not isinstance(size, int))
    at = wanted.index(last)
    return call("ops.reshape", operand(source), shape([*wanted[:at], -1, *wanted[at + 1 :]]))


@translates("Transpose")
def _transpose(context: Context, tensor: Tensor) -> Expression:
    source, permutation = context.sources(tensor)
    axes = [int(axis) for axis in context.static(permutation, "the order of axes")]
    if axes == list(range(len(axes))):
        return operand(source)
    return call("ops.transpose", operand(source), tuple(axes))


@translates("ExpandDims")
def _expand(context: Context, tensor: Tensor) -> Expression:
    source, axis = context.sources(tensor)
    return call("ops.expand_dims", operand(source), int(context.static(axis, "the axis").reshape(-1)[0]))


@translates("Squeeze")
def _squeeze(context: Context, tensor: Tensor) -> Expression:
    axes = tuple(context.graph.attr(tensor, "squeeze_dims").list.i)
    source = context.sources(tensor)[0]
    if not axes:
        known = context.graph.shape(source)
        if known is None:
            raise Refused("which axes it drops depends on data")
        axes = tuple(at for at, size in enumerate(known) if size == 1)
        if not axes:
            return operand(source)
    return call("ops.squeeze", operand(source), axes[0] if len(axes) == 1 else axes)


@translates("ConcatV2", "Concat")
def _concatenate(context: Context, tensor: Tensor) -> Expression:
    sources = context.sources(tensor)
    axis, parts = (sources[-1], sources[:-1]) if context.op(tensor) == "ConcatV2" else (sources[0], sources[1:])
    if len(parts) == 1:
        return operand(parts[0])
    at = int(context.static(axis, "the axis"))
    rank = context.graph.rank(tensor)
    at = -1 if rank is not None and at == rank - 1 and at > 0 else at
    return call("ops.concatenate", Sequence(tuple(map(operand, parts))), axis=at)


@translates("Pack")
def _stack(context: Context, tensor: Tensor) -> Expression:
    axis = context.graph.attr(tensor, "axis").i
    return call("ops.stack", Sequence(tuple(_member(context, source) for source in context.sources(tensor))), axis=axis)


def _member(context: Context, source: Tensor) -> Expression:
    """Returns a tensor as a member of a stack; Keras takes plain numbers for none."""
    if context.values.kind(source) == "constant" and context.graph.rank(source) == 0:
        value = context.values.value(source)
        return call("np.array", expressions.scalar(value), value.dtype.name)
    return operand(source)


@translates("Unpack")
def _unstack(context: Context, tensor: Tensor) -> Expression:
    source, axis = context.sources(tensor)[0], context.graph.attr(tensor, "axis").i
    if axis < 0:
        rank = context.graph.rank(source)
        if rank is None:
            raise Refused("it takes a tensor of unknown rank apart")
        axis += rank
    return Item(operand(source), (*(Slice(),) * axis, Literal(tensor.index)))


@translates("Split", "SplitV")
def _split(context: Context, tensor: Tensor) -> Expression:
    source, axis = split_source(context, tensor)
    at = int(context.static(axis, "the axis"))
    shape_ = context.graph.shape(source)
    if shape_ is None:
        raise Refused("it splits a tensor of unknown rank")
    at %= len(shape_)
    if context.op(tensor) == "Split":
        whole, count = shape_[at], context.graph.attr(tensor, "num_split").i
        if whole is None:
            split = call("ops.split", operand(source), count, axis=at)
            return Item(split, (Literal(tensor.index),))
        begins = [part * (whole // count) for part in range(count + 1)]
    else:
        sizes = context.sizes.numbers(context.sources(tensor)[1])
        if sizes is None:
            raise Refused("the sizes of its parts are computed from data")
        parts = list(sizes)
        if -1 in parts:
            others = total(size for size in parts if size != -1)
            parts[parts.index(-1)] = size_algebra.computed("-", context.sizes.axis(source, at), others)
        begins = [total(parts[:count]) for count in range(len(parts) + 1)]
    first, last = begins[tensor.index], begins[tensor.index + 1]
    piece = Slice(end(first) or None, None if tensor.index == len(begins) - 2 else end(last))
    axes = (Literal(...), piece) if at == len(shape_) - 1 and at > 1 else (*(Slice(),) * at, piece)
    return Item(operand(source), axes)


@translates("Tile")
def _tile(context: Context, tensor: Tensor) -> Expression:
    source, multiples = context.sources(tensor)
    return call("ops.tile", operand(source), shape(target(context, tensor, multiples)))


@translates("BroadcastTo")
def _broadcast(context: Context, tensor: Tensor) -> Expression:
    source, shape_tensor = context.sources(tensor)
    return call("ops.broadcast_to", operand(source), shape(target(context, tensor, shape_tensor)))


@translates("Fill")
def _fill(context: Context, tensor: Tensor) -> Expression:
    shape_tensor, value = context.sources(tensor)
    wanted, dtype = target(context, tensor, shape_tensor), context.graph.dtype(tensor)
    number = context.values.number(value)
    if number in (0, 1):
        return call("ops.ones" if number else "ops.zeros", shape(wanted), dtype)
    return call("ops.full", shape(wanted), operand(value), dtype)


@translates("Range")
def _range(context: Context, tensor: Tensor) -> Expression:
    values = [context.sizes.numbers(source) for source in context.sources(tensor)]
    known = [size(value.item()) for value in values if value is not None]
    if len(known) != 3:
        raise Refused("its limits are computed from data")
    start, limit, delta = known
    dtype = context.graph.dtype(tensor)
    if start == Literal(0) and delta == Literal(1):
        return call("ops.arange", limit, dtype=dtype)
    return call("ops.arange", start, limit, *(() if delta == Literal(1) else (delta,)), dtype=dtype)


@translates("LinSpace")
def _evenly_spaced(context: Context, tensor: Tensor) -> Expression:
    start, stop, count = context.sources(tensor)
    first, last = (context.values.number(end) for end in (start, stop))
    counted, dtype = context.sizes.array(count), context.graph.dtype(tensor)
    if first is None or last is None or counted is None:
        raise Refused("its limits are computed from data")
    many = size(counted.item())
    if isinstance(many, Literal):
        return call("ops.linspace", first, last, many, dtype=dtype)
    steps = call("ops.cast", call("ops.maximum", Binary("-", many, Literal(1)), 1), dtype)
    share = Binary("/", call("ops.arange", many, dtype=dtype), steps)
    return Binary("+", Literal(first), Binary("*", share, Literal(last - first)))


@translates("Shape", "Size", "Rank")
def _shape(context: Context, tensor: Tensor) -> Expression:
    values = context.sizes.array(tensor)
    if values is None:
        raise Refused("it needs the shape of a tensor of unknown rank")
    dtype = context.graph.dtype(tensor)
    code = size(values.item()) if values.ndim == 0 else Sequence(tuple(map(size, values)))
    return call("ops.convert_to_tensor", code, dtype=dtype)


@translates("Pad", "PadV2", "MirrorPad")
def _pad(context: Context, tensor: Tensor) -> Expression:
    source, paddings, *filler = context.sources(tensor)
    sizes = context.sizes.array(paddings)
    if sizes is None:
        raise Refused("how much it pads is computed from data")
    amounts = Sequence(tuple(shape(row) for row in sizes))
    mode = {b"REFLECT": "reflect", b"SYMMETRIC": "symmetric"}.get(context.graph.attr(tensor, "mode").s)
    value = context.values.number(filler[0]) if filler else None
    if filler and value is None:
        raise Refused("it pads with a value that is computed")
    options = {"mode": mode, "constant_values": value or None}
    return call("ops.pad", operand(source), amounts, **options)


@translates("SpaceToDepth", "DepthToSpace")
def _depth_and_space(context: Context, tensor: Tensor) -> Expression:
    source, block = context.sources(tensor)[0], context.graph.attr(tensor, "block_size").i
    sizes = context.sizes.shape(source)
    if (
        sizes is None
        or not isinstance(sizes[3], int)
        or context.graph.attr(tensor, "data_format").s not in (b"", b"NHWC")
    ):
        raise Refused("it needs to know how many channels there are, last")
    _, height, width, channels = sizes
    if context.op(tensor) == "DepthToSpace":
        depth = channels // block**2
        middle, order = (-1, height, width, block, block, depth), (0, 1, 3, 2, 4, 5)
        last = (-1, size_algebra.product([height, block]), size_algebra.product([width, block]), depth)
    else:
        rows, columns = (size_algebra.computed("//", whole, block) for whole in (height, width))
        middle, order = (-1, rows, block, columns, block, channels), (0, 1, 3, 2, 4, 5)
        last = (-1, rows, columns, channels * block**2)
    code = call("ops.transpose", call("ops.reshape", operand(source), shape(middle)), order)
    return call("ops.reshape", code, shape(last))


@translates("SpaceToBatchND", "BatchToSpaceND")
def _space_and_batch(context: Context, tensor: Tensor) -> Expression:
    source, block_tensor, border_tensor = context.sources(tensor)
    blocks = [int(block) for block in context.static(block_tensor, "the block")]
    borders = [tuple(map(int, pair)) for pair in context.static(border_tensor, "what is padded or cropped")]
    sizes = context.sizes.shape(source)
    if sizes is None:
        raise Refused("it moves space of a tensor of unknown rank")
    count, others = len(blocks), list(sizes[len(blocks) + 1 :])
    spread = range(2, 2 * count + 2, 2)
    if context.op(tensor) == "BatchToSpaceND":
        middle = [*blocks, -1, *sizes[1:]]
        places = zip(range(count + 1, 2 * count + 1), range(count), strict=True)
        order = [count, *(at for pair in places for at in pair), *range(2 * count + 1, len(middle))]
        whole = [size_algebra.product(pair) for pair in zip(sizes[1:], blocks, strict=False)]
        turned = call("ops.transpose", call("ops.reshape", operand(source), shape(middle)), tuple(order))
        joined = call("ops.reshape", turned, shape([-1, *whole, *others]))
        if not any(map(any, borders)):
            return joined
        return Item(joined, (Slice(), *(Slice(begin or None, -last or None) for begin, last in borders)))
    padded = [total((size, *border)) for size, border in zip(sizes[1:], borders, strict=False)]
    inner = [size_algebra.computed("//", size, block) for size, block in zip(padded, blocks, strict=True)]
    middle = [-1, *(size for pair in zip(inner, blocks, strict=True) for size in pair), *others]
    order = [*spread, 0, *(at - 1 for at in spread), *range(2 * count + 1, len(middle))]
    code: Expression = operand(source)
    if any(map(any, borders)):
        code = call("ops.pad", code, ((0, 0), *borders, *((0, 0),) * len(others)))
    code = call("ops.transpose", call("ops.reshape", code, shape(middle)), tuple(order))
    return call("ops.reshape", code, shape([-1, *inner, *others]))


@translates("ReverseV2")
def _reverse(context: Context, tensor: Tensor) -> Expression:
    source, axes = context.sources(tensor)
    at = tuple(int(axis) for axis in context.static(axes, "the axes").reshape(-1))
    return call("ops.flip", operand(source), axis=at[0] if len(at) == 1 else at) if at else operand(source)


@translates("MatrixDiag", "MatrixDiagV2", "MatrixDiagV3")
def _diagonal(context: Context, tensor: Tensor) -> Expression:
    source, *settings = context.sources(tensor)
    _check_is_main(context, settings, (0, -1, -1, 0))
    sizes = context.sizes.shape(source)
    if not sizes:
        raise Refused("it makes a matrix of a tensor of unknown rank")
    if isinstance(sizes[-1], int):
        identity = call("ops.eye", sizes[-1], dtype=context.graph.dtype(tensor))
        return Binary("*", call("ops.expand_dims", operand(source), -1), identity)
    diagonal = call("ops.expand_dims", operand(source), -1)
    return call("ops.where", _on_diagonal(sizes[-1], sizes[-1]), diagonal, call("ops.zeros_like", diagonal))


@translates("MatrixSetDiag", "MatrixSetDiagV2", "MatrixSetDiagV3")
def _with_diagonal(context: Context, tensor: Tensor) -> Expression:
    source, diagonal, *settings = context.sources(tensor)
    _check_is_main(context, settings, (0,))
    sizes, given = context.sizes.shape(source), context.sizes.shape(diagonal)
    if sizes is None or given is None:
        raise Refused("it puts a diagonal into a tensor of unknown rank")
    # Of a wide matrix the diagonal is as long as a column, of a tall one as long as a row.
    rows, columns = sizes[-2:]
    if given[-1] == columns or (given[-1] != rows and isinstance(rows, int) and isinstance(given[-1], int)):
        axis = -2
    elif given[-1] == rows or (isinstance(columns, int) and isinstance(given[-1], int)):
        axis = -1
    else:
        raise Refused("it puts in a diagonal of unknown length")
    return call(
        "ops.where", _on_diagonal(rows, columns), call("ops.expand_dims", operand(diagonal), axis), operand(source)
    )


def _check_is_main(context: Context, settings: Iterable[Tensor], usual: tuple[int, ...]) -> None:
    for tensor, value in zip(settings, usual, strict=False):
        if context.values.number(tensor) != value:
            raise Refused("it is about other diagonals than the main one")


def _on_diagonal(rows: Size, columns: Size) -> Expression:
    down, across = (call("ops.arange", size(count)) for count in (rows, columns))
    return call("ops.equal", call("ops.expand_dims", down, -1), across)


@translates("MatrixBandPart")
def _band(context: Context, tensor: Tensor) -> Expression:
    source, *bounds = context.sources(tensor)
    lower, upper = (int(context.static(bound, "the width of the band")) for bound in bounds)
    code: Expression = operand(source)
    if lower >= 0:
        code = call("ops.triu", code, -lower)
    if upper >= 0:
        code = call("ops.tril", code, upper)
    return code


@translates("ReverseSequence")
def _reverse_sequence(context: Context, tensor: Tensor) -> Expression:
    source, lengths = context.sources(tensor)
    time, batch = context.graph.attr(tensor, "seq_dim").i, context.graph.attr(tensor, "batch_dim").i
    rank = context.graph.rank(source)
    if rank is None or {time, batch} != {0, 1}:
        raise Refused("it reverses other axes than the first two")
    if not context.inside_call:
        layer, order = printed.reverse_sequence(tensor.node), (1, 0, *range(2, rank))
        if time == 1:
            return called(layer, source, lengths)
        flipped = LayerCall(layer, (call("ops.transpose", operand(source), order), operand(lengths)))
        return call("ops.transpose", flipped, order)
    steps = Item(call("ops.shape", operand(source)), (Literal(time),))
    position = call("ops.arange", steps, dtype="int32")
    length = call("ops.cast", operand(lengths), "int32")
    if time == 1:
        position, length = (
            call("ops.expand_dims", position, 0), call("ops.expand_dims", length, 1),
        )  # fmt: skip
    else:
        position, length = call("ops.expand_dims", position, 1), call("ops.expand_dims", length, 0)
    backwards = Binary("-", Binary("-", length, Literal(1)), position)
    indices = call("ops.where", Binary("<", position, length), backwards, position)
    for _ in range(rank - 2):
        indices = call("ops.expand_dims", indices, -1)
    return Call("ops.take_along_axis", (operand(source), indices), (("axis", Literal(time)),))
