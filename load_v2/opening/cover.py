"""The graph covered by pieces, from its outputs upwards: what no output needs gets no code."""

import dataclasses
from collections.abc import Sequence

from export_v1.ir import ops
from export_v1.ir.graph import Tensor
from load_v2.opening import as_layers, expressions, operations, ties
from load_v2.opening.context import Context, Pattern, Piece, Refused
from load_v2.opening.loops import bidirectional
from load_v2.opening.patterns.pattern import Missed

WRITES = (
    "it writes variables in a loop, row by row or in an order that nothing in the graph tells, which no layer keeps"
)


@dataclasses.dataclass(frozen=True)
class Refusal:
    """A node for which there is no code, and why."""

    node: str
    op: str
    reason: str

    def __str__(self) -> str:
        return f"{self.op} at {self.node!r}: {self.reason}"


@dataclasses.dataclass(frozen=True)
class Miss:
    """A piece of graph that is nearly a layer, and why it is none."""

    pattern: str
    node: str
    reason: str

    def __str__(self) -> str:
        return f"{self.pattern} at {self.node!r}: {self.reason}"


@dataclasses.dataclass(frozen=True)
class Cover:
    """The pieces that the outputs need, what was refused, and what was nearly a layer."""

    pieces: tuple[Piece, ...]
    refusals: tuple[Refusal, ...]
    misses: tuple[Miss, ...]


def cover(context: Context) -> Cover:
    """Returns the pieces whose code gives the graph's outputs.

    Guaranteed: each tensor that a piece reads is an input of the graph, no data, or given by another piece; unless
    something was refused, and then everything that would be refused is told.
    """
    by_root: dict[str, list[Pattern]] = {}
    known = context.patterns
    for pattern in known.of_call if context.inside_call else known.of_model:
        for op in pattern.roots:
            by_root.setdefault(op, []).append(pattern)
    given: set[Tensor] = set(context.graph.inputs.values())
    pieces: list[Piece] = []
    refusals: list[Refusal] = []
    misses: list[Miss] = []
    todo = list(context.graph.outputs.values())
    while todo:
        tensor = todo.pop()
        if tensor in given or not context.is_data(tensor):
            continue
        if tensor in context.virtual:
            piece = context.virtual[tensor]
            given.update(output for output in piece.outputs if output is not None)
            pieces.append(piece)
            todo.extend(expressions.operands(piece.code))
            continue
        op = context.op(tensor)
        if tensor.node in context.graph.weights:
            given.add(tensor)
            pieces.append(ties.parameter(context, tensor))
            todo.extend(expressions.operands(pieces[-1].code))
            continue
        try:
            piece = _by_pattern(context, tensor, by_root.get(op, ()), misses) or _by_op(context, tensor)
        except Refused as refused:
            nearly = [miss.reason for miss in misses if miss.node == tensor.node]
            refusals.append(Refusal(tensor.node, op, "; ".join(dict.fromkeys([str(refused), *nearly]))))
            given.add(tensor)
            todo.extend(context.sources(tensor))
            continue
        given.update(output for output in piece.outputs if output is not None)
        pieces.append(piece)
        todo.extend(expressions.operands(piece.code))
    if not refusals:
        pieces = as_layers.in_place(context, ties.bound(context, bidirectional.paired(context, pieces)))
    return Cover(tuple(pieces), tuple(dict.fromkeys(refusals)), tuple(dict.fromkeys(misses)))


def _by_pattern(context: Context, tensor: Tensor, patterns: Sequence[Pattern], misses: list[Miss]) -> Piece | None:
    for pattern in patterns:
        if (pattern.name, tensor) in context.rejected:
            misses.append(Miss(pattern.name, tensor.node, context.rejected[pattern.name, tensor]))
            continue
        try:
            piece = pattern.find(context, tensor)
        except (Missed, Refused) as missed:
            misses.append(Miss(pattern.name, tensor.node, str(missed)))
            continue
        except Exception as error:  # a form of graph that the pattern does not know: no match, and that is told
            misses.append(Miss(pattern.name, tensor.node, f"a defect of this pattern, {type(error).__name__}: {error}"))
            continue
        if piece is not None:
            return piece
    return None


def _by_op(context: Context, tensor: Tensor) -> Piece:
    op = context.op(tensor)
    if ops.is_random(op):
        raise Refused("it draws random numbers; freeze the flag that turns them on in step 1")
    if op in ops.FED:
        raise Refused("nothing gives it a value")
    if ops.writes_variable(op):
        raise Refused(WRITES)
    try:
        return operations.translated(context, tensor)
    except Refused:
        raise
    except Missed as missed:
        raise Refused(str(missed)) from missed
    except Exception as error:  # as above
        raise Refused(f"a defect of its translation, {type(error).__name__}: {error}") from error
