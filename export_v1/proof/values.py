"""What the readers of an input say about its values: rows of a table, sizes, axes, lengths, an order.

`of` follows an input through what passes its values on; where an op of `rules.RULES` reads them, that op's rule says
what they have to be, given the shapes that the graph's tensors have for a candidate.
"""

import dataclasses

import numpy as np

from export_v1.ir import ops
from export_v1.ir.graph import NodeDef, Tensor, attr, data_inputs
from export_v1.proof import divisions, rules
from export_v1.proof.domain import UNSAID, Domain, both
from export_v1.proof.reading import Reading, known

_MOST_READERS = 200
_DEEPEST = 100
_KEPT = (
    ops.IDENTITIES
    | ops.SWITCHES
    | ops.MERGES
    | ops.ENTERS
    | ops.EXITS
    | ops.WAYS_BACK
    | frozenset({"Cast", "PlaceholderWithDefault", "Print", "CheckNumerics", "PreventGradient"})
)
# The values stay and find other places; limits for each place do not follow.
_MOVED = frozenset(
    "Reshape ExpandDims Squeeze Transpose StridedSlice Slice Tile Minimum Maximum Max Min Unpack Split GatherV2 Gather "
    "ReverseV2 ReverseSequence DynamicPartition BroadcastTo Unique Where Select SelectV2 Pad PadV2".split()
)


def of(reading: Reading, tensor: Tensor) -> Domain | None:
    """Returns what the readers of an input say about its values; None where none of them does.

    Args:
        reading: the graph, with the shapes that are assumed of its inputs.
        tensor: the input.
    """
    return _Search(reading).of(tensor, 0)


class _Search:
    def __init__(self, reading: Reading):
        self.reading = reading
        self._seen: set[tuple[str, int]] = set()

    def of(self, tensor: Tensor, depth: int) -> Domain | None:
        """Returns what the readers of a tensor say about its values."""
        domain = None
        if depth > _DEEPEST:
            return None
        for node, at in self.reading.readers(tensor):
            if (node.name, at) in self._seen or len(self._seen) > _MOST_READERS:
                continue
            self._seen.add((node.name, at))
            domain = both(domain, self._said(node, at, depth))
        return domain

    def _said(self, node: NodeDef, at: int, depth: int) -> Domain | None:
        domain = rules.said(self.reading, node, at)
        if domain is not None:
            return domain
        if node.op in _KEPT:
            return self._outputs(node, depth) if at == 0 or node.op in ops.MERGES else None
        if node.op in _MOVED and (at == 0 or node.op in ("Minimum", "Maximum", "Select", "SelectV2")):
            wanted = self._outputs(node, depth)
            if node.op == "StridedSlice" and wanted is not None:
                return self._placed(node, wanted)
            return wanted if wanted is None or wanted.is_uniform or self._same_shape(node) else None
        if node.op in ("Pack", "ConcatV2"):
            wanted = self._outputs(node, depth)
            return None if wanted is None else self._part(node, at, wanted)
        if node.op == "Cumsum" and at == 0:
            ends = self._outputs(node, depth)
            return divisions.parts(int(np.max(ends.high)) - 1) if ends is not None and ends.order == "splits" else None
        if node.op in ops.ADDS | {"Sub", "Mul", "FloorDiv"} and len(node.input) >= 2:
            return self._computed(node, at, depth)
        if node.op == "TensorArrayScatterV3" and at == 2:
            return self._elements(data_inputs(node)[0], "TensorArrayReadV3", depth)
        if node.op == "TensorListFromTensor" and at == 0:
            return self._elements(Tensor(node.name), "TensorListGetItem", depth)
        return None

    def _outputs(self, node: NodeDef, depth: int) -> Domain | None:
        outputs = {"Unpack": attr(node, "num").i, "Split": attr(node, "num_split").i}
        count = 2 if node.op in ops.SWITCHES else outputs.get(node.op, 1)
        domain = None
        for index in range(min(count, 64)):
            domain = both(domain, self.of(Tensor(node.name, index), depth + 1))
        return domain

    def _same_shape(self, node: NodeDef) -> bool:
        before = self.reading.shape(data_inputs(node)[0])
        return before is not None and before == self.reading.shape(Tensor(node.name))

    def _placed(self, node: NodeDef, domain: Domain) -> Domain | None:
        """Returns limits for the places of a vector, or the columns of a matrix, of which one or several are read."""
        shape = known(self.reading.shape(data_inputs(node)[0]))
        bounds = [self.reading.value(tensor) for tensor in data_inputs(node)[1:]]
        axis = None if shape is None else len(shape) - 1
        if shape is None or axis not in (0, 1) or any(bound is None or len(bound) != axis + 1 for bound in bounds):
            return domain if domain.is_uniform else None
        begin, end, stride = (int(bound[axis]) for bound in bounds if bound is not None)
        start = None if attr(node, "begin_mask").i >> axis & 1 else begin
        stop = None if attr(node, "end_mask").i >> axis & 1 else end
        is_one = attr(node, "shrink_axis_mask").i >> axis & 1
        place: int | slice = begin if is_one else slice(start, stop, stride)
        low, high = np.full(shape[-1:], UNSAID[0], float), np.full(shape[-1:], UNSAID[1], float)
        try:
            low[place], high[place] = domain.low, domain.high
        except (IndexError, ValueError):
            return None
        return Domain(low, high, domain.order if is_one and axis == 1 else "")

    def _part(self, node: NodeDef, at: int, domain: Domain) -> Domain | None:
        if domain.is_uniform:
            return domain
        if node.op == "Pack":
            shape, axis = self.reading.shape(Tensor(node.name)), attr(node, "axis").i
            if axis == 0:
                return domain.at(at)
            is_column = shape is not None and axis in (-1, len(shape) - 1)
            return dataclasses.replace(domain.at((..., at)), order="") if is_column else None
        sizes = [known(self.reading.shape(tensor)) for tensor in data_inputs(node)[:-1]]
        if any(size is None or len(size) != 1 for size in sizes) or at >= len(sizes):
            return None
        start = sum(size[0] for size in sizes[:at] if size)
        return domain.at(slice(start, start + (sizes[at] or [0])[0]))

    def _computed(self, node: NodeDef, at: int, depth: int) -> Domain | None:
        """Returns the domain of a number from which a constant is computed into one with a domain."""
        number = self.reading.value(data_inputs(node)[1 - at])
        if number is None or number.size != 1 or number.dtype.kind not in "iuf":
            return None
        by = number.ravel()[0].item()
        domain = self._outputs(node, depth)
        if domain is None:
            return None
        if node.op in ops.ADDS:
            return domain.shifted(lambda limit: limit - by)
        if node.op == "Sub":
            return domain.shifted(lambda limit: limit + by) if at == 0 else None
        if node.op == "Mul" and by > 0:
            return domain.shifted(lambda limit: -(-limit // by))
        return domain.shifted(lambda limit: limit * by) if node.op == "FloorDiv" and at == 0 and by > 0 else None

    def _elements(self, handle: Tensor, op: str, depth: int) -> Domain | None:
        handles, elements = [handle], None
        while handles:
            for reader, at in self.reading.readers(handles.pop()):
                if reader.op in _KEPT and at == 0:
                    handles.append(Tensor(reader.name))
                elif reader.op == op and at == 0:
                    domain = self.of(Tensor(reader.name), depth + 1)
                    elements = both(elements, domain if domain is None or domain.is_uniform else None)
        return elements
