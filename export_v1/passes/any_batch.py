"""any_batch: what the size of the training batch was written into fits any batch.

A queue's batch has a size that TensorFlow 1 knew when the graph was built, so `tf.reshape(x, [BATCH, 5])` holds a number.
Its first size is left to the data then, as -1 leaves it: the same for a batch of that size, and row by row for any other.
The state that a recurrent cell starts with is as many zeros as there are rows in the data, for the same reason, and an
array's elements have any number of rows.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from export_v1.analysis import constants
from export_v1.analysis.liveness import Liveness, Ordered
from export_v1.ir import graph, ops, rewrite
from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor, attr, control_inputs, data_inputs, parse
from export_v1.passes.result import Result

# Of a list of tensors, where its elements' shape comes in.
_ELEMENT_SHAPES = {
    **dict.fromkeys(("TensorListReserve", "EmptyTensorList"), 0),
    **dict.fromkeys(("TensorListFromTensor", "TensorListStack", "TensorListPopBack"), 1),
    "TensorListGetItem": 2,
}
# Row by row with the data, if the other side is of it.
_JOINS = ops.ELEMENTWISE | ops.MERGES | ops.WHILES | {"Concat", "ConcatV2"}
# Rows stay rows, those of this input.
_PASSED = {**dict.fromkeys(ops.ENTERS | ops.SWITCHES | {"MatMul", "BiasAdd", "SplitV"}, 0), "Split": 1}


def reshapes(graph_def: GraphDef, size: int | None) -> Result:
    """Returns the graph with Reshapes to a constant number of rows that take any number.

    Those of data whose first recorded size is the batch's or a multiple of it, or is not recorded; to a first size that
    is as large or a multiple of it.

    Args:
        graph_def: not modified; with the shapes that TensorFlow 1 recorded.
        size: of the training batch; None: not known, and nothing is changed.
    """
    if size is None:
        return Result(graph_def)
    index = Index(graph_def)
    names, nodes = set(index.nodes), []
    for node in graph_def.node:
        target = _target(index, node, size) if node.op == "Reshape" else None
        if target is not None:
            open_target = np.concatenate([[-1], target[1:]]).astype(target.dtype)
            name = graph.fresh_name(f"{node.name}/any_batch", names)
            waits = control_inputs(index[data_inputs(node)[1].node])
            nodes.append(rewrite.constant(name, open_target, tf.as_dtype(target.dtype), waits))
            node = rewrite.rewired(node, {data_inputs(node)[1]: Tensor(name)})
        nodes.append(node)
    return Result(rewrite.with_nodes(graph_def, nodes))


def _target(index: Index, reshape: NodeDef, size: int) -> np.ndarray | None:
    """Returns the constant shape of a Reshape whose first size comes of the batch's."""
    data, shape = data_inputs(reshape)
    source = index.nodes.get(shape.node)
    if source is None or source.op != "Const":
        return None
    target = tf.make_ndarray(attr(source, "value").tensor)
    if target.ndim != 1 or len(target) < 1 or np.any(target < 1):
        return None
    recorded = graph.recorded_shape(index[data.node], data.index) if data.node in index else None
    first = recorded[0] if recorded else None
    if (first is not None and (first % size or size == 1 < first)) or index[data.node].op in ops.VARIABLE_READS | {
        "Const"
    }:
        return None
    sizes = [known for known in recorded or () if known is not None]
    exact = first is None or size == 1 or len(sizes) < len(recorded or ())
    fits = target[0] == size if exact else target[0] % size == 0 and math.prod(sizes) == np.prod(target)
    return target if fits else None


def starts(graph_def: GraphDef, size: int | None, inputs: Mapping[str, Sequence[int | None] | None]) -> Result:
    """Returns the graph with as many equal rows as the data has, where it has as many as the training batch.

    That is a Fill, a Const of one value, or a Tile of one row, outside of loops and conditions, that is joined row by row
    with what is computed from the inputs: in arithmetic, in a concatenation, or as what a loop starts with.

    Args:
        graph_def: not modified; with the shapes that TensorFlow 1 recorded.
        size: of the training batch; None: not known, and nothing is changed.
        inputs: tensor that is fed -> its static shape.
    """
    fed = [parse(name) for name, shape in inputs.items() if shape and shape[0] in (size, None)]
    if size is None or not fed:
        return Result(graph_def)
    index, nodes = Index(graph_def), []
    names = set(index.nodes)
    values = Liveness(Ordered.of(index)).known
    dependent = index.descendants(tensor.node for tensor in fed)
    for node in graph_def.node:
        sizes = None if node.name in dependent else _equal_rows(index, node, values, size)
        if (
            sizes is not None
            and sizes[0] == size
            and _is_outside(index, node)
            and _is_joined(index, node, dependent, sizes)
        ):
            made = sized(index, f"{node.name}/any_batch", fed[0], sizes[1:], names)
            nodes += made
            node = _resized(node, sizes, Tensor(made[-1].name), nodes, names)
        nodes.append(node)
    return Result(rewrite.with_nodes(graph_def, nodes))


