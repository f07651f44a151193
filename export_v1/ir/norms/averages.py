"""The moving averages of batch statistics that a graph keeps, by what its update ops compute."""

import dataclasses
from collections.abc import Iterator

from export_v1.ir import graph, ops
from export_v1.ir.graph import Index, NodeDef, Tensor
from export_v1.ir.match import Pattern, anything, behind, either, exactly, made_by, match, matches, origin
from export_v1.ir.norms import moments

# A plain copy of a variable or a statistic, perhaps of another type.
_COPIES = ops.VARIABLE_READS | {"Cast"}
_UPDATES = ops.ASSIGNS | ops.ASSIGN_ADDS | ops.ASSIGN_SUBS
# An average, read before or after its own update.
_AVERAGE = behind(_COPIES | _UPDATES, anything("average"))
_DIVIDED = made_by(("RealDiv", "Div"), _AVERAGE, anything())
_SQUARED = made_by(
    ("Relu", "Maximum"),
    made_by("Sub", either(made_by("Mul", _AVERAGE, _AVERAGE), made_by("Square", _AVERAGE)), anything()),
)


def is_training(norm: NodeDef) -> bool:
    """Returns whether a node is a fused batch norm in its training form."""
    return norm.op in ops.BATCH_NORMS and graph.attr(norm, "is_training").b


@dataclasses.dataclass(frozen=True)
class Average:
    """A variable that is the moving average of a statistic, and the op that keeps it so."""

    statistic: Tensor
    variable: str
    update: str


def kept(index: Index) -> list[Average]:
    """Returns the moving averages of batch statistics that a graph keeps, by what its update ops compute.

    One statistic may have several: what renorm corrects by, and what inference uses.
    """
    averages: list[Average] = []
    for update, op in index.kinds.items():
        if op in _UPDATES and len(read := index.edges(update).data) == 2:
            variable = origin(index, read[0], _COPIES)
            if variable.node in index and _has_channels(index[variable.node]):
                averages += [
                    Average(statistic, variable.node, update)
                    for statistic in _averaged(index, op, Tensor(variable.node), read[1])
                    if _is_statistic(index, statistic)
                ]
    return _as_read(index, list(dict.fromkeys(averages)))


def _as_read(index: Index, averages: list[Average]) -> list[Average]:
    """Puts the variable that inference reads in the place of the average that it is computed from.

    `zero_debias` averages B from zero on and keeps V = B / (1 - decay ** steps), or V -= V - B / …; renorm averages the
    deviation, B, of which V = relu(B * B - epsilon) is the variance.
    """
    averaged = {average.variable: average for average in averages}
    computed: dict[str, Average] = {}
    if not averages:
        return averages
    for update, op in index.kinds.items():
        if op in ops.ASSIGNS | ops.ASSIGN_SUBS and len(read := index.edges(update).data) == 2:
            variable = origin(index, read[0], _COPIES)
            for source, is_square in ((_DIVIDED, False), (_SQUARED, True)):
                fits = match(index, read[1], behind(_COPIES, _stored(op, variable, source)))
                average = averaged.get(fits["average"].node) if fits else None
                statistic = average and (_variance_of(index, average.statistic) if is_square else average.statistic)
                if average and statistic and average.variable != variable.node:
                    computed[average.variable] = Average(statistic, variable.node, update)
    # What TensorFlow calls "biased" is no average before it is divided.
    kept = [average for average in averages if average.variable in computed or not average.variable.endswith("/biased")]
    return [computed.get(average.variable, average) for average in kept]


def _stored(op: str, variable: Tensor, value: Pattern) -> Pattern:
    """A pattern: what an op takes that makes a variable hold a value."""
    return value if op in ops.ASSIGNS else made_by("Sub", behind(_COPIES, exactly(variable)), behind(_COPIES, value))


def _variance_of(index: Index, deviation: Tensor) -> Tensor | None:
    fits = match(
        index, deviation, made_by("Sqrt", made_by(ops.ADDS, behind(_COPIES, anything("v", _is_statistic)), anything()))
    )
    return fits["v"] if fits else None


def _has_channels(variable: NodeDef) -> bool:
    """Returns whether a node is a variable with a value for each channel; a scalar is the average of a loss."""
    return variable.op in ops.VARIABLES and len(graph.attr(variable, "shape").shape.dim) > 0


def _averaged(index: Index, op: str, variable: Tensor, value: Tensor) -> Iterator[Tensor]:
    """Yields what an update moves its variable towards, in each of the forms that there are."""
    own = behind(_COPIES, exactly(variable))
    if op in ops.ASSIGNS:
        # V = V * decay + M * (1 - decay)
        statistic = behind(_COPIES, anything("statistic", _is_statistic, "a statistic of a batch"))
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
    for captured in matches(index, value, behind(_COPIES, either(guarded, change))):
        yield captured["statistic"]


def _is_statistic(index: Index, tensor: Tensor) -> bool:
    """Returns whether a tensor is a mean or a variance over a batch, or made of those alone."""
    maker = index.nodes.get(tensor.node)
    if maker is not None and maker.op in ops.BATCH_NORMS:
        return is_training(maker) and tensor.index in (1, 2)
    return bool(moments.reduced(index, tensor))
