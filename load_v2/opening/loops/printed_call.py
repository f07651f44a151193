"""The call of a printed layer while it is written, and the layer that it makes: arguments, parts, weights."""

import dataclasses
import re
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from export_v1.ir.graph import Tensor
from load_v2.opening import naming, printed, text
from load_v2.opening.context import Context, operand
from load_v2.opening.expressions import Expression
from load_v2.opening.functions import Function
from load_v2.opening.layers import Layer, PrintedClass
from load_v2.opening.statements import hint

# What a layer of Keras's has already; no part of one can be called that.
_OF_KERAS = frozenset({*dir(keras.layers.Layer), "activity_regularizer", "autocast", "built", "supports_masking"})


class PrintedCall:
    """The call of a printed layer that is being written: its arguments, each a tensor outside; its parts and its weights."""

    def __init__(self, context: Context, scope: str):
        self.context, self._scope = context, scope
        self._names: dict[Tensor, str] = {}
        self._attributes: set[str] = set(_OF_KERAS)
        self._parts: dict[int, tuple[Layer, tuple[int | None, ...]]] = {}
        self._weights: dict[object, tuple[str, np.ndarray, Tensor | None]] = {}
        self.function: Function | None = None
        self.depth = 0

    def argument(self, tensor: Tensor, name: str = "") -> str:
        """Returns what a tensor outside is called in the call."""
        if tensor not in self._names:
            wanted = naming.identifier(name or hint(self.context.scope_of(tensor) if not self.context.is_data(tensor)
                                                    else tensor.node))  # fmt: skip
            self._names[tensor] = naming.fresh(wanted, {*self._names.values(), *naming.RESERVED, "self", "step"})
        return self._names[tensor]

    def sublayer(self, layer: Layer, input_shape: tuple[int | None, ...]) -> None:
        """Gives a layer that the code calls an attribute of the printed layer as its name."""
        if id(layer) not in self._parts:
            layer.variable = f"self.{naming.fresh(naming.identifier(hint(layer.scope)), self._attributes)}"
            self._parts[id(layer)] = layer, input_shape

    def weight(self, context: Context, tensor: Tensor, value: np.ndarray, outside: Tensor | None = None) -> str:
        """Returns the attribute that holds a weight which is in no layer, or a large constant.

        Args:
            context: of the function that reads it.
            tensor: there.
            value: its value.
            outside: the tensor of the whole graph that it is made of, where the function is not the layer's own.
        """
        outside = outside or self.outside(context, tensor)
        key: object = outside
        if outside is None or context.graph.op(tensor) != "Placeholder":
            # Two weights that happen to have the same numbers stay two: training may part them.
            key = outside, value.shape, value.dtype.str, value.tobytes()
        if key not in self._weights:
            variables = context.values.variables(tensor) if tensor in context.graph else ()
            wanted = naming.identifier(hint(variables[0].name if variables else tensor.node))
            self._weights[key] = naming.fresh(wanted, self._attributes), value, outside
        return f"self.{self._weights[key][0]}"

    def outside(self, context: Context, tensor: Tensor) -> Tensor | None:
        """Returns the tensor outside that a weight is, or is first of all made of."""
        return _given(self.function, context, tensor)

    def _is_trained(self, value: np.ndarray, outside: Tensor | None) -> bool:
        variables = self.context.values.variables(outside) if outside is not None else ()
        return value.dtype.kind in "fc" and any(variable.trainable for variable in variables)

    def _made(self) -> list[str]:
        """Returns the methods that make the parts and the weights."""
        lines = []
        if self._parts:
            lines += ["    def __init__(self, **options):", "        super().__init__(**options)"]
            for layer, _ in self._parts.values():
                made = text.constructed(dataclasses.replace(layer, name=layer.variable.removeprefix("self.")))
                lines.append(f"        {layer.variable} = {made}")
            lines.append("")
        if self._parts or self._weights:
            lines.append("    def build(self, input_shape):")
            lines += [f"        {layer.variable}.build({shape!r})" for layer, shape in self._parts.values()]
            for name, value, outside in self._weights.values():
                dtype = "" if value.dtype.name == "float32" else f', dtype="{value.dtype.name}"'
                trained = "" if self._is_trained(value, outside) else ", trainable=False"
                lines.append(
                    f'        self.{name} = self.add_weight({value.shape!r}, "zeros"{dtype}{trained}, name="{name}")'
                )
            lines.append("")
        return lines

    @property
    def _all_weights(self) -> tuple[np.ndarray, ...]:
        """The values in the order in which Keras lists them: own ones that are trained, other own ones, those of parts."""
        own = sorted(self._weights.values(), key=lambda weight: not self._is_trained(*weight[1:]))
        return (*(value for _, value, _ in own), *(v for layer, _ in self._parts.values() for v in layer.weights))

    @property
    def _variables(self) -> tuple[str, ...]:
        own = [v.name for _, _, outside in self._weights.values() if outside is not None
               for v in self.context.values.variables(outside)]  # fmt: skip
        return tuple(dict.fromkeys([*own, *(name for layer, _ in self._parts.values() for name in layer.variables)]))

    @property
    def arguments(self) -> tuple[Expression, ...]:
        """What the layer is called on."""
        return tuple(map(operand, self._names))

    def layer(self, says: str, body: Sequence[str], reason: str) -> Layer:
        """Returns the layer; `body` is its call, and methods after that."""
        parts = [part for part in re.split(r"\W+|_", self._scope) if part]
        title = "".join(part.capitalize() for part in parts[-3:])
        title = title if title[:1].isalpha() else f"Loop{title}"
        head = text.head("call", ["self", *self._names.values()], indent=4)
        lines = "\n".join([*self._made(), head, *body])
        source = f'{printed.REGISTERED}class {title}(layers.Layer):\n    """{says}"""\n\n{lines}\n'
        return Layer(
            kind=title,
            scope=self._scope,
            weights=self._all_weights,
            variables=self._variables,
            parts=tuple(layer for layer, _ in self._parts.values()),
            printed=PrintedClass(title, source, reason),
        )


