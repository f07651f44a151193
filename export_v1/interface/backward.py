"""Which nodes came from tf.gradients and the optimizer: they read the model, they are no part of it."""

import re

from export_v1.ir import ops
from export_v1.ir.graph import Index, NodeDef

# tf.gradients opens the scope "gradients" unless told otherwise; every gradient op of TensorFlow ends in Grad.
_SCOPE = re.compile(r"(^|/)gradients(_\d+)?/")
_GRADIENT_OP = re.compile(r"Grad(V\d+)?$|Grad(Input|Filter)|Backprop(Input|Filter)")
_SAVER = re.compile(r"(^|/)save(_\d+)?/")
# What tf.gradients gives to a functional loop so that it keeps intermediate values: the loop is still the model's.
_ACCUMULATORS = frozenset({"Const", "EmptyTensorList", "TensorListReserve"})


def nodes(index: Index) -> set[str]:
    """Returns the names of all nodes that the gradients, or what is done with them, consist of."""
    return index.descendants(node.name for node in index.graph_def.node if _is_gradient(node))


def is_saver(node: NodeDef) -> bool:
    """Returns whether a node is part of a Saver."""
    return bool(_SAVER.search(node.name))


def _is_gradient(node: NodeDef) -> bool:
    if ops.is_optimizer_step(node.op):
        return True
    if _SCOPE.search(node.name):
        return node.op not in _ACCUMULATORS
    # A transposed convolution is a forward op that TensorFlow calls by the gradient's name.
    return bool(_GRADIENT_OP.search(node.op)) and "Backprop" not in node.op
