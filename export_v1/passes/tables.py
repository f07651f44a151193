"""tables: lookup tables, the ops that fill them, and the files that they are read from."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import tensorflow as tf

from export_v1 import errors
from export_v1.ir import graph, ops, rewrite
from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor, attr, data_inputs
from export_v1.passes.result import Notes, Result

_EITHER_TABLE = ops.TABLES | ops.REF_TABLES
_EITHER_INITIALIZER = ops.TABLE_INITIALIZERS | ops.REF_TABLE_INITIALIZERS


def to_resources(graph_def: GraphDef) -> Result:
    """Returns the graph with tables that are resources; node and tensor names stay.

    The handle of a table of TensorFlow before 1.1 is a reference to a string; it gets the op of today.

    Raises:
        ExportError: the key that a dense table reserves is no constant, so no other can be told from it.
    """
    if not any(node.op in ops.TABLE_TWINS for node in graph_def.node):
        return Result(graph_def)
    index = Index(graph_def)
    dense = [node for node in graph_def.node if node.op == "MutableDenseHashTable"]
    deleted = {node.name: _deleted_key(index, node) for node in dense}
    new = rewrite.with_nodes(graph_def, [*graph_def.node, *deleted.values()])
    tables = {node.name for node in new.node if node.op in ops.REF_TABLES}
    for node in new.node:
        node.op = ops.TABLE_TWINS.get(node.op, node.op)
        if node.op == "Identity" and node.input[0] in tables:
            node.attr["T"].type = tf.resource.as_datatype_enum
        if node.name in deleted:
            node.input.insert(1, deleted[node.name].name)
    return Result(new)


def _deleted_key(index: Index, table: NodeDef) -> NodeDef:
    """Returns the second key that a dense table of today reserves, for what is removed; that of old reserves one."""
    source = index[data_inputs(table)[0].node]
    if source.op != "Const":
        raise errors.ExportError(
            f"The `empty_key` of table {table.name!r} ({table.op}) is no constant, but {source.op}.\n"
            "  Cut the graph after its look-up with --input=KEY=TENSOR."
        )
    empty = tf.make_ndarray(attr(source, "value").tensor)
    dtype = tf.as_dtype(attr(table, "key_dtype").type)
    if dtype == tf.string:
        value = np.vectorize(lambda key: key + b"\0deleted", otypes=[object])(empty)
    else:
        # A key that nobody looks up: next to the least there is.
        least = np.iinfo(dtype.as_numpy_dtype).min
        value = np.full_like(empty, least + 1 if np.any(empty != least + 1) else least + 2)
    return rewrite.constant(graph.fresh_name(f"{table.name}/deleted_key", set(index.nodes)), value, dtype)


def initializers(index: Index, nodes: Iterable[NodeDef]) -> dict[str, str | None]:
    """Returns the tables among nodes, each with the op that fills it; None where the graph has no such op.

    Args:
        index: of a graph that holds the nodes and what initializes their tables.
        nodes: those whose tables are asked for.
    """
    return {node.name: _initializer(index, node.name) for node in nodes if node.op in _EITHER_TABLE}


def refuse_unfilled(index: Index, filled_by: Mapping[str, str | None]) -> None:
    """Checks what `initializers` found.

    Raises:
        ExportError: a table that no checkpoint fills has no initializer in the graph.
    """
    for handle, initializer in filled_by.items():
        if initializer is None and "Mutable" not in index[handle].op:
            raise errors.ExportError(
                f"Table {handle!r} ({index[handle].op}) has no initializer in the graph.\n"
                "  It was filled from Python; cut the graph after its look-up with --input=KEY=TENSOR."
            )


def _initializer(index: Index, handle: str) -> str | None:
    writers, todo, seen = [], [handle], set()
    while todo:
        for consumer, at in index.consumers(todo.pop()):
            if consumer.name in seen or consumer.input[at].startswith("^"):
                continue
            seen.add(consumer.name)
            if consumer.op in _EITHER_INITIALIZER and at == 0:
                writers.append(consumer.name)
            elif consumer.op == "Identity":
                todo.append(consumer.name)
    # The Saver's own import op fills a mutable table from a checkpoint; it is not an initializer.
    return next((name for name in sorted(writers) if not _reads_checkpoint(index, name)), None)


def _reads_checkpoint(index: Index, node: str) -> bool:
    return any(index[name].op in ("RestoreV2", "Restore") for name in index.ancestors([node]))


def with_files(
    graph_def: GraphDef,
    inits: Iterable[str],
    *,
    known: Mapping[str, str],
    frozen: Mapping[str, object],
    find: Callable[[str, str | None], str],
) -> Result:
    """Returns the graph with a constant for the name of each file that a table is read from; notes these files.

    Args:
        graph_def: holds `inits`. Not modified.
        inits: ops that initialize tables.
        known: filename tensor -> path, where the source says it.
        frozen: tensor -> its value, for those that are fed.
        find: returns where a file is, by its name in the graph and its known path.

    Raises:
        ExportError: no constant names a file, or `find` does not find it.
    """
    index = Index(graph_def)
    made, paths = {}, {}
    for name in inits:
        if index[name].op not in ops.TABLES_FROM_FILE:
            continue
        tensor = data_inputs(index[name])[1]
        named = _named(index, tensor, {*known, *frozen})
        if named is None:
            raise errors.ExportError(
                f"The file that {name!r} reads is not named by a constant: {tensor.name!r} ({index[tensor.node].op}).\n"
                f"  Freeze it with --freeze={tensor.name}=FILE."
            )
        path = find(_text(index[named.node], frozen.get(named.name, "")), known.get(named.name))
        made[named] = rewrite.constant(named.node, path.encode(), tf.string)
        paths[named.name] = path
    if not made:
        return Result(graph_def)
    new, _ = rewrite.replace_tensors(index, made)
    return Result(new.graph_def, notes=Notes(asset_files=paths), index=new)


def _named(index: Index, tensor: Tensor, values: Iterable[str]) -> Tensor | None:
    """Returns the tensor that a file's name comes from: a constant, or one whose value is known."""
    while tensor.name not in values:
        node = index[tensor.node]
        if node.op == "Const":
            return tensor
        if node.op not in ("Identity", "PlaceholderWithDefault"):
            return None
        tensor = data_inputs(node)[0]
    return tensor


def _text(node: NodeDef, value: object) -> str:
    text = tf.make_ndarray(attr(node, "value").tensor).item() if node.op == "Const" else value
    return text.decode() if isinstance(text, bytes) else str(text)
