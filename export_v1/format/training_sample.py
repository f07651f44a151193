"""training.npz: one recorded step of a training, as it travels with an export.

Arrays `in/KEY`, what the loss was fed; `loss/KEY`, the losses; `gradient/KEY`, what the signature `update` takes, and
`noise`, the size of a gradient that is nothing but rounding; `after/VARIABLE`, variables after the step. Of a large one
there are some elements, see `thinned`. Random numbers were held, see `ir.held_draws`. Strings and bfloat16 are stored
as in sample.npz.
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from export_v1 import errors
from export_v1.format import comparison, sample

PATH = os.path.join("assets.extra", "training.npz")
# Gradients of more bytes than this are not written, since a step takes them whole: they are as large as the weights.
MOST_BYTES = 16 * 2**20
_MOST_ELEMENTS = 1000


@dataclasses.dataclass(frozen=True)
class Step:
    """What one step of the original's training did.

    Attributes:
        inputs: what the loss was fed, by key.
        losses: by output key of the signature `loss`.
        gradients: by input key of the signature `update`.
        after: variable name -> its value after the step, `thinned`; empty where the update was not run.
        noise: absolute size of a gradient that is made of rounding alone.
    """

    inputs: Mapping[str, np.ndarray]
    losses: Mapping[str, np.ndarray]
    gradients: Mapping[str, np.ndarray]
    after: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    noise: float = 0.0

    @property
    def gradient_bytes(self) -> int:
        """How many bytes the gradients take."""
        return sum(np.asarray(value).nbytes for value in self.gradients.values())


def thinned(value: np.ndarray) -> np.ndarray:
    """Returns an array of up to a thousand elements as it is, of a larger one that many, at even distances."""
    if value.size <= _MOST_ELEMENTS:
        return value
    return value.reshape(-1)[np.linspace(0, value.size - 1, _MOST_ELEMENTS).astype(np.int64)]


def write(step: Step, path: str) -> None:
    """Writes a recorded step."""
    stored: dict[str, Any] = {"noise": np.float64(step.noise)}
    for prefix, values in _sides(step).items():
        for key, value in values.items():
            stored |= sample.as_stored(f"{prefix}/{key}", np.asarray(value))
    np.savez(path, **stored)


def _sides(step: Step) -> dict[str, Mapping[str, np.ndarray]]:
    return {"in": step.inputs, "loss": step.losses, "gradient": step.gradients, "after": step.after}


def read(path: str, error: type[errors.UserError], remedy: str) -> Step:
    """Returns what a file holds; arguments and errors are those of `sample.arrays`."""
    arrays = sample.arrays(path, error, remedy)
    noise = arrays.get("noise", np.zeros(()))
    try:
        sample.check_noise("gradients", noise)
    except (TypeError, ValueError) as failure:
        raise error(f"{path!r} is damaged: {failure}.\n  {remedy}") from failure
    usable = noise.dtype.kind == "f" and noise.size == 1
    return Step(
        sample.side(arrays, "in/"),
        sample.side(arrays, "loss/"),
        sample.side(arrays, "gradient/"),
        sample.side(arrays, "after/"),
        float(noise.reshape(())) if usable else 0.0,
    )


def compare_gradient(
    what: str,
    want: tuple[np.ndarray, np.ndarray | None],
    have: tuple[np.ndarray, np.ndarray | None],
    noise: float,
    sides: tuple[str, str],
) -> comparison.Comparison:
    """Returns how two gradients differ, each (values, numbers of their rows); None in place of these for all rows in order.

    Rows of one number are summed up, and a row that one of the two lacks is zero there.
    """
    rows = max(_rows(*want), _rows(*have))
    whole = want[1] is None and have[1] is None
    expected, actual = (want[0], have[0]) if whole else (_summed(*want, rows), _summed(*have, rows))
    return comparison.compare(what, expected, actual, noise=noise, sides=sides)


def _rows(values: np.ndarray, indices: np.ndarray | None) -> int:
    if indices is None:
        return len(values) if values.ndim else 0
    return int(indices.max()) + 1 if indices.size else 0


def _summed(values: np.ndarray, indices: np.ndarray | None, rows: int) -> np.ndarray:
    indices = np.arange(len(values)) if indices is None else indices
    whole = np.zeros((rows, *values.shape[1:]), values.dtype)
    np.add.at(whole, indices, values)
    return whole
