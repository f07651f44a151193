"""Tables that a graph writes to while it answers: what they hold, kept, and put back."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from export_v1.ir import graph, ops
from export_v1.ir.graph import GraphDef


def are_written(graph_def: GraphDef) -> bool:
    """Returns whether running the graph may change what a table holds, once its tables are initialized."""
    return any(node.op in ops.TABLE_WRITERS for node in graph.all_nodes(graph_def))


class Kept:
    """What the mutable tables of a session's graph hold now; tables that functions make are left out.

    Args:
        session: a session whose tables are initialized. Its graph gets the nodes that read and write them.
        frozen: tensor name -> value, for tensors that are fed in each run.
    """

    def __init__(self, session: tf.compat.v1.Session, frozen: Mapping[str, object]):
        self._session, self._frozen = session, dict(frozen)
        into = session.graph
        with into.as_default(), into.device(None), into.name_scope("tables"):
            ways = [_ways(node) for node in into.get_operations() if node.type in ops.MUTABLE_TABLES]
        held = session.run([read for read, _, _ in ways], self._frozen)
        self._writes = [write for _, write, _ in ways]
        # A dense table gives out its own memory, and takes what it is given for its own: it gets a copy each time.
        self._values = {
            tensor: np.array(value)
            for (_, _, fed), contents in zip(ways, held, strict=True)
            for tensor, value in zip(fed, contents, strict=True)
        }

    def restore(self) -> None:
        """Gives the tables what they held."""
        values = {tensor: value.copy() for tensor, value in self._values.items()}
        self._session.run(self._writes, {**self._frozen, **values})


def _ways(table: tf.Operation) -> tuple[tuple, tf.Operation, tuple[tf.Tensor, tf.Tensor]]:
    """Returns what reads all of a table, the op that writes all of it, and what to feed that op with."""
    handle = table.outputs[0]
    types = {"Tkeys": table.get_attr("key_dtype"), "Tvalues": table.get_attr("value_dtype")}
    fed = tuple(tf.compat.v1.placeholder(dtype) for dtype in types.values())
    raw = tf.raw_ops
    if table.type in ops.TABLES:
        read = raw.LookupTableExportV2(table_handle=handle, **types)
        return tuple(read), raw.LookupTableImportV2(table_handle=handle, keys=fed[0], values=fed[1]), fed
    read = raw.LookupTableExport(table_handle=handle, **types)
    return tuple(read), raw.LookupTableImport(table_handle=handle, keys=fed[0], values=fed[1]), fed
