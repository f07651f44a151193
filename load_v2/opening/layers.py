"""A layer of the rebuilt model: its class, its configuration, and the weights that belong into it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from export_v1.ir.graph import Tensor


@dataclasses.dataclass(frozen=True)
class PrintedClass:
    """A class that the generated code has to define, because Keras has none that does the same.

    Attributes:
        name: of the class.
        source: its definition.
        reason: why it is needed, for the report.
    """

    name: str
    source: str
    reason: str


@dataclasses.dataclass(eq=False)
class Layer:
    """A layer that the generated code makes.

    Attributes:
        kind: name of the class, in `keras.layers` or printed.
        scope: name in the TensorFlow 1 graph that the layer is named after.
        arguments: positional arguments of the constructor.
        options: keyword arguments of the constructor, without the name.
        weights: values in the order of the Keras layer's `weights`.
        variables: names of the TensorFlow 1 variables that they come from.
        origins: for each weight, the names of the variables that it comes from.
        made_of: the tensors of the graph that they are made of, as far as these are known.
        parts: layers that a printed class has inside, whose weights are the last of its own.
        printed: the definition of its class; None for a layer of Keras's own.
        name: unique among the model's layers; "" until it is given one.
        variable: what the generated code calls it; "" where it is made on the spot.
        function: the function of the generated code whose call this stands for; None for a layer.
    """

    kind: str
    scope: str
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    weights: tuple[np.ndarray, ...] = ()
    variables: tuple[str, ...] = ()
    origins: tuple[tuple[str, ...], ...] = ()
    made_of: tuple[Tensor, ...] = ()
    parts: tuple["Layer", ...] = ()
    printed: PrintedClass | None = None
    name: str = ""
    variable: str = ""
    function: Any = None

    @property
    def constructor(self) -> str:
        """The class as the generated code names it."""
        return self.kind if self.printed or self.function else f"layers.{self.kind}"
