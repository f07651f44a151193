"""The one record that every kind of source is read into; what comes after does not know the difference."""

import dataclasses
from collections.abc import Mapping

from export_v1.graph import GraphDef


@dataclasses.dataclass(frozen=True)
class Signature:
    """What a SignatureDef says: keys to tensor names of the graph, in call order, and the method name."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    method_name: str = "tensorflow/serving/predict"


@dataclasses.dataclass(frozen=True)
class Graph:
    """A GraphDef and what the collections of its MetaGraphDef say about it.

    Attributes:
        graph_def: the whole graph as it was written, training ops included; never imported as it is.
        trainable: variable name -> its `trainable` flag, for every variable that a collection lists.
        signatures: signatures that come with the source; empty for a checkpoint.
        update_ops: names of the UPDATE_OPS collection (ops or tensors).
        regularization_losses: tensor names of the REGULARIZATION_LOSSES collection.
        init_ops: ops that ready the graph for use: table initializers, legacy_init_op, main_op.
        assets: tensor name of a file name -> path of the file, for the sources that say where it is.
    """

    graph_def: GraphDef
    trainable: Mapping[str, bool] = dataclasses.field(default_factory=dict)
    signatures: Mapping[str, Signature] = dataclasses.field(default_factory=dict)
    update_ops: tuple[str, ...] = ()
    regularization_losses: tuple[str, ...] = ()
    init_ops: tuple[str, ...] = ()
    assets: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Source:
    """A model as it was found.

    Attributes:
        kind: "checkpoint", "builder", "saved_model" or "graph_def".
        path: what the user named, for messages and the report.
        graph: the graph that answers in inference mode.
        train_graph: a graph of its own for training mode (Hub modules, builders), or None.
        checkpoint: Saver prefix to restore from, or None where all values are in the graph.
        tensorflow_version: what wrote the graph, as it says itself; "" where it does not.
        asset_dirs: folders to look for asset files in.
        notes: choices made while reading, each with its reason.
    """

    kind: str
    path: str
    graph: Graph
    train_graph: Graph | None = None
    checkpoint: str | None = None
    tensorflow_version: str = ""
    asset_dirs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
