"""Regions written down: functions into the library, the outermost region as the graph."""

import hashlib
import re

from tensorflow.core.framework import function_pb2

from export_v1.ir import graph
from export_v1.ir.graph import GraphDef, NodeDef
from export_v1.passes.functional import region as regions
from export_v1.passes.functional.region import Region
from export_v1.passes.functional.shapes import Shapes


def graph_def(region: Region, original: GraphDef, shapes: Shapes) -> GraphDef:
    """Returns a GraphDef of `region`, with the library and versions of `original` and a function for every body.

    Functions say what shapes their arguments have, from `shapes`: a reload takes them from there, not from the node
    that calls them, and gradients through a loop compile for XLA only where the shapes in it are known.

    A function's name ends in a hash of what it does: different functions of two graphs have different names, so that
    libraries can be joined. Two nodes never share a function, however equal: a gradient rewrites the functions of the
    loop it passes and registers them under derived names, which would then stand for two different things.
    """
    result = GraphDef(versions=original.versions)
    result.library.CopyFrom(original.library)
    writer = _Writer(shapes)
    for node in region.nodes.values():
        result.node.append(writer.with_functions(region, node))
    result.library.function.extend(writer.functions[name] for name in sorted(writer.functions))
    return result


def plain(region: Region) -> GraphDef:
    """Returns the nodes of a region as a GraphDef, to look things up in."""
    result = GraphDef()
    result.node.extend(region.nodes.values())
    return result


class _Writer:
    """Writes functions."""

    def __init__(self, shapes: Shapes):
        self.shapes = shapes
        self.functions: dict[str, function_pb2.FunctionDef] = {}

    def with_functions(self, region: Region, node: NodeDef) -> NodeDef:
        """Returns the node with the names of its functions, which are added to `functions`."""
        parts = region.bodies.get(node.name)
        if not parts:
            return node
        result = NodeDef()
        result.CopyFrom(node)
        for attr, part in parts.items():
            result.attr[attr].func.name = self._write(part, f"{node.name}_{attr}")
        return result

    def _write(self, region: Region, hint: str) -> str:
        function = function_pb2.FunctionDef()
        names = {arg: f"arg_{at}_{_plain(arg.rsplit('/', 1)[-1])}" for at, arg in enumerate(region.args)}
        self._write_args(region, names, function)
        for name, node in region.nodes.items():
            if node.op == "_Arg":
                continue
            copy = function.node_def.add()
            copy.CopyFrom(self.with_functions(region, node))
            del copy.input[:]
            copy.input.extend(_edge(region, names, edge) for edge in node.input)
            if regions.stateful(node):
                function.signature.is_stateful = True
                function.signature.control_output.append(name)
                function.control_ret[name] = name
        for at, edge in enumerate(region.results):
            result = function.signature.output_arg.add(name=f"result_{at}", type=region.dtype(graph.parse(edge)))
            function.ret[result.name] = _edge(region, names, edge)
        content = hint.encode() + function.SerializeToString(deterministic=True)
        digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        function.signature.name = f"{_plain(hint)}_{digest[:10]}"
        self.functions[function.signature.name] = function
        return function.signature.name

    def _write_args(self, region: Region, names: dict[str, str], function: function_pb2.FunctionDef) -> None:
        for at, arg in enumerate(region.args):
            function.signature.input_arg.add(name=names[arg], type=region.nodes[arg].attr["T"].type)
            shape = self.shapes[f"{arg}:0"]
            if shape.rank is not None:
                function.arg_attr[at].attr["_output_shapes"].list.shape.append(shape.as_proto())


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
