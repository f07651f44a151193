"""A linear layer found in the graph: what every kind of it has in common."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from export_v1.ir.graph import Tensor


@dataclasses.dataclass(frozen=True)
class Linear:
    """A product of data with a kernel.

    Attributes:
        kind: class of the Keras layer.
        arguments, options: of its constructor, bias and activation left out.
        source: the data.
        kernels: the values of the layer's kernels, in its order, each with the tensor it is the value of.
        channels: size of the last axis that comes out.
        inside: tensors that only this product reads.
        joined: further tensors that the first kernel is made of.
        flipped: whether the first kernel has rows and columns of its tensor exchanged.
    """

    kind: str
    source: Tensor
    kernels: tuple[tuple[np.ndarray, Tensor], ...]
    channels: int
    inside: tuple[Tensor, ...]
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    joined: tuple[Tensor, ...] = ()
    flipped: bool = False

    def with_source(self, source: Tensor, *inside: Tensor, **options: Any) -> "Linear":
        """Returns the same product of other data, which the tensors `inside` were made of."""
        return dataclasses.replace(
            self, source=source, inside=(*self.inside, *inside), options={**self.options, **options}
        )
