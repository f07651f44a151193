"""Which nodes came from tf.gradients and the optimizer: they read the model, they are no part of it."""

import functools
import re

from export_v1.ir import ops
from export_v1.ir.graph import Index

# tf.gradients opens the scope "gradients" unless told otherwise; every gradient op of TensorFlow ends in Grad.
_SCOPE = re.compile(r"(^|/)gradients(_\d+)?/")
_GRADIENT_OP = re.compile(r"Grad(V\d+)?$|Grad(Input|Filter)|Backprop(Input|Filter)")
_SAVER = re.compile(r"(^|/)save(_\d+)?/")
# What tf.gradients gives to a functional loop so that it keeps intermediate values: the loop is still the model's.
_ACCUMULATORS = frozenset({"Const", "EmptyTensorList", "TensorListReserve"})


def nodes(index: Index) -> set[str]:
    """Returns the names of all nodes that the gradients, or what is done with them, consist of."""
    return index.descendants(name for name, op in index.kinds.items() if _is_gradient(name, op))


def is_saver(name: str) -> bool:
    """Returns whether a node of this name is part of a Saver."""
    return "save" in name and bool(_SAVER.search(name))


def _is_gradient(name: str, op: str) -> bool:
    return _is_gradient_op(op) or ("gradients" in name and op not in _ACCUMULATORS and bool(_SCOPE.search(name)))


@functools.cache
def _is_gradient_op(op: str) -> bool:
    # A transposed convolution is a forward op that TensorFlow calls by the gradient's name.
    return ops.is_optimizer_step(op) or (bool(_GRADIENT_OP.search(op)) and "Backprop" not in op)
