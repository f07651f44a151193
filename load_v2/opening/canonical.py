"""The canonical graph of a part: shapes that the graph computes are followed, and what they show to do nothing is gone."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from export_v1.ir import graph as ir
from export_v1.ir.graph import GraphDef, NodeDef, Tensor
from load_v2.opening import biases, choices
from load_v2.opening import graph as graphs
from load_v2.opening.graph import Graph
from load_v2.opening.size_algebra import divided, product
from load_v2.opening.sizes import Sizes
from load_v2.opening.values import Values
from load_v2.program import artefact

# Op -> the input that says a shape, or how much.
_SHAPES = {"Reshape": 1, "Fill": 0, "BroadcastTo": 1, "Tile": 1, "OneHot": 1, "Slice": 2, "StridedSlice": 2,
           "TensorListReserve": 1}  # fmt: skip
# Each round makes more shapes static, which the next one follows.
_MOST_ROUNDS = 6
Reader = Callable[[artefact.Variable], np.ndarray]


def simplified(result: Graph, read: Reader) -> Graph:
    """Returns the graph with static shapes where they can be told, without nodes that change nothing."""
    for _ in range(_MOST_ROUNDS):
        values = Values(result, read)
        sizes = Sizes(result, values)
        chosen = choices.of_sizes(result, sizes)
        if chosen is not result:
            result = chosen
            continue
        if widened := _with_widths(result, values):
            result = graphs.with_nodes(result, widened)
            continue
        if moved := biases.moved(result, values):
            result = graphs.with_nodes(result, moved)
            continue
        known = _static(result, values, sizes)
        idle = _idle(result, values, sizes)
        if not known and not idle:
            break
        result = graphs.without(graphs.with_constants(result, known), idle)
    return result


def _with_widths(result: Graph, values: Values) -> GraphDef | None:
    """Returns the graph with a Reshape to the width that a matrix asks for, where data does not tell its own; else None."""
    changed = GraphDef(versions=result.graph_def.versions, library=result.graph_def.library)
    for node in result.graph_def.node:
        width = _width(result, values, node)
        copy = changed.node.add()
        copy.CopyFrom(node)
        if width is not None:
            data = result.sources(Tensor(node.name))[0]
            made = _reshaped_to_width(result, data, width, f"{node.name}/wide")
            changed.node.extend(made)
            copy.input[0] = made[-1].name
    return changed if len(changed.node) > len(result.graph_def.node) else None


def _width(result: Graph, values: Values, node: NodeDef) -> int | None:
    """Returns the size of the last axis of data that meets a matrix, where the graph does not tell it."""
    if node.op not in {"MatMul", "BatchMatMul", "BatchMatMulV2"}:
        return None
    data, matrix = result.sources(Tensor(node.name))
    flips = ("transpose_a", "transpose_b") if node.op == "MatMul" else ("adj_x", "adj_y")
    first, second = (ir.attr(node, key).b for key in flips)
    given, weight = result.shape(data), result.shape(matrix)
    if first or not given or given[-1] is not None or not values.is_data(data) or values.is_data(matrix):
        return None
    return weight[1 if second else 0] if weight is not None and len(weight) == 2 else None


def _reshaped_to_width(result: Graph, data: Tensor, width: int, name: str) -> list[NodeDef]:
    shape = NodeDef(name=f"{name}/shape", op="Shape", input=[data.edge])
    begin, end, step, last, axis = (
        graphs.constant(f"{name}/{key}", np.array(value, "int32"))
        for key, value in (("begin", [0]), ("end", [-1]), ("step", [1]), ("last", [width]), ("axis", 0))
    )
    others = NodeDef(name=f"{name}/others", op="StridedSlice", input=[shape.name, begin.name, end.name, step.name])
    whole = NodeDef(name=f"{name}/whole", op="ConcatV2", input=[others.name, last.name, axis.name])
    whole.attr["N"].i = 2
    again = NodeDef(name=name, op="Reshape", input=[data.edge, whole.name])
    kind, whole_number = tf.as_dtype(result.dtype(data)).as_datatype_enum, tf.int32.as_datatype_enum
    for made, types in (
        (shape, {"T": kind, "out_type": whole_number}),
        (others, {"T": whole_number, "Index": whole_number}),
        (whole, {"T": whole_number, "Tidx": whole_number}),
        (again, {"T": kind, "Tshape": whole_number}),
    ):
        for key, value in types.items():
            made.attr[key].type = value
    return [shape, begin, end, step, others, last, axis, whole, again]


def _static(result: Graph, values: Values, sizes: Sizes) -> dict[tuple[str, int], np.ndarray]:
    """Returns the shape inputs that are computed, and whose value is known but for at most one size of a Reshape."""
    inputs = {}
    for node in result.graph_def.node:
        position = _SHAPES.get(node.op)
        if position is None:
            continue
        tensor = Tensor(node.name)
        shape = result.sources(tensor)[position]
        if not values.is_data(shape):
            continue
        array = sizes.array(shape)
        if array is None:
            continue
        wanted = list(array.reshape(-1))
        if node.op == "Reshape" and -1 in wanted:
            wanted = _filled_in(sizes, result.sources(tensor)[0], wanted)
        entries = [size if isinstance(size, int) else None for size in wanted]
        if node.op == "Reshape" and entries.count(None) == 1 and -1 not in entries:
            entries[entries.index(None)] = -1
        if None in entries or (node.op == "Slice" and not entries):
            continue
        dtype = tf.as_dtype(result.dtype(shape)).as_numpy_dtype
        inputs[node.name, position] = np.array(entries, dtype).reshape(array.shape)
    return inputs


def _filled_in(sizes: Sizes, source: Tensor, wanted: list) -> list:
    """Returns the sizes of a Reshape with the one that follows from the others, where it can be told."""
    given = sizes.shape(source)
    if given is None:
        return wanted
    rest = divided(product(given), product(size for size in wanted if size != -1))
    return wanted if rest is None else [rest if size == -1 else size for size in wanted]


def _idle(result: Graph, values: Values, sizes: Sizes) -> dict[Tensor, Tensor]:
    """Returns tensors that are the same as an input of their node, or as one that this is made of."""
    passed_on = {}
    for node in result.graph_def.node:
        tensor = Tensor(node.name)
        if node.op not in _CAN_BE_IDLE or not values.is_data(tensor):
            continue
        sources = result.sources(tensor)
        if node.op == "Transpose":
            order = sizes.array(sources[1])
            same = order is not None and list(order) == list(range(len(order)))
        elif node.op in {"Reshape", "BroadcastTo"}:
            before, after = sizes.shape(sources[0]), sizes.shape(tensor)
            same = before is not None and before == after
        elif node.op == "Cast":
            same = result.dtype(sources[0]) == result.dtype(tensor)
        elif node.op in {"AddN", "ConcatV2"}:
            same = len(sources) == (1 if node.op == "AddN" else 2)
        else:
            amounts = values.constant(sources[1])
            same = amounts is not None and not amounts.any()
        if same:
            passed_on[tensor] = sources[0]
        elif node.op in {"Reshape", "Transpose"} and (origin := _origin(result, sizes, tensor)) is not None:
            passed_on[tensor] = origin
    return passed_on


def _origin(result: Graph, sizes: Sizes, tensor: Tensor) -> Tensor | None:
    """Returns a tensor of the same shape that is only brought back, by steps none of which changes the order of numbers.

    What a product gives is none: the Reshape behind it may be part of a layer over many axes.
    """
    shape, source = sizes.shape(tensor), tensor
    while shape is not None and sizes.keeps_order(source):
        source = result.sources(source)[0]
        if sizes.shape(source) == shape and result.op(source) not in _PRODUCTS:
            return source
    return None


_PRODUCTS = frozenset({"MatMul", "BatchMatMul", "BatchMatMulV2"})
_CAN_BE_IDLE = frozenset({"Transpose", "Reshape", "BroadcastTo", "Cast", "AddN", "ConcatV2", "Pad"})
