"""What an interface is made of: the records that the choice gives to the passes and to the report."""

import dataclasses
from collections.abc import Mapping

from export_v1.format.record import Choice as Choice

Shape = list[int | None] | None


@dataclasses.dataclass(frozen=True)
class Input:
    """A tensor where the graph is cut: its name "x:0", its DataType and its shape, None for unknown."""

    tensor: str
    dtype: int
    shape: Shape = None


@dataclasses.dataclass(frozen=True)
class Interface:
    """What goes in, what comes out and what is held fixed.

    Attributes:
        inputs: key -> where the graph is cut, in call order.
        outputs: key -> tensor name, in the order given.
        frozen: tensor name -> its value during inference: bool, int, float or bytes for a scalar, else a numpy array.
        train_frozen: the same during training; empty unless a training graph is asked for.
        choices: everything here that was not given, with reasons.
    """

    inputs: Mapping[str, Input]
    outputs: Mapping[str, str]
    frozen: Mapping[str, object]
    train_frozen: Mapping[str, object]
    choices: tuple[Choice, ...] = ()


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A tensor that could be an input, an output or frozen; `value` is what it would be frozen to."""

    key: str
    tensor: str
    dtype: int
    shape: Shape
    why: str
    value: object = None


@dataclasses.dataclass(frozen=True)
class Candidates:
    """All that could be chosen from, best first."""

    inputs: tuple[Candidate, ...]
    outputs: tuple[Candidate, ...]
    freeze: tuple[Candidate, ...]
