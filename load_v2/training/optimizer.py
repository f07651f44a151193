"""The optimizer of a TensorFlow 1 graph: its own ops, on its own slots, behind Keras's interface."""

from collections.abc import Collection, Mapping, Sequence

import keras
import tensorflow as tf

from export_v1.format import record
from export_v1.format.record import GradientEntry
from load_v2.errors import LoadError
from load_v2.program import artefact
from load_v2.program.program import Program
from load_v2.training import graphs


@keras.saving.register_keras_serializable(package="load_v2")
class GraphOptimizer(keras.optimizers.Optimizer):
    """Runs what a TensorFlow 1 train op made of its gradients: clipping, schedule, optimizer, moving averages.

    Guaranteed: `variables` has every variable that the update has beside the model's weights, under its TensorFlow 1
    name with "/" as "_" and with the value of the checkpoint; they are saved with the model. `learning_rate` is what
    the graph computes for the next step.

    Args:
        slots: name, dtype and shape of each variable that is not one of the model's.
        gradients: what the update takes, in order; as the record has it.
        iterations: how many steps were made before.
        rate: the learning rate where it is a number and the graph has no tensor for it outside a condition.
    """

    def __init__(
        self,
        slots: Sequence[Sequence],
        gradients: Sequence[Mapping],
        iterations: int = 0,
        rate: float = float("nan"),
        name: str = "graph_optimizer",
        **kwargs,
    ):
        # Keras wants a number; the rate that is shown is the graph's.
        super().__init__(learning_rate=rate, name=name)
        self._slots: list[tuple[str, str, list[int]]] = [
            (str(slot), str(dtype), [int(size) for size in shape]) for slot, dtype, shape in slots
        ]
        self._gradients = [GradientEntry(**entry) for entry in gradients]
        self._by_name = {
            slot: self.add_variable(shape, "zeros", dtype, name=slot.replace("/", "_"))
            for slot, dtype, shape in self._slots
        }
        self._graphs: graphs.Graphs | None = None
        self._constant_rate = rate
        self.iterations.assign(iterations)

    @property
    def slots(self) -> dict[str, keras.Variable]:
        """The variables by their names in the graph."""
        return dict(self._by_name)

    def attach(self, attached: graphs.Graphs) -> None:
        """Takes the graphs over these slots and the model's weights."""
        self._graphs = attached

    @property
    def learning_rate(self):
        """The rate of the next step, as the graph computes it; of several optimizers, the first one's."""
        rates = self.learning_rates
        return next(iter(rates.values())) if rates else tf.constant(self._constant_rate)

    @learning_rate.setter
    def learning_rate(self, value):
        raise LoadError(
            "The learning rate of a resumed training is computed by its graph, and cannot be set.\n"
            "  Compile the model with a Keras optimizer of your own to choose one: "
            "model.compile(keras.optimizers.Adam(1e-4))."
        )

    @property
    def learning_rates(self) -> dict[str, tf.Tensor]:
        """The rates of the next step, one for each optimizer that the graph has."""
        ready = self._ready()
        return ready(record.RATE) if record.RATE in ready else {}

    def _ready(self) -> graphs.Graphs:
        if self._graphs is None:
            raise LoadError(
                f"Optimizer {self.name!r} was made from a config and has no graph.\n"
                "  Load the whole model with keras.models.load_model, or make it with load_v2.resume(DIR)."
            )
        return self._graphs

    def apply(self, grads, trainable_variables=None):
        """Runs the update.

        Args:
            grads: one for each entry of `gradients`, in order: tensors, or IndexedSlices where the update takes rows.
            trainable_variables: not looked at; the graph knows which gradient is whose.

        Raises:
            LoadError: a gradient is missing, or is not in the form that the update takes.
        """
        self.update(grads, {})

    def update(self, grads: Sequence, data: Mapping[str, tf.Tensor], held: Collection[str] = ()) -> None:
        """Runs the update with what it reads of the data besides gradients, by key; variables of `held` stay."""
        ready = self._ready()
        given = {**data, **fed(self._gradients, grads)}
        ready(record.UPDATE, [given[key] for key in ready.inputs(record.UPDATE)], held)
        self.iterations.assign_add(1)

    def get_config(self) -> dict:
        entries = [vars(entry) for entry in self._gradients]
        return {
            "name": self.name,
            "slots": [list(slot) for slot in self._slots],
            "gradients": entries,
            "rate": self._constant_rate,
        }


def fed(entries: Sequence[GradientEntry], grads: Sequence) -> dict[str, tf.Tensor]:
    """Returns what a program takes for gradients, by input key."""
    values: dict[str, tf.Tensor] = {}
    for entry, gradient in zip(entries, grads, strict=True):
        if gradient is None:
            raise LoadError(f"The loss has no gradient with respect to {entry.variable!r}, and its update needs one.")
        if entry.indices is None:
            values[entry.values] = tf.convert_to_tensor(gradient)
        elif isinstance(gradient, tf.IndexedSlices):
            values[entry.values], values[entry.indices] = gradient.values, gradient.indices
            if entry.dense_shape is not None:
                values[entry.dense_shape] = gradient.dense_shape
        else:
            raise LoadError(
                f"The gradient of {entry.variable!r} is a whole tensor; TensorFlow 1's update of it took rows alone, and "
                "treats rows without a gradient in another way."
            )
    return values


def slots_of(programs: Mapping[str, Program], owned: set[str]) -> list[artefact.Variable]:
    """Returns the variables that programs need and that `owned` does not have, each once."""
    slots = {v.name: v for program in programs.values() for v in program.variables if v.name not in owned}
    return list(slots.values())
