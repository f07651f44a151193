"""The ops whose integer, float or string operands have to be something: which ones, and what. Each rule stands once.

A rule gets a `Use`, one input of one op, and returns the values that this op takes there, or None where it cannot tell.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from export_v1.ir import ops
from export_v1.ir.graph import NodeDef, attr, data_inputs, input_types
from export_v1.proof.domain import Domain, exactly
from export_v1.proof.reading import Reading, known


@dataclasses.dataclass(frozen=True)
class Use:
    """One input of one op."""

    reading: Reading
    node: NodeDef
    at: int

    def shape(self, at: int) -> list[int | None] | None:
        """Returns what is known of the shape of one of the op's inputs."""
        inputs = data_inputs(self.node)
        return self.reading.shape(inputs[at]) if -len(inputs) <= at < len(inputs) else None

    def sizes(self, at: int) -> list[int] | None:
        """Returns the shape of one of the op's inputs where all of it is known."""
        return known(self.shape(at))

    def size(self, at: int, axis: int) -> int | None:
        """Returns how large one axis of one of the op's inputs is."""
        shape = self.shape(at)
        return shape[axis] if shape is not None and -len(shape) <= axis < len(shape) else None

    def rank(self, at: int) -> int | None:
        """Returns the rank of one of the op's inputs."""
        shape = self.shape(at)
        return None if shape is None else len(shape)

    def value(self, at: int) -> np.ndarray | None:
        """Returns one of the op's inputs where it is constant."""
        inputs = data_inputs(self.node)
        return self.reading.value(inputs[at]) if -len(inputs) <= at < len(inputs) else None

    def number(self, at: int, default: int | None = None) -> int | None:
        """Returns one of the op's inputs where it is one constant number."""
        value = self.value(at)
        return int(value.ravel()[0]) if value is not None and value.size == 1 else default

    def vector(self, at: int) -> list[int] | None:
        """Returns one of the op's inputs where it is a constant vector."""
        value = self.value(at)
        return None if value is None else [int(number) for number in value.ravel()]

    @property
    def length(self) -> int | None:
        """How many elements the input has, where it is a vector."""
        sizes = self.sizes(self.at)
        return sizes[0] if sizes is not None and len(sizes) == 1 else None


Rule = Callable[[Use], Domain | None]


def between(low: int, high: int, order: str = "") -> Rule:
    """Returns the rule of fixed limits."""
    return lambda use: Domain(low, high, order)


def below(size: int | None, order: str = "") -> Domain | None:
    """Returns whole numbers from 0 on, below a size where that is known."""
    return Domain(0, size, order) if size else None


def _rows(use: Use) -> Domain | None:
    """Places of an axis of the first input; which one, the last input says."""
    axis = use.number(2, 0) if use.node.op == "GatherV2" else 0
    return below(use.size(0, axis or 0))


def _places(data: int) -> Rule:
    """Returns the rule of index vectors into a tensor: each column has its own axis."""

    def rule(use: Use) -> Domain | None:
        sizes, own = use.sizes(data), use.sizes(use.at)
        if sizes is None or not own:
            return None
        return Domain(0, np.maximum(np.array(sizes[: own[-1]]), 1)) if own[-1] <= len(sizes) and own[-1] else None

    return rule


def _places_of_size(size: int) -> Rule:
    """Returns the rule of index vectors into a tensor that is yet to be made, of a size that another input says."""

    def rule(use: Use) -> Domain | None:
        own, sizes = use.sizes(use.at), use.vector(size)
        if own is None:
            return None
        width = own[-1] if len(own) > 1 else 1
        if sizes is None:
            return Domain(0, ROOM, "rows")
        return Domain(0, np.array(sizes[:width]) if len(own) > 1 else max(sizes[0], 1), "rows")

    return rule


# Room in each axis of a tensor that is made up as a whole.
ROOM = 8


def _scatter_shape(use: Use) -> Domain | None:
    indices, updates = use.sizes(0), use.sizes(1)
    if indices is None or updates is None or not indices:
        return None
    return exactly([ROOM] * indices[-1] + updates[len(indices) - 1 :])


def _axis(operand: int, extra: int = 0, order: str = "distinct") -> Rule:
    """Returns the rule of axes of an input."""

    def rule(use: Use) -> Domain | None:
        rank = use.rank(operand)
        return None if rank is None else Domain(0, max(rank + extra, 1), order)

    return rule


