"""checking: the exported graph gives the recorded answers, or it is not written."""

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from export_v1 import errors
from export_v1.format import comparison
from export_v1.proof import asking, randomness
from export_v1.proof import sample as samples
from export_v1.proof.sample import Sample

DEFECT = (
    "  Nothing was written. This is a bug in the conversion, not in the model: please report it.\n"
    "  --no_sample writes the export anyway, unproven."
)
# What TensorFlow 2.21 does with oneDNN: a layer norm with constants for gamma and beta gets an epsilon of 0.001.
FROZEN = (
    "  Nothing was written. Weights that are constants let TensorFlow rewrite the graph when it runs it, at times wrongly.\n"
    "  Of a frozen graph, --unfreeze makes variables of them; where that does not help it is a bug in the conversion: please\n"
    "  report it.\n"
    "  --no_sample writes the export anyway, unproven."
)
OPTIMIZED = (
    "  Nothing was written. Export without --optimize, and please report this: it is a bug, here or in TensorFlow."
)


def check(
    sample: Sample,
    opened: tf.compat.v1.Session,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    refill: Callable[[], object] = lambda: None,
    remedy: str = DEFECT,
) -> dict[str, str]:
    """Checks that the exported graph gives the recorded answers.

    An output of `Sample.drawn` may have been the same by chance whenever the original was asked; it is different only if the
    export, too, gives the same answer each time, and another one.

    Args:
        sample: the original's answers, one set of them.
        opened: a filled session of the exported graph.
        inputs: input key -> tensor name there.
        outputs: output key -> tensor name there.
        refill: restores the variables, which an answer may change.
        remedy: what to do where it does not, by how the graph was made: `DEFECT`, `FROZEN` or `OPTIMIZED`.

    Returns:
        Output key -> why it is not proven after all.

    Raises:
        ExportError: an answer differs by more than rounding; which, and by how much. Or the export fails to answer.
    """
    if not sample.outputs:
        return {}
    fetches = {key: outputs[key] for key in sample.outputs}

    def ask() -> asking.Answers:
        return asking.run(opened, sample.inputs, inputs, fetches, {})

    what = f" with {sample.name}" if sample.name else ""
    try:
        got = ask()
        compared = {key: sample.compare(key, got[key]) for key in sample.outputs}
        wrong = {key for key, result in compared.items() if not result.equal}
        drawn = {key for key in wrong & set(sample.drawn) if _changes(ask, key, got[key], refill)}
    except tf.errors.OpError as error:
        raise errors.ExportError(
            f"The converted graph fails{what}, where the original answers: {errors.reason(error)}\n{remedy}"
        ) from error
    if wrong - drawn:
        lines = [
            f"  output {key!r} is {_shown(got[key])}, the original's is {_shown(value)}; {compared[key]}\n"
            for key, value in sample.outputs.items()
            if key in wrong - drawn
        ]
        raise errors.ExportError(
            f"The converted graph does not answer as the original does{what}:\n{''.join(lines)}{remedy}"
        )
    return {key: samples.is_random(sample.drawn[key]) for key in sample.outputs if key in drawn}


def _changes(ask: Callable[[], asking.Answers], key: str, first: np.ndarray, refill: Callable[[], object]) -> bool:
    for _ in range(1, randomness.DRAWS):
        refill()
        if not comparison.compare(key, first, ask()[key]).equal:
            return True
    return False


def _shown(value: np.ndarray) -> str:
    return np.array2string(value.ravel()[:4], precision=7, separator=", ") + f" of shape {list(value.shape)}"
