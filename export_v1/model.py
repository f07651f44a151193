"""A model as it was found: what every kind of source is read into."""

import dataclasses
import functools
from collections.abc import Mapping

from export_v1.ir.graph import GraphDef, Index


@dataclasses.dataclass(frozen=True)
class DeclaredSignature:
    """What a SignatureDef of the source says.

    Attributes:
        inputs: key -> tensor name of the graph, in call order.
        outputs: key -> tensor name.
        method_name: which of TensorFlow Serving's calls it is for.
        shapes: input key -> static shape, None in it for unknown sizes; no key where it says nothing.
    """

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    method_name: str = "tensorflow/serving/predict"
    shapes: Mapping[str, list[int | None]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Restored:
    """Where a checkpoint holds a variable: the key, and (start, size) per axis for a part of it; () for all of it."""

    key: str
    part: tuple[tuple[int, int], ...] = ()


@dataclasses.dataclass(frozen=True)
class Graph:
    """A GraphDef and what the collections of its MetaGraphDef say about it.

    Attributes:
        graph_def: the whole graph as it was written, training ops included; never imported as it is.
        trainable: variable name -> its `trainable` flag, for every variable that a collection lists.
        local: names of variables in LOCAL_VARIABLES; a checkpoint has no value for these.
        restored: variable name -> where its Saver, or its save slice, says that a checkpoint has it.
        signatures: signatures that come with the source; empty for a checkpoint.
        update_ops: names of the UPDATE_OPS collection (ops or tensors).
        regularization_losses: tensor names of the REGULARIZATION_LOSSES collection.
        losses: tensor names of the LOSSES collection.
        train_ops: names of the TRAIN_OP collection.
        assets: tensor name of a file name -> path of the file, for the sources that say where it is.
        main_ops: ops that a loader runs once the variables are restored.
        answers_with_defaults: whether its signatures are known to answer with the defaults of what is not fed.
        original: the graph that answers are recorded from, where `graph_def` is not what was found; else None.
    """

    graph_def: GraphDef
    trainable: Mapping[str, bool] = dataclasses.field(default_factory=dict)
    local: frozenset[str] = frozenset()
    restored: Mapping[str, Restored] = dataclasses.field(default_factory=dict)
    signatures: Mapping[str, DeclaredSignature] = dataclasses.field(default_factory=dict)
    update_ops: tuple[str, ...] = ()
    regularization_losses: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    train_ops: tuple[str, ...] = ()
    assets: Mapping[str, str] = dataclasses.field(default_factory=dict)
    main_ops: tuple[str, ...] = ()
    answers_with_defaults: bool = False
    original: GraphDef | None = None

    @functools.cached_property
    def index(self) -> Index:
        """The graph looked up by name and by edge; one for all who look at it."""
        return Index(self.graph_def)


@dataclasses.dataclass(frozen=True)
class Source:
    """A model as it was found.

    Attributes:
        kind: "checkpoint", "builder", "saved_model" or "graph_def".
        path: what the user named, for messages and the report.
        graph: the graph that answers in inference mode.
        train_graph: a graph of its own for training mode (Hub modules, builders), or None.
        checkpoint: Saver prefix to restore from, or None where all values are in the graph.
        values: variable name -> value, for variables that were made from constants of the graph.
        tensorflow_version: what wrote the graph, as it says itself; "" where it does not.
        asset_dirs: folders to look for asset files in.
        moving_averages: names of variables that batch norms go by, though they were built for training.
        notes: choices made while reading, each with its reason.
        holds: keeps what the paths lead to in existence (an unpacked archive) as long as the source is in use.
    """

    kind: str
    path: str
    graph: Graph
    train_graph: Graph | None = None
    checkpoint: str | None = None
    values: Mapping[str, object] = dataclasses.field(default_factory=dict)
    tensorflow_version: str = ""
    asset_dirs: tuple[str, ...] = ()
    moving_averages: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    holds: object = None
