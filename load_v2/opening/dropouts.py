"""Dropout in a training graph: which tensor loses elements, how many, and who reads what is left."""

import dataclasses
from collections.abc import Iterable, Mapping

import tensorflow as tf

from export_v1.ir import graph as ir
from export_v1.ir import match, ops
from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor
from export_v1.ir.match import anything, behind, either, made_by
from load_v2.opening import graph as graphs
from load_v2.opening.graph import ALIASES, Graph

# What step 1 puts before the names of nodes of the training graph that inference has, too.
_PREFIX = "train/"
_BOUND = anything("threshold")
_UNIFORM = anything("uniform", lambda index, tensor: _draws(index, tensor), "a uniform random number")
# Both give one or zero: whether random numbers reach the rate, or exceed one with the share that is kept.
_REACHED = behind(ALIASES, made_by("GreaterEqual", _UNIFORM, _BOUND))
_KEPT = behind(
    ALIASES,
    either(
        made_by("Cast", _REACHED),
        made_by("Floor", behind(ALIASES, made_by(ops.ADDS, _UNIFORM, anything("kept"), any_order=True))),
    ),
)
_SCALED = either(
    made_by({"RealDiv", "Div"}, anything("x"), anything("scale")),
    made_by("Mul", anything("x"), anything("scale"), any_order=True),
)
_DROPPED = either(
    made_by("Mul", behind(ALIASES, _SCALED), _KEPT, any_order=True),
    made_by("Mul", anything("x"), _KEPT, any_order=True),
    made_by(ops.SELECTS, _REACHED, behind(ALIASES, _SCALED), anything("zero")),
)
_ENDS = ops.SELECTS | {"Mul"}


@dataclasses.dataclass(frozen=True)
class Dropout:
    """A dropout.

    Attributes:
        scope: where the graph has it.
        rate: the share of elements that are lost.
        shared: axes of which all elements are lost together.
        readers: nodes of the graph for inference, and which of their inputs, that read what is left in training.
    """

    scope: str
    rate: float
    shared: tuple[int, ...]
    readers: tuple[tuple[str, int], ...]


def in_training(train: GraphDef) -> list[Dropout]:
    """Returns each dropout of a training graph whose rate is a number above zero."""
    index = Index(train)
    result = []
    for node in train.node:
        if node.op not in _ENDS:
            continue
        for fit in match.matches(index, Tensor(node.name), _DROPPED):
            rate = _rate(index, fit)
            shared = _shared_axes(index, fit["uniform"])
            if rate and shared is not None and not _is_constant(index, fit["x"]):
                readers = tuple(_readers(index, node.name))
                scope = node.name.removeprefix(_PREFIX).rpartition("/")[0] or node.name
                result.append(Dropout(scope, rate, shared, readers))
                break
    return result


def undropped(index: Index, tensor: Tensor) -> Tensor | None:
    """Returns what a dropout of rate zero is given, None for anything else."""
    for fit in match.matches(index, tensor, _DROPPED):
        share = number(index, fit["threshold"]) if "threshold" in fit.captures else None
        kept = number(index, fit["kept"]) if "kept" in fit.captures else None
        scale = number(index, fit["scale"]) if "scale" in fit.captures else 1.0
        if (share == 0 or kept == 1) and scale == 1:
            return fit["x"]
    return None


def with_dropouts(graph: Graph, dropouts: Iterable[Dropout]) -> tuple[Graph, Mapping[str, Dropout]]:
    """Returns a graph with a node that changes nothing where training drops elements, and name of such a node -> dropout."""
    changed, placed = GraphDef(versions=graph.graph_def.versions, library=graph.graph_def.library), {}
    changed.node.extend(graph.graph_def.node)
    nodes = {node.name: node for node in changed.node}
    for dropout in dropouts:
        edges = [(nodes[name], at) for name, at in dropout.readers if name in nodes and at < len(nodes[name].input)]
        sources = {node.input[at] for node, at in edges}
        if len(sources) != 1:
            continue
        source = ir.parse(sources.pop())
        name = f"{dropout.scope}/is_dropped"
        if name in nodes or source not in graph or source.node in graph.weights:
            continue
        nodes[name] = changed.node.add(name=name, op="Identity", input=[source.edge])
        nodes[name].attr["T"].type = tf.as_dtype(graph.dtype(source)).as_datatype_enum
        for node, at in edges:
            node.input[at] = name
        placed[name] = dropout
    return (graphs.with_nodes(graph, changed) if placed else graph), placed


