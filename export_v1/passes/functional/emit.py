"""Regions written down: functions into the library, the outermost region as the graph."""

import hashlib
import re

from tensorflow.core.framework import function_pb2

from export_v1 import graph
from export_v1.graph import GraphDef, NodeDef
from export_v1.passes.functional import region as regions
from export_v1.passes.functional.region import Region


def graph_def(region: Region, original: GraphDef) -> GraphDef:
    """Returns a GraphDef of `region`, with the library and versions of `original` and a function for every body.

    A function's name ends in a hash of what it does: equal functions of two graphs have one name, different ones two,
    so that libraries can be joined.
    """
    result = GraphDef(versions=original.versions)
    result.library.CopyFrom(original.library)
    written: dict[str, function_pb2.FunctionDef] = {}
    for node in region.nodes.values():
        result.node.append(_with_functions(region, node, written))
    result.library.function.extend(written[name] for name in sorted(written))
    return result


def _with_functions(region: Region, node: NodeDef, written: dict) -> NodeDef:
    """Returns the node with the names of its functions, which are added to `written`."""
    parts = region.bodies.get(node.name)
    if not parts:
        return node
    result = NodeDef()
    result.CopyFrom(node)
    for attr, part in parts.items():
        result.attr[attr].func.name = _write(part, f"{node.name}_{attr}", written)
    return result


def _write(region: Region, hint: str, written: dict) -> str:
    function = function_pb2.FunctionDef()
    names = {arg: f"arg_{at}_{_plain(arg.rsplit('/', 1)[-1])}" for at, arg in enumerate(region.args)}
    for arg in region.args:
        function.signature.input_arg.add(name=names[arg], type=region.nodes[arg].attr["T"].type)
    for name, node in region.nodes.items():
        if node.op == "_Arg":
            continue
        copy = function.node_def.add()
        copy.CopyFrom(_with_functions(region, node, written))
        del copy.input[:]
        copy.input.extend(_edge(region, names, edge) for edge in node.input if graph.parse(edge).node not in names
                          or not edge.startswith("^"))
        if regions.stateful(node):
            function.signature.is_stateful = True
            function.signature.control_output.append(name)
            function.control_ret[name] = name
    for at, edge in enumerate(region.results):
        result = function.signature.output_arg.add(name=f"result_{at}", type=region.dtype(graph.parse(edge)))
        function.ret[result.name] = _edge(region, names, edge)
    digest = hashlib.sha1(function.SerializeToString(deterministic=True), usedforsecurity=False).hexdigest()
    function.signature.name = f"{_plain(hint)}_{digest[:10]}"
    written[function.signature.name] = function
    return function.signature.name


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "x"


def _edge(region: Region, names: dict[str, str], edge: str) -> str:
    """Returns an edge as a FunctionDef writes it: argument name, "^node", or "node:output:index"."""
    tensor = graph.parse(edge)
    if tensor.node in names:
        return names[tensor.node]
    if tensor.index < 0:
        return edge
    node = region.nodes[tensor.node]
    at = 0
    for arg in graph.op_def(node.op).output_arg:
        size = len(node.attr[arg.type_list_attr].list.type) if arg.type_list_attr else 1
        size = node.attr[arg.number_attr].i if arg.number_attr else size
        if tensor.index < at + size:
            return f"{tensor.node}:{arg.name}:{tensor.index - at}"
        at += size
    raise LookupError(f"{edge}: {node.op} has {at} outputs")
