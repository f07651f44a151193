"""What stands for each TensorArrayV3 op, one by one."""

import dataclasses
from collections.abc import Mapping

import tensorflow as tf
from tensorflow.core.framework import tensor_shape_pb2, types_pb2

from export_v1.ir import graph, ops
from export_v1.ir.graph import NodeDef, Tensor
from export_v1.passes.functional import region as regions
from export_v1.passes.functional.region import Region, Unconvertible

Shape = list[int | None] | None


@dataclasses.dataclass
class Array:
    """A group of TensorArrays converted together.

    Attributes:
        names: of their TensorArrayV3 nodes.
        dtype: of an element.
        dynamic: whether a write may make it longer.
        shape: of an element, as far as the ops say: None for unknown rank, None for unknown sizes.
        shape_node: name of the constant that holds `shape`.
        writers: names of the ops that write.
        read_only: whether one op fills it and only single reads follow.
        identical: whether TensorFlow 1 made sure that all elements have one shape.
    """

    names: list[str]
    dtype: int
    dynamic: bool
    shape: Shape
    shape_node: str
    writers: list[str]
    read_only: bool
    identical: bool


def describe(region: Region, members: list[str], uses: list[NodeDef], used_names: set[str]) -> Array:
    """Returns the record of a group and adds its element shape to `region`, as a constant."""
    first = region.nodes[members[0]]
    shape: Shape = None
    for node in [region.nodes[name] for name in members] + [n for n in uses if n.op == "TensorArrayGatherV3"]:
        shape = _refined(shape, node.attr["element_shape"].shape if "element_shape" in node.attr else None)
    writers = [node.name for node in uses if node.op in ops.ARRAY_WRITERS]
    others = [node for node in uses if node.op not in ops.ARRAY_WRITERS | {"TensorArrayReadV3", "TensorArrayCloseV3"}]
    name = graph.fresh_name(f"{members[0]}/element_shape", used_names)
    region.add(shape_constant(name, shape))
    return Array(
        members,
        first.attr["dtype"].type,
        any(region.nodes[m].attr["dynamic_size"].b for m in members),
        shape,
        name,
        writers,
        len(writers) == 1 and not others,
        all(region.nodes[m].attr["identical_element_shapes"].b for m in members),
    )


def shape_constant(name: str, shape: Shape) -> NodeDef:
    """Returns the constant that TensorList ops take for an element shape: -1 is unknown, alone or as a size."""
    value = -1 if shape is None else [-1 if size is None else size for size in shape]
    return regions.constant(name, value, types_pb2.DT_INT32)


def _refined(known: Shape, proto: tensor_shape_pb2.TensorShapeProto | None) -> Shape:
    """Returns what two statements about one shape say together; the first stands where they differ."""
    if proto is None or proto.unknown_rank:
        return known
    sizes = [dim.size if dim.size >= 0 else None for dim in proto.dim]
    if known is None:
        return sizes
    if len(sizes) != len(known):
        return known
    return [b if a is None else a for a, b in zip(known, sizes, strict=True)]


def refine(region: Region, array: Array, shapes: Mapping) -> bool:
    """Says of a group's elements what is known of all that is written; returns whether that is more than before.

    Args:
        region: the whole graph, converted; the constant of the element shape is changed wherever a copy of it is.
        array: the group.
        shapes: tensor name -> static shape, of every tensor of every function.

    Raises:
        Unconvertible: elements written one after the other may differ in shape, and do; to TensorFlow's shape
            inference all elements of a list have one shape.
    """
    known_shape = None
    for part in region.walk():
        written = [_element(part.nodes[name], shapes) for name in array.writers if name in part.nodes]
        if not array.identical and any(shape != written[0] for shape in written):
            first, other = written[0], next(shape for shape in written if shape != written[0])
            raise Unconvertible(array.names[0], f"its elements differ in shape: {first} and {other}")
        for shape in written:
            known_shape = shape if known_shape is None else known_shape.most_specific_compatible_shape(shape)
    if known_shape is None:
        return False
    shape = _refined(array.shape, known_shape.as_proto())
    if shape == array.shape:
        return False
    array.shape = shape
    for part in region.walk():
        if array.shape_node in part.nodes:
            part.nodes[array.shape_node].CopyFrom(shape_constant(array.shape_node, shape))
    return True


def _element(node: NodeDef, shapes: Mapping):
    position = {"TensorListSetItem": 2, "TensorListScatterIntoExistingList": 1}.get(node.op, 0)
    shape = shapes[graph.parse(node.input[position]).name]
    if node.op == "TensorListSetItem" or shape.rank is None:
        return shape
    return shape[1:] if node.op != "TensorListSplit" else shape[1:].__class__([None]).concatenate(shape[1:])


