"""Where tf.gradients stands in a graph: the scopes it wrote, and what each was asked to differentiate.

tf.gradients opens a scope ("gradients", "gradients_1", or the name it was given) and begins there with a Fill of ones
for each tensor to differentiate. What it adds for an operation OP is in SCOPE/OP_grad/. These names are TensorFlow's
own, whatever the author called the model's parts.
"""

import dataclasses
import functools
import re

from export_v1.ir import ops
from export_v1.ir.graph import Index, Tensor, data_inputs

# Fill(Shape, grad_ys_0); before 1.13, Fill(Shape, Const); in TensorFlow 2, grad_ys_0(Shape, grad_ys_0/Const).
_FILL = re.compile(r"(Fill|grad_ys)(_\d+)?")
_SHAPE = re.compile(r"Shape(_\d+)?")
_ONES = re.compile(r"(grad_ys|Const)(_\d+)?(/Const)?")
# Pass a gradient on to their inputs as it is.
_SUMS = ops.ADDS | ops.IDENTITIES | {"AddN"}


@dataclasses.dataclass(frozen=True)
class Backprop:
    """One call of tf.gradients.

    Attributes:
        scope: its name scope, with the slash at its end.
        starts: names of the Fill nodes that it begins with.
        differentiated: the tensors it differentiates, as far as the names tell.
    """

    scope: str
    starts: tuple[str, ...]
    differentiated: tuple[str, ...]


def calls(index: Index) -> list[Backprop]:
    """Returns the calls of tf.gradients in a graph, in graph order."""
    starts: dict[str, list[str]] = {}
    for node in index.graph_def.node:
        scope, _, leaf = node.name.rpartition("/")
        if node.op == "Fill" and scope and _FILL.fullmatch(leaf) and _is_start(index, node, scope + "/"):
            starts.setdefault(scope + "/", []).append(node.name)
    backprops = [Backprop(scope, tuple(names), _differentiated(index, scope, names)) for scope, names in starts.items()]
    # People fill tensors with ones, too.
    return [call for call in backprops if call.differentiated]


def _is_start(index: Index, node, scope: str) -> bool:
    inputs = data_inputs(node)
    if len(inputs) != 2 or not all(tensor.node.startswith(scope) for tensor in inputs):
        return False
    shape, ones = (tensor.node[len(scope) :] for tensor in inputs)
    return bool(_SHAPE.fullmatch(shape) and _ONES.fullmatch(ones))


def _differentiated(index: Index, scope: str, starts: list[str]) -> tuple[str, ...]:
    differentiated: dict[str, None] = {}
    for start in starts:
        terms = [operation_of(index, scope, consumer.name) for consumer, _ in index.consumers(start)]
        operations = list(dict.fromkeys(name for name in terms if name is not None))
        total = _sum_of(index, operations) if len(operations) > 1 else None
        differentiated |= dict.fromkeys(Tensor(name).name for name in ([total] if total else operations))
    return tuple(differentiated)


def _sum_of(index: Index, terms: list[str]) -> str | None:
    """Returns the first operation that sums up all of some operations, or None.

    The gradient of a sum of equal shapes is that of each of its terms: TensorFlow adds no node for the sum itself.
    """
    todo, seen = [terms[0]], set()
    while todo:
        name = todo.pop(0)
        if set(terms) <= _terms(index, name):
            return name
        for consumer, at in index.consumers(name):
            if consumer.op in _SUMS and not consumer.input[at].startswith("^") and consumer.name not in seen:
                seen.add(consumer.name)
                todo.append(consumer.name)
    return None


def _terms(index: Index, name: str) -> set[str]:
    """Returns an operation, and what it sums up, and what that does."""
    seen, todo = set(), [name]
    while todo:
        name = todo.pop()
        if name not in seen and name in index:
            seen.add(name)
            if index[name].op in _SUMS:
                todo += [tensor.node for tensor in data_inputs(index[name])]
    return seen


def operation_of(index: Index, scope: str, name: str) -> str | None:
    """Returns the operation of the forward pass whose gradient a node in a scope helps to compute, or None.

    >>> # of "gradients/net/MatMul_grad/tuple/control_dependency", in a graph with a node "net/MatMul": "net/MatMul"
    """
    if not name.startswith(scope):
        return None
    parts = name[len(scope) :].split("/")
    # A graph that was imported under a scope has that in front of every name.
    outer = scope.rstrip("/").rpartition("/")[0]
    for end in range(len(parts), 0, -1):
        operation = "/".join(parts[:end]).removesuffix("_grad")
        for candidate in (operation, f"{outer}/{operation}"):
            if parts[end - 1].endswith("_grad") and candidate in index:
                return candidate
    return None


class Scopes:
    """Which scope of tf.gradients a node is in, asked again and again."""

    def __init__(self, calls: list[Backprop]):
        self._by_scope = {call.scope: call for call in calls}

    @functools.lru_cache(maxsize=None)  # noqa: B019 - lives as long as one look at one graph
    def of(self, node: str) -> Backprop | None:
        """Returns the innermost call whose scope holds a node, or None."""
        end = node.rfind("/")
        while end >= 0:
            call = self._by_scope.get(node[: end + 1])
            if call is not None:
                return call
            end = node.rfind("/", 0, end)
        return None