def _new_shape(use: Use) -> Domain | None:
    """The sizes that a Reshape makes: as many elements as there are."""
    sizes, parts = use.sizes(0), use.reading.parts(data_inputs(use.node)[1])
    if sizes is None or parts is None:
        return None
    count, wanted = int(np.prod(sizes, dtype=np.int64)), list(parts)
    fixed = int(np.prod([size for size in wanted if size is not None and size > 0], dtype=np.int64))
    if wanted.count(None) == len(wanted):
        return exactly(_of_rank(sizes, len(wanted)))
    left = count // fixed if fixed and not count % fixed else 1
    for at, size in enumerate(wanted):
        if size is not None:
            continue
        # Its own size, where that divides; the last one takes what is left.
        own = sizes[at] if at < len(sizes) else 1
        last = None not in wanted[at + 1 :] and -1 not in wanted
        wanted[at] = left if last or not own or left % own else own
        left //= max(wanted[at] or 1, 1)
    return exactly(wanted)


def _of_rank(sizes: list[int], rank: int) -> list[int]:
    if rank == 0:
        return []
    if rank < len(sizes):
        return [*sizes[: rank - 1], int(np.prod(sizes[rank - 1 :], dtype=np.int64))]
    return [*sizes, *[1] * (rank - len(sizes))]


def _broadcast_shape(use: Use) -> Domain | None:
    sizes, length = use.sizes(0), use.length
    if sizes is None or length is None or length < len(sizes):
        return None
    return exactly([*[2] * (length - len(sizes)), *[2 if size == 1 else size for size in sizes]])


def _begin(use: Use) -> Domain | None:
    """Where a slice begins: at the first or the second place."""
    sizes = use.sizes(0)
    if sizes is None or use.length != len(sizes):
        return below(min(use.size(0, 0) or 1, 2))
    return Domain(0, np.clip(sizes, 1, 2))


def _slice_size(use: Use) -> Domain | None:
    sizes, begin = use.sizes(0), use.vector(1)
    if sizes is None:
        return None
    room = np.array(sizes) - (np.array(begin) if begin is not None else np.array(sizes) > 1)
    return Domain(np.minimum(1, room), np.maximum(room, 0) + 1)


def _end(use: Use) -> Domain | None:
    sizes, length = use.sizes(0), use.length
    if sizes is None or length is None:
        return None
    return exactly([*sizes, *[1] * length][:length])


def _paddings(use: Use) -> Domain | None:
    """None at all for a vector of integers, which is a shape."""
    kinds = input_types(use.node)
    return Domain(0, 1 if use.rank(0) == 1 and kinds and tf.as_dtype(kinds[0]).is_integer else 2)


def _sparse_shape(use: Use) -> Domain | None:
    dense, length = use.vector(1), use.length
    return None if dense is None or length is None else exactly(_of_rank(dense, length))


def _block_shape(use: Use) -> Domain | None:
    """Blocks that the axes after the first divide into: two where that goes without padding."""
    sizes, length, paddings = use.sizes(0), use.length, use.value(2)
    if sizes is None or length is None or len(sizes) <= length:
        return None
    added = np.zeros([length], int) if paddings is None else np.sum(paddings, axis=1)
    return exactly([1 if (size + more) % 2 else 2 for size, more in zip(sizes[1:], added, strict=False)])


def _block_paddings(use: Use) -> Domain | None:
    sizes, blocks = use.sizes(0), use.vector(1)
    if sizes is None or blocks is None:
        return exactly(0)
    return exactly([[0, -size % block] for size, block in zip(sizes[1:], blocks, strict=False)])


def _batch_blocks(use: Use) -> Domain | None:
    """Blocks that the rows of a batch are put together to: all of the rows make one."""
    rows, length = use.size(0, 0), use.length
    return None if rows is None or not length else exactly([rows, *[1] * (length - 1)])


def _transposed_size(images: int) -> Rule:
    """Returns the rule of what a transposed convolution makes: the smallest image that would have become its input."""

    def rule(use: Use) -> Domain | None:
        small, kernel, length = use.sizes(images), use.sizes(1), use.length
        if small is None or kernel is None or length is None or len(small) != len(kernel):
            return None
        layout = attr(use.node, "data_format").s.decode()
        places = list(range(2, len(small))) if layout.startswith("NC") else list(range(1, len(small) - 1))
        strides, dilations = attr(use.node, "strides").list.i, attr(use.node, "dilations").list.i
        is_same = attr(use.node, "padding").s == b"SAME"
        made = list(small)
        made[1 if layout.startswith("NC") else -1] = kernel[-2]
        for place, width in zip(places, kernel, strict=False):
            reach = (width - 1) * (dilations[place] if dilations else 1) + 1
            step = strides[place] if strides else 1
            made[place] = small[place] * step if is_same else (small[place] - 1) * step + reach
        return exactly([made[place] for place in places] if length == len(places) else made)

    return rule


