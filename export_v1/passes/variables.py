"""variables: reference variables become resource variables, and nothing that takes or gives a reference is left.

A reference variable is a buffer that ops read and write in place; TensorFlow 2 makes no Python object of one. Every op
that passes a reference on is an alias of its variable, every write becomes its resource twin, every other reader gets a
ReadVariableOp of its own that waits for what the reader waited for, because that is when a reference was read.

An Identity of a reference (`w/read`) shares the variable's buffer, too. Where the graph writes the variable, whoever
computes with that Identity sees the write if it runs later, so it gets a read of its own as well, which waits for all
that it waits for.

    w VariableV2 ─► read Identity ─► MatMul           w VarHandleOp ─► read ReadVariableOp ─► MatMul
         └─► AssignAdd ─► Identity            ==>          └─► AssignAddVariableOp ─^─► ReadVariableOp ─► Identity
"""

import tensorflow as tf

from export_v1 import errors
from export_v1.ir import graph, ops, rewrite
from export_v1.ir.graph import GraphDef, NodeDef, Tensor, attr, control_inputs, data_inputs
from export_v1.passes.result import Result


def to_resources(graph_def: GraphDef) -> Result:
    """Returns the graph with a VarHandleOp for each reference variable; no reference type is left in it.

    Every variable keeps its name, dtype and shape; "w:0" is its handle now. All other tensors keep their names.

    Args:
        graph_def: pruned; what the outputs do not need may take references in ways that have no twin. Not modified.

    Raises:
        ExportError: an op writes through a reference and has no resource twin; all of them are named.
    """
    converting = _Converting(graph_def)
    for node in graph_def.node:
        converting.visit(node)
    converting.refuse_leftovers()
    return Result(rewrite.with_nodes(graph_def, converting.nodes))


