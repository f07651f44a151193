"""Complex numbers, and Fourier transforms, which Keras has of real and imaginary parts."""

from export_v1.ir.graph import Tensor
from load_v2.opening.context import Context, Refused, operand
from load_v2.opening.expressions import Expression, Sequence, call
from load_v2.opening.operations.registry import translates

_PARTS = {"Real": "real", "Imag": "imag", "ComplexAbs": "abs"}
_TRANSFORMS = {"FFT": "fft", "FFT2D": "fft2", "IFFT2D": "ifft2"}


def _check(context: Context, *tensors: Tensor) -> None:
    if any(context.graph.dtype(tensor) == "complex128" for tensor in tensors):
        raise Refused("its numbers are complex, in double precision")


def _pair(source: Expression) -> Expression:
    return Sequence((call("ops.real", source), call("ops.imag", source)), is_tuple=True)


def _length(context: Context, tensor: Tensor) -> int:
    return int(context.static(context.sources(tensor)[1], "the length of the transform").item())


def _float(code: Expression) -> Expression:
    # Keras takes what it computes of complex numbers for complex, until it runs.
    return call("ops.cast", code, "float32")


@translates("Complex")
def _complex(context: Context, tensor: Tensor) -> Expression:
    _check(context, tensor)
    return call("as_complex", Sequence(tuple(map(operand, context.sources(tensor))), is_tuple=True))


@translates(*_PARTS)
def _part(context: Context, tensor: Tensor) -> Expression:
    source = context.sources(tensor)[0]
    _check(context, source)
    return _float(call(f"ops.{_PARTS[context.op(tensor)]}", operand(source)))


def _check_axes(context: Context, source: Tensor, count: int) -> None:
    shape = context.graph.shape(source)
    if shape is None or None in shape[-count:]:
        raise Refused("Keras transforms no axis of unknown length (try --static)")


@translates(*_TRANSFORMS)
def _transform(context: Context, tensor: Tensor) -> Expression:
    _check(context, tensor)
    _check_axes(context, context.sources(tensor)[0], 2 if context.op(tensor).endswith("2D") else 1)
    return call(
        "as_complex", call(f"ops.{_TRANSFORMS[context.op(tensor)]}", _pair(operand(context.sources(tensor)[0])))
    )


@translates("IFFT")
def _back(context: Context, tensor: Tensor) -> Expression:
    _check(context, tensor)
    _check_axes(context, context.sources(tensor)[0], 1)
    # Keras has it over two axes alone.
    source = call("ops.expand_dims", operand(context.sources(tensor)[0]), -2)
    return call("ops.squeeze", call("as_complex", call("ops.ifft2", _pair(source))), -2)


@translates("RFFT")
def _of_real(context: Context, tensor: Tensor) -> Expression:
    _check(context, tensor)
    source = operand(context.sources(tensor)[0])
    return call("as_complex", call("ops.rfft", source, _length(context, tensor)))


@translates("IRFFT")
def _to_real(context: Context, tensor: Tensor) -> Expression:
    source = context.sources(tensor)[0]
    _check(context, source)
    return _float(call("ops.irfft", _pair(operand(source)), _length(context, tensor)))
