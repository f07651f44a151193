"""Variables read inside a loop or a branch that writes to none of them are read once, before it.

The value is then an ordinary tensor: the loop can be a StatelessWhile, and gradients need not know the resource.
"""

from tensorflow.core.framework import types_pb2

from export_v1.ir import graph
from export_v1.ir.graph import NodeDef
from export_v1.passes.functional import region as regions
from export_v1.passes.functional.region import Captures, Region

# What can be computed from the variable's value alone.
_FROM_VALUE = frozenset({"ReadVariableOp", "ResourceGather", "VariableShape"})


def hoist(captures: Captures, parts: list[Region]) -> None:
    """Moves reads out of the functions of one construct where nothing in them can write to the variable.

    Args:
        captures: of the construct; its outer region receives the reads, ordered after what the construct waits for.
        parts: its functions; changed.
    """
    for source, arg in list(captures.args.items()):
        if captures.outer.dtype(graph.parse(source)) != types_pb2.DT_RESOURCE:
            continue
        users = [(part, node) for part in parts for node in part.nodes.values() if arg in node.input]
        plain = all(node.op in _FROM_VALUE and node.input[0] == arg for _, node in users)
        if not plain or not users or any(arg in part.results for part in parts):
            continue
        dtypes = {node.attr["dtype"].type for _, node in users if node.op != "VariableShape"}
        if len(dtypes) != 1:
            continue
        name = graph.fresh_name(f"{captures.name}/read_{graph.parse(source).node.rsplit('/', 1)[-1]}", captures.taken)
        controls = ["^" + control for control in captures.controls]
        edge = graph.parse(source).edge
        captures.outer.add(regions.make(name, "ReadVariableOp", [edge, *controls], dtype=dtypes.pop()))
        del captures.args[source]
        for part in parts:
            part.nodes.pop(arg, None)
        for part, node in users:
            value = captures.arg(graph.parse(name), part)
            part.nodes[node.name].CopyFrom(_from_value(part, node, value, captures.taken))


def _from_value(part: Region, node: NodeDef, value: str, taken: set[str]) -> NodeDef:
    """Returns a node that does with the variable's value what `node` does with its handle."""
    controls = [edge for edge in node.input if edge.startswith("^")]
    if node.op == "ReadVariableOp":
        return regions.make(node.name, "Identity", [value, *controls], T=node.attr["dtype"].type)
    dtype = part.dtype(graph.parse(value))
    if node.op == "VariableShape":
        return regions.make(node.name, "Shape", [value, *controls], T=dtype, out_type=node.attr["out_type"].type)
    axis = graph.fresh_name(f"{node.name}/axis", taken)
    batch_dims = node.attr["batch_dims"].i
    part.add(regions.constant(axis, batch_dims, types_pb2.DT_INT32))
    result = regions.make(
        node.name,
        "GatherV2",
        [value, node.input[1], axis, *controls],
        Tparams=dtype,
        Tindices=node.attr["Tindices"].type,
        Taxis=types_pb2.DT_INT32,
    )
    result.attr["batch_dims"].i = batch_dims
    return result
