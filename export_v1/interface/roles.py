"""What each part of a training graph is for: data, labels, the model, the loss; told by edges, types and shapes.

Data meets weights first; a label meets what the weights have already made of the data, and from there on there are no
more weights: only a loss and metrics. So the sources whose values are combined with a trainable variable are data, the
others labels, and the model ends where labels come in or, where a loss has none, where weights stop. One kind of data
comes as late as a label: a mask of the actions allowed, which changes what the last Softmax or ArgMax reads.
"""

import functools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from tensorflow.core.framework import types_pb2

from export_v1.analysis import constants
from export_v1.analysis.liveness import Liveness
from export_v1.interface.settle import Settling
from export_v1.ir import graph, ops
from export_v1.ir.graph import NodeDef, Tensor
from export_v1.model import Graph

TRAINED, OTHER_VARIABLE, _SIZED = 1, 2, 4
_FIRST_SOURCE = 3
_ADDITIONS = ops.ADDS | {"AddN", "Sub", "BiasAdd"}
# How large something is says nothing of what it is: zeros of a batch's size do not depend on the batch.
_SIZES = ops.SIZES | {"ZerosLike", "OnesLike"}
# How many rows these give is itself an answer, where what they look at is.
_SIZED_BY_VALUE = re.compile(r"(Where|Unique|NonMaxSuppression|CTC\w+Decoder|ListDiff)")
# Make an answer of their first input.
_CHOOSERS = frozenset({"Softmax", "LogSoftmax", "Multinomial"})
CROSS_ENTROPIES = frozenset({"SoftmaxCrossEntropyWithLogits", "SparseSoftmaxCrossEntropyWithLogits"})
# What an answer is made of, or a loss; a source may come in as late as here.
_LATE = _CHOOSERS | CROSS_ENTROPIES | {"ArgMax"}
# Ops where constant data meets weights, and those that only give data another form on the way.
_LAYERS = frozenset({"MatMul", "BatchMatMul", "BatchMatMulV2", "Conv2D"})
_MEETING = ops.GATHERS | _LAYERS | {"Mul", "SparseTensorDenseMatMul"}
_HANDLES = frozenset({"TensorArrayV3", "TensorListReserve"})
FORMS = frozenset({"Reshape", "Cast", "Identity", "ExpandDims", "Squeeze", "Transpose"})
# Take a part of their first input.
PARTS = frozenset({"Slice", "StridedSlice"})
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


class _Step(NamedTuple):
    """What is asked about each live node, again and again."""

    node: NodeDef
    name: str
    op: str
    data: Sequence[Tensor]


