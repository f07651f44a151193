"""Whether an assignment can work: the shape it makes, and the type."""

from collections.abc import Mapping

import numpy as np

from load_v2.errors import LoadError
from load_v2.porting import transforms
from load_v2.porting.types import Assignment, Entry, Shape, Weight


def misfit(assignment: Assignment, weight: Weight, entries: Mapping[str, Entry]) -> str:
    """Returns why an assignment cannot give `weight` its value; '' if it can.

    A type may be widened without asking (float16 to float32); what could lose digits needs a cast in the rule.
    """
    try:
        shape = result_shape(assignment, entries)
    except LoadError as error:
        return str(error)
    if shape != weight.shape:
        return f"shape {list(shape)} from the checkpoint, {list(weight.shape)} in the model"
    dtypes = sorted({entries[key].dtype for key in assignment.keys})
    if not _has_cast(assignment) and not all(widens(dtype, weight.dtype) for dtype in dtypes):
        remedy = f'transform = [{{ cast = "{weight.dtype}" }}]'
        return f"{'/'.join(dtypes)} in the checkpoint, {weight.dtype} in the model: add {remedy}"
    return ""


def _has_cast(assignment: Assignment) -> bool:
    steps = [step for term in assignment.terms for step in term.steps] + list(assignment.steps)
    return any(isinstance(step, transforms.Cast) for step in steps)


def widens(dtype: str, wanted: str) -> bool:
    """Whether a type may become another without being asked: nothing is lost."""
    # bfloat16 and float16 are no subset of each other; numpy knows neither bfloat16 nor strings of tensors.
    if dtype == wanted:
        return True
    if dtype == "bfloat16":
        return wanted in ("float32", "float64")
    try:
        return dtype.startswith("float") and np.can_cast(dtype, wanted, "safe")
    except TypeError:
        return False


def result_shape(assignment: Assignment, entries: Mapping[str, Entry]) -> Shape:
    """Returns the shape that an assignment makes.

    Raises:
        LoadError: a step or the joining cannot work on these shapes.
    """
    shapes = [_through(term.steps, entries[term.key].shape) for term in assignment.terms]
    shape = shapes[0]
    if assignment.axis is not None:
        axis = assignment.axis % len(shape) if shape else 0
        if (
            any(len(other) != len(shape) or _without(other, axis) != _without(shape, axis) for other in shapes)
            or not shape
        ):
            raise LoadError(f"concatenate: shapes {[list(other) for other in shapes]} do not join along axis {axis}")
        shape = (*shape[:axis], sum(other[axis] for other in shapes), *shape[axis + 1 :])
    return _through(assignment.steps, shape)


def _through(steps: tuple, shape: Shape) -> Shape:
    for step in steps:
        shape = step.shape(shape)
    return shape


def _without(shape: Shape, axis: int) -> Shape:
    return shape[:axis] + shape[axis + 1 :]
