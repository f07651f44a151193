"""What each part of a training graph is for: data, labels, the model, the loss; told by edges, types and shapes.

Data meets weights first; a label meets what the weights have already made of the data, and from there on there are no
more weights: only a loss and metrics. So the sources whose values are combined with a trainable variable are data, the
others labels, and the model ends where labels come in or, where a loss has none, where weights stop.
"""

import math
from collections.abc import Iterable

from tensorflow.core.framework import types_pb2

from export_v1.analysis import constants
from export_v1.analysis.liveness import Liveness
from export_v1.interface.settle import Settling
from export_v1.ir import graph, ops
from export_v1.ir.graph import NodeDef, Tensor
from export_v1.model import Graph

TRAINED, OTHER_VARIABLE = 1, 2
_FIRST_SOURCE = 2
_ADDITIONS = ops.ADDS | {"AddN", "Sub", "BiasAdd"}
# How large something is says nothing of what it is: zeros of a batch's size do not depend on the batch.
_SIZES = ops.SIZES | {"ZerosLike", "OnesLike"}
# Ops that put a value into a variable, a table or a queue.
KEEPERS = ops.VARIABLE_WRITERS | ops.TABLE_INITIALIZERS | ops.REF_TABLE_INITIALIZERS | ops.ENQUEUES
# Reading something to check it, write it down or keep it makes an op no part of the model.
_OBSERVERS = (
    KEEPERS
    | ops.SAVES
    | ops.RESTORES
    | frozenset(
        "Assert NoOp Print PrintV2 MergeSummary QueueClose QueueCloseV2 QueueSize QueueSizeV2 MakeIterator "
        "IteratorToStringHandle IsVariableInitialized VarIsInitializedOp WriteFile".split()
    )
)


class Roles:
    """The roles in one live graph.

    Inputs that are given (`cuts`) are the data, and then no other source is; `labels` never are.

    Attributes:
        sources: every tensor from outside that something but the gradients reads, in graph order.
        data: those of them that meet trainable weights.
        labels: those that meet only what the weights have made.
    """

    def __init__(
        self,
        settling: Settling,
        live: Liveness,
        model: Graph,
        cuts: Iterable[Tensor] = (),
        labels: Iterable[Tensor] = (),
    ):
        self.index, self.live, self._cuts = settling.index, live, set(cuts)
        self._trainable = {name for name, trained in model.trainable.items() if trained}
        self._frozen_graph = not any(node.op in ops.VARIABLES | ops.TREES for node in self.index.graph_def.node)
        self.nodes = [
            node
            for node in settling.ordered.nodes
            if node.name not in settling.backward
            and node.op not in _OBSERVERS
            and "Summary" not in node.op
            and live.runs(node)
        ]
        self._readers: dict[str, list[NodeDef]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(tensor.node for tensor in live.data(node)):
                self._readers.setdefault(name, []).append(node)
        self.sources = self._sources()
        self._bits = {tensor: 1 << at + _FIRST_SOURCE for at, tensor in enumerate(self.sources)}
        self._mask: dict[str, int] = {}
        self._spread()
        self.mixing = {node.name for node in self.nodes if self._mixes(node)}
        met = set(self._cuts or self._met()) - set(labels)
        self.data = [tensor for tensor in self.sources if tensor in met]
        self.labels = [tensor for tensor in self.sources if tensor not in self.data]

    def _sources(self) -> list[Tensor]:
        found: dict[Tensor, None] = {}
        for node in self.nodes:
            for tensor in self.live.data(node):
                maker = self.index.nodes.get(tensor.node)
                if tensor in self._cuts or (maker is not None and maker.op in ops.SOURCES):
                    found[tensor] = None
        return list(found)

    def _met(self) -> list[Tensor]:
        return self.needed_sources(self.mixing)

    def readers(self, name: str) -> list[NodeDef]:
        """Returns the nodes that compute with a node's outputs, gradients and observers left out."""
        return self._readers.get(name, [])

    def mask(self, name: str) -> int:
        """Returns what a node depends on: TRAINED, OTHER_VARIABLE and a bit for each source."""
        return self._mask.get(name, 0)

    def _tensor_mask(self, tensor: Tensor) -> int:
        return self._bits[tensor] if tensor in self._bits else self._mask.get(tensor.node, 0)

    def _spread(self) -> None:
        """Follows dependence through the graph, round by round until loops bring nothing new."""
        changed = True
        while changed:
            changed = False
            for node in self.nodes:
                made = self._own(node)
                # What a predicate is computed from decides whether a value is there, not what it is made of.
                reads = self.live.data(node)[:1] if node.op in ops.SWITCHES else self.live.data(node)
                for tensor in reads if node.op not in _SIZES else ():
                    made |= self._tensor_mask(tensor)
                if node.op not in ops.SOURCES and made != self._mask.get(node.name, 0):
                    self._mask[node.name] = made
                    changed = True

    def _own(self, node: NodeDef) -> int:
        """The mask of a variable or of trees, or in a graph without any, of a constant as big as a weight."""
        if node.op in ops.TREES:
            return TRAINED
        if node.op in ops.VARIABLES:
            return TRAINED if not self._trainable or node.name in self._trainable else OTHER_VARIABLE
        if self._frozen_graph and node.op == "Const" and is_number(node.attr["dtype"].type):
            sizes = [dim.size for dim in node.attr["value"].tensor.tensor_shape.dim]
            return TRAINED if math.prod(sizes) > constants.MOST_ELEMENTS else 0
        return 0

    def _mixes(self, node: NodeDef) -> bool:
        """Whether a node combines something from outside with weights alone. A penalty on a loss does not count."""
        weights, others = [], []
        for tensor in self.live.data(node):
            mask = self._tensor_mask(tensor)
            if mask >> _FIRST_SOURCE:
                others.append(tensor)
            elif mask & TRAINED:
                weights.append(tensor)
        if node.op in _ADDITIONS and all(self.is_scalar(tensor) for tensor in weights):
            return False
        return bool(weights) and any(not self.is_scalar(tensor) for tensor in others)

    def is_scalar(self, tensor: Tensor) -> bool:
        """Returns whether a tensor is known to be a scalar."""
        return graph.recorded_shape(self.index[tensor.node], tensor.index) == []

    def sources_of(self, name: str) -> list[Tensor]:
        """Returns the sources a node depends on."""
        return [tensor for tensor, bit in self._bits.items() if self.mask(name) & bit]

    def in_model(self, name: str) -> bool:
        """Returns whether a node depends on data and weights, and on no label."""
        sources = self.sources_of(name)
        return bool(sources) and bool(self.mask(name) & TRAINED) and not any(one in self.labels for one in sources)

    def meets_label(self, name: str) -> bool:
        """Returns whether a node depends on a label."""
        return any(one in self.labels for one in self.sources_of(name))

    def terminals(self) -> list[NodeDef]:
        """Returns the nodes that nothing but gradients and observers reads."""
        return [node for node in self.nodes if not self.readers(node.name)]

    def needed_sources(self, names: Iterable[str]) -> list[Tensor]:
        """Returns the sources that some nodes depend on, in graph order."""
        mask = 0
        for name in names:
            mask |= self.mask(name)
        return [tensor for tensor, bit in self._bits.items() if mask & bit]

    def is_plain_placeholder(self, tensor: Tensor) -> bool:
        """Returns whether a source is a placeholder, not a queue or an iterator."""
        return self.index[tensor.node].op in ops.FED


def is_number(dtype: int | None) -> bool:
    """Returns whether a type is one that a model computes answers in."""
    return dtype in (types_pb2.DT_HALF, types_pb2.DT_BFLOAT16, types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE)
