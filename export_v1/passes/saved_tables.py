"""saved_tables: mutable tables, and what their Saver keeps of them in the checkpoint."""

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from export_v1.ir import graph, ops, rewrite
from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor, attr
from export_v1.passes import tables
from export_v1.passes.replacements import resources
from export_v1.passes.result import Result

_IMPORTS = ("LookupTableImport", "LookupTableImportV2")


def filled(graph_def: GraphDef, written: Index, stored: Callable[[str], np.ndarray | None]) -> Result:
    """Returns the graph with an initializer for each mutable table that a Saver restores: what the checkpoint has of it.

    A table with an initializer of its own keeps that, and one that the checkpoint has not stays empty.

    Args:
        graph_def: not modified.
        written: of the whole graph as it was written, with what its Saver restores.
        stored: returns the value that the checkpoint has under a key, or None where it has none.
    """
    added: list[NodeDef] = []
    names = {node.name for node in graph_def.node}
    for table in graph_def.node:
        if table.op in ops.MUTABLE_TABLES and tables.initializers(written, [table])[table.name] is None:
            contents = next(_saved(written, table, stored), None)
            if contents is not None:
                added += _initializer(table, contents, names)
    return Result(rewrite.with_nodes(graph_def, [*graph_def.node, *added]) if added else graph_def)


def _saved(
    written: Index, table: NodeDef, stored: Callable[[str], np.ndarray | None]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the keys and values that each Saver of the table restores from the checkpoint."""
    for op in _IMPORTS:
        restored = (resources.restored_from(written, table, op, position) for position in (1, 2))
        for keys, values in zip(*restored, strict=True):
            if keys is not None and values is not None:
                saved_keys, saved_values = stored(keys), stored(values)
                if saved_keys is not None and saved_values is not None:
                    yield saved_keys, saved_values


def _initializer(table: NodeDef, contents: tuple[np.ndarray, np.ndarray], names: set[str]) -> Iterator[NodeDef]:
    types = {"Tin": attr(table, "key_dtype").type, "Tout": attr(table, "value_dtype").type}
    operands = [Tensor(table.name, 0)]
    for content, of_what, dtype in zip(contents, ("keys", "values"), types.values(), strict=True):
        name = graph.fresh_name(f"{table.name}/saved_{of_what}", names)
        yield rewrite.constant(name, content, tf.as_dtype(dtype))
        if "Dense" in table.op:
            # It is saved as it is in memory, where a key is a row: a shape that TensorFlow refuses where it can see it.
            constant, name = name, graph.fresh_name(f"{name}_as_rows", names)
            unknown = {"dtype": tf.as_dtype(dtype), "shape": tf.TensorShape(None)}
            yield rewrite.node(name, "PlaceholderWithDefault", [Tensor(constant, 0)], **unknown)
        operands.append(Tensor(name, 0))
    op = "LookupTableImportV2" if table.op in ops.TABLES else "LookupTableImport"
    name = graph.fresh_name(f"{table.name}/filled", names)
    yield rewrite.node(name, op, operands, **{key: tf.as_dtype(dtype) for key, dtype in types.items()})
