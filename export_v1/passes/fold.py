"""fold: conditions on constants disappear, and with them the branch that is never taken.

A frozen `is_training` leaves Switch and Merge nodes whose predicate is known. Values of small constants are followed
forward (`known`), a Switch of a known predicate passes its data on one side and is dead on the other, deadness spreads
to whatever reads it, and a Merge with one live input left is that input:

    x ──► Switch ──:1──► train ──► Merge ──► y         x ──► infer ──► y
      false ─┘  └──:0──► infer ──────┘          ==>

Everything else that could be computed ahead is left to TensorFlow's own Grappler, which runs wherever the graph does.
"""

import contextlib

import numpy as np
import tensorflow as tf

from export_v1.ir import rewrite
from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor, attr, control_inputs, data_inputs, parse
from export_v1.passes.result import Notes, Result

SWITCHES = frozenset({"Switch", "RefSwitch"})
MERGES = frozenset({"Merge", "RefMerge"})
CONDITIONALS = frozenset({"If", "StatelessIf", "Case", "StatelessCase"})
# A predicate is a scalar, or a few of them; anything bigger is not followed.
MOST_ELEMENTS = 16

# What predicates (and a dropout's rate) are computed with. Each follows the TensorFlow op of its name.
EVALUATORS = {
    "Identity": lambda node, x: x,
    "StopGradient": lambda node, x: x,
    "Enter": lambda node, x: x if attr(node, "is_constant").b else None,
    "LogicalNot": lambda node, x: np.logical_not(x),
    "LogicalAnd": lambda node, x, y: np.logical_and(x, y),
    "LogicalOr": lambda node, x, y: np.logical_or(x, y),
    "Equal": lambda node, x, y: np.equal(x, y),
    "NotEqual": lambda node, x, y: np.not_equal(x, y),
    "Less": lambda node, x, y: np.less(x, y),
    "LessEqual": lambda node, x, y: np.less_equal(x, y),
    "Greater": lambda node, x, y: np.greater(x, y),
    "GreaterEqual": lambda node, x, y: np.greater_equal(x, y),
    "Add": lambda node, x, y: x + y,
    "AddV2": lambda node, x, y: x + y,
    "Sub": lambda node, x, y: x - y,
    "Mul": lambda node, x, y: x * y,
    "RealDiv": lambda node, x, y: np.true_divide(x, y).astype(x.dtype) if np.all(y) else None,
    "Cast": lambda node, x: x.astype(tf.as_dtype(attr(node, "DstT").type).as_numpy_dtype),
    "Squeeze": lambda node, x: np.squeeze(x) if not attr(node, "squeeze_dims").list.i else None,
    "Reshape": lambda node, x, shape: np.reshape(x, shape),
    "ExpandDims": lambda node, x, axis: np.expand_dims(x, int(axis)),
    "All": lambda node, x, axes: np.all(x, axis=tuple(np.ravel(axes)), keepdims=attr(node, "keep_dims").b),
    "Any": lambda node, x, axes: np.any(x, axis=tuple(np.ravel(axes)), keepdims=attr(node, "keep_dims").b),
}


def conditions(graph_def: GraphDef) -> Result:
    """Returns the graph without the conditions whose predicate is a constant; notes how many nodes went with them.

    Every tensor that is still computed keeps its name. A node that only the branch not taken could reach is gone.

    Args:
        graph_def: not modified; constants as `freeze` leaves them.
    """
    folding = _Folding(graph_def)
    for node in in_order(graph_def):
        folding.visit(node)
    left = {node.name for node in folding.nodes}
    folded = sum(node.name not in left for node in graph_def.node)
    return Result(rewrite.with_nodes(graph_def, folding.nodes), notes=Notes(folded=folded))


def in_order(graph_def: GraphDef) -> list[NodeDef]:
    """Returns the nodes so that each comes after what it reads; a loop's way back does not count.

    Iterative, since a graph of a deep network is deeper than Python's stack.
    """
    index, done, order = Index(graph_def), set(), []
    for root in graph_def.node:
        stack = [(root, False)]
        while stack:
            node, expanded = stack.pop()
            if expanded:
                order.append(node)
            elif node.name not in done:
                done.add(node.name)
                stack.append((node, True))
                reads = (index.nodes.get(parse(edge).node) for edge in node.input)
                stack.extend((one, False) for one in reads if one is not None and one.op not in _WAY_BACK)
    return order


_WAY_BACK = frozenset({"NextIteration", "RefNextIteration"})


def known_values(graph_def: GraphDef) -> dict[Tensor, np.ndarray]:
    """Returns the value of every tensor that constants of at most a few elements determine."""
    values: dict[Tensor, np.ndarray] = {}
    for node in in_order(graph_def):
        _evaluate(node, data_inputs(node), values)
    return values


def _evaluate(node: NodeDef, inputs: list[Tensor], values: dict[Tensor, np.ndarray]) -> None:
    value = None
    if node.op == "Const":
        proto = attr(node, "value").tensor
        if np.prod([dim.size for dim in proto.tensor_shape.dim], dtype=np.int64) <= MOST_ELEMENTS:
            value = tf.make_ndarray(proto)
    elif node.op in ("LogicalAnd", "LogicalOr"):
        value = _short_circuit(node.op, [values.get(tensor) for tensor in inputs])
    if value is None and node.op in EVALUATORS and all(tensor in values for tensor in inputs):
        # What decides without its other operand has no rank of its own, so an axis may not be there.
        with contextlib.suppress(ValueError):
            value = EVALUATORS[node.op](node, *(values[tensor] for tensor in inputs))
    if value is not None and np.size(value) <= MOST_ELEMENTS:
        values[Tensor(node.name)] = np.asarray(value)


