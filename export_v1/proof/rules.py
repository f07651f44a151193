"""The ops whose integer, float or string operands have to be something: which ones, and what. Each rule stands once.

A rule gets a `Use`, one input of one op, and returns the values that this op takes there, or None where it cannot tell.
"""

import numpy as np

from export_v1.ir import ops
from export_v1.ir.graph import NodeDef, attr, data_inputs
from export_v1.proof import divisions, size_rules
from export_v1.proof.domain import UNSAID, Domain, below, exactly
from export_v1.proof.reading import Reading, known
from export_v1.proof.size_rules import ROOM
from export_v1.proof.use import Rule, Use


def between(low: int, high: int, order: str = "") -> Rule:
    """Returns the rule of fixed limits."""
    return lambda use: Domain(low, high, order)


def loosely(low: int, high: int) -> Rule:
    """Returns the rule of limits that are only convenient."""
    return lambda use: Domain(low, high, is_loose=True)


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
        own, sizes = use.sizes(use.at), known(use.reading.parts(data_inputs(use.node)[size]))
        if own is None:
            return None
        width = own[-1] if len(own) > 1 else 1
        if not sizes:
            return Domain(0, ROOM, "rows")
        return Domain(0, np.array(sizes[:width]) if len(own) > 1 else max(sizes[0], 1), "rows")

    return rule


def _places_of_factor(use: Use) -> Domain | None:
    """Places of a sparse matrix whose columns, or rows where it is turned, are as many as the other's rows."""
    rows = use.size(3, 1 if attr(use.node, "adjoint_b").b else 0)
    if not rows:
        return None
    limits = (rows, UNSAID[1]) if attr(use.node, "adjoint_a").b else (UNSAID[1], rows)
    return Domain(0, np.array(limits, float), "rows")


def _axis(operand: int, extra: int = 0, order: str = "distinct") -> Rule:
    """Returns the rule of axes of an input."""

    def rule(use: Use) -> Domain | None:
        rank = use.rank(operand)
        return None if rank is None else Domain(0, max(rank + extra, 1), order)

    return rule


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
        rows = use.size(0, 0)
        return below((rows or 1) - 1) if use.node.op == "RaggedGather" and use.at > count else None
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
    **_each("ScatterNd", at_0=_places_of_size(2), at_2=size_rules.scatter_shape),
    **_each("OneHot", at_0=_depth, at_1=between(4, 7)),
    **_each("SparseToDense", at_0=_places_of_size(1), at_1=between(ROOM, ROOM + 1)),
    **_each("SparseTensorDenseMatMul", at_0=_places_of_factor),
    **_each(_SEGMENTS, at_1=_segments),
    **_each(_UNSORTED, at_1=lambda use: below(use.number(2, ROOM)), at_2=between(ROOM, ROOM + 1)),
    **_each(f"{_SPARSE_SEGMENTS} {_WITH_NUMBER}", at_1=_rows, at_2=_segments),
    **_each(_WITH_NUMBER, at_3=between(ROOM * 2, ROOM * 2 + 1)),
    **_each("DynamicPartition", at_1=lambda use: below(attr(use.node, "num_partitions").i)),
    **_each("InvertPermutation", at_0=lambda use: below(use.length, "distinct")),
    **_each("Transpose ConjugateTranspose", at_1=lambda use: below(use.length, "distinct")),
    **_each("Reshape", at_1=size_rules.new_shape),
    **_each("SparseReshape", at_2=size_rules.sparse_shape),
    **_each("BroadcastTo", at_1=size_rules.broadcast_shape),
    **_each(_RANDOM, at_0=loosely(2, 5)),
    **_each(_SAMPLERS, at_1=between(2, 5)),
    **_each("RandomUniformInt", at_1=between(0, 2), at_2=between(5, 9)),
    **_each("Tile", at_1=loosely(1, 3)),
    **_each("Pad PadV2", at_1=size_rules.paddings),
    **_each("MirrorPad", at_1=lambda use: Domain(0, 2 if min(use.sizes(0) or [1]) > 1 else 1)),
    **_each("StridedSlice", at_0=divisions.neighbours),
    **_each("UpperBound LowerBound", at_0=divisions.ordered),
    **_each("Slice StridedSlice", at_1=size_rules.begin),
    **_each("Slice", at_2=size_rules.slice_size),
    **_each("StridedSlice", at_2=size_rules.end, at_3=between(1, 2)),
    **_each("Range", at_0=loosely(0, 2), at_1=loosely(5, 9), at_2=loosely(1, 3)),
    **_each("LinSpace", at_2=between(3, 6)),
    **_each("TopKV2", at_1=_most(0, -1)),
    **_each("TopK", at_1=_most(0, -1)),
    **_each("NthElement", at_1=lambda use: below(use.size(0, -1))),
    **_each("InTopK InTopKV2", at_1=lambda use: below(use.size(0, -1))),
    **_each("ArgMax ArgMin Cumsum Cumprod SplitV", at_1=_axis(0)),
    **_each(_REDUCTIONS, at_1=_axis(0)),
    **_each("Sum", at_0=divisions.summed),
    **_each("ReverseV2", at_1=_axis(0)),
    **_each("ExpandDims", at_1=_axis(0, 1)),
    **_each("Split", at_0=_axis(1)),
    **_each("Roll", at_2=_axis(0)),
    **_each("SplitV", at_1=size_rules.splits, at_2=_axis(0)),
    **_each("ReverseSequence", at_1=_lengths(0, "seq_dim")),
    **_each("CTCLoss", at_3=_lengths(0)),
    **_each("CTCLoss", at_2=lambda use: below((use.size(0, -1) or 2) - 1)),
    **_each("CTCGreedyDecoder CTCBeamSearchDecoder", at_1=_lengths(0)),
    **_each(_IMAGES, at_1=between(6, 11)),
    **_each("CropAndResize", at_2=lambda use: below(use.size(0, 0)), at_3=between(4, 7)),
    **_each(_SUPPRESSIONS, at_2=between(2, 4)),
    **_each("SpaceToBatchND", at_1=size_rules.block_shape, at_2=size_rules.block_paddings),
    **_each("SpaceToBatch", at_1=size_rules.block_paddings),
    **_each("BatchToSpaceND", at_1=size_rules.batch_blocks, at_2=lambda use: exactly(0)),
    **_each("BatchToSpace", at_1=lambda use: exactly(0)),
    **_each("Conv2DBackpropInput Conv3DBackpropInputV2", at_0=size_rules.transposed_size(2)),
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


def said(reading: Reading, node: NodeDef, at: int) -> Domain | None:
    """Returns the values that an op takes as one of its inputs; None where they may be anything, or it can't tell.

    Args:
        reading: the graph, with the shapes that are assumed of its inputs.
        node: the op.
        at: which of its inputs.
    """
    rule = _row_splits if node.op in _RAGGED else _RULES.get((node.op, at))
    try:
        return None if rule is None else rule(Use(reading, node, at))
    except _CANNOT_WORK:
        # Operands that TensorFlow would refuse, too: it says why when the graph is run.
        return None


_CANNOT_WORK = (ValueError, TypeError, IndexError, OverflowError, ZeroDivisionError)
