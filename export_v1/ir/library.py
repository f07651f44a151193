"""functions: whether a graph's functions hold together; TensorFlow follows their calls without counting."""

import collections
from collections.abc import Iterator

from export_v1.ir import graph, ops, ordering


def problems(library) -> list[str]:
    """Returns what is wrong with a FunctionDefLibrary, one sentence each; empty where nothing is.

    A function that calls itself, straight or by way of others, is wrong: no TensorFlow 1 program writes one, and
    TensorFlow's own passes do not come back from it.
    """
    names = collections.Counter(function.signature.name for function in library.function)
    twice = sorted(name for name, count in names.items() if count > 1 or not name)
    found = [f"two functions have the name {name!r}" for name in twice]
    for function in library.function:
        found += [f"function {function.signature.name!r} {what}" for what in _body(function)]
    gradients = {one.function_name: one.gradient_func for one in library.gradient}
    calls = {}
    for function in library.function:
        called = {name for node in function.node_def for name in called_by(node)}
        called |= {gradients[name] for name in (*called, function.signature.name) if name in gradients}
        calls[function.signature.name] = [name for name in called if name in names]
    around = ordering.unordered(calls)
    return found + [f"function {name!r} calls itself" for name in around if not twice][:3]


def called_by(node) -> set[str]:
    """Returns the names of the functions that a node may call."""
    names = {node.op}
    for value in node.attr.values():
        names |= {value.func.name} if value.HasField("func") else set()
        names |= {function.name for function in value.list.func}
    return names


def _body(function) -> Iterator[str]:
    nodes = {node.name: node for node in function.node_def}
    arguments = {arg.name for arg in function.signature.input_arg}
    if len(nodes) != len(function.node_def):
        yield "has two nodes of one name"
    for node in function.node_def:
        for edge in node.input:
            if not _is_there(edge, nodes, arguments):
                yield f"has a node {node.name!r} that reads {edge!r}, and there is no such thing in it"
    for arg in function.signature.output_arg:
        if not _is_there(function.ret.get(arg.name, ""), nodes, arguments):
            yield f"returns {arg.name!r}, which nothing in it makes"
    loops = {name for name, node in nodes.items() if node.op in ops.WAYS_BACK}
    edges = {
        name: [
            one for one in (edge.lstrip("^").split(":")[0] for edge in node.input) if one in nodes and one not in loops
        ]
        for name, node in nodes.items()
    }
    if ordering.unordered(edges):
        yield "has nodes that depend on themselves"


def _is_there(edge: str, nodes, arguments: set[str]) -> bool:
    name, _, output = edge.lstrip("^").partition(":")
    if name in arguments:
        return True
    definition = graph.op_def(nodes[name].op) if name in nodes else None
    if definition is None or not output:
        return name in nodes
    return output.split(":")[0] in {arg.name for arg in definition.output_arg}
