"""Which signatures the export gets, and which graph answers each."""

import dataclasses
from collections.abc import Mapping

from export_v1 import errors, graph, interface, report, source, variant
from export_v1.graph import Index, parse
from export_v1.request import Request

DEFAULT = "serving_default"
TRAIN = "train"


@dataclasses.dataclass(frozen=True)
class Plan:
    """The variants to build.

    Attributes:
        variants: inference first; the first one's nodes have no prefix.
        default: key of the signature whose answers are recorded.
        aliases: signature key -> further keys for the same.
        choices: everything that was not given, with reasons.
        frozen: tensor -> value in inference.
        train_frozen: tensor -> value in training.
        original_nodes: size of the graph as it was found.
    """

    variants: tuple[variant.Variant, ...]
    default: str
    aliases: Mapping[str, tuple[str, ...]]
    choices: tuple[interface.Choice, ...]
    frozen: Mapping[str, object]
    train_frozen: Mapping[str, object]
    original_nodes: int

    def described(self) -> dict[str, dict[str, object]]:
        """Returns, by signature key, its inputs and outputs as the record has them, in call order."""
        found = {}
        for one in self.variants:
            index = Index(one.model.graph_def)
            for key, signature in one.signatures.items():
                inputs = {
                    name: report.tensor(cut.tensor, cut.dtype, cut.shape) for name, cut in signature.inputs.items()
                }
                outputs = {name: _described(index, tensor) for name, tensor in signature.outputs.items()}
                for name in (key, *self.aliases.get(key, ())):
                    found[name] = {"inputs": inputs, "outputs": outputs}
        return found


def _described(index: Index, name: str) -> dict[str, object]:
    tensor = parse(name)
    node = index[tensor.node]
    return report.tensor(name, index.data_type(tensor), graph.recorded_shape(node, tensor.index))


def variants(model: source.Source, request: Request) -> Plan:
    """Returns what to build for a model.

    A model without signatures of its own gets `serving_default` from the inputs and outputs asked for or chosen, and
    `train` where values for training are given or the model has a graph for it.

    Raises:
        ExportError: what is asked for does not fit the model; see `interface.resolve`.
    """
    place = f"graph {model.path}"
    if model.graph.signatures and not (request.inputs or request.outputs):
        planned = _kept_signatures(model, request, place)
    else:
        planned = _one_signature(model, request, place)
    losses = variant.regularization_losses(model.graph, _variables(planned.variants[0]))
    first = dataclasses.replace(planned.variants[0], losses=losses)
    return dataclasses.replace(planned, variants=(first, *planned.variants[1:]))


def _one_signature(model: source.Source, request: Request, place: str) -> Plan:
    chosen = interface.resolve(
        model.graph,
        place=place,
        inputs=request.inputs,
        outputs=request.outputs,
        freeze=request.freeze,
        train_freeze=request.train_freeze,
    )
    serving = variant.Signature(chosen.inputs, chosen.outputs, chosen.frozen)
    planned = [variant.Variant("", model.graph, {DEFAULT: serving})]
    if chosen.train_frozen or request.train_freeze:
        training = variant.Signature(chosen.inputs, chosen.outputs, chosen.train_frozen)
        planned.append(_training(model.graph, training, planned[0]))
    return Plan(
        variants=tuple(planned),
        default=DEFAULT,
        aliases={},
        choices=tuple(chosen.choices),
        frozen=chosen.frozen,
        train_frozen=chosen.train_frozen,
        original_nodes=len(model.graph.graph_def.node),
    )


def _training(model: source.Graph, signature: variant.Signature, serving: variant.Variant) -> variant.Variant:
    updates = variant.update_ops(model, signature, _variables(serving))
    return variant.Variant(f"{TRAIN}/", model, {TRAIN: signature}, updates=updates)


def _variables(one: variant.Variant) -> set[str]:
    """Returns the names of the variables that a variant's outputs reach in the graph as it was written."""
    index = Index(one.model.graph_def)
    stops = {parse(name).node for name in (*one.cuts, *one.frozen)}
    outputs = [parse(tensor).node for signature in one.signatures.values() for tensor in signature.outputs.values()]
    reached = index.ancestors(outputs, stop=stops)
    return {name for name in reached if index[name].op in graph.VARIABLES}


def _kept_signatures(model: source.Source, request: Request, place: str) -> Plan:
    raise errors.ExportError(f"{place} has signatures of its own: {errors.quoted(model.graph.signatures)}.")
