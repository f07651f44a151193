"""Matrix products, sums over named axes, and biases without a layer."""

from export_v1.ir.graph import Tensor
from load_v2.opening.context import Context, Refused, operand
from load_v2.opening.expressions import Binary, Expression, call
from load_v2.opening.operations import sums
from load_v2.opening.operations.elementwise import infix
from load_v2.opening.operations.registry import translates


@translates("MatMul", "BatchMatMul", "BatchMatMulV2")
def _product(context: Context, tensor: Tensor) -> Expression:
    names = ("transpose_a", "transpose_b") if context.op(tensor) == "MatMul" else ("adj_x", "adj_y")
    factors: list[Expression] = []
    for source, name in zip(context.sources(tensor), names, strict=True):
        flipped = context.graph.attr(tensor, name).b
        factors.append(call("ops.swapaxes", operand(source), -1, -2) if flipped else operand(source))
    return call("ops.matmul", *factors)


@translates("MatrixTriangularSolve")
def _triangular_solve(context: Context, tensor: Tensor) -> Expression:
    source, right = context.sources(tensor)
    matrix: Expression = operand(source)
    lower, flipped = (context.graph.attr(tensor, name).b for name in ("lower", "adjoint"))
    # The other triangle may hold numbers, which are not the matrix's; turned over, it would be read.
    if flipped:
        matrix = call("ops.swapaxes", matrix, -1, -2)
    return call("ops.solve_triangular", matrix, operand(right), lower=lower != flipped)


@translates("Einsum")
def _einsum(context: Context, tensor: Tensor) -> Expression:
    equation = context.graph.attr(tensor, "equation").s.decode()
    return call("ops.einsum", equation, *map(operand, context.sources(tensor)))


@translates("BiasAdd", "BiasAddV1")
def _bias(context: Context, tensor: Tensor) -> Expression:
    value, bias = context.sources(tensor)
    if context.graph.attr(tensor, "data_format").s == b"NCHW":
        shape = context.sizes.shape(value)
        if shape is None:
            raise Refused("it adds to the channels of a tensor of unknown rank")
        around = (1,) * (len(shape) - 2)
        channels = call("ops.reshape", operand(bias), (-1, *around))
        if sums.taken_for_bias(shape, (shape[1], *around)):
            return Binary("-", operand(value), call("ops.negative", channels))
        return Binary("+", operand(value), channels)
    return infix(context, "+", "add", value, bias)


@translates("SparseSoftmaxCrossEntropyWithLogits")
def _sparse_cross_entropy(context: Context, tensor: Tensor) -> Expression:
    if tensor.index:
        raise Refused("it is a gradient")
    logits, labels = context.sources(tensor)
    return call("keras.losses.sparse_categorical_crossentropy", operand(labels), operand(logits), from_logits=True)


@translates("SoftmaxCrossEntropyWithLogits")
def _cross_entropy(context: Context, tensor: Tensor) -> Expression:
    if tensor.index:
        raise Refused("it is a gradient")
    logits, labels = context.sources(tensor)
    return call("keras.losses.categorical_crossentropy", operand(labels), operand(logits), from_logits=True)
