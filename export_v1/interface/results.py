"""What in a graph looks like a result of the model, and what like a step of a layer, of a loss or of a loop."""

from collections.abc import Iterable

from tensorflow.core.framework import types_pb2

from export_v1.interface import naming
from export_v1.interface.given import tensor_type
from export_v1.interface.roles import FORMS, KEEPERS, PARTS, TRAINED, Roles, is_number
from export_v1.ir import graph, ops
from export_v1.ir.graph import NodeDef, Tensor

# Ops of which every output is a result, of whatever type.
DECODERS = frozenset({"CTCGreedyDecoder", "CTCBeamSearchDecoder"})
_ALL_RESULTS = DECODERS | {"ArgMax", "TopK", "TopKV2", "Unique", "UniqueV2", "Split", "SplitV", "Unpack"}
_ACTIVATIONS = frozenset({"Softmax", "Sigmoid", "Tanh", "Relu", "Relu6", "Elu", "Selu"})
_CHOOSERS = frozenset({"ArgMax", "ArgMin", "Multinomial", "NearestNeighbors"})
# A loop's results come out of these; nothing inside a loop can be an output.
_LOOP_RESULTS = frozenset({"Exit", "TensorArrayGatherV3", "TensorArrayConcatV3"})
# What steers a loop or a condition, or only measures.
NO_RESULTS = ops.V1_CONTROL_FLOW | ops.SIZES
_SUMS = ops.ADDS | {"Sub"}
_INTEGERS = frozenset({types_pb2.DT_INT32, types_pb2.DT_INT64})


