"""Placeholders that switch between training and inference, told by what reads them; names do not count."""

import dataclasses
import functools

import numpy as np
from tensorflow.core.framework import types_pb2

from export_v1.analysis.liveness import Liveness, Ordered
from export_v1.ir import graph, ops
from export_v1.ir.graph import NodeDef, Tensor
from export_v1.passes import moving_averages

RANDOM = frozenset({"RandomUniform", "RandomStandardNormal", "TruncatedNormal", "StatelessRandomUniform"})
ASSIGNS = moving_averages.UPDATES
FLOATS = frozenset({types_pb2.DT_HALF, types_pb2.DT_BFLOAT16, types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE})
_INTEGERS = frozenset({types_pb2.DT_INT32, types_pb2.DT_INT64})
# Ops that hand on one value, possibly in another form.
_PASS = frozenset({"Identity", "Enter", "StopGradient", "Cast", "Reshape", "ExpandDims", "Squeeze", "Switch"})
# How far back from a comparison its random numbers may be: uniform(a, b) is RandomUniform * (b - a) + a.
_RANDOM_STEPS = 4


@dataclasses.dataclass(frozen=True)
class Flag:
    """A tensor that steers training: its value in inference and in training, None where the graph does not tell."""

    tensor: Tensor
    inference: object
    training: object
    why: str


@dataclasses.dataclass(frozen=True)
class Dropout:
    """A place where values are dropped at random: `rate` is compared with random numbers.

    Attributes:
        node: the comparison or Floor that makes the mask.
        rate: the tensor compared.
        off: the value of `rate` for which nothing is dropped: 0 for a rate, 1 for a probability to keep.
    """

    node: str
    rate: Tensor
    off: float


