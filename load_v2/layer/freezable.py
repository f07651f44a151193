"""A Keras layer whose weights can be frozen by name."""

from collections.abc import Sequence

import keras

from load_v2.layer import freezing
from load_v2.layer.weights import Weight
from load_v2.program import program


class FreezableLayer(keras.Layer):
    """A layer of a graph, parts of which can be kept as they are while the rest trains."""

    _own: Sequence[Weight]
    _parts: freezing.Parts
    _program: program.Program | None

    @property
    def trainable(self) -> bool:
        """Whether the layer trains; setting it leaves what is frozen frozen."""
        return super().trainable

    @trainable.setter
    def trainable(self, value: bool):
        own = getattr(self, "_own", ())
        frozen = [weight.frozen for weight in own]
        keras.Layer.trainable.fset(self, value)
        for weight, was_frozen in zip(own, frozen, strict=True):
            weight.frozen, weight.suspended = was_frozen, not value

    def freeze(self, *patterns: str) -> list[str]:
        """Freezes the weights that patterns name, and returns their names.

        They get no gradient, and in training no op of the graph changes them: the moving averages among them stay, and a
        batch norm all of whose moving averages are frozen normalizes by these in training, too, as a BatchNormalization of
        Keras's that is not trainable does. Where one cannot, a warning says so. The training graph is otherwise the same:
        dropout in a frozen scope goes on. Compile a model again afterwards. Saving, loading and cloning keep it.

        Args:
            patterns: names of weights or of scopes that weights are in; `*` stands for anything.

        Raises:
            LoadError: a pattern names nothing, or what a loop or a condition changes; nothing is frozen then.
        """
        matched = freezing.matching(patterns, self._own, f"Layer {self.name!r}")
        if self._program is not None and self._program.train is not None:
            # Refuses what cannot be frozen before anything is.
            frozen = {weight.name for weight in matched}.union(freezing.names(self._own))
            self._parts.get(self._program, self._program.train, frozen)
        for weight in matched:
            weight.frozen = True
        return [weight.name for weight in matched]

    def unfreeze(self, *patterns: str) -> list[str]:
        """Undoes `freeze` for the weights that patterns name, and returns the names of those that were frozen.

        Args:
            patterns: as of `freeze`; none means all.

        Raises:
            LoadError: a pattern names nothing.
        """
        return freezing.unfreeze(patterns, self._own, f"Layer {self.name!r}")
