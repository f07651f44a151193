"""From a plan to numbers: the value of one weight at a time, its assignment, and the way back."""

import contextlib
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping

import keras
import numpy as np

from export_v1.console import progress
from load_v2.porting.types import Assignment


def of(assignment: Assignment, read: Callable[[str], np.ndarray], dtype: str) -> np.ndarray:
    """Returns the value that an assignment makes, in the weight's dtype; nothing is kept of what was read for it."""
    terms = []
    for term in assignment.terms:
        value = read(term.key)
        for step in term.steps:
            value = step.apply(value)
        terms.append(value)
    value = terms[0] if assignment.axis is None else np.concatenate(terms, assignment.axis)
    for step in assignment.steps:
        value = step.apply(value)
    return np.ascontiguousarray(value).astype(dtype, copy=False).reshape(value.shape)


def held(variable: keras.Variable) -> np.ndarray:
    """Returns what a weight holds now."""
    return np.asarray(keras.ops.convert_to_numpy(variable.value)).astype(_dtype(variable), copy=False)


def bits(array: np.ndarray) -> memoryview:
    """Returns an array's bytes, not copied if they lie in order; NaN and -0.0 compare as what they are."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _dtype(variable: keras.Variable) -> str:
    return keras.backend.standardize_dtype(variable.dtype)


@contextlib.contextmanager
def backup(variables: Iterable[keras.Variable]) -> Iterator[None]:
    """Holds what weights hold now, on disk, so that a model need not be held in memory twice; an error puts it back."""
    kept = list(variables)
    with tempfile.TemporaryDirectory(prefix="weights-") as folder:
        for number, variable in enumerate(kept):
            # Plain bytes, because the .npy format does not know bfloat16.
            with open(os.path.join(folder, str(number)), "wb") as file:
                file.write(bits(held(variable)))
        try:
            yield
        except BaseException:
            for number, variable in enumerate(kept):
                with open(os.path.join(folder, str(number)), "rb") as file:
                    value = np.frombuffer(file.read(), dtype=_dtype(variable)).reshape(tuple(variable.shape))
                variable.assign(value)
            raise


def largest_first(assignments: Iterable[Assignment], variables: Mapping[str, keras.Variable]) -> list[Assignment]:
    """Returns assignments in an order that needs little memory.

    TensorFlow's allocators and malloc keep what was freed. In this order each value fits where one before it was; in
    that of growing weights none does, and what is kept grows to more than a second model.
    """
    return sorted(assignments, key=lambda assignment: math.prod(variables[assignment.weight].shape), reverse=True)


def assign(assignments: Iterable[Assignment], read, variables: Mapping[str, keras.Variable]) -> None:
    """Writes each weight's value, one at a time."""
    for assignment in progress.counted(largest_first(assignments, variables), "filling weights"):
        variable = variables[assignment.weight]
        variable.assign(of(assignment, read, _dtype(variable)))


def rehearse(assignments: Iterable[Assignment], read, variables: Mapping[str, keras.Variable]) -> None:
    """Makes each value and throws it away, so that damaged files are found while the model is still as it was."""
    for assignment in progress.counted(assignments, "reading the checkpoint"):
        variable = variables[assignment.weight]
        assert of(assignment, read, _dtype(variable)).shape == tuple(variable.shape), assignment