class Flags:
    """Recognises flags of one graph. `backward` are the nodes of the gradients, which say nothing about a flag."""

    def __init__(self, ordered: Ordered, backward: set[str]):
        self._index, self._ordered, self._backward = ordered.index, ordered, backward

    @functools.cached_property
    def dropouts(self) -> list[Dropout]:
        """Every place outside the gradients where values are dropped at random."""
        found = []
        for node in self._ordered.nodes:
            if node.name not in self._backward and self._is_mask(node.name):
                found += self._dropout(node)
        return found

    def _dropout(self, node: NodeDef) -> list[Dropout]:
        inputs = graph.data_inputs(node)
        if node.op == "Floor":
            adding = self._index.nodes.get(inputs[0].node)
            if adding is None or adding.op not in ("Add", "AddV2"):
                return []
            return [Dropout(node.name, rate, 1.0) for rate in self._beside_random(graph.data_inputs(adding))]
        if node.op not in ("GreaterEqual", "Greater", "Less", "LessEqual"):
            return []
        kept_above = node.op.startswith("Greater")
        rates = self._beside_random(inputs)
        return [Dropout(node.name, rate, 0.0 if kept_above == (rate == inputs[1]) else 1.0) for rate in rates]

    def _beside_random(self, pair: list[Tensor]) -> list[Tensor]:
        """The one of two tensors that is compared with uniform random numbers, if the other is that."""
        random = [self._is_random(tensor) for tensor in pair]
        return (
            [tensor for tensor, is_random in zip(pair, random, strict=True) if not is_random]
            if sum(random) == 1
            else []
        )

    def _is_random(self, tensor: Tensor) -> bool:
        names = {tensor.node}
        for _ in range(_RANDOM_STEPS):
            nodes = [self._index[name] for name in names if name in self._index]
            if any(node.op in ("RandomUniform", "StatelessRandomUniform") for node in nodes):
                return True
            walked = [node for node in nodes if node.op in ("Add", "AddV2", "Mul", "Sub", "Identity", "Cast")]
            names = {one.node for node in walked for one in graph.data_inputs(node)}
        return False

    def _is_mask(self, name: str) -> bool:
        """Whether a node is multiplied with data or selects it, perhaps after a cast: what a dropout's mask is for."""
        for reader, _ in self._index.consumers(name):
            if reader.op == "Mul" or reader.op in ops.SELECTS:
                return True
            if reader.op in ("Cast", "Identity") and any(
                one.op == "Mul" for one, _ in self._index.consumers(reader.name)
            ):
                return True
        return False

    def recognised(self, tensor: Tensor, dtype: int) -> Flag | None:
        """Returns the flag that a scalar is, or None where what reads it does not tell."""
        if dtype == types_pb2.DT_BOOL:
            return self._mode(tensor, False, True)
        if dtype in _INTEGERS and self._is_compared(tensor):
            return self._mode(tensor, 0, 1)
        return self._keep(tensor) if dtype in FLOATS else None

    def _is_compared(self, tensor: Tensor) -> bool:
        readers = [reader for reader, _ in self._index.tensor_consumers(tensor)]
        return any(reader.op in ("Equal", "NotEqual", "Greater", "Less", "Cast") for reader in readers)

    def _mode(self, tensor: Tensor, no: object, yes: object) -> Flag | None:
        """The flag that chooses between two ways, told by what only one of them does."""
        sides = {value: Liveness(self._ordered, {tensor: value}) for value in (no, yes)}
        choosers = [
            Tensor(name)
            for name in self._index.descendants([tensor.node]) - self._backward
            if sides[no].reads(self._index[name]) != sides[yes].reads(self._index[name])
        ]
        needed = {value: set(live.needed(choosers)) - self._backward for value, live in sides.items()}
        alone = {
            value: [self._index[name] for name in needed[value] - needed[other]] + self._called(sides[value], tensor)
            for value, other in ((no, yes), (yes, no))
        }
        verdicts = {}
        for what, is_sign in _SIGNS:
            trains = [value for value in (no, yes) if any(map(is_sign, alone[value]))]
            if len(trains) == 1:
                verdicts[what] = trains[0]
        verdicts.update(self._by_rate(sides))
        if len(set(verdicts.values())) != 1:
            return None
        training = next(iter(verdicts.values()))
        inference = no if training == yes else yes
        return Flag(tensor, inference, training, f"{str(training).lower()} chooses {', '.join(verdicts)}")

    def _called(self, side: Liveness, tensor: Tensor) -> list[NodeDef]:
        """The nodes of the functions that If ops call on one side."""
        functions = {one.signature.name: one.node_def for one in self._index.graph_def.library.function}
        nodes: list[NodeDef] = []
        for name in self._index.descendants([tensor.node]) - self._backward if functions else ():
            node = self._index[name]
            branch = side.branch(node) if node.op in ops.CONDITIONALS else None
            nodes += functions.get(branch.name, ()) if branch is not None else ()
        return nodes

    def _by_rate(self, sides: dict[object, Liveness]) -> dict[str, object]:
        """Which value makes a dropout drop, where the flag chooses between constant rates."""
        trains = set()
        for dropout in self.dropouts:
            drops = {value: live.known.get(dropout.rate) for value, live in sides.items()}
            if all(rate is not None and rate.shape == () for rate in drops.values()):
                off = [value for value, rate in drops.items() if np.isclose(float(rate), dropout.off)]
                trains |= set(sides) - set(off) if len(off) == 1 else set()
        return {"a dropout rate": trains.pop()} if len(trains) == 1 else {}

    def _keep(self, tensor: Tensor) -> Flag | None:
        scales = self._affine(tensor)
        values, places = set(), []
        for dropout in self.dropouts:
            slope, offset = scales.get(dropout.rate, (0.0, 0.0))
            if slope:
                values.add(round((dropout.off - offset) / slope, 6))
                places.append(dropout.node)
        if len(values) != 1 or not 0.0 <= min(values) <= 1.0:
            return None
        value = values.pop() + 0.0
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        return Flag(tensor, value, None, f"nothing is dropped at {value} in {places[0]!r}{more}")

    def constant_rate(self, dropout: Dropout) -> tuple[Tensor, float] | None:
        """Returns the constant that sets a dropout's rate and the value of it for which nothing is dropped."""
        names = [dropout.rate.node]
        for _ in range(_RANDOM_STEPS):
            for tensor in (Tensor(name) for name in names if self._index[name].op == "Const"):
                slope, offset = self._affine(tensor).get(dropout.rate, (0.0, 0.0))
                value = round((dropout.off - offset) / slope, 6) + 0.0 if slope else None
                if value in (0.0, 1.0) and value != self._ordered.constants.get(tensor):
                    return tensor, value
            names = [one.node for name in names for one in graph.data_inputs(self._index[name])]
        return None

    def _affine(self, tensor: Tensor) -> dict[Tensor, tuple[float, float]]:
        """Tensor -> (a, b) for every tensor that is a * `tensor` + b with constant a and b."""
        known = self._ordered.constants
        found, todo = {tensor: (1.0, 0.0)}, [tensor]
        while todo:
            source = todo.pop()
            for reader, at in self._index.tensor_consumers(source):
                pair = _through(reader, at, found[source], known)
                for index in range(2 if reader.op == "Switch" else 1):
                    made = Tensor(reader.name, index)
                    if pair is not None and made not in found:
                        found[made] = pair
                        todo.append(made)
        return found


def _through(node: NodeDef, at: int, pair: tuple[float, float], known) -> tuple[float, float] | None:
    """What a * x + b becomes in a node that reads it as input `at`; None if it is not of that form any more."""
    slope, offset = pair
    if node.op in _PASS:
        return pair if at == 0 else None
    inputs = graph.data_inputs(node)
    if len(inputs) != 2 or inputs[1 - at] not in known or known[inputs[1 - at]].shape != ():
        return None
    other = float(known[inputs[1 - at]])
    if node.op in ("Add", "AddV2"):
        return slope, offset + other
    if node.op == "Sub":
        return (slope, offset - other) if at == 0 else (-slope, other - offset)
    if node.op == "Mul" and other:
        return slope * other, offset * other
    if node.op == "RealDiv" and at == 0 and other:
        return slope / other, offset / other
    return None


# What only training does; where the two values of a flag differ in one of these, that one is training.
_SIGNS = (
    ("batch statistics", moving_averages.is_training),
    ("moments of the batch", lambda node: node.op == "SquaredDifference"),
    ("updates of moving averages", lambda node: node.op in ASSIGNS),
    ("random numbers", lambda node: node.op in RANDOM),
)