def arrays(graph_def: GraphDef, size: int | None) -> Result:
    """Returns the graph with arrays and lists whose elements have any number of rows, where it is the training batch's.

    Args:
        graph_def: not modified.
        size: of the training batch; None: not known, and nothing is changed.
    """
    if size is None:
        return Result(graph_def)
    names = {node.name for node in graph_def.node}
    made = rewrite.with_nodes(graph_def, _with_open_elements(graph_def.node, size, names))
    for function in made.library.function:
        nodes = list(_with_open_elements(function.node_def, size, {node.name for node in function.node_def}))
        del function.node_def[:]
        function.node_def.extend(nodes)
    return Result(made)


def _with_open_elements(nodes: Iterable[NodeDef], size: int, names: set[str]) -> Iterator[NodeDef]:
    sizes = {}
    for node in nodes:
        if node.op == "Const" and tf.as_dtype(attr(node, "dtype").type).is_integer and constants.is_small(node):
            value = tf.make_ndarray(attr(node, "value").tensor)
            if value.ndim == 1 and value.size and value[0] == size:
                sizes[node.name] = value
    for node in nodes:
        if node.op in ("TensorArrayV3", "TensorArrayGatherV3") and _is_of_rows(node, size):
            node = rewrite.rewired(node, {})
            node.attr["element_shape"].shape.dim[0].size = -1
        at = _ELEMENT_SHAPES.get(node.op)
        source = node.input[at].split(":")[0] if at is not None else ""
        if source in sizes:
            opened = np.concatenate([[-1], sizes[source][1:]]).astype(sizes[source].dtype)
            name = graph.fresh_name(f"{node.name}/any_batch", names)
            yield rewrite.constant(name, opened, tf.as_dtype(opened.dtype))
            copy = NodeDef()
            copy.CopyFrom(node)
            # As in the graph, or as in a function.
            copy.input[at] = name + node.input[at].removeprefix(source)
            node = copy
        yield node


def sized(
    index: Index, prefix: str, data: Tensor, rest: np.ndarray, names: set[str], waits: Sequence[str] = ()
) -> list[NodeDef]:
    """Returns nodes the last of which is a shape: as many rows as data has, and the rest given, of the rest's type.

    Args:
        index: the graph.
        prefix: of the nodes' names.
        data: of at least one axis.
        rest: the sizes that follow.
        names: of all nodes; the new ones are added.
        waits: what the new constants wait for, to be in a loop.
    """
    dtype = tf.as_dtype(rest.dtype)

    def named(name: str) -> str:
        return graph.fresh_name(f"{prefix}/{name}", names)

    shape = rewrite.node(
        named("of_data"), "Shape", [data], T=tf.as_dtype(index.data_type(data)).base_dtype, out_type=dtype
    )
    starts, ends, others, axis = (
        rewrite.constant(named(name), value, kind, waits)
        for name, value, kind in (
            ("from", [0], tf.int32), ("to", [1], tf.int32), ("sizes", rest, dtype), ("axis", 0, tf.int32)
        )
    )  # fmt: skip
    parts = [Tensor(node.name) for node in (shape, starts, ends)]
    rows = rewrite.node(named("rows"), "Slice", parts, T=dtype, Index=tf.int32)
    parts = [Tensor(node.name) for node in (rows, others, axis)]
    return [
        shape,
        starts,
        ends,
        others,
        axis,
        rows,
        rewrite.node(named("shape"), "ConcatV2", parts, N=2, T=dtype, Tidx=tf.int32),
    ]


