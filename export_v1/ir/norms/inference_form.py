"""The inference form of batch norms that were built for training.

What reads a statistic of the batch reads the variable that is its moving average, a fused batch norm is set to inference, what
renorm corrects by is 1 or 0, and nobody waits for the updates of the averages any more.
"""

from collections.abc import Collection, Iterable, Mapping

import tensorflow as tf

from export_v1.ir import graph, ops, rewrite
from export_v1.ir.graph import Edges, GraphDef, Index, NodeDef, Tensor
from export_v1.ir.norms.training_norms import Norm


def of(index: Index, norms: Iterable[Norm], among: Collection[str] | None = None) -> tuple[GraphDef, tuple[str, ...]]:
    """Returns the graph with some batch norms in their inference form, and the names of the variables that they use, sorted.

    Args:
        index: of a whole graph, with the update ops.
        norms: of this graph; one that has a problem stays as it is.
        among: names of the nodes that are to go by them, which is all that somebody wants of the graph; the rest stays as it
            is. None: all of them.
    """
    graph_def, norms = index.graph_def, [norm for norm in norms if not norm.problem]
    used = {statistic: average for norm in norms for statistic, average in norm.averages.items()}
    fused = {statistic.node for statistic in used if index[statistic.node].op in ops.BATCH_NORMS}
    names = set(index.nodes)
    reads = {
        variable: _read(index[variable], names) for variable in dict.fromkeys(norm.variable for norm in used.values())
    }
    made, replaced = list(reads.values()), {}
    for statistic, average in used.items():
        read = reads[average.variable]
        own, wanted = _type(index[average.variable]), tf.as_dtype(index.data_type(statistic))
        if own != wanted:
            name = graph.fresh_name(f"{read.name}/cast", names)
            read = rewrite.node(name, "Cast", [Tensor(read.name)], SrcT=own, DstT=wanted)
            made.append(read)
        replaced[statistic] = Tensor(read.name)
    for tensor, (value, like) in (pair for norm in norms for pair in norm.corrections.items()):
        name = graph.fresh_name(f"{tensor.node}/corrected", names)
        correction = rewrite.node(name, "OnesLike" if value else "ZerosLike", [replaced[like]])
        correction.attr["T"].type = index.data_type(like)
        made.append(correction)
        replaced[tensor] = Tensor(name)
    dropped = {update: "" for norm in norms for update in norm.updates}
    nodes = [
        node
        if among is not None and name not in among
        else _for_inference(node, replaced)
        if name in fused
        else rewrite.rewired(node, replaced, dropped)
        if _reads(index.edges(name), replaced, dropped)
        else node
        for name, node in index.nodes.items()
    ]
    return rewrite.with_nodes(graph_def, [*nodes, *made]), tuple(sorted(reads))


def _read(variable: NodeDef, taken_names: set[str]) -> NodeDef:
    name = graph.fresh_name(f"{variable.name}/average", taken_names)
    if variable.op == "VarHandleOp":
        return rewrite.node(name, "ReadVariableOp", [Tensor(variable.name)], dtype=_type(variable))
    return rewrite.node(name, "Identity", [Tensor(variable.name)], T=_type(variable))


def _reads(edges: Edges, tensors: Mapping[Tensor, Tensor], controls: Mapping[str, str]) -> bool:
    return any(tensor in tensors for tensor in edges.data) or any(name in controls for name in edges.controls)


def _type(variable: NodeDef) -> tf.DType:
    return tf.as_dtype(variable.attr["dtype"].type).base_dtype


def _for_inference(node: NodeDef, replaced: Mapping[Tensor, Tensor]) -> NodeDef:
    made = rewrite.rewired(node, replaced)
    made.attr["is_training"].b = False
    # Inputs are x, scale, offset, mean, variance; in training the last two are empty.
    for at, output in ((3, 1), (4, 2)):
        made.input[at] = replaced[Tensor(node.name, output)].edge
    return made
