"""LSTM, GRU and SimpleRNN layers in place of the loops that `dynamic_rnn` and its like make."""

import dataclasses
from typing import ClassVar

import numpy as np

from export_v1.ir import ops
from export_v1.ir.graph import Tensor
from load_v2.opening import printed
from load_v2.opening.context import Context, Piece, Refused, operand
from load_v2.opening.expressions import Expression, LayerCall, call
from load_v2.opening.loops import cells, steps
from load_v2.opening.loops.cells import Cell
from load_v2.opening.loops.steps import Steps
from load_v2.opening.patterns.pattern import Missed
from load_v2.opening.sizes import is_whole, slice_items

# A layer gives more than the graph has tensors for; such a tensor is an output of the loop's node that it does not have.
_BEYOND = 100_000


@dataclasses.dataclass(eq=False)
class _Loop:
    """A loop, and the tensors that stand for what its layers give."""

    loop: Tensor
    steps: Steps
    sequences: dict[Tensor, Tensor]
    cells: dict[Tensor, Cell | None] = dataclasses.field(default_factory=dict)
    made: dict[Tensor, tuple[Tensor, ...]] = dataclasses.field(default_factory=dict)
    count: int = _BEYOND

    def new_tensor(self) -> Tensor:
        """Returns a tensor that the graph does not have."""
        self.count += 1
        return Tensor(self.loop.node, self.count)


class Recurrent:
    """A loop whose body is one recurrent cell, or several on top of each other."""

    name: ClassVar[str] = "recurrent layer"
    roots: ClassVar[frozenset[str]] = ops.WHILES | {"TensorListStack", "Transpose", "StridedSlice"}

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the value of a layer that a tensor is; the layer itself is a piece of its own."""
        op = context.op(tensor)
        if op in ops.WHILES:
            loop = _loop(context, tensor)
            return context.piece(tensor, operand(_state(context, loop, tensor.index)), self.name)
        if op == "StridedSlice":
            return self._last(context, tensor)
        stack = tensor
        if op == "Transpose":
            source, permutation = context.sources(tensor)
            order = context.values.constant(permutation)
            if context.op(source) != "TensorListStack" or order is None or list(order[:2]) != [1, 0]:
                return None
            stack = source
        source = context.sources(stack)[0]
        if context.op(source) not in ops.WHILES:
            return None
        sequence = _outputs_of_list(context, _loop(context, source), source.index)[0]
        if op == "Transpose":
            return context.piece(tensor, operand(sequence), self.name, [stack] if context.read_once(stack) else [])
        return context.piece(tensor, _flipped(operand(sequence)), self.name)

    def _last(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the last step of a sequence of which nothing else is read; it is a state then, where all steps are valid."""
        source, inside, axis = context.sources(tensor)[0], [], 0
        while context.op(source) == "Transpose" and context.read_once(source):
            inside.append(source)
            source, permutation = context.sources(source)
            order = context.values.constant(permutation)
            if order is None or list(order[:2]) != [1, 0]:
                return None
            axis = 1 - axis
        if context.op(source) != "TensorListStack" or not context.read_once(source):
            return None
        items = slice_items(context.graph, context.sizes, tensor)
        if items is None or [not is_whole(item) for item in items] != [at == axis for at in range(len(items))]:
            return None
        stack = context.sources(source)[0]
        if items[axis] != -1 or context.op(stack) not in ops.WHILES:
            return None
        loop = _loop(context, stack)
        if loop.steps.gives_zeros:
            return None
        given = _outputs_of_list(context, loop, stack.index)
        return context.piece(tensor, operand(given[1]), self.name, [*inside, source])


def _flipped(code: Expression) -> Expression:
    return call("ops.transpose", code, (1, 0, 2))


def _loop(context: Context, tensor: Tensor) -> _Loop:
    key = ("loop", tensor.node)
    if key not in context.notes:
        try:
            apart = steps.taken_apart(context, Tensor(tensor.node))
            apart = dataclasses.replace(apart, gives_zeros=steps.gives_zeros(context, apart))
            sequences = steps.sequences(context, apart)
            context.notes[key] = _Loop(Tensor(tensor.node), apart.without_lengths(), sequences)
        except (Missed, Refused) as missed:
            context.notes[key] = missed
    noted = context.notes[key]
    if isinstance(noted, Exception):
        raise Missed(str(noted))
    return noted


def _state(context: Context, loop: _Loop, index: int) -> Tensor:
    if index not in loop.steps.states:
        raise Missed("what it gives at its end is no state")
    wanted = loop.steps.states[index]
    for value in loop.steps.states.values():
        cell = _cell(loop, value)
        if cell is not None and wanted in cell.new:
            return _run(context, loop, cell)[1 + cell.new.index(wanted)]
    raise Missed("its step is not that of a recurrent layer of Keras's")


def _outputs_of_list(context: Context, loop: _Loop, index: int) -> tuple[Tensor, ...]:
    if index not in loop.steps.written:
        raise Missed("what it gives is no list that it fills")
    return _outputs(context, loop, loop.steps.written[index])


