"""Where a model ends: the tensors that a loss or a metric takes from it, and those that nothing reads."""

import dataclasses

from tensorflow.core.framework import types_pb2

from export_v1.interface import naming
from export_v1.interface.given import tensor_type
from export_v1.interface.roles import KEEPERS, TRAINED, Roles, is_number
from export_v1.ir import graph, ops
from export_v1.ir.graph import NodeDef, Tensor

_ACTIVATIONS = frozenset({"Softmax", "Sigmoid", "Tanh", "Relu", "Relu6", "Elu", "Selu"})
# A loop's results come out of these; nothing inside a loop can be an output.
_LOOP_RESULTS = frozenset({"Exit", "TensorArrayGatherV3", "TensorArrayConcatV3"})
# What steers a loop or a condition, or only measures.
NO_RESULTS = ops.V1_CONTROL_FLOW | ops.SIZES
_SUMS = ops.ADDS | {"Sub"}
# Ops of which every output is a result, of whatever type.
_ALL_RESULTS = frozenset({"ArgMax", "TopK", "TopKV2", "Unique", "UniqueV2", "Split", "SplitV", "Unpack"})


@dataclasses.dataclass(frozen=True)
class End:
    """A tensor the model ends at.

    Attributes:
        tensor: its name taken apart.
        kind: "compared" with labels, "in the loss" but beside no label, "unread" by anything.
        nested: another end is computed from this one through further weights.
    """

    tensor: Tensor
    kind: str
    nested: bool = False

    @property
    def why(self) -> str:
        """The reason, for the report."""
        return {
            "compared": "this is what the loss or a metric compares with labels",
            "in the loss": "this is what the loss reads from the model",
            "unread": "nothing in the graph reads it, or only what nothing reads",
        }[self.kind]


def find(roles: Roles) -> list[End]:
    """Returns where the model ends, those that labels are compared with first, in graph order."""
    finding = _Finding(roles)
    ends = finding.before_loss()
    kinds = {tensor: "compared" if primary else "in the loss" for tensor, primary in ends.items()}
    if "compared" in kinds.values():
        # Beside a loss that has labels, what else the loss reads are penalties on the model's inside.
        kinds = {tensor: kind for tensor, kind in kinds.items() if kind == "compared"}
    kinds.update({tensor: "unread" for tensor in finding.unread() if tensor not in kinds})
    order = {node.name: at for at, node in enumerate(roles.nodes)}
    ranked = sorted(kinds, key=lambda tensor: (kinds[tensor] == "unread", order[tensor.node], tensor.index))
    return [End(tensor, kinds[tensor], finding.leads_on(tensor, kinds)) for tensor in ranked]


def scope_results(roles: Roles) -> list[Tensor]:
    """Returns what each outermost scope of the model gives to nodes outside it, the last first."""
    finding = _Finding(roles)
    found = []
    for node in reversed(roles.nodes):
        tensor, within = Tensor(node.name), naming.scopes(node.name)
        if not within or not roles.in_model(node.name) or roles.is_scalar(tensor) or node.op in NO_RESULTS:
            continue
        # A function's steps have the name of its result for a scope: "embeddings/Rsqrt" is a step to "embeddings".
        if within[0] in roles.index or not naming.is_given_scope(within[0]):
            continue
        outside = [reader for reader in roles.readers(node.name) if not reader.name.startswith(within[0] + "/")]
        if outside and is_number(tensor_type(roles.index, tensor)) and not finding.in_loss_scope(node):
            found.append(tensor)
    return found


def _in_loops(roles: Roles) -> set[str]:
    """Returns the nodes between the Enters and the Exits of while loops: they have a value for each turn."""
    inside, todo = set(), [node.name for node in roles.index.graph_def.node if node.op in ops.ENTERS]
    while todo:
        name = todo.pop()
        if name not in inside and roles.index[name].op not in ops.EXITS:
            inside.add(name)
            todo.extend(reader.name for reader, _ in roles.index.consumers(name))
    return inside


