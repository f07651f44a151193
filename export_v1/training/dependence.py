"""What of a graph computes with data and what with gradients; and what an update waits for once the forward pass is gone."""

import functools
from collections.abc import Collection, Sequence

from export_v1.ir import ops
from export_v1.ir.graph import Index, NodeDef, Tensor, control_inputs, data_inputs, parse
from export_v1.training.backprop import Backprop, Scopes


class Dependence:
    """The two sides of tf.gradients, told apart by edges.

    Args:
        index: of the graph.
        calls: of tf.gradients in it.
        frozen: nodes that never change during training; they are nobody's data.

    Attributes:
        scopes: tells which call of tf.gradients a node belongs to.
    """

    def __init__(self, index: Index, calls: Sequence[Backprop], frozen: Collection[str]):
        self._index, self._calls, self._frozen = index, calls, frozen
        self.scopes = Scopes(list(calls))
        self._instead_of: dict[str, tuple[str, ...]] = {}

    def is_cut(self, tensor: Tensor, reader: NodeDef) -> bool:
        """Whether a tensor that a node reads comes out of tf.gradients there."""
        return (
            tensor.index >= 0
            and tensor.node in self._index
            and self.scopes.of(tensor.node) is not None
            and self.scopes.of(reader.name) is None
            and self._index[tensor.node].op != "Const"
        )

    def instead(self, name: str) -> tuple[str, ...]:
        """Returns what to wait for in place of a node, in a graph without the forward pass."""
        # What each of the nodes asked about waits for comes before it; chains of control edges may be long.
        todo = [name]
        while todo:
            waits = [wait for wait in self._waits(todo[-1]) if wait not in self._instead_of]
            if waits:
                todo += waits
                continue
            done = todo.pop()
            own = self._waits(done)
            remaining = (done,) if self._stays(done) else [late for wait in own for late in self._instead_of[wait]]
            self._instead_of[done] = tuple(dict.fromkeys(remaining))
        return self._instead_of[name]

    def _waits(self, name: str) -> list[str]:
        """Returns what a node that is not there any more waited for."""
        # What is part of the backward pass comes before whatever is in the update anyway.
        if name not in self._index or self._stays(name) or self.scopes.of(name) is not None:
            return []
        node = self._index[name]
        # What comes after the update may come after it by what it reads.
        read = [tensor.node for tensor in data_inputs(node) if tensor.node in self.gradient_dependent]
        return [*control_inputs(node), *read]

    def _stays(self, name: str) -> bool:
        if name not in self._index or self.scopes.of(name) is not None:
            return False
        return name not in self.data_dependent or name in self.computed_from_gradients

    @functools.cached_property
    def data_dependent(self) -> set[str]:
        """What computes with data: with a source, and not only by way of a gradient."""
        sources = [
            node.name
            for node in self._index.graph_def.node
            if node.op in ops.PLACEHOLDERS | ops.FEEDERS | ops.SOURCES and node.name not in self._frozen
        ]
        return self._spread(sources)

    @functools.cached_property
    def computed_from_gradients(self) -> set[str]:
        """What computes with a gradient, and not only waits for one."""
        every = self._index.graph_def.node
        return self._spread(
            [node.name for node in every if any(self.is_cut(tensor, node) for tensor in data_inputs(node))]
        )

    @functools.cached_property
    def gradient_dependent(self) -> set[str]:
        return self._index.descendants(start for call in self._calls for start in call.starts)

    def _spread(self, start: list[str]) -> set[str]:
        """Returns what reads `start` through data edges, as far as tf.gradients."""
        seen, todo = set(), list(start)
        while todo:
            name = todo.pop()
            if name in seen or name in self._frozen:
                continue
            seen.add(name)
            for reader, at in self._index.consumers(name):
                tensor = parse(reader.input[at])
                if tensor.index >= 0 and not self.is_cut(tensor, reader) and self.scopes.of(reader.name) is None:
                    todo.append(reader.name)
        return seen
