"""Which signatures the export gets, and which graph answers each."""

import dataclasses
import keyword
import re
from collections.abc import Mapping

import tensorflow as tf

from export_v1 import errors, interface
from export_v1.format.record import TRAINING_SIGNATURES, ResumeEntry, SignatureEntry, TensorEntry
from export_v1.ir import graph, ops
from export_v1.ir.graph import Index, parse
from export_v1.model import DeclaredSignature, Graph, Source
from export_v1.planning import grouping, resuming, variant
from export_v1.request import Request
from export_v1.weights import restore

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
        warnings: what the user should know of it.
        resume: the training that can be gone on with; None where that is not asked for.
        chosen: inputs, outputs and frozen values of a model without signatures of its own.
    """

    variants: tuple[variant.Variant, ...]
    default: str
    aliases: Mapping[str, tuple[str, ...]]
    choices: tuple[interface.Choice, ...]
    frozen: Mapping[str, object]
    train_frozen: Mapping[str, object]
    original_nodes: int
    warnings: tuple[str, ...] = ()
    resume: ResumeEntry | None = None
    chosen: interface.Interface | None = None

    @property
    def serving(self) -> variant.Variant:
        """The variant of the signature whose answers are recorded."""
        return next(planned for planned in self.variants if self.default in planned.signatures)

    @property
    def serving_inputs(self) -> Mapping[str, interface.Input]:
        """The inputs of the signature whose answers are recorded, by key."""
        return self.serving.signatures[self.default].inputs

    def described(self) -> dict[str, SignatureEntry]:
        """Returns, by signature key, its inputs and outputs as the record has them, in call order."""
        entries = {}
        for planned_variant in self.variants:
            index = planned_variant.model.index
            for key, signature in planned_variant.signatures.items():
                inputs = {name: _entry(cut.tensor, cut.dtype, cut.shape) for name, cut in signature.inputs.items()}
                outputs = {name: _described(index, tensor) for name, tensor in signature.outputs.items()}
                for name in (key, *self.aliases.get(key, ())):
                    entries[name] = SignatureEntry(inputs, outputs)
        return entries


def _described(index: Index, name: str) -> TensorEntry:
    tensor = parse(name)
    node = index[tensor.node]
    data_type = index.data_type(tensor)
    assert data_type is not None, f"the type is not known of {name!r}"
    return _entry(name, data_type, graph.recorded_shape(node, tensor.index))


def _entry(tensor: str, data_type: int, shape) -> TensorEntry:
    known = None if shape is None else [None if size is None else int(size) for size in shape]
    return TensorEntry(tensor, tf.as_dtype(data_type).base_dtype.name, known)


def variants(model: Source, request: Request, chosen: interface.Interface | None = None) -> Plan:
    """Returns what to build for a model.

    A model without signatures of its own gets `serving_default` from the inputs and outputs asked for or chosen, and
    `train` where values for training are given or the model has a graph for it.

    Args:
        model: what is exported.
        request: what is asked for.
        chosen: what goes in and out, where an earlier plan for the same model has settled it.

    Raises:
        ExportError: what is asked for does not fit the model; see `interface.resolve`.
    """
    place = f"graph {model.path}"
    if model.graph.signatures and not (request.inputs or request.outputs):
        planned = _kept_signatures(model, request, place)
    else:
        planned = _one_signature(model, request, place, chosen)
    if request.resume:
        planned = _resumed(planned, model, request, place)
    if request.optimize:
        planned = _inference_only(planned)
    stored = restore.reader(model.checkpoint)
    variants = [
        dataclasses.replace(planned_variant, kept_ops=tuple(request.keep_ops), stored=stored)
        for planned_variant in planned.variants
    ]
    # The same losses are in the graph for training, and in some modules in that one alone.
    for at, planned_variant in enumerate(variants):
        losses = variant.regularization_losses(planned_variant.model, _variables(planned_variant))
        if losses:
            variants[at] = dataclasses.replace(planned_variant, losses=losses)
            break
    return dataclasses.replace(planned, variants=tuple(variants))


def _inference_only(planned: Plan) -> Plan:
    """Returns a plan without a signature for training, which an optimized export cannot have."""
    kept = tuple(variant for variant in planned.variants if not variant.training)
    if len(kept) == len(planned.variants):
        return planned
    choice = interface.Choice(f"there is no signature {TRAIN!r}", "--optimize exports what is for inference alone")
    return dataclasses.replace(planned, variants=kept, choices=(*planned.choices, choice), train_frozen={})


def _resumed(planned: Plan, model: Source, request: Request, place: str) -> Plan:
    trained = model.train_graph if model.moving_averages and model.train_graph is not None else model.graph
    reserved = [
        key for planned_variant in planned.variants for key in planned_variant.signatures if key in TRAINING_SIGNATURES
    ]
    if reserved:
        raise errors.ExportError(
            f"The model has a signature {reserved[0]!r} of its own, which --resume needs for the training.\n"
            "  Export it without --resume."
        )
    prefixes = {key: _prefix(key, trained) for key in TRAINING_SIGNATURES}
    resumed = resuming.variants(trained, model.graph, planned.serving_inputs, request, place, prefixes)
    return dataclasses.replace(
        planned,
        variants=(*planned.variants, *resumed.variants),
        choices=(*planned.choices, *resumed.choices),
        train_frozen=resumed.frozen,
        resume=resumed.entry,
    )


def _one_signature(model: Source, request: Request, place: str, chosen: interface.Interface | None) -> Plan:
    chosen = chosen or interface.resolve(
        model.graph,
        place=place,
        inputs=request.inputs,
        outputs=request.outputs,
        freeze=request.freeze,
        train_freeze=request.train_freeze,
    )
    serving = variant.PlannedSignature(chosen.inputs, chosen.outputs, chosen.frozen)
    planned = [variant.Variant("", model.graph, {DEFAULT: serving})]
    # What was built for training alone is the graph for training as it is, unless something has to be set for it.
    built_so = bool(model.moving_averages) and _all_constants(model.graph, chosen.frozen)
    if chosen.train_frozen or request.train_freeze or built_so:
        training = variant.PlannedSignature(chosen.inputs, chosen.outputs, chosen.train_frozen)
        training_graph = model.train_graph if model.moving_averages else model.graph
        assert training_graph is not None, "inference uses moving averages, so the original graph is kept for training"
        planned.append(_training(training_graph, training, planned[0]))
    return Plan(
        variants=tuple(planned),
        default=DEFAULT,
        aliases={},
        choices=tuple(chosen.choices),
        frozen=chosen.frozen,
        train_frozen=chosen.train_frozen,
        original_nodes=len(model.graph.graph_def.node),
        chosen=chosen,
    )


def _all_constants(model: Graph, frozen: Mapping[str, object]) -> bool:
    index = model.index
    return all(parse(name).node in index and index[parse(name).node].op == "Const" for name in frozen)


def _training(model: Graph, signature: variant.PlannedSignature, serving: variant.Variant) -> variant.Variant:
    updates = variant.update_ops(model, signature, _variables(serving))
    return variant.Variant(_prefix(TRAIN, serving.model), model, {TRAIN: signature}, updates=updates, training=True)


def _variables(planned_variant: variant.Variant) -> set[str]:
    """Returns the names of the variables that a variant's outputs reach in the graph as it was written."""
    index = planned_variant.model.index
    stops = {parse(name).node for name in (*planned_variant.cuts, *planned_variant.frozen)}
    outputs = [
        parse(tensor).node for signature in planned_variant.signatures.values() for tensor in signature.outputs.values()
    ]
    reached = index.ancestors(outputs, stop=stops)
    return {name for name in reached if index[name].op in ops.VARIABLES}


