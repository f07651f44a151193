"""A variant: the graph of one or more signatures that are cut at the same tensors and frozen to the same values.

Inference and training are two variants of one graph; so are two signatures of a SavedModel of which one takes
serialized examples and the other what they are parsed into.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from export_v1.format.record import Replaced
from export_v1.interface import Input
from export_v1.ir import ops
from export_v1.ir.graph import GraphDef, Index, parse
from export_v1.model import Graph
from export_v1.passes import any_batch, sequence
from export_v1.passes.state import State
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
        training: whether its signatures are for training.
        kept_ops: ops that are not to be replaced.
        stored: returns the value that the model's checkpoint has under a key, or None where it has none.
    """

    prefix: str
    model: Graph
    signatures: Mapping[str, PlannedSignature]
    updates: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    training: bool = False
    kept_ops: tuple[str, ...] = ()
    stored: Callable[[str], np.ndarray | None] = lambda key: None

    @property
    def cuts(self) -> dict[str, Input]:
        """Every tensor where the graph is cut, by tensor name."""
        return {source.tensor: source for signature in self.signatures.values() for source in signature.inputs.values()}

    @property
    def frozen(self) -> dict[str, object]:
        """Every frozen tensor and its value."""
        return {name: value for signature in self.signatures.values() for name, value in signature.frozen.items()}


@dataclasses.dataclass(frozen=True)
class Transformed:
    """A variant's graph after passes.

    Attributes:
        graph_def: nothing in it but what the signatures need.
        inputs: signature key -> input key -> tensor name in `graph_def`.
        outputs: signature key -> output key -> tensor name in `graph_def`.
        losses: tensor names in `graph_def`, in the variant's order.
        frozen: tensor name in `graph_def` -> value that it has to be fed.
        table_inits: ops that initialize the tables.
        asset_files: filename tensor in `graph_def` -> path of the file.
        folded: how many nodes conditions on constants took with them; dropouts removed.
        converted: control-flow constructs made functional, by kind.
        unconverted: constructs that stayed as they were, each with the reason.
        replaced: ops that others stand in for.
    """

    graph_def: GraphDef
    inputs: Mapping[str, Mapping[str, str]]
    outputs: Mapping[str, Mapping[str, str]]
    losses: tuple[str, ...]
    frozen: Mapping[str, object]
    table_inits: tuple[str, ...]
    asset_files: Mapping[str, str]
    folded: int
    converted: Mapping[str, int]
    unconverted: Sequence[tuple[str, str]]
    replaced: Sequence[Replaced] = ()


def original(variant: Variant, files: assets.Files) -> Transformed:
    """Returns a variant's graph as TensorFlow can run it, otherwise as it was written; see `sequence.original`.

    Args:
        variant: what to keep.
        files: finds the files that tables are read from.
    """
    model = variant.model
    full = model.graph_def if model.original is None else model.original
    return _transformed(variant, sequence.original(_state(variant, full, files)))


def transformed(variant: Variant, files: assets.Files) -> Transformed:
    """Returns a variant's graph after all passes: without reference types, and with its own node for each output.

    Args:
        variant: what to keep.
        files: finds the files that tables are read from.

    Raises:
        ExportError: a pass cannot do its work; the message says which node and what to do.
    """
    return _transformed(variant, sequence.export(_state(variant, variant.model.graph_def, files)))


def _state(variant: Variant, graph_def: GraphDef, files: assets.Files) -> State:
    return State(
        graph_def=graph_def,
        inputs={name: (cut.dtype, cut.shape) for name, cut in variant.cuts.items()},
        frozen=variant.frozen,
        outputs={key: signature.outputs for key, signature in variant.signatures.items()},
        losses=variant.losses,
        updates=variant.updates,
        batch=any_batch.training_size(variant.model.index, [parse(name) for name in variant.cuts]),
        assets=variant.model.assets,
        find=files.find,
        written=variant.model.graph_def,
        stored=variant.stored,
        training=variant.training,
        kept_ops=variant.kept_ops,
        known=variant.model.index,
    )


def _transformed(variant: Variant, state: State) -> Transformed:
    return Transformed(
        graph_def=state.graph_def,
        inputs={
            key: {name: state.name(cut.tensor) for name, cut in signature.inputs.items()}
            for key, signature in variant.signatures.items()
        },
        outputs=state.outputs,
        losses=state.losses,
        frozen=state.fed,
        table_inits=state.table_inits,
        asset_files=state.notes.asset_files,
        folded=state.notes.folded,
        converted=state.notes.converted,
        unconverted=state.notes.unconverted,
        replaced=state.notes.replaced,
    )


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
    index = model.index
    cuts = {entry.tensor for entry in signature.inputs.values()} | set(signature.frozen)
    stops = {parse(name).node for name in cuts}
    nodes = [parse(name).node for name in model.update_ops]
    # All at once, since hundreds of updates have most of what is above them in common.
    outside = index.depending(nodes, on=_sources(index, index.ancestors(nodes, stops)) - stops, stop=stops)
    updating = index.depending(nodes, on=kept_variables, stop=stops)
    return tuple(node for node in nodes if node in index and node in updating and node not in outside)


def _sources(index: Index, names: Iterable[str]) -> set[str]:
    return {name for name in names if index[name].op in ops.PLACEHOLDERS | ops.FEEDERS}


def regularization_losses(model: Graph, kept_variables: set[str]) -> tuple[str, ...]:
    """Returns the REGULARIZATION_LOSSES that depend on variables in use and on nothing else from outside."""
    if not model.regularization_losses:
        return ()
    index = model.index
    losses = [parse(name) for name in model.regularization_losses]
    nodes = [loss.node for loss in losses]
    above = index.ancestors(nodes)
    others = {name for name in above if index[name].op in ops.VARIABLES} - kept_variables
    outside = index.depending(nodes, on=others | _sources(index, above))
    using = index.depending(nodes, on=kept_variables)
    return tuple(loss.name for loss in losses if loss.node in using and loss.node not in outside)
