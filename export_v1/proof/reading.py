"""What is known of a graph's tensors when its inputs are taken to have certain shapes: sizes, constants, readers."""

from collections.abc import Container, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from export_v1.ir import ops
from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor, attr, data_inputs, recorded_shape
from export_v1.proof import flat, judge

Shape = list[int | None] | None
# The shape of the output is that of the first input.
_SAME = ops.IDENTITIES | ops.ENTERS | ops.SWITCHES | ops.EXITS
_PASSED = ops.IDENTITIES | ops.SWITCHES | ops.MERGES | ops.ENTERS | {"Cast"}
# To import a larger graph for each of its inputs takes too long.
_INFERRED_AGAIN = 2000
# A constant of more elements is a weight.
MOST_ELEMENTS = 4096


class Reading:
    """A graph with its functions spelled out, and what is known of its tensors.

    Shapes are read off the graph where it has them, and only else asked of TensorFlow, which has to import it.
    """

    def __init__(self, cut: GraphDef):
        self.graph_def = flat.flattened(cut)
        self.index = Index(self.graph_def)
        self._shapes: Mapping[str, Shape] = {}
        self._values: Mapping[str, np.ndarray] = {}
        self._inferred: tf.Graph | None = None
        self._is_refused = False

    def assume(
        self, shapes: Mapping[str, Sequence[int | None] | None], values: Mapping[str, np.ndarray] | None = None
    ) -> None:
        """Takes placeholders to have these shapes from now on, and some to be constants.

        Args:
            shapes: placeholder name -> shape.
            values: placeholder name -> value.
        """
        self._shapes = {name: None if shape is None else list(shape) for name, shape in shapes.items()}
        self._values = dict(values or {})
        self._inferred, self._is_refused = None, False

    @property
    def inputs(self) -> Mapping[str, Shape]:
        """Placeholder name -> the shape that it is taken to have."""
        return self._shapes

    def settle(self, placeholder: str, value: np.ndarray) -> None:
        """Takes one more placeholder to be a constant; shapes that depend on it are inferred anew in a small graph."""
        self._values = {**self._values, placeholder: value}
        if len(self.graph_def.node) < _INFERRED_AGAIN:
            self._inferred, self._is_refused = None, False

    def readers(self, tensor: Tensor) -> Iterator[tuple[NodeDef, int]]:
        """Yields (node, position) of whatever reads a tensor."""
        yield from self.index.tensor_consumers(tensor)

    def shape(self, tensor: Tensor) -> Shape:
        """Returns what is known of a tensor's shape; None where even its rank is unknown."""
        shape = self._written(tensor)
        if shape is not None and None not in shape:
            return shape
        inferred = self._infer(tensor)
        return shape if inferred is None else inferred

    def _written(self, tensor: Tensor) -> Shape:
        for _ in range(64):
            node = self.index.nodes.get(tensor.node)
            if node is None:
                return None
            if node.name in self._shapes:
                return self._shapes[node.name]
            if node.op == "Const":
                return [dim.size for dim in attr(node, "value").tensor.tensor_shape.dim]
            if node.op in ops.VARIABLES:
                shape = attr(node, "shape").shape
                return None if shape.unknown_rank else [dim.size if dim.size >= 0 else None for dim in shape.dim]
            if node.op not in _SAME | ops.VARIABLE_READS or not len(node.input):
                return recorded_shape(node, tensor.index)
            tensor = data_inputs(node)[0]
        return None

    def _infer(self, tensor: Tensor) -> Shape:
        if self._inferred is None and not self._is_refused:
            try:
                self._inferred = judge.imported(self.graph_def, self._shapes, self._values)
            except (ValueError, TypeError, tf.errors.OpError):
                self._is_refused = True
        if self._inferred is None or tensor.index < 0:
            return None
        try:
            shape = self._inferred.get_tensor_by_name(tensor.name).shape
        except (KeyError, ValueError):
            return None
        return None if shape.rank is None else shape.as_list()

    def origin(self, tensor: Tensor, stop: Container[str] = ()) -> Tensor:
        """Returns what a tensor is, through whatever only passes it on or casts it; some nodes are not passed."""
        for _ in range(64):
            node = self.index.nodes.get(tensor.node)
            if tensor.node in stop or node is None or node.op not in _PASSED or not len(node.input):
                break
            tensor = data_inputs(node)[0]
        return tensor

    def value(self, tensor: Tensor) -> np.ndarray | None:
        """Returns the value of a tensor that is a small constant, through whatever only passes it on."""
        for _ in range(64):
            node = self.index.nodes.get(tensor.node)
            if node is None:
                return None
            if node.name in self._values:
                return self._values[node.name]
            if node.op == "Const":
                dims = [dim.size for dim in attr(node, "value").tensor.tensor_shape.dim]
                if np.prod(dims, dtype=np.int64) > MOST_ELEMENTS:
                    return None
                return tf.make_ndarray(attr(node, "value").tensor)
            if node.op not in _SAME or not len(node.input):
                return None
            tensor = data_inputs(node)[0]
        return None

    def parts(self, tensor: Tensor) -> list[int | None] | None:
        """Returns the elements of a vector of integers, None for each that is not constant; None where it is no such."""
        value = self.value(tensor)
        if value is not None:
            return [int(number) for number in np.ravel(value)] if value.dtype.kind in "iu" and value.ndim <= 1 else None
        node = self.index.nodes.get(tensor.node)
        if node is not None and node.op == "Pack":
            elements: list[int | None] = []
            for operand in data_inputs(node):
                known = self.number(operand)
                elements.append(known)
            return elements
        if node is not None and node.op == "ConcatV2":
            pieces = [self.parts(operand) for operand in data_inputs(node)[:-1]]
            return (
                None if any(piece is None for piece in pieces) else [size for piece in pieces for size in piece or []]
            )
        if node is not None and node.op == "Shape":
            return self.shape(data_inputs(node)[0])
        if node is not None and node.op == "Cast":
            return self.parts(data_inputs(node)[0])
        shape = self.shape(tensor)
        return [None] * shape[0] if shape is not None and len(shape) == 1 and shape[0] is not None else None

    def number(self, tensor: Tensor) -> int | None:
        """Returns an integer that is a constant, one of a tensor's sizes (`tf.shape(x)[1]`), or one more or less."""
        value = self.value(tensor)
        if value is not None:
            return int(value) if value.ndim == 0 and value.dtype.kind in "iu" else None
        node = self.index.nodes.get(tensor.node)
        if node is not None and node.op == "Cast":
            return self.number(data_inputs(node)[0])
        if node is not None and node.op in ops.ADDS | {"Sub"} and len(node.input) >= 2:
            first, second = (self.number(operand) for operand in data_inputs(node)[:2])
            if first is None or second is None:
                return None
            return first - second if node.op == "Sub" else first + second
        if node is None or node.op != "StridedSlice":
            return None
        source, begin = data_inputs(node)[:2]
        at, of = self.value(begin), self.index.nodes.get(source.node)
        if of is None or of.op != "Shape" or at is None or at.size != 1:
            return None
        shape = self.shape(data_inputs(of)[0])
        return shape[int(at[0])] if shape is not None and -len(shape) <= int(at[0]) < len(shape) else None


def known(shape: Sequence[int | None] | None) -> list[int] | None:
    """Returns a shape none of whose sizes is open, else None."""
    if shape is None or any(size is None for size in shape):
        return None
    return [size for size in shape if size is not None]
