"""replace: ops that TensorFlow 2 cannot run, or cannot differentiate, become ops that it can.

`replacements` has the table, op by op, and says how to add one.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from export_v1 import errors
from export_v1.analysis import kernels
from export_v1.format.record import Replaced
from export_v1.ir import fragment, graph, rewrite
from export_v1.ir.fragment import Fragment
from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor, control_inputs, data_inputs
from export_v1.ir.ops import ENTERS, SWITCHES
from export_v1.passes import static_shapes
from export_v1.passes.replacements import TABLE, Site
from export_v1.passes.result import Notes, Result


def ops(
    graph_def: GraphDef,
    *,
    written: GraphDef,
    stored: Callable[[str], np.ndarray | None],
    kept: Collection[str] = (),
    training: bool = False,
    unrunnable_only: bool = False,
) -> Result:
    """Returns the graph with standard ops in place of each op of the table; notes which, and which are kept.

    A node's name stays: it is its first output still, and what others wait for. Its other outputs have new names.

    Args:
        graph_def: not modified; with the shapes that TensorFlow 1 recorded, where it did.
        written: the whole graph as it was written.
        stored: returns the value that the checkpoint has under a key, or None.
        kept: ops to leave alone.
        training: whether the graph is for training: what an op does in training alone it does not do otherwise.
        unrunnable_only: leave alone what this TensorFlow, on this machine, has a kernel for that answers as
            TensorFlow 1's.

    Raises:
        ExportError: an op cannot be replaced where it is; which, and why.
    """
    nodes = (node for node in graph.all_nodes(graph_def) if node.op in TABLE and node.op not in kept)
    candidates = [node for node in nodes if TABLE[node.op].where(node)]
    if unrunnable_only:
        wrong = [node for node in candidates if TABLE[node.op].is_wrong]
        candidates = [*wrong, *kernels.unrunnable(node for node in candidates if not TABLE[node.op].is_wrong)]
    # What is kept is noted once, with nothing in its place.
    left = (
        ()
        if unrunnable_only
        else (node.op for node in graph.all_nodes(graph_def) if node.op in TABLE and node.op in kept)
    )
    notes = [Replaced(op, count, "", False) for op, count in sorted(Counter(left).items())]
    if not candidates:
        return Result(graph_def, notes=Notes(replaced=tuple(notes)))
    chosen = {id(node) for node in candidates}
    counts = Counter(node.op for node in candidates)
    replacing = _Replacing(Index(written), stored, training)
    in_graph = [node.name for node in graph_def.node if id(node) in chosen]
    made = replacing.in_functions(graph_def, chosen)
    made = replacing.in_graph(made, in_graph)
    notes += [Replaced(op, count, TABLE[op].by, unrunnable_only) for op, count in sorted(counts.items())]
    return Result(made, {old.name: new.name for old, new in replacing.moved.items()}, Notes(replaced=tuple(notes)))


def _has_shapes(index: Index, name: str) -> bool:
    return all(graph.recorded_shape_of(index, tensor) is not None for tensor in data_inputs(index[name]))


class _Replacing:
    """Replaces nodes, some of a graph at a time."""

    def __init__(self, written: Index, stored: Callable, training: bool):
        self._written = written
        self._training = training
        self._stored = stored
        self._index = Index(GraphDef())
        # Outputs that have another name now.
        self.moved: dict[Tensor, Tensor] = {}

    def in_functions(self, graph_def: GraphDef, chosen: Collection[int]) -> GraphDef:
        """Returns the graph whose functions call what stands in for some of their nodes, told by their identities."""
        if not any(id(node) in chosen for function in graph_def.library.function for node in function.node_def):
            return graph_def
        self._index = Index(graph_def)
        made = rewrite.with_nodes(graph_def, graph_def.node)
        del made.library.function[:]
        for function in graph_def.library.function:
            made.library.function.extend(self._with_calls(function, chosen))
        return made

    def in_graph(self, graph_def: GraphDef, names: Collection[str]) -> GraphDef:
        """Returns the graph with other nodes in the place of some of its own."""
        if not names:
            return graph_def
        self._index = Index(graph_def)
        inferred: dict[str, tf.TensorShape] = {}
        if any(TABLE[self._index[name].op].needs_shapes and not _has_shapes(self._index, name) for name in names):
            inferred = static_shapes.inferred(graph_def)
        nodes = [node for node in graph_def.node if node.name not in names]
        functions: list = []
        for group in _together([self._index[name] for name in names]):
            inlined = self._inlined(group, inferred)
            nodes += inlined.nodes
            functions += inlined.functions
        made = rewrite.with_nodes(graph_def, (rewrite.rewired(node, self.moved) for node in nodes))
        made.library.function.extend(functions)
        return made

    def _inlined(self, group: Sequence[NodeDef], inferred: Mapping[str, tf.TensorShape]) -> fragment.Inlined:
        """Returns the nodes that stand in for one or, where one piece does for several, for them; with their names."""
        node = group[0]
        # Of several, only the first input differs.
        inputs = [*(data_inputs(other)[0] for other in group[1:]), *data_inputs(node)]
        waits = control_inputs(node)
        piece = self._fragment(group, inferred)
        handles = [tensor for tensor in inputs if self._index.data_type(tensor) == tf.resource.as_datatype_enum]
        pivot = next((tensor for tensor in inputs if tensor not in handles), None)
        scope, nodes = self._scope(node.name), []
        if pivot is not None and self._is_conditional(pivot.node):
            if self._index[pivot.node].op in SWITCHES:
                # A control edge from a Switch is on neither of its sides.
                side = rewrite.node(f"{scope}side", "Identity", [pivot], T=tf.as_dtype(self._index.data_type(pivot)))
                nodes, pivot = [side], Tensor(side.name)
            waits_of_constants = [pivot.node]
        else:
            waits_of_constants = waits
        made = fragment.inlined(piece, scope, inputs, waits_of_constants, node.name)
        count = len(made.outputs) // len(group)
        firsts = [
            self._first(other, made.outputs[at * count : (at + 1) * count], waits) for at, other in enumerate(group)
        ]
        return dataclasses.replace(made, nodes=[*nodes, *made.nodes, *firsts])

    def _shape(self, tensor: Tensor, inferred: Mapping[str, tf.TensorShape]) -> tf.TensorShape:
        recorded = graph.recorded_shape_of(self._index, tensor)
        return tf.TensorShape(inferred.get(tensor.name) if recorded is None else recorded)

    def _first(self, node: NodeDef, outputs: Sequence[Tensor], waits: Iterable[str]) -> NodeDef:
        """Returns the node that has another's name and first output, and notes where its other outputs are."""
        self.moved |= {Tensor(node.name, at): tensor for at, tensor in enumerate(outputs) if at}
        if outputs:
            first = rewrite.node(node.name, "Identity", outputs[:1], T=tf.as_dtype(graph.output_types(node)[0]))
        else:
            first = rewrite.node(node.name, "NoOp", [])
        first.input.extend(f"^{name}" for name in waits)
        return first

    def _with_calls(self, function, chosen: Collection[int]) -> list:
        """Returns a function of the library that calls the replacement of nodes in it, and what it calls."""
        if not any(id(node) in chosen for node in function.node_def):
            return [function]
        called: list = []
        made = type(function)()
        made.CopyFrom(function)
        # Where the results of an op with named outputs are in the list of a call's results.
        moved: dict[str, str] = {}
        for original, node in zip(function.node_def, made.node_def, strict=True):
            if id(original) not in chosen:
                continue
            name, functions = fragment.as_function(self._fragment([original]), f"{function.signature.name}/{node.name}")
            called += functions
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
        return [made, *called]

    def _fragment(self, group: Sequence[NodeDef], inferred: Mapping[str, tf.TensorShape] | None = None) -> Fragment:
        """Returns what stands in for a node, or for several that differ in their first inputs alone.

        Args:
            group: the nodes.
            inferred: shapes of tensors for which TensorFlow 1 recorded none; None: the nodes are in a function.
        """
        node, replacement = group[0], TABLE[group[0].op]
        types = [tf.as_dtype(data_type).base_dtype for data_type in graph.input_types(node)]
        shapes = [tf.TensorShape(None) for _ in types]
        if inferred is not None:
            shapes = [self._shape(tensor, inferred) for tensor in data_inputs(node)]
        sites = [Site(other, self._index, self._written, self._stored, shapes, self._training) for other in group]
        types = [*types[:1] * (len(group) - 1), *types]
        shapes = [*shapes[:1] * (len(group) - 1), *shapes]
        grouped = graph.grouped_inputs(node)

        def build(*tensors):
            given = iter(tensors[len(group) - 1 :])
            arguments = [next(given) if count is None else [next(given) for _ in range(count)] for count in grouped]
            if replacement.joins:
                return [result for results in replacement.build(sites, *arguments) for result in named(results)]
            return named(replacement.build(sites[0], *arguments))

        def named(results):
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

        # Not the sizes: one may be a training batch's, and the graph may be opened to any batch.
        ranks = [tf.TensorShape(None if shape.rank is None else [None] * shape.rank) for shape in shapes]
        specs = [tf.TensorSpec(rank, data_type) for rank, data_type in zip(ranks, types, strict=True)]
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


def _together(nodes: Iterable[NodeDef]) -> list[list[NodeDef]]:
    """Returns nodes by what one piece stands in for: those that differ in their first inputs alone, where ops join."""
    groups: dict[object, list[NodeDef]] = {}
    for node in nodes:
        key: object = node.name
        if TABLE[node.op].joins:
            attrs = ((name, node.attr[name].SerializeToString()) for name in sorted(node.attr) if name[0] != "_")
            # Inputs that decide where and when it runs are among these.
            key = (node.op, *attrs, *(edge for edge in node.input if edge != data_inputs(node)[0].edge))
        groups.setdefault(key, []).append(node)
    return list(groups.values())


def _call_outputs(node: NodeDef) -> dict[str, str]:
    """Returns how each output of a node in a function is written, and how it is once the node is a call."""
    edges, at = {}, 0
    for name, count in graph.named_outputs(node):
        for position in range(count):
            edges[f"{node.name}:{name}:{position}"] = f"{node.name}:output:{at}"
            at += 1
    return edges
