"""Where Keras has an optimizer that computes what TensorFlow 1's did: that one, with its slots filled.

| TensorFlow 1's op | Keras | the same where |
|---|---|---|
| ApplyGradientDescent | SGD | always |
| ApplyMomentum | SGD(momentum) | the rate is constant: Keras's velocity has the rate in it, TensorFlow's has not |
| ApplyAdam | Adam | no Nesterov form; the powers of the betas are those of the step |
| ApplyAdaMax | Adamax | the powers of beta1 are those of the step |
| ApplyAdadelta | Adadelta | always |

Keras's Adagrad and RMSprop put epsilon elsewhere, its Ftrl and Lion have other forms: they are not among them. Neither is
anything where the update does more than its optimizer (moving averages of weights, a second optimizer, loss scaling).
"""

import dataclasses
import math
from collections.abc import Callable, Mapping

import keras
import numpy as np

from export_v1.format import record
from export_v1.format.record import OptimizerEntry, ResumeEntry
from load_v2.program.program import Program
from load_v2.training.schedule import GraphSchedule

_CLOSE = 1e-5
_RATES = ("lr", "alpha")


@dataclasses.dataclass(frozen=True)
class _Twin:
    """Keras's class for an op: its arguments from the op's settings, and its slots per variable, in Keras's order."""

    make: Callable[[OptimizerEntry, object], keras.optimizers.Optimizer]
    slots: tuple[str, ...] = ()
    power: str = ""


def _adam(entry: OptimizerEntry, rate) -> keras.optimizers.Optimizer:
    given = entry.settings
    return keras.optimizers.Adam(rate, given["beta1"], given["beta2"], given["epsilon"])


def _adamax(entry: OptimizerEntry, rate) -> keras.optimizers.Optimizer:
    given = entry.settings
    return keras.optimizers.Adamax(rate, given["beta1"], given["beta2"], given["epsilon"])


def _momentum(entry: OptimizerEntry, rate) -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(rate, entry.settings["momentum"], bool(entry.options.get("use_nesterov")))


_TWINS: Mapping[str, _Twin] = {
    "GradientDescent": _Twin(lambda entry, rate: keras.optimizers.SGD(rate)),
    "Momentum": _Twin(_momentum, ("accum",)),
    "Adam": _Twin(_adam, ("m", "v"), "beta1_power"),
    "AdaMax": _Twin(_adamax, ("m", "v"), "beta1_power"),
    "Adadelta": _Twin(
        lambda entry, rate: keras.optimizers.Adadelta(rate, entry.settings["rho"], entry.settings["epsilon"]),
        ("accum", "accum_update"),
    ),
}


def of(
    training: ResumeEntry,
    programs: Mapping[str, Program],
    trainable: list[keras.Variable],
    values: Callable[[str], np.ndarray],
) -> keras.optimizers.Optimizer | None:
    """Returns Keras's optimizer for a training, built and with its slots filled, or None where there is none.

    Args:
        training: what the record says of it.
        programs: by key.
        trainable: the model's trainable weights, by their names in the graph.
        values: graph name of a variable -> its value in the checkpoint.
    """
    entries = {entry.variable: entry for entry in training.optimizers}
    if set(entries) != {variable.name for variable in trainable} or record.GRADIENTS not in programs:
        return None
    first = training.optimizers[0]
    alike = all(
        (entry.kind, entry.settings, entry.options, entry.sparse, entry.rate)
        == (first.kind, first.settings, first.options, False, first.rate)
        for entry in entries.values()
    )
    twin = _TWINS.get(first.kind)
    if twin is None or not alike or first.rate is None or _writes_more(training, programs, twin):
        return None
    rate = _rate(first, programs, training.counter)
    if rate is None or (first.kind == "Momentum" and not isinstance(rate, float)):
        return None
    if first.kind == "Adam" and first.options.get("use_nesterov"):
        return None
    step = _step(training, first, twin, isinstance(rate, float), values)
    if step is None:
        return None
    made = twin.make(first, rate)
    made.build(trainable)
    _fill(made, twin, [entries[variable.name] for variable in trainable], rate, values)
    made.iterations.assign(step)
    return made


def _writes_more(training: ResumeEntry, programs: Mapping[str, Program], twin: _Twin) -> bool:
    """Whether the update writes what Keras's optimizer would not."""
    known = {training.counter}
    for entry in training.optimizers:
        known |= {entry.variable, *(name for slot, name in entry.slots.items())}
    return not programs[record.UPDATE].written <= known


def constant_rate(entry: OptimizerEntry) -> float:
    """Returns the learning rate where it is a number in the graph, else NaN."""
    return next((entry.settings[name] for name in _RATES if name in entry.settings), math.nan)


def _rate(entry: OptimizerEntry, programs: Mapping[str, Program], counter: str | None):
    """Returns the rate as a number, or as a schedule of the counter; None where it depends on anything else."""
    if not math.isnan(constant_rate(entry)):
        return constant_rate(entry)
    rate = programs.get(record.RATE)
    if rate is None or {variable.name for variable in rate.variables} != {counter}:
        return None
    # The model attaches the graph, with all others.
    return GraphSchedule()


def _step(training: ResumeEntry, entry: OptimizerEntry, twin: _Twin, is_free: bool, values) -> int | None:
    """Returns how many steps Keras's optimizer has to count, None where the slots do not belong to one count.

    Args:
        training: with the counter.
        entry: of any variable.
        twin: with the slot that holds the power of beta1.
        is_free: whether nothing else depends on the count.
        values: of variables.
    """
    counted = int(values(training.counter)) if training.counter else None
    if not twin.power:
        return counted or 0
    power, beta = float(values(entry.slots[twin.power])), entry.settings["beta1"]
    if counted is not None and abs(beta ** (counted + 1) - power) < _CLOSE:
        return counted
    if not is_free or not 0 < power < 1:
        return None
    return round(math.log(power) / math.log(beta)) - 1


def _fill(made, twin: _Twin, entries: list[OptimizerEntry], rate, values) -> None:
    # Keras adds the slots of one variable after those of another, in the order in which it was built.
    slots = iter([variable for variable in made.variables if variable.name not in ("iteration", "learning_rate")])
    for entry in entries:
        for name in twin.slots:
            value = values(entry.slots[name])
            variable = next(slots)
            assert tuple(variable.shape) == value.shape, f"{variable.path}: a slot has the shape of its variable"
            variable.assign(-rate * value if entry.kind == "Momentum" else value)