class _Converting:
    def __init__(self, graph_def: GraphDef):
        self.nodes: list[NodeDef] = []
        self._index = graph.Index(graph_def)
        self._taken = set(self._index.nodes)
        self._roots: dict[Tensor, str] = {}
        self._handles = self._find_handles(graph_def)
        self._written = self._find_written()
        self._shared = self._find_shared()
        self._resistant: list[str] = []

    def _find_handles(self, graph_def: GraphDef) -> dict[Tensor, Tensor]:
        """Returns, for each tensor that is a reference, the tensor that is the variable's handle in its place."""
        handles: dict[Tensor, Tensor] = {}
        todo = [Tensor(node.name) for node in graph_def.node if node.op in ops.REF_VARIABLES]
        handles.update((tensor, tensor) for tensor in todo)
        self._roots.update((tensor, tensor.node) for tensor in todo)
        while todo:
            tensor = todo.pop()
            for consumer, at in self._index.tensor_consumers(tensor):
                refs = graph.ref_inputs(consumer)
                if at >= len(refs) or not refs[at]:
                    continue
                for index, is_ref in enumerate(graph.ref_outputs(consumer)):
                    output = Tensor(consumer.name, index)
                    if is_ref and output not in handles:
                        # A write gives the reference it took; an alias op is kept, and gives the handle itself.
                        handles[output] = output if consumer.op in ops.ALIAS_TWINS else handles[tensor]
                        self._roots[output] = self._roots[tensor]
                        todo.append(output)
        return handles

    def _find_written(self) -> set[str]:
        """Returns the names of the variables that the graph writes."""
        return {
            self._roots[tensor]
            for tensor in self._handles
            for consumer, at in self._index.tensor_consumers(tensor)
            if consumer.op in ops.WRITE_TWINS and graph.ref_inputs(consumer)[at]
        }

    def _find_shared(self) -> dict[Tensor, str]:
        """Returns each Identity that shares the buffer of a variable which the graph writes, and the variable's name."""
        shared: dict[Tensor, str] = {}
        todo = [(tensor, root) for tensor, root in self._roots.items() if root in self._written]
        while todo:
            tensor, root = todo.pop()
            for consumer, _ in self._index.tensor_consumers(tensor):
                output = Tensor(consumer.name)
                if consumer.op == "Identity" and output not in shared:
                    shared[output] = root
                    todo.append((output, root))
        return shared

    def visit(self, node: NodeDef) -> None:
        if node.op in ops.REF_VARIABLES:
            self._variable(node)
        elif node.op in ops.ALIAS_TWINS and data_inputs(node)[0] in self._handles:
            self._alias(node)
        elif node.op == "Identity" and self._is_variable(data_inputs(node)[0]):
            self._read(node.name, data_inputs(node)[0], control_inputs(node), attr(node, "T").type)
        elif not any(map(self._is_variable, data_inputs(node))):
            self.nodes.append(node)
        elif any(graph.ref_inputs(node)):
            self._write(node)
        else:
            self._reader(node)

    def _variable(self, node: NodeDef) -> None:
        made = rewrite.node(node.name, "VarHandleOp", shared_name=node.name, container="")
        made.attr["dtype"].CopyFrom(node.attr["dtype"])
        made.attr["shape"].CopyFrom(node.attr["shape"])
        self.nodes.append(made)

    def _alias(self, node: NodeDef) -> None:
        made = rewrite.rewired(node, self._handle_of)
        made.op = ops.ALIAS_TWINS[node.op]
        made.attr["T"].type = tf.resource.as_datatype_enum
        self.nodes.append(made)

    def _handle_of(self, tensor: Tensor) -> Tensor:
        return self._handles.get(tensor, tensor)

    def _writer(self, tensor: Tensor) -> list[str]:
        """Returns the write that a reference came out of: who reads it there has to wait for that write."""
        node = self._index[tensor.node]
        return [node.name] if node.op not in ops.ALIAS_TWINS and node.op not in ops.REF_VARIABLES else []

    def _read(self, name: str, tensor: Tensor, waits: list[str], data_type: int) -> None:
        while tensor in self._shared:
            # The Identity on the way may have waited for something, such as the branch that it is in.
            waits = waits + control_inputs(self._index[tensor.node])
            tensor = data_inputs(self._index[tensor.node])[0]
        made = rewrite.node(name, "ReadVariableOp", [self._handle_of(tensor)], dtype=tf.as_dtype(data_type).base_dtype)
        made.input.extend(dict.fromkeys("^" + wait for wait in waits + self._writer(tensor)))
        self.nodes.append(made)

    def _own_reads(self, node: NodeDef, positions: list[int]) -> dict[Tensor, Tensor]:
        """Adds a read for each variable that a node computes with, made when the node itself would have run."""
        inputs, types = data_inputs(node), graph.input_types(node, self._index.functions)
        reads: dict[Tensor, Tensor] = {}
        for at in positions:
            tensor = inputs[at]
            if tensor not in reads:
                waits = control_inputs(node)
                if node.op not in ops.MERGES and self._roots.get(tensor, self._shared.get(tensor)) in self._written:
                    waits = waits + [other.node for other in inputs if not self._is_variable(other)]
                reads[tensor] = Tensor(graph.fresh_name(f"{node.name}/read_{at}", self._taken))
                self._read(reads[tensor].node, tensor, waits, types[at])
        return reads

    def _is_variable(self, tensor: Tensor) -> bool:
        """Tells whether a tensor is a reference, or an Identity that shares the buffer of one that is written."""
        return tensor in self._handles or tensor in self._shared

    def _reader(self, node: NodeDef) -> None:
        read = [at for at, tensor in enumerate(data_inputs(node)) if self._is_variable(tensor)]
        self.nodes.append(rewrite.rewired(node, self._own_reads(node, read)))

    def _write(self, node: NodeDef) -> None:
        refs = graph.ref_inputs(node)
        if node.op == "IsVariableInitialized":
            tensor = data_inputs(node)[0]
            made = rewrite.node(node.name, "VarIsInitializedOp", [self._handle_of(tensor)])
            made.input.extend(dict.fromkeys("^" + wait for wait in control_inputs(node) + self._writer(tensor)))
            self.nodes.append(made)
            return
        if node.op not in ops.WRITE_TWINS:
            self._resistant.append(f"{node.name!r} ({node.op})")
            return
        inputs = data_inputs(node)
        waits = [wait for at, tensor in enumerate(inputs) if refs[at] for wait in self._writer(tensor)]
        read = [at for at, tensor in enumerate(inputs) if not refs[at] and self._is_variable(tensor)]
        values = self._own_reads(node, read)
        self._twin(node, values, waits, refs)

    def _twin(self, node: NodeDef, values: dict[Tensor, Tensor], waits: list[str], refs: list[bool]) -> None:
        made = rewrite.node(node.name, ops.WRITE_TWINS[node.op])
        made.input.extend(
            (self._handle_of(tensor) if refs[at] else values.get(tensor, tensor)).edge
            for at, tensor in enumerate(data_inputs(node))
        )
        made.input.extend(dict.fromkeys("^" + wait for wait in control_inputs(node) + waits))
        attributes = {attr.name for attr in graph.op_def(made.op).attr}
        for key, value in node.attr.items():
            target = "dtype" if key == "T" and "T" not in attributes else key
            if target in attributes:
                made.attr[target].CopyFrom(value)
        self.nodes.append(made)

    def refuse_leftovers(self) -> None:
        if self._resistant:
            raise errors.ExportError(
                f"{len(self._resistant)} ops write a reference variable on the way to the outputs and have no "
                f"counterpart for resource variables: {errors.quoted(self._resistant)}.\n"
                "  Choose outputs that do not depend on them, or cut the graph after them with --input=KEY=TENSOR."
            )