class Roles:
    """The roles in one live graph.

    Inputs that are given (`cuts`) are the data, and then no other source is; `labels` never are. Random numbers that are
    data (`drawn`) are sources, as if they came from outside.

    Attributes:
        sources: every tensor from outside that something but the gradients reads, in graph order.
        data: those of them that meet trainable weights, or change what an answer is made of.
        labels: those that meet only what the weights have made.
        has_loss: whether something was trained, or is compared with labels.
    """

    def __init__(
        self,
        settling: Settling,
        live: Liveness,
        model: Graph,
        cuts: Iterable[Tensor] = (),
        labels: Iterable[Tensor] = (),
        drawn: Iterable[Tensor] = (),
    ):
        self.index, self.live, self._cuts, self._drawn = settling.index, live, set(cuts), set(drawn)
        self._trainable = {name for name, trained in model.trainable.items() if trained}
        self._frozen_graph = (ops.VARIABLES | ops.TREES).isdisjoint(self.index.kinds.values())
        self._local = model.local
        self._steps = [
            _Step(visit.node, visit.name, visit.op, live.data(visit.node))
            for visit in settling.ordered.visits
            if visit.name not in settling.backward
            and visit.op not in _OBSERVERS
            and "Summary" not in visit.op
            and live.runs(visit.node)
        ]
        self.nodes = [step.node for step in self._steps]
        self._readers: dict[str, list[NodeDef]] = {}
        for step in self._steps:
            for name in {tensor.node for tensor in step.data}:
                self._readers.setdefault(name, []).append(step.node)
        # Where inputs are given, every other placeholder with a default keeps it.
        defaults = [step.name for step in self._steps if not self._cuts and step.op == "PlaceholderWithDefault"]
        self._entries = {name for name in defaults if settling.takes_data(f"{name}:0")}
        self.sources = self._sources()
        self._bits = {tensor: 1 << at + _FIRST_SOURCE for at, tensor in enumerate(self.sources)}
        # The bits, from the first source on, of single numbers.
        self._numbers = sum(bit for tensor, bit in self._bits.items() if self.is_scalar(tensor)) >> _FIRST_SOURCE
        self._mask: dict[str, int] = {}
        self._spread()
        self.mixing = {step.name for step in self._steps if self._mixes(step)}
        met = set(self._cuts or self._met()) - set(labels)
        if not self._cuts:
            met |= self._late(met) - set(labels)
        self.data = [tensor for tensor in self.sources if tensor in met]
        self.labels = [tensor for tensor in self.sources if tensor not in met]
        self.data_mask = self._mask_of(self.data)
        self._label_mask = self._mask_of(self.labels)
        self.has_loss = bool(settling.backward) or any(self._meets_model(step.name) for step in self._steps)

    def _meets_model(self, name: str) -> bool:
        return bool(self.mask(name) & TRAINED) and self.meets_label(name)

    def _sources(self) -> list[Tensor]:
        read = dict.fromkeys(tensor for step in self._steps if step.name not in self._entries for tensor in step.data)
        return [tensor for tensor in read if self._is_source(tensor)]

    def _is_source(self, tensor: Tensor) -> bool:
        made_by = self.index.kinds.get(tensor.node)
        return (
            made_by in ops.SOURCES
            or tensor in self._cuts
            or tensor in self._drawn
            or (tensor.node in self._entries and tensor.index == 0)
        )

    def _late(self, met: set[Tensor]) -> set[Tensor]:
        """The sources that change what an answer is made of, after the weights, and are no labels of it."""
        late, labels = 0, 0
        for step in self._steps:
            if step.op not in _LATE:
                continue
            read = [self.tensor_mask(tensor) for tensor in step.data]
            if step.op in CROSS_ENTROPIES:
                labels |= read[1]
            elif step.op == "ArgMax" and self._leads_to_scalar(step.name):
                continue
            late |= read[0] if read and read[0] & TRAINED else 0
        return {tensor for tensor, bit in self._bits.items() if late & ~labels & bit and tensor not in met}

    def margins(self) -> list[str]:
        """Returns the losses that compare with a label what the label has changed before, as those of embeddings do."""
        losses = []
        for step in self._steps:
            if step.op in CROSS_ENTROPIES and len(step.data) == 2:
                scores, target = map(self.tensor_mask, step.data)
                if scores & target & self._label_mask and scores & TRAINED:
                    losses.append(step.name)
        return losses

    def towers(self, lookups: bool) -> list[frozenset[Tensor]]:
        """Returns the sets of inputs that meet the same weights, each alone: a pair that is compared, a triplet.

        Args:
            lookups: whether rows looked up in the same table count; two texts share one in many models.
        """
        by_variable: dict[str, set[Tensor]] = {}
        labels = set(self.labels)
        for name in self.mixing:
            node = self.index[name]
            sources = [source for source in self.needed_sources([name]) if source not in labels]
            if len(sources) != 1 or (node.op in ops.GATHERS) != lookups:
                continue
            for tensor in self.live.data(node):
                if self.tensor_mask(tensor) & TRAINED and not self.has_sources(tensor.node):
                    variable = self._variable(tensor)
                    if variable:
                        by_variable.setdefault(variable, set()).add(sources[0])
        return list(dict.fromkeys(frozenset(sources) for sources in by_variable.values() if len(sources) > 1))

    def _variable(self, tensor: Tensor) -> str | None:
        """The variable that a tensor is the value of."""
        while (node := self.index.nodes.get(tensor.node)) is not None and node.op not in ops.VARIABLES:
            read = self.live.data(node)
            if node.op not in FORMS | ops.VARIABLE_READS | {"Enter", "RefEnter"} or not read:
                return None
            tensor = read[0]
        return node.name if node is not None else None

    def _leads_to_scalar(self, name: str) -> bool:
        seen, todo = {name}, [name]
        while todo:
            readers = [reader.name for reader in self.readers(todo.pop())]
            if any(self.is_scalar(Tensor(reader)) for reader in readers):
                return True
            todo += [reader for reader in readers if reader not in seen]
            seen.update(readers)
        return False

    def _met(self) -> list[Tensor]:
        return self.needed_sources(self.mixing)

    def readers(self, name: str) -> list[NodeDef]:
        """Returns the nodes that compute with a node's outputs, gradients and observers left out."""
        return self._readers.get(name, [])

    def mask(self, name: str) -> int:
        """Returns what a node depends on: TRAINED, OTHER_VARIABLE and a bit for each source."""
        return self._mask.get(name, 0)

    def tensor_mask(self, tensor: Tensor) -> int:
        """Returns what a tensor depends on, as `mask` has it; of a source, its own bit."""
        return self._bits[tensor] if tensor in self._bits else self._mask.get(tensor.node, 0)

    def _spread(self) -> None:
        """Follows dependence through the graph, round by round until loops bring nothing new."""
        masks, bits = self._mask, self._bits
        own = {step.name: self._own(step) for step in self._steps}
        steps = [step for step in self._steps if step.op not in ops.SOURCES and step.name not in self._entries]
        changed = True
        while changed:
            changed = False
            for _, name, op, data in steps:
                made = own[name]
                # What a predicate is computed from decides whether a value is there, not what it is made of.
                for tensor in data[:1] if op in ops.SWITCHES else data:
                    mask = bits[tensor] if tensor in bits else masks.get(tensor.node, 0)
                    made |= mask if op not in _SIZES or mask & _SIZED else 0
                if made & TRAINED and _is_sized_by_value(op):
                    made |= _SIZED
                if made != masks.get(name, 0):
                    masks[name] = made
                    changed = True

    def _own(self, step: _Step) -> int:
        """The mask of a variable or of trees, or in a graph without any, of a constant as big as a weight."""
        if step.op in ops.TREES:
            return TRAINED
        if step.op in ops.VARIABLES:
            return TRAINED if not self._trainable or step.name in self._trainable else OTHER_VARIABLE
        if self._frozen_graph and step.op == "Const" and is_number(step.node.attr["dtype"].type):
            sizes = [dim.size for dim in step.node.attr["value"].tensor.tensor_shape.dim]
            return TRAINED if math.prod(sizes) > constants.MOST_ELEMENTS else 0
        return 0

    def _mixes(self, step: _Step) -> bool:
        """Whether a node combines something from outside with weights alone. A penalty on a loss does not count."""
        if len(step.data) < 2 or step.op in CROSS_ENTROPIES:
            return False
        weights: list[Tensor] = []
        others: list[Tensor] = []
        for tensor in step.data:
            mask = self.tensor_mask(tensor)
            outside = mask >> _FIRST_SOURCE
            # A weight that a number from outside scales, a temperature or a rate of decay, is a weight still.
            if outside & ~self._numbers or (outside and not mask & TRAINED):
                others.append(tensor)
            elif mask & TRAINED:
                weights.append(tensor)
        if step.op in _ADDITIONS and all(self.is_scalar(tensor) for tensor in weights):
            return False
        return bool(weights) and any(not self.is_scalar(tensor) for tensor in others)

    def is_scalar(self, tensor: Tensor) -> bool:
        """Returns whether a tensor is known to be a scalar."""
        return graph.recorded_shape(self.index[tensor.node], tensor.index) == []

    def _mask_of(self, sources: Iterable[Tensor]) -> int:
        mask = 0
        for tensor in sources:
            mask |= self._bits[tensor]
        return mask

    def has_sources(self, name: str) -> bool:
        """Returns whether a node depends on anything from outside."""
        return bool(self.mask(name) >> _FIRST_SOURCE)

    def sources_of(self, name: str) -> list[Tensor]:
        """Returns the sources a node depends on, in graph order."""
        return self.needed_sources([name])

    def in_model(self, name: str) -> bool:
        """Returns whether a node depends on data and weights, and on no label."""
        mask = self.mask(name)
        return bool(mask & TRAINED) and bool(mask >> _FIRST_SOURCE) and not mask & self._label_mask

    def meets_label(self, name: str) -> bool:
        """Returns whether a node depends on a label."""
        return bool(self.mask(name) & self._label_mask)

    def constant_data(self) -> list[Tensor]:
        """Returns the constants that meet trainable weights as data would, in graph order."""
        constants: dict[Tensor, None] = {}
        for step in self._steps:
            if step.op in _MEETING and any(self.tensor_mask(tensor) & TRAINED for tensor in step.data):
                for tensor in step.data:
                    if not self.tensor_mask(tensor):
                        constants.update(dict.fromkeys(self._constants_of(tensor)))
        return [tensor for tensor in constants if tensor not in self._cuts]

    def drawn_data(self) -> list[Tensor]:
        """Returns the random numbers that meet trainable weights as data would, in graph order: a generator's noise."""
        tensors: dict[Tensor, None] = {}
        for step in self._steps:
            if step.op in _LAYERS and any(self.tensor_mask(tensor) & TRAINED for tensor in step.data):
                tensors.update((self._unformed(tensor), None) for tensor in step.data if not self.tensor_mask(tensor))
        return [tensor for tensor in tensors if self._is_drawn(tensor)]

    def own_data(self) -> list[Tensor]:
        """Returns what meets weights or what they have made, and is drawn at random: a task that the graph makes up.

        Of what a loop reads row by row, it is the whole of it. Labels are among them.
        """
        tensors: dict[Tensor, None] = {}
        for step in self._steps:
            if step.op not in ops.V1_CONTROL_FLOW and any(self.tensor_mask(tensor) & TRAINED for tensor in step.data):
                for tensor in step.data:
                    outside = None if self.tensor_mask(tensor) else self._outside_loops(tensor)
                    if outside is not None and not self.is_scalar(outside):
                        tensors[outside] = None
        drawn = [
            tensor for tensor in tensors if self._is_drawn(tensor) and self.index.kinds[tensor.node] not in _HANDLES
        ]
        nodes = {tensor.node for tensor in drawn}
        return [tensor for tensor in drawn if not nodes & self.index.ancestors([tensor.node]) - {tensor.node}]

    def _outside_loops(self, tensor: Tensor) -> Tensor | None:
        """What a tensor in a loop is a row of; None for what the loop itself has made."""
        seen: set[Tensor] = set()
        while tensor.node in self.in_loops and tensor not in seen:
            seen.add(tensor)
            node = self.index[tensor.node]
            read = self.live.data(node)
            if node.op not in ops.ENTERS | ops.IDENTITIES and node.op != "TensorArrayReadV3" or not read:
                return None
            tensor = read[-1]
            if (filled := self.index.nodes.get(tensor.node)) is not None and filled.op == "TensorArrayScatterV3":
                return self.live.data(filled)[2]
        return tensor

    @functools.cached_property
    def in_loops(self) -> set[str]:
        """Names of the nodes between the Enters and the Exits of while loops."""
        inside, todo = set(), [name for name, op in self.index.kinds.items() if op in ops.ENTERS]
        while todo:
            name = todo.pop()
            if name not in inside and self.index[name].op not in ops.EXITS:
                inside.add(name)
                todo.extend(reader.name for reader, _ in self.index.consumers(name))
        return inside

    def _unformed(self, tensor: Tensor) -> Tensor:
        while (node := self.index.nodes.get(tensor.node)) is not None and node.op in FORMS:
            tensor = self.live.data(node)[0]
        return tensor

    def _is_drawn(self, tensor: Tensor) -> bool:
        above = self.live.needed([tensor])
        return any(ops.is_random(self.index[name].op) for name in above)

    def _constants_of(self, tensor: Tensor) -> list[Tensor]:
        """The constants of several rows that a value is, in another form."""
        tensor = self._unformed(tensor)
        node = self.index.nodes.get(tensor.node)
        shape = graph.recorded_shape(node, 0) if node is not None and node.op == "Const" else None
        if node is not None and node.op == "Const" and shape is None:
            shape = [dim.size for dim in graph.attr(node, "value").tensor.tensor_shape.dim]
        return [tensor] if shape and (shape[0] or 0) > 1 else []

    def spread(self, bits: Mapping[str, int]) -> dict[str, int]:
        """Returns, for each node, the bits of the nodes that it depends on."""
        reached = dict(bits)
        changed = True
        while changed:
            changed = False
            for _, name, op, data in self._steps:
                made = reached.get(name, 0)
                for tensor in data if op not in _SIZES else ():
                    made |= reached.get(tensor.node, 0)
                if made != reached.get(name, 0):
                    reached[name] = made
                    changed = True
        return reached

    def is_counted(self, name: str) -> bool:
        """Returns whether a node depends on how many rows an answer has, as what follows NonMaxSuppression does."""
        return bool(self.mask(name) & _SIZED)

    def is_metric(self, node: NodeDef) -> bool:
        """Returns whether a local variable gathers the values of a node, as the metrics of tf.metrics do."""
        return any(
            reader.op in KEEPERS and graph.parse(reader.input[0]).node in self._local
            for reader, _ in self.index.consumers(node.name)
        )

    def terminals(self) -> list[NodeDef]:
        """Returns the nodes that nothing but gradients and observers reads."""
        return [step.node for step in self._steps if step.name not in self._readers]

    def needed_sources(self, names: Iterable[str]) -> list[Tensor]:
        """Returns the sources that some nodes depend on, in graph order."""
        mask = 0
        for name in names:
            mask |= self.mask(name)
        needed, mask = [], mask >> _FIRST_SOURCE
        while mask:
            needed.append(self.sources[(mask & -mask).bit_length() - 1])
            mask &= mask - 1
        return needed

    def is_plain_placeholder(self, tensor: Tensor) -> bool:
        """Returns whether a source is a placeholder, not a queue or an iterator."""
        return self.index[tensor.node].op in ops.PLACEHOLDERS


@functools.cache
def _is_sized_by_value(op: str) -> bool:
    return bool(_SIZED_BY_VALUE.match(op))


def is_number(dtype: int | None) -> bool:
    """Returns whether a type is one that a model computes answers in."""
    return dtype in (types_pb2.DT_HALF, types_pb2.DT_BFLOAT16, types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE)
