"""prune: the part of the graph that the outputs need."""

from collections.abc import Collection, Iterable

from export_v1 import errors
from export_v1.ir import graph, library
from export_v1.ir.graph import GraphDef, Index, Tensor, parse
from export_v1.ir.rewrite import with_nodes
from export_v1.passes.result import Result

_GRADIENT = "SymbolicGradient"


def to_outputs(graph_def: GraphDef, outputs: Collection[str], index: Index | None = None) -> Result:
    """Returns the part of the graph that `outputs` depend on.

    Node order and every kept NodeDef are unchanged, so pruning twice equals pruning once. Control inputs count as
    dependencies, because a TF1 graph may order reads after assignments through them. Functions that no kept node
    reaches leave the library.

    Args:
        graph_def: the whole graph, training ops included. Not modified.
        outputs: tensor names ("logits:0") or node names ("hash_table/table_init"); at least one.
        index: of the graph, where there is one already.

    Raises:
        ExportError: an output is not a node of this graph, or a kept node reads one that is not there.

    Source: same reachability as tf.compat.v1.graph_util.extract_sub_graph, which takes node names instead and keeps
    the library whole.
    """
    index = Index(graph_def) if index is None else index
    targets = [parse(output).node for output in outputs]
    for output, target in zip(outputs, targets, strict=True):
        if target not in index:
            raise errors.unknown("Output", output, "the graph", (f"{name}:0" for name in index.nodes))
    keep = index.ancestors(targets)
    _refuse_dangling(keep, index)
    if len(keep) == len(index.nodes) and not graph_def.library.ByteSize():
        return Result(graph_def)
    kept = with_nodes(graph_def, (node for name, node in index.nodes.items() if name in keep))
    _drop_unreached_functions(kept)
    return Result(kept, index=index.followed_by(kept))


def needed(index: Index, outputs: Iterable[str], fed: Iterable[str]) -> set[str]:
    """Returns the names of the nodes that `outputs` depend on when the tensors `fed` come from outside.

    A node whose only output is fed is not among them, nor is one that is fed and otherwise waited for: whoever waits
    for it waits for what is fed.

    Args:
        index: the graph.
        outputs: tensor names or node names.
        fed: tensor names.
    """
    ends = {parse(name) for name in fed}
    waits = {Tensor(tensor.node, -1) for tensor in ends}
    reached, todo = set(), [parse(name) for name in outputs]
    while todo:
        tensor = todo.pop()
        if tensor in ends or tensor in waits or tensor.node in reached or tensor.node not in index:
            continue
        reached.add(tensor.node)
        data, controls = index.edges(tensor.node)
        todo += data
        todo += [Tensor(name, -1) for name in controls]
    return reached


def _refuse_dangling(names: Iterable[str], index: Index) -> None:
    nodes = index.nodes
    for name in names:
        data, controls = index.edges(name)
        for target in (*(tensor.node for tensor in data), *controls):
            if target not in nodes:
                edge = next(edge for edge in index[name].input if parse(edge).node == target)
                raise errors.ExportError(
                    f"Node {name!r} ({index[name].op}) reads {edge!r}, and the graph has no such node.\n"
                    "  The graph file is damaged or was cut by another tool; get a fresh copy of it."
                )


def _drop_unreached_functions(graph_def: GraphDef) -> None:
    if not graph_def.library.ByteSize():
        return
    gradients = list(graph_def.library.gradient)
    # Whoever trains the export takes gradients anew; a node that asks for one gets that of the library.
    called = {name for node in graph.all_nodes(graph_def) if node.op == _GRADIENT for name in library.called_by(node)}
    del graph_def.library.gradient[:]
    graph_def.library.gradient.extend(gradient for gradient in gradients if gradient.function_name in called)
    reached = library.reachable(graph_def)
    kept = [function for function in graph_def.library.function if function.signature.name in reached]
    del graph_def.library.function[:], graph_def.library.gradient[:]
    graph_def.library.function.extend(kept)
    graph_def.library.gradient.extend(g for g in gradients if {g.function_name, g.gradient_func} <= reached)
