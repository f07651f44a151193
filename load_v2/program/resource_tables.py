"""Lookup tables of a graph, held by the layer: initialised once, saved and exported with it."""

import itertools
import uuid
import weakref
from collections.abc import Callable, Iterable, Mapping

import tensorflow as tf

from export_v1.ir import ops
from load_v2 import private
from load_v2.program import subgraph

_SCALAR_VALUES = frozenset({"HashTableV2", "MutableHashTableV2"})
_count = itertools.count()


class Table(tf.saved_model.experimental.TrackableResource):
    """One table, with its own name in the process: two exports with a table of the same name stay apart.

    Args:
        node: the table's NodeDef.
        create: builds the table's handle from a NodeDef, in whatever graph or eager context is current.
        initialize: fills the table, given its handle; None for one that starts empty.
        assets: files that filling it reads; tracked here, because Keras's export follows tables and nothing else.
    """

    def __init__(self, node: subgraph.NodeDef, create: Callable, initialize: Callable | None, assets: Iterable):
        super().__init__()
        for index, asset in enumerate(assets):
            # Underscored, yet how TensorFlow's own resources declare what they hold; tried with TensorFlow 2.16 and 2.21.
            self._track_trackable(asset, f"asset_{index}")
        self._node = subgraph.NodeDef()
        self._node.CopyFrom(node)
        self._node.attr["shared_name"].s = f"{node.name}_{next(_count)}_{uuid.uuid4().hex}".encode()
        self._create = create
        self._fill = initialize
        with tf.init_scope():
            handle = self.resource_handle
            if node.op in _SCALAR_VALUES:
                private.tell_element_types(handle, node.attr["key_dtype"].type, node.attr["value_dtype"].type)
            self._initialize()
        # A table with a shared name outlives its handle, and the process would keep every layer's vocabulary. The
        # resource's own `_destroy_resource` would be saved with a model, and take the table from whoever loads it and
        # keeps a signature only.
        weakref.finalize(self, _destroy, handle).atexit = False

    def _create_resource(self) -> tf.Tensor:
        return self._create(self._node)

    def _initialize(self) -> None:
        if self._fill is not None:
            self._fill(self.resource_handle)


def _destroy(handle: tf.Tensor) -> None:
    # Garbage is collected at any moment, also while a graph is being built: it must not become a node of that.
    with private.eagerly():
        tf.raw_ops.DestroyResourceOp(resource=handle, ignore_lookup_error=True)


def shared_nodes(graph_def: subgraph.GraphDef) -> dict[str, list[subgraph.NodeDef]]:
    """Returns the table nodes of a graph by the name that makes them one table (`shared_name`, else their own)."""
    by_name: dict[str, list[subgraph.NodeDef]] = {}
    for node in graph_def.node:
        if node.op in ops.TABLES:
            by_name.setdefault(node.attr["shared_name"].s.decode() or node.name, []).append(node)
    return by_name


def initializers(graph_def: subgraph.GraphDef) -> dict[str, list[str]]:
    """Returns table node name -> names of the nodes that fill it."""
    fillers: dict[str, list[str]] = {}
    for node in graph_def.node:
        if node.op in ops.TABLE_INITIALIZERS and node.input:
            fillers.setdefault(subgraph.split(node.input[0])[0], []).append(node.name)
    return fillers


def create_all(
    graph_def: subgraph.GraphDef, run: Callable, assets: Mapping[str, tf.saved_model.Asset]
) -> dict[str, Table]:
    """Returns table node name -> Table, for every table node of the graph; nodes that share a table share the Table.

    Args:
        graph_def: the whole graph, initializers included.
        run: `run(graph_def, fetches, feeds, files)` imports a part of the graph here and returns the tensors.
        assets: tensor name of a file name -> the file, wherever it is now.
    """
    fillers = initializers(graph_def)
    tables = {}
    for nodes in shared_nodes(graph_def).values():
        fills = [op for node in nodes for op in fillers.get(node.name, [])]
        handles = [f"{node.name}:0" for node in nodes]

        def initialize(handle, fills=fills, handles=handles):
            feeds = {name: handle for name in handles}
            files = {name: asset.asset_path for name, asset in assets.items()}
            run(subgraph.needed(graph_def, fills, {**feeds, **files}), fills, feeds, files)

        def create(node):
            # A dense table takes the keys that it reserves as inputs.
            alone = subgraph.needed(graph_def, [node.name], {})
            next(candidate for candidate in alone.node if candidate.name == node.name).CopyFrom(node)
            return run(alone, [f"{node.name}:0"], {}, {})[0]

        reads = {edge for node in subgraph.needed(graph_def, fills, handles).node for edge in node.input}
        own = [asset for name, asset in assets.items() if name in map(subgraph.tensor_name, reads)]
        table = Table(nodes[0], create, initialize if fills else None, own)
        tables.update({node.name: table for node in nodes})
    return tables