class _Finding:
    def __init__(self, roles: Roles):
        self._roles = roles
        self._with_labels: set[str] = set()
        self._with_weights: set[str] = set()
        self._in_loops = _in_loops(roles)
        for node in roles.nodes:
            if roles.meets_label(node.name):
                self._with_labels.update(naming.scopes(node.name))
            if node.name in roles.mixing:
                self._with_weights.update(naming.scopes(node.name))

    def before_loss(self) -> dict[Tensor, bool]:
        """Returns the tensors where ways up from losses enter the model -> whether labels meet it there."""
        roles = self._roles
        found: dict[Tensor, bool] = {}
        seen: set[tuple[str, bool]] = set()
        todo = [
            (node, roles.meets_label(node.name))
            for node in roles.terminals()
            if roles.is_scalar(Tensor(node.name)) or (roles.meets_label(node.name) and not self._is_kept(node))
        ]
        while todo:
            node, primary = todo.pop()
            if (node.name, primary) in seen or node.op == "StopGradient":
                continue
            seen.add((node.name, primary))
            for tensor in roles.live.data(node):
                above = roles.index.nodes.get(tensor.node)
                if above is None or not roles.sources_of(above.name):
                    continue
                labelled = roles.meets_label(above.name)
                still = labelled or (primary and not roles.is_scalar(tensor))
                if not labelled and self._presentable(above, tensor, node):
                    found[tensor] = found.get(tensor, False) or still
                elif labelled or roles.in_model(above.name):
                    todo.append((above, still))
        return found

    def _presentable(self, node: NodeDef, tensor: Tensor, reader: NodeDef) -> bool:
        """Whether a node of the model, met on the way up from `reader`, is a result and no step of a loss."""
        roles = self._roles
        if not roles.in_model(node.name) or roles.is_scalar(tensor) or node.name in self._in_loops:
            return False
        if node.op in _LOOP_RESULTS or self._finishes_layer(node):
            return True
        if naming.about_loss(node.name) and self.in_loss_scope(node):
            return False
        if naming.is_given(node):
            return not naming.about_loss(naming.leaf(node.name))
        if self.in_loss_scope(node):
            return False
        if not is_number(tensor_type(roles.index, tensor)):
            return False
        return node.op in _ACTIVATIONS or self._leaves_scope(node, reader)

    def _finishes_layer(self, node: NodeDef) -> bool:
        """Whether weights come in here, or in what is added up here: the bias of a layer, the end of a layer norm."""
        if node.name in self._roles.mixing:
            return node.op not in ops.GATHERS
        above = [tensor.node for tensor in self._roles.live.data(node)]
        return (
            node.op in _SUMS
            and any(name in self._roles.mixing for name in above)
            and all(self._roles.mask(name) & TRAINED for name in above)
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

    def unread(self) -> list[Tensor]:
        """Returns the results that nothing reads: numbers or texts, not what a loop or a condition leaves over."""
        roles, found = self._roles, []
        for node in roles.terminals():
            if roles.sources_of(node.name) and not roles.meets_label(node.name) and self._is_result(node):
                types = graph.output_types(node)
                for at, dtype in enumerate(types if node.op in _ALL_RESULTS else types[:1]):
                    tensor = Tensor(node.name, at)
                    wanted = is_number(dtype) or dtype == types_pb2.DT_STRING or naming.is_given(node)
                    if (wanted or node.op in _ALL_RESULTS) and not roles.is_scalar(tensor):
                        found.append(tensor)
                if node.op == "ArgMax" and roles.in_model(node.name):
                    found.append(graph.data_inputs(node)[0])
        return found

    def _is_result(self, node: NodeDef) -> bool:
        """Whether a node that nothing reads was made for its value."""
        if node.op in NO_RESULTS or node.name in self._in_loops or self.in_loss_scope(node) or self._is_kept(node):
            return False
        return naming.is_given(node) or not (naming.is_step(node.name) or self._is_summarized(node))

    def _is_kept(self, node: NodeDef) -> bool:
        """Whether a variable or a queue takes the value of a node: then it was made for that."""
        return any(reader.op in KEEPERS for reader, _ in self._roles.index.consumers(node.name))

    def _is_summarized(self, node: NodeDef) -> bool:
        return any("Summary" in reader.op for reader, _ in self._roles.index.consumers(node.name))

    def leads_on(self, tensor: Tensor, others) -> bool:
        """Returns whether further weights lie between `tensor` and another end."""
        roles, seen, todo = self._roles, set(), [(tensor.node, False)]
        wanted = {other.node for other in others} - {tensor.node}
        while todo:
            name, weighed = todo.pop()
            if (name, weighed) in seen:
                continue
            seen.add((name, weighed))
            for reader in roles.readers(name):
                now = weighed or reader.name in roles.mixing
                if now and reader.name in wanted:
                    return True
                todo.append((reader.name, now))
        return False
