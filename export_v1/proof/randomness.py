"""randomness: whether an answer that random numbers may reach is the same whatever they are.

Draws that agree prove little: a sampler may take the likelier of two things each time. So the numbers are replaced by the
extremes of what they could have been, and only an answer that none of this moves is stable. (A dropout mask with a
probability of 1 is: it is 1 for the largest number and for the smallest.)
"""

from collections.abc import Iterator, Mapping

import numpy as np

from export_v1.format import comparison
from export_v1.ir import ops
from export_v1.proof import asking
from export_v1.proof.asking import Answers, Original

# How often the graph is asked where its draws are out of reach, in a loop: if each of two graphs answered one of two things
# with even chances, they would agree with themselves and differ from each other once in 2 ** 31.
DRAWS = 16


def moved(original: Original, inputs: Mapping[str, np.ndarray], first: Answers, suspects: set[str]) -> set[str]:
    """Returns those of some outputs whose answer random numbers move.

    Args:
        original: the graph.
        inputs: by key.
        first: its answers to them.
        suspects: output keys.
    """
    moving: set[str] = set()
    for drawn in _extremes(original, inputs):
        if not suspects - moving:
            break
        try:
            answers = original(inputs, drawn=drawn)
        except asking.FAILURES:
            # What fails for some numbers depends on them.
            return suspects
        moving |= differing(first, answers) & suspects
    for _ in range(1, DRAWS if original.draws_out_of_reach else 1):
        if not suspects - moving:
            break
        moving |= differing(first, original(inputs)) & suspects
    return moving


def differing(first: Answers, second: Answers) -> set[str]:
    """Returns the keys of the answers that are not equal."""
    return {key for key in first if not comparison.compare(key, first[key], second[key]).equal}


def _extremes(original: Original, inputs: Mapping[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    drawn = original.drawn(inputs)
    kinds = {node.name: node.op for node in original.graph_def.node}
    makers = {name: _of_uniform if kinds[name.rpartition(":")[0]] in ops.UNIFORMS else _of_any for name in drawn}
    for at in range(3 if drawn else 0):
        yield {name: makers[name](value)[at] for name, value in drawn.items()}


def _of_uniform(value: np.ndarray) -> tuple[np.ndarray, ...]:
    one = np.ones_like(value)
    # TensorFlow draws from [1, 2) and subtracts 1, so this is the largest: added to 1 it stays below 2.
    below_1 = one - (np.nextafter(one, 2 * one) - one)
    return np.zeros_like(value), below_1, value[::-1] if value.ndim else below_1


def _of_any(value: np.ndarray) -> tuple[np.ndarray, ...]:
    backwards = value.reshape(-1)[::-1].reshape(value.shape)
    if value.dtype == object:
        return backwards, backwards, backwards
    return np.zeros_like(value), np.ones_like(value), backwards
