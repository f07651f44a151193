"""Freezing parts of a training that goes on: weights, their slots, and the moving averages of batch norm."""

import abc

import keras

from export_v1.format import record
from export_v1.format.record import ResumeEntry
from load_v2.layer import freezing, weights
from load_v2.training.graphs import Graphs
from load_v2.training.optimizer import GraphOptimizer


class Freezable(keras.Model):
    """A model whose weights can be frozen by name while TensorFlow 1's training goes on with the others."""

    _training: ResumeEntry

    @property
    @abc.abstractmethod
    def by_name(self) -> dict[str, weights.Weight]:
        """Every weight by its name in the graph."""

    @abc.abstractmethod
    def _ready(self) -> Graphs:
        """Returns the graphs of the training."""

    def freeze(self, *patterns: str) -> list[str]:
        """Freezes the weights that patterns name, and returns their names; compile or make the train function again then.

        They and their slots keep their values: they get a gradient of zero, which also counts as zero where the update
        clips by the norm of all. Moving averages of batch norm among them stay, and it normalizes by them; those of weights,
        which an optimizer keeps, go on. Saving keeps it.

        Args:
            patterns: as of `SignatureLayer.freeze`.

        Raises:
            LoadError: a pattern names nothing, or what the update changes inside a condition; nothing is frozen then.
        """
        matched = freezing.matching(patterns, list(self.by_name.values()), f"Model {self.name!r}")
        ready, held = self._ready(), self._held({weight.name for weight in matched} | self._frozen())
        for key in (record.LOSS, record.UPDATE):
            if key in ready:
                ready.part(key, held)
        self._build_optimizer()
        for weight in matched:
            weight.frozen = True
        self.make_train_function(force=True)
        return [weight.name for weight in matched]

    def unfreeze(self, *patterns: str) -> list[str]:
        """Undoes `freeze` for the weights that patterns name, all without one; returns the names of those that were frozen."""
        unfrozen = freezing.unfreeze(patterns, list(self.by_name.values()), f"Model {self.name!r}")
        self.make_train_function(force=True)
        return unfrozen

    def compile(self, *args, **kwargs):
        super().compile(*args, **kwargs)
        if self._frozen():
            self._build_optimizer()

    def compile_from_config(self, config):
        # Keras's own calls no `compile` that was overridden.
        self.compile(**keras.saving.deserialize_keras_object(config))
        self._build_optimizer()

    @property
    def _compiled_optimizer(self) -> keras.optimizers.Optimizer | None:
        # A model that was never compiled has no such attribute.
        return getattr(self, "optimizer", None)

    @property
    def _graph_optimizer(self) -> GraphOptimizer | None:
        own = self._compiled_optimizer
        return own if isinstance(own, GraphOptimizer) else None

    def _build_optimizer(self) -> None:
        """Gives the optimizer slots for frozen weights, too: they may be unfrozen, and an archive has one order of slots."""
        own = self._compiled_optimizer
        if own is None or own.built:
            return
        frozen = [weight for weight in self.by_name.values() if weight.frozen]
        try:
            for weight in frozen:
                weight.frozen = False
            with self.distribute_strategy.scope():
                own.build(self.trainable_variables)
        finally:
            for weight in frozen:
                weight.frozen = True

    def _frozen(self) -> set[str]:
        return set(freezing.names(self.by_name.values()))

    def _held(self, frozen: set[str]) -> set[str]:
        """Returns the names of frozen variables, and of the slots that belong to these alone."""
        own = self._graph_optimizer
        if not frozen or own is None:
            return frozen
        slots: dict[bool, set[str]] = {True: set(), False: set()}
        for entry in self._training.optimizers:
            slots[entry.variable in frozen].update(entry.slots.values())
        # Where an update is made of plain ops, names tell: TensorFlow 1 calls a slot after its variable.
        named = {slot for slot in own.slots if slot.rpartition("/")[0] in frozen}
        return frozen | (slots[True] - slots[False]) | (named - set(self._training.averages.values()))
