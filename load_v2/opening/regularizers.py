"""Regularization losses as the regularizers of Keras's layers."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from export_v1.ir import importing, safety
from export_v1.ir.graph import GraphDef
from load_v2.errors import LoadError
from load_v2.opening import graph as graphs
from load_v2.opening import printed, text
from load_v2.opening.expressions import Name
from load_v2.opening.layers import Layer
from load_v2.program import artefact, subgraph
from load_v2.program.program import Part, Program

# Class of a layer -> what its weights are called in the names of its regularizers, in order.
_ROLES = {
    "Dense": ("kernel", "bias"), "EinsumDense": ("kernel", "bias"), "Embedding": ("embeddings",),
    "ReversibleEmbedding": ("embeddings",),
    "DepthwiseConv1D": ("depthwise", "bias"), "DepthwiseConv2D": ("depthwise", "bias"),
    "SeparableConv1D": ("depthwise", "pointwise", "bias"), "SeparableConv2D": ("depthwise", "pointwise", "bias"),
    "LSTM": ("kernel", "recurrent", "bias"), "GRU": ("kernel", "recurrent", "bias"),
    "SimpleRNN": ("kernel", "recurrent", "bias"), "PReLU": ("alpha",),
    **{f"Conv{n}D{kind}": ("kernel", "bias") for n in (1, 2, 3) for kind in ("", "Transpose")},
}  # fmt: skip
_SCALES = (1.0, 2.0, 0.5)
_CLOSE = 1e-5


@dataclasses.dataclass(frozen=True)
class Penalty:
    """What a variable adds to the loss: the sum of its absolute values and that of its squares, each times a number."""

    l1: float
    l2: float

    @property
    def code(self) -> Name:
        """The regularizer as the generated code makes it."""
        if self.l1 and self.l2:
            return Name(f"keras.regularizers.L1L2({self.l1!r}, {self.l2!r})")
        return Name(f"keras.regularizers.L1({self.l1!r})" if self.l1 else f"keras.regularizers.L2({self.l2!r})")


def penalties(program: Program) -> tuple[dict[str, Penalty], int]:
    """Returns variable name -> what it adds to the loss, and how many losses are nothing of that kind."""
    by_variable: dict[str, Penalty] = {}
    others = 0
    for names, part in program.regularizers:
        penalty = _penalty(program, part, names) if len(names) == 1 and names[0] not in by_variable else None
        if penalty is None:
            others += 1
        else:
            by_variable[names[0]] = penalty
    return by_variable, others


def add(layers: Sequence[Layer], wanted: Mapping[str, Penalty], values: Mapping[str, np.ndarray]) -> list[str]:
    """Gives layers their regularizers, and returns the variables whose penalty no set of layers has.

    Args:
        layers: of the model.
        wanted: variable name -> what it adds to the loss.
        values: variable name -> its value, for those in `wanted`.
    """
    places: dict[str, list[tuple[Layer, int]]] = {name: [] for name in wanted}
    wrappers = [layer for layer in layers if layer.kind in ("Bidirectional", "Tied")]
    for layer in [part for outer in layers for part in (outer.parts if outer in wrappers else (outer,))]:
        for at in range(len(layer.weights)):
            for name in layer.origins[at] if at < len(layer.origins) else ():
                if name in places:
                    places[name].append((layer, at))
    left = []
    for name, penalty in wanted.items():
        uses = places[name]
        alone = all(layer.origins[at] == (name,) and at < len(_ROLES.get(layer.kind, ())) for layer, at in uses)
        if alone and uses and _same_sums([layer.weights[at] for layer, at in uses], values[name]):
            for layer, at in uses:
                layer.options = {**layer.options, f"{_ROLES[layer.kind][at]}_regularizer": penalty.code}
        else:
            left.append(name)
    for layer in wrappers:
        bidirectional = layer.kind == "Bidirectional"
        layer.arguments = text.of_wrapper(layer.parts) if bidirectional else printed.inside(*layer.parts)
    return left


def _same_sums(parts: list[np.ndarray], whole: np.ndarray) -> bool:
    """Returns whether weights are a variable's numbers in another order, as far as both penalties can tell."""
    if sum(part.size for part in parts) != whole.size:
        return False
    have, want = np.sort(np.concatenate([part.reshape(-1) for part in parts])), np.sort(whole.reshape(-1))
    return bool(np.array_equal(have, want))


def _penalty(program: Program, part: Part, names: tuple[str, ...]) -> Penalty | None:
    """Returns the penalty that a loss is, told by its values for multiples of random numbers."""
    variable = next(variable for variable in program.variables if variable.name == names[0])
    evaluate = _evaluator(part, variable)
    if evaluate is None:
        return None
    numbers = np.random.default_rng(7).normal(size=variable.shape).astype(variable.dtype)
    absolute, squares = (
        float(np.abs(numbers.astype("float64")).sum()),
        float(np.square(numbers.astype("float64")).sum()),
    )
    at_one, at_two, at_half = (evaluate(numbers * numbers.dtype.type(scale)) for scale in _SCALES)
    l2 = (at_two - 2 * at_one) / (2 * squares)
    l1 = (at_one - l2 * squares) / absolute
    largest = max(abs(at_two), 1e-12)
    fits = abs(at_half - (l1 * absolute / 2 + l2 * squares / 4)) <= _CLOSE * largest
    l1, l2 = (
        0.0 if abs(part_) * size <= _CLOSE * largest else part_ for part_, size in ((l1, absolute), (l2, squares))
    )
    other = evaluate(np.roll(numbers.reshape(-1), 1).reshape(numbers.shape))
    if not fits or abs(other - at_one) > _CLOSE * largest or l1 < 0 or l2 < 0 or not (l1 or l2):
        return None
    return Penalty(_short(l1), _short(l2))


def _short(value: float) -> float:
    """Returns the number of four digits that a measured one is, if it is that close."""
    short = float(f"{value:.4g}")
    return short if abs(short - value) <= 10 * _CLOSE * abs(value) else float(f"{value:.7g}")


def _evaluator(part: Part, variable: artefact.Variable) -> Callable[[np.ndarray], float] | None:
    """Returns a function from a variable's value to the loss, None where the loss needs more than that."""
    graph_def = GraphDef(versions=part.graph_def.versions, library=part.graph_def.library)
    reads = []
    for node in part.graph_def.node:
        if node.op == "ReadVariableOp":
            reads.append(node.name)
            graph_def.node.append(graphs.placeholder(node.name, tf.as_dtype(variable.dtype), variable.shape))
        else:
            graph_def.node.append(node)
    output = next(iter(part.outputs.values())).tensor
    graph_def = subgraph.needed(graph_def, [output])
    present = {node.name for node in graph_def.node}
    if not reads or any(subgraph.split(edge.lstrip("^"))[0] not in present for n in graph_def.node for edge in n.input):
        return None
    imported = tf.Graph()
    with imported.as_default():
        importing.graph_def(graph_def, policy=safety.Policy(error=LoadError))
    session = tf.compat.v1.Session(graph=imported)
    feeds = [f"{name}:0" for name in reads if name in present]
    return lambda value: float(session.run(output, {feed: value for feed in feeds}))
