"""ref_select: a RefSelect becomes conditions, which have a counterpart for resource variables.

A RefSelect gives one of several references, by number. Two references and the condition that decides between them say
the same, and more than two are decided between one after the other, from the last. All references are there before one
is selected, so the condition waits for what writes them:

    a, b, index ─► RefSelect            ==>        a ─► RefSwitch ─► RefMerge
                                                   b ─► RefSwitch ──────^
                                          index < 1 ──────^
"""

import tensorflow as tf

from export_v1.ir import graph, rewrite
from export_v1.ir.graph import GraphDef, NodeDef, Tensor
from export_v1.passes.result import Result


def to_conditions(graph_def: GraphDef) -> Result:
    """Returns the graph with no RefSelect in it; tensors keep their names.

    Args:
        graph_def: not modified.
    """
    if not any(node.op == "RefSelect" for node in graph_def.node):
        return Result(graph_def)
    used_names = {node.name for node in graph_def.node}
    nodes: list[NodeDef] = []
    for node in graph_def.node:
        nodes += _decided(node, used_names) if node.op == "RefSelect" else [node]
    return Result(rewrite.with_nodes(graph_def, nodes))


def _decided(select: NodeDef, used_names: set[str]) -> list[NodeDef]:
    index, *references = graph.data_inputs(select)
    kind = tf.as_dtype(select.attr["T"].type)
    before = [*graph.control_inputs(select), *(tensor.node for tensor in references)]
    waits = list(dict.fromkeys(before))
    nodes: list[NodeDef] = []

    def add(name: str, op: str, inputs: list[Tensor], **attrs: object) -> Tensor:
        nodes.append(rewrite.node(name, op, inputs, **attrs))
        return Tensor(name)

    def fresh(part: str) -> str:
        return graph.fresh_name(f"{select.name}/{part}", used_names)

    if len(references) == 1:
        add(select.name, "RefIdentity", references, T=kind)
        nodes[-1].input.extend(f"^{name}" for name in graph.control_inputs(select))
        return nodes
    result = references[-1]
    for at in reversed(range(len(references) - 1)):
        limit = rewrite.constant(fresh("limit"), at + 1, tf.int32, waits)
        nodes.append(limit)
        is_below = add(fresh("below"), "Less", [index, Tensor(limit.name)], T=tf.int32)
        this = add(fresh("this"), "RefSwitch", [references[at], is_below], T=kind)
        others = add(fresh("others"), "RefSwitch", [result, is_below], T=kind)
        name = select.name if at == 0 else fresh("either")
        result = add(name, "RefMerge", [others, Tensor(this.node, 1)], T=kind, N=2)
    return nodes
