"""averages: batch norm that was built for training goes by its moving averages.

A graph built with `training=True` has no other form of its batch norms, though its checkpoint has what they need: the
moving averages, kept up to date by ops that tell which variable is the average of which statistic:

    x ──► moments ──► mean ──► y = (x - mean) * …             x ──────────────► y = (x - moving_mean) * …
                       └─► moving_mean -= decay * (moving_mean - mean)      moving_mean ──┘

What reads the statistic reads the variable then, a fused batch norm is set to inference, and nobody waits for the
updates any more: the graph that TensorFlow 1 would have built with `training=False`.
"""

import dataclasses
from collections.abc import Iterator, Mapping

import tensorflow as tf

from export_v1.analysis.statistics import BATCH_NORMS
from export_v1.ir import graph, ops, rewrite
from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor, data_inputs
from export_v1.passes.result import Notes, Result

_READS = frozenset({"Identity", "ReadVariableOp", "Cast"})
# `V -= M`, `V += M`, `V = M`: from which of the three, the average of what is told by the rest.
_SUBTRACTS = frozenset({"AssignSub", "AssignSubVariableOp"})
_ADDS = frozenset({"AssignAdd", "AssignAddVariableOp"})
_SETS = frozenset({"Assign", "AssignVariableOp"})
UPDATES = _SUBTRACTS | _ADDS | _SETS
# What ends the computation of a mean or a variance: tf.nn.moments of TensorFlow 1.0 to 1.15, or code of one's own.
_ENDS = frozenset({"Mean", "Squeeze", "Reshape", "Sub", "Add", "AddV2", "Mul", "RealDiv", "Maximum", *BATCH_NORMS})


@dataclasses.dataclass(frozen=True)
class Average:
    """A variable that is the moving average of a statistic, and the op that keeps it so."""

    statistic: Tensor
    variable: str
    update: str


def kept(index: Index) -> list[Average]:
    """Returns the moving averages of batch statistics that a graph keeps, by what its update ops compute."""
    found = []
    for node in index.graph_def.node:
        if node.op in UPDATES and len(data_inputs(node)) == 2:
            variable, value = (_source(index, tensor) for tensor in data_inputs(node))
            if _is_average(index[variable.node]):
                found += [
                    Average(statistic, variable.node, node.name)
                    for statistic in _averaged(index, node.op, variable.node, value)
                    if _is_statistic(index, statistic)
                ]
    return found


def _is_average(node: NodeDef) -> bool:
    """Returns whether a node is a variable that may be the average of a statistic for each channel.

    A scalar is the average of a loss. What TensorFlow calls "biased" is divided by something before it is an average.
    """
    shaped = node.op in ops.VARIABLES and len(graph.attr(node, "shape").shape.dim) > 0
    return shaped and not node.name.endswith("/biased")


def is_training(node: NodeDef) -> bool:
    """Returns whether a node is a fused batch norm in its training form."""
    return node.op in BATCH_NORMS and graph.attr(node, "is_training").b


def taken(graph_def: GraphDef) -> Result:
    """Returns the graph with its batch norms in their inference form; notes the variables that they use.

    A batch norm without moving averages of both of its statistics stays as it is.

    Args:
        graph_def: a whole graph, with the update ops. Not modified.
    """
    index = Index(graph_def)
    found = {one.statistic: one for one in kept(index)}
    fused = {node.name for node in graph_def.node if is_training(node)}
    whole = {name for name in fused if {Tensor(name, 1), Tensor(name, 2)} <= set(found)}
    used = {one: average for one, average in found.items() if one.node not in fused - whole}
    names = set(index.nodes)
    reads = {variable: _read(index[variable], names) for variable in {one.variable for one in used.values()}}
    made, replaced = list(reads.values()), {}
    for statistic, average in used.items():
        read = reads[average.variable]
        own, wanted = _type(index[average.variable]), tf.as_dtype(index.data_type(statistic))
        if own != wanted:
            name = graph.fresh_name(f"{read.name}/cast", names)
            read = rewrite.node(name, "Cast", [Tensor(read.name)], SrcT=own, DstT=wanted)
            made.append(read)
        replaced[statistic] = Tensor(read.name)
    dropped = {one.update: "" for one in used.values()}
    nodes = [
        _for_inference(node, replaced) if node.name in whole else rewrite.rewired(node, replaced, dropped)
        for node in graph_def.node
    ]
    notes = Notes(moving_averages=tuple(sorted(reads)))
    return Result(rewrite.with_nodes(graph_def, [*nodes, *made]), notes=notes)


def _source(index: Index, tensor: Tensor) -> Tensor:
    """Returns what a tensor is a plain copy of: the variable behind a read, the statistic behind a cast."""
    while tensor.node in index and index[tensor.node].op in _READS and data_inputs(index[tensor.node]):
        tensor = data_inputs(index[tensor.node])[0]
    return tensor


def _operands(index: Index, tensor: Tensor, *ops: str) -> tuple[Tensor, ...]:
    node = index.nodes.get(tensor.node)
    return tuple(_source(index, one) for one in data_inputs(node)) if node is not None and node.op in ops else ()


def _averaged(index: Index, op: str, variable: str, value: Tensor) -> Iterator[Tensor]:
    """Yields what an update moves its variable V towards, in each of the forms that there are."""
    # Keras guards against batches of size 0: where(size > 0, update, 0).
    guarded = _operands(index, value, "Select", "SelectV2")
    value = guarded[1] if guarded else value
    if op in _SETS:
        # V = V * decay + M * (1 - decay)
        sides = [_operands(index, one, "Mul") for one in _operands(index, value, "Add", "AddV2")]
        if len(sides) == 2 and all(sides):
            for own, other in (sides, sides[::-1]):
                if Tensor(variable) in own:
                    yield from (one for one in other if index[one.node].op in _ENDS and not _is_rate(index, one))
        return
    for factor in _operands(index, value, "Mul"):
        difference = _operands(index, factor, "Sub")
        # V -= (V - M) * rate, V += (M - V) * rate
        for at, other in ((0, 1), (1, 0)):
            if difference and difference[at] == Tensor(variable) and (op in _SUBTRACTS) == (at == 0):
                yield difference[other]


def _is_rate(index: Index, tensor: Tensor) -> bool:
    """Returns whether a tensor is made of constants alone, as `1 - decay` is."""
    sources = index.ancestors([tensor.node])
    return all(index[name].op in ("Const", "Sub", "Identity") for name in sources)


def _is_statistic(index: Index, tensor: Tensor) -> bool:
    node = index.nodes.get(tensor.node)
    if node is None or node.op not in _ENDS:
        return False
    return is_training(node) if node.op in BATCH_NORMS else tensor.index == 0


def _read(variable: NodeDef, taken_names: set[str]) -> NodeDef:
    name = graph.fresh_name(f"{variable.name}/average", taken_names)
    if variable.op == "VarHandleOp":
        return rewrite.node(name, "ReadVariableOp", [Tensor(variable.name)], dtype=_type(variable))
    return rewrite.node(name, "Identity", [Tensor(variable.name)], T=_type(variable))


def _type(variable: NodeDef) -> tf.DType:
    return tf.as_dtype(variable.attr["dtype"].type).base_dtype


def _for_inference(node: NodeDef, replaced: Mapping[Tensor, Tensor]) -> NodeDef:
    made = rewrite.rewired(node, replaced)
    made.attr["is_training"].b = False
    # Inputs are x, scale, offset, mean, variance; in training the last two are empty.
    for at, output in ((3, 1), (4, 2)):
        made.input[at] = replaced[Tensor(node.name, output)].edge
    return made
