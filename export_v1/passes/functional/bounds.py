"""The most iterations a loop can make, where its own condition says so.

Under XLA a gradient keeps each iteration's values in lists of fixed size, so it has to know the number beforehand.
"""

from collections.abc import Mapping

import tensorflow as tf
from tensorflow.core.framework import types_pb2

from export_v1.ir import graph, ops
from export_v1.ir.graph import Tensor
from export_v1.passes.functional import region as regions
from export_v1.passes.functional.region import Captures, Region


def most_iterations(captures: Captures, cond: Region, body: Region, entering: Mapping[str, str]) -> str:
    """Returns the edge of an int32 scalar of the enclosing region that the number of iterations cannot exceed.

    A condition `i < n and …` with `i` from a constant by steps of one, and `n` the same throughout, gives n minus the
    constant; of several such, the one that depends on constants and shapes only. Else the scalar is -1: no limit.

    Args:
        captures: of the loop; its outer region receives nodes for the result.
        cond: the loop's condition, its one result still the condition.
        body: its body, with one result for each of `entering`.
        entering: argument name of each loop variable -> the edge that feeds it.
    """
    following = dict(zip(entering, body.results, strict=True))
    limits = []
    for less in _conjuncts(cond, cond.results[0]):
        start = _start(captures.outer, body, less.input[0], entering, following)
        if start is not None and less.attr["T"].type == types_pb2.DT_INT32:
            limit = _outer_limit(captures, cond, less.input[1], entering, following)
            if limit is not None:
                limits.append((_is_static(captures.outer, limit), limit, start))
    if not limits:
        return _number(captures, -1)
    _, limit, start = max(limits, key=lambda entry: entry[0])
    if start == 0:
        return limit
    name = graph.fresh_name(f"{captures.name}/most_iterations", captures.used_names)
    captures.outer.add(regions.make(name, "Sub", [limit, _number(captures, start)], T=types_pb2.DT_INT32))
    return name


def _number(captures: Captures, value: int) -> str:
    name = graph.fresh_name(f"{captures.name}/{'no_limit' if value < 0 else 'number'}", captures.used_names)
    return captures.outer.add(regions.constant(name, value, types_pb2.DT_INT32)).name


def _conjuncts(cond: Region, edge: str) -> list:
    """Returns the Less nodes of which every one has to hold for the condition to hold."""
    node = cond.nodes[graph.parse(edge).node]
    if node.op == "Less":
        return [node]
    if node.op in ("LogicalAnd", "Identity"):
        return [less for source in node.input if not source.startswith("^") for less in _conjuncts(cond, source)]
    return []


def _scalar(region: Region, edge: str) -> int | None:
    node = region.nodes.get(graph.parse(edge).node)
    if node is None or node.op != "Const":
        return None
    value = tf.make_ndarray(node.attr["value"].tensor)
    return int(value) if value.shape == () and value.dtype.kind == "i" else None


def _start(outer: Region, body: Region, edge: str, entering, following) -> int | None:
    """Returns where a counter starts, if `edge` is a loop variable that counts from a constant by ones."""
    if edge not in entering:
        return None
    step = body.nodes[graph.parse(following[edge]).node]
    if step.op not in ops.ADDS or edge not in step.input:
        return None
    other = step.input[1] if step.input[0] == edge else step.input[0]
    return _scalar(outer, entering[edge]) if _scalar(body, other) == 1 else None


def _outer_limit(captures: Captures, cond: Region, edge: str, entering, following) -> str | None:
    """Returns the outer edge of a limit that no iteration changes."""
    number = _scalar(cond, edge)
    if number is not None:
        return _number(captures, number)
    if edge in entering:
        return entering[edge] if following[edge] == edge else None
    sources = {arg: source for source, arg in captures.args.items()}
    return graph.parse(sources[edge]).edge if edge in sources else None


def _is_static(outer: Region, edge: str) -> bool:
    """Returns whether shapes and constants alone decide a tensor."""
    seen, todo = set(), [edge]
    while todo:
        tensor: Tensor = graph.parse(todo.pop())
        if tensor.node in seen:
            continue
        seen.add(tensor.node)
        node = outer.nodes[tensor.node]
        if node.op in ops.SIZES:
            continue
        if node.op in ops.PLACEHOLDERS or (node.op != "Const" and not graph.data_inputs(node)):
            return False
        todo.extend(source.edge for source in graph.data_inputs(node))
    return True
