"""Chooses a graph's inputs and outputs, or says why they are not clear."""

import dataclasses
import re
from collections.abc import Mapping
from types import MappingProxyType

from export_v1 import errors
from export_v1.analysis import constants
from export_v1.interface import backward, ends, given, naming, sources, trainings
from export_v1.interface.ends import End
from export_v1.interface.results import DECODERS
from export_v1.interface.roles import Roles
from export_v1.interface.settle import Settling
from export_v1.interface.types import Choice
from export_v1.ir import graph, ops
from export_v1.ir.graph import Index, NodeDef, Tensor
from export_v1.model import Graph

MOST_OUTPUTS = 6
# What a tensor that nobody named is called, by the op that makes it.
_ROLES = {
    "ArgMax": "classes",
    "LookupTableFind": "label",
    "LookupTableFindV2": "label",
    "Sigmoid": "probabilities",
    "Softmax": "probabilities",
}
_LABEL_NAME = re.compile(r"label|target|truth|answer|(^|/)y_*(_true)?(_\d+)?$", re.IGNORECASE)


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
        handed_over: results of one training's variables that go into those of another -> the nodes that take them.
    """

    def __init__(self, model: Graph, settling: Settling, frozen: Mapping[str, object], cuts: list[str], train):
        self.index: Index = settling.index
        self.settling = settling
        roots = [
            f"{node.name}:0"
            for node in settling.ordered.nodes
            if node.name not in settling.backward and not backward.is_saver(node)
        ]
        self.frozen, _ = settling.inference(frozen, cuts, roots, train)
        self.live = settling.live(self.frozen, cuts)
        given_cuts = [graph.parse(name) for name in cuts]
        self.roles = Roles(settling, self.live, model, given_cuts)
        self.ends = ends.find(self.roles)
        self.handed_over = trainings.handed_over(self.roles)
        self.doubtful = self._doubtful()
        self.other_ends: list[End] = []
        if self.doubtful and not cuts:
            self.other_ends = self.ends
            self.roles = Roles(settling, self.live, model, labels=self.doubtful)
            self.ends = ends.find(self.roles)
        self.constants: list[Tensor] = []
        if not cuts and not self.ends and not self.roles.data:
            self.constants = self.roles.constant_data()
        if self.constants:
            self.roles = Roles(settling, self.live, model, cuts=self.constants)
            self.ends = ends.find(self.roles)

    def _doubtful(self) -> list[Tensor]:
        """What meets weights as data does, but has the name of a label: a loss may look weights up by its labels."""
        if all(end.kind == "unread" for end in self.ends):
            return []
        found = [tensor for tensor in self.roles.data if _LABEL_NAME.search(tensor.node)]
        return found if len(found) < len(self.roles.data) else []

    def named(
        self, tensors: list[Tensor], why: Mapping[Tensor, str], keyed: Mapping[Tensor, str] = MappingProxyType({})
    ) -> list[Named]:
        """Returns the tensors with the keys that are set for them, or that their names, or what they are, suggest."""
        keys = naming.unique([keyed.get(tensor) or self.key(tensor) for tensor in tensors])
        return [Named(key, tensor.name, why[tensor]) for key, tensor in zip(keys, tensors, strict=True)]

    def named_inputs(self, tensors: list[Tensor], why: Mapping[Tensor, str]) -> list[Named]:
        """Returns the tensors with keys; one alone that nobody named is "x", which says as much as "Placeholder"."""
        named = self.named(tensors, why)
        labels = self.roles.labels
        nameless = [at for at, one in enumerate(tensors) if self._is_nameless(one) and one not in labels]
        if len(nameless) != 1:
            return named
        keys = naming.unique(["x" if at == nameless[0] else one.key for at, one in enumerate(named)])
        return [dataclasses.replace(one, key=key) for one, key in zip(named, keys, strict=True)]

    def _is_nameless(self, tensor: Tensor) -> bool:
        return not naming.is_given(self.index[tensor.node]) and self._known(tensor) is None

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

    def input_tensor(self, tensor: Tensor) -> Tensor:
        """Returns where to cut for a source: behind a queue or an iterator, the last name given to the same value."""
        if self.roles.is_plain_placeholder(tensor):
            return tensor
        readers = [node for node in self.roles.nodes if tensor in self.live.data(node)]
        if len(readers) == 1 and readers[0].op == "Identity" and naming.is_given(readers[0]):
            return self.input_tensor(Tensor(readers[0].name))
        return tensor


def _decoded(at: int, count: int) -> str:
    """What an output of a CTC decoder holds: of all paths the indices, then the values, then the shapes; last, how likely."""
    if at == count - 1:
        return "log_probability"
    return ("decoded_indices", "decoded_values", "decoded_shape")[3 * at // (count - 1)]


def outputs(anatomy: Anatomy) -> tuple[list[Named], str]:
    """Returns the outputs chosen and "", or nothing and the reason why they are not clear."""
    chosen, doubt = _chosen(anatomy)
    if anatomy.doubtful:
        doubt = f"{anatomy.doubtful[0].name!r} meets weights as data does, but has the name of a label"
    if anatomy.constants:
        names = errors.quoted(tensor.name for tensor in anatomy.constants)
        doubt = f"the data are constants of the graph, {names}: --input cuts there, an --output alone keeps them"
    doubt = doubt or _doubt(anatomy, chosen)
    if doubt:
        return [], doubt
    tensors = [end.tensor for end in chosen]
    why = {end.tensor: _why_output(anatomy, end) for end in chosen}
    named = {end.tensor: f"next_{anatomy.key(end.old)}" for end in chosen if end.old is not None}
    encoded = _first_token_encoder(anatomy, tensors)
    if encoded is not None:
        tensors, why = [*tensors, encoded], {**why, encoded: "the pooled answer is made of its first position"}
        pair = anatomy.named(tensors, why)
        return [dataclasses.replace(pair[0], key="pooled"), dataclasses.replace(pair[1], key="sequence")], ""
    return anatomy.named(tensors, why, named), ""


def _why_output(anatomy: Anatomy, end: End) -> str:
    read = [one.tensor for one in anatomy.ends if one.kind != "unread" and _reads(anatomy, end.tensor, [one])]
    if end.kind != "unread" or not read:
        return end.why
    return f"it is computed from {read[0].name}, which the loss takes from the model, and {end.why}"


def _chosen(anatomy: Anatomy) -> tuple[list[End], str]:
    """The ends that are answers, less those that another says better; or what else may be an answer too."""
    found = _fed_by_hand(anatomy)
    taken = [end for end in found if end.kind != "unread"]
    for end in found:
        if end.kind != "unread":
            continue
        if (
            not taken
            or naming.is_given(anatomy.index[end.tensor.node])
            or _reads(anatomy, end.tensor, taken)
            or any(_same_weights(anatomy, end, other) for other in taken if other.kind != "unread")
        ):
            taken.append(end)
        elif all(one.kind == "unread" for one in taken):
            taken.append(end)
        else:
            return [], f"{end.tensor.name!r} may be an answer too: nothing reads it"
    return [end for end in taken if not _said_better(anatomy, end, taken)], ""


def _fed_by_hand(anatomy: Anatomy) -> list[End]:
    """The ends, but where one model reads placeholders and its like read queues, those of the first.

    Queues and iterators ran in training only; who built the same model again on placeholders meant to serve that one.
    """
    by_sources: dict[tuple[Tensor, ...], list[End]] = {}
    for end in anatomy.ends:
        by_sources.setdefault(tuple(anatomy.roles.needed_sources([end.tensor.node])), []).append(end)
    by_hand = [key for key in by_sources if all(map(anatomy.roles.is_plain_placeholder, key))]
    by_queue = [key for key in by_sources if not any(map(anatomy.roles.is_plain_placeholder, key))]
    if len(by_hand) == 1 and len(by_hand) + len(by_queue) == len(by_sources):
        return by_sources[by_hand[0]]
    return anatomy.ends


def _reads(anatomy: Anatomy, tensor: Tensor, others: list[End]) -> bool:
    """Whether a tensor is computed from one of the other ends."""
    mine = anatomy.live.needed([tensor])
    return any(other.tensor.node in mine for other in others if other.tensor != tensor)


def _same_weights(anatomy: Anatomy, end: End, other: End) -> bool:
    """Whether the same weights meet the same values on the way to both: then one says differently what the other says."""
    met = [anatomy.roles.mixing.intersection(anatomy.live.needed([one.tensor])) for one in (end, other)]
    return met[0] == met[1]


def _said_better(anatomy: Anatomy, end: End, taken: list[End]) -> bool:
    """Whether another answer is this one with a name of its own, or its Sigmoid, which loses nothing."""
    if naming.is_given(anatomy.index[end.tensor.node]):
        return False
    for reader, _ in anatomy.index.tensor_consumers(end.tensor):
        if any(reader.name == other.tensor.node for other in taken):
            if (naming.is_answer(reader) and reader.op != "ArgMax") or reader.op == "Sigmoid":
                return True
    return False


def _doubt(anatomy: Anatomy, chosen: list[End]) -> str:
    """Why the choice is not clear, or ""."""
    roles = anatomy.roles
    if not chosen and not roles.sources:
        return "no data comes in; what is made of weights alone can be an --output, and the export takes no input then"
    if not chosen:
        return "no tensor is found that depends on both data and weights and ends the model"
    if not roles.has_loss and len(chosen) > 1 and (scalars := [end for end in chosen if roles.is_scalar(end.tensor)]):
        return f"nothing was trained here, so {scalars[0].tensor.name!r} may be the answer, or measure one"
    nested = [end.tensor.name for end in chosen if end.nested]
    if nested:
        return f"another answer is computed from {nested[0]!r} through more weights, so it may be no answer itself"
    needed = {end.tensor.name: tuple(roles.needed_sources([end.tensor.node])) for end in chosen}
    if len(set(needed.values())) > 1:
        first, second = next((a, b) for a in needed for b in needed if needed[a] != needed[b])
        return f"{first!r} and {second!r} depend on different inputs: there is more than one model in the graph"
    if len(chosen) > MOST_OUTPUTS:
        return f"{len(chosen)} tensors may be answers"
    if roles.margins():
        return f"labels change {chosen[0].tensor.name!r} before the loss compares it, as losses of embeddings do"
    pair = _compared_pair(anatomy, chosen)
    if pair:
        return f"{errors.quoted(one.name for one in pair)} meet the same weights, so the answer may be of one of them"
    for tensor in anatomy.handed_over:
        reading = next((end.tensor.name for end in chosen if _reads(anatomy, end.tensor, [End(tensor, "unread")])), "")
        if reading:
            return f"{reading!r} is computed from {tensor.name!r}, which other variables are trained to give"
    for end in chosen:
        if end.kind == "in the loss" and not roles.labels and (better := _named_before(anatomy, end)):
            return f"the loss reads {end.tensor.name!r}, which is computed from {better!r} without weights"
    random = _random(anatomy, [end.tensor for end in chosen])
    return f"the answer depends on random numbers drawn in {random!r}" if random else ""


def _compared_pair(anatomy: Anatomy, chosen: list[End]) -> frozenset[Tensor]:
    """Inputs that an answer without a name compares after the same weights have met each: a siamese network's."""
    roles = anatomy.roles
    pairs = roles.towers(lookups=False) + ([] if roles.labels else roles.towers(lookups=True))
    for end in chosen:
        if not naming.is_given(anatomy.index[end.tensor.node]):
            for pair in pairs:
                if pair <= set(roles.sources_of(end.tensor.node)):
                    return pair
    return frozenset()


