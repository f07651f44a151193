"""Ops that work element by element."""

import numpy as np

from export_v1.ir.graph import Tensor
from load_v2.opening.context import Context, Refused, operand
from load_v2.opening.expressions import Binary, Call, Expression, Item, Literal, Negative, Slice, call
from load_v2.opening.operations import sums
from load_v2.opening.operations.registry import translates

_FUNCTIONS = {
    "Relu": "relu", "Relu6": "relu6", "Elu": "elu", "Selu": "selu", "Sigmoid": "sigmoid", "Tanh": "tanh",
    "Softplus": "softplus", "Softsign": "softsign", "Exp": "exp", "Log": "log", "Log1p": "log1p", "Expm1": "expm1",
    "Sqrt": "sqrt", "Rsqrt": "rsqrt", "Square": "square", "Abs": "abs", "Sin": "sin", "Cos": "cos",
    "Tan": "tan", "Asin": "arcsin", "Acos": "arccos", "Atan": "arctan", "Sinh": "sinh", "Cosh": "cosh", "Asinh": "arcsinh",
    "Acosh": "arccosh", "Atanh": "arctanh", "Floor": "floor", "Ceil": "ceil", "Round": "round", "Rint": "round",
    "Sign": "sign", "Erf": "erf", "Erfinv": "erfinv", "Reciprocal": "reciprocal", "Inv": "reciprocal",
    "IsFinite": "isfinite", "IsNan": "isnan", "IsInf": "isinf", "LogicalNot": "logical_not",
    "Conj": "conj", "StopGradient": "stop_gradient", "ZerosLike": "zeros_like", "OnesLike": "ones_like",
    "Invert": "bitwise_not", "Cholesky": "cholesky", "MatrixInverse": "inv",
}  # fmt: skip
# Op -> infix operator, and the function for operands that have none.
_INFIX = {
    "Add": ("+", "add"), "AddV2": ("+", "add"), "Sub": ("-", "subtract"), "Mul": ("*", "multiply"),
    "RealDiv": ("/", "divide"), "Pow": ("**", "power"), "FloorDiv": ("//", "floor_divide"), "FloorMod": ("%", "mod"),
    "Less": ("<", "less"), "LessEqual": ("<=", "less_equal"), "Greater": (">", "greater"),
    "GreaterEqual": (">=", "greater_equal"),
}  # fmt: skip
_OF_TWO = {
    "Maximum": "maximum", "Minimum": "minimum", "Equal": "equal", "NotEqual": "not_equal", "Atan2": "arctan2",
    "LogicalAnd": "logical_and", "LogicalOr": "logical_or", "BitwiseAnd": "bitwise_and", "BitwiseOr": "bitwise_or",
    "BitwiseXor": "bitwise_xor", "LeftShift": "bitwise_left_shift", "RightShift": "bitwise_right_shift",
    "DivNoNan": "divide_no_nan", "LogicalXor": "logical_xor",
}  # fmt: skip


@translates(*_FUNCTIONS)
def _function(context: Context, tensor: Tensor) -> Expression:
    return call(f"ops.{_FUNCTIONS[context.op(tensor)]}", operand(context.sources(tensor)[0]))


@translates("Neg")
def _negative(context: Context, tensor: Tensor) -> Expression:
    return Negative(operand(context.sources(tensor)[0]))


def infix(context: Context, symbol: str, function: str, left: Tensor, right: Tensor) -> Expression:
    """Returns two tensors joined by an operator, or by a function: beside an array, NumPy's operator could be asked first."""
    if symbol == "+":
        return sums.total(context, (left, right))
    if sums.is_array(context, left) or sums.is_array(context, right):
        return call(f"ops.{function}", operand(left), operand(right))
    return Binary(symbol, operand(left), operand(right))


@translates(*_INFIX)
def _infix(context: Context, tensor: Tensor) -> Expression:
    symbol, function = _INFIX[context.op(tensor)]
    return infix(context, symbol, function, *context.sources(tensor))


@translates(*_OF_TWO)
def _of_two(context: Context, tensor: Tensor) -> Expression:
    return call(f"ops.{_OF_TWO[context.op(tensor)]}", *map(operand, context.sources(tensor)))


@translates("Div", "TruncateDiv")
def _division(context: Context, tensor: Tensor) -> Expression:
    left, right = context.sources(tensor)
    if context.graph.dtype(tensor).startswith(("int", "uint")):
        # Towards zero, where Python rounds down.
        sizes = Binary("//", call("ops.abs", operand(left)), call("ops.abs", operand(right)))
        sign = Binary("*", call("ops.sign", operand(left)), call("ops.sign", operand(right)))
        return Binary("*", sign, sizes)
    return infix(context, "/", "divide", left, right)


