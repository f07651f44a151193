"""A layer in the code in place of a BlockLSTM that is no LSTM of Keras's: with peepholes, a clipped state, steps left out."""

import textwrap
from typing import ClassVar

import numpy as np

from export_v1.ir.graph import Tensor
from load_v2.opening import printed
from load_v2.opening.context import Context, Piece, operand
from load_v2.opening.expressions import Expression, LayerCall
from load_v2.opening.layers import PrintedClass
from load_v2.opening.loops import block, steps
from load_v2.opening.patterns.pattern import Missed

_FUSED = PrintedClass(
    "FusedLSTM",
    printed.REGISTERED
    + textwrap.dedent('''\
    class FusedLSTM(layers.Layer):
        """TensorFlow 1's fused LSTM, time major: state and output at every step, zeros after the last one that it takes."""

        def __init__(self, units, peepholes=False, clip=None, **options):
            super().__init__(**options)
            self.units, self.peepholes, self.clip = units, peepholes, clip

        def build(self, input_shape):
            self.kernel = self.add_weight((input_shape[-1] + self.units, 4 * self.units), name="kernel")
            self.bias = self.add_weight((4 * self.units,), "zeros", name="bias")
            if self.peepholes:
                self.peephole = self.add_weight((3, self.units), name="peephole")

        def call(self, sequences, count=None, output=None, state=None):
            zeros = ops.zeros((ops.shape(sequences)[1], self.units), sequences.dtype)
            output, state = (zeros if given is None else given for given in (output, state))
            count = ops.shape(sequences)[0] if count is None else ops.cast(count, "int32")

            def take(carried, inputs):
                step, state, output = carried
                gates = ops.matmul(ops.concatenate([inputs, output], axis=1), self.kernel) + self.bias
                i, j, f, o = ops.split(gates, 4, axis=1)
                if self.peepholes:
                    i, f = i + state * self.peephole[0], f + state * self.peephole[1]
                new = ops.sigmoid(i) * ops.tanh(j) + ops.sigmoid(f) * state
                if self.clip:
                    new = ops.clip(new, -self.clip, self.clip)
                if self.peepholes:
                    o = o + new * self.peephole[2]
                valid = step < count
                output = ops.where(valid, ops.sigmoid(o) * ops.tanh(new), 0.0)
                carried = step + 1, ops.where(valid, new, 0.0), output
                return carried, carried

            _, (_, states, outputs) = ops.scan(take, (ops.zeros((), "int32"), state, output), sequences)
            return states, outputs

        def get_config(self):
            return {**super().get_config(), "units": self.units, "peepholes": self.peepholes, "clip": self.clip}
    '''),
    "Keras's LSTM has no peepholes, does not clip its state, and does not give it at every step",
)


class FusedLSTM:
    """What BlockLSTM gives at every step."""

    name: ClassVar[str] = "fused LSTM"
    roots: ClassVar[frozenset[str]] = block.OPS

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the piece that gives states and outputs at every step."""
        if tensor.index not in (block.STATES, block.OUTPUTS):
            raise Missed("its gates are read")
        length, x, memory, before, kernel, *peepholes, bias = context.sources(tensor)
        if any(map(context.is_data, (kernel, bias, *peepholes))):
            raise Missed("its weights depend on data")
        has_peepholes, clip = block.settings(context, tensor)
        kernel_value, bias_value = block.weights(context, tensor)
        units = len(bias_value) // 4
        made_of: list[tuple[np.ndarray, tuple[Tensor, ...]]] = [(kernel_value, (kernel,)), (bias_value, (bias,))]
        if has_peepholes:
            made_of.append((np.stack([context.values.value(peephole) for peephole in peepholes]), tuple(peepholes)))
        options = {"peepholes": has_peepholes or None, "clip": clip or None}
        layer = context.layer(_FUSED.name, context.scope_of(kernel), made_of, (units,), options, _FUSED)
        given: list[tuple[str, Expression]] = []
        count, known = context.sizes.array(length), context.sizes.axis(x, 0)
        if count is None or count.reshape(-1)[0] != known:
            given.append(("count", operand(length)))
        given += [
            (name, operand(start))
            for name, start in (("output", before), ("state", memory))
            if not steps.is_zero(context, start)
        ]
        code = LayerCall(layer, (operand(x),), tuple(given))
        outputs = (Tensor(tensor.node, block.STATES), Tensor(tensor.node, block.OUTPUTS))
        return Piece(outputs, code, self.name, frozenset({tensor.node}), layer.scope)
