"""Which variables a graph itself writes."""

from collections.abc import Iterable, Mapping

from tensorflow.core.framework import function_pb2

from export_v1.ir import library, ops

_HANDS_ON = ops.V1_CONTROL_FLOW | {"Identity"}


def written_by(graph_def) -> set[str]:
    """Returns names of the VarHandleOp nodes that some node of the graph writes.

    A handle that goes into a function or a loop counts when that function's body writes any variable, or calls one that
    does. Control flow of TensorFlow 1 hands it on.
    """
    nodes = {node.name: node for node in graph_def.node}
    handles = {node.name for node in graph_def.node if node.op == "VarHandleOp"}
    functions = graph_def.library.function
    writing = {
        function.signature.name
        for function in functions
        if any(ops.writes_variable(node.op) for node in function.node_def)
    }
    calls = {f.signature.name: {name for node in f.node_def for name in library.called_by(node)} for f in functions}
    while more := {name for name, called in calls.items() if name not in writing and called & writing}:
        writing |= more
    written: set[str] = set()
    for node in graph_def.node:
        called = {value.func.name for value in node.attr.values() if value.HasField("func")}
        if ops.writes_variable(node.op) or called & writing or node.op in writing:
            written |= _origins(node.input if called else node.input[:1], nodes) & handles
    return written


def _origins(edges: Iterable[str], nodes: Mapping) -> set[str]:
    """The names of what some tensors come from, and of all that hands them on."""
    seen: set[str] = set()
    todo = [edge.partition(":")[0] for edge in edges]
    while todo:
        name = todo.pop()
        if name not in seen and name in nodes and nodes[name].op in _HANDS_ON:
            todo += [edge.partition(":")[0] for edge in nodes[name].input]
        seen.add(name)
    return seen


def arguments_written_by(node, functions: Mapping[str, function_pb2.FunctionDef]) -> set[int]:
    """Returns which data inputs of a node are variables that the functions it calls change."""
    given = sum(not edge.startswith("^") for edge in node.input)
    written: set[int] = set()
    for name in library.called_by(node):
        if name in functions:
            # Conditions have an input before the arguments of their branches.
            offset = given - len(functions[name].signature.input_arg)
            written.update(offset + index for index in _written_arguments(functions[name], functions))
    return written


def _written_arguments(function: function_pb2.FunctionDef, functions: Mapping) -> set[int]:
    places = {argument.name: index for index, argument in enumerate(function.signature.input_arg)}
    edges: list[str] = []
    for node in function.node_def:
        if ops.writes_variable(node.op):
            edges += node.input[:1]
        edges += [node.input[index] for index in arguments_written_by(node, functions)]
    origins = _origins(edges, {node.name: node for node in function.node_def})
    return {index for name, index in places.items() if name in origins}
