"""Batch norms: their moving statistics, by what reads them, and how training keeps these, by what writes them."""

import dataclasses
from collections.abc import Iterator

from export_v1.ir import graph, ops
from export_v1.ir.graph import Index, NodeDef, Tensor, data_inputs
from export_v1.ir.match import Pattern, anything, behind, either, exactly, made_by, match, matches, origin

# scale, offset, mean, variance are inputs 1 to 4.
_STATISTICS = frozenset({3, 4})
# Between a variable and what computes with it.
_PASSED = ops.VARIABLE_READS | ops.SWITCHES | {"Enter", "Merge", "Squeeze", "Reshape", "Cast"}
# A plain copy of a variable or a statistic, perhaps of another type.
_COPIES = ops.VARIABLE_READS | {"Cast"}
_UPDATES = ops.ASSIGNS | ops.ASSIGN_ADDS | ops.ASSIGN_SUBS
# What ends the computation of a mean or a variance: tf.nn.moments of TensorFlow 1.0 to 1.15, or code of one's own.
_ENDS = ops.ADDS | ops.BATCH_NORMS | {"Mean", "Squeeze", "Reshape", "Sub", "Mul", "RealDiv", "Maximum"}
_SCALED = either(
    made_by("Rsqrt"),
    made_by("Identity", made_by("Rsqrt")),
    made_by("Mul", made_by("Rsqrt"), anything(), any_order=True),
)


def is_training(norm: NodeDef) -> bool:
    """Returns whether a node is a fused batch norm in its training form."""
    return norm.op in ops.BATCH_NORMS and graph.attr(norm, "is_training").b


def moving(index: Index, names: set[str]) -> set[str]:
    """Returns those of `names` (variables, or constants that were variables) that are moving statistics.

    They are read by a fused batch norm as its mean or variance; or, where the batch norm is written out, as the
    variance in `rsqrt(variance + epsilon)` and as the mean that is scaled by that and subtracted:

        scale = rsqrt(variance + epsilon) * gamma;    y = x * scale + (beta - mean * scale)
    """
    found = set()
    for name in names:
        reading = readers(index, name)
        if any(reader.op in ops.BATCH_NORMS and at in _STATISTICS for reader, at in reading):
            found.add(name)
        elif any(_is_variance(index, reader) or _is_mean(index, reader) for reader, _ in reading):
            found.add(name)
    return found


def readers(index: Index, name: str) -> list[tuple[NodeDef, int]]:
    """Returns (node, input position) of whatever computes with a variable or constant, seen through its reads."""
    found, todo, seen = [], [name], {name}
    while todo:
        for reader, at in index.consumers(todo.pop()):
            if reader.input[at].startswith("^"):
                continue
            if reader.op not in _PASSED:
                found.append((reader, at))
            elif at == 0 and reader.name not in seen:
                seen.add(reader.name)
                todo.append(reader.name)
    return found


def _is_variance(index: Index, reader: NodeDef) -> bool:
    return reader.op in ops.ADDS and any(after.op in ("Rsqrt", "Sqrt") for after, _ in index.consumers(reader.name))


def _is_mean(index: Index, reader: NodeDef) -> bool:
    if reader.op != "Mul" or not any(match(index, tensor, _SCALED) for tensor in data_inputs(reader)):
        return False
    return any(after.op == "Sub" and at == 1 or after.op == "Neg" for after, at in index.consumers(reader.name))


@dataclasses.dataclass(frozen=True)
class Average:
    """A variable that is the moving average of a statistic, and the op that keeps it so."""

    statistic: Tensor
    variable: str
    update: str


def averages(index: Index) -> list[Average]:
    """Returns the moving averages of batch statistics that a graph keeps, by what its update ops compute."""
    found = []
    for update in index.graph_def.node:
        if update.op in _UPDATES and len(data_inputs(update)) == 2:
            variable = origin(index, data_inputs(update)[0], _COPIES)
            if _may_be_average(index[variable.node]):
                value = data_inputs(update)[1]
                found += [
                    Average(statistic, variable.node, update.name)
                    for statistic in _averaged(index, update.op, Tensor(variable.node), value)
                    if _is_statistic(index, statistic)
                ]
    return found


def _may_be_average(variable: NodeDef) -> bool:
    """Returns whether a node is a variable that may be the average of a statistic for each channel.

    A scalar is the average of a loss. What TensorFlow calls "biased" is divided by something before it is an average.
    """
    shaped = variable.op in ops.VARIABLES and len(graph.attr(variable, "shape").shape.dim) > 0
    return shaped and not variable.name.endswith("/biased")


def _averaged(index: Index, op: str, variable: Tensor, value: Tensor) -> Iterator[Tensor]:
    """Yields what an update moves its variable towards, in each of the forms that there are."""
    own = behind(_COPIES, exactly(variable))
    if op in ops.ASSIGNS:
        # V = V * decay + M * (1 - decay)
        statistic = behind(_COPIES, anything("statistic", _ends_statistic, "a mean or a variance"))
        kept = behind(_COPIES, made_by("Mul", own, anything(), any_order=True))
        added = behind(_COPIES, made_by("Mul", statistic, anything(), any_order=True))
        change: Pattern = made_by(ops.ADDS, kept, added, any_order=True)
    else:
        # V -= (V - M) * rate, V += (M - V) * rate
        statistic = behind(_COPIES, anything("statistic"))
        pair = (own, statistic) if op in ops.ASSIGN_SUBS else (statistic, own)
        change = made_by("Mul", behind(_COPIES, made_by("Sub", *pair)), anything(), any_order=True)
    # Keras guards against batches of size 0: where(size > 0, update, 0).
    guarded = made_by(ops.SELECTS, anything(), behind(_COPIES, change), anything())
    for found in matches(index, value, behind(_COPIES, either(guarded, change))):
        yield found["statistic"]


def _ends_statistic(index: Index, tensor: Tensor) -> bool:
    """Returns whether a tensor may be a statistic, and is not made of constants alone as `1 - decay` is."""
    if index[tensor.node].op not in _ENDS:
        return False
    return any(index[name].op not in ("Const", "Sub", "Identity") for name in index.ancestors([tensor.node]))


def _is_statistic(index: Index, tensor: Tensor) -> bool:
    maker = index.nodes.get(tensor.node)
    if maker is None or maker.op not in _ENDS:
        return False
    return is_training(maker) if maker.op in ops.BATCH_NORMS else tensor.index == 0
