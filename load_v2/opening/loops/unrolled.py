"""Recurrent layers in place of steps that TensorFlow 1 code wrote out one by one, as `static_rnn` does."""

import dataclasses
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from export_v1.ir import ops
from export_v1.ir.graph import Tensor
from load_v2.opening.context import Context, Piece, operand
from load_v2.opening.expressions import Expression, Item, LayerCall, Literal, Slice, call
from load_v2.opening.expressions import Sequence as Items
from load_v2.opening.loops import cells, steps
from load_v2.opening.loops.affine import split_source
from load_v2.opening.loops.cells import Cell
from load_v2.opening.sizes import is_whole, slice_items

# What a layer gives are outputs of the last step's node that the graph does not have.
_BEYOND = 300_000
_STEPS = frozenset({"LSTMBlockCell", "GRUBlockCell", "Mul"}) | ops.ADDS | cells.ACTIVATIONS.keys()
_PRODUCTS = frozenset({"MatMul", "LSTMBlockCell", "GRUBlockCell"})


class _Any:
    """Any tensor may be a state."""

    def __contains__(self, tensor: object) -> bool:
        return True


@dataclasses.dataclass(eq=False)
class _Chain:
    """Steps of one cell, each with the state that the one before has left."""

    steps: list[Cell]
    given: tuple[Tensor, ...] = ()

    @property
    def outputs(self) -> list[Tensor]:
        """What comes out of each step."""
        return [step.new[0] for step in self.steps]


