"""freeze: a tensor becomes a placeholder (an input) or a constant (a value that never changes)."""

from collections.abc import Collection, Mapping

import tensorflow as tf

from export_v1.ir import graph, ops, rewrite, safety
from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor, parse
from export_v1.passes.result import Result


def to_placeholders(
    graph_def: GraphDef,
    inputs: Mapping[str, tuple[int, list[int | None] | None]],
    keep: Collection[str] | None = None,
    index: Index | None = None,
) -> Result:
    """Returns the graph cut at `inputs`.

    Every input is a Placeholder afterwards, whatever made it before; a tensor made by a node whose only output it is
    keeps its name, any other gets one from the tensor's ("IteratorGetNext:1" -> "IteratorGetNext_1:0").

    Args:
        graph_def: not modified.
        inputs: tensor name -> DataType and static shape (None: unknown rank; a None in it: unknown size).
        keep: names of the other nodes to keep; None: all of them.
        index: of the graph, where there is one already.

    Returns:
        The graph; `renamed` has every input.
    """
    index = index or Index(graph_def)
    used_names = set(index.nodes)
    made = {}
    for name, (data_type, shape) in inputs.items():
        tensor = parse(name)
        made[tensor] = rewrite.node(
            _new_name(index.nodes.get(tensor.node), tensor, used_names),
            "Placeholder",
            dtype=tf.as_dtype(data_type),
            shape=tf.TensorShape(shape),
        )
    return _replaced(index, made, keep)


def to_constants(graph_def: GraphDef, values: Mapping[str, tuple[int, object]]) -> Result:
    """Returns the graph with constants for some tensors.

    Args:
        graph_def: not modified.
        values: tensor name -> DataType and value.

    Returns:
        The graph; `renamed` has every tensor of `values`.
    """
    index = Index(graph_def)
    used_names = set(index.nodes)
    made = {}
    for name, (data_type, value) in values.items():
        tensor = parse(name)
        new_name = _new_name(index.nodes.get(tensor.node), tensor, used_names)
        made[tensor] = rewrite.constant(new_name, value, tf.as_dtype(data_type))
    return _replaced(index, made)


def to_nothing(graph_def: GraphDef, names: Collection[str]) -> Result:
    """Returns the graph with nodes that never run, nor does what reads them: nobody need feed or fill them.

    Each waits for the side of a Switch that is never taken, as a node in a branch waits for its branch. One that could
    do more than compute is replaced by what computes nothing, so nothing depends on whether it never runs.

    Args:
        graph_def: not modified.
        names: of nodes outside of loops.
    """
    if not names:
        return Result(graph_def)
    used_names = {node.name for node in graph_def.node}
    no, switch, never = (Tensor(graph.fresh_name(f"never{part}", used_names)) for part in ("/predicate", "/switch", ""))
    made = [
        rewrite.constant(no.node, False, tf.bool),
        rewrite.node(switch.node, "Switch", [no, no], T=tf.bool),
        rewrite.node(never.node, "Identity", [Tensor(switch.node, 1)], T=tf.bool),
    ]
    for node in graph_def.node:
        if node.name in names and not safety.is_harmless(node.op) and node.op not in ops.SOURCES:
            made += _empty(node, never.node, used_names)
            continue
        if node.name in names:
            node = rewrite.rewired(node, {})
            node.input.append("^" + never.node)
        made.append(node)
    return Result(rewrite.with_nodes(graph_def, made))


def _empty(node: NodeDef, never: str, used_names: set[str]) -> list[NodeDef]:
    """Returns nodes that take a node's place, of the same outputs, and that never run."""
    types = graph.output_types(node)
    made = [
        rewrite.node(graph.fresh_name(f"{node.name}/nothing", used_names), "Placeholder", dtype=tf.as_dtype(data_type))
        for data_type in types
    ]
    end = NodeDef(name=node.name, op="IdentityN" if types else "NoOp")
    end.input.extend([*(each.name for each in made), f"^{never}"])
    if types:
        end.attr["T"].list.type.extend(types)
    for each in made:
        each.input.append(f"^{never}")
    return [*made, end]


def _new_name(maker: NodeDef | None, tensor: Tensor, used_names: set[str]) -> str:
    if maker is not None and tensor.index == 0 and len(graph.output_types(maker)) == 1:
        return tensor.node
    return graph.fresh_name(f"{tensor.node}_{tensor.index}", used_names)


def _replaced(index: Index, made: Mapping[Tensor, NodeDef], keep: Collection[str] | None = None) -> Result:
    new, tensors = rewrite.replace_tensors(index, made, keep)
    return Result(new.graph_def, {old.name: tensor.name for old, tensor in tensors.items()}, index=new)