def reserve(array: Array, node: NodeDef, used_names: set[str]) -> list[NodeDef]:
    """Returns what makes the list: all its elements are there, unwritten ones read as zeros.

    A list that a write may make longer also passes a TensorListResize, which changes nothing. XLA has no such op, and
    so refuses the graph; without it, XLA would compile a write beyond the end to no write at all.
    """
    controls = [edge for edge in node.input if edge.startswith("^")]
    name = graph.fresh_name(f"{node.name}/reserve", used_names) if array.dynamic else node.name
    made = regions.make(
        name,
        "TensorListReserve",
        [array.shape_node, node.input[0], *controls],
        element_dtype=array.dtype,
        shape_type=types_pb2.DT_INT32,
    )
    return [made, regions.make(node.name, "TensorListResize", [name, node.input[0]])] if array.dynamic else [made]


def rewrite(array: Array, region: Region, node: NodeDef, used_names: set[str]) -> list[NodeDef]:
    """Returns the nodes that do what a TensorArray op did; the last has its name and its outputs."""
    edges = [edge for edge in node.input if not edge.startswith("^")]
    controls = [edge for edge in node.input if edge.startswith("^")]
    return _REWRITES[node.op](array, region, node, edges, controls, used_names)


def _read(array: Array, region: Region, node: NodeDef, edges, controls, used_names) -> list[NodeDef]:
    return [
        regions.make(
            node.name, "TensorListGetItem", [edges[2], edges[1], array.shape_node, *controls], element_dtype=array.dtype
        )
    ]


def _write(array: Array, region: Region, node: NodeDef, edges, controls, used_names) -> list[NodeDef]:
    result = regions.make(
        node.name, "TensorListSetItem", [edges[3], edges[1], edges[2], *controls], element_dtype=array.dtype
    )
    result.attr["resize_if_index_out_of_bounds"].b = array.dynamic
    return [result]


def _size(array: Array, region: Region, node: NodeDef, edges, controls, used_names) -> list[NodeDef]:
    return [regions.make(node.name, "TensorListLength", [edges[1], *controls])]


def _close(array: Array, region: Region, node: NodeDef, edges, controls, used_names) -> list[NodeDef]:
    return [regions.make(node.name, "NoOp", controls)]


def _gather(array: Array, region: Region, node: NodeDef, edges, controls, used_names) -> list[NodeDef]:
    """`stack()` gathers all there is. Otherwise rows are taken from the stacked whole: TensorListGather would be
    nearer, but its gradient forgets all but one of several reads of the same element."""
    whole = _is_whole(array, region, edges[1])
    name = node.name if whole else graph.fresh_name(f"{node.name}/stack", used_names)
    stack = regions.make(name, "TensorListStack", [edges[2], array.shape_node, *controls], element_dtype=array.dtype)
    stack.attr["num_elements"].i = -1
    if whole:
        return [stack]
    axis = regions.constant(graph.fresh_name(f"{node.name}/axis", used_names), 0, types_pb2.DT_INT32)
    return [
        stack,
        axis,
        regions.make(
            node.name,
            "GatherV2",
            [stack.name, edges[1], axis.name],
            Tparams=array.dtype,
            Tindices=types_pb2.DT_INT32,
            Taxis=types_pb2.DT_INT32,
        ),
    ]


def _is_whole(array: Array, region: Region, edge: str) -> bool:
    limit = _range_limit(region, edge)
    if not limit:
        return False
    node = region.nodes[graph.parse(limit).node]
    if node.op in ("TensorArraySizeV3", "TensorListLength"):
        flow = graph.data_inputs(node)[-1]
        made = _first_flow(region, flow)
        return made in array.names
    return not array.dynamic and any(
        _same(region, limit, _size_edge(region, name)) for name in array.names[:1] if len(array.names) == 1
    )


def _size_edge(region: Region, name: str) -> str:
    node = region.nodes[name]
    return node.input[1] if node.op == "TensorListReserve" else node.input[0]


def _first_flow(region: Region, tensor: Tensor) -> str | None:
    """Returns the TensorArrayV3 node a flow began at, going back by the first way there is."""
    seen = set()
    while tensor.node not in seen:
        seen.add(tensor.node)
        node = region.nodes[tensor.node]
        if node.op in ("TensorArrayV3", "TensorListReserve"):
            return node.name
        if not graph.data_inputs(node):
            return None
        tensor = graph.data_inputs(node)[-1 if node.op.startswith("TensorArray") else 0]
    return None


