"""Which variables are trained together, and where what one training makes goes into what another one does.

A generator and its discriminator, or an actor and its critic, are two models: each has an optimizer of its own, over
variables of its own, and the answer of the one is data of the other.
"""

import re

from export_v1.interface.results import Results
from export_v1.interface.roles import Roles, is_number
from export_v1.ir import graph, ops
from export_v1.ir.graph import Index, NodeDef, Tensor

_SCOPE = re.compile(r"(?:^|.*/)gradients(?:_\d+)?/")
# How far above an optimizer's step its gradient may be: clipped, averaged, scaled.
_MOST_STEPS = 400
# Puts values together or in another form, without weights.
_FORMS = frozenset({"Concat", "ConcatV2", "Reshape", "Identity", "Cast", "ExpandDims", "Squeeze", "Pack", "Transpose"})


def groups(index: Index) -> list[set[str]]:
    """Returns the sets of variables that optimizers train together; two that share one are one."""
    by_scope: dict[str, set[str]] = {}
    for node in index.graph_def.node:
        if ops.is_optimizer_step(node.op):
            scope = _gradients(index, node)
            variable = _variable(index, node)
            if scope is not None and variable is not None:
                by_scope.setdefault(scope, set()).add(variable)
    merged: list[set[str]] = []
    for names in by_scope.values():
        sharing = [group for group in merged if group & names]
        merged = [group for group in merged if group not in sharing] + [names.union(*sharing)]
    return merged


def _variable(index: Index, step: NodeDef) -> str | None:
    node = index.nodes.get(graph.parse(step.input[0]).node)
    while node is not None and node.op not in ops.VARIABLES and node.input:
        node = index.nodes.get(graph.parse(node.input[0]).node)
    return node.name if node is not None and node.op in ops.VARIABLES else None


def _gradients(index: Index, step: NodeDef) -> str | None:
    """The scope of the tf.gradients call that a step's gradient is from."""
    seen: set[str] = set()
    todo = [tensor.node for tensor in graph.data_inputs(step)[1:]]
    while todo and len(seen) < _MOST_STEPS:
        name = todo.pop(0)
        if name in seen or name not in index or index[name].op in ops.VARIABLES:
            continue
        seen.add(name)
        match = _SCOPE.match(name)
        if match:
            return match[0]
        todo += [tensor.node for tensor in graph.data_inputs(index[name])]
    return None


def handed_over(roles: Roles) -> dict[Tensor, set[str]]:
    """Returns the results that go from one training's part into another's -> the names of the nodes that take them."""
    parts = groups(roles.index)
    if len(parts) < 2:
        return {}
    bits = {name: 1 << at for at, names in enumerate(parts) for name in names}
    reached = roles.spread(bits)
    results = Results(roles)
    makers: dict[Tensor, set[str]] = {}
    for node in roles.nodes:
        own = [tensor for tensor in roles.live.data(node) if not roles.has_sources(tensor.node)]
        weights = _any(reached, own)
        for tensor in roles.live.data(node):
            made_by = reached.get(tensor.node, 0)
            if not made_by or not roles.has_sources(tensor.node) or not weights & ~made_by:
                continue
            for result in _parts_of(roles, tensor):
                if reached.get(result.node, 0) and _is_number(roles, results, result):
                    makers.setdefault(result, set()).add(node.name)
    return makers


def _any(reached: dict[str, int], tensors: list[Tensor]) -> int:
    mask = 0
    for tensor in tensors:
        mask |= reached.get(tensor.node, 0)
    return mask


def _parts_of(roles: Roles, tensor: Tensor) -> list[Tensor]:
    """What a tensor is put together from, so far as nothing is computed."""
    parts, todo = [], [tensor]
    while todo:
        part = todo.pop()
        node = roles.index[part.node]
        if node.op in _FORMS and part not in roles.sources:
            todo += [above for above in roles.live.data(node) if roles.has_sources(above.node)]
        else:
            parts.append(part)
    return parts


def _is_number(roles: Roles, results: Results, tensor: Tensor) -> bool:
    return (
        tensor.node not in results.in_loops
        and not roles.is_scalar(tensor)
        and is_number(results.type_of(tensor))
        and not roles.meets_label(tensor.node)
    )