def _short_circuit(op: str, operands: list) -> np.ndarray | None:
    """`x and False` is False whatever x is, and `x or True` is True; both operands have to be scalars for that."""
    deciding = op == "LogicalOr"
    for operand in operands:
        if operand is not None and operand.shape == () and bool(operand) == deciding:
            return np.asarray(deciding)
    return None


class _Folding:
    """One walk over the graph in order: what is dead, what stands in for what, what is left."""

    def __init__(self, graph_def: GraphDef):
        self.nodes: list[NodeDef] = []
        self._values: dict[Tensor, np.ndarray] = {}
        self._stands_in: dict[Tensor, Tensor] = {}
        self._dead_tensors: set[Tensor] = set()
        self._dead_nodes: set[str] = set()
        self._ways_back = {node.name for node in graph_def.node if node.op in _WAY_BACK}

    def visit(self, node: NodeDef) -> None:
        inputs = data_inputs(node)
        resolved = [self._resolve(tensor) for tensor in inputs]
        if node.op in MERGES:
            self._merge(node, inputs)
        elif any(map(self._dead, inputs)) or any(name in self._dead_nodes for name in control_inputs(node)):
            self._dead_nodes.add(node.name)
        elif node.op in SWITCHES and np.shape(self._values.get(resolved[1], [0])) == ():
            self._switch(node, resolved[0], bool(self._values[resolved[1]]))
        elif node.op in CONDITIONALS and resolved[0] in self._values:
            self._call(node, self._values[resolved[0]])
        else:
            self._keep(node)
            _evaluate(node, resolved, self._values)

    def _resolve(self, tensor: Tensor) -> Tensor:
        while tensor in self._stands_in:
            tensor = self._stands_in[tensor]
        return tensor

    def _dead(self, tensor: Tensor) -> bool:
        """Asked of tensors of the graph that came in: what stands in for a live one may carry a dead one's name."""
        return tensor.node in self._dead_nodes or tensor in self._dead_tensors

    def _keep(self, node: NodeDef) -> None:
        dead = {name: "" for name in control_inputs(node) if name in self._dead_nodes}
        self.nodes.append(rewrite.rewired(node, self._resolve, dead))

    def _identity(self, node: NodeDef, source: Tensor) -> None:
        """Keeps a node as the identity of one of its inputs, so that whoever waits for it still can."""
        made = rewrite.node(node.name, "Identity", [source])
        made.input.extend("^" + name for name in control_inputs(node) if name not in self._dead_nodes)
        made.attr["T"].CopyFrom(node.attr["T"])
        self.nodes.append(made)
        if source in self._values:
            self._values[Tensor(node.name)] = self._values[source]

    def _switch(self, node: NodeDef, data: Tensor, predicate: bool) -> None:
        self._identity(node, data)
        self._dead_tensors.add(Tensor(node.name, 1 - predicate))
        if node.op == "RefSwitch" or not control_inputs(node):
            # A reference has to stay one for the ops that write through it, so nothing may stand in between.
            self._stands_in[Tensor(node.name, int(predicate))] = data
        elif predicate:
            self._stands_in[Tensor(node.name, 1)] = Tensor(node.name, 0)

    def _merge(self, node: NodeDef, inputs: list[Tensor]) -> None:
        live = [at for at, tensor in enumerate(inputs) if not self._dead(tensor)]
        entries = [at for at in live if inputs[at].node not in self._ways_back]
        if not entries:
            self._dead_nodes.add(node.name)
        elif len(live) == len(inputs):
            self._keep(node)
        elif len(live) == 1:
            source = self._resolve(inputs[live[0]])
            self._identity(node, source)
            if node.op == "RefMerge":
                self._stands_in[Tensor(node.name, 0)] = source
            which = rewrite.constant(f"{node.name}/value_index", live[0], tf.int32)
            self._stands_in[Tensor(node.name, 1)] = Tensor(which.name)
            self.nodes.append(which)
        else:
            kept = rewrite.node(node.name, node.op, [self._resolve(inputs[at]) for at in live], N=len(live))
            kept.input.extend("^" + name for name in control_inputs(node) if name not in self._dead_nodes)
            kept.attr["T"].CopyFrom(node.attr["T"])
            self.nodes.append(kept)

    def _call(self, node: NodeDef, selector: np.ndarray) -> None:
        """An If or Case of a known branch is a call of that branch's function."""
        stateless = node.op.startswith("Stateless")
        if node.op.endswith("If"):
            # TensorFlow counts any tensor that is neither a scalar nor empty as true.
            true = bool(selector) if selector.shape == () else selector.size > 0
            branch = node.attr["then_branch" if true else "else_branch"].func
            arguments = node.attr["Tin"]
        else:
            branches = node.attr["branches"].list.func
            at = int(selector)
            branch = branches[at if 0 <= at < len(branches) else -1]
            arguments = node.attr["Tin"]
        made = rewrite.node(node.name, "PartitionedCall" if stateless else "StatefulPartitionedCall")
        made.input.extend(rewrite.rewired(node, self._resolve).input[1:])
        made.attr["Tin"].CopyFrom(arguments)
        made.attr["Tout"].CopyFrom(node.attr["Tout"])
        made.attr["f"].func.CopyFrom(branch)
        self.nodes.append(made)
