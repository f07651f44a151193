"""rounding: how much of an answer is noise, measured by moving the inputs by their last bit.

The difference of two things that are equal but for rounding is noise, which no other graph will reproduce; an answer that
was computed as small as it is moves by its own last bits only.
"""

import time
from collections.abc import Mapping

import numpy as np

from export_v1.format import comparison
from export_v1.proof import asking
from export_v1.proof.asking import Answers, Ask

# An answer whose root mean square is below this may be made of rounding noise alone, so its noise is measured.
_NOISY_BELOW = 1e-2
# A single number may stay where it is although its input moves, so answers of few elements are asked for more often, as
# long as the model is fast.
_ELEMENTS = 8
_FAST_SECONDS = 1.0
# Two graphs round differently in many places, a nudged input in few: how much larger the first may be than the second.
_FACTOR = 16
# Noise of this many times the tolerance hides what a wrong answer would show.
_HIDES = 1000
_HIDES_IN_SHORT_TYPES = 4


def noise(
    ask: Ask, inputs: Mapping[str, np.ndarray], answers: Mapping[str, np.ndarray], nudges: int = 2
) -> dict[str, float]:
    """Returns the size of the rounding noise in answers that move when each float input moves by its last bit.

    An answer that has to be identical, an integer or a string, and that moves has infinite noise.

    Args:
        ask: the graph.
        inputs: by key.
        answers: to these inputs, those that are to be measured.
        nudges: how often the inputs are moved, at least.
    """
    floats = {key: value for key, value in inputs.items() if _is_float(value)}
    if not answers or not floats:
        return {}
    largest = dict.fromkeys(answers, 0.0)
    random = np.random.default_rng(0)
    fewest = min(max(value.size, 1) for value in answers.values())
    began = time.monotonic()
    for turn in range(max(nudges, -(-_ELEMENTS // fewest))):
        if turn >= nudges and time.monotonic() - began > _FAST_SECONDS:
            break
        nudged = {key: _nudged(np.asarray(value), random) for key, value in floats.items()}
        try:
            moved: Answers = ask({**inputs, **nudged})
        except asking.FAILURES:
            return {}
        for key, value in answers.items():
            largest[key] = max(largest[key], _moved_by(value, moved[key]))
    return {key: _FACTOR * size for key, size in largest.items() if size}


def _is_float(value: np.ndarray) -> bool:
    return np.asarray(value).dtype.name in ("float16", "float32", "float64", "bfloat16")


def _nudged(value: np.ndarray, random: np.random.Generator) -> np.ndarray:
    up = np.nextafter(value, np.asarray(np.inf, value.dtype))
    return np.where(random.random(value.shape) < 0.5, value, up)


def _moved_by(before: np.ndarray, after: np.ndarray) -> float:
    if before.shape != after.shape or before.dtype != after.dtype:
        return 0.0
    if before.dtype.name not in comparison.TOLERANCES:
        return 0.0 if np.array_equal(before, after) else np.inf
    with np.errstate(invalid="ignore"):
        distance = np.abs(before.astype(np.complex128) - after.astype(np.complex128))
    return float(np.max(distance[np.isfinite(distance)], initial=0.0))


def small(answers: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the answers that may be made of noise alone: floats, and small."""
    return {key: value for key, value in answers.items() if _is_small(value)}


def _is_small(value: np.ndarray) -> bool:
    if value.dtype.name not in comparison.TOLERANCES:
        return False
    return bool(value.size) and comparison.scale(value.astype(np.complex128)) < _NOISY_BELOW


def is_solid(value: np.ndarray, noise: float) -> bool:
    """Returns whether so much noise in an answer would still let a wrong one show."""
    if not noise:
        return True
    tolerance = comparison.TOLERANCES.get(value.dtype.name, 0.0)
    most = tolerance * (_HIDES_IN_SHORT_TYPES if value.dtype.name in ("float16", "bfloat16") else _HIDES)
    return bool(np.isfinite(noise)) and noise <= most * comparison.scale(value.astype(np.complex128))