class Results:
    """Judges the nodes of a graph with these roles.

    Attributes:
        roles: of the graph.
        in_loops: names of the nodes between the Enters and the Exits of while loops, which have a value for each turn.
    """

    def __init__(self, roles: Roles):
        self.roles = roles
        self.in_loops = roles.in_loops
        self._with_labels: set[str] = set()
        self._with_weights: set[str] = set()
        for node in roles.nodes:
            name = node.name
            if roles.meets_label(name):
                self._with_labels.update(naming.scopes(name))
            if name in roles.mixing:
                self._with_weights.update(naming.scopes(name))

    def type_of(self, tensor: Tensor) -> int | None:
        """Returns the DataType of a tensor, or None."""
        return tensor_type(self.roles.index, tensor)

    def is_presentable(self, node: NodeDef, tensor: Tensor, reader: NodeDef) -> bool:
        """Returns whether a node of the model, met on the way up from `reader`, is a result and no step of a loss."""
        roles = self.roles
        if not roles.in_model(node.name) or node.name in self.in_loops:
            return False
        if node.op in DECODERS:
            return True
        if roles.is_scalar(tensor):
            return False
        if node.op in _LOOP_RESULTS or self._finishes_layer(node):
            return True
        if naming.about_loss(node.name) and self.in_loss_scope(node):
            return False
        if naming.is_given(node):
            return not naming.about_loss(naming.leaf(node.name))
        if self.in_loss_scope(node):
            return False
        if not is_number(self.type_of(tensor)):
            return False
        return self._is_activation(node) or self._leaves_scope(node, reader)

    def _is_activation(self, node: NodeDef) -> bool:
        """Whether a node is an activation that could end a model; the log of what a Softmax gives is for the loss."""
        if node.op != "LogSoftmax":
            return node.op in _ACTIVATIONS
        source = self.roles.live.data(node)[0]
        return all(reader.op != "Softmax" for reader, _ in self.roles.index.tensor_consumers(source))

    def _finishes_layer(self, node: NodeDef) -> bool:
        """Whether weights come in here, or in what is added up here: the bias of a layer, the end of a layer norm."""
        if node.name in self.roles.mixing:
            return node.op not in ops.GATHERS
        above = [tensor.node for tensor in self.roles.live.data(node)]
        return (
            node.op in _SUMS
            and any(name in self.roles.mixing for name in above)
            and all(self.roles.mask(name) & TRAINED for name in above)
        )

    def in_loss_scope(self, node: NodeDef) -> bool:
        """Returns whether a scope around the node has a loss's name, or labels in it, and no weights come in there."""
        return any(
            scope not in self._with_weights and (scope in self._with_labels or naming.about_loss(naming.leaf(scope)))
            for scope in naming.scopes(node.name)
        )

    def _leaves_scope(self, node: NodeDef, reader: NodeDef) -> bool:
        """Whether the node is the last of a scope that a person opened."""
        return any(
            naming.is_given_scope(scope) and not reader.name.startswith(scope + "/")
            for scope in naming.scopes(node.name)
        )

    def outputs(self, node: NodeDef, *, any_type: bool = False) -> list[Tensor]:
        """Returns which outputs of a node that nothing reads are worth having.

        Numbers and texts are, integers that weights had a say in (a class, a token, an index), and what a person named. A
        scalar is if it counts rows or is the class of the only row, or if nothing was trained: then it is no loss.
        """
        roles = self.roles
        types = graph.output_types(node)
        results = []
        for at, dtype in enumerate(types if node.op in _ALL_RESULTS else types[:1]):
            tensor = Tensor(node.name, at)
            chosen = dtype in _INTEGERS and bool(roles.mask(node.name) & TRAINED)
            wanted = any_type or is_number(dtype) or dtype == types_pb2.DT_STRING or chosen or naming.is_given(node)
            if (wanted or node.op in _ALL_RESULTS) and self._has_size(node, tensor):
                results.append(tensor)
        return results

    def _has_size(self, node: NodeDef, tensor: Tensor) -> bool:
        roles = self.roles
        if not roles.is_scalar(tensor):
            return True
        counts = roles.is_counted(node.name) and naming.is_given(node) and self.type_of(tensor) in _INTEGERS
        kind = self.type_of(tensor)
        if roles.in_model(node.name) and self._is_class(node):
            return True
        return counts or (not roles.has_loss and roles.in_model(node.name) and (is_number(kind) or kind in _INTEGERS))

    def _is_class(self, node: NodeDef) -> bool:
        """Whether a node is the class that the model chose for the only row of a batch, such as the action to take.

        A choice that several rows were summed up for is a metric.
        """
        if node.op in FORMS | PARTS:
            node = self._formed_of(node)
            return self.is_choice(node) and not self.roles.is_scalar(Tensor(node.name))
        above = self._above(node)
        return self.is_choice(node) and above is not None and above.op in FORMS | PARTS

    def _formed_of(self, node: NodeDef) -> NodeDef:
        while node.op in FORMS | PARTS and (above := self._above(node)) is not None:
            node = above
        return node

    def _above(self, node: NodeDef) -> NodeDef | None:
        """The node that makes a node's first input."""
        read = self.roles.live.data(node)
        return self.roles.index.nodes.get(read[0].node) if read else None

    def is_choice(self, node: NodeDef) -> bool:
        """Returns whether a node chooses one of several by what the model has made, or several."""
        return node.op in _CHOOSERS and self.roles.in_model(node.name) and node.name not in self.in_loops

    def is_decided(self, node: NodeDef) -> bool:
        """Returns whether integers that weights had a say in come out of a condition, such as the tags of a decoder."""
        tensor = Tensor(node.name)
        return (
            node.op in ops.MERGES
            and self.type_of(tensor) in _INTEGERS
            and bool(self.roles.mask(node.name) & TRAINED)
            and self.roles.in_model(node.name)
            and node.name not in self.in_loops
            and not self.roles.is_scalar(tensor)
        )

    def is_result(self, node: NodeDef, losses: Iterable[str]) -> bool:
        """Returns whether a node that nothing reads was made for its value.

        Args:
            node: the node.
            losses: scopes that steps of a loss are in.
        """
        counts = node.op in ops.SIZES and self.roles.is_counted(node.name)
        if (node.op in NO_RESULTS and node.op not in ops.MERGES and not counts) or node.name in self.in_loops:
            return False
        if self._is_leftover(node, set(losses)) or self.is_kept(node):
            return False
        return naming.is_given(node) or not (naming.is_step(node.name) or self._is_summarized(node))

    def _is_leftover(self, node: NodeDef, losses: set[str]) -> bool:
        """Whether a function that computes a loss has left a node over, by the scope it is in."""
        around = naming.scopes(node.name)
        if any(naming.about_loss(naming.leaf(scope)) and scope not in self._with_weights for scope in around):
            return True
        inner = around[-1:] if around else []
        return any(
            scope not in self._with_weights and (scope in self._with_labels or scope in losses) for scope in inner
        )

    def is_kept(self, node: NodeDef) -> bool:
        """Returns whether a variable or a queue takes the value of a node: then it was made for that."""
        return any(reader.op in KEEPERS for reader, _ in self.roles.index.consumers(node.name))

    def _is_summarized(self, node: NodeDef) -> bool:
        return any("Summary" in reader.op for reader, _ in self.roles.index.consumers(node.name))
