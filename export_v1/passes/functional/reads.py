"""Variables read inside a loop or a branch that writes to none of them are read once, before it.

The value is then an ordinary tensor: the loop can be a StatelessWhile, and gradients need not know the resource.
"""

from collections.abc import Collection, Iterable

from tensorflow.core.framework import types_pb2

from export_v1.ir import graph, ops
from export_v1.ir.graph import NodeDef
from export_v1.passes.functional import region as regions
from export_v1.passes.functional.region import Captures, Region

# What can be computed from the variable's value alone.
_FROM_VALUE = frozenset({"ReadVariableOp", "ResourceGather", "VariableShape"})


def hoist(captures: Captures, parts: list[Region], inputs: Iterable[str], kept_apart: Collection[str]) -> list[NodeDef]:
    """Moves reads out of the functions of one construct where nothing in them can write to the variable.

    Args:
        captures: of the construct; its outer region receives the reads, ordered after what the construct waits for.
        parts: its functions; changed.
        inputs: edges of the outer region that the construct takes beside its captures.
        kept_apart: variables that the outer region writes to, as `written` returns them.

    Returns:
        The reads, in the outer region.
    """
    added = []
    controls = ["^" + control for control in captures.controls]
    # A write may be on the way to the construct: to its predicate, say.
    after_writes = [*controls, *("^" + graph.parse(edge).node for edge in (*inputs, *captures.args))]
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
        name = graph.fresh_name(
            f"{captures.name}/read_{graph.parse(source).node.rsplit('/', 1)[-1]}", captures.used_names
        )
        edge = graph.parse(source).edge
        waits = dict.fromkeys(after_writes if _resource(captures.outer, edge) in kept_apart else controls)
        added.append(captures.outer.add(regions.make(name, "ReadVariableOp", [edge, *waits], dtype=dtypes.pop())))
        del captures.args[source]
        for part in parts:
            part.nodes.pop(arg, None)
        for part, node in users:
            value = captures.arg(graph.parse(name), part)
            part.nodes[node.name].CopyFrom(_from_value(part, node, value, captures.used_names))
    return added


def written(region: Region, nodes: Iterable[NodeDef] | None = None) -> set[str]:
    """Returns the nodes that hold the resources which a region writes, itself or in its functions.

    Args:
        region: the region.
        nodes: those of its nodes that are asked about; None: all.
    """
    resources = set()
    for node in region.nodes.values() if nodes is None else nodes:
        parts = region.bodies.get(node.name, {}).values()
        inside = (other.op for part in parts for below in part.walk() for other in below.nodes.values())
        if any(op in ops.RESOURCE_WRITERS for op in (node.op, *inside)):
            resources |= {
                _resource(region, tensor.edge)
                for tensor in graph.data_inputs(node)
                if region.dtype(tensor) == types_pb2.DT_RESOURCE
            }
    return resources


def _resource(region: Region, edge: str) -> str:
    """Returns the node that a resource comes from, seen through what passes it on."""
    node = region.nodes[graph.parse(edge).node]
    while node.op in ("Identity", "Switch", "Enter"):
        node = region.nodes[graph.parse(node.input[0]).node]
    return node.name


def _from_value(part: Region, node: NodeDef, value: str, used_names: set[str]) -> NodeDef:
    """Returns a node that does with the variable's value what `node` does with its handle."""
    controls = [edge for edge in node.input if edge.startswith("^")]
    if node.op == "ReadVariableOp":
        return regions.make(node.name, "Identity", [value, *controls], T=node.attr["dtype"].type)
    dtype = part.dtype(graph.parse(value))
    if node.op == "VariableShape":
        return regions.make(node.name, "Shape", [value, *controls], T=dtype, out_type=node.attr["out_type"].type)
    axis = graph.fresh_name(f"{node.name}/axis", used_names)
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
