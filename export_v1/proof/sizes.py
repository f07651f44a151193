"""What the readers of an input say about its rank and its sizes, through identities, casts and control flow.

Each rule stands once: how an op's output tells about its input (`_BACK`), or, where the op computes something new,
what its own shape function says (`probe`). What two readers say is put together; the first one wins where they differ.
"""

from collections.abc import Callable, Iterable

import numpy as np

from export_v1.ir import ops
from export_v1.ir.graph import NodeDef, Tensor, attr, data_inputs
from export_v1.proof import probe
from export_v1.proof.reading import Reading, Shape

# Each element of the output is computed from the one at the same place in the first input.
_ELEMENTWISE = frozenset(
    "Abs Acos Acosh Asin Asinh Atan Atanh AsString Cast Ceil CheckNumerics Cos Cosh Digamma Elu Erf Erfc Exp Expm1 "
    "FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars Floor Inv Invert IsFinite IsInf IsNan LeakyRelu Lgamma Log Log1p "
    "LogicalNot Neg OnesLike PlaceholderWithDefault PreventGradient Print PrintV2 Reciprocal Relu Relu6 Rint Round Rsqrt "
    "Selu Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Square StringLower StringUpper StringStrip Tan Tanh ZerosLike "
    "DecodeBase64 EncodeBase64 StringToNumber StringToHashBucketFast StringToHashBucket StringToHashBucketStrong "
    "Dequantize Quantize ClipByValue Cumsum Cumprod ReverseV2 Bitcast".split()
)
# Control flow: a value goes on unchanged.
_FLOW = ops.IDENTITIES | ops.SWITCHES | ops.MERGES | ops.ENTERS | ops.EXITS | ops.WAYS_BACK
# Two inputs are broadcast against each other.
_BROADCASTING = frozenset(
    "Add AddV2 Sub Mul Div RealDiv FloorDiv TruncateDiv FloorMod Mod Maximum Minimum Pow SquaredDifference Equal NotEqual "
    "Less LessEqual Greater GreaterEqual LogicalAnd LogicalOr".split()
)
_ANY_SIZE = ops.SIZES | {"Assert", "NoOp"}
# A size that is made up is at least so large, and a number of rows.
_SMALL, _FEW = 8, 3
# Readers looked at for one input, and ops passed on the way to one.
_MOST_READERS = 200
_DEEPEST = 100


def wanted(reading: Reading, tensor: Tensor, so_far: Shape) -> Shape:
    """Returns the shape that the readers of an input want it to have, as far as they say; None for any rank.

    Args:
        reading: the graph, with what is assumed of its inputs.
        tensor: the input.
        so_far: what is known of it already; that stays.
    """
    return _Search(reading).of(tensor, so_far, 0)


def merged(first: Shape, second: Shape) -> Shape:
    """Returns what two readers say together.

    >>> merged([None, 4], [3, None]), merged(None, [2]), merged([2], [1, 2])
    ([3, 4], [2], [2])
    """
    if first is None or second is None or len(first) != len(second):
        return second if first is None else first
    return [other if size is None else size for size, other in zip(first, second, strict=True)]


def elements(reading: Reading, tensor: Tensor) -> int | None:
    """Returns how many elements the readers of a tensor want it to have; None where they don't say."""
    for node, at in reading.readers(tensor):
        if node.op == "Reshape" and at == 0:
            parts = reading.parts(data_inputs(node)[1])
            return _product([size for size in parts if size is None or size > 0]) if parts else None
        if node.op in _FLOW | _ELEMENTWISE and at == 0:
            count = elements(reading, Tensor(node.name))
            if count is not None:
                return count
    return None


