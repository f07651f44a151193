"""portable: removes from each node what ties it to the machine and the graph that it came from."""

from export_v1.ir import graph
from export_v1.ir.graph import GraphDef, Index
from export_v1.ir.rewrite import with_nodes
from export_v1.passes.result import Result

# What TensorFlow 1 wrote into nodes and TensorFlow 2 stumbles over or must not trust:
#   _output_shapes  shape inference's results of that day. A later TensorFlow infers other shapes for some ops and then
#                   refuses the node ("_output_shapes attribute inconsistent"); without them it infers afresh.
#   _class          colocation with nodes that pruning may have dropped.
#   _XlaCompile…    cluster marks of a session that is long over, as the last two are; a cluster cut in half does not
#                   compile.
MARKS = (
    "_output_shapes", "_class", "_XlaCompile", "_XlaScope", "_XlaSeparateCompiledGradients", "_tpu_replicate",
    "_xla_compile_id",
)  # fmt: skip


def nodes(graph_def: GraphDef, index: Index | None = None) -> Result:
    """Returns the graph without devices, colocation, recorded shapes and cluster marks, in functions too.

    Args:
        graph_def: not modified.
        index: of the graph, where there is one already.
    """
    new = with_nodes(graph_def, graph_def.node)
    for node in graph.all_nodes(new):
        node.device = ""
        for mark in [key for key in node.attr if key in MARKS]:
            del node.attr[mark]
    return Result(new, index=index and index.followed_by(new))
