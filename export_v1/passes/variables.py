"""variables: reference variables become resource variables, and nothing that takes or gives a reference is left.

A reference variable is a buffer that ops read and write in place; TensorFlow 2 makes no Python object of one. Every op
that passes a reference on is an alias of its variable, every write becomes its resource twin, every other reader gets a
ReadVariableOp of its own that waits for what the reader waited for, because that is when a reference was read.

An Identity of a reference (`w/read`) is a view of the variable's buffer. Where the graph writes the variable, whoever
computes with a view sees the write if it runs later, so it gets a read of its own as well, which waits for all that it
waits for.

    w VariableV2 ─► read Identity ─► MatMul           w VarHandleOp ─► read ReadVariableOp ─► MatMul
         └─► AssignAdd ─► Identity            ==>          └─► AssignAddVariableOp ─^─► ReadVariableOp ─► Identity

A reference that comes out of a write stands for the variable after that write. A resource says nothing of the kind, so
whatever takes the handle in its place waits for the write. Where a condition gives a reference, who takes it takes the
handle from before the condition and waits for its Merge, which merges constants:

    w ─► RefSwitch ─► AssignAdd ─► RefMerge ─► Mul           w ─► Switch ─► AssignAddVariableOp ─^─► Const ─► Merge
             └─► AssignSub ───────────^               ==>    └───────────────────── ReadVariableOp ◄──^──────────┘
"""

import tensorflow as tf

from export_v1 import errors
from export_v1.analysis.references import References
from export_v1.ir import graph, ops, rewrite
from export_v1.ir.graph import GraphDef, NodeDef, Tensor, attr, control_inputs, data_inputs
from export_v1.passes.result import Result


def to_resources(graph_def: GraphDef, index: graph.Index | None = None) -> Result:
    """Returns the graph with a VarHandleOp for each reference variable; no reference type is left in it.

    Every variable keeps its name, dtype and shape; "w:0" is its handle now. All other tensors keep their names.

    Args:
        graph_def: pruned; what the outputs do not need may take references in ways that have no twin. Not modified.
        index: of the graph, where there is one already.

    Raises:
        ExportError: an op writes through a reference and has no resource twin; all of them are named.
    """
    converting = _Converting(graph_def, index)
    for node in graph_def.node:
        converting.visit(node)
    converting.refuse_leftovers()
    return Result(rewrite.with_nodes(graph_def, converting.nodes))


