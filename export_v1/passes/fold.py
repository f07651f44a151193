"""fold: conditions on constants disappear, and with them the branch that is never taken.

A frozen `is_training` leaves Switch and Merge nodes whose predicate is known. `analysis.liveness` finds out which
values are known and what is dead; here that is written into the graph. A Switch of a known predicate becomes the
Identity of its data, a Merge with one live input left that of the input, a Select of a known condition that of what it
chooses, and an If or a Case a call of the branch it takes; what is dead is gone.
"""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from export_v1.analysis.liveness import Liveness, Ordered
from export_v1.ir import graph, ops, rewrite
from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor, attr, data_inputs
from export_v1.passes.result import Notes, Result

# Without any of these nothing is conditional.
_CONDITIONAL = ops.SWITCHES | ops.MERGES | ops.CONDITIONALS | ops.SELECTS


def conditions(graph_def: GraphDef) -> Result:
    """Returns the graph without the conditions whose predicate is a constant; notes how many nodes went with them.

    Every tensor that is still computed keeps its name, and is alive and ordered as it was. A node that only the branch
    not taken could reach is gone.

    Args:
        graph_def: not modified; constants as `freeze` leaves them.
    """
    if not any(node.op in _CONDITIONAL for node in graph_def.node):
        return Result(graph_def)
    folding = _Folding(Index(graph_def))
    left = {node.name for node in folding.nodes}
    folded = sum(node.name not in left for node in graph_def.node)
    return Result(rewrite.with_nodes(graph_def, folding.nodes), notes=Notes(folded=folded))


class _Folding:
    """The nodes that are left, as they are then."""

    def __init__(self, index: Index):
        self._index, ordered = index, Ordered.of(index)
        self._live = Liveness(ordered)
        self._names = set(index.nodes)
        self._stands_in: dict[Tensor, Tensor] = {}
        # Reference that something stands in for -> the node that waits for what the reference waited for.
        self._waits: dict[Tensor, str] = {}
        self.nodes: list[NodeDef] = []
        for node in ordered.nodes:
            if self._live.runs(node):
                self._visit(node)

    def _visit(self, node: NodeDef) -> None:
        live = self._live
        if node.op in ops.SWITCHES and (side := live.side(node)) is not None:
            self._switch(node, side)
        elif node.op in ops.MERGES and len(live.live_inputs(node)) < len(data_inputs(node)):
            self._merge(node, live.live_inputs(node))
        elif node.op in ops.CONDITIONALS and live.branch(node) is not None:
            self._call(node)
        elif node.op in ops.SELECTS and (selected := live.selected(node)) is not None:
            self._identity(node, data_inputs(node)[selected])
        else:
            self._keep(node, data_inputs(node))

    def _resolve(self, tensor: Tensor) -> Tensor:
        while tensor in self._stands_in:
            tensor = self._stands_in[tensor]
        return tensor

    def _controls(self, node: NodeDef, inputs: Iterable[Tensor]) -> list[str]:
        """The control edges of a node: what it waited for, and what the references waited for that it reads."""
        names = dict.fromkeys(self._live.live_controls(node))
        for tensor in inputs:
            while tensor in self._stands_in:
                names |= {self._waits[tensor]: None} if tensor in self._waits else {}
                tensor = self._stands_in[tensor]
        guard = self._live.guard(node)
        return ["^" + name for name in names] + (["^" + self._carrier(guard)] if guard is not None else [])

    def _carrier(self, guard: Tensor) -> str:
        """Returns a node that is dead when a predicate is: a Switch is not, though one of its sides may be."""
        source = self._resolve(guard)
        maker = self._index.nodes.get(source.node)
        if maker is None or maker.op not in ops.SWITCHES:
            return source.node
        made = rewrite.node(graph.fresh_name(f"{source.node}/side", self._names), "Identity", [source])
        made.attr["T"].CopyFrom(attr(maker, "T"))
        self.nodes.append(made)
        return made.name

    def _connect(self, made: NodeDef, node: NodeDef, inputs: list[Tensor]) -> NodeDef:
        """Adds what is made of a node, with these of the node's inputs and all that it waits for."""
        del made.input[:]
        made.input.extend(self._resolve(tensor).edge for tensor in inputs)
        made.input.extend(self._controls(node, inputs))
        self.nodes.append(made)
        return made

    def _keep(self, node: NodeDef, inputs: list[Tensor]) -> NodeDef:
        made = NodeDef()
        made.CopyFrom(node)
        return self._connect(made, node, inputs)

    def _identity(self, node: NodeDef, source: Tensor) -> None:
        """Keeps a node as the identity of one of its inputs, so that whoever waits for it still can."""
        made = NodeDef(name=node.name, op="Identity")
        made.attr["T"].CopyFrom(attr(node, "T"))
        self._connect(made, node, [source])

    def _switch(self, node: NodeDef, side: int) -> None:
        data = data_inputs(node)[0]
        self._identity(node, data)
        passed = Tensor(node.name, side)
        if node.op == "RefSwitch" or len(self.nodes[-1].input) == 1:
            # A reference has to stay one for the ops that write through it, so nothing may stand in between.
            self._bypass(passed, data)
        elif side:
            self._stands_in[passed] = Tensor(node.name)

    def _bypass(self, tensor: Tensor, source: Tensor) -> None:
        """Lets readers of a tensor read its source; they wait for its node where that waits for something."""
        self._stands_in[tensor] = source
        if len(self.nodes[-1].input) > 1:
            self._waits[tensor] = tensor.node

    def _merge(self, node: NodeDef, live: list[int]) -> None:
        inputs = data_inputs(node)
        if len(live) == 1:
            self._identity(node, inputs[live[0]])
            if node.op == "RefMerge":
                self._bypass(Tensor(node.name), inputs[live[0]])
        else:
            self._keep(node, [inputs[at] for at in live]).attr["N"].i = len(live)
        if self._index.tensor_consumers(Tensor(node.name, 1)):
            self._which(node, live)

    def _which(self, node: NodeDef, live: list[int]) -> None:
        """Adds what says which of the inputs that a Merge once had it took."""
        name = graph.fresh_name(f"{node.name}/value_index", self._names)
        # Dead when the Merge is, and in its loop.
        waits = [node.name]
        if len(live) == 1:
            made = rewrite.constant(name, live[0], tf.int32, waits)
        else:
            positions, axis = (
                rewrite.constant(graph.fresh_name(f"{name}/{part}", self._names), value, tf.int32, waits)
                for part, value in (("inputs", np.asarray(live)), ("axis", 0))
            )
            self.nodes += [positions, axis]
            sources = [Tensor(positions.name), Tensor(node.name, 1), Tensor(axis.name)]
            made = rewrite.node(
                name, "GatherV2", sources, Tparams=tf.int32, Tindices=tf.int32, Taxis=tf.int32, batch_dims=0
            )
        self.nodes.append(made)
        self._stands_in[Tensor(node.name, 1)] = Tensor(name)

    def _call(self, node: NodeDef) -> None:
        """An If or Case of a known branch is a call of that branch's function."""
        made = NodeDef(name=node.name, op="PartitionedCall")
        if not node.op.startswith("Stateless"):
            made.op = "StatefulPartitionedCall"
        for key in ("Tin", "Tout"):
            made.attr[key].CopyFrom(attr(node, key))
        made.attr["f"].func.CopyFrom(self._live.branch(node))
        self._connect(made, node, data_inputs(node)[1:])
