"""The layer that keeps what inference writes, between one call of the model and the next."""

import dataclasses
import textwrap

from export_v1.ir.graph import Tensor
from load_v2.opening import expressions, printed
from load_v2.opening.context import Context
from load_v2.opening.expressions import Item, LayerCall, Literal, Operand
from load_v2.opening.layers import Layer, PrintedClass
from load_v2.opening.statements import Program, Statement

_AFTER = "carried_output/"
_STATE = PrintedClass(
    "State",
    printed.REGISTERED
    + textwrap.dedent('''\
    class State(layers.Layer):
        """Values that every call of the model writes: it gives them, or keeps `new` ones and gives the first of its inputs."""

        def __init__(self, shapes, dtypes, **options):
            super().__init__(**{**options, "autocast": False})
            self.shapes, self.dtypes = tuple(map(tuple, shapes)), tuple(dtypes)

        def build(self, input_shape):
            options = {"initializer": "zeros", "trainable": False}
            specs = zip(self.shapes, self.dtypes)
            self.values = [self.add_weight(shape, dtype=dtype, **options) for shape, dtype in specs]

        def call(self, inputs, new=None):
            if new is None:
                return [ops.copy(ops.convert_to_tensor(value)) for value in self.values]
            for value, written in zip(self.values, new):
                value.assign(written)
            return inputs[0]

        def compute_output_spec(self, inputs, new=None):
            if new is None:
                return [keras.KerasTensor(shape, dtype) for shape, dtype in zip(self.shapes, self.dtypes)]
            return keras.KerasTensor(inputs[0].shape, inputs[0].dtype)

        def get_config(self):
            return {**super().get_config(), "shapes": self.shapes, "dtypes": self.dtypes}
    '''),
    "inference writes these variables, and no layer of Keras's does that",
)


def bound(program: Program, context: Context) -> Program:
    """Returns a program that hands values on, in code where a layer keeps them between calls.

    Each output waits for all of them, so that what reads a value before its write has read it, and then writes: a model of
    one of the outputs goes on from call to call as the whole does. To write the same values twice changes nothing.

    Args:
        program: the statements; among its outputs are the values handed on.
        context: of its graph.
    """
    ends, values = list(context.carried.values()), context.carried_values
    # What the layer is called on to give its values says nothing but where in the model it is.
    anchor = next(iter(context.inputs.values()))
    names = tuple(end.variable.name for end in ends)
    layer = Layer(
        kind=_STATE.name,
        scope=names[0] if len(names) == 1 else "state",
        arguments=(tuple(end.variable.shape for end in ends), tuple(end.variable.dtype for end in ends)),
        weights=tuple(values.values()),
        variables=names,
        origins=tuple((name,) for name in names),
        printed=_STATE,
    )
    whole = Tensor(f"{layer.scope}/values")
    given = [Statement((end.before,), Item(Operand(whole), (Literal(at),)), layer.scope) for at, end in enumerate(ends)]
    outputs = {key: code for key, code in program.outputs.items() if key not in context.carried}
    new = expressions.Sequence(tuple(program.outputs[key] for key in context.carried))
    kept = []
    for key, code in outputs.items():
        others = (other for other_key, other in outputs.items() if other_key != key)
        write = LayerCall(layer, (expressions.Sequence((code, *others)),), (("new", new),))
        kept.append(Statement((Tensor(f"{_AFTER}{key}"),), write, key))
    read = Statement((whole,), LayerCall(layer, (Operand(anchor),)), layer.scope)
    return dataclasses.replace(
        program,
        statements=(read, *given, *program.statements, *kept),
        outputs={key: Operand(Tensor(f"{_AFTER}{key}")) for key in outputs},
    )