def _named_before(anatomy: Anatomy, end: End) -> str:
    """A tensor that a person named, behind the last weights of an end that nobody did; "" where there is none."""
    roles = anatomy.roles
    if naming.is_given(anatomy.index[end.tensor.node]):
        return ""
    for name in anatomy.live.needed([end.tensor], ops.SOURCES):
        node = anatomy.index[name]
        named = name not in roles.mixing and roles.in_model(name) and naming.is_given(node)
        if named and not naming.is_step(name) and not naming.about_loss(name) and not roles.is_scalar(Tensor(name)):
            if name != end.tensor.node and _same_weights(anatomy, End(Tensor(name), "unread"), end):
                return f"{name}:0"
    return ""


def _random(anatomy: Anatomy, tensors: list[Tensor]) -> str:
    """The first node that draws random numbers for the tensors, except for a dropout that drops nothing; or ""."""
    harmless: set[str] = set()
    for dropout in anatomy.settling.flags.dropouts:
        if constants.equals(anatomy.live.known.get(dropout.rate), dropout.off):
            harmless |= anatomy.index.ancestors([dropout.node])
    needed = anatomy.live.needed(tensors, ops.SOURCES)
    return next((name for name in needed if ops.is_random(anatomy.index[name].op) and name not in harmless), "")


