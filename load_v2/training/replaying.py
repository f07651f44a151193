"""replaying: the recorded step of a training, made again by the model that `resume` makes of the export."""

import dataclasses
import os
from collections.abc import Collection, Iterable

import numpy as np
import tensorflow as tf

from export_v1.format import comparison, training_sample
from export_v1.format.comparison import Comparison, Verdict
from export_v1.format.record import OPTIMIZER, GradientEntry, ResumeEntry
from export_v1.format.training_sample import Step
from load_v2 import errors
from load_v2.errors import LoadError
from load_v2.program import artefact, program
from load_v2.training.model import ResumedModel
from load_v2.training.resuming import resume

_SIDES = ("in the recorded step", "in the step made here")


def compared(source: artefact.Artefact, allow_ops: Collection[str]) -> list[Comparison]:
    """Returns how a step of the training of an export compares with that of the original; nothing where there is no training.

    Random numbers are held in both. Of the gradients, and of the variables after the step, those that differ are named;
    where none does, one line tells of all.

    Raises:
        LoadError: the recorded step is damaged, or the training cannot be gone on with.
    """
    training = source.record.resume if source.record is not None else None
    if training is None:
        return []
    file = os.path.join(source.path, training_sample.PATH)
    if not os.path.exists(file):
        if training.recorded:
            return [comparison.missing("training", f"step 1 recorded a step, and {training_sample.PATH} is not there")]
        return [comparison.not_proven("training", _why(training))]
    step = training_sample.read(file, LoadError, "Export again.")
    model = resume(source.path, allow_ops=allow_ops)
    model.attach({key: program.held(unheld) for key, unheld in model.programs.items()})
    with errors.blamed(f"{source.path!r} cannot make its recorded step of training"):
        return _replayed(model, training, step)


def _why(training: ResumeEntry) -> str:
    _, _, why = training.proof.partition(f"{Verdict.NOT_PROVEN}: ")
    return why or "no step of it was recorded"


def _replayed(model: ResumedModel, training: ResumeEntry, step: Step) -> list[Comparison]:
    losses, gradients, fed = model.differentiated(dict(step.inputs))
    results = [_compare(f"training, {key}", want, losses.get(key)) for key, want in step.losses.items()]
    if OPTIMIZER in training.left_behind:
        return [*results, comparison.not_proven("training, gradients and update", "the optimizer was left behind")]
    results += _one_line(
        f"training, {len(training.gradients)} gradients",
        [_gradient(entry, step, actual) for entry, actual in zip(training.gradients, gradients, strict=True)],
    )
    recorded = [_recorded(entry, step, model) for entry in training.gradients]
    if not step.after:
        return [
            *results,
            comparison.not_proven("training, variables after the step", "the original's were not recorded"),
        ]
    if any(gradient is None for gradient in recorded):
        return results
    model.apply_gradients(recorded, fed)
    held = model.held
    after = [
        _compare(f"training, variable {name!r} after the step", want, _value(held[name]))
        for name, want in step.after.items()
        if name in held
    ]
    return results + _one_line(f"training, {len(after)} variables after the step", after)


def _compare(key: str, want: np.ndarray, actual) -> Comparison:
    if actual is None:
        return comparison.missing(key, "the export has none")
    return comparison.compare(key, want, training_sample.thinned(np.asarray(actual)), sides=_SIDES)


def _value(variable) -> np.ndarray:
    return tf.identity(variable.value).numpy()


def _gradient(entry: GradientEntry, step: Step, actual) -> Comparison:
    key = f"training, the gradient of {entry.variable!r}"
    if entry.values not in step.gradients or (entry.indices and entry.indices not in step.gradients):
        return comparison.missing(key, f"{training_sample.PATH} has none")
    if actual is None:
        return comparison.missing(key, "the export has none")
    want = step.gradients[entry.values], step.gradients[entry.indices] if entry.indices else None
    rows = (
        (actual.values.numpy(), actual.indices.numpy())
        if isinstance(actual, tf.IndexedSlices)
        else (actual.numpy(), None)
    )
    return training_sample.compare_gradient(key, want, rows, step.noise, _SIDES)


def _recorded(entry: GradientEntry, step: Step, model: ResumedModel):
    """Returns the recorded gradient as an update takes it; None where there is none."""
    values = step.gradients.get(entry.values)
    if values is None or not entry.indices:
        return None if values is None else tf.constant(values)
    indices = step.gradients.get(entry.indices)
    if indices is None:
        return None
    shape = model.by_name[entry.variable].shape
    return tf.IndexedSlices(tf.constant(values), tf.constant(indices), tf.constant(shape, tf.int64))


def _one_line(key: str, results: Iterable[Comparison]) -> list[Comparison]:
    """Returns those that differ, or one that stands for all."""
    results = list(results)
    wrong = [result for result in results if not result.equal]
    if wrong or not results:
        return wrong
    worst = max(results, key=lambda result: np.nan_to_num(result.relative))
    return [dataclasses.replace(worst, key=key)]
