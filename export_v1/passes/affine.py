"""affine: what scales and shifts each channel of a convolution or a dense layer goes into its kernel and one bias.

    kernel ─► Conv2D ─► BiasAdd ─► FusedBatchNorm ─► Relu        kernel · scale ─► Conv2D ─► BiasAdd ─► Relu

    y = scale · (conv(x, kernel) + bias) + shift        ==>      y = conv(x, scale · kernel) + (scale · bias + shift)

Batch norm in inference is one such scale and shift, whether it is one op or written out as products and sums. All of
them have to be constants, so `constant_weights` goes first. New kernels are computed in double precision and rounded
once.
"""

import dataclasses
import math
from collections.abc import Collection, Iterator
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from export_v1.analysis import constants
from export_v1.ir import graph, ops, rewrite
from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor, attr, data_inputs
from export_v1.passes.result import Result

# Layer -> the axes of its kernel that count output channels, together in their order. Input 1 is the kernel.
_CHANNELS = {
    "Conv2D": (3,),
    "Conv3D": (4,),
    "DepthwiseConv2dNative": (2, 3),
    "MatMul": (1,),
    "Conv2DBackpropInput": (2,),
    "Conv3DBackpropInputV2": (3,),
}
_RANKS = {"MatMul": 2, "Conv3D": 5, "Conv3DBackpropInputV2": 5}
_TYPES = frozenset({tf.float32.as_datatype_enum, tf.float64.as_datatype_enum})
# By what each channel is multiplied, and what is then added.
_Step: TypeAlias = tuple[np.ndarray | int, np.ndarray | int]
# No constant that scales channels is the result of more ops in a row.
_DEEPEST = 50


@dataclasses.dataclass(frozen=True)
class Folded:
    """What was folded.

    Attributes:
        layers: how many convolutions and dense layers have other kernels.
        norms: how many batch norms in one op are gone.
        steps: how many other ops are gone.
    """

    layers: int = 0
    norms: int = 0
    steps: int = 0


def into_kernels(graph_def: GraphDef, keep: Collection[str]) -> tuple[Result, Folded]:
    """Returns the graph with scales and shifts folded, and what was.

    A layer stays as it is where more than one reads what is in between, or somebody waits for it, and where the new
    kernel would not be finite.

    Args:
        graph_def: weights are constants. Not modified.
        keep: names of nodes that have to stay, such as outputs.
    """
    folding = _Folding(Index(graph_def), frozenset(keep))
    for node in graph_def.node:
        folding.visit(node)
    nodes = []
    for node in graph_def.node:
        if node.name not in folding.gone:
            made = rewrite.rewired(node, folding.moved, folding.waits)
            kernel, *behind = folding.added.get(node.name, (None,))
            if kernel is not None:
                made.input[1] = kernel.name
                nodes.append(kernel)
            nodes += (made, *behind)
    made = rewrite.with_nodes(graph_def, nodes)
    return Result(made, {old.name: new.name for old, new in folding.moved.items()}), folding.folded


