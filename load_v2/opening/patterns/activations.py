"""Activations that TensorFlow 1 code writes out: gelu, leaky relu, PReLU, swish."""

import math
from typing import ClassVar

import numpy as np

from export_v1.ir import ops
from export_v1.ir.graph import Tensor
from export_v1.ir.match import Pattern as Shape
from export_v1.ir.match import anything, either, made_by, matches
from load_v2.opening.context import Context, Piece, called, operand
from load_v2.opening.expressions import call


def _product(left: Shape, right: Shape) -> Shape:
    return made_by("Mul", left, right, any_order=True)


def _sum(left: Shape, right: Shape) -> Shape:
    return made_by(ops.ADDS, left, right, any_order=True)


_CUBE = either(
    made_by("Pow", anything("x"), anything("3")),
    _product(anything("x"), made_by("Square", anything("x"))),
    _product(anything("x"), _product(anything("x"), anything("x"))),
)
_ERF = made_by(
    "Erf",
    either(
        made_by({"RealDiv", "Div"}, anything("x"), anything("sqrt 2")), _product(anything("x"), anything("sqrt half"))
    ),
)
_TANH = made_by("Tanh", _product(anything("sqrt 2/pi"), _sum(anything("x"), _product(anything("0.044715"), _CUBE))))


def _gelu(inner: Shape) -> Shape:
    weight = _sum(anything("1"), inner)
    return either(
        _product(anything("x"), _product(anything("half"), weight)),
        _product(_product(anything("half"), anything("x")), weight),
        _product(anything("half"), _product(anything("x"), weight)),
    )


_NUMBERS = {
    "3": 3.0, "1": 1.0, "half": 0.5, "sqrt 2": math.sqrt(2), "sqrt half": math.sqrt(0.5),
    "sqrt 2/pi": math.sqrt(2 / math.pi), "0.044715": 0.044715,
}  # fmt: skip


class Gelu:
    """x times the normal distribution's share below x, exactly or by tanh."""

    name: ClassVar[str] = "gelu"
    roots: ClassVar[frozenset[str]] = frozenset({"Mul"})

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the call of ops.gelu, or of the code's own for an exact one, that gives a tensor."""
        for inner, approximate in ((_ERF, False), (_TANH, True)):
            for captured in matches(context.graph.index, tensor, _gelu(inner)):
                if context.is_data(captured["x"]) and _numbers_fit(context, captured.captures):
                    x = operand(captured["x"])
                    code = call("ops.gelu", x, approximate=True) if approximate else call("gelu", x)
                    return context.piece(tensor, code, self.name, context.above(tensor, [captured["x"]]))
        return None


def _numbers_fit(context: Context, captures) -> bool:
    for name, tensor in captures.items():
        if name in _NUMBERS:
            number = context.values.number(tensor)
            if number is None or not math.isclose(number, _NUMBERS[name], rel_tol=1e-6):
                return False
    return True


class LeakyRelu:
    """The larger of x and a share of x."""

    name: ClassVar[str] = "leaky relu"
    roots: ClassVar[frozenset[str]] = frozenset({"Maximum"})

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the call of ops.leaky_relu that gives a tensor."""
        whole = made_by("Maximum", anything("x"), _product(anything("x"), anything("slope")), any_order=True)
        for captured in matches(context.graph.index, tensor, whole):
            slope = context.values.number(captured["slope"])
            if slope is not None and 0 < slope < 1 and context.is_data(captured["x"]):
                code = call("ops.leaky_relu", operand(captured["x"]), float(str(np.float32(slope))))
                return context.piece(tensor, code, self.name, context.above(tensor, [captured["x"]]))
        return None


class ParametricRelu:
    """relu(x) + alpha * (x - |x|) / 2, with alpha learned."""

    name: ClassVar[str] = "PReLU"
    roots: ClassVar[frozenset[str]] = ops.ADDS | ops.SELECTS | {"Sub"}

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the layer that ends in a tensor."""
        x = anything("x")
        below = either(
            made_by("Sub", x, made_by("Abs", x)),
            made_by("Sub", x, made_by("Relu", x)),
            made_by("Minimum", x, anything("zero"), any_order=True),
        )
        negative = either(
            _product(_product(anything("alpha"), below), anything("half")),
            _product(anything("alpha"), _product(below, anything("half"))),
            _product(anything("alpha"), below),
        )
        mirrored = _product(anything("alpha"), made_by("Relu", made_by("Neg", x)))
        opposite = _product(anything("minus alpha"), made_by("Relu", made_by("Neg", x)))
        whole = either(
            _sum(made_by("Relu", x), negative),
            made_by("Sub", made_by("Relu", x), mirrored),
            _sum(made_by("Relu", x), opposite),
            _sum(made_by("Maximum", x, anything("zero above"), any_order=True), negative),
            made_by(
                ops.SELECTS,
                made_by({"Greater", "GreaterEqual"}, x, anything("zero")),
                x,
                _product(anything("alpha"), x),
            ),
        )
        for captured in matches(context.graph.index, tensor, whole):
            zeros = [captured[name] for name in ("zero", "zero above") if name in captured.captures]
            if any(context.values.number(zero) != 0 for zero in zeros):
                continue
            sign = -1 if "minus alpha" in captured.captures else 1
            alpha, shape = captured["minus alpha" if sign < 0 else "alpha"], context.graph.shape(captured["x"])
            if context.is_data(alpha) or not context.is_data(captured["x"]) or not shape or shape[-1] is None:
                continue
            value, channels = sign * context.values.value(alpha), shape[-1]
            if value.size not in (1, channels):
                continue
            # One number for all channels stays one.
            shared = list(range(1, len(shape) - (value.size == channels))) or None
            full = value.reshape((1,) * (len(shape) - 2) + (value.size,))
            layer = context.layer("PReLU", context.scope_of(alpha), [(full, (alpha,))], (), {"shared_axes": shared})
            return context.piece(
                tensor, called(layer, captured["x"]), self.name, context.above(tensor, [captured["x"]])
            )
        return None


class Swish:
    """x times sigmoid(x)."""

    name: ClassVar[str] = "swish"
    roots: ClassVar[frozenset[str]] = frozenset({"Mul"})

    def find(self, context: Context, tensor: Tensor) -> Piece | None:
        """Returns the call of ops.silu that gives a tensor."""
        for captured in matches(
            context.graph.index, tensor, _product(anything("x"), made_by("Sigmoid", anything("x")))
        ):
            inside = context.above(tensor, [captured["x"]])
            if context.is_data(captured["x"]) and context.inner(inside, tensor):
                return context.piece(tensor, call("ops.silu", operand(captured["x"])), self.name, inside)
        return None
