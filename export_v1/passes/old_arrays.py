"""old_arrays: a TensorArray of before TensorFlow 1.0 becomes a TensorArrayV3, which has a counterpart in functional control flow.

Its handle was a string, or a reference to one, and its flow began at a constant beside it. The handle of a V3 is a
resource, and its flow begins at the array:

    TensorArrayV2 ─(handle)─► TensorArrayWriteV2      ==>      TensorArrayV3 ─(handle)─► TensorArrayWriteV3
    Const ─────────(flow)─────────^                                  └────────(flow)─────────^

Pack and Unpack are Gather and Scatter of all rows. TensorFlow 2 runs the old ops in a graph that says it is as old as they
are, and an export says that it is new.
"""

from collections.abc import Iterator

import tensorflow as tf

from export_v1.ir import graph, ops, rewrite
from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor
from export_v1.passes.result import Result

# What each op is from V3 on, and where it has its flow.
_V3 = {
    "": ("TensorArrayV3", None),
    "Grad": ("TensorArrayGradV3", 1),
    "Write": ("TensorArrayWriteV3", 3),
    "Read": ("TensorArrayReadV3", 2),
    "Gather": ("TensorArrayGatherV3", 2),
    "Scatter": ("TensorArrayScatterV3", 3),
    "Concat": ("TensorArrayConcatV3", 1),
    "Split": ("TensorArraySplitV3", 3),
    "Size": ("TensorArraySizeV3", 1),
    "Close": ("TensorArrayCloseV3", None),
    "Pack": ("TensorArrayGatherV3", 1),
    "Unpack": ("TensorArrayScatterV3", 2),
}
_OLD = {f"TensorArray{what}{version}": new for what, new in _V3.items() for version in ("", "V2")}
_MAKERS = frozenset({"TensorArray", "TensorArrayV2"})
_HANDLES = _MAKERS | {"TensorArrayGrad", "TensorArrayGradV2"}
# What hands on a handle, or a flow, as it is.
_PASSES = ops.SWITCHES | ops.MERGES | ops.ENTERS | ops.EXITS | ops.WAYS_BACK | {"Identity", "RefIdentity"}


def to_v3(graph_def: GraphDef, index: Index) -> Result:
    """Returns the graph with a V3 for each old TensorArray; tensors keep their names.

    Args:
        graph_def: not modified.
        index: of it.
    """
    if _OLD.keys().isdisjoint(index.kinds.values()):
        return Result(graph_def)
    passed, flows, used_names = _passed(index), _flows(index), set(index.nodes)
    readers = {name for name, _ in flows}
    nodes: list[NodeDef] = []
    for node in graph_def.node:
        made = _with_flows(node, index, flows) if node.name in readers else node
        if node.op in _OLD:
            nodes += _renewed(made, used_names)
        else:
            nodes.append(_of_resource(made) if node.name in passed else made)
    return Result(rewrite.with_nodes(graph_def, nodes))


def _passed(index: Index) -> set[str]:
    """Returns the names of the nodes that hand on the handle of an old array."""
    passing: set[str] = set()
    todo = [node.name for node in index.graph_def.node if node.op in _HANDLES]
    while todo:
        for reader, at in index.consumers(todo.pop()):
            is_data = not reader.input[at].startswith("^")
            if is_data and at == 0 and reader.op in _PASSES and reader.name not in passing:
                passing.add(reader.name)
                todo.append(reader.name)
    return passing


def _flows(index: Index) -> dict[tuple[str, int], str]:
    """Returns (reader, which input) -> the array whose flow begins there, where that is a constant."""
    arrays_at: dict[tuple[str, int], set[str]] = {}
    for node in index.graph_def.node:
        at = _OLD.get(node.op, ("", None))[1]
        if at is None:
            continue
        makers = {(tensor.node, depth) for _, tensor, depth in _beginnings(index, node.name, 0)}
        for place, tensor, depth in _beginnings(index, node.name, at):
            if index[tensor.node].op == "Const":
                # A constant that is made within a loop is in a frame where the array is not.
                arrays = {name for name, deep in makers if index[name].op in _MAKERS and deep == depth}
                arrays_at.setdefault(place, set()).update(arrays)
    return {place: min(arrays) for place, arrays in arrays_at.items() if len(arrays) == 1}


def _beginnings(index: Index, name: str, at: int) -> Iterator[tuple[tuple[str, int], Tensor, int]]:
    """Yields where what a node reads began: who reads it there, the tensor, and how many loops it has come into."""
    seen, todo = set(), [((name, at), 0)]
    while todo:
        place, depth = todo.pop()
        if place in seen:
            continue
        seen.add(place)
        tensor = index.edges(place[0]).data[place[1]]
        source = index[tensor.node]
        if source.op not in _PASSES:
            yield place, tensor, depth
            continue
        depth += (source.op in ops.ENTERS) - (source.op in ops.EXITS)
        ways = range(len(index.edges(source.name).data)) if source.op in ops.MERGES else (0,)
        todo += [((source.name, way), depth) for way in ways]


def _with_flows(node: NodeDef, index: Index, flows: dict[tuple[str, int], str]) -> NodeDef:
    made = NodeDef()
    made.CopyFrom(node)
    del made.input[:]
    edges = index.edges(node.name)
    for at, tensor in enumerate(edges.data):
        array = flows.get((node.name, at))
        made.input.append((Tensor(array, 1) if array else tensor).edge)
    made.input.extend(f"^{name}" for name in edges.controls)
    return made


def _of_resource(node: NodeDef) -> NodeDef:
    """What hands on a handle, once that is a resource."""
    made = NodeDef()
    made.CopyFrom(node)
    made.op = node.op.removeprefix("Ref")
    made.attr["T"].type = tf.resource.as_datatype_enum
    return made


def _renewed(node: NodeDef, used_names: set[str]) -> list[NodeDef]:
    """Returns the op of a V3 array in a node's place, behind what makes the numbers of all rows where it took all."""
    made = NodeDef()
    made.CopyFrom(node)
    made.op = _OLD[node.op][0]
    what = node.op.removeprefix("TensorArray").removesuffix("V2")
    if what not in ("Pack", "Unpack"):
        return [made]
    handle, *values, flow = graph.data_inputs(node)
    rows: list[NodeDef] = []

    def add(part: str, op: str, inputs: list[Tensor], **attrs: object) -> Tensor:
        rows.append(rewrite.node(graph.fresh_name(f"{node.name}/{part}", used_names), op, inputs, **attrs))
        return Tensor(rows[-1].name)

    def constant(part: str, value: object) -> Tensor:
        # In the loop or the branch where the flow is.
        rows.append(rewrite.constant(graph.fresh_name(f"{node.name}/{part}", used_names), value, tf.int32, [flow.node]))
        return Tensor(rows[-1].name)

    if what == "Pack":
        count = add("count", "TensorArraySizeV3", [handle, flow])
    else:
        shape = add("shape", "Shape", values, T=tf.as_dtype(node.attr["T"].type), out_type=tf.int32)
        ends = [constant(part, [value]) for part, value in (("begin", 0), ("end", 1), ("stride", 1))]
        count = add("count", "StridedSlice", [shape, *ends], T=tf.int32, Index=tf.int32, shrink_axis_mask=1)
    numbers = add("rows", "Range", [constant("zero", 0), count, constant("one", 1)], Tidx=tf.int32)
    made.input.insert(1, numbers.edge)
    return [*rows, made]
