"""Sums of two tensors as code that Keras adds on every backend as TensorFlow does.

On TensorFlow, Keras takes a second term with one axis of more than one element for a bias, and adds it to the last axis
of the first term if the sizes agree, or else to the second axis; wherever broadcasting would put it. Then a difference
says the same and is computed as it stands.
"""

from collections.abc import Iterable

from export_v1.ir.graph import Tensor
from load_v2.opening.context import Context, operand
from load_v2.opening.expressions import Binary, Call, Expression, call
from load_v2.opening.size_algebra import Size

_SIZES = frozenset({"Shape", "ShapeN", "Size", "Rank"})
# Ops between sizes and what they tell; a range has some.
_FEW = 30


def total(context: Context, tensors: Iterable[Tensor]) -> Expression:
    """Returns the sum of tensors, the first two in the other order where that alone makes it right."""
    first, *others = sorted(tensors, key=lambda tensor: is_array(context, tensor))
    code: Expression = operand(first)
    shape = context.sizes.shape(first)
    for tensor in others:
        added = context.sizes.shape(tensor)
        code = _sum(context, code, tensor, taken_for_bias(shape, added), taken_for_bias(added, shape))
        shape = added if shape is None or (added is not None and len(added) > len(shape)) else shape
    return code


def _sum(context: Context, code: Expression, tensor: Tensor, is_bias: bool, is_bias_first: bool) -> Expression:
    other = operand(tensor)
    if is_array(context, tensor):
        # Beside an array, NumPy's operator could be asked first.
        if is_bias:
            return call("ops.subtract", code, call("ops.negative", other))
        return call("ops.add", code, other)
    if not is_bias or context.inside_call:
        return Binary("+", code, other)
    if not is_bias_first and not isinstance(code, Binary | Call):
        return Binary("+", other, code)
    return Binary("-", code, call("ops.negative", other))


def taken_for_bias(first: tuple[Size, ...] | None, second: tuple[Size, ...] | None) -> bool:
    """Returns whether Keras on TensorFlow may add `second` to another axis of `first` than broadcasting does."""
    if first is None or second is None or len(first) < 2:
        return False
    for at, size in enumerate(second):
        others = {other for place, other in enumerate(second) if place != at and other != 1}
        if size == 1 or any(isinstance(other, int) for other in others) or size in others:
            continue
        # A vector, if all the unknown sizes beside it are one.
        sizes = [1 if size in others else size for size in first]
        if _may_be(sizes[-1], size):
            bias_axis = len(first) - 1
        elif _may_be(sizes[1], size):
            bias_axis = 1
        else:
            continue
        if len(second) > len(first) or bias_axis != len(first) - len(second) + at:
            return True
    return False


def _may_be(size: Size, other: Size) -> bool:
    """Returns whether two sizes may be the same, and more than one."""
    return size != 1 and (size == other or not (isinstance(size, int) and isinstance(other, int)))


def is_array(context: Context, tensor: Tensor) -> bool:
    """Returns whether the code may have an array in the place of a tensor: a constant, or what sizes alone tell."""
    if context.graph.rank(tensor) == 0:
        return False
    return context.values.kind(tensor) == "constant" or _is_of_sizes(context, tensor)


def _is_of_sizes(context: Context, tensor: Tensor) -> bool:
    """Returns whether sizes alone, and no data, tell a tensor whose own sizes are fixed, by a few ops."""
    shape = context.graph.shape(tensor)
    if shape is None or None in shape:
        return False
    todo, seen = [tensor], set[Tensor]()
    while todo and len(seen) < _FEW:
        source = todo.pop()
        if source in seen or context.op(source) in _SIZES:
            continue
        seen.add(source)
        sources = context.sources(source)
        if not sources and context.values.kind(source) == "data":
            return False
        todo += sources
    return not todo