@translates("SquaredDifference")
def _squared_difference(context: Context, tensor: Tensor) -> Expression:
    return call("ops.square", infix(context, "-", "subtract", *context.sources(tensor)))


@translates("Xlogy", "Xdivy")
def _zero_wins(context: Context, tensor: Tensor) -> Expression:
    left, right = map(operand, context.sources(tensor))
    product = Binary("*", left, call("ops.log", right)) if context.op(tensor) == "Xlogy" else Binary("/", left, right)
    return call("ops.where", call("ops.equal", left, 0.0), 0.0, product)


@translates("AddN")
def _sum_of_many(context: Context, tensor: Tensor) -> Expression:
    return sums.total(context, context.sources(tensor))


@translates("Softmax")
def _softmax(context: Context, tensor: Tensor) -> Expression:
    return call("ops.softmax", operand(context.sources(tensor)[0]))


@translates("LogSoftmax")
def _log_softmax(context: Context, tensor: Tensor) -> Expression:
    return call("ops.log_softmax", operand(context.sources(tensor)[0]))


@translates("LeakyRelu")
def _leaky(context: Context, tensor: Tensor) -> Expression:
    slope = float(str(np.float32(context.graph.attr(tensor, "alpha").f)))
    return call("ops.leaky_relu", operand(context.sources(tensor)[0]), slope)


@translates("Cast")
def _cast(context: Context, tensor: Tensor) -> Expression:
    source = context.sources(tensor)[0]
    wanted = context.graph.dtype(tensor)
    if wanted == context.graph.dtype(source):
        return operand(source)
    if "string" in (wanted, context.graph.dtype(source)):
        raise Refused("strings have no type in Keras's backends")
    return call("ops.cast", operand(source), wanted)


@translates("ClipByValue")
def _clip(context: Context, tensor: Tensor) -> Expression:
    return call("ops.clip", *map(operand, context.sources(tensor)))


@translates("Select", "SelectV2")
def _select(context: Context, tensor: Tensor) -> Expression:
    condition, yes, no = context.sources(tensor)
    code: Expression = operand(condition)
    rank, known = context.graph.rank(yes), context.graph.rank(condition)
    if context.op(tensor) == "Select" and known in (1, None) and rank != 1:
        # Select takes whole rows where its condition is a vector.
        if rank is None or known is None:
            return call("choose", code, operand(yes), operand(no))
        code = call("ops.reshape", code, (-1,) + (1,) * (rank - 1))
    return call("ops.where", code, operand(yes), operand(no))


@translates("Cumsum", "Cumprod")
def _cumulative(context: Context, tensor: Tensor) -> Expression:
    source, axis = context.sources(tensor)
    at = int(context.static(axis, "the axis"))
    exclusive, backwards = (context.graph.attr(tensor, key).b for key in ("exclusive", "reverse"))
    code: Expression = operand(source)
    if backwards:
        code = call("ops.flip", code, axis=at)
    sums = context.op(tensor) == "Cumsum"
    if exclusive:
        # Each number counts from the next one on: taking it off again would lose digits, and a product has no way back.
        rank = context.graph.rank(source)
        if rank is None:
            raise Refused("it leaves out the last number of an unknown number of axes")
        amounts = [[int(axis == at % rank), 0] for axis in range(rank)]
        code = call("ops.pad", code, amounts, constant_values=None if sums else 1)
        code = Item(code, (Slice(),) * (at % rank) + (Slice(stop=-1),))
    total: Expression = Call("ops.cumsum" if sums else "ops.cumprod", (code,), (("axis", Literal(at)),))
    return call("ops.flip", total, axis=at) if backwards else total


@translates("FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxArgs")
def _quantized(context: Context, tensor: Tensor) -> Expression:
    """Rounds to the levels of a quantized range, which is moved so that zero is a level."""
    source, *bounds = context.sources(tensor)
    if any(map(context.is_data, bounds)):
        raise Refused("its range is computed from data")
    attr = context.graph.attr
    low, high = (
        (float(context.values.value(bound)) for bound in bounds)
        if bounds
        else (attr(tensor, "min").f, attr(tensor, "max").f)
    )
    first, last = float(attr(tensor, "narrow_range").b), float(2 ** attr(tensor, "num_bits").i - 1)
    if not low < high:
        raise Refused("its range is empty")
    scale = np.float32((high - low) / (last - first))
    zero = np.clip(np.floor(first - low / scale + 0.5), first, last)
    bottom, top, step = (
        float(str(np.float32(number))) for number in ((first - zero) * scale, (last - zero) * scale, scale)
    )
    clipped = call("ops.clip", operand(source), bottom, top)
    levels = call(
        "ops.floor", Binary("+", Binary("/", Binary("-", clipped, Literal(bottom)), Literal(step)), Literal(0.5))
    )
    return Binary("+", Binary("*", levels, Literal(step)), Literal(bottom))