def _kept_signatures(model: Source, request: Request, place: str) -> Plan:
    """Returns a plan with every signature that the source has; those that one graph can answer share a variant."""
    default, choices, aliases = _default(model.graph.signatures)
    chosen = _resolved(model.graph, default, request, place, request.train_freeze)
    settled, notes = {default: chosen}, [*choices, *chosen.choices]
    for key in model.graph.signatures:
        if key != default:
            try:
                settled[key] = _resolved(model.graph, key, request, place)
            except errors.ExportError as error:
                notes.append(interface.Choice(f"signature {key!r} is left out", _first_line(error)))
                continue
            notes += [choice for choice in settled[key].choices if choice not in notes]
    answers = {
        key: _signature(selection, model.graph.signatures[key].method_name) for key, selection in settled.items()
    }
    planned: list[variant.Variant] = []
    for keys in grouping.groups(model.graph.index, answers):
        prefix = _prefix(keys[0], model.graph) if planned else ""
        planned.append(variant.Variant(prefix, model.graph, {key: answers[key] for key in keys}))
    training = _training_kept(model, default, chosen, planned[0], request)
    if training is not None and TRAIN in answers:
        notes.append(interface.Choice(f"signature {TRAIN!r} stays the model's own", "it has one of that name"))
    elif training is not None:
        planned.append(training)
    trained = planned[-1].signatures.get(TRAIN) if training is not None else None
    return Plan(
        variants=tuple(planned),
        default=default,
        aliases=aliases,
        choices=tuple(notes),
        frozen=chosen.frozen,
        train_frozen=trained.frozen if trained is not None else {},
        original_nodes=len(model.graph.graph_def.node),
    )


def _first_line(error: errors.ExportError) -> str:
    return str(error).splitlines()[0]


def _default(signatures) -> tuple[str, list[interface.Choice], dict[str, tuple[str, ...]]]:
    """Returns the key of the signature that is `serving_default`, under that name or as an alias, and what to say."""
    if DEFAULT in signatures:
        return DEFAULT, [], {}
    # Hub modules call their main signature so; nothing else does.
    if "default" in signatures:
        key, why = "default", "what a Hub module answers by default"
    elif len(signatures) == 1:
        key, why = next(iter(signatures)), "the only signature"
    else:
        predicting = [key for key in sorted(signatures) if signatures[key].method_name == variant.PREDICT]
        key = (predicting or sorted(signatures))[0]
        why = f"the first by name of {len(signatures)} signatures, none of which is called so"
    return key, [interface.Choice(f"signature {key!r} is also {DEFAULT!r}", why)], {key: (DEFAULT,)}


