"""Placeholders that switch between training and inference, told by what reads them; names do not count."""

import dataclasses
import functools
from collections.abc import Mapping

import numpy as np
from tensorflow.core.framework import types_pb2

from export_v1.analysis import constants, dropout
from export_v1.analysis.liveness import Liveness, Ordered
from export_v1.ir import ops
from export_v1.ir.graph import NodeDef, Tensor
from export_v1.ir.norms import averages

FLOATS = frozenset({types_pb2.DT_HALF, types_pb2.DT_BFLOAT16, types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE})
_INTEGERS = frozenset({types_pb2.DT_INT32, types_pb2.DT_INT64})
_COMPARISONS = frozenset({"Equal", "NotEqual", "Greater", "Less", "Cast"})


@dataclasses.dataclass(frozen=True)
class Flag:
    """A tensor that steers training: its value in inference and in training, None where the graph does not tell."""

    tensor: Tensor
    inference: object
    training: object
    why: str


class Flags:
    """Recognises flags of one graph. `backward` are the nodes of the gradients, which say nothing about a flag."""

    def __init__(self, ordered: Ordered, backward: set[str]):
        self._index, self._ordered, self._backward = ordered.index, ordered, backward

    @functools.cached_property
    def dropouts(self) -> list[dropout.Dropout]:
        """Every place outside the gradients where values are dropped at random."""
        nodes = (node for node in self._ordered.nodes if node.name not in self._backward)
        return dropout.all_in(self._index, nodes)

    def recognised(self, tensor: Tensor, dtype: int) -> Flag | None:
        """Returns the flag that a scalar is, or None where what reads it does not tell."""
        if dtype == types_pb2.DT_BOOL:
            return self._mode(tensor, False, True)
        if dtype in _INTEGERS and self._is_compared(tensor):
            return self._mode(tensor, 0, 1)
        return self._keep(tensor) if dtype in FLOATS else None

    def _is_compared(self, tensor: Tensor) -> bool:
        return any(reader.op in _COMPARISONS for reader, _ in self._index.tensor_consumers(tensor))

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
        library = self._index.graph_def.library
        functions = {function.signature.name: function.node_def for function in library.function}
        nodes: list[NodeDef] = []
        for name in self._index.descendants([tensor.node]) - self._backward if functions else ():
            node = self._index[name]
            branch = side.branch(node) if node.op in ops.CONDITIONALS else None
            nodes += functions.get(branch.name, ()) if branch is not None else ()
        return nodes

    def _by_rate(self, sides: Mapping[object, Liveness]) -> dict[str, object]:
        """Which value makes a dropout drop, where the flag chooses between constant rates."""
        trains = set()
        for place in self.dropouts:
            known = {value: constants.scalar(side.known.get(place.rate)) for value, side in sides.items()}
            rates = {value: float(rate) for value, rate in known.items() if rate is not None}
            if len(rates) == len(sides):
                off = [value for value, rate in rates.items() if np.isclose(rate, place.off)]
                trains |= set(sides) - set(off) if len(off) == 1 else set()
        return {"a dropout rate": trains.pop()} if len(trains) == 1 else {}

    def _keep(self, tensor: Tensor) -> Flag | None:
        scales = dropout.affine(self._index, tensor, self._ordered.constants)
        by_node = {place.node: dropout.value_for_none(place, scales) for place in self.dropouts}
        values = {name: value for name, value in by_node.items() if value is not None}
        if len(set(values.values())) != 1:
            return None
        value, places = next(iter(values.values())), list(values)
        if not 0.0 <= value <= 1.0:
            return None
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        return Flag(tensor, value, None, f"nothing is dropped at {value} in {places[0]!r}{more}")

    def constant_rate(self, place: dropout.Dropout) -> tuple[Tensor, float] | None:
        """Returns the constant that sets a dropout's rate and the value of it for which nothing is dropped."""
        return dropout.constant_rate(self._index, place, self._ordered.constants)


# What only training does; where the two values of a flag differ in one of these, that one is training.
_SIGNS = (
    ("batch statistics", averages.is_training),
    ("moments of the batch", lambda node: node.op == "SquaredDifference"),
    ("updates of moving averages", lambda node: node.op in ops.ASSIGNS | ops.ASSIGN_ADDS | ops.ASSIGN_SUBS),
    ("random numbers", lambda node: node.op in ops.NOISE),
)
