"""Conditions inside loops and conditions as choices between two values, where both branches only compute.

Both are computed then, and one is taken: the same answers, in an expression that has a place inside other code.
"""

from collections.abc import Collection, Mapping

import tensorflow as tf
from tensorflow.core.framework import function_pb2

from export_v1.ir import graph as ir
from export_v1.ir import ops
from export_v1.ir.graph import GraphDef, NodeDef, Tensor
from load_v2.opening import graph as graphs
from load_v2.opening.graph import Graph
from load_v2.opening.sizes import Sizes
from load_v2.program import inline

_BRANCHES = ("then_branch", "else_branch")
# They fail where the branch that has them would not have been taken.
_MAY_FAIL = frozenset({"Gather", "GatherV2", "GatherNd", "Assert", "CheckNumerics", "Cholesky", "MatrixInverse"})
_CHOICE = "choice_"
_Library = Mapping[str, function_pb2.FunctionDef]


def with_choices(graph_def: GraphDef, only: Collection[str] | None = None) -> GraphDef:
    """Returns the graph with a choice in the place of each condition whose branches compute, and do nothing else.

    Args:
        graph_def: the graph.
        only: names of the conditions that may be replaced; None for all.
    """
    library = {function.signature.name: function for function in graph_def.library.function}
    chosen = {
        node.name
        for node in graph_def.node
        if node.op in ops.IFS and (only is None or node.name in only) and _only_computes(node, library)
    }
    if not chosen:
        return graph_def
    changed = GraphDef(versions=graph_def.versions, library=graph_def.library)
    for node in graph_def.node:
        changed.node.extend(_choice(node) if node.name in chosen else [node])
    # What was inside a branch may be a condition, too.
    return with_choices(inline.calls(changed))


def _only_computes(node: NodeDef, library: _Library) -> bool:
    if any(tf.as_dtype(kind) in (tf.variant, tf.resource, tf.string) for kind in node.attr["Tout"].list.type):
        return False
    return all(
        _is_computed(inner, library)
        for branch in _BRANCHES
        for inner in library[node.attr[branch].func.name].node_def
    )  # fmt: skip


def _is_computed(node: NodeDef, library: _Library) -> bool:
    if node.op in ops.IFS:
        return _only_computes(node, library)
    definition = ir.op_def(node.op)
    apart = ops.WHILES | ops.CONDITIONALS | ops.CALLS | _MAY_FAIL
    if definition is None or node.op in apart or node.op.startswith("TensorList"):
        return False
    return not definition.is_stateful


def _choice(node: NodeDef) -> list[NodeDef]:
    """Returns nodes that call both branches, and choose between what they give."""
    predicate, *given = [edge for edge in node.input if not edge.startswith("^")]
    nodes = []
    for branch in _BRANCHES:
        call = NodeDef(name=f"{node.name}/{branch}", op="PartitionedCall", input=given)
        call.attr["f"].func.name = node.attr[branch].func.name
        for key in ("Tin", "Tout"):
            call.attr[key].CopyFrom(node.attr[key])
        nodes.append(call)
    whole = NodeDef(name=node.name, op="IdentityN")
    for at, kind in enumerate(node.attr["Tout"].list.type):
        values = [f"{call.name}:{at}" if at else call.name for call in nodes[:2]]
        chosen = NodeDef(name=f"{node.name}/{_CHOICE}{at}", op="SelectV2", input=[predicate, *values])
        chosen.attr["T"].type = kind
        nodes.append(chosen)
        whole.input.append(chosen.name)
        whole.attr["T"].list.type.append(kind)
    return [*nodes, whole]


def of_shared_weights(graph: Graph) -> Graph:
    """Returns the graph with choices for conditions that share weights with other nodes.

    The layer of a condition has weights of its own, and training would make several of what is one.
    """
    shared = {
        node.name
        for node in graph.graph_def.node
        if node.op in ops.IFS
        and any(
            source.node in graph.weights and len(graph.index.consumers(source.node)) > 1
            for source in ir.data_inputs(node)
        )
    }
    return _chosen(graph, shared)


def of_sizes(graph: Graph, sizes: Sizes) -> Graph:
    """Returns the graph with choices for conditions on sizes that give whole numbers, of a known count: how much is padded."""

    def gives_sizes(node: NodeDef) -> bool:
        kinds = node.attr["Tout"].list.type
        shapes = [graph.shape(Tensor(node.name, at)) for at in range(len(kinds))]
        counted = all(shape is not None and len(shape) <= 1 and None not in shape for shape in shapes)
        return counted and all(tf.as_dtype(kind).is_integer for kind in kinds)

    decided = {
        node.name
        for node in graph.graph_def.node
        if node.op in ops.IFS and gives_sizes(node) and sizes.array(ir.data_inputs(node)[0]) is not None
    }
    return _chosen(graph, decided)


def _chosen(graph: Graph, only: Collection[str]) -> Graph:
    changed = with_choices(graph.graph_def, only) if only else graph.graph_def
    if changed is graph.graph_def:
        return graph
    try:
        made = graphs.without_aliases(changed, graph.inputs, graph.outputs, graph.weights)
    except ValueError:
        return graph
    return graph if of_other_shapes(made) else made


def of_other_shapes(graph: Graph) -> list[str]:
    """Returns the choices between values of which one may be stretched to the shape of the other, which no condition does."""
    return [node.name for node in graph.graph_def.node if _is_stretched(graph, node)]


def _is_stretched(graph: Graph, node: NodeDef) -> bool:
    if node.op != "SelectV2" or not node.name.rpartition("/")[2].startswith(_CHOICE):
        return False
    first, second = (graph.shape(tensor) for tensor in ir.data_inputs(node)[1:])
    if first is None or second is None or len(first) != len(second):
        return True
    return any(
        size != other and not (None in (size, other) and 1 not in (size, other))
        for size, other in zip(first, second, strict=True)
    )
