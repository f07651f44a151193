"""A variant: the graph of one or more signatures that are cut at the same tensors and frozen to the same values.

Inference and training are two variants of one graph; so are two signatures of a SavedModel of which one takes
serialized examples and the other what they are parsed into.
"""

import dataclasses
from collections.abc import Mapping

import tensorflow as tf

from export_v1.analysis import kernels
from export_v1.interface import Input
from export_v1.ir import graph, wellformed
from export_v1.ir.graph import GraphDef, Index, Tensor, parse
from export_v1.model import Graph
from export_v1.passes import dropout, fold, freeze, functional, outputs, portable, prune, tables, variables
from export_v1.source import assets

PREDICT = "tensorflow/serving/predict"


@dataclasses.dataclass(frozen=True)
class PlannedSignature:
    """What one signature asks of a graph.

    Attributes:
        inputs: key -> where the graph is cut, in call order.
        outputs: key -> tensor name.
        frozen: tensor name -> value.
        method_name: of the SignatureDef.
    """

    inputs: Mapping[str, Input]
    outputs: Mapping[str, str]
    frozen: Mapping[str, object] = dataclasses.field(default_factory=dict)
    method_name: str = PREDICT


@dataclasses.dataclass(frozen=True)
class Variant:
    """Signatures that one graph can answer.

    Attributes:
        prefix: what the names of its nodes start with in the export.
        model: the graph they ask.
        signatures: by key; of one set of frozen values, and cuts that do not get in each other's way.
        updates: ops to run whenever an output is computed.
        losses: tensors that are kept beside the outputs.
    """

    prefix: str
    model: Graph
    signatures: Mapping[str, PlannedSignature]
    updates: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()

    @property
    def cuts(self) -> dict[str, Input]:
        """Every tensor where the graph is cut, by tensor name."""
        return {one.tensor: one for signature in self.signatures.values() for one in signature.inputs.values()}

    @property
    def frozen(self) -> dict[str, object]:
        """Every frozen tensor and its value."""
        return {name: value for signature in self.signatures.values() for name, value in signature.frozen.items()}


@dataclasses.dataclass(frozen=True)
class Transformed:
    """A variant after all passes.

    Attributes:
        graph_def: nothing in it but what the signatures need, without reference types.
        inputs: signature key -> input key -> tensor name in `graph_def`.
        outputs: signature key -> output key -> tensor name in `graph_def`.
        losses: tensor names in `graph_def`, in the variant's order.
        table_inits: ops that initialize the tables.
        asset_files: filename tensor in `graph_def` -> path of the file.
        folded: how many nodes conditions on constants took with them; dropouts taken out.
        converted: control-flow constructs made functional, by kind.
        unconverted: constructs that stayed as they were, each with the reason.
    """

    graph_def: GraphDef
    inputs: Mapping[str, Mapping[str, str]]
    outputs: Mapping[str, Mapping[str, str]]
    losses: tuple[str, ...]
    table_inits: tuple[str, ...]
    asset_files: Mapping[str, str]
    folded: int
    converted: Mapping[str, int]
    unconverted: tuple[tuple[str, str], ...]


def original(variant: Variant) -> tuple[GraphDef, dict[str, str], tuple[str, ...]]:
    """Returns the graph cut and pruned so that it imports, otherwise untouched.

    Frozen tensors are still computed or fed; references, v1 control flow and all are as they were written. Only
    dropouts are made to fit any batch, and taken out where their rate was a constant and is frozen to 0.

    Returns:
        The GraphDef, the tensor name that each cut has now, and the ops that initialize its tables.
    """
    cuts = {name: (one.dtype, one.shape) for name, one in variant.cuts.items()}
    found = variant.model.graph_def if variant.model.original is None else variant.model.original
    whole, cut_names = freeze.to_placeholders(found, cuts)
    whole = _without_dropouts(dropout.of_any_batch(whole), variant.frozen)
    wanted = [*_wanted(variant, cut_names), *variant.updates]
    pruned = prune.to_outputs(whole, wanted)
    inits = assets.table_initializers(whole, pruned)
    if inits:
        pruned = prune.to_outputs(whole, [*wanted, *inits])
    wellformed.check(pruned)
    kernels.check(pruned)
    return portable.nodes(pruned), cut_names, inits


def _without_dropouts(graph_def: GraphDef, frozen: Mapping[str, object]) -> GraphDef:
    index = Index(graph_def)
    rates = {
        name: _base((index.data_type(parse(name)), value))
        for name, value in frozen.items()
        if parse(name).node in index and index[parse(name).node].op == "Const"
    }
    return dropout.of_rate_zero(freeze.to_constants(graph_def, rates)[0])[0] if rates else graph_def


def _wanted(variant: Variant, cut_names: Mapping[str, str]) -> list[str]:
    names = [name for one in variant.signatures.values() for name in one.outputs.values()] + list(variant.losses)
    # Inputs that no output depends on stay: a signature has the keys it was given.
    return list(dict.fromkeys(cut_names.get(name, name) for name in names)) + list(cut_names.values())