def _resolved(model: Graph, key: str, request: Request, place: str, train_freeze=None) -> interface.Interface:
    """Returns what a signature of the model needs: its own inputs and outputs, and what has to be frozen for them.

    What is given with --freeze is no input any more. A placeholder with a default has that value, because this is how
    the signature has always answered; only what has none is chosen.
    """
    signature, index = model.signatures[key], model.index
    frozen = {parse(name).name for name in (*request.freeze, *(train_freeze or ()))}
    cuts, doubled = _one_key_each(
        {name: tensor for name, tensor in signature.inputs.items() if parse(tensor).name not in frozen}
    )
    names = set(cuts)
    renamed = {name: graph.fresh_name(f"{name}_", names) for name in cuts if keyword.iskeyword(name)}
    cuts = {renamed.get(name, name): tensor for name, tensor in cuts.items()}
    defaults = (
        grouping.defaults(index, signature.outputs.values(), cuts.values()) if model.answers_with_defaults else {}
    )
    freeze = {name: value for name, value in defaults.items() if name not in frozen} | dict(request.freeze)
    chosen = interface.resolve(
        model,
        place=f"signature {key!r} of {place}",
        inputs=cuts,
        outputs=signature.outputs,
        freeze=freeze,
        train_freeze=train_freeze,
    )
    shapes = {renamed.get(name, name): shape for name, shape in signature.shapes.items()}
    inputs = {
        name: source if source.shape is not None else dataclasses.replace(source, shape=shapes.get(name))
        for name, source in chosen.inputs.items()
    }
    resolutions = [
        interface.Choice(f"{name} is frozen to {value}", "the default that the signature has answered with")
        for name, value in defaults.items()
        if name not in frozen
    ]
    resolutions += [
        interface.Choice(f"input {name!r} of signature {key!r} is left out", f"it is the same tensor as {other!r}")
        for name, other in doubled.items()
    ]
    resolutions += [
        interface.Choice(
            f"input {name!r} of signature {key!r} is {new!r}",
            "a keyword of Python, which tf.saved_model.load takes for no argument's name",
        )
        for name, new in renamed.items()
    ]
    return dataclasses.replace(chosen, inputs=inputs, choices=(*resolutions, *chosen.choices))


def _one_key_each(inputs: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Returns the inputs without a second key for the same tensor, and which key each one left out is the same as.

    A TensorFlow 1 Session refuses to feed a tensor twice, so no caller can have given both.
    """
    keys: dict[str, str] = {}
    doubled: dict[str, str] = {}
    for name, tensor in inputs.items():
        first = keys.setdefault(parse(tensor).name, name)
        if first != name:
            doubled[name] = first
    return {name: tensor for name, tensor in inputs.items() if name not in doubled}, doubled


def _signature(chosen: interface.Interface, method_name: str) -> variant.PlannedSignature:
    # Hub modules leave the method name empty, and TensorFlow Serving refuses such a signature.
    return variant.PlannedSignature(chosen.inputs, chosen.outputs, chosen.frozen, method_name or variant.PREDICT)


def _training_kept(model, default: str, chosen, serving: variant.Variant, request: Request) -> variant.Variant | None:
    """Returns the `train` variant of a model that has signatures: from its training graph, or from values given."""
    if model.train_graph is not None:
        signatures = model.train_graph.signatures
        if default not in signatures or not _same_keys(signatures[default], model.graph.signatures[default]):
            return None
        place = f"training graph of {model.path}"
        given = dataclasses.replace(request, freeze={}, train_freeze={})
        train_index = model.train_graph.index
        values = {**request.freeze, **request.train_freeze}
        values = {name: value for name, value in values.items() if parse(name).node in train_index}
        trained = _resolved(model.train_graph, default, dataclasses.replace(given, freeze=values), place)
        signature = variant.PlannedSignature(trained.inputs, trained.outputs, trained.frozen)
        return _training(model.train_graph, signature, serving)
    if not request.train_freeze:
        return None
    return _training(model.graph, variant.PlannedSignature(chosen.inputs, chosen.outputs, chosen.train_frozen), serving)


def _same_keys(first: DeclaredSignature, second: DeclaredSignature) -> bool:
    return first.inputs.keys() == second.inputs.keys() and first.outputs.keys() == second.outputs.keys()


def _prefix(key: str, model: Graph) -> str:
    """Returns a name prefix made of `key` that no node has; scopes called "train" are common."""
    stem = re.sub(r"\W", "_", key)
    prefix, count = f"{stem}/", 0
    while any(node.name.startswith(prefix) for node in model.graph_def.node):
        count += 1
        prefix = f"{stem}_{count}/"
    return prefix