class _Folding:
    """What becomes of a graph's nodes.

    Attributes:
        gone: names of those that are left out.
        added: layer -> its new kernel, and the nodes that come after it.
        moved: tensor -> the one to read in its place.
        waits: node -> the one to wait for in its place.
    """

    def __init__(self, index: Index, keep: frozenset[str]):
        self.gone: set[str] = set()
        self.added: dict[str, tuple[NodeDef, ...]] = {}
        self.moved: dict[Tensor, Tensor] = {}
        self.waits: dict[str, str] = {}
        self.folded = Folded()
        self._index, self._keep = index, keep
        self._taken = set(index.nodes)
        self._values: dict[Tensor, np.ndarray | None] = {}

    def visit(self, node: NodeDef) -> None:
        """Folds what comes behind a node, if it is a layer."""
        if node.op not in _CHANNELS or attr(node, "T").type not in _TYPES:
            return
        kernel = self._value(data_inputs(node)[1])
        if kernel is None:
            return
        form, axis = _layout(node)
        sizes = [size if at in _kernel_axes(node) else 1 for at, size in enumerate(kernel.shape)]
        count = math.prod(sizes)
        behind = self._behind(node, axis, count)
        steps = [step for _, step in behind if step is not None]
        if not steps or [reader.op for reader, _ in behind] == ["BiasAdd"]:
            return
        dtype = tf.as_dtype(attr(node, "T").type)
        scale, shift = np.ones(count), np.zeros(count)
        with np.errstate(all="ignore"):
            for factor, term in steps:
                scale, shift = scale * factor, shift * factor + term
            kernel = (kernel * scale.reshape(sizes)).astype(dtype.as_numpy_dtype)
            shift = shift.astype(dtype.as_numpy_dtype)
        if not (np.isfinite(kernel).all() and np.isfinite(shift).all()):
            return
        weight, bias, added = (
            graph.fresh_name(f"{node.name}/{what}", self._taken) for what in ("folded_kernel", "folded_bias", "biased")
        )
        self.added[node.name] = (
            rewrite.constant(weight, kernel, dtype),
            rewrite.constant(bias, shift, dtype),
            rewrite.node(added, "BiasAdd", [Tensor(node.name), Tensor(bias)], T=dtype, data_format=form),
        )
        now = self.moved[Tensor(node.name)] = Tensor(added)
        for reader, step in behind:
            if step is None:
                now = Tensor(reader.name)
            else:
                self.moved[Tensor(reader.name)], self.waits[reader.name] = now, now.node
                self.gone.add(reader.name)
        norms = sum(reader.op in ops.BATCH_NORMS for reader, _ in behind)
        self.folded = Folded(self.folded.layers + 1, self.folded.norms + norms, self.folded.steps + len(steps) - norms)

    def _behind(self, node: NodeDef, axis: int, count: int) -> list[tuple[NodeDef, _Step | None]]:
        """Returns the ops behind a layer, each the only reader of the one before, up to the last that is a step.

        In between may stand what only takes axes of size 1 away, before the channels; it has None.
        """
        steps: list[tuple[NodeDef, _Step | None]] = []
        rank, last = _RANKS.get(node.op, 4), 0
        for reader, at in self._chain(node):
            step = self._step(reader, at, axis, count, rank)
            if step is None:
                squeezed = list(attr(reader, "squeeze_dims").list.i) if reader.op == "Squeeze" and axis < 0 else []
                if not squeezed or {-1, rank - 1} & set(squeezed):
                    break
                rank -= len(squeezed)
            steps.append((reader, step))
            last = last if step is None else len(steps)
        return steps[:last]

    def _chain(self, node: NodeDef) -> Iterator[tuple[NodeDef, int]]:
        """Yields what alone reads a node's output, what alone reads that, …, and at which input."""
        while node.name not in self._keep:
            readers = self._index.consumers(node.name)
            if len(readers) != 1:
                return
            node, at = readers[0]
            data, controls = self._index.edges(node.name)
            if node.name in self._keep or controls or at >= len(data) or data[at].index:
                return
            yield node, at

    def _step(self, node: NodeDef, at: int, axis: int, count: int, rank: int) -> _Step | None:
        """Returns by what a node multiplies each channel of its input `at`, and what it then adds; None: it does not."""
        inputs = data_inputs(node)
        if node.op in ops.BATCH_NORMS | {"BiasAdd"}:
            operands = [self._value(tensor) for tensor in inputs[1:]]
            values = [value.astype(np.float64) for value in operands if value is not None]
            if at or _layout(node)[1] != axis or len(values) < len(operands):
                return None
            return self._norm(node, values) if len(values) > 1 else (1, values[0])
        if node.op not in ops.ADDS | {"Mul", "Sub", "RealDiv"}:
            return None
        value = _per_channel(self._value(inputs[1 - at]), axis, count, rank)
        if value is None:
            return None
        if node.op in ops.ADDS:
            return 1, value
        if node.op == "Mul":
            return value, 0
        if node.op == "Sub":
            return (1, -value) if at == 0 else (-1, value)
        with np.errstate(all="ignore"):
            return (1 / value, 0) if at == 0 else None

    def _norm(self, node: NodeDef, values: list[np.ndarray]) -> _Step | None:
        data = (self._index.edges(reader.name).data for reader, _ in self._index.consumers(node.name))
        reads_statistics = any(tensor.node == node.name and tensor.index > 0 for edges in data for tensor in edges)
        if attr(node, "is_training").b or reads_statistics:
            return None
        scale, offset, mean, variance = values
        with np.errstate(all="ignore"):
            factor = scale / np.sqrt(variance + attr(node, "epsilon").f)
        return factor, offset - mean * factor

    def _value(self, tensor: Tensor, depth: int = 0) -> np.ndarray | None:
        """Returns the value of a tensor that only constants determine, or None."""
        if tensor not in self._values:
            node = self._index.nodes.get(tensor.node)
            data, controls = self._index.edges(tensor.node) if node is not None else ((), ())
            if node is None or controls or tensor.index or depth > _DEEPEST:
                return None
            operands = [self._value(operand, depth + 1) for operand in data]
            self._values[tensor] = constants.evaluated(node, operands, most=math.inf)
        return self._values[tensor]


def _layout(node: NodeDef) -> tuple[str, int]:
    """Returns how BiasAdd calls the layout of a node's data, and the axis of the channels: 1, or -1 for the last."""
    return ("NCHW", 1) if attr(node, "data_format").s.startswith(b"NC") else ("NHWC", -1)


def _kernel_axes(node: NodeDef) -> tuple[int, ...]:
    """Returns which axes of a layer's kernel count output channels."""
    return (0,) if attr(node, "transpose_b").b else _CHANNELS[node.op]


def _per_channel(value: np.ndarray | None, axis: int, count: int, rank: int) -> np.ndarray | None:
    """Returns a constant as one number a channel of a tensor of some rank; None where it is not that."""
    if value is None or value.ndim > rank:
        return None
    sizes = [1] * (rank - value.ndim) + list(value.shape)
    if sizes[axis] not in (1, count) or value.size != sizes[axis]:
        return None
    return np.broadcast_to(value.astype(np.float64).ravel(), count)
