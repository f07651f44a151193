"""What an interface is made of: the records that the choice gives to the passes and to the report."""

import dataclasses
from collections.abc import Mapping

from export_v1.console import tables
from export_v1.format import record
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

    def to_json(self) -> dict[str, object]:
        """Returns it as plain JSON values: `key`, `tensor`, `dtype` by name, `shape`, `why`, and `value` where there is one."""
        values: dict[str, object] = {
            "key": self.key,
            "tensor": self.tensor,
            "dtype": record.dtype_name(self.dtype),
            "shape": None if self.shape is None else list(self.shape),
            "why": self.why,
        }
        return values if self.value is None else {**values, "value": record.plain(self.value)}


@dataclasses.dataclass(frozen=True, repr=False)
class Candidates:
    """All that could be chosen from, best first; printed, a table."""

    inputs: tuple[Candidate, ...]
    outputs: tuple[Candidate, ...]
    freeze: tuple[Candidate, ...]

    def to_json(self) -> dict[str, object]:
        """Returns them as plain JSON values: lists under `inputs`, `outputs` and `freeze`."""
        sides = {"inputs": self.inputs, "outputs": self.outputs, "freeze": self.freeze}
        return {name: [candidate.to_json() for candidate in side] for name, side in sides.items()}

    def _table(self) -> tables.Table:
        rows = [
            (side, candidate.key, _typed(candidate), candidate.tensor, candidate.why)
            for side, candidates in (("input", self.inputs), ("output", self.outputs), ("freeze", self.freeze))
            for candidate in candidates
        ]
        sides = (("input", self.inputs), ("output", self.outputs))
        counted = ", ".join(f"{len(side)} {name}{'' if len(side) == 1 else 's'}" for name, side in sides)
        counted += f", {len(self.freeze)} to freeze"
        return tables.Table(f"Candidates: {counted}", rows)

    def __str__(self) -> str:
        return self._table().text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self._table().html()


def _typed(candidate: Candidate) -> str:
    if candidate.value is not None:
        return f"= {record.plain(candidate.value)}"
    shape = "of unknown rank" if candidate.shape is None else str(list(candidate.shape))
    return f"{record.dtype_name(candidate.dtype)} {shape}"
