"""Gradients that TensorFlow takes anew of an export's loss, against what came out of the original's tf.gradients."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from export_v1 import errors
from export_v1.format import comparison, training_sample
from export_v1.format.comparison import Comparison
from export_v1.format.record import GradientEntry

SIDES = ("from the original", "from the export")
REMEDY = (
    "  Nothing was written: training would not continue as it was. Please report it.\n"
    "  Export it without --resume, and train it with a Keras optimizer."
)
# Before the key of a gradient, among the answers of the original.
PREFIX = "gradient/"
# What a gradient is made of may cancel out: a bias before a normalization has none but rounding noise. It is of this size,
# relative to the largest gradient of the step.
_NOISE = 1e-6


def keys(entry: GradientEntry) -> list[str]:
    """Returns the keys of what the original gives for a gradient."""
    return [PREFIX + key for key in (entry.values, entry.indices) if key is not None]


def noise(entries: Sequence[GradientEntry], answers: Mapping[str, np.ndarray]) -> float:
    """Returns the absolute size of a gradient that is made of rounding alone, by the answers of the original."""
    values = [answers[PREFIX + entry.values] for entry in entries]
    return _NOISE * max((comparison.scale(value) for value in values), default=0.0)


def of(graph: tf.Graph, entries: Sequence[GradientEntry], outputs: Mapping[str, str]) -> dict[str, object]:
    """Returns TensorFlow's gradients in the graph of an export, by the key that the update takes each under.

    Args:
        graph: the export's.
        entries: the gradients.
        outputs: of the signature `loss`: key -> tensor name.

    Raises:
        ExportError: a loss does not depend on a variable that was trained by it.
    """
    with graph.as_default():
        gradients: dict[str, object] = {}
        for loss in dict.fromkeys(entry.loss for entry in entries):
            own = [entry for entry in entries if entry.loss == loss]
            handles = [graph.get_tensor_by_name(f"{entry.variable}:0") for entry in own]
            given = tf.gradients(graph.get_tensor_by_name(outputs[loss]), handles)
            gradients |= {entry.values: gradient for entry, gradient in zip(own, given, strict=True)}
    missing = [entry.variable for entry in entries if gradients[entry.values] is None]
    if missing:
        raise errors.ExportError(
            f"The loss does not depend on {errors.quoted(missing)} in the export, though the original was trained by "
            f"its gradient.\n"
            f"{REMEDY}"
        )
    return gradients


def compared(
    entries: Sequence[GradientEntry],
    expected: Mapping[str, np.ndarray],
    losses: Mapping[str, np.ndarray],
    gradients: Mapping[str, Any],
) -> list[Comparison]:
    """Returns how losses and gradients of the export compare with the original's.

    Args:
        entries: the gradients that are compared.
        expected: the original's, by the output keys of the losses and by `keys`.
        losses: the export's by output key.
        gradients: the export's, as a Session gives them.
    """
    results = [
        comparison.compare(f"output {key!r}", expected[key], np.asarray(value), sides=SIDES)
        for key, value in losses.items()
        if key in expected
    ]
    size = noise(entries, expected)
    for entry in entries:
        indices = None if entry.indices is None else expected[PREFIX + entry.indices]
        results.append(
            training_sample.compare_gradient(
                f"the gradient of {entry.variable!r}",
                (expected[PREFIX + entry.values], indices),
                _taken_apart(gradients[entry.values]),
                size,
                SIDES,
            )
        )
    return results


def _taken_apart(gradient) -> tuple[np.ndarray, np.ndarray | None]:
    # How a Session gives IndexedSlices.
    if not isinstance(gradient, np.ndarray) and hasattr(gradient, "indices"):
        return gradient.values, gradient.indices
    return np.asarray(gradient), None