def transformed(variant: Variant, files: assets.Files) -> Transformed:
    """Returns a variant's graph after all passes.

    Args:
        variant: what to keep.
        files: finds the files that tables are read from.

    Raises:
        ExportError: a pass cannot do its work; the message says which node and what to do.
    """
    whole, cut_names, names, losses = _with_ends(variant)
    keep = (
        [tensor for one in names.values() for tensor in one.values()] + list(losses.values()) + list(cut_names.values())
    )
    pruned = prune.to_outputs(whole, keep)
    wellformed.check(pruned)
    folded_graph, folded = fold.conditions(pruned)
    folded_graph, dropouts = dropout.of_rate_zero(folded_graph)
    needed = prune.to_outputs(folded_graph, keep)
    inits = assets.table_initializers(whole, needed)
    if inits:
        initial = prune.to_outputs(whole, inits)
        there = {node.name for node in needed.node}
        needed.node.extend(node for node in initial.node if node.name not in there)
    wellformed.check(needed)
    kernels.check(needed)
    needed, asset_files = files.located(needed, inits, variant.model.assets)
    resources = variables.to_resources(tables.to_resources(portable.nodes(needed)))
    modern = functional.convert(resources, keep=[*keep, *inits])
    return Transformed(
        graph_def=modern.graph_def,
        inputs={
            key: {name: cut_names[one.tensor] for name, one in signature.inputs.items()}
            for key, signature in variant.signatures.items()
        },
        outputs=names,
        losses=tuple(losses.values()),
        table_inits=inits,
        asset_files=asset_files,
        folded=folded + dropouts,
        converted=modern.converted,
        unconverted=tuple(modern.unconverted),
    )


def _with_ends(variant: Variant) -> tuple[GraphDef, dict[str, str], dict[str, dict[str, str]], dict[str, str]]:
    """Returns the whole graph with a variant's inputs, frozen values and outputs as nodes of their own.

    Beside it, the tensor name that each cut has now, and those of the outputs by signature and of the losses.
    """
    model = variant.model.graph_def
    whole, cut_names = freeze.to_placeholders(model, {k: (one.dtype, one.shape) for k, one in variant.cuts.items()})
    whole = dropout.of_any_batch(whole)
    types = Index(model)
    values = {name: (types.data_type(parse(name)), value) for name, value in variant.frozen.items()}
    whole, frozen_names = freeze.to_constants(whole, {name: _base(pair) for name, pair in values.items()})
    moved = {**cut_names, **frozen_names}
    names: dict[str, dict[str, str]] = {}
    for key, signature in variant.signatures.items():
        wanted = {name: moved.get(tensor, tensor) for name, tensor in signature.outputs.items()}
        whole, names[key] = outputs.pinned(whole, wanted, variant.updates)
    whole, losses = outputs.pinned(whole, {f"regularization_loss_{at}": name for at, name in enumerate(variant.losses)})
    return whole, cut_names, names, losses


def _base(pair: tuple[int, object]) -> tuple[int, object]:
    return tf.as_dtype(pair[0]).base_dtype.as_datatype_enum, pair[1]


def update_ops(model: Graph, signature: PlannedSignature, kept_variables: set[str]) -> tuple[str, ...]:
    """Returns the UPDATE_OPS that belong to a signature.

    Those are the ones that write a variable in use and depend on nothing from outside but the signature's inputs and
    frozen values: with several towers in a graph, each has updates of its own for the same variables.

    Args:
        model: the graph, with its UPDATE_OPS.
        signature: its inputs and frozen values.
        kept_variables: names of the variables that the signatures read.
    """
    if not model.update_ops:
        return ()
    index = Index(model.graph_def)
    cuts = {one.tensor for one in signature.inputs.values()} | set(signature.frozen)
    stops = {parse(name).node for name in cuts}
    found = []
    for name in model.update_ops:
        node = parse(name).node
        if node not in index:
            continue
        reached = index.ancestors([node], stop=stops)
        sources = {one for one in reached if index[one].op in graph.PLACEHOLDERS | FEEDERS}
        written = {one for one in reached if index[one].op in graph.VARIABLES}
        if sources <= stops and written & kept_variables:
            found.append(node)
    return tuple(found)


# Ops that bring data in from outside by themselves.
FEEDERS = frozenset(
    {f"Queue{kind}V2" for kind in ("Dequeue", "DequeueMany", "DequeueUpTo")}
    | {f"Queue{kind}" for kind in ("Dequeue", "DequeueMany", "DequeueUpTo")}
    | {"IteratorGetNext", "IteratorGetNextSync", "ReaderReadV2", "ReaderRead", "Unstage", "RecvTPUEmbeddingActivations"}
)


def regularization_losses(model: Graph, kept_variables: set[str]) -> tuple[str, ...]:
    """Returns the REGULARIZATION_LOSSES that depend on variables in use and on nothing else from outside."""
    index = Index(model.graph_def)
    found = []
    for name in model.regularization_losses:
        if parse(name).node not in index:
            continue
        reached = index.ancestors([parse(name).node])
        outside = {one for one in reached if index[one].op in graph.PLACEHOLDERS | FEEDERS}
        used = {one for one in reached if index[one].op in graph.VARIABLES}
        if used and used <= kept_variables and not outside:
            found.append(Tensor(parse(name).node, parse(name).index).name)
    return tuple(found)


def variables_of(graph_def: GraphDef) -> set[str]:
    """Returns the names of the variables in a graph."""
    return {node.name for node in graph_def.node if node.op in graph.VARIABLES}
