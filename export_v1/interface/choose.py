"""Chooses a graph's inputs and outputs, or says why they are not clear."""

import dataclasses
from collections.abc import Mapping

from export_v1.interface import copies, doubts, given, naming
from export_v1.interface.anatomy import Anatomy, Named
from export_v1.interface.ends import End, beside_data
from export_v1.interface.roles import OTHER_VARIABLE, TRAINED, is_number
from export_v1.interface.settle import Settling
from export_v1.interface.types import Choice
from export_v1.ir import graph
from export_v1.ir.graph import NodeDef, Tensor


def outputs(anatomy: Anatomy) -> tuple[list[Named], str]:
    """Returns the outputs chosen and "", or nothing and the reason why they are not clear."""
    served, beside = copies.to_serve(anatomy, _fed_by_hand(anatomy))
    chosen, doubt = _chosen(anatomy, served)
    doubt = doubts.about_inputs(anatomy) or doubt or doubts.about_outputs(anatomy, chosen)
    if doubt:
        return [], doubt
    tensors = [end.tensor for end in chosen]
    why = {end.tensor: "; ".join(filter(None, (_why_output(anatomy, end), beside))) for end in chosen}
    named = {end.tensor: f"next_{anatomy.key(end.old)}" for end in chosen if end.old is not None}
    encoded = _first_token_encoder(anatomy, tensors)
    if encoded is not None:
        tensors, why = [*tensors, encoded], {**why, encoded: "the pooled answer is made of its first position"}
        pair = anatomy.named(tensors, why)
        return [dataclasses.replace(pair[0], key="pooled"), dataclasses.replace(pair[1], key="sequence")], ""
    return anatomy.named(tensors, why, named), ""


def _why_output(anatomy: Anatomy, end: End) -> str:
    read = [
        other.tensor for other in anatomy.ends if other.kind != "unread" and anatomy.reads(end.tensor, [other.tensor])
    ]
    if end.kind != "unread" or not read:
        return end.why
    return f"it is computed from {read[0].name}, which the loss uses, and {end.why}"


def _chosen(anatomy: Anatomy, served: list[End]) -> tuple[list[End], str]:
    """The ends that are answers, less those that another says better; or what else may be an answer too."""
    ends = [end for end in served if not _left_over(anatomy, end)]
    answers = [end for end in ends if end.kind != "unread"]
    # What is held against data may be an answer, too, and is no end.
    whole = not beside_data(anatomy.roles).keys() - {end.tensor for end in ends}
    for end in ends:
        if end.kind != "unread":
            continue
        if (
            not answers
            or naming.is_given(anatomy.index[end.tensor.node])
            or anatomy.reads(end.tensor, [other.tensor for other in answers])
            or any(anatomy.same_weights(end.tensor, other.tensor) for other in answers if other.kind != "unread")
        ):
            answers.append(end)
        elif all(answer.kind == "unread" for answer in answers) or (
            whole and any(anatomy.shares_weights(end.tensor, other.tensor) for other in answers)
        ):
            answers.append(end)
        else:
            return [], f"{end.tensor.name!r} may be an answer too: nothing reads it"
    return [end for end in answers if not _said_better(anatomy, end, answers)], ""


def _left_over(anatomy: Anatomy, end: End) -> bool:
    """Whether nothing reads an end, nobody named it and it is data in another form: got ready for a loss, say."""
    if end.kind != "unread" or naming.is_given(anatomy.index[end.tensor.node]):
        return False
    number = is_number(given.tensor_type(anatomy.index, end.tensor))
    return number and not anatomy.roles.mask(end.tensor.node) & (TRAINED | OTHER_VARIABLE)


def _fed_by_hand(anatomy: Anatomy) -> list[End]:
    """The ends, but where one model reads placeholders and its like read queues, those of the first.

    Queues and iterators ran in training only; who built the same model again on placeholders meant to serve that one.
    """
    by_sources: dict[tuple[Tensor, ...], list[End]] = {}
    for end in anatomy.ends:
        by_sources.setdefault(tuple(anatomy.roles.needed_sources([end.tensor.node])), []).append(end)
    by_hand = [key for key in by_sources if all(map(anatomy.roles.is_plain_placeholder, key))]
    by_queue = [
        key
        for key in by_sources
        if not any(anatomy.roles.is_plain_placeholder(source) or source in anatomy.drawn for source in key)
    ]
    if len(by_hand) == 1 and len(by_hand) + len(by_queue) == len(by_sources):
        return by_sources[by_hand[0]]
    return anatomy.ends


def _said_better(anatomy: Anatomy, end: End, answers: list[End]) -> bool:
    """Whether another answer is this one with a name of its own, or its Sigmoid, which loses nothing, with one."""
    if naming.is_given(anatomy.index[end.tensor.node]):
        return False
    for reader, _ in anatomy.index.tensor_consumers(end.tensor):
        if any(reader.name == other.tensor.node for other in answers):
            if (naming.is_answer(reader) and reader.op != "ArgMax") or (
                reader.op == "Sigmoid" and naming.is_given(reader)
            ):
                return True
    return False


def _first_token_encoder(anatomy: Anatomy, tensors: list[Tensor]) -> Tensor | None:
    """The sequence that the only output is pooled from, where the model is an encoder with nothing behind it.

    Such a model has two answers, one for the text and one for each token: tanh(dense(sequence[:, 0])) and the sequence.
    """
    if len(tensors) != 1 or anatomy.index[tensors[0].node].op != "Tanh":
        return None
    at, seen_slice = anatomy.index[tensors[0].node], False
    while at is not None:
        above = [anatomy.index[source.node] for source in anatomy.live.data(at) if anatomy.roles.in_model(source.node)]
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
    order = anatomy.index.order
    entries = settling.entries(settled, tensors)
    needed = [graph.parse(name) for name in (*entries, *settling.unfed(settled, entries, tensors))]
    needed.sort(key=lambda tensor: (order[tensor.node], tensor.index))
    needed = [tensor for tensor in needed if not given.is_bool(anatomy.index, tensor)]
    why = {cut: _why_input(anatomy, tensor) for tensor in needed for cut in anatomy.cuts(tensor)}
    return anatomy.named_inputs(list(why), why)


def undecided(settling: Settling, name: str) -> str:
    """Returns why a needed tensor was not chosen for an input."""
    return f"the outputs depend on {name!r}, a {settling.describe(name)}, and the ops that read it do not show what it is for"


def _why_input(anatomy: Anatomy, tensor: Tensor) -> str:
    node: NodeDef = anatomy.index[tensor.node]
    if node.op == "PlaceholderWithDefault":
        return "the outputs depend on this placeholder, and its default is data or stands for a batch"
    if anatomy.roles.is_plain_placeholder(tensor):
        return "the outputs depend on this placeholder"
    return f"the outputs depend on this {node.op}, and what fills it ran only in training"


def as_choices(what: str, chosen: list[Named]) -> list[Choice]:
    """Returns the record of a choice of inputs or outputs."""
    return [Choice(f"{what} {choice.key!r} is {choice.tensor}", choice.why) for choice in chosen]
