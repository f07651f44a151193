"""tables: lookup tables of TensorFlow before 1.1, whose handle is a reference to a string, get today's ops."""

import tensorflow as tf

from export_v1.ir.graph import GraphDef
from export_v1.ir.rewrite import with_nodes

# The old op, and the op that does the same by a resource handle; inputs, outputs and attributes are the same.
TWINS = {
    op: f"{op}V2"
    for op in (
        "HashTable",
        "MutableHashTable",
        "MutableHashTableOfTensors",
        "MutableDenseHashTable",
        "InitializeTable",
        "InitializeTableFromTextFile",
        "LookupTableFind",
        "LookupTableInsert",
        "LookupTableSize",
        "LookupTableExport",
        "LookupTableImport",
    )
}
TABLES = frozenset({"HashTableV2", "MutableHashTableV2", "MutableHashTableOfTensorsV2", "MutableDenseHashTableV2"})
INITIALIZERS = frozenset({"InitializeTableV2", "InitializeTableFromTextFileV2", "LookupTableImportV2"})


def to_resources(graph_def: GraphDef) -> GraphDef:
    """Returns the graph with tables that are resources; node and tensor names stay."""
    new = with_nodes(graph_def, graph_def.node)
    tables = {node.name for node in new.node if node.op in TWINS and TWINS[node.op] in TABLES}
    for node in new.node:
        node.op = TWINS.get(node.op, node.op)
        if node.op == "Identity" and node.input[0] in tables:
            node.attr["T"].type = tf.resource.as_datatype_enum
    return new
