"""replace: ops that TensorFlow 2 cannot run, or cannot differentiate, become ops that it can.

`replacements` has the table, op by op, and says how to add one.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator

import numpy as np
import tensorflow as tf

from export_v1 import errors
from export_v1.analysis import kernels
from export_v1.ir import fragment, graph, rewrite
from export_v1.ir.fragment import Fragment
from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor, control_inputs, data_inputs
from export_v1.ir.ops import ENTERS, SWITCHES
from export_v1.passes.replacements import TABLE, Site
from export_v1.passes.result import Notes, Replaced, Result


def ops(
    graph_def: GraphDef,
    *,
    written: GraphDef,
    stored: Callable[[str], np.ndarray | None],
    kept: Collection[str] = (),
    unrunnable_only: bool = False,
) -> Result:
    """Returns the graph with standard ops in place of each op of the table; notes which.

    A node's name stays: it is its first output still, and what others wait for. Its other outputs have new names.

    Args:
        graph_def: not modified; with the shapes that TensorFlow 1 recorded, where it did.
        written: the whole graph as it was written.
        stored: returns the value that the checkpoint has under a key, or None.
        kept: ops to leave alone.
        unrunnable_only: leave alone what this TensorFlow, on this machine, has a kernel for.

    Raises:
        ExportError: an op cannot be replaced where it is; which, and why.
    """
    candidates = [node for node in _nodes(graph_def) if node.op in TABLE and node.op not in kept]
    if unrunnable_only:
        candidates = kernels.unrunnable(candidates)
    if not candidates:
        return Result(graph_def)
    replacing = _Replacing(graph_def, written, stored, {id(node) for node in candidates})
    made = replacing.graph()
    counts = Counter(node.op for node in candidates)
    notes = tuple(Replaced(op, count, TABLE[op].by, unrunnable_only) for op, count in sorted(counts.items()))
    return Result(made, {old.name: new.name for old, new in replacing.moved.items()}, Notes(replaced=notes))


def _nodes(graph_def: GraphDef) -> Iterator[NodeDef]:
    yield from graph_def.node
    for function in graph_def.library.function:
        yield from function.node_def


class _Replacing:
    def __init__(self, graph_def: GraphDef, written: GraphDef, stored: Callable, replaced: set[int]):
        self._graph_def = graph_def
        self._index = Index(graph_def)
        self._written = Index(written)
        self._stored = stored
        self._replaced = replaced
        self._functions: list = []
        # Outputs that have another name now.
        self.moved: dict[Tensor, Tensor] = {}

    def graph(self) -> GraphDef:
        nodes: list[NodeDef] = []
        for node in self._graph_def.node:
            if id(node) in self._replaced:
                nodes += self._inlined(node)
            else:
                nodes.append(node)
        made = rewrite.with_nodes(self._graph_def, (rewrite.rewired(node, self.moved) for node in nodes))
        del made.library.function[:]
        made.library.function.extend(self._with_calls(function) for function in self._graph_def.library.function)
        made.library.function.extend(self._functions)
        return made

    def _inlined(self, node: NodeDef) -> list[NodeDef]:
        inputs, waits = data_inputs(node), control_inputs(node)
        piece = self._fragment(node, [graph.recorded_shape_of(self._index, tensor) for tensor in inputs])
        handles = [tensor for tensor in inputs if self._index.data_type(tensor) == tf.resource.as_datatype_enum]
        pivot = next((tensor for tensor in inputs if tensor not in handles), None)
        made = fragment.inlined(
            piece,
            self._scope(node.name),
            inputs,
            [pivot.node] if pivot is not None and self._is_conditional(pivot.node) else waits,
            node.name,
        )
        self._functions += made.functions
        self.moved |= {Tensor(node.name, at): tensor for at, tensor in enumerate(made.outputs) if at}
        first = rewrite.node(node.name, "Identity", made.outputs[:1], T=tf.as_dtype(graph.output_types(node)[0]))
        first.input.extend(f"^{name}" for name in waits)
        return [*made.nodes, first]

    def _with_calls(self, function):
        """Returns a function of the library that calls the replacement of each op in it."""
        if not any(id(node) in self._replaced for node in function.node_def):
            return function
        made = type(function)()
        made.CopyFrom(function)
        # Where the results of an op with named outputs are in the list of a call's results.
        moved: dict[str, str] = {}
        for original, node in zip(function.node_def, made.node_def, strict=True):
            if id(original) not in self._replaced:
                continue
            name, functions = fragment.as_function(self._fragment(original), f"{function.signature.name}/{node.name}")
            self._functions += functions
            moved |= _call_outputs(original)
            types = graph.input_types(original), graph.output_types(original)
            node.op = "PartitionedCall"
            node.attr.clear()
            node.attr["f"].func.name = name
            node.attr["Tin"].list.type.extend(types[0])
            node.attr["Tout"].list.type.extend(types[1])
        for node in made.node_def:
            edges = [moved.get(edge, edge) for edge in node.input]
            del node.input[:]
            node.input.extend(edges)
        for key, edge in function.ret.items():
            made.ret[key] = moved.get(edge, edge)
        return made

    def _fragment(self, node: NodeDef, shapes=None) -> Fragment:
        """Returns what stands in for a node."""
        site = Site(node, self._index, self._written, self._stored)
        types = [tf.as_dtype(data_type).base_dtype for data_type in graph.input_types(node)]
        shapes = [None] * len(types) if shapes is None else shapes
        grouped = graph.grouped_inputs(node)

        def build(*tensors):
            given = iter(tensors)
            arguments = [next(given) if count is None else [next(given) for _ in range(count)] for count in grouped]
            results = TABLE[node.op].build(site, *arguments)
            results = [results] if tf.is_tensor(results) else list(results)
            wanted = [tf.as_dtype(data_type) for data_type in graph.output_types(node)]
            # What nobody can use is empty.
            results = [
                tf.constant([], dtype) if result is None else result
                for result, dtype in zip(results, wanted, strict=True)
            ]
            assert [result.dtype for result in results] == wanted, f"{node.op} answers in other types"
            # A result that is an input, or another result, needs a name of its own.
            return [tf.identity(result) for result in results]

        specs = [tf.TensorSpec(shape, data_type) for shape, data_type in zip(shapes, types, strict=True)]
        try:
            return fragment.traced(build, specs)
        except errors.ExportError:
            raise
        except (ValueError, TypeError, tf.errors.OpError) as error:
            raise errors.ExportError(
                f"Node {node.name!r} ({node.op}) cannot be replaced: {errors.reason(error)}\n"
                f"  Cut the graph after it with --input=KEY=TENSOR, or leave it as it is with --keep_ops={node.op}."
            ) from error

    def _scope(self, name: str) -> str:
        """Returns a prefix for the names of what stands in for a node."""
        scope, count = f"{name}/", 0
        while any(other.startswith(scope) for other in self._index.nodes):
            count += 1
            scope = f"{name}/replaced_{count}/"
        return scope

    def _is_conditional(self, name: str) -> bool:
        """Returns whether a node may be in a loop or a branch of TensorFlow 1."""
        entries = ENTERS | SWITCHES
        return any(self._index[other].op in entries for other in self._index.ancestors([name]))


def _call_outputs(node: NodeDef) -> dict[str, str]:
    """Returns how each output of a node in a function is written, and how it is once the node is a call."""
    edges, at = {}, 0
    for name, count in graph.named_outputs(node):
        for position in range(count):
            edges[f"{node.name}:{name}:{position}"] = f"{node.name}:output:{at}"
            at += 1
    return edges
