"""Function calls of a graph replaced by the functions' bodies.

TensorFlow differentiates a call that it traced itself, but not one that came from a file: the gradient of an imported
PartitionedCall is a C++ SymbolicGradient, which knows nothing of resource variables. Variables and tables that
functions make inside are out of a layer's reach as well.
"""

from collections.abc import Collection, Mapping

import tensorflow as tf
from tensorflow.core.framework import function_pb2

from export_v1.ir import graph, library, ops
from load_v2.errors import LoadError
from load_v2.program import subgraph

_RESOURCE = tf.resource.as_datatype_enum
Functions = Mapping[str, function_pb2.FunctionDef]


def calls(graph_def: subgraph.GraphDef) -> subgraph.GraphDef:
    """Returns the graph without PartitionedCall nodes and calls by a function's own name; If and While stay.

    Guaranteed: tensor names of the calls' outputs stay valid, and what waited for a call waits for all the call did.

    Raises:
        LoadError: functions call one another without end, too deep, or so often that the graph becomes too large.
    """
    library.check_size(graph_def, LoadError)
    functions = {function.signature.name: function for function in graph_def.library.function}
    while any(_called(node, functions) for node in graph_def.node):
        graph_def = _once(graph_def, functions)
    return graph_def


def _called(node: subgraph.NodeDef, functions: Functions) -> str | None:
    name = node.attr["f"].func.name if node.op in ops.CALLS else node.op
    return name if name in functions else None


def _once(graph_def: subgraph.GraphDef, functions: Functions) -> subgraph.GraphDef:
    flat = subgraph.GraphDef(versions=graph_def.versions, library=graph_def.library)
    resources: dict[str, str] = {}
    names = {node.name for node in graph_def.node}
    for node in graph_def.node:
        name = _called(node, functions)
        flat.node.extend([node] if name is None else _body(node, functions[name], functions, resources, names))
    # A handle is recognised by the node that makes it, so nothing may stand between it and its readers.
    for node in flat.node:
        for index, edge in enumerate(node.input):
            while not edge.startswith("^") and subgraph.tensor_name(edge) in resources:
                edge = resources[subgraph.tensor_name(edge)]
            node.input[index] = edge
    return flat


def _body(
    call: subgraph.NodeDef,
    function: function_pb2.FunctionDef,
    functions: Functions,
    resources: dict[str, str],
    node_names: set[str],
) -> list[subgraph.NodeDef]:
    """Returns the nodes that take the call's place; the last has its name and its outputs.

    Args:
        resources: gets an entry for each output that is a resource: tensor name of the call -> where it is made.
        taken: names of nodes, to which those of the body are added. A graph often has a node below the name of its
            call: cond_v2 calls the Identity of its result "cond/Identity", as the branch may, too.
    """
    given = [edge for edge in call.input if not edge.startswith("^")]
    before = [edge for edge in call.input if edge.startswith("^")]
    arguments = {argument.name: edge for argument, edge in zip(function.signature.input_arg, given, strict=True)}
    firsts = {node.name: first_outputs(node, functions) for node in function.node_def}
    names = {node.name: graph.fresh_name(f"{call.name}/{node.name}", node_names) for node in function.node_def}

    def outer(edge: str) -> str:
        pieces = edge.lstrip("^").split(":")
        if pieces[0] in arguments:
            tensor = arguments[pieces[0]]
            return "^" + subgraph.split(tensor)[0] if edge.startswith("^") else tensor
        name = names[pieces[0]]
        if edge.startswith("^"):
            return "^" + name
        index = firsts[pieces[0]][pieces[1]] + int(pieces[2]) if len(pieces) == 3 else 0
        return f"{name}:{index}" if index else name

    nodes = []
    for inner in function.node_def:
        node = subgraph.NodeDef()
        node.CopyFrom(inner)
        node.name = names[inner.name]
        del node.input[:]
        node.input.extend([outer(edge) for edge in inner.input] + before)
        for value in node.attr.values():
            if value.placeholder:
                value.CopyFrom(call.attr[value.placeholder])
        nodes.append(node)
        if node.op == "Identity" and node.attr["T"].type == _RESOURCE:
            # A model that was loaded and saved again returns its tables' handles through functions.
            resources[f"{node.name}:0"] = node.input[0]
    end = subgraph.NodeDef(name=call.name, op="IdentityN" if function.signature.output_arg else "NoOp")
    for index, result in enumerate(function.signature.output_arg):
        edge = outer(function.ret[result.name])
        end.input.append(edge)
        end.attr["T"].list.type.append(result.type or call.attr[result.type_attr].type)
        if result.type == _RESOURCE:
            resources[f"{call.name}:{index}"] = edge
    end.input.extend(f"^{names[name]}" for name in dict.fromkeys(function.control_ret.values()))
    return [*nodes, end]


def first_outputs(node: subgraph.NodeDef, functions: Functions) -> dict[str, int]:
    """Returns, for each named output of a node, the index of its first tensor among all of the node's tensors."""
    definition = functions[node.op].signature if node.op in functions else graph.op_def(node.op)
    if definition is None:
        raise LoadError(
            f"TensorFlow {tf.__version__} does not know op {node.op!r} of node {node.name!r}.\n"
            "  Load its library first: tf.load_op_library(FILE)."
        )
    firsts, total = {}, 0
    for argument in definition.output_arg:
        firsts[argument.name] = total
        if argument.number_attr:
            total += node.attr[argument.number_attr].i
        elif argument.type_list_attr:
            total += len(node.attr[argument.type_list_attr].list.type)
        else:
            total += 1
    return firsts


def assets(graph_def: subgraph.GraphDef, names: Collection[str]) -> subgraph.GraphDef:
    """Returns the graph with file names read where they stand, not out of the variables TensorFlow 2 puts them into.

    Args:
        graph_def: functions already inlined.
        names: tensor names of the file names of assets.
    """
    held = {}
    for node in graph_def.node:
        if node.op == "AssignVariableOp" and subgraph.tensor_name(node.input[1]) in names:
            held[subgraph.split(node.input[0])[0]] = node.input[1]
    reads = {
        node.name: held[subgraph.split(node.input[0])[0]]
        for node in graph_def.node
        if node.op == "ReadVariableOp" and subgraph.split(node.input[0])[0] in held
    }
    if not reads:
        return graph_def
    direct = subgraph.GraphDef()
    direct.CopyFrom(graph_def)
    for node in direct.node:
        for index, edge in enumerate(node.input):
            node.input[index] = reads.get(edge.removesuffix(":0"), edge)
    return direct
