"""The canonical graph of a part: shapes that the graph computes are followed, and what they show to do nothing is gone."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from export_v1.ir.graph import Tensor
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
        known = _static(result, values, sizes)
        idle = _idle(result, values, sizes)
        if not known and not idle:
            break
        result = graphs.without(graphs.with_constants(result, known), idle)
    return result


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
    """Returns tensors that are the same as an input of their node."""
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
    return passed_on


_CAN_BE_IDLE = frozenset({"Transpose", "Reshape", "BroadcastTo", "Cast", "AddN", "ConcatV2", "Pad"})
