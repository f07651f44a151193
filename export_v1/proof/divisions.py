"""Integers that divide the rows of another tensor: where each part begins and ends, or how many rows it has.

Ragged tensors, compressed sparse rows and bags of words have them. What they come to follows from how many rows there
are to divide: what the graph compares them with, or the input that they meet first on their way through the graph.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np

from export_v1.ir import ops
from export_v1.ir.graph import NodeDef, Tensor, attr, data_inputs
from export_v1.proof.domain import Domain
from export_v1.proof.reading import Reading
from export_v1.proof.use import Use

_PASSED = ops.IDENTITIES | ops.SWITCHES | {"Cast"}
_COMPARING = frozenset({"Sub", "Less", "LessEqual", "Greater", "GreaterEqual"})
# Nodes looked at on the way to another input.
_MOST_PASSED = 100


def splits(rows: int) -> Domain:
    """Returns where parts of so many rows begin and end."""
    return Domain(0, rows + 1, "splits")


def parts(rows: int) -> Domain:
    """Returns how many rows each part has, of so many."""
    return Domain(0, rows + 1, "parts")


def neighbours(use: Use) -> Domain | None:
    """A vector whose neighbours are compared, `x[1:] - x[:-1]`: it rises from 0 to the number of rows."""
    if _slice(use.reading, use.node) is None or not _is_compared(use.reading, data_inputs(use.node)[0]):
        return None
    return ordered(use)


def ordered(use: Use) -> Domain | None:
    """A vector in which a place is searched for: it rises from 0 to the number of rows."""
    tensor = use.reading.origin(data_inputs(use.node)[use.at])
    rows = _compared(use.reading, _last(use.reading, tensor))
    rows = _rows_beside(use.reading, tensor) if rows is None else rows
    return None if rows is None else splits(rows)


def summed(use: Use) -> Domain | None:
    """Numbers whose sum is compared with a number of rows."""
    rows = _compared(use.reading, [Tensor(use.node.name)])
    return None if rows is None or rows < 0 else parts(rows)


def _slice(reading: Reading, node: NodeDef) -> tuple[int, int] | None:
    """Returns how many elements a StridedSlice leaves out at the beginning and at the end; None unless one in all."""
    bounds = [reading.value(tensor) for tensor in data_inputs(node)[1:]]
    if any(bound is None or bound.size != 1 for bound in bounds) or attr(node, "shrink_axis_mask").i:
        return None
    begin, end, stride = (int(bound.ravel()[0]) for bound in bounds if bound is not None)
    first = 0 if attr(node, "begin_mask").i & 1 else begin
    last = 0 if attr(node, "end_mask").i & 1 else end
    return (first, last) if stride == 1 and (first, last) in ((1, 0), (0, -1)) else None


def _is_compared(reading: Reading, tensor: Tensor) -> bool:
    """Returns whether some op reads a vector both without its first and without its last element."""
    read_by: dict[tuple[int, int], set[str]] = {(1, 0): set(), (0, -1): set()}
    for node, at in reading.readers(tensor):
        left_out = _slice(reading, node) if node.op == "StridedSlice" and at == 0 else None
        if left_out is not None:
            readers = reading.readers(Tensor(node.name))
            read_by[left_out] |= {reader.name for reader, _ in readers if reader.op in _COMPARING}
    return bool(read_by[1, 0] & read_by[0, -1])


def _last(reading: Reading, tensor: Tensor) -> Iterator[Tensor]:
    """Yields the last element of a vector, as often as it is taken."""
    for node, at in reading.readers(tensor):
        if node.op == "StridedSlice" and at == 0 and attr(node, "shrink_axis_mask").i:
            begin = reading.value(data_inputs(node)[1])
            if begin is not None and begin.size == 1 and int(begin.ravel()[0]) == -1:
                yield Tensor(node.name)


def _compared(reading: Reading, numbers: Iterable[Tensor]) -> int | None:
    """Returns the size, none that is a constant, that one of several numbers has to be equal to."""
    tensors = list(numbers)
    for _ in range(64):
        if not tensors:
            return None
        for node, at in reading.readers(tensors.pop()):
            if node.op == "Equal":
                other = data_inputs(node)[1 - at]
                number, made = reading.number(other), reading.index.nodes.get(reading.origin(other).node)
                if number is not None and made is not None and made.op != "Const":
                    return number
            elif node.op in _PASSED and at == 0:
                tensors.append(Tensor(node.name))
    return None


def _rows_beside(reading: Reading, tensor: Tensor) -> int | None:
    """Returns how many rows the input has that a vector meets first."""
    own = reading.index.ancestors([tensor.node]) | {tensor.node}
    level, seen = [tensor.node], {tensor.node}
    while level and len(seen) < _MOST_PASSED:
        further: list[str] = []
        for name in level:
            for reader, at in reading.index.consumers(name):
                if reader.name in seen or reader.op in ops.SIZES or reader.input[at].startswith("^"):
                    continue
                seen.add(reader.name)
                further.append(reader.name)
                others = sorted((reading.index.ancestors([reader.name]) - own) & reading.inputs.keys())
                # What is divided in its turn is divided before it comes here.
                others.sort(key=lambda name: not _is_compared(reading, Tensor(name)))
                known_rows = [rows for rows in (_rows(reading, other) for other in others) if rows is not None]
                if known_rows:
                    return known_rows[0]
        level = further
    rows_of_others = [_rows(reading, name) for name in sorted(reading.inputs) if name not in own]
    return next((rows for rows in rows_of_others if rows is not None), None)


def _rows(reading: Reading, placeholder: str) -> int | None:
    shape = reading.inputs[placeholder]
    if not shape or shape[0] is None:
        return None
    # Where parts of parts begin and end, there is one place more than there are parts.
    return max(shape[0] - _is_compared(reading, Tensor(placeholder)), 0)


def of_others(order: str, sizes: Mapping[str, Sequence[int | None]], vectors: Collection[str]) -> Domain | None:
    """Returns what vectors of integers are that divide the rows of all other inputs.

    Args:
        order: "parts" or "splits".
        sizes: placeholder name -> shape.
        vectors: names of those placeholders that divide.
    """
    rows = [shape[0] for name, shape in sizes.items() if shape and shape[0] and name not in vectors]
    return {"parts": parts, "splits": splits}[order](min(rows)) if rows else None


def holds(domain: Domain | None, value: np.ndarray) -> bool:
    """Returns whether a vector is one of these."""
    if domain is None or np.ndim(value) != 1 or not np.size(value):
        return False
    rows = int(domain.high) - 1
    if domain.order == "parts":
        return int(np.sum(value)) == rows
    return value[0] == 0 and value[-1] == rows and bool(np.all(np.diff(value) >= 0))
