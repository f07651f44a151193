"""The gradients of a training that goes on are those of the original: what TensorFlow 2 differentiates anew.

The original is asked for its loss and for what comes out of tf.gradients; the export for its loss, and TensorFlow for the
gradients of that. Where these are equal, the loss is the one that was trained by, and each gradient is its variable's. What
the train op makes of them is the original's own ops.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from export_v1 import errors
from export_v1.format import comparison
from export_v1.format.comparison import Verdict
from export_v1.format.record import LOSS, UPDATE, GradientEntry
from export_v1.ir import importing, randomness
from export_v1.ir.graph import GraphDef
from export_v1.planning import variant
from export_v1.planning.plan import Plan
from export_v1.proof import asking, sample
from export_v1.source import assets
from export_v1.weights import session
from export_v1.weights.restore import Weights

_SIDES = ("from the original", "from the export")
_REMEDY = (
    "  Nothing was written: training would not continue as it was. Please report it.\n"
    "  Export it without --resume, and train it with a Keras optimizer."
)
_PREFIX = "gradient/"
# What a gradient is made of may cancel out: a bias before a normalization has none but rounding noise. It is of this size,
# relative to the largest gradient of the step.
_NOISE = 1e-6


def prove(
    planned: Plan,
    graph_def: GraphDef,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    weights: Weights,
    files: assets.Files,
) -> str:
    """Returns the verdict: "equal", perhaps with exceptions, or "not proven" and why nothing could be compared.

    Args:
        planned: with the training.
        graph_def: the exported graph.
        inputs: input key of the signature `loss` -> tensor name there.
        outputs: output key -> tensor name there.
        weights: values of the variables.
        files: finds the files that tables are read from.

    Raises:
        ExportError: the loss or a gradient differs by more than rounding; which, and by how much.
    """
    assert planned.resume is not None, "there is a training to be proven"
    asked = _with_gradients(planned)
    drawn = randomness.sources(graph_def, outputs)
    # What the loss draws, its gradients depend on.
    random = dict.fromkeys(asked.signatures[LOSS].outputs, next(iter(drawn.values()))) if drawn else {}
    try:
        recorded = sample.record(asked, LOSS, weights, files, random=random)
    except asking.Unanswered as unanswered:
        return f"{Verdict.NOT_PROVEN}: {unanswered.why.rstrip('.')}"
    losses = {key: why for key, why in recorded.not_proven.items() if key in outputs}
    if losses:
        return f"{Verdict.NOT_PROVEN}: {next(iter(losses.values()))}"
    entries = [entry for entry in planned.resume.gradients if not set(_keys(entry)) & set(recorded.not_proven)]
    with session.opened(lambda: importing.graph_def(graph_def)) as opened:
        gradients = _gradients(opened.graph, entries, outputs)
        for answers in recorded.sets:
            session.fill(opened, weights)
            fed = {inputs[key]: value for key, value in answers.inputs.items() if key in inputs}
            got, given = opened.run((dict(outputs), gradients), fed)
            _check([one for one in entries if set(_keys(one)) <= set(answers.outputs)], answers.outputs, got, given)
    unsure = [entry.variable for entry in planned.resume.gradients if entry not in entries]
    left = f", all but gradients that change from run to run: {errors.quoted(unsure)}" if unsure else ""
    return f"{Verdict.EQUAL}{left}"


def _with_gradients(planned: Plan) -> variant.Variant:
    """Returns the variant of the loss, with what comes out of tf.gradients as further outputs."""
    by_key = {key: one for one in planned.variants for key in one.signatures}
    cuts = by_key[UPDATE].signatures[UPDATE].inputs
    loss = by_key[LOSS]
    signature = loss.signatures[LOSS]
    assert planned.resume is not None, "there is a training to be proven"
    keys = [key for entry in planned.resume.gradients for key in _keys(entry)]
    outputs = {**signature.outputs, **{key: cuts[key.removeprefix(_PREFIX)].tensor for key in keys}}
    return dataclasses.replace(loss, signatures={LOSS: dataclasses.replace(signature, outputs=outputs)}, updates=())


def _keys(entry: GradientEntry) -> list[str]:
    """Returns the keys of what the original gives for a gradient."""
    return [_PREFIX + key for key in (entry.values, entry.indices) if key is not None]


def _gradients(graph: tf.Graph, entries, outputs: Mapping[str, str]) -> dict[str, object]:
    with graph.as_default():
        found: dict[str, object] = {}
        for loss in dict.fromkeys(entry.loss for entry in entries):
            own = [entry for entry in entries if entry.loss == loss]
            handles = [graph.get_tensor_by_name(f"{entry.variable}:0") for entry in own]
            given = tf.gradients(graph.get_tensor_by_name(outputs[loss]), handles)
            found |= {entry.values: gradient for entry, gradient in zip(own, given, strict=True)}
    missing = [entry.variable for entry in entries if found[entry.values] is None]
    if missing:
        raise errors.ExportError(
            f"The loss does not depend on {errors.quoted(missing)} in the export, and its gradient was trained by.\n{_REMEDY}"
        )
    return found


def _check(
    entries: Sequence[GradientEntry],
    expected: Mapping[str, np.ndarray],
    losses: Mapping[str, np.ndarray],
    gradients: Mapping[str, Any],
) -> None:
    compared = [
        comparison.compare(f"output {key!r}", expected[key], np.asarray(value), sides=_SIDES)
        for key, value in losses.items()
        if key in expected
    ]
    wanted = {entry.values: _whole(entry, expected) for entry in entries}
    noise = _NOISE * max((comparison.scale(value) for value in wanted.values()), default=0.0)
    for entry in entries:
        want, have = wanted[entry.values], gradients[entry.values]
        # How a Session gives IndexedSlices.
        if not isinstance(have, np.ndarray) and hasattr(have, "indices"):
            have = _summed(have.values, have.indices, want.shape)
        what = f"the gradient of {entry.variable!r}"
        compared.append(comparison.compare(what, want, np.asarray(have), noise=noise, sides=_SIDES))
    wrong = [str(result) for result in compared if not result.equal]
    if wrong:
        listed = "\n".join(f"  {text}" for text in wrong[:5])
        raise errors.ExportError(f"The export does not differentiate as the original does:\n{listed}\n{_REMEDY}")


def _whole(entry: GradientEntry, expected: Mapping[str, np.ndarray]) -> np.ndarray:
    values = expected[_PREFIX + entry.values]
    if entry.indices is None:
        return values
    indices = expected[_PREFIX + entry.indices]
    rows = int(indices.max()) + 1 if indices.size else 0
    return _summed(values, indices, (rows, *values.shape[1:]))


def _summed(values: np.ndarray, indices: np.ndarray, shape) -> np.ndarray:
    whole = np.zeros(shape, values.dtype)
    np.add.at(whole, indices, values)
    return whole