def _scatter(array: Array, region: Region, node: NodeDef, edges, controls, used_names) -> list[NodeDef]:
    """`unstack()` fills a new array with all rows of a tensor: that tensor as a list. XLA knows no other scatter.

    Indices 0, 1, … n - 1 are always all rows: a scatter takes as many indices as there are rows.
    """
    limit = _range_limit(region, edges[1])
    source = graph.parse(edges[3])
    fresh = source.node in array.names and source.index == 1
    if fresh and limit is not None and (array.read_only or _same(region, limit, _size_edge(region, source.node))):
        return [
            regions.make(
                node.name,
                "TensorListFromTensor",
                [edges[2], array.shape_node, *controls],
                element_dtype=array.dtype,
                shape_type=types_pb2.DT_INT32,
            )
        ]
    return [
        regions.make(
            node.name,
            "TensorListScatterIntoExistingList",
            [edges[3], edges[2], edges[1], *controls],
            element_dtype=array.dtype,
        )
    ]


def _split(array: Array, region: Region, node: NodeDef, edges, controls, used_names) -> list[NodeDef]:
    source = graph.parse(edges[3])
    if source.node not in array.names or source.index != 1:
        raise Unconvertible(array.names[0], f"{node.name} splits into an array that has elements already")
    return [
        regions.make(
            node.name,
            "TensorListSplit",
            [edges[1], array.shape_node, edges[2], *controls],
            element_dtype=array.dtype,
            shape_type=types_pb2.DT_INT32,
        )
    ]


def _concat(array: Array, region: Region, node: NodeDef, edges, controls, used_names) -> list[NodeDef]:
    rest = node.attr["element_shape_except0"].shape if "element_shape_except0" in node.attr else None
    shape = None if rest is None or rest.unknown_rank else [None, *(d.size if d.size >= 0 else None for d in rest.dim)]
    shape_node = shape_constant(graph.fresh_name(f"{node.name}/element_shape", used_names), shape)
    none = regions.constant(graph.fresh_name(f"{node.name}/leading_dims", used_names), [], types_pb2.DT_INT64)
    concat = regions.make(
        node.name,
        "TensorListConcatV2",
        [edges[1], shape_node.name, none.name, *controls],
        element_dtype=array.dtype,
        shape_type=types_pb2.DT_INT32,
    )
    return [shape_node, none, concat]


_REWRITES = {
    "TensorArrayReadV3": _read,
    "TensorArrayWriteV3": _write,
    "TensorArraySizeV3": _size,
    "TensorArrayCloseV3": _close,
    "TensorArrayGatherV3": _gather,
    "TensorArrayScatterV3": _scatter,
    "TensorArraySplitV3": _split,
    "TensorArrayConcatV3": _concat,
}


def _plain(region: Region, edge: str) -> Tensor:
    """Returns the tensor behind identities and the Enters that carry it into loops."""
    tensor = graph.parse(edge)
    while True:
        node = region.nodes[tensor.node]
        if node.op != "Identity" and not (node.op == "Enter" and node.attr["is_constant"].b):
            return tensor
        tensor = graph.parse(node.input[0])


def _value(region: Region, edge: str):
    node = region.nodes[_plain(region, edge).node]
    return tf.make_ndarray(node.attr["value"].tensor) if node.op == "Const" else None


def _range_limit(region: Region, edge: str) -> str | None:
    """Returns the edge of n where a tensor is 0, 1, … n - 1 by construction."""
    node = region.nodes[_plain(region, edge).node]
    if node.op != "Range":
        return None
    start, step = _value(region, node.input[0]), _value(region, node.input[2])
    return node.input[1] if start is not None and step is not None and start == 0 and step == 1 else None


def _number(region: Region, edge: str) -> int | None:
    """Returns a scalar that is a constant, or one size out of a constant shape."""
    value = _value(region, edge)
    if value is None:
        node = region.nodes[_plain(region, edge).node]
        if node.op != "StridedSlice" or node.attr["shrink_axis_mask"].i != 1:
            return None
        sizes, at = (_value(region, source) for source in node.input[:2])
        if sizes is None or at is None or at.shape != (1,):
            return None
        value = sizes[at[0]]
    return int(value) if value.shape == () else None


def _same(region: Region, left_name: str, right_name: str, depth: int = 20) -> bool:
    """Returns whether two tensors are equal by construction: the same op without effects on the same inputs."""
    a, b = _plain(region, left_name), _plain(region, right_name)
    number = _number(region, left_name)
    if a == b or (number is not None and number == _number(region, right_name)):
        return True
    first, second = region.nodes[a.node], region.nodes[b.node]
    left, right = graph.data_inputs(first), graph.data_inputs(second)
    if not depth or a.index != b.index or first.op != second.op or len(left) != len(right):
        return False
    if regions.stateful(first) or first.op in ("Placeholder", "Merge", "Switch", "Enter", "_Arg"):
        return False
    if dict(first.attr) != dict(second.attr):
        return False
    return all(_same(region, x.edge, y.edge, depth - 1) for x, y in zip(left, right, strict=True))