class _Converting:
    def __init__(self, graph_def: GraphDef, index: graph.Index | None):
        self.nodes: list[NodeDef] = []
        self._references = References(graph_def, index)
        self._index = self._references.index
        self._taken = set(self._index.nodes)
        self._entered: dict[str, Tensor] = {}
        self._resistant: list[str] = []

    def visit(self, node: NodeDef) -> None:
        name = node.name
        op, inputs = self._index.kinds[name], self._index.edges(name).data
        if op in ops.REF_VARIABLES:
            self._variable(node)
        elif op in ops.ALIAS_TWINS and inputs[0] in self._references:
            self._alias(node)
        elif op == "Identity" and inputs[0] in self._references:
            self._read(name, inputs[0], control_inputs(node), attr(node, "T").type)
        elif not any(tensor in self._references for tensor in inputs):
            self.nodes.append(node)
        elif any(graph.ref_inputs(node)):
            self._write(node)
        else:
            read = [at for at, tensor in enumerate(inputs) if tensor in self._references]
            self.nodes.append(rewrite.rewired(node, self._own_reads(node, read)))

    def _variable(self, node: NodeDef) -> None:
        made = rewrite.node(node.name, "VarHandleOp", shared_name=node.name, container="")
        made.attr["dtype"].CopyFrom(node.attr["dtype"])
        made.attr["shape"].CopyFrom(node.attr["shape"])
        self.nodes.append(made)

    def _handle(self, tensor: Tensor) -> Tensor:
        """Returns the handle to take in place of a reference, by who also waits for `_waits` of it."""
        node = self._index.nodes.get(tensor.node)
        if tensor not in self._references.roots or node is None:
            return tensor
        if node.op == "RefIdentity" or self._references.is_decided(node):
            return self._handle(self._references.base(tensor))
        if node.op in ops.ALIAS_TWINS or node.op in ops.REF_VARIABLES:
            return tensor
        return self._handle(self._references.taken(node))

    def _waits(self, tensor: Tensor) -> list[str]:
        """Returns what has to have run before a reference stands for its variable: its write, or the end of a condition.

        The other aliases have waited for that themselves, and are data inputs of whoever takes the handle.
        """
        node = self._index[tensor.node]
        if node.op in ops.REF_VARIABLES or tensor not in self._references.roots:
            return []
        waiting = node.op in ops.ALIAS_TWINS and node.op != "RefIdentity" and not self._references.is_decided(node)
        return [] if waiting else [node.name]

    def _alias(self, node: NodeDef) -> None:
        if node.op not in ops.MERGES | ops.WAYS_BACK:
            made = rewrite.rewired(node, self._handle)
            made.input.extend(f"^{wait}" for tensor in data_inputs(node) for wait in self._waits(tensor))
        elif self._references.is_decided(node):
            made = rewrite.rewired(node, {tensor: self._token(node, tensor) for tensor in data_inputs(node)})
        else:
            made = rewrite.rewired(node, {tensor: self._gate(node, tensor) for tensor in data_inputs(node)})
        made.op = ops.ALIAS_TWINS[node.op]
        made.attr["T"].type = (tf.bool if self._references.is_decided(node) else tf.resource).as_datatype_enum
        self.nodes.append(made)

    def _gate(self, merge: NodeDef, tensor: Tensor) -> Tensor:
        """Returns the handle for one input of a node that cannot wait itself.

        A Merge cannot, since the other branch never runs; what a NextIteration waits for is not in its loop's body.
        """
        waits = self._waits(tensor)
        if waits or self._handle(tensor) != tensor:
            made = rewrite.node(
                graph.fresh_name(f"{merge.name}/branch", self._taken),
                "Identity",
                [self._handle(tensor)],
                T=tf.resource,
            )
            made.input.extend(f"^{wait}" for wait in waits)
            self.nodes.append(made)
            return Tensor(made.name)
        return tensor

    def _token(self, merge: NodeDef, tensor: Tensor) -> Tensor:
        """Returns a constant that is there once a branch has done what its reference stands for."""
        made = rewrite.constant(graph.fresh_name(f"{merge.name}/done", self._taken), True, tf.bool)
        gate = self._gate(merge, tensor)
        if self._index.nodes.get(gate.node) is not None and self._index[gate.node].op == "RefSwitch":
            # Both branches have a control edge from their Switch.
            alive = rewrite.node(
                graph.fresh_name(f"{merge.name}/branch", self._taken), "Identity", [gate], T=tf.resource
            )
            self.nodes.append(alive)
            gate = Tensor(alive.name)
        made.input.append(f"^{gate.node}")
        self.nodes.append(made)
        return Tensor(made.name)

    def _write(self, node: NodeDef) -> None:
        refs, inputs = graph.ref_inputs(node), data_inputs(node)
        if node.op == "IsVariableInitialized":
            made = rewrite.node(node.name, "VarIsInitializedOp", [self._handle(inputs[0])])
            made.input.extend(dict.fromkeys("^" + wait for wait in control_inputs(node) + self._waits(inputs[0])))
            self.nodes.append(made)
            return
        if node.op not in ops.WRITE_TWINS:
            self._resistant.append(f"{node.name!r} ({node.op})")
            return
        waits = [wait for at, tensor in enumerate(inputs) if refs[at] for wait in self._waits(tensor)]
        read = [at for at, tensor in enumerate(inputs) if not refs[at] and tensor in self._references]
        values = self._own_reads(node, read)
        self._twin(node, values, waits, refs)

    def _twin(self, node: NodeDef, values: dict[Tensor, Tensor], waits: list[str], refs: list[bool]) -> None:
        made = rewrite.node(node.name, ops.WRITE_TWINS[node.op])
        made.input.extend(
            (self._handle(tensor) if refs[at] else values.get(tensor, tensor)).edge
            for at, tensor in enumerate(data_inputs(node))
        )
        made.input.extend(dict.fromkeys("^" + wait for wait in control_inputs(node) + waits))
        attributes = {attr.name for attr in graph.op_def(made.op).attr}
        for key, value in node.attr.items():
            target = "dtype" if key == "T" and "T" not in attributes else key
            if target in attributes:
                made.attr[target].CopyFrom(value)
        self.nodes.append(made)

    def _own_reads(self, node: NodeDef, positions: list[int]) -> dict[Tensor, Tensor]:
        """Adds a read for each variable that a node computes with, made when the node itself would have run."""
        inputs, types = data_inputs(node), graph.input_types(node, self._index.functions)
        reads: dict[Tensor, Tensor] = {}
        for at in positions:
            tensor = inputs[at]
            if tensor not in reads:
                waits = control_inputs(node)
                if node.op not in ops.MERGES and self._references.variables(tensor) & self._references.written:
                    waits = [*waits, *(wait for other in inputs if other != tensor for wait in self._made_by(other))]
                name = graph.fresh_name(f"{node.name}/read_{at}", self._taken)
                reads[tensor] = self._read(name, tensor, waits, types[at])
        return reads

    def _made_by(self, tensor: Tensor) -> list[str]:
        """Returns the nodes after which a tensor is there."""
        return self._placed(tensor)[1] if tensor in self._references else [tensor.node]

    def _read(self, name: str, tensor: Tensor, waits: list[str], data_type: int) -> Tensor:
        """Adds a read of a variable under a name; returns its value in the shape of the reference or view `tensor`."""
        handle, own, reshapes = self._placed(tensor)
        made = rewrite.node(name, "ReadVariableOp", [handle], dtype=tf.as_dtype(data_type).base_dtype)
        made.input.extend(dict.fromkeys("^" + wait for wait in [*waits, *own]))
        self.nodes.append(made)
        value = Tensor(name)
        for reshape in reshapes:
            again = rewrite.rewired(reshape, {data_inputs(reshape)[0]: value})
            again.name = graph.fresh_name(f"{name}/{reshape.name.rsplit('/', 1)[-1]}", self._taken)
            self.nodes.append(again)
            value = Tensor(again.name)
        return value

    def _placed(self, tensor: Tensor) -> tuple[Tensor, list[str], list[NodeDef]]:
        """Returns what a read of a reference or view takes: the handle, what to wait for, and the reshapes after it."""
        if tensor in self._references.roots:
            return self._handle(tensor), self._waits(tensor), []
        node = self._index[tensor.node]
        source, *others = data_inputs(node)
        handle, waits, reshapes = self._placed(source)
        if node.op == "Enter":
            return self._inside(node, handle, waits), [], []
        waits = [*waits, *control_inputs(node)]
        if node.op == "Switch":
            # Only where the branch runs; a control edge from the Switch itself would not tell.
            alive = rewrite.node(graph.fresh_name(f"{node.name}/alive", self._taken), "Identity", [tensor])
            alive.attr["T"].CopyFrom(node.attr["T"])
            self.nodes.append(alive)
            return handle, [*waits, alive.name], reshapes
        if node.op in ops.RESHAPES:
            return handle, [*waits, *(other.node for other in others)], [*reshapes, node]
        return handle, waits, reshapes

    def _inside(self, enter: NodeDef, handle: Tensor, waits: list[str]) -> Tensor:
        """Returns a handle in the loop that a view of its variable enters."""
        if enter.name not in self._entered:
            made = rewrite.rewired(enter, {data_inputs(enter)[0]: handle})
            made.name = graph.fresh_name(f"{enter.name}/handle", self._taken)
            made.attr["T"].type = tf.resource.as_datatype_enum
            made.input.extend("^" + wait for wait in waits if "^" + wait not in made.input)
            self.nodes.append(made)
            self._entered[enter.name] = Tensor(made.name)
        return self._entered[enter.name]

    def refuse_leftovers(self) -> None:
        if self._resistant:
            raise errors.ExportError(
                f"{len(self._resistant)} ops write a reference variable on the way to the outputs and have no "
                f"counterpart for resource variables: {errors.quoted(self._resistant)}.\n"
                "  Choose outputs that do not depend on them, or cut the graph after them with --input=KEY=TENSOR."
            )
