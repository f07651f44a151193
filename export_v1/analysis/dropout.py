"""Dropouts: where data is multiplied by, or selected with, a mask that random numbers and a rate decide.

TensorFlow 1's own have one of two forms; code of one's own writes the comparison in any direction:

    until 1.12:  x / keep_prob * floor(keep_prob + uniform)           from 1.13:  x * (1 / (1 - rate)) * (uniform >= rate)

Source: tf.nn.dropout of TensorFlow 1.0 to 1.15, as its graphs show it.
"""

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np
from tensorflow.core.framework import types_pb2

from export_v1.analysis import constants
from export_v1.ir import ops
from export_v1.ir.graph import Index, NodeDef, Tensor, data_inputs
from export_v1.ir.match import anything, made_by, match, origin

# How far above a comparison its random numbers may be: uniform(a, b) is RandomUniform * (b - a) + a.
_RANDOM_STEPS = 4
# How far above a rate the constant may be that sets it: 1 - (1 - 0.2 * cast(is_training)), in front of a loop.
_RATE_STEPS = 8
_RANDOM_PATH = ops.ADDS | ops.IDENTITIES | {"Mul", "Sub", "Cast"}
# A value in another form: of another type or shape, or alive only in a branch or a loop.
_SAME_VALUE = ops.IDENTITIES | {"Enter", "Cast", "Reshape", "ExpandDims", "Squeeze", "Switch"}


@dataclasses.dataclass(frozen=True)
class Dropout:
    """A place where values are dropped at random.

    Attributes:
        node: the comparison or Floor that makes the mask.
        numbers: the random numbers.
        rate: what they are compared with: a rate, or a probability to keep.
        off: the value of `rate` for which nothing is dropped: 0 for a rate, 1 for a probability to keep.
        exact: whether at that value nothing is dropped whatever the numbers in [0, 1) are, 0 included.
    """

    node: str
    numbers: Tensor
    rate: Tensor
    off: float
    exact: bool


def _is_random(index: Index, tensor: Tensor) -> bool:
    names = {tensor.node}
    for _ in range(_RANDOM_STEPS):
        nodes = [index[name] for name in names if name in index]
        if any(node.op in ops.UNIFORMS for node in nodes):
            return True
        names = {source.node for node in nodes if node.op in _RANDOM_PATH for source in data_inputs(node)}
    return False


_NUMBERS = anything("numbers", _is_random, "made of uniform random numbers")
_RATE = anything("rate", lambda index, tensor: not _is_random(index, tensor), "free of random numbers")
# How a mask is made, the rate at which it is all ones, and whether it is even where the random number is 0.
_FORMS = (
    (made_by("Floor", made_by(ops.ADDS, _NUMBERS, _RATE, any_order=True)), 1.0, True),
    (made_by("GreaterEqual", _NUMBERS, _RATE), 0.0, True),
    (made_by("LessEqual", _RATE, _NUMBERS), 0.0, True),
    (made_by("Greater", _NUMBERS, _RATE), 0.0, False),
    (made_by("Less", _RATE, _NUMBERS), 0.0, False),
    (made_by("Less", _NUMBERS, _RATE), 1.0, True),
    (made_by("Greater", _RATE, _NUMBERS), 1.0, True),
    (made_by("LessEqual", _NUMBERS, _RATE), 1.0, True),
    (made_by("GreaterEqual", _RATE, _NUMBERS), 1.0, True),
)
_MAKERS = frozenset({"Floor", "GreaterEqual", "LessEqual", "Greater", "Less"})


def at(index: Index, name: str) -> Dropout | None:
    """Returns the dropout that a node makes the mask of, or None; whatever is done with the mask."""
    if name not in index or index[name].op not in _MAKERS:
        return None
    for form, off, exact in _FORMS:
        captured = match(index, Tensor(name), form)
        if captured:
            return Dropout(name, captured["numbers"], captured["rate"], off, exact)
    return None


def of_mask(index: Index, mask: Tensor) -> Dropout | None:
    """Returns the dropout that a factor is the mask of, or None: a Floor, or a comparison that was cast to numbers."""
    return at(index, origin(index, mask, ("Cast",)).node)