def _first_token_encoder(anatomy: Anatomy, tensors: list[Tensor]) -> Tensor | None:
    """The sequence that the only output is pooled from, where the model is an encoder with nothing behind it.

    Such a model has two answers, one for the text and one for each token: tanh(dense(sequence[:, 0])) and the sequence.
    """
    if len(tensors) != 1 or anatomy.index[tensors[0].node].op != "Tanh":
        return None
    at, seen_slice = anatomy.index[tensors[0].node], False
    while at is not None:
        above = [anatomy.index[one.node] for one in anatomy.live.data(at) if anatomy.roles.in_model(one.node)]
        if len(above) != 1:
            return None
        at = above[0]
        seen_slice = seen_slice or at.op == "StridedSlice"
        if at.op not in ("BiasAdd", "Add", "AddV2", "MatMul", "StridedSlice", "Squeeze", "Reshape"):
            return None
        if seen_slice and at.op == "StridedSlice":
            sequence = graph.data_inputs(at)[0]
            shape = graph.recorded_shape(anatomy.index[sequence.node], sequence.index)
            return sequence if shape is not None and len(shape) == 3 else None
    return None


def inputs(anatomy: Anatomy, tensors: list[str], frozen: Mapping[str, object], train) -> list[Named]:
    """Returns the inputs that the outputs `tensors` need, in graph order.

    A bool is not among them: it says how to compute, and one that is no flag by what reads it has to be asked about.

    Args:
        anatomy: of the graph.
        tensors: names of the outputs.
        frozen: the values given for inference.
        train: the values given for training.
    """
    settling = anatomy.settling
    settled, _ = settling.inference(frozen, [], tensors, train)
    order = {node.name: at for at, node in enumerate(anatomy.index.graph_def.node)}
    entries = settling.entries(settled, tensors)
    needed = [graph.parse(name) for name in (*entries, *settling.unfed(settled, entries, tensors))]
    needed.sort(key=lambda tensor: (order[tensor.node], tensor.index))
    found = [anatomy.input_tensor(tensor) for tensor in needed if not given.is_bool(anatomy.index, tensor)]
    return anatomy.named_inputs(found, {tensor: _why_input(anatomy, tensor) for tensor in found})


def undecided(settling: Settling, name: str) -> str:
    """Returns why a needed tensor was not chosen for an input."""
    return f"the outputs depend on {name!r}, a {settling.describe(name)}, and what reads it does not tell its use"


def _why_input(anatomy: Anatomy, tensor: Tensor) -> str:
    node: NodeDef = anatomy.index[tensor.node]
    if node.op == "PlaceholderWithDefault":
        return "the outputs depend on this placeholder, and its default is data or stands for a batch"
    if anatomy.roles.is_plain_placeholder(tensor):
        return "the outputs depend on this placeholder"
    return f"the outputs depend on this {node.op}, and what fills it ran only in training"


def as_choices(what: str, chosen: list[Named]) -> list[Choice]:
    """Returns the record of a choice of inputs or outputs."""
    return [Choice(f"{what} {one.key!r} is {one.tensor}", one.why) for one in chosen]