def _given(function: Function | None, context: Context, tensor: Tensor) -> Tensor | None:
    """Returns what a function is given for the first argument that a tensor in it is made of; None while there is none."""
    if function is None:
        # What is only tried, to see what it reads, stands in no function yet.
        return None
    above = context.graph.index.ancestors([tensor.node]) if tensor in context.graph else set()
    pairs = zip(function.arguments, function.given, strict=True)
    return next((given for argument, given in pairs if argument.node in above), None)


class NestedCall:
    """A loop or a condition inside the call of a printed layer: what it reads there has names already.

    Attributes:
        context: of the function that it is in.
        owner: what that function belongs to: the layer's call, or one like this.
        depth: how many loops or conditions it is in.
        asked: what it reads.
        function: the one that is being written.
    """

    def __init__(self, context: Context, owner: "PrintedCall | NestedCall", names: Mapping[Tensor, str] | None = None):
        self.context, self.owner, self._names = context, owner, names
        self.depth: int = owner.depth + 1
        self.asked: dict[Tensor, None] = {}
        self.function: Function | None = None

    def argument(self, tensor: Tensor, name: str = "") -> str:
        """Returns what a tensor of the function around is called."""
        self.asked[tensor] = None
        return "x" if self._names is None else self._names[tensor]

    def sublayer(self, layer: Layer, input_shape: tuple[int | None, ...]) -> None:
        """Gives a layer that the code calls its name."""
        self.owner.sublayer(layer, input_shape)

    def outside(self, context: Context, tensor: Tensor) -> Tensor | None:
        """Returns the tensor of the whole graph that a weight is, or is first of all made of."""
        given = _given(self.function, context, tensor)
        return None if given is None else self.owner.outside(self.context, given)

    def weight(self, context: Context, tensor: Tensor, value: np.ndarray, outside: Tensor | None = None) -> str:
        """Returns the attribute of the layer that holds a weight."""
        return self.owner.weight(context, tensor, value, outside or self.outside(context, tensor))