def is_mask(index: Index, name: str) -> bool:
    """Returns whether a node is multiplied with data or selects it, perhaps after a cast, as a dropout's mask is."""
    for reader, _ in index.consumers(name):
        if reader.op == "Mul" or reader.op in ops.SELECTS:
            return True
        if reader.op in ("Cast", "Identity") and any(after.op == "Mul" for after, _ in index.consumers(reader.name)):
            return True
    return False


def unit_uniform(index: Index, tensor: Tensor, values: Mapping[Tensor, np.ndarray]) -> NodeDef | None:
    """Returns the RandomUniform that a tensor is, through a scale of 1 and a shift of 0 as TensorFlow 1 wrote them."""
    while True:
        tensor = origin(index, tensor, ops.IDENTITIES)
        maker = index.nodes.get(tensor.node)
        if maker is None or maker.op == "RandomUniform":
            return maker
        inputs = data_inputs(maker)
        neutral = 1 if maker.op == "Mul" else 0 if maker.op in ops.ADDS else None
        if neutral is None or not constants.equals(values.get(inputs[1]), neutral):
            return None
        tensor = inputs[0]


def affine(index: Index, tensor: Tensor, known: Mapping[Tensor, np.ndarray]) -> dict[Tensor, tuple[float, float]]:
    """Returns tensor -> (a, b) for every tensor that is a * `tensor` + b with constant a and b."""
    factors, todo = {tensor: (1.0, 0.0)}, [tensor]
    while todo:
        source = todo.pop()
        for reader, position in index.tensor_consumers(source):
            pair = _through(reader, position, factors[source], known)
            for output in range(2 if reader.op == "Switch" else 1):
                made = Tensor(reader.name, output)
                if pair is not None and made not in factors:
                    factors[made] = pair
                    todo.append(made)
    return factors


def _through(
    reader: NodeDef, position: int, pair: tuple[float, float], known: Mapping[Tensor, np.ndarray]
) -> tuple[float, float] | None:
    """What a * x + b becomes in a node that reads it as this input; None if it is not of that form any more."""
    slope, offset = pair
    if reader.op in _SAME_VALUE:
        return pair if position == 0 else None
    inputs = data_inputs(reader)
    arithmetic = reader.op in ops.ADDS | {"Sub", "Mul", "RealDiv"}
    operand = constants.scalar(known.get(inputs[1 - position])) if arithmetic and len(inputs) == 2 else None
    if operand is None:
        return None
    other = float(operand)
    if reader.op in ops.ADDS:
        return slope, offset + other
    if reader.op == "Sub":
        return (slope, offset - other) if position == 0 else (-slope, other - offset)
    if reader.op == "Mul" and other:
        return slope * other, offset * other
    if reader.op == "RealDiv" and position == 0 and other:
        return slope / other, offset / other
    return None


def value_for_none(dropout: Dropout, scales: Mapping[Tensor, tuple[float, float]]) -> float | None:
    """Returns the value of a tensor for which a dropout drops nothing, or None where its rate does not depend on it.

    Args:
        dropout: the dropout.
        scales: `affine` of the tensor.
    """
    slope, offset = scales.get(dropout.rate, (0.0, 0.0))
    return round((dropout.off - offset) / slope, 6) + 0.0 if slope else None


def constant_rate(index: Index, dropout: Dropout, known: Mapping[Tensor, np.ndarray]) -> tuple[Tensor, float] | None:
    """Returns the constant that sets a dropout's rate and the value of it for which nothing is dropped, or None.

    The constant may be a bool that the rate is multiplied with: True in a graph that was built for training.
    """
    names = [dropout.rate.node]
    for _ in range(_RATE_STEPS):
        for tensor in (Tensor(name) for name in names if index[name].op == "Const"):
            value = value_for_none(dropout, affine(index, tensor, known))
            if value in (0.0, 1.0) and not constants.equals(known.get(tensor), value):
                return tensor, bool(value) if index[tensor.node].attr["dtype"].type == types_pb2.DT_BOOL else value
        names = [source.node for name in names for source in data_inputs(index[name])]
    return None


def all_in(index: Index, nodes: Iterable[NodeDef]) -> list[Dropout]:
    """Returns every dropout whose mask is made by one of some nodes, and multiplied with data or selects it."""
    dropouts = (at(index, made.name) for made in nodes if made.op in _MAKERS and is_mask(index, made.name))
    return [dropout for dropout in dropouts if dropout is not None]
