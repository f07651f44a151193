"""The shape of a TensorList's elements, where some of its sizes are known only as the graph runs.

A list may be reserved with unknown sizes, but TensorFlow Lite keeps a list in one tensor and needs them all. Often a
tensor of that very shape exists before the loop: `dynamic_rnn` writes a Select between the output and zeros of its
shape. Then the list is reserved with the shape of that tensor, but not where two are written that may differ.
"""

from tensorflow.core.framework import types_pb2

from export_v1.ir import graph
from export_v1.passes.functional import emit
from export_v1.passes.functional import region as regions
from export_v1.passes.functional.array_ops import Array
from export_v1.passes.functional.region import Region

# Ops whose output has exactly the shape of one input, and which.
SAME_SHAPE = {"Select": 1, "Identity": 0, "ZerosLike": 0, "OnesLike": 0, "Tanh": 0, "Sigmoid": 0, "Relu": 0, "Neg": 0}


def measure(region: Region, array: Array, used_names: set[str]) -> None:
    """Reserves the lists of a group with sizes taken from a tensor, if one is sure to have their elements' shape.

    Args:
        region: the whole graph, converted; changed.
        array: the group; nothing is done where its shape is known, or where lists are made inside of functions.
        taken: node names in use.
    """
    if array.shape is not None and None not in array.shape:
        return
    for name in array.names:
        reserve = region.nodes.get(name)
        if reserve is None or reserve.op != "TensorListReserve":
            return
        roots = {_root(region, [], writer, array) for writer in array.writers}
        if len(roots) > 1 and not array.identical:
            return
        index = graph.Index(emit.plain(region))
        sources = {root for root in roots if root and name not in index.ancestors([graph.parse(root).node])}
        if not sources:
            return
        shape = graph.fresh_name(f"{name}/measured_shape", used_names)
        source = graph.parse(min(sources))
        region.add(regions.make(shape, "Shape", [source.edge], T=region.dtype(source), out_type=types_pb2.DT_INT32))
        reserve.input[0] = shape
        for node in region.nodes.values():
            if node.op == "TensorListStack" and node.input[1] == array.shape_node and len(array.names) == 1:
                node.input[1] = shape


def _root(region: Region, above: list, writer: str, array: Array) -> str | None:
    """Returns the tensor name, in the outermost region, of a tensor shaped as what `writer` writes."""
    node = region.nodes.get(writer)
    if node is not None:
        return _shaped(region, above, node.input[2]) if node.op == "TensorListSetItem" else None
    for name, parts in region.bodies.items():
        for part in parts.values():
            root = _root(part, [*above, (region, name)], writer, array)
            if root:
                return root
    return None


def _shaped(region: Region, above: list, edge: str) -> str | None:
    tensor = graph.parse(edge)
    node = region.nodes[tensor.node]
    while node.op in SAME_SHAPE:
        tensor = graph.parse(node.input[SAME_SHAPE[node.op]])
        node = region.nodes[tensor.node]
    if not above:
        return tensor.name
    if node.op != "_Arg":
        return None
    outer, name = above[-1]
    at = region.args.index(node.name)
    if "body" in outer.bodies[name]:
        body = outer.bodies[name]["body"]
        return _shaped(outer, above[:-1], outer.nodes[name].input[at]) if body.results[at] == node.name else None
    return _shaped(outer, above[:-1], outer.nodes[name].input[at + 1])