class Unrolled:
    """The steps of a recurrent cell over a sequence, written out."""

    name: ClassVar[str] = "recurrent layer, unrolled"
    roots: ClassVar[frozenset[str]] = _STEPS | {"Pack", "ConcatV2"}

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the part of what a layer gives that a tensor is; the layer itself is a piece of its own."""
        if "chains" not in context.notes:
            context.notes["chains"] = _chains(context)
        chains: dict[Tensor, _Chain] = context.notes["chains"]
        if not chains:
            return None
        if context.op(tensor) in {"Pack", "ConcatV2"}:
            return self._joined(context, tensor, chains)
        chain = chains.get(tensor)
        if chain is None:
            return None
        given = _run(context, chain, chains)
        last = chain.steps[-1].new
        if tensor in last:
            code: Expression = operand(given[1 + last.index(tensor)])
        else:
            code = Item(operand(given[0]), (Slice(), Literal(chain.outputs.index(tensor))))
        return context.piece(tensor, code, self.name, _inside(context, chain, tensor))

    def _joined(self, context: Context, tensor: Tensor, chains: dict[Tensor, _Chain]) -> Piece | None:
        """Returns the outputs of all steps, stacked or side by side, as the sequence that the layer gives."""
        parts = context.sources(tensor)
        stacked = context.op(tensor) == "Pack"
        axis = context.graph.attr(tensor, "axis").i if stacked else context.values.number(parts.pop())
        widths = {(context.graph.shape(part) or (None,))[-1] for part in parts}
        if not any(_reads_chain(context, part, chains) for part in parts[:1]) or axis not in (0, 1) or len(widths) != 1:
            return None
        whole, width = _sequence(context, parts, chains), widths.pop()
        if whole is None or width is None or (axis == 0 and not stacked) or len(parts) < 2:
            return None
        if stacked:
            code = whole if axis else call("ops.transpose", whole, (1, 0, 2))
        else:
            layer = context.layer("Reshape", tensor.node, (), ((len(parts) * width,),))
            code = LayerCall(layer, (whole,))
        ends = [chains[part] for part in parts[-1:] if part in chains]
        return context.piece(tensor, code, self.name, _inside(context, ends[0], parts[-1]) if ends else [])


def _reads_chain(context: Context, tensor: Tensor, chains: dict[Tensor, _Chain]) -> bool:
    """Returns whether a tensor comes out of a step, or joins some that do."""
    return tensor in chains or any(source in chains for source in context.sources(tensor))


def _inside(context: Context, chain: _Chain, tensor: Tensor) -> list[Tensor]:
    """Returns the tensors of the graph of which the layer makes code of their own unnecessary."""
    if tensor not in chain.steps[-1].new:
        return []
    return context.above(tensor, [*(step.x for step in chain.steps), *chain.steps[0].states])


def _chains(context: Context) -> dict[Tensor, _Chain]:
    """Returns output or last state of a step -> the chain that it is part of, for chains of two steps or more."""
    graph = context.graph
    uses = Counter(
        source
        for node in graph.graph_def.node
        if node.op in _PRODUCTS
        for source in graph.sources(Tensor(node.name))
        if not context.is_data(source)
    )
    if not any(count > 1 for count in uses.values()):
        return {}
    chain_of: dict[Tensor, _Chain] = {}
    for node in context.in_order():
        if node.op not in _STEPS:
            continue
        output = Tensor(node.name, {"LSTMBlockCell": 6, "GRUBlockCell": 3}.get(node.op, 0))
        if not context.is_data(output):
            continue
        possible = list(cells.every(context, output, _Any()))
        after = next((step for step in possible if _follows(context, chain_of, step)), None)
        if after is not None:
            chain = chain_of[after.states[0]]
            chain.steps.append(after)
            chain_of[output] = chain
            continue
        first = next((step for step in possible if all(steps.is_zero(context, s) for s in step.states)), None)
        if first is None and len(possible) == 1:
            first = possible[0]
        if first is not None:
            chain_of[output] = _Chain([first])
    chains = {
        id(chain): chain for chain in chain_of.values() if len(chain.steps) > 1 and not _feeds_itself(context, chain)
    }
    result = {output: chain for output, chain in chain_of.items() if id(chain) in chains}
    for chain in chains.values():
        result.update(dict.fromkeys(chain.steps[-1].new, chain))
    return result


def _follows(context: Context, chains: dict[Tensor, _Chain], step: Cell) -> bool:
    """Returns whether a step begins with the states that the last of a chain has left, and has its weights."""
    chain = chains.get(step.states[0])
    if chain is None or chain.steps[-1].new != step.states or chain.steps[-1].kind != step.kind:
        return False
    return _content(context, chain.steps[-1]) == _content(context, step)


def _content(context: Context, step: Cell) -> object:
    weights = tuple(
        (
            zlib.crc32(np.ascontiguousarray(value).tobytes()),
            {v.name for t in tensors for v in context.values.variables(t)},
        )
        for value, tensors in step.weights
    )
    return weights, sorted(step.options.items())


def _feeds_itself(context: Context, chain: _Chain) -> bool:
    """Returns whether what goes into some step depends on what has come out of one, as in a decoder."""
    above = context.graph.index.ancestors(step.x.node for step in chain.steps)
    return any(tensor.node in above for step in chain.steps for tensor in step.new)


def _run(context: Context, chain: _Chain, chains: dict[Tensor, _Chain]) -> tuple[Tensor, ...]:
    """Returns the tensors that the layer gives: the sequence, and each state at its end."""
    if chain.given:
        return chain.given
    first, last = chain.steps[0], chain.steps[-1].new[0]
    source, options = _source(context, chain, chains)
    scope = cells.without_gates(context.scope_of(*first.weights[0][1]))
    layer = context.layer(
        first.kind, scope, first.weights, (first.units,),
        {**first.options, **options, "return_sequences": True, "return_state": True},
    )  # fmt: skip
    chain.given = tuple(Tensor(last.node, _BEYOND + at) for at in range(1 + len(first.states)))
    code = LayerCall(layer, (source,), steps.initial_state(context, first.states))
    piece = Piece(chain.given, code, Unrolled.name, frozenset(), layer.scope)
    context.virtual.update(dict.fromkeys(chain.given, piece))
    return chain.given


def _source(context: Context, chain: _Chain, chains: dict[Tensor, _Chain]) -> tuple[Expression, dict[str, bool]]:
    """Returns the sequence that the steps read, batch first, and options for reading it backwards."""
    inputs = [step.x for step in chain.steps]
    for ordered, options in ((inputs, {}), (inputs[::-1], {"go_backwards": True})):
        whole = _sequence(context, ordered, chains)
        if whole is not None:
            return whole, options
    return call("ops.stack", Items(tuple(map(operand, inputs))), axis=1), {}


def _sequence(context: Context, tensors: Sequence[Tensor], chains: dict[Tensor, _Chain]) -> Expression | None:
    """Returns the sequence of which tensors are all steps in their order, batch first."""
    chain = chains.get(tensors[0])
    if chain is not None and chain.outputs == list(tensors):
        return operand(_run(context, chain, chains)[0])
    if chain is not None and chain.outputs[::-1] == list(tensors):
        return call("ops.flip", operand(_run(context, chain, chains)[0]), axis=1)
    if all(context.op(tensor) == "ConcatV2" and context.graph.rank(tensor) == 2 for tensor in tensors):
        return _side_by_side(context, tensors, chains)
    return _steps_of(context, tensors)


def _side_by_side(context: Context, tensors: Sequence[Tensor], chains: dict[Tensor, _Chain]) -> Expression | None:
    """Returns the sequence of steps each of which joins a step of other sequences."""
    parts = [context.sources(tensor) for tensor in tensors]
    if len({len(sources) for sources in parts}) != 1:
        return None
    if any(context.values.number(sources[-1]) not in (1, -1) for sources in parts):
        return None
    wholes = [_sequence(context, column, chains) for column in list(zip(*parts, strict=True))[:-1]]
    sequences = [whole for whole in wholes if whole is not None]
    return call("ops.concatenate", Items(tuple(sequences)), axis=-1) if len(sequences) == len(wholes) else None


def _steps_of(context: Context, tensors: Sequence[Tensor]) -> Expression | None:
    """Returns the tensor that is cut into steps."""
    first = tensors[0]
    squeezed = context.op(first) == "Squeeze" and context.op(context.sources(first)[0]) in {"Split", "SplitV"}
    if squeezed:
        return _split(context, tensors)
    source = context.sources(first)[0] if context.sources(first) else None
    if source is None or context.graph.rank(source) != 3:
        return None
    shape = context.graph.shape(source)
    assert shape is not None
    if context.op(first) == "Unpack":
        axis = context.graph.attr(first, "axis").i % 3
        if list(tensors) != [Tensor(first.node, at) for at in range(len(tensors))] or shape[axis] != len(tensors):
            return None
        return _batch_first(source, axis)
    for axis in (0, 1):
        if shape[axis] == len(tensors) and all(_takes(context, x, source, axis, at) for at, x in enumerate(tensors)):
            return _batch_first(source, axis)
    return None


def _split(context: Context, tensors: Sequence[Tensor]) -> Expression | None:
    """Returns the tensor that is split into steps of size one, whose axis of size one is dropped."""
    parts = [context.sources(tensor)[0] for tensor in tensors]
    first = parts[0]
    source, axis = split_source(context, first)
    shape, at = context.graph.shape(source), context.values.number(axis)
    if shape is None or len(shape) != 3 or at is None or shape[int(at) % 3] != len(tensors):
        return None
    dropped = [[int(axis) % 3 for axis in context.graph.attr(t, "squeeze_dims").list.i] for t in tensors]
    if parts != [Tensor(first.node, place) for place in range(len(tensors))] or dropped != [[int(at) % 3]] * len(parts):
        return None
    return _batch_first(source, int(at) % 3)


def _takes(context: Context, tensor: Tensor, source: Tensor, axis: int, place: int) -> bool:
    """Returns whether a tensor is one place of an axis of another."""
    if context.op(tensor) != "StridedSlice" or context.sources(tensor)[0] != source:
        return False
    items = slice_items(context.graph, context.sizes, tensor)
    return (
        items is not None
        and list(items[: axis + 1]) == [(None, None, 1)] * axis + [place]
        and all(map(is_whole, items[axis + 1 :]))
    )


def _batch_first(source: Tensor, axis: int) -> Expression | None:
    if axis == 1:
        return operand(source)
    return call("ops.transpose", operand(source), (1, 0, 2)) if axis == 0 else None
