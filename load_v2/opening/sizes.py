"""The values of the small integer tensors that shapes are computed with, and the sizes of a graph's tensors.

TensorFlow 1 code computes shapes in the graph: `tf.reshape(x, [tf.shape(x)[0], -1, heads, size])`. Followed here, each
entry becomes a number, or the size of some axis of some tensor, and two sizes can be told to be the same.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from export_v1.ir import ops
from export_v1.ir.graph import Tensor
from load_v2.opening.graph import Graph
from load_v2.opening.shape_arithmetic import HANDLERS, INTEGERS, SLICE_MASKS, TYPES, filled, objects, slice_parts
from load_v2.opening.size_algebra import Axis, Number, Product, Size, computed, divided, is_data, product
from load_v2.opening.values import Values

# Integer tensors with more elements than this are no shapes.
_LARGEST = 64


# Ops whose output has the shape of their first input.
_SAME_SHAPE = frozenset(
    """Relu Relu6 Elu Selu LeakyRelu Sigmoid Tanh Softplus Softsign Exp Log Log1p Expm1 Sqrt Rsqrt Square Abs Neg Sin Cos
    Floor Ceil Round Rint Sign Erf Reciprocal Inv IsFinite IsNan LogicalNot ZerosLike OnesLike StopGradient Cast Softmax
    LogSoftmax BiasAdd FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 ReverseV2 ReverseSequence Cumsum Cumprod LRN
    ClipByValue MatrixBandPart Identity""".split()
)


_BROADCASTING = frozenset(
    """Add AddV2 Sub Mul RealDiv Div Maximum Minimum Pow FloorMod Mod FloorDiv Equal NotEqual Less LessEqual Greater
    GreaterEqual LogicalAnd LogicalOr SquaredDifference DivNoNan SelectV2 Atan2 AddN Select Xdivy Xlogy""".split()
)


# Ops that keep the first axis of their first input: the batch.
_BATCHED = frozenset(
    """Conv2D Conv3D DepthwiseConv2dNative MaxPool AvgPool MaxPool3D AvgPool3D ResizeBilinear ResizeNearestNeighbor
    ResizeBicubic SpaceToDepth DepthToSpace""".split()
)


# Ops that give a row for each number that rows of their first input have -> which input says how many, if one does.
_SEGMENTS: Mapping[str, int | None] = {
    **dict.fromkeys(["UnsortedSegmentSum", "UnsortedSegmentMax", "UnsortedSegmentMin", "UnsortedSegmentProd"], 2),
    **dict.fromkeys(["SegmentSum", "SegmentMean", "SegmentMax", "SegmentMin", "SegmentProd"]),
    **dict.fromkeys(f"SparseSegment{what}" for what in ("Sum", "Mean", "SqrtN")),
    **dict.fromkeys([f"SparseSegment{what}WithNumSegments" for what in ("Sum", "Mean", "SqrtN")], 3),
}


class Sizes:
    """The sizes of a graph's tensors, as far as they can be told from its inputs' sizes.

    Args:
        graph, values: of the graph.
        given: the sizes of some tensors, in terms of another graph's.
        numbers: whether integers that are data are sizes, too; so they are where code runs on real tensors.
        asked: whether they are asked for by code that does not.
    """

    def __init__(
        self,
        graph: Graph,
        values: Values,
        given: Mapping[Tensor, tuple[Size, ...] | None] | None = None,
        numbers: bool = False,
        asked: bool = False,
    ):
        self._asked = asked
        self._graph, self._values, self._given, self._numbers = graph, values, given or {}, numbers
        self._axes: dict[tuple[Tensor, int], Size] = {}
        self._arrays: dict[Tensor, np.ndarray | None] = {}
        self._with_numbers: Sizes | None = None

    def shape(self, tensor: Tensor) -> tuple[Size, ...] | None:
        """Returns the sizes of a tensor's axes, None where its rank is unknown."""
        rank = self._graph.rank(tensor)
        return None if rank is None else tuple(self.axis(tensor, axis) for axis in range(rank))

    def axis(self, tensor: Tensor, axis: int) -> Size:
        """Returns the size of one axis of a tensor of known rank."""
        path = []
        while (tensor, axis) not in self._axes:
            path.append((tensor, axis))
            origin = self._step(tensor, axis)
            if isinstance(origin, tuple) and (origin not in path):
                tensor, axis = origin
                continue
            self._axes[path[-1]] = (
                Product(1, (Axis(tensor.node, tensor.index, axis),)) if isinstance(origin, tuple) else origin
            )
            break
        result = self._axes[tensor, axis]
        for step in path:
            self._axes[step] = result
        return result

    def _step(self, tensor: Tensor, axis: int) -> Size | tuple[Tensor, int]:
        """Returns an axis's size, or an axis of another tensor with the same size; itself where nothing is known."""
        graph = self._graph
        shape = graph.shape(tensor)
        assert shape is not None
        known = shape[axis]
        if known is not None:
            return known
        told = self._given.get(tensor)
        if told is not None and len(told) == len(shape):
            return told[axis]
        op, sources = graph.op(tensor), graph.sources(tensor)
        own = (tensor, axis)
        if op in _SAME_SHAPE and graph.rank(sources[0]) == len(shape):
            return sources[0], axis
        if op in _BATCHED and axis == 0:
            return sources[0], 0
        if op == "Select" and graph.rank(sources[1]) == len(shape):
            # Both have the shape of what is chosen.
            return sources[1], axis
        if op in _BROADCASTING:
            return self._broadcast(tensor, axis, len(shape), sources)
        if op in {"Reshape", "Fill", "BroadcastTo"}:
            target = self.reshaped(sources[1]) if op == "Reshape" else self.array(sources[op == "BroadcastTo"])
            if target is None:
                return own
            size = target[axis]
            if size != -1:
                return size
            given = self.shape(sources[0])
            if given is None:
                return own
            rest = divided(product(given), product(s for s in target if s != -1))
            return own if rest is None else rest
        if op == "Transpose":
            permutation = self.array(sources[1])
            return own if permutation is None else (sources[0], int(permutation[axis]))
        if op == "ExpandDims":
            at = self._values.constant(sources[1])
            if at is None:
                return own
            return sources[0], axis - (axis > int(at.reshape(-1)[0]) % len(shape))
        before = graph.shape(sources[0]) if sources else None
        if op == "Squeeze" and before is not None:
            dropped = graph.attr(tensor, "squeeze_dims").list.i
            gone = {at % len(before) for at in dropped} or {at for at, size in enumerate(before) if size == 1}
            return sources[0], [at for at in range(len(before)) if at not in gone][axis]
        if op in _SEGMENTS:
            return self._of_segments(tensor, axis, sources, own)
        if op in {"SparseToDense", "ScatterNd"}:
            target = self.array(sources[1 if op == "SparseToDense" else 2])
            return own if target is None else target[axis]
        if op == "SparseReshape" and not tensor.index and axis == 0:
            return sources[0], 0
        if op == "TensorListStack" and axis == 0:
            length = self._of_list(sources[0])
            return own if length is None else length
        if op in {"MatMul", "BatchMatMul", "BatchMatMulV2"}:
            return self._of_product(tensor, axis, len(shape), sources)
        if op == "ConcatV2":
            at = self._values.constant(sources[-1])
            if at is None:
                return own
            if int(at) % len(shape) != axis:
                return sources[0], axis
            parts = [self.axis(source, axis) for source in sources[:-1]]
            total: Size = parts[0]
            for part in parts[1:]:
                total = computed("+", total, part)
            return total
        if op == "Pack":
            at = graph.attr(tensor, "axis").i % len(shape)
            return sources[0], axis - (axis > at)
        if op == "Unpack":
            at = graph.attr(tensor, "axis").i % (len(shape) + 1)
            return sources[0], axis + (axis >= at)
        if (
            op in {"GatherV2", "Gather"}
            and not graph.attr(tensor, "batch_dims").i
            and graph.rank(sources[1]) is not None
        ):
            place = self._values.constant(sources[2]) if op == "GatherV2" else np.array(0)
            rank, count = graph.rank(sources[0]), graph.rank(sources[1])
            if place is None or rank is None or count is None:
                return own
            begin = int(place) % rank
            if axis < begin:
                return sources[0], axis
            return (sources[1], axis - begin) if axis < begin + count else (sources[0], axis - count + 1)
        if op == "OneHot" and graph.rank(sources[0]) is not None:
            at = graph.attr(tensor, "axis").i % len(shape)
            return own if axis == at else (sources[0], axis - (axis > at))
        if op in {"Sum", "Mean", "Max", "Min", "Prod", "All", "Any"} and graph.rank(sources[0]) is not None:
            return self._of_reduction(tensor, axis, sources, own)
        if op in {"ArgMax", "ArgMin"} and before is not None:
            place = self._values.constant(sources[1])
            return own if place is None else (sources[0], axis + (axis >= int(place) % len(before)))
        if op in {"TopK", "TopKV2"} and before is not None and axis < len(before) - 1:
            return sources[0], axis
        if op == "StridedSlice":
            return self._of_slice(tensor, axis, sources, own)
        if op in {"Split", "SplitV"}:
            at = self._values.constant(sources[0 if op == "Split" else 2])
            source = sources[1 if op == "Split" else 0]
            return own if at is None or int(at) % len(shape) == axis else (source, axis)
        if op in {"Pad", "PadV2", "MirrorPad"}:
            padding = self._values.constant(sources[1])
            return (sources[0], axis) if padding is not None and not padding[axis].any() else own
        if op == "Tile":
            multiples = self.array(sources[1])
            if multiples is None:
                return own
            return product([self.axis(sources[0], axis), multiples[axis]])
        if op == "Range":
            start, limit, delta = (self.array(source) for source in sources)
            if (
                start is not None
                and limit is not None
                and delta is not None
                and (start == 0).all()
                and (delta == 1).all()
            ):
                return limit.item()
        return own

    def _broadcast(self, tensor: Tensor, axis: int, rank: int, sources: list[Tensor]) -> Size | tuple[Tensor, int]:
        sizes = set()
        for source in sources:
            shape = self._graph.shape(source)
            if shape is None:
                return tensor, axis
            at = axis - rank + len(shape)
            if at >= 0 and shape[at] != 1:
                sizes.add(self.axis(source, at))
        return sizes.pop() if len(sizes) == 1 else (tensor, axis)

    def _of_list(self, tensor: Tensor) -> Size | None:
        """Returns the length of a list: a loop gives one that is as long as the one that it was given."""
        while self._graph.op(tensor) in ops.WHILES:
            tensor = self._graph.sources(tensor)[tensor.index]
        op, sources = self._graph.op(tensor), self._graph.sources(tensor)
        if op == "TensorListSetItem":
            return self._of_list(sources[0])
        if op == "TensorListFromTensor":
            return self.axis(sources[0], 0)
        length = self.array(sources[1]) if op == "TensorListReserve" else None
        return None if length is None or length.size != 1 or length.reshape(-1)[0] == -1 else length.reshape(-1)[0]

    def _of_segments(self, tensor: Tensor, axis: int, sources: list[Tensor], own):
        counted, ids = _SEGMENTS[self._graph.op(tensor)], self._graph.rank(sources[1])
        if axis:
            return (sources[0], axis) if ids == 1 else own
        count = None if counted is None or ids != 1 else self.array(sources[counted])
        return own if count is None else count.reshape(-1)[0]

    def _of_product(self, tensor: Tensor, axis: int, rank: int, sources: list[Tensor]):
        flipped = ("transpose_a", "transpose_b") if self._graph.op(tensor) == "MatMul" else ("adj_x", "adj_y")
        left, right = (self._graph.attr(tensor, key).b for key in flipped)
        if axis == rank - 2:
            at = self._graph.rank(sources[0])
            return (tensor, axis) if at is None else (sources[0], at - 1 if left else at - 2)
        if axis == rank - 1:
            at = self._graph.rank(sources[1])
            return (tensor, axis) if at is None else (sources[1], at - 2 if right else at - 1)
        return self._broadcast(tensor, axis, rank, sources)

    def _of_reduction(self, tensor: Tensor, axis: int, sources: list[Tensor], own):
        axes = self._values.constant(sources[1])
        rank = self._graph.rank(sources[0])
        if axes is None or rank is None:
            return own
        gone = {int(at) % rank for at in axes.reshape(-1)}
        if self._graph.attr(tensor, "keep_dims").b:
            return sources[0], axis
        return sources[0], [at for at in range(rank) if at not in gone][axis]

    def _of_slice(self, tensor: Tensor, axis: int, sources: list[Tensor], own):
        items = slice_items(self._graph, self, tensor)
        rank = self._graph.rank(sources[0])
        if items is None or rank is None:
            return own
        at, out = 0, 0
        for place, item in enumerate(items):
            if item == "all":
                whole = rank - at - sum(other != "new" for other in items[place + 1 :])
                if axis < out + whole:
                    break
                at, out = at + whole, out + whole
                continue
            if item == "new":
                out += 1
                continue
            if isinstance(item, tuple):
                if out == axis:
                    return (sources[0], at) if item == (None, None, 1) else own
                out += 1
            at += 1
        return sources[0], at + axis - out

    def array(self, tensor: Tensor) -> np.ndarray | None:
        """Returns the value of a small integer tensor as an array of sizes; None where it depends on more than shapes."""
        if tensor not in self._arrays:
            self._arrays[tensor] = None
            sizes = self._array(tensor)
            if sizes is None and self._numbers and self._values.is_data(tensor):
                sizes = self._of_numbers(tensor)
            self._arrays[tensor] = sizes
        return self._arrays[tensor]

    def reshaped(self, shape_tensor: Tensor) -> np.ndarray | None:
        """Returns the sizes that a Reshape asks for, as `array`; one that is data is -1, since it follows from the others."""
        sizes = self.numbers(shape_tensor)
        if sizes is None or self.array(shape_tensor) is not None:
            return sizes
        data = [at for at, size in enumerate(sizes) if is_data(size)]
        if len(data) != 1 or any(isinstance(size, int) and size <= 0 for size in sizes):
            return None
        return filled([-1 if at in data else size for at, size in enumerate(sizes)])

    def keeps_order(self, tensor: Tensor) -> bool:
        """Returns whether a tensor has the numbers of its node's first input in the same order, in whatever shape."""
        op = self._graph.op(tensor)
        if op != "Transpose":
            return op in ops.RESHAPES
        source, permutation = self._graph.sources(tensor)
        order, shape = self.array(permutation), self.shape(source)
        if order is None or shape is None or not all(isinstance(at, int) for at in order):
            return False
        kept = [at for at in order if shape[at] != 1]
        return kept == sorted(kept)

    def _of_sparse(self, sources: list[Tensor]) -> np.ndarray | None:
        """Returns the shape that a sparse tensor gets, where one size may follow from the others."""
        before, after = (self.array(source) for source in sources[1:])
        if before is None or after is None:
            return None
        wanted = list(after)
        if -1 in wanted:
            others = product(size for size in wanted if size != -1)
            wanted[wanted.index(-1)] = computed("//", product(before), others)
        return filled(wanted)

    def numbers(self, tensor: Tensor) -> np.ndarray | None:
        """Returns what `array` does, also where it depends on whole numbers that are data: an expression can read these."""
        sizes = self.array(tensor)
        if sizes is not None or self._numbers:
            return sizes
        if self._with_numbers is None:
            self._with_numbers = Sizes(self._graph, self._values, self._given, numbers=True, asked=True)
        return self._with_numbers.array(tensor)

    def _of_numbers(self, tensor: Tensor) -> np.ndarray | None:
        shape = self._graph.shape(tensor)
        if self._graph.dtype(tensor) not in INTEGERS or shape is None or len(shape) > 1 or None in shape:
            return None
        if not shape:
            return filled(Product(1, (Number(tensor.node, tensor.index, asked=self._asked),)))
        places = range(shape[0] or 0) if (shape[0] or 0) <= _LARGEST else ()
        sizes = [Product(1, (Number(tensor.node, tensor.index, place, self._asked),)) for place in places]
        return filled(sizes) if sizes else None

    def _array(self, tensor: Tensor) -> np.ndarray | None:
        graph = self._graph
        if not self._values.is_data(tensor):
            if self._values.kind(tensor) != "constant" or graph.dtype(tensor) not in TYPES:
                return None
            known = graph.shape(tensor)
            if known is None or None in known or math.prod(size or 0 for size in known) > _LARGEST:
                return None
            return objects(self._values.value(tensor))
        op, sources = graph.op(tensor), graph.sources(tensor)
        if op in {"Shape", "ShapeN"}:
            shape = self.shape(sources[tensor.index])
            return None if shape is None else filled(list(shape))
        if op == "Size":
            shape = self.shape(sources[0])
            return None if shape is None else filled(product(shape))
        if op == "Rank":
            return None if graph.rank(sources[0]) is None else filled(graph.rank(sources[0]))
        if op == "SparseReshape":
            return self._of_sparse(sources) if tensor.index else None
        handler = HANDLERS.get(op)
        if handler is None or graph.dtype(tensor) not in TYPES:
            return None
        if graph.dtype(tensor) not in INTEGERS and graph.rank(tensor) not in (0, 1):
            return None
        arrays = [self.array(source) for source in sources]
        if any(value is None for value in arrays):
            return None
        try:
            return handler(graph, tensor, *arrays)
        except (ValueError, IndexError, TypeError):
            return None


def slice_items(graph: Graph, sizes: Sizes, tensor: Tensor, also_data: bool = False) -> list[Any] | None:
    """Returns what a StridedSlice does to each axis, in order, None where it is not known, or is data unless that is let in.

    A number takes one place of an axis; "new" makes an axis; "all" stands for the axes that nothing is said of; a tuple
    is start, stop (None for the end) and step. A stop may be a Size.
    """
    ask = sizes.numbers if also_data else sizes.array
    arrays = [ask(source) for source in graph.sources(tensor)[1:4]]
    if any(value is None for value in arrays):
        return None
    return slice_parts({key: graph.attr(tensor, key).i for key in SLICE_MASKS}, *arrays)


def is_whole(item: Any) -> bool:
    """Returns whether an item of `slice_items` takes all of an axis, or of all axes that nothing is said of."""
    return item in ((None, None, 1), "all")
