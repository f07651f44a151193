"""Whether XLA can compile a graph, as far as its ops tell."""

import tensorflow as tf

from export_v1.ir import ops
from load_v2.program import subgraph

_NOT_FOR_XLA = frozenset({"Unique", "UniqueV2", "UniqueWithCounts", "Print", "PrintV2", "PyFunc", "EagerPyFunc"})


def may_be_tried(graph_def: subgraph.GraphDef) -> bool:
    """Returns whether XLA may be tried on the graph: no strings, no tables, no TensorFlow 1 control flow."""
    for node in subgraph.all_nodes(graph_def):
        if node.op in ops.TABLES or node.op in ops.V1_CONTROL_FLOW or node.op in _NOT_FOR_XLA:
            return False
        if any(value.type == tf.string.as_datatype_enum for value in node.attr.values()):
            return False
    return True