def _splits(use: Use) -> Domain | None:
    """Sizes that one axis is split into."""
    length, axis = use.length, use.number(2)
    size = use.size(0, axis) if axis is not None else None
    if not length or size is None:
        return None
    return exactly([size // length + (at < size % length) for at in range(length)])


def _most(operand: int, axis: int, most: int = 4) -> Rule:
    """Returns the rule of a count that has to fit an axis of an input."""

    def rule(use: Use) -> Domain | None:
        size = use.size(operand, axis)
        return Domain(1, min(size, most) + 1) if size else Domain(1, 2)

    return rule


def _lengths(operand: int, axis_attr: str = "", axis: int = 0) -> Rule:
    """Returns the rule of lengths that lie within an axis of an input."""

    def rule(use: Use) -> Domain | None:
        size = use.size(operand, attr(use.node, axis_attr).i if axis_attr else axis)
        return Domain(1, size + 1) if size else None

    return rule


def _segments(use: Use) -> Domain | None:
    rows = use.size(use.at, 0)
    most = use.number(use.at + 1) if use.node.op.endswith("NumSegments") else None
    return None if not rows else Domain(0, max(min(rows, most or rows), 1), "rising")


def _depth(use: Use) -> Domain | None:
    depth = use.number(1)
    return below(max(depth, 1)) if depth is not None else Domain(0, 4)


def _row_splits(use: Use) -> Domain | None:
    """Where the rows of a ragged tensor begin and end: the innermost ones end where its values do."""
    count = attr(use.node, _RAGGED[use.node.op]).i
    if use.at >= count:
        return None
    further = use.size(use.at + 1, 0)
    end = None if further is None else further - (use.at + 1 < count)
    return None if end is None else Domain(0, end + 1, "splits")


# Ops that read the row splits of ragged tensors before their values; the attribute says how many there are.
_RAGGED = {
    "RaggedTensorToSparse": "RAGGED_RANK",
    "RaggedGather": "PARAMS_RAGGED_RANK",
    "RaggedTensorToVariant": "RAGGED_RANK",
}


def _definite(use: Use) -> Domain | None:
    return Domain(0, 1, "definite")


def _vocabulary(use: Use) -> Domain | None:
    """Keys of a table that is filled from constants, where they are among the words of the vocabulary."""
    table = data_inputs(use.node)[0]
    for node, at in use.reading.readers(table):
        if node.op in ops.TABLE_INITIALIZERS and at == 0:
            keys = use.reading.value(data_inputs(node)[1])
            if keys is None or not keys.size:
                return None
            if keys.dtype.kind in "iu":
                return Domain(int(keys.min()), int(keys.max()) + 1)
            return Domain(words=tuple(bytes(key) for key in keys.ravel()[:50]))
    return None


def _each(names: str, **rules: Rule) -> dict[tuple[str, int], Rule]:
    return {(op, int(at.removeprefix("at_"))): rule for op in names.split() for at, rule in rules.items()}


_SEGMENTS = "SegmentSum SegmentMean SegmentProd SegmentMin SegmentMax"
_UNSORTED = "UnsortedSegmentSum UnsortedSegmentProd UnsortedSegmentMin UnsortedSegmentMax"
_SPARSE_SEGMENTS = "SparseSegmentSum SparseSegmentMean SparseSegmentSqrtN"
_WITH_NUMBER = " ".join(f"{op}WithNumSegments" for op in _SPARSE_SEGMENTS.split())
_REDUCTIONS = "Sum Mean Prod Max Min All Any EuclideanNorm"
_IMAGES = "ResizeBilinear ResizeNearestNeighbor ResizeBicubic ResizeArea"
_RANDOM = (
    "RandomUniform RandomStandardNormal TruncatedNormal RandomUniformInt StatelessRandomUniform StatelessRandomNormal "
    "Fill TensorArrayV3 TensorListReserve Empty"
)
_SAMPLERS = "Multinomial StatelessMultinomial RandomGamma"
_MATRICES = "Cholesky MatrixInverse MatrixDeterminant LogMatrixDeterminant SelfAdjointEigV2 MatrixSolve"
_SUPPRESSIONS = "NonMaxSuppression NonMaxSuppressionV2 NonMaxSuppressionV3 NonMaxSuppressionV4 NonMaxSuppressionV5"

_RULES: dict[tuple[str, int], Rule] = {
    **{(op, 1): _rows for op in ops.GATHERS},
    **_each("Gather GatherV2", at_2=_axis(0)),
    **_each("GatherNd ResourceGatherNd TensorScatterUpdate TensorScatterAdd TensorScatterSub", at_1=_places(0)),
    **_each("ScatterNd", at_0=_places_of_size(2), at_2=_scatter_shape),
    **_each("OneHot", at_0=_depth, at_1=between(4, 7)),
    **_each("SparseToDense", at_0=_places_of_size(1)),
    **_each(_SEGMENTS, at_1=_segments),
    **_each(_UNSORTED, at_1=lambda use: below(use.number(2, ROOM)), at_2=between(ROOM, ROOM + 1)),
    **_each(f"{_SPARSE_SEGMENTS} {_WITH_NUMBER}", at_1=_rows, at_2=_segments),
    **_each(_WITH_NUMBER, at_3=between(ROOM * 2, ROOM * 2 + 1)),
    **_each("DynamicPartition", at_1=lambda use: below(attr(use.node, "num_partitions").i)),
    **_each("InvertPermutation", at_0=lambda use: below(use.length, "distinct")),
    **_each("Transpose ConjugateTranspose", at_1=lambda use: below(use.length, "distinct")),
    **_each("Reshape", at_1=_new_shape),
    **_each("SparseReshape", at_2=_sparse_shape),
    **_each("BroadcastTo", at_1=_broadcast_shape),
    **_each(_RANDOM, at_0=between(2, 5)),
    **_each(_SAMPLERS, at_1=between(2, 5)),
    **_each("RandomUniformInt", at_1=between(0, 2), at_2=between(5, 9)),
    **_each("Tile", at_1=between(1, 3)),
    **_each("Pad PadV2", at_1=_paddings),
    **_each("MirrorPad", at_1=lambda use: Domain(0, 2 if min(use.sizes(0) or [1]) > 1 else 1)),
    **_each("Slice StridedSlice", at_1=_begin),
    **_each("Slice", at_2=_slice_size),
    **_each("StridedSlice", at_2=_end, at_3=between(1, 2)),
    **_each("Range", at_0=between(0, 2), at_1=between(5, 9), at_2=between(1, 3)),
    **_each("LinSpace", at_2=between(3, 6)),
    **_each("TopKV2", at_1=_most(0, -1)),
    **_each("TopK", at_1=_most(0, -1)),
    **_each("NthElement", at_1=lambda use: below(use.size(0, -1))),
    **_each("InTopK InTopKV2", at_1=lambda use: below(use.size(0, -1))),
    **_each("ArgMax ArgMin Cumsum Cumprod SplitV", at_1=_axis(0)),
    **_each(_REDUCTIONS, at_1=_axis(0)),
    **_each("ReverseV2", at_1=_axis(0)),
    **_each("ExpandDims", at_1=_axis(0, 1)),
    **_each("Split", at_0=_axis(1)),
    **_each("Roll", at_2=_axis(0)),
    **_each("SplitV", at_1=_splits, at_2=_axis(0)),
    **_each("ReverseSequence", at_1=_lengths(0, "seq_dim")),
    **_each("CTCLoss", at_3=_lengths(0)),
    **_each("CTCLoss", at_2=lambda use: below((use.size(0, -1) or 2) - 1)),
    **_each("CTCGreedyDecoder CTCBeamSearchDecoder", at_1=_lengths(0)),
    **_each(_IMAGES, at_1=between(6, 11)),
    **_each("CropAndResize", at_2=lambda use: below(use.size(0, 0)), at_3=between(4, 7)),
    **_each(_SUPPRESSIONS, at_2=between(2, 4)),
    **_each("SpaceToBatchND", at_1=_block_shape, at_2=_block_paddings),
    **_each("SpaceToBatch", at_1=_block_paddings),
    **_each("BatchToSpaceND", at_1=_batch_blocks, at_2=lambda use: exactly(0)),
    **_each("BatchToSpace", at_1=lambda use: exactly(0)),
    **_each("Conv2DBackpropInput Conv3DBackpropInputV2", at_0=_transposed_size(2)),
    **_each("SparseSoftmaxCrossEntropyWithLogits", at_1=lambda use: below(use.size(0, -1))),
    **_each("MatrixBandPart", at_1=between(0, 2), at_2=between(0, 2)),
    **_each("Bincount", at_0=lambda use: below(use.number(1, ROOM)), at_1=between(ROOM, ROOM + 1)),
    **_each("LeftShift RightShift", at_1=between(1, 4)),
    **_each("Substr", at_1=between(0, 1), at_2=between(1, 3)),
    **_each("FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3", at_4=between(1, 3)),
    **_each(_MATRICES, at_0=_definite),
    **_each("RaggedTensorToTensor", at_3=between(0, 1)),
    **_each("LookupTableFindV2", at_1=_vocabulary),
}


def of(op: str, at: int) -> Rule | None:
    """Returns the rule for one input of an op, None where its values may be anything."""
    return _row_splits if op in _RAGGED else _RULES.get((op, at))