class _Search:
    def __init__(self, reading: Reading):
        self.reading = reading
        self._seen: set[tuple[str, int]] = set()

    def of(self, tensor: Tensor, so_far: Shape, depth: int) -> Shape:
        """Returns what the readers of a tensor say of its shape."""
        if depth > _DEEPEST:
            return so_far
        # What settles the rank comes first, whatever the order of the nodes.
        readers = sorted(self.reading.readers(tensor), key=lambda reader: reader[0].op in _BROADCASTING)
        for node, at in readers:
            if (node.name, at) in self._seen or len(self._seen) > _MOST_READERS or node.op in _ANY_SIZE:
                continue
            self._seen.add((node.name, at))
            so_far = merged(so_far, self._said(node, at, so_far, depth))
        return so_far

    def _said(self, node: NodeDef, at: int, so_far: Shape, depth: int) -> Shape:
        if (at == 0 or node.op in ops.MERGES) and node.op in _FLOW | _ELEMENTWISE:
            return self._through(node, lambda shape: shape, so_far, depth)
        if at == 0 and node.op in _BACK:
            try:
                return merged(so_far, _BACK[node.op](self, node, so_far, depth))
            except (ValueError, IndexError):
                # Operands that do not fit each other: TensorFlow says so when it judges the shapes.
                return so_far
        wanted = probe.wanted(self.reading, node, at, so_far)
        if node.op in _BROADCASTING and (wanted is None or None in wanted):
            further = self._through(node, lambda shape: shape, wanted, depth)
            # An output has the larger rank of the two.
            return wanted if wanted is not None and further is not None and len(further) != len(wanted) else further
        if node.op == "TensorArrayScatterV3" and at == 2:
            return merged(wanted, self._elements(array_reads(self.reading, node), depth))
        if node.op == "Pack":
            axis = attr(node, "axis").i
            return self._through(node, lambda shape: _without(shape, axis), wanted, depth)
        return wanted

    def _through(self, node: NodeDef, back: Callable[[list], Shape], so_far: Shape, depth: int) -> Shape:
        """Returns what the readers of a node's outputs say of its input."""
        for index in range(2 if node.op in ops.SWITCHES else 1):
            # What is known of the input is in the output's static shape already, or is settled in another round.
            wanted = self.of(Tensor(node.name, index), None, depth + 1)
            so_far = merged(so_far, None if wanted is None else back(wanted))
        return so_far

    def _elements(self, readers: Iterable[Tensor], depth: int) -> Shape:
        """Returns the shape of a tensor whose rows are read one by one."""
        for tensor in readers:
            shape = self.of(tensor, None, depth + 1)
            return [None, *([] if shape is None else shape)]
        return None

    def reshaped(self, node: NodeDef, so_far: Shape, depth: int) -> Shape:
        """Returns the shape of what a Reshape reads: the one that it makes, where that says how many elements there are."""
        parts = self.reading.parts(data_inputs(node)[1])
        if parts is None or so_far is not None and None not in so_far:
            return so_far
        target = [None if size is None or size < 0 else size for size in parts]
        if so_far is None or so_far == [None] * len(target):
            if target.count(None) == len(target):
                return self._through(node, lambda shape: shape, so_far, depth)
            return target
        unknown, product = [at for at, size in enumerate(so_far) if size is None], _product(so_far)
        if len(unknown) == 2 and unknown[0] == 0 and target and target[0] is not None:
            so_far, product, unknown = [target[0], *so_far[1:]], product * target[0], unknown[1:]
        elif len(unknown) == 2 and unknown[0] == 0 and target and target[0] is None:
            # The rows stay what they are.
            target, unknown = target[1:], unknown[1:]
        if len(unknown) == 1 and None not in target and product and _product(target) % product == 0:
            return [_product(target) // product if at == unknown[0] else size for at, size in enumerate(so_far)]
        return so_far

    def gathered(self, node: NodeDef, so_far: Shape, depth: int) -> Shape:
        """Returns the shape of what a Gather reads: it has room for the rows that are always taken."""
        inputs = data_inputs(node)
        rows = self.reading.value(inputs[1])
        axis = self.reading.value(inputs[2]) if len(inputs) > 2 else np.array(0)
        if rows is None or axis is None or not rows.size:
            return so_far
        shape = so_far or [None] * max(2, int(axis) + 1)
        needed = [int(np.max(rows)) + 1 if at == int(axis) % len(shape) else 0 for at in range(len(shape))]
        return _reaching(shape, needed)

    def sliced(self, node: NodeDef, so_far: Shape, depth: int) -> Shape:
        """Returns the shape of what a StridedSlice reads: it reaches as far as the slice does."""
        begin, end = (self.reading.value(tensor) for tensor in data_inputs(node)[1:3])
        if begin is None or end is None or attr(node, "ellipsis_mask").i or attr(node, "new_axis_mask").i:
            return so_far
        ignored = {mask: attr(node, mask).i for mask in ("begin_mask", "end_mask", "shrink_axis_mask")}
        needed = []
        for axis in range(len(begin)):
            first = 0 if ignored["begin_mask"] >> axis & 1 else int(begin[axis])
            if ignored["shrink_axis_mask"] >> axis & 1:
                last = first + 1 if first >= 0 else -first
            else:
                last = max(first, 0 if ignored["end_mask"] >> axis & 1 else int(end[axis]) if end[axis] < 4096 else 0)
            needed.append(last)
        return _reaching(so_far, needed)

    def cut_out(self, node: NodeDef, so_far: Shape, depth: int) -> Shape:
        """Returns the shape of what a Slice reads: it reaches as far as the slice does."""
        begin, size = (self.reading.parts(tensor) for tensor in data_inputs(node)[1:3])
        if begin is None or size is None:
            return so_far
        needed = [(first or 0) + max(count or 0, 0) for first, count in zip(begin, size, strict=True)]
        return _reaching(so_far or [None] * len(needed), needed)

    def transposed(self, node: NodeDef, so_far: Shape, depth: int) -> Shape:
        """Returns the shape of what a Transpose reads."""
        order = self.reading.value(data_inputs(node)[1])
        if order is None:
            return so_far
        start = so_far or [None] * len(order)
        places = {int(source): at for at, source in enumerate(order)}

        def back(shape: list) -> Shape:
            return [shape[places[at]] for at in range(len(order))] if len(shape) == len(order) else None

        return self._through(node, back, start, depth)

    def expanded(self, node: NodeDef, so_far: Shape, depth: int) -> Shape:
        """Returns the shape of what an ExpandDims reads."""
        axis = self.reading.value(data_inputs(node)[1])
        if axis is None:
            return so_far
        return self._through(node, lambda shape: _without(shape, int(axis.ravel()[0])), so_far, depth)

    def squeezed(self, node: NodeDef, so_far: Shape, depth: int) -> Shape:
        """Returns the shape of what a Squeeze reads."""
        axes = sorted(attr(node, "squeeze_dims").list.i)

        def back(shape: list) -> Shape:
            if not axes:
                return None if shape else []
            shape = list(shape)
            for axis in axes:
                shape.insert(axis if axis >= 0 else len(shape) + axis + 1, 1)
            return shape

        return self._through(node, back, so_far, depth)

    def listed(self, node: NodeDef, so_far: Shape, depth: int) -> Shape:
        """Returns the shape of a tensor that becomes a list of its rows."""
        reads = list_reads(self.reading, Tensor(node.name))
        return merged(so_far, self._elements(reads, depth))


_BACK: dict[str, Callable[[_Search, NodeDef, Shape, int], Shape]] = {
    "Reshape": _Search.reshaped,
    "Gather": _Search.gathered,
    "GatherV2": _Search.gathered,
    "Slice": _Search.cut_out,
    "StridedSlice": _Search.sliced,
    "Transpose": _Search.transposed,
    "ExpandDims": _Search.expanded,
    "Squeeze": _Search.squeezed,
    "TensorListFromTensor": _Search.listed,
}


def _reaching(shape: Shape, needed: list[int]) -> Shape:
    """Returns a shape whose open axes reach as far as needed, where a size that is made up might not."""
    if shape is None and len(needed) < 2:
        return None
    return [
        needed[axis] if size is None and axis < len(needed) and needed[axis] > (_SMALL if axis else _FEW) else size
        for axis, size in enumerate(shape or [None] * len(needed))
    ]


def _product(shape: Iterable[int | None]) -> int:
    return int(np.prod([size for size in shape if size is not None], dtype=np.int64))


def _without(shape: list, axis: int) -> Shape:
    return [size for at, size in enumerate(shape) if at != axis % len(shape)] if shape else None


def array_reads(reading: Reading, node: NodeDef) -> list[Tensor]:
    """Returns the elements read from the TensorArray that a node fills."""
    handles, reads = [data_inputs(node)[0]], []
    while handles:
        for reader, at in reading.readers(handles.pop()):
            if reader.op in _FLOW and at == 0:
                handles.append(Tensor(reader.name))
            elif reader.op == "TensorArrayReadV3" and at == 0:
                reads.append(Tensor(reader.name))
    return reads


def list_reads(reading: Reading, tensor: Tensor) -> list[Tensor]:
    """Returns the elements read from a list of tensors."""
    return [Tensor(node.name) for node, at in reading.readers(tensor) if node.op == "TensorListGetItem" and at == 0]
