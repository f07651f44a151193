"""The part of a graph that runs when some tensors are fed and some have known values."""

from collections import deque
from collections.abc import Collection, Iterable, Mapping

import numpy as np
import tensorflow as tf

from export_v1.ir import graph
from export_v1.ir.graph import Index, NodeDef, Tensor
from export_v1.passes import fold

SELECTS = frozenset({"Select", "SelectV2"})


class Steps:
    """A graph read once for many looks at what runs in it.

    Attributes:
        index: the graph.
        nodes: all nodes in that order.
        constants: tensor -> value, for every small constant.
    """

    def __init__(self, index: Index):
        self.index = index
        self.nodes = fold.in_order(index.graph_def)
        self.constants: dict[Tensor, np.ndarray] = {}
        self._edges: dict[str, tuple[list[Tensor], list[str]]] = {}
        for node in self.nodes:
            self._edges[node.name] = graph.data_inputs(node), graph.control_inputs(node)
            if node.op == "Const":
                proto = node.attr["value"].tensor
                if np.prod([dim.size for dim in proto.tensor_shape.dim], dtype=np.int64) <= fold.MOST_ELEMENTS:
                    self.constants[Tensor(node.name)] = tf.make_ndarray(proto)

    def inputs(self, node: NodeDef) -> list[Tensor]:
        """Returns `graph.data_inputs` of a node."""
        return self._edges[node.name][0]

    def controls(self, node: NodeDef) -> list[str]:
        """Returns `graph.control_inputs` of a node."""
        return self._edges[node.name][1]


class Live:
    """Which tensors are known, which never run, and what a tensor needs, under given values and cuts.

    Predicates are followed as `fold` follows them, so what is not needed here is what the exported graph drops.

    Args:
        steps: the graph.
        values: tensor -> the value it is frozen to.
        cuts: tensors that are fed.
    """

    def __init__(self, steps: Steps, values: Mapping[Tensor, object] = (), cuts: Collection[Tensor] = ()):
        self._steps, self._index = steps, steps.index
        self._frozen = set(values)
        self.stops = set(cuts) | self._frozen
        self.known = steps.constants | {tensor: np.asarray(value) for tensor, value in dict(values).items()}
        self._dead: set[Tensor] = set()
        self._dead_nodes: set[str] = set()
        for node in steps.nodes:
            if node.op != "Const" or node.input:
                self._visit(node)

    def is_dead(self, tensor: Tensor) -> bool:
        """Returns whether a tensor is never computed; frozen and fed ones always are there."""
        return (tensor.node in self._dead_nodes or tensor in self._dead) and tensor not in self.stops

    def _visit(self, node: NodeDef) -> None:
        inputs = self._steps.inputs(node)
        if node.op in fold.MERGES:
            live = [tensor for tensor in inputs if not self.is_dead(tensor)]
            # A loop's way back runs only if the loop is entered.
            if not [tensor for tensor in live if not self._is_way_back(tensor)]:
                self._dead_nodes.add(node.name)
            elif len(live) == 1 and live[0] in self.known:
                self.known.setdefault(Tensor(node.name), self.known[live[0]])
        elif any(map(self.is_dead, inputs)) or any(name in self._dead_nodes for name in self._steps.controls(node)):
            self._dead_nodes.add(node.name)
        elif node.op in fold.SWITCHES:
            self._switch(node, inputs)
        elif node.op in fold.EVALUATORS and Tensor(node.name) not in self.known:
            value = _evaluated(node, inputs, self.known)
            if value is not None:
                self.known[Tensor(node.name)] = value

    def _is_way_back(self, tensor: Tensor) -> bool:
        node = self._index.nodes.get(tensor.node)
        return node is not None and node.op in ("NextIteration", "RefNextIteration")

    def _switch(self, node: NodeDef, inputs: list[Tensor]) -> None:
        predicate = self.known.get(inputs[1])
        if predicate is not None and predicate.shape == ():
            self._dead.add(Tensor(node.name, 0 if predicate else 1))
        if inputs[0] in self.known:
            for at in (0, 1):
                self.known.setdefault(Tensor(node.name, at), self.known[inputs[0]])

    def data(self, node: NodeDef) -> list[Tensor]:
        """Returns what a node computes with: its live inputs, less frozen ones and the side of a choice not taken."""
        inputs = self._steps.inputs(node)
        if node.op in fold.MERGES:
            inputs = [tensor for tensor in inputs if not self.is_dead(tensor)]
        elif node.op in fold.SWITCHES and inputs[1] in self.known:
            inputs = inputs[:1]
        elif node.op in SELECTS and inputs[0] in self.known and self.known[inputs[0]].shape == ():
            inputs = [inputs[1 if self.known[inputs[0]] else 2]]
        return [tensor for tensor in inputs if tensor not in self._frozen]

    def reads(self, node: NodeDef) -> list[Tensor]:
        """Returns what a node waits for: the tensors of `data` that are not fed, and what its control edges name."""
        controls = [Tensor(name) for name in self._steps.controls(node) if name not in self._dead_nodes]
        return [tensor for tensor in self.data(node) + controls if tensor not in self.stops]

    def runs(self, node: NodeDef) -> bool:
        """Returns whether a node ever runs."""
        return node.name not in self._dead_nodes

    def needed(self, roots: Iterable[Tensor], ends: Collection[str] = ()) -> dict[str, str | None]:
        """Returns every node that `roots` need -> the node that asked for it first; None for a root.

        Breadth first, so following the values gives a shortest path. The node of a fed or frozen tensor is not there
        unless something else needs another output of it. What an op of the sort `ends` reads is not looked at.
        """
        asked: dict[str, str | None] = {}
        todo = deque()
        for tensor in roots:
            if tensor not in self.stops and tensor.node not in asked:
                asked[tensor.node] = None
                todo.append(tensor.node)
        while todo:
            name = todo.popleft()
            if self._index[name].op in ends:
                continue
            for tensor in self.reads(self._index[name]):
                if tensor.node not in asked and tensor.node in self._index:
                    asked[tensor.node] = name
                    todo.append(tensor.node)
        return asked


def path(asked: Mapping[str, str | None], node: str) -> list[str]:
    """Returns the nodes from the root down to `node`, from what `Live.needed` gives."""
    steps = [node]
    while asked[steps[-1]] is not None:
        steps.append(asked[steps[-1]])
    return steps[::-1]


def _evaluated(node: NodeDef, inputs: list[Tensor], known: Mapping[Tensor, np.ndarray]) -> np.ndarray | None:
    """The value of a node that small constants determine, or None."""
    if node.op in ("LogicalAnd", "LogicalOr"):
        for tensor in inputs:
            if tensor in known and known[tensor].shape == () and bool(known[tensor]) == (node.op == "LogicalOr"):
                return np.asarray(node.op == "LogicalOr")
    if not inputs or not all(tensor in known for tensor in inputs):
        return None
    try:
        value = fold.EVALUATORS[node.op](node, *(known[tensor] for tensor in inputs))
    except (ValueError, TypeError, IndexError):
        # A graph that would fail there when run: nothing is known about it, and nothing is lost by not knowing.
        return None
    return None if value is None or np.size(value) > fold.MOST_ELEMENTS else np.asarray(value)