def _outputs(context: Context, loop: _Loop, value: Tensor) -> tuple[Tensor, ...]:
    """Returns the tensors for all steps of a value that a step computes, batch first, and for each state at the end."""
    cell = _cell(loop, value)
    if cell is None:
        raise Missed("its step is not that of a recurrent layer of Keras's")
    return _run(context, loop, cell)


def _cell(loop: _Loop, value: Tensor) -> Cell | None:
    if value not in loop.cells:
        loop.cells[value] = cells.cell(loop.steps.body.context, value, loop.steps.state_arguments)
    return loop.cells[value]


def _run(context: Context, loop: _Loop, cell: Cell) -> tuple[Tensor, ...]:
    """Returns the tensors that the layer of a cell gives: the sequence, and each state at its end."""
    output = cell.new[0]
    if output in loop.made:
        return loop.made[output]
    body = loop.steps.body
    places = []
    for before, after in zip(cell.states, cell.new, strict=True):
        at = body.arguments.index(before)
        if loop.steps.states.get(at) != after:
            raise Missed("a state is not simply the one after the last step")
        places.append(at)
    source = _input(context, loop, cell)
    initial = [body.given[at] for at in places]
    options: list[tuple[str, Expression]] = []
    if loop.steps.lengths is not None:
        options.append(("mask", operand(_mask(context, loop, source))))
    elif loop.steps.mask is not None:
        options.append(("mask", _mask_of_rows(context, loop.steps.mask)))
    options += steps.initial_state(context, initial)
    layer = context.layer(
        cell.kind, _scope(context, loop, cell), _outside(loop, cell), (cell.units,),
        {
            **cell.options, "return_sequences": True, "return_state": True,
            "zero_output_for_mask": True if loop.steps.gives_zeros else None,
        },
    )  # fmt: skip
    given = tuple(loop.new_tensor() for _ in range(1 + len(cell.states)))
    code = LayerCall(layer, (source,), tuple(options))
    context.virtual[given[0]] = Piece(given, code, Recurrent.name, frozenset({loop.loop.node}), layer.scope)
    context.virtual.update(dict.fromkeys(given[1:], context.virtual[given[0]]))
    loop.made[output] = given
    return given


def _input(context: Context, loop: _Loop, cell: Cell) -> Expression:
    """Returns the sequence that a cell reads, batch first."""
    if cell.x not in loop.sequences:
        return operand(_outputs(context, loop, cell.x)[0])
    source = loop.sequences[cell.x]
    if context.op(source) == "Transpose":
        inner, permutation = context.sources(source)
        order = context.values.constant(permutation)
        if order is not None and list(order) == [1, 0, 2]:
            return operand(inner)
    if context.graph.rank(source) != 3:
        raise Missed("what it reads at a step is no vector for each member of the batch")
    return _flipped(operand(source))


def _mask_of_rows(context: Context, mask: Tensor) -> Expression:
    """Returns the mask that is given to each step as [batch, 1], as [batch, steps]."""
    turned = False
    while context.op(mask) in {"ReverseV2", "Transpose", "ExpandDims"}:
        source, place = context.sources(mask)
        places = context.values.constant(place)
        known = places is not None and [int(at) for at in places.reshape(-1)]
        if context.op(mask) == "ExpandDims" and known in ([-1], [2]) and context.graph.rank(source) == 2:
            return call("ops.flip", operand(source), axis=1) if turned else operand(source)
        if known != ([0] if context.op(mask) == "ReverseV2" else [1, 0, 2]):
            break
        turned = turned != (context.op(mask) == "ReverseV2")
        mask = source
    raise Missed("which of its steps are valid is told in another way than by a mask")


def _mask(context: Context, loop: _Loop, source: Expression) -> Tensor:
    key = ("mask", loop.loop, loop.steps.lengths)
    if key not in context.notes:
        lengths = loop.steps.lengths
        assert lengths is not None
        layer = printed.sequence_mask(loop.loop.node)
        tensor = loop.new_tensor()
        code = LayerCall(layer, (source, operand(lengths)))
        context.virtual[tensor] = Piece((tensor,), code, "sequence mask", frozenset(), f"{loop.loop.node}/mask")
        context.notes[key] = tensor
        size = context.sizes.axis(next(iter(loop.sequences.values())), 0)
        context.masks[tensor] = lengths, size
    return context.notes[key]


def _outside(loop: _Loop, cell: Cell) -> list[tuple[np.ndarray, list[Tensor]]]:
    """Returns a cell's weights with the tensors outside the loop that they are made of."""
    return [(value, _given(loop, tensors)) for value, tensors in cell.weights]


def _given(loop: _Loop, tensors: tuple[Tensor, ...]) -> list[Tensor]:
    body = loop.steps.body
    above = body.context.graph.index.ancestors(tensor.node for tensor in tensors)
    return [given for argument, given in zip(body.arguments, body.given, strict=True) if argument.node in above]


def _scope(context: Context, loop: _Loop, cell: Cell) -> str:
    tensors = _given(loop, cell.weights[0][1])
    return cells.without_gates(context.scope_of(*tensors) if tensors else loop.loop.node)
