"""What one op says about the shape of one of its inputs, found by asking its own shape function: nothing is run.

No table of ops is needed: an op that refuses every rank but one has told its rank, and one that refuses an absurd size
has told that it wants a certain one, which most often stands in its other inputs or in its attributes.
"""

import contextlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from export_v1.ir.graph import NodeDef, attr, data_inputs, input_types, op_def, output_types, ref_inputs
from export_v1.proof.reading import Reading, Shape

_RANKS = range(6)
# A prime, so that no block size divides it, and larger than any axis that could be meant.
_ABSURD = 1_000_003
# The size that an axis has where nothing speaks against it, and those tried where something does.
_USUAL = 8
_OTHERS = (9, 7, 10, 12, 15, 16, 32, 64, 128, 256, 512, 1024)
_MOST_INPUTS = 64
_MOST_CANDIDATES = 24


def wanted(reading: Reading, node: NodeDef, at: int, so_far: Shape) -> Shape:
    """Returns the shape that an op wants one input to have, as far as it says; None where it takes any rank.

    Args:
        reading: knows the op's other inputs.
        node: the op.
        at: which of its inputs.
        so_far: what is known of that input's shape already.
    """
    op = _Op.of(reading, node, at)
    if op is None:
        return so_far
    if so_far is None:
        ranks = [rank for rank in _RANKS if op.takes([None] * rank)]
        if len(ranks) in (0, len(_RANKS)):
            return None
        so_far = [None] * _likeliest(ranks, op.other_ranks())
    elif not op.takes(so_far):
        return so_far
    return _sizes(op, list(so_far))


def _likeliest(ranks: list[int], others: list[int]) -> int:
    """Returns the rank that another input has as well, or two: rows and columns."""
    preferred = [rank for rank in others if rank in ranks]
    return preferred[0] if preferred else 2 if 2 in ranks else ranks[0]


def _sizes(op: "_Op", shape: list[int | None]) -> list[int | None]:
    for axis, size in enumerate(shape):
        if size is not None:
            continue
        if op.takes(_with(shape, axis, _ABSURD)):
            if not op.takes(_with(shape, axis, _USUAL)):
                shape[axis] = next((other for other in _OTHERS if op.takes(_with(shape, axis, other))), None)
            continue
        fitting = (number for number in op.numbers(axis) if op.takes(_with(shape, axis, number)))
        shape[axis] = next(fitting, None)
    return shape


def _with(shape: list[int | None], axis: int, size: int) -> list[int | None]:
    return [*shape[:axis], size, *shape[axis + 1 :]]


class _Op:
    """One op in a graph of its own, to be made again and again with another shape for one input."""

    def __init__(self, node: NodeDef, at: int, types: list[int], shapes: list[Shape], values: list):
        self._node, self._at, self._shapes, self._values = node, at, shapes, values
        self._graph = tf.Graph()
        self._types = types
        self._outputs = [tf.as_dtype(data_type) for data_type in output_types(node)]
        self._attrs = {key: value for key, value in node.attr.items() if not key.startswith("_")}
        with self._graph.as_default():
            self._inputs = [
                tf.constant(value) if value is not None else tf.compat.v1.placeholder(tf.as_dtype(data_type), shape)
                for data_type, shape, value in zip(types, shapes, values, strict=True)
            ]

    @classmethod
    def of(cls, reading: Reading, node: NodeDef, at: int) -> "_Op | None":
        """Returns an op of the graph, or None where it can't be made on its own."""
        inputs, types = data_inputs(node), input_types(node)
        if op_def(node.op) is None or len(inputs) != len(types) or len(inputs) > _MOST_INPUTS or any(ref_inputs(node)):
            return None
        shapes = [None if other == at else reading.shape(tensor) for other, tensor in enumerate(inputs)]
        values = [None if other == at else reading.value(tensor) for other, tensor in enumerate(inputs)]
        return cls(node, at, types, shapes, values)

    def takes(self, shape: Shape) -> bool:
        """Returns whether the op's shape function lets an input of this shape through."""
        with self._graph.as_default():
            inputs = list(self._inputs)
            inputs[self._at] = tf.compat.v1.placeholder(tf.as_dtype(self._types[self._at]), shape)
            try:
                self._graph.create_op(self._node.op, inputs, self._outputs, attrs=self._attrs)
            except (ValueError, TypeError, tf.errors.OpError):
                return False
        return True

    def other_ranks(self) -> list[int]:
        """Returns the ranks of the other inputs, as far as they are known."""
        return [len(shape) for at, shape in enumerate(self._shapes) if at != self._at and shape]

    def numbers(self, axis: int) -> list[int]:
        """Returns the sizes that this op could mean: those of its other inputs, in its attributes and its constants."""
        sizes = [*self._of_inputs(axis), *self._of_attributes(), *self._of_constants()]
        usual = [number for number in dict.fromkeys(sizes) if 1 < number < _ABSURD]
        return [*usual[:_MOST_CANDIDATES], 1]

    def _of_inputs(self, axis: int) -> Iterator[int]:
        shapes = [shape for at, shape in enumerate(self._shapes) if shape and at != self._at]
        for shape in shapes:
            if axis < len(shape) and shape[axis] is not None:
                yield shape[axis] or 0
        for shape in shapes:
            yield from (size for size in reversed(shape) if size is not None)

    def _of_attributes(self) -> Iterator[int]:
        for key in self._attrs:
            value = attr(self._node, key)
            # Where an axis is divided into blocks, as many as the usual size has room for.
            yield from (-(-_USUAL // size) * size for size in (value.i, *value.list.i) if 1 < size < _USUAL)
            yield from (value.i, *value.list.i, value.i**2)

    def _of_constants(self) -> Iterator[int]:
        for value in self._values:
            if value is not None and value.dtype.kind in "iu" and 0 < value.size <= 16:
                with contextlib.suppress(OverflowError):
                    yield from (int(number) for number in np.ravel(value))
                    yield int(np.prod(value))
                    yield int(np.sum(value))
