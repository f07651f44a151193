"""LSTM layers in place of BlockLSTM, the op that takes all steps of a sequence at once."""

from typing import ClassVar

import numpy as np

from export_v1.ir.graph import Tensor
from load_v2.opening.context import Context, Piece, operand
from load_v2.opening.expressions import LayerCall, call
from load_v2.opening.loops import cells, steps
from load_v2.opening.patterns.pattern import Missed
from load_v2.opening.sizes import is_whole, slice_items

OPS = frozenset({"BlockLSTM", "BlockLSTMV2"})
# Its outputs for every step: the state, and what comes out.
STATES, OUTPUTS = 1, 6
_BEYOND = 500_000


def settings(context: Context, tensor: Tensor) -> tuple[bool, float]:
    """Returns whether the op has peepholes, and the bound to which it clips its state, 0 where it does not."""
    clip = context.graph.attr(tensor, "cell_clip").f
    return context.graph.attr(tensor, "use_peephole").b, clip if clip > 0 else 0.0


def weights(context: Context, tensor: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Returns the op's kernel and bias, with its gates in the order i, j, f, o, and the forget gate's bias whole."""
    *_, kernel, _, _, _, bias = context.sources(tensor)
    parts = [np.split(context.values.value(weight), 4, axis=-1) for weight in (kernel, bias)]
    if context.op(tensor) == "BlockLSTMV2":
        parts = [[i, j, f, o] for i, f, j, o in parts]
    else:
        parts[1][2] = parts[1][2] + parts[1][2].dtype.type(context.graph.attr(tensor, "forget_bias").f)
    kernel_value, bias_value = (np.concatenate(part, axis=-1) for part in parts)
    return kernel_value, bias_value


class BlockLSTM:
    """The LSTM of TensorFlow 1's fused cell, time major."""

    name: ClassVar[str] = "BlockLSTM"
    roots: ClassVar[frozenset[str]] = OPS | {"StridedSlice"}

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the part of what the layer gives that a tensor is; the layer itself is a piece of its own."""
        if context.op(tensor) in OPS:
            if tensor.index != OUTPUTS:
                raise Missed("its states or gates at every step are read")
            code = call("ops.transpose", operand(self._given(context, tensor)[0]), (1, 0, 2))
            return context.piece(tensor, code, self.name)
        source = context.sources(tensor)[0]
        if context.op(source) not in OPS or source.index not in (STATES, OUTPUTS):
            return None
        items = slice_items(context.graph, context.sizes, tensor)
        if items is None or items[0] != -1 or not all(map(is_whole, items[1:])):
            return None
        given = self._given(context, source)[2 if source.index == STATES else 1]
        return context.piece(tensor, operand(given), self.name)

    def _given(self, context: Context, tensor: Tensor) -> tuple[Tensor, ...]:
        """Returns the tensors that the layer gives: the sequence, batch first, and both states at its end."""
        given = tuple(Tensor(tensor.node, _BEYOND + at) for at in range(3))
        if given[0] in context.virtual:
            return given
        length, x, memory, before, kernel, *peepholes, bias = context.sources(tensor)
        if any(settings(context, tensor)):
            raise Missed("it has peepholes, or clips its state")
        if context.is_data(kernel) or context.is_data(bias):
            raise Missed("its weights depend on data")
        steps_, known = context.sizes.array(length), context.sizes.axis(x, 0)
        if steps_ is None or steps_.reshape(-1)[0] != known:
            raise Missed("it does not take all steps")
        parts = cells.lstm_weights(*weights(context, tensor), 0.0)
        units = parts[1].shape[0]
        options = {"return_sequences": True, "return_state": True}
        made_of = [(value, (kernel, bias)) for value in parts]
        layer = context.layer("LSTM", context.scope_of(kernel), made_of, (units,), options)
        initial = steps.initial_state(context, (before, memory))
        code = LayerCall(layer, (call("ops.transpose", operand(x), (1, 0, 2)),), initial)
        piece = Piece(given, code, self.name, frozenset(), layer.scope)
        context.virtual.update(dict.fromkeys(given, piece))
        return given
