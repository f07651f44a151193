"""Which variable's buffer each tensor of a graph is: references to it, and views that share it.

An op that takes a reference and gives one gives the same variable: a write, or an op of control flow that passes it on.
What TensorFlow 1 computes from a reference without copying is a view of the buffer: it changes with the variable, however
early it was made. So who computes with `tf.identity(w)` after a write to `w` sees what was written.
"""

from collections.abc import Iterator

from export_v1.ir import graph, ops
from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor, data_inputs


class References:
    """The references and views of one graph, which must not change while this is in use.

    Attributes:
        index: of the graph.
        roots: tensor -> names of the variables that it is a reference to; several where a RefMerge decides.
        written: names of the variables that the graph writes.
        views: tensor that shares the buffer of a written variable -> names of the variables.
    """

    def __init__(self, graph_def: GraphDef, index: Index | None = None):
        self.index = index or Index(graph_def)
        self.roots = self._find_roots()
        self.written = self._find_written()
        self.views = self._find_views()
        self._bases: dict[Tensor, Tensor] = {}

    def __contains__(self, tensor: Tensor) -> bool:
        """Tells whether a tensor is a reference, or a view of a variable that is written."""
        return tensor in self.roots or tensor in self.views

    def variables(self, tensor: Tensor) -> frozenset[str]:
        """Returns the names of the variables that a reference or a view belongs to; empty for any other tensor."""
        return self.roots.get(tensor) or self.views.get(tensor) or frozenset()

    def is_decided(self, merge: NodeDef) -> bool:
        """Tells whether a RefMerge ends a condition and gives the same variable whichever branch has run."""
        return (
            merge.op == "RefMerge"
            and not any(self.index[tensor.node].op in ops.WAYS_BACK for tensor in data_inputs(merge))
            and len({self.base(tensor) for tensor in data_inputs(merge)}) == 1
        )

    def base(self, tensor: Tensor) -> Tensor:
        """Returns the reference, in the same frame and outside of more conditions, that a reference leads back to."""
        if tensor not in self._bases:
            self._bases[tensor] = tensor
            node = self.index[tensor.node]
            if node.op in ("RefSwitch", "RefIdentity") or (node.op == "RefMerge" and self.is_decided(node)):
                self._bases[tensor] = self.base(data_inputs(node)[0])
            elif node.op not in ops.ALIAS_TWINS and node.op not in ops.REF_VARIABLES:
                self._bases[tensor] = self.base(self.taken(node))
        return self._bases[tensor]

    def taken(self, write: NodeDef) -> Tensor:
        """Returns the reference that a write takes."""
        refs = graph.ref_inputs(write)
        return next(tensor for tensor, is_ref in zip(data_inputs(write), refs, strict=True) if is_ref)

    def _find_roots(self) -> dict[Tensor, frozenset[str]]:
        names = [name for name, op in self.index.kinds.items() if op in ops.REF_VARIABLES]
        roots = {Tensor(name): frozenset([name]) for name in names}
        todo = list(roots)
        while todo:
            tensor = todo.pop()
            for output in self._passed_on(tensor):
                known = roots.get(output, frozenset())
                if not roots[tensor] <= known:
                    roots[output] = known | roots[tensor]
                    todo.append(output)
        return roots

    def _passed_on(self, tensor: Tensor) -> Iterator[Tensor]:
        """Yields the references that the consumers of a reference give in turn."""
        for consumer, at in self.index.tensor_consumers(tensor):
            refs = graph.ref_inputs(consumer)
            if at < len(refs) and refs[at]:
                for index, is_ref in enumerate(graph.ref_outputs(consumer)):
                    if is_ref:
                        yield Tensor(consumer.name, index)

    def _find_written(self) -> frozenset[str]:
        return frozenset(
            name
            for tensor, names in self.roots.items()
            for consumer, at in self.index.tensor_consumers(tensor)
            if consumer.op in ops.WRITE_TWINS and graph.ref_inputs(consumer)[at]
            for name in names
        )

    def _find_views(self) -> dict[Tensor, frozenset[str]]:
        views: dict[Tensor, frozenset[str]] = {}
        todo = [(tensor, names) for tensor, names in self.roots.items() if names & self.written]
        while todo:
            tensor, names = todo.pop()
            for consumer, at in self.index.tensor_consumers(tensor):
                if at or not self._is_view(consumer):
                    continue
                for index in range(len(graph.output_types(consumer))):
                    output = Tensor(consumer.name, index)
                    if output not in views:
                        views[output] = names
                        todo.append((output, names))
        return views

    def _is_view(self, node: NodeDef) -> bool:
        """Tells whether an op gives its first input without copying it, in a way that the export can repeat."""
        if node.op == "Enter":
            # A reshaped view in front of a loop is no view in it: its shape would have to be taken there, too.
            plain = self.index[data_inputs(node)[0].node].op not in ops.RESHAPES
            return plain and graph.attr(node, "is_constant").b
        return node.op in ops.IDENTITIES | ops.RESHAPES | {"Switch"}
