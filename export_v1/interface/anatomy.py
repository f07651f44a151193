"""A whole graph with its flags settled and its parts told: what the choice, its doubts and the listing look at."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from export_v1.interface import backward, ends, naming, sources, trainings
from export_v1.interface.ends import End
from export_v1.interface.results import DECODERS
from export_v1.interface.roles import TRAINED, Roles
from export_v1.interface.settle import Settling
from export_v1.interface.types import Candidates
from export_v1.ir import graph, ops
from export_v1.ir.graph import Index, Tensor
from export_v1.model import Graph

# What a tensor that nobody named is called, by the op that makes it.
_ROLES = {
    "ArgMax": "classes",
    "LookupTableFind": "label",
    "LookupTableFindV2": "label",
    "Sigmoid": "probabilities",
    "Softmax": "probabilities",
}
# Takes a sparse tensor apart that a dataset hands on as one tensor of no type.
_UNPACKS = "DeserializeSparse"
_SPARSE = ("indices", "values", "shape")
# The target of a target network is no label.
_LABEL_NAME = re.compile(
    r"label|target(?!_?(net|q|model|actor|critic|policy))|truth|answer|(^|/)y_*(_true)?(_\d+)?$", re.IGNORECASE
)


@dataclasses.dataclass(frozen=True)
class Named:
    """A tensor, the key it is to have, and the reason it is there."""

    key: str
    tensor: str
    why: str


class Anatomy:
    """A whole graph with its flags settled and its roles told: what both the choice and the listing look at.

    Attributes:
        settling: flags and placeholders of the graph.
        frozen: values of every flag in the graph, whatever may be wanted of it later.
        roles: data, labels, model and loss.
        ends: where the model ends.
        doubtful: sources that may be data or labels; taken for labels.
        other_ends: where the model ends if they are data.
        constants: data that is in the graph itself, where none comes from outside.
        made_up: data that the graph draws for itself, where there is no other.
        drawn: random numbers that one training's variables make data of for another's, as a generator does.
        handed_over: results of one training's variables that go into those of another -> the nodes that take them.
    """

    def __init__(self, model: Graph, settling: Settling, frozen: Mapping[str, object], cuts: list[str], train):
        self.index: Index = settling.index
        # What `offers` makes of it, once somebody has asked.
        self.offered: Candidates | None = None
        self.settling = settling
        roots = [
            f"{visit.name}:0"
            for visit in settling.ordered.visits
            if visit.name not in settling.backward and not backward.is_saver(visit.name)
        ]
        self.frozen, _ = settling.inference(frozen, cuts, roots, train)
        self.live = settling.live(self.frozen, cuts)
        given_cuts = [graph.parse(name) for name in cuts]
        self.roles = Roles(settling, self.live, model, given_cuts)
        self.ends = ends.find(self.roles)
        self.handed_over = trainings.handed_over(self.roles)
        self.drawn: list[Tensor] = [] if cuts else self._drawn(model)
        self.doubtful = self._doubtful()
        self.other_ends: list[End] = []
        if self.doubtful and not cuts:
            self.other_ends = self.ends
            self.roles = Roles(settling, self.live, model, labels=self.doubtful, drawn=self.drawn)
            self.ends = ends.find(self.roles)
        self.constants: list[Tensor] = []
        if not cuts and not self.ends and not self.roles.data:
            self.constants = self.roles.constant_data()
        if self.constants:
            self.roles = Roles(settling, self.live, model, cuts=self.constants)
            self.ends = ends.find(self.roles)
        self.made_up: list[Tensor] = []
        if not cuts and not self.ends and not self.roles.data and (own := self.roles.own_data()):
            self.roles = Roles(settling, self.live, model, drawn=own)
            self.made_up = self.roles.data
            self.ends = ends.find(self.roles)

    def _drawn(self, model: Graph) -> list[Tensor]:
        """Takes random numbers for data where one training makes of them what another one reads."""
        drawn = self.roles.drawn_data()
        if not drawn:
            return []
        roles = Roles(self.settling, self.live, model, drawn=drawn)
        handed_over = trainings.handed_over(roles)
        used = [tensor for tensor in drawn if any(tensor in roles.sources_of(made.node) for made in handed_over)]
        if used:
            self.roles, self.handed_over = roles, handed_over
            self.ends = ends.find(roles)
        return used

    def _doubtful(self) -> list[Tensor]:
        """What is combined with weights as data is, but is named like a label: a loss may look weights up by its labels."""
        if all(end.kind == "unread" for end in self.ends):
            return []
        labels = [tensor for tensor in self.roles.data if _LABEL_NAME.search(tensor.node)]
        return labels if len(labels) < len(self.roles.data) else []

    def named(
        self, tensors: list[Tensor], why: Mapping[Tensor, str], keyed: Mapping[Tensor, str] = MappingProxyType({})
    ) -> list[Named]:
        """Returns the tensors with the keys that are set for them, or that their names, or what they are, suggest."""
        # What a person named has the first claim on that name.
        order = sorted(tensors, key=lambda tensor: not naming.is_given(self.index[tensor.node]))
        keys = naming.unique([keyed.get(tensor) or self.key(tensor) for tensor in order])
        key_of = dict(zip(order, keys, strict=True))
        return [Named(key_of[tensor], tensor.name, why[tensor]) for tensor in tensors]

    def named_inputs(self, tensors: list[Tensor], why: Mapping[Tensor, str]) -> list[Named]:
        """Returns the tensors with keys; one alone that nobody named is "x", which says as much as "Placeholder"."""
        named = self.named(tensors, why)
        labels = self.roles.labels
        nameless = [at for at, tensor in enumerate(tensors) if self._is_nameless(tensor) and tensor not in labels]
        if len(nameless) != 1:
            return named
        keys = naming.unique(["x" if at == nameless[0] else choice.key for at, choice in enumerate(named)])
        return [dataclasses.replace(choice, key=key) for choice, key in zip(named, keys, strict=True)]

    def _is_nameless(self, tensor: Tensor) -> bool:
        given = naming.is_given(self.index[tensor.node]) or tensor in self.drawn
        return not given and self._known(tensor) is None

    def _known(self, tensor: Tensor) -> str | None:
        """What the graph calls the data of a source elsewhere; a placeholder that a person named is called that."""
        node = self.index[tensor.node]
        return None if node.op in ops.PLACEHOLDERS and naming.is_given(node) else sources.name(self.index, tensor)

    def key(self, tensor: Tensor) -> str:
        """Returns the key that a tensor goes by."""
        node = self.index[tensor.node]
        if node.op in ops.SOURCES:
            known = self._known(tensor)
            return naming.as_key(known) if known else naming.key(node, tensor.index, naming.leaf(node.name))
        if node.op == _UNPACKS:
            return f"{self.key(self.live.data(node)[0])}_{_SPARSE[tensor.index]}"
        if tensor in self.drawn and not naming.is_given(node):
            return "noise"
        if node.op in DECODERS:
            return _decoded(tensor.index, len(graph.output_types(node)))
        if node.op == "ArgMax" and not naming.is_given(node):
            # Its scope is that of the metric that compares it.
            return _ROLES[node.op]
        role = _ROLES.get(node.op, "output")
        readers = {reader.op for reader, _ in self.index.consumers(tensor.node)}
        if readers & {"Softmax", "Sigmoid", "LogSoftmax", "SparseSoftmaxCrossEntropyWithLogits"}:
            role = "logits"
        return naming.key(node, tensor.index, role)

    def reads(self, tensor: Tensor, others: Iterable[Tensor]) -> bool:
        """Returns whether a tensor is computed from one of the others."""
        needed = self.live.needed([tensor])
        return any(other.node in needed for other in others if other != tensor)

    def same_weights(self, tensor: Tensor, other: Tensor) -> bool:
        """Returns whether the same weights meet the same values on the way to both tensors.

        Then one says in another way what the other says.
        """
        met = [self.roles.mixing.intersection(self.live.needed([end])) for end in (tensor, other)]
        return met[0] == met[1]

    def shares_weights(self, tensor: Tensor, other: Tensor) -> bool:
        """Returns whether both tensors are computed with one trained variable: a head beside another, a step of a trunk."""
        used = [self.trained(self.live.needed([end])) for end in (tensor, other)]
        return not used[0].isdisjoint(used[1])

    def trained(self, names: Iterable[str]) -> set[str]:
        """Returns the trained variables among some nodes."""
        return {
            name for name in names if self.index.kinds.get(name) in ops.VARIABLES and self.roles.mask(name) & TRAINED
        }

    def cuts(self, tensor: Tensor) -> list[Tensor]:
        """Returns where to cut for a source: of a sparse tensor that a dataset packed into one, its three parts."""
        readers = [node for node in self.roles.readers(tensor.node) if tensor in self.live.data(node)]
        if len(readers) == 1 and readers[0].op == _UNPACKS:
            return [Tensor(readers[0].name, at) for at in range(len(_SPARSE))]
        return [self.input_tensor(tensor)]

    def input_tensor(self, tensor: Tensor) -> Tensor:
        """Returns where to cut for a source: behind a queue or an iterator, the last name given to the same value."""
        if self.roles.is_plain_placeholder(tensor):
            return tensor
        readers = [node for node in self.roles.readers(tensor.node) if tensor in self.live.data(node)]
        if len(readers) == 1 and readers[0].op == "Identity" and naming.is_given(readers[0]):
            return self.input_tensor(Tensor(readers[0].name))
        return tensor


def _decoded(at: int, count: int) -> str:
    """What an output of a CTC decoder holds: of all paths the indices, then the values, then the shapes; last, how likely."""
    if at == count - 1:
        return "log_probability"
    return ("decoded_indices", "decoded_values", "decoded_shape")[3 * at // (count - 1)]
