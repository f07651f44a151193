"""What the graph calls the data of a queue or an iterator: a feature column, a parsing spec, a placeholder that fed it."""

import re
from collections.abc import Iterator

import tensorflow as tf
from tensorflow.core.framework import function_pb2

from export_v1.interface import naming
from export_v1.ir import graph, ops
from export_v1.ir.graph import Index, NodeDef, Tensor

# Scopes in which tf.feature_column works on one column after another, each in a scope of the column's name.
_COLUMNS = re.compile(r"^(input_layer|linear_model|dense_features|sequence_input_layer|sequence_features)(_\d+)?$")
_COLUMN_SUFFIX = re.compile(r"_(embedding|indicator|bucketized|shared_embedding|weighted_by_\w+)$")
# How many nodes after its source a column's scope may begin: a cast or two, a dictionary's Identity.
_NEAR = 4
_MAPS = re.compile(r"(Parallel)?Map(AndBatch)?Dataset")
_PARSERS = frozenset({"ParseExample", "ParseExampleV2", "ParseSingleExample"})
_FORMS = frozenset({"Identity", "Reshape", "Cast", "ExpandDims", "Squeeze"})
# A chain of datasets, or of steps before a queue, is no longer than this.
_LONGEST = 50


def name(index: Index, tensor: Tensor) -> str | None:
    """Returns what a tensor from a queue, an iterator or an unnamed placeholder is called elsewhere in the graph, or None."""
    return _column(index, tensor) or _before(index, tensor)


def _column(index: Index, tensor: Tensor) -> str | None:
    """The feature column that reads a tensor; of several, one that is not a cross of others."""
    columns: dict[str, None] = {}
    seen: set[str] = set()
    near = [tensor]
    for _ in range(_NEAR):
        readers = [
            reader for reached in near for reader, _ in index.tensor_consumers(reached) if reader.name not in seen
        ]
        seen.update(reader.name for reader in readers)
        inside = {reader.name: column for reader in readers if (column := _column_of(reader.name))}
        columns.update(dict.fromkeys(inside.values()))
        near = [
            Tensor(reader.name, at)
            for reader in readers
            if reader.name not in inside
            for at in range(len(graph.output_types(reader)))
        ]
    simple = [column for column in columns if "_X_" not in column]
    return simple[0] if len(simple) == 1 else None


def _column_of(node: str) -> str | None:
    parts = node.split("/")
    # What stands directly in the scope works on all columns.
    for at, part in enumerate(parts[:-2]):
        if _COLUMNS.match(part) and not _COLUMNS.match(parts[at + 1]):
            return _COLUMN_SUFFIX.sub("", parts[at + 1])
    return None


def _before(index: Index, tensor: Tensor) -> str | None:
    """The name of what fills a queue or an iterator."""
    node = index[tensor.node]
    holder = index.nodes.get(graph.parse(node.input[0]).node) if node.input else None
    if holder is None:
        return None
    for filler in (reader for reader, _ in index.consumers(holder.name)):
        if node.op in ops.DEQUEUES and filler.op in ops.ENQUEUES:
            parts = graph.data_inputs(filler)[1:]
            return _made(index, parts[tensor.index]) if tensor.index < len(parts) else None
        if node.op in ops.ITERATOR_READS and filler.op == "MakeIterator":
            return _component(index, graph.data_inputs(filler)[0], tensor.index)
    return None


def _made(index: Index, tensor: Tensor) -> str | None:
    for _ in range(_LONGEST):
        node = index.nodes.get(tensor.node)
        if node is None:
            return None
        if node.op in _PARSERS:
            return _key(node, tensor.index, lambda edge: _constant(index, edge))
        if node.op in ops.PLACEHOLDERS:
            return naming.leaf(node.name) if naming.is_given(node) else None
        if node.op not in _FORMS:
            return None
        tensor = graph.data_inputs(node)[0]
    return None


def _component(index: Index, dataset: Tensor, at: int) -> str | None:
    """The name of one component of a dataset's elements."""
    functions = {function.signature.name: function for function in index.graph_def.library.function}
    for _ in range(_LONGEST):
        node = index.nodes.get(dataset.node)
        if node is None or not node.input:
            return None
        if node.op in ("TensorSliceDataset", "TensorDataset"):
            parts = graph.data_inputs(node)
            return _made(index, parts[at]) if at < len(parts) else None
        if _MAPS.match(node.op):
            function = functions.get(graph.attr(node, "f").func.name)
            through = _returned(function, at) if function is not None else None
            if not isinstance(through, int):
                return through
            at = through
        elif not node.op.endswith(("Dataset", "DatasetV2", "DatasetV3")) or node.op.startswith(("Zip", "FlatMap")):
            return None
        dataset = graph.data_inputs(node)[0]
    return None


def _returned(function: function_pb2.FunctionDef, at: int) -> str | int | None:
    """What a function returns at a position: the key it was parsed from, or the position of an argument."""
    arguments = {argument.name: position for position, argument in enumerate(function.signature.input_arg)}
    nodes = {node.name: node for node in function.node_def}
    if at >= len(function.signature.output_arg):
        return None
    edge = function.ret[function.signature.output_arg[at].name]
    for _ in range(_LONGEST):
        pieces = edge.split(":")
        if pieces[0] in arguments:
            return arguments[pieces[0]]
        node = nodes.get(pieces[0])
        if node is None:
            return None
        if node.op in _PARSERS and len(pieces) == 3:
            keys = _keys(node, lambda name: _value(nodes.get(name.split(":")[0])))
            group = keys.get(pieces[1].split("_")[0], [])
            return group[int(pieces[2])] if int(pieces[2]) < len(group) else None
        if node.op not in _FORMS or not node.input:
            return None
        edge = node.input[0]
    return None


def _key(node: NodeDef, at: int, value) -> str | None:
    """The key that an output of a parser was parsed from: indices, values, shapes of sparse ones, then dense ones."""
    keys = _keys(node, value)
    sparse = keys["sparse"]
    names = [*sparse, *sparse, *sparse, *keys["dense"]]
    return names[at] if at < len(names) else None


def _keys(node: NodeDef, value) -> dict[str, list[str]]:
    if node.op == "ParseSingleExample":
        keys = {kind: list(graph.attr(node, f"{kind}_keys").list.s) for kind in ("sparse", "dense")}
    elif node.op == "ParseExampleV2":
        keys = {"sparse": value(node.input[2]), "dense": value(node.input[3])}
    else:
        count = graph.attr(node, "Nsparse").i
        keys = {"sparse": _each(value, node.input[2 : 2 + count])}
        keys["dense"] = _each(value, node.input[2 + count : 2 + count + graph.attr(node, "Ndense").i])
    return {kind: [text.decode(errors="replace") for text in texts] for kind, texts in keys.items()}


def _each(value, edges) -> list[bytes]:
    return [text for edge in edges for text in value(edge)]


def _constant(index: Index, edge: str) -> list[bytes]:
    return _value(index.nodes.get(graph.parse(edge).node))


def _value(node: NodeDef | None) -> list[bytes]:
    if node is None or node.op != "Const":
        return []
    return list(_texts(node))


def _texts(node: NodeDef) -> Iterator[bytes]:
    for text in tf.make_ndarray(graph.attr(node, "value").tensor).ravel().tolist():
        yield text if isinstance(text, bytes) else str(text).encode()