def _readers(index: Index, name: str) -> Iterable[tuple[str, int]]:
    """Yields the nodes, as they are called in inference, that read a node's output, aliases looked through."""
    for reader, at in index.consumers(name):
        if at < 0 or reader.input[at].startswith("^"):
            continue
        if reader.op in ALIASES:
            yield from _readers(index, reader.name)
        else:
            yield reader.name.removeprefix(_PREFIX), at


def _rate(index: Index, fit: match.Match) -> float | None:
    """Returns the rate that the mask has, where what is kept is scaled to fit it."""
    threshold = number(index, fit["threshold"]) if "threshold" in fit.captures else None
    kept = number(index, fit["kept"]) if "kept" in fit.captures else None
    rate = threshold if threshold is not None else None if kept is None else 1 - kept
    scale = number(index, fit["scale"]) if "scale" in fit.captures else None
    if rate is None or not 0 < rate < 1 or scale is None:
        return None
    if "zero" in fit.captures and number(index, fit["zero"]) != 0:
        return None
    fits = min(abs(scale - (1 - rate)), abs(scale - 1 / (1 - rate))) < 1e-5
    return float(f"{rate:.6g}") if fits else None


def number(index: Index, tensor: Tensor) -> float | None:
    """Returns the number that a tensor is, also where constants are added, subtracted, multiplied or divided."""
    node = index.nodes.get(match.origin(index, tensor, ALIASES | {"Cast"}).node)
    if node is None:
        return None
    if node.op == "Const":
        value = tf.make_ndarray(node.attr["value"].tensor)
        return float(value) if value.ndim == 0 and value.dtype.kind in "fiu" else None
    if node.op not in _ARITHMETIC:
        return None
    left, right = (number(index, source) for source in ir.data_inputs(node))
    return None if left is None or right is None else _ARITHMETIC[node.op](left, right)


_ARITHMETIC = {
    "Add": lambda a, b: a + b, "AddV2": lambda a, b: a + b, "Sub": lambda a, b: a - b, "Mul": lambda a, b: a * b,
    "RealDiv": lambda a, b: a / b if b else None,
}  # fmt: skip


def _draws(index: Index, tensor: Tensor) -> bool:
    node = _drawing(index, tensor)
    return node is not None


def _drawing(index: Index, tensor: Tensor) -> NodeDef | None:
    """Returns the op that draws numbers from zero to one, which TensorFlow 1 scales by one and shifts by zero."""
    node = index.nodes.get(match.origin(index, tensor, ALIASES).node)
    if node is None:
        return None
    if node.op in {"RandomUniform", "StatelessRandomUniform"}:
        return node
    if node.op not in ops.ADDS | {"Mul"}:
        return None
    neutral = 1.0 if node.op == "Mul" else 0.0
    first, second = ir.data_inputs(node)
    for data, other in ((first, second), (second, first)):
        if number(index, other) == neutral:
            return _drawing(index, data)
    return None


def _shared_axes(index: Index, uniform: Tensor) -> tuple[int, ...] | None:
    """Returns the axes along which the mask has size one, none where it has the shape of what is dropped from."""
    node = _drawing(index, uniform)
    assert node is not None
    shape = index.nodes[match.origin(index, ir.data_inputs(node)[0], ALIASES).node]
    if shape.op == "Const":
        sizes = tf.make_ndarray(shape.attr["value"].tensor).tolist()
    elif shape.op == "Pack":
        sizes = [number(index, source) for source in ir.data_inputs(shape)]
    else:
        return () if shape.op in {"Shape", "ConcatV2"} else None
    return tuple(at for at, size in enumerate(sizes) if size == 1 and at)


def _is_constant(index: Index, tensor: Tensor) -> bool:
    return index.nodes[tensor.node].op == "Const" if tensor.node in index else True


def mask_shape(dropout: Dropout, rank: int) -> tuple[int | None, ...] | None:
    """Returns Keras's noise shape of a dropout, None where every element is lost by itself."""
    if not dropout.shared:
        return None
    return tuple(1 if axis in dropout.shared else None for axis in range(rank))