def _is_of_rows(array: NodeDef, size: int) -> bool:
    shape = attr(array, "element_shape").shape
    # An array whose elements need not be alike has no other shape for those that nobody wrote.
    alike = array.op != "TensorArrayV3" or attr(array, "identical_element_shapes").b
    return bool(shape.dim) and shape.dim[0].size == size and alike


def _equal_rows(index: Index, node: NodeDef, values: Mapping[Tensor, np.ndarray], size: int) -> np.ndarray | None:
    """Returns the sizes of what has equal rows by the way that it is made."""
    if node.op == "Fill":
        sizes = values.get(data_inputs(node)[0])
        return sizes if sizes is not None and sizes.ndim == 1 and sizes.size else None
    if node.op == "Const":
        tensor = attr(node, "value").tensor
        sizes = np.array([dim.size for dim in tensor.tensor_shape.dim], np.int32)
        # A frozen graph's weights are Consts, too, and are not looked through.
        if not sizes.size or sizes[0] != size or tf.as_dtype(tensor.dtype) == tf.string:
            return None
        value = tf.make_ndarray(tensor)
        return sizes if value.size and np.all(value == value.flat[0]) else None
    if node.op == "Tile":
        counts, data = values.get(data_inputs(node)[1]), data_inputs(node)[0]
        recorded = graph.recorded_shape_of(index, data)
        return counts if counts is not None and counts.size and recorded and recorded[0] == 1 else None
    return None


def _resized(node: NodeDef, sizes: np.ndarray, shape: Tensor, nodes: list[NodeDef], names: set[str]) -> NodeDef:
    """Returns a node of equal rows, as many as a shape says."""
    if node.op == "Fill":
        return rewrite.rewired(node, {data_inputs(node)[0]: shape})
    if node.op == "Tile":
        return rewrite.rewired(node, {data_inputs(node)[1]: shape})
    value = tf.make_ndarray(attr(node, "value").tensor).flat[0]
    dtype = tf.as_dtype(attr(node, "dtype").type)
    rows = rewrite.constant(graph.fresh_name(f"{node.name}/any_batch/value", names), value, dtype)
    nodes.append(rows)
    return rewrite.node(node.name, "Fill", [shape, Tensor(rows.name)], T=dtype, index_type=tf.as_dtype(sizes.dtype))


def _is_outside(index: Index, node: NodeDef) -> bool:
    """Returns whether a node is in no loop and no condition, where nothing of the data's rows is at hand."""
    above = [index[name] for name in index.ancestors([node.name])]
    return not any(ancestor.op in ops.V1_CONTROL_FLOW or control_inputs(ancestor) for ancestor in above)


def _is_joined(index: Index, node: NodeDef, dependent: Collection[str], sizes: np.ndarray) -> bool:
    """Returns whether rows are joined, one by one, with what is computed from the data."""
    todo, seen = [node], set()
    while todo:
        for reader, at in index.tensor_consumers(Tensor(todo.pop().name)):
            if reader.name in seen or (reader.op not in _JOINS and _PASSED.get(reader.op) != at):
                continue
            seen.add(reader.name)
            shape = graph.recorded_shape(reader, at if reader.op in ops.WHILES else 0)
            if shape is not None and (len(shape) != len(sizes) or shape[0] not in (sizes[0], None)):
                continue
            others = [source.node for source in data_inputs(reader) if source.node in dependent]
            if others and reader.op in _JOINS:
                return True
            todo.append(reader)
    return False


def training_size(index: Index, tensors: list[Tensor]) -> int | None:
    """Returns the size of the batch that the graph was built for, where all of some tensors have it as their first."""
    sizes = {_first_size(index, tensor) for tensor in tensors if _rank(index, tensor) != 0}
    return sizes.pop() if len(sizes) == 1 else None


def _rank(index: Index, tensor: Tensor) -> int | None:
    shape = graph.recorded_shape(index[tensor.node], tensor.index)
    return None if shape is None else len(shape)


def _first_size(index: Index, tensor: Tensor) -> int | None:
    node = index[tensor.node]
    recorded = graph.recorded_shape(node, tensor.index)
    if recorded and recorded[0] is not None:
        return recorded[0]
    if node.op in ops.DEQUEUES and len(data_inputs(node)) > 1:
        # A smaller last batch is allowed; the rest are of this size.
        count = index.nodes.get(data_inputs(node)[1].node)
        if count is not None and count.op == "Const":
            return int(tf.make_ndarray(attr(count, "value").tensor))
    return None
