"""What runs of a graph when some of its tensors are fed and some have known values: the one place that decides it.

The values of small constants are followed forward, through whatever `constants` can evaluate. A Switch of a known
predicate passes its data on one side and is dead on the other; deadness spreads to whatever reads it or waits for it,
up to a Merge that has another live input. A value stays known through a Switch that data decides: wherever the tensor
is alive, it has that value. So a condition on a frozen flag is settled inside a condition on data, too.

    x ──► Switch ──:1──► train ──► Merge ──► y         x ──► infer ──► y
      false ─┘  └──:0──► infer ──────┘          ==>

`passes.fold` writes down in the graph what is found here, so what `Liveness.needed` returns is what is left of the
exported graph once it is pruned.
"""

import functools
import itertools
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2

from export_v1.analysis import constants
from export_v1.ir import graph, ops, ordering
from export_v1.ir.graph import Edges, GraphDef, Index, NodeDef, Tensor

# Under which outcomes of undecided conditions a tensor is alive: one bit for each (predicate, side), all of which have
# to hold. The two sides of a predicate are neighbours, the first at an even place.
Conditions = int
_ALWAYS: Conditions = 0
# Ops that may not compute with all that they read.
_CHOOSING = ops.MERGES | ops.SWITCHES | ops.CONDITIONALS | ops.SELECTS
# Ops that decide something; any other matters only behind one of them.
_DECIDING = ops.MERGES | ops.SWITCHES | ops.EXITS | constants.EVALUATORS.keys()


class _Visit(NamedTuple):
    """What a walk asks about a node, taken out of the protobuf once."""

    node: NodeDef
    name: str
    op: str
    edges: Edges


class Reads(NamedTuple):
    """What a node waits for.

    Attributes:
        data: the tensors that it computes with.
        controls: names of the nodes that it waits for.
        guard: see `Liveness.guard`.
    """

    data: Sequence[Tensor]
    controls: Sequence[str]
    guard: Tensor | None


class Ordered:
    """A graph read once for many looks at what runs in it; shared by all who ask `of` about the same index.

    Attributes:
        index: the graph.
        nodes: all nodes, each after what it reads.
        constants: tensor -> value, for every small Const.
        visits: what a walk asks about each node, in this order.
        deciding: places in `visits` of the ops that decide something.
    """

    def __init__(self, index: Index):
        self.index = index
        self.nodes = ordering.in_order(index)
        self.constants: dict[Tensor, np.ndarray] = {}
        self.visits: list[_Visit] = []
        self.deciding: list[int] = []
        # Node name -> the values it was last given, and what it made of them.
        self._results: dict[str, tuple[list[np.ndarray | None], np.ndarray | None]] = {}
        kinds = index.kinds
        for at, node in enumerate(self.nodes):
            name = node.name
            op = kinds[name]
            if op == "Const" and (value := constants.evaluated(node)) is not None:
                self.constants[Tensor(name)] = value
            elif op in _DECIDING:
                self.deciding.append(at)
            self.visits.append(_Visit(node, name, op, index.edges(name)))

    @classmethod
    def of(cls, index: Index) -> "Ordered":
        """Returns the one of an index."""
        return index.once(cls)

    def evaluated(self, node: NodeDef, name: str, operands: list[np.ndarray | None]) -> np.ndarray | None:
        """Returns `constants.evaluated` of a node; looks that differ in a few values compute most others once."""
        given, result = self._results.get(name, ([], None))
        if len(given) != len(operands) or any(value is not other for value, other in zip(given, operands, strict=True)):
            result = constants.evaluated(node, operands)
            self._results[name] = operands, result
        return result

    def inputs(self, node: NodeDef) -> Sequence[Tensor]:
        """Returns `graph.data_inputs` of a node."""
        return self.index.edges(node.name).data

    def controls(self, node: NodeDef) -> Sequence[str]:
        """Returns `graph.control_inputs` of a node."""
        return self.index.edges(node.name).controls


def known_values(graph_def: GraphDef) -> dict[Tensor, np.ndarray]:
    """Returns the value of every tensor that constants of at most a few elements determine, wherever it is alive."""
    return Liveness(Ordered.of(Index(graph_def))).known


class Liveness:
    """Which tensors are known, which are dead, and what a tensor needs, under given values and cuts.

    Args:
        ordered: the graph.
        values: tensor -> the value it is frozen to.
        cuts: tensors that are fed.

    Attributes:
        known: tensor -> its value, wherever it is alive.
        stops: the frozen and the fed tensors; nothing is needed for them.
    """

    def __init__(
        self,
        ordered: Ordered,
        values: Mapping[Tensor, object] = MappingProxyType({}),
        cuts: Collection[Tensor] = (),
    ):
        self._ordered, self._index = ordered, ordered.index
        self._frozen = set(values)
        self.stops = set(cuts) | self._frozen
        # Whoever waits for a node waits for what takes its place.
        self._stop_nodes = {tensor.node for tensor in self.stops}
        self.known = dict(ordered.constants)
        for tensor, value in dict(values).items():
            self.known[tensor] = self._of_own_type(tensor, value)
        self._dead: set[Tensor] = set()
        self._dead_nodes: set[str] = set()
        # Of a node, or of one side of a Switch; only of what is not always alive.
        self._conditions: dict[str | Tensor, Conditions] = {}
        # Predicate -> the place of its first side among the bits.
        self._places: dict[Tensor, int] = {}
        self._walk()
        self._reads: dict[str, Reads] = {}

    def _of_own_type(self, tensor: Tensor, value: object) -> np.ndarray:
        """A frozen value as the constant that it becomes: comparisons depend on how a number is rounded."""
        data_type = self._index.data_type(tensor) if tensor.node in self._index else None
        kind = tf.as_dtype(data_type).base_dtype if data_type else None
        return np.asarray(value, kind.as_numpy_dtype if kind is not None and kind != tf.string else None)

    # What a walk over the graph finds out about one node after the other.

    def _walk(self) -> None:
        visits, rest = self._ordered.visits, 0
        for at in self._ordered.deciding:
            self._visit(*visits[at])
            if self._dead or self._dead_nodes or self._conditions:
                # From here on it counts what a node reads, whatever its op.
                rest = at + 1
                break
        else:
            return
        for visit in itertools.islice(visits, rest, None):
            self._visit(*visit)

    def _visit(self, node: NodeDef, name: str, op: str, edges: Edges) -> None:
        inputs, controls = edges
        if op in ops.MERGES:
            self._merge(node, inputs)
        elif (self._dead or self._dead_nodes) and (any(map(self.is_dead, inputs)) or any(self._dead_among(controls))):
            self._dead_nodes.add(name)
        else:
            if self._conditions and (inputs or controls):
                conditions = self._alive_under(inputs, controls)
                if conditions:
                    self._conditions[name] = conditions
            if op in ops.SWITCHES:
                self._switch(node, inputs)
            elif op in ops.EXITS:
                self._leave_loop(node, inputs)
            elif op in constants.EVALUATORS and any(tensor in self.known for tensor in inputs):
                value = self._ordered.evaluated(node, name, [self.known.get(tensor) for tensor in inputs])
                if value is not None:
                    self.known.setdefault(Tensor(name), value)

    def _bit(self, predicate: Tensor, side: int) -> Conditions:
        """The bit of one side of a predicate; of a Merge that tells for itself, side 0."""
        return 1 << self._places.setdefault(predicate, 2 * len(self._places)) + side

    def _alive_under(self, tensors: Iterable[Tensor], controls: Iterable[str] = ()) -> Conditions:
        """The conditions under which some tensors are there and some nodes have run."""
        result = _ALWAYS
        for tensor in tensors:
            if tensor not in self.stops:
                result |= self._conditions.get(tensor) or self._conditions.get(tensor.node, _ALWAYS)
        for name in self._conditions.keys() & controls if controls else ():
            if name not in self._stop_nodes:
                result |= self._conditions[name]
        return result

    def _switch(self, node: NodeDef, inputs: Sequence[Tensor]) -> None:
        side = self.side(node)
        if side is not None:
            self._dead.add(Tensor(node.name, 1 - side))
        else:
            under = self._conditions.get(node.name, _ALWAYS)
            for at in (0, 1):
                self._conditions[Tensor(node.name, at)] = under | self._bit(inputs[1], at)
        if inputs[0] in self.known:
            for at in (0, 1):
                self.known.setdefault(Tensor(node.name, at), self.known[inputs[0]])

    def _leave_loop(self, node: NodeDef, inputs: Sequence[Tensor]) -> None:
        """What comes out of a loop is there whenever the loop was entered, not only in its last turn."""
        switch = self._index.nodes.get(inputs[0].node)
        if switch is not None and switch.op in ops.SWITCHES and node.name in self._conditions:
            self._conditions[node.name] &= ~self._bit(self._ordered.inputs(switch)[1], inputs[0].index)

    def _merge(self, node: NodeDef, inputs: Sequence[Tensor]) -> None:
        live = [tensor for tensor in inputs if not self.is_dead(tensor)]
        # A loop's way back runs only if the loop is entered.
        entries = [tensor for tensor in live if not self._is_way_back(tensor)]
        if not entries:
            self._dead_nodes.add(node.name)
            return
        if self._conditions:
            alternatives = [self._alive_under([tensor]) for tensor in entries]
            conditions = _any_of(alternatives)
            if conditions is None:
                conditions = functools.reduce(int.__and__, alternatives) | self._bit(Tensor(node.name), 0)
            if conditions:
                self._conditions[node.name] = conditions
        if len(live) == 1:
            if live[0] in self.known:
                self.known.setdefault(Tensor(node.name), self.known[live[0]])
            self.known.setdefault(Tensor(node.name, 1), np.asarray(inputs.index(live[0]), np.int32))

    def _is_way_back(self, tensor: Tensor) -> bool:
        node = self._index.nodes.get(tensor.node)
        return node is not None and node.op in ops.WAYS_BACK

    def _dead_among(self, names: Sequence[str]) -> Iterator[str]:
        """Yields those of some nodes that never run, and that nothing takes the place of."""
        if self._dead_nodes and not self._dead_nodes.isdisjoint(names):
            yield from (name for name in names if name in self._dead_nodes and name not in self._stop_nodes)

    # What was found out.

    def runs(self, node: NodeDef) -> bool:
        """Returns whether a node ever runs."""
        return node.name not in self._dead_nodes

    def excludes(self, node: str, other: str) -> bool:
        """Returns whether two nodes never run in one run of the graph: they stand on two sides of one condition.

        A condition inside a loop, or behind one, does not count: each side may have its turn.
        """
        both = self._conditions.get(node, _ALWAYS) | self._conditions.get(other, _ALWAYS)
        opposed = [predicate for predicate, place in self._places.items() if both >> place & 0b11 == 0b11]
        return any(
            not any(node.op in ops.WAYS_BACK for node in map(self._index.__getitem__, self._index.ancestors([name])))
            for name in (predicate.node for predicate in opposed)
        )

    def is_dead(self, tensor: Tensor) -> bool:
        """Returns whether a tensor is never computed; frozen and fed ones always are there."""
        return (tensor.node in self._dead_nodes or tensor in self._dead) and tensor not in self.stops

    def live_inputs(self, node: NodeDef) -> list[int]:
        """Returns the positions of a node's data inputs that are not dead: of a Merge, those it may take."""
        return [at for at, tensor in enumerate(self._ordered.inputs(node)) if not self.is_dead(tensor)]

    def live_controls(self, node: NodeDef) -> Sequence[str]:
        """Returns the nodes that a node waits for, without the dead ones: a Merge waits for neither dead input."""
        controls = self._ordered.controls(node)
        dead = set(self._dead_among(controls))
        return [name for name in controls if name not in dead] if dead else controls

    def side(self, node: NodeDef) -> int | None:
        """Returns the output by which a Switch always passes its data on, or None where data decides."""
        predicate = constants.scalar(self.known.get(self._ordered.inputs(node)[1]))
        return None if predicate is None else int(bool(predicate))

    def branch(self, node: NodeDef) -> attr_value_pb2.NameAttrList | None:
        """Returns the function that an If or a Case always calls, or None where data decides."""
        selector = self.known.get(self._ordered.inputs(node)[0])
        if selector is None:
            return None
        if node.op in ops.IFS:
            # TensorFlow counts any tensor that is neither a scalar nor empty as true.
            is_true = bool(selector) if selector.shape == () else selector.size > 0
            return graph.attr(node, "then_branch" if is_true else "else_branch").func
        branches = graph.attr(node, "branches").list.func
        if selector.shape != () or not branches:
            return None
        return branches[int(selector) if 0 <= selector < len(branches) else -1]

    def selected(self, node: NodeDef) -> int | None:
        """Returns the position of the input that a Select always gives, or None where that is not certain.

        It is not where the other input has a say in the shape of the result, or runs under conditions of its own.
        """
        inputs = self._ordered.inputs(node)
        condition = constants.scalar(self.known.get(inputs[0]))
        if condition is None:
            return None
        at = 1 if condition else 2
        if node.op == "SelectV2" and not self._have_one_shape(inputs[1], inputs[2]):
            return None
        alone = self._alive_under([inputs[at]], self.live_controls(node))
        return None if self._alive_under(inputs) & ~alone else at

    def _have_one_shape(self, *tensors: Tensor) -> bool:
        """Whether tensors are recorded with the same sizes, all known: then none is broadcast to another."""
        shapes = [graph.recorded_shape(self._index[tensor.node], tensor.index) for tensor in tensors]
        first = shapes[0]
        return first is not None and None not in first and all(shape == first for shape in shapes)

    def guard(self, node: NodeDef) -> Tensor | None:
        """Returns the known predicate that a decided Switch, If or Case still has to wait for, or None.

        Where a predicate is alive under conditions that the rest of the node's inputs do not share, the node is dead
        when the predicate is, whatever its value.
        """
        if not self._conditions:
            return None
        inputs = self._ordered.inputs(node)
        if node.op in ops.SWITCHES and self.side(node) is not None:
            predicate, others = inputs[1], inputs[:1]
        elif node.op in ops.CONDITIONALS and self.branch(node) is not None:
            predicate, others = inputs[0], inputs[1:]
        else:
            return None
        alone = self._alive_under([predicate])
        return predicate if alone & ~self._alive_under(others, self.live_controls(node)) else None

    def data(self, node: NodeDef) -> Sequence[Tensor]:
        """Returns what a node computes with: its live inputs, less frozen ones and the side of a choice not taken."""
        inputs, op = self._ordered.inputs(node), node.op
        if op not in _CHOOSING:
            pass
        elif op in ops.MERGES:
            inputs = [inputs[at] for at in self.live_inputs(node)]
        elif op in ops.SWITCHES and self.side(node) is not None:
            inputs = inputs[:1]
        elif op in ops.CONDITIONALS and self.branch(node) is not None:
            inputs = inputs[1:]
        elif op in ops.SELECTS and (selected := self.selected(node)) is not None:
            inputs = [inputs[selected]]
        return [tensor for tensor in inputs if tensor not in self._frozen] if self._frozen else inputs

    def reads(self, node: NodeDef) -> Reads:
        """Returns what a node waits for, less what is fed."""
        reads = self._reads.get(node.name)
        if reads is None:
            data, controls, guard = self.data(node), self.live_controls(node), self.guard(node)
            if self.stops:
                data = [tensor for tensor in data if tensor not in self.stops]
                if not self._stop_nodes.isdisjoint(controls):
                    controls = [name for name in controls if name not in self._stop_nodes]
                guard = None if guard in self.stops else guard
            reads = self._reads[node.name] = Reads(tuple(data), tuple(controls), guard)
        return reads

    def needed(self, roots: Iterable[Tensor], ends: Collection[str] = ()) -> dict[str, str | None]:
        """Returns every node that `roots` need -> the node that asked for it first; None for a root.

        Breadth first, so following the values gives a shortest path. The node of a fed or frozen tensor is not there
        unless something else needs another output of it. What an op of the sort `ends` reads is not looked at.
        """
        asked_by: dict[str, str | None] = {}
        todo: deque[str] = deque()
        for tensor in roots:
            if tensor not in self.stops and tensor.node not in asked_by:
                asked_by[tensor.node] = None
                todo.append(tensor.node)
        nodes, kinds, stops = self._index.nodes, self._index.kinds, self.stops
        # Many nodes wait for the same others, in one tuple.
        waited: set[int] = set()
        while todo:
            name = todo.popleft()
            op = kinds[name]
            if op in ends:
                continue
            data: Sequence[Tensor]
            data, controls = self._index.edges(name)
            guard = None
            if op in _CHOOSING:
                data, _, guard = self.reads(nodes[name])
            sources = [tensor.node for tensor in data if tensor not in stops]
            if controls and id(controls) not in waited:
                waited.add(id(controls))
                sources += [
                    control
                    for control in controls
                    if control not in self._stop_nodes and control not in self._dead_nodes
                ]
            if guard is not None:
                sources.append(guard.node)
            for source in sources:
                if source not in asked_by and source in nodes:
                    asked_by[source] = name
                    todo.append(source)
        return asked_by


def path(asked_by: Mapping[str, str | None], node: str) -> list[str]:
    """Returns the nodes from the root down to `node`, from what `Liveness.needed` gives."""
    steps = [node]
    while (above := asked_by[steps[-1]]) is not None:
        steps.append(above)
    return steps[::-1]


def _any_of(alternatives: Iterable[Conditions]) -> Conditions | None:
    """The conditions under which at least one of the inputs of a Merge is there, or None where no conditions say it.

    The two sides of one condition are there together whenever the condition is asked. Any other union is told by the
    Merge itself, beside what its inputs have in common.
    """
    left = set(alternatives)
    if _ALWAYS in left:
        return _ALWAYS
    todo = list(left)
    while todo and len(left) > 1:
        conjunction = todo.pop()
        if conjunction not in left:
            continue
        # Two sets that are one without a predicate differ in nothing else.
        literals = conjunction if len(left) > 2 else conjunction & _pair_of(functools.reduce(int.__xor__, left))
        for literal, opposite in _literals(literals):
            other = conjunction & ~literal | opposite
            if other in left:
                left -= {conjunction, other}
                left.add(conjunction & ~literal)
                todo.append(conjunction & ~literal)
                break
    return left.pop() if len(left) == 1 else None


def _pair_of(conditions: Conditions) -> Conditions:
    """Returns the bits of both sides of the first predicate in some conditions."""
    return 3 << ((conditions & -conditions).bit_length() - 1 & ~1)


def _literals(conditions: Conditions) -> Iterator[tuple[Conditions, Conditions]]:
    """Yields the bit of each condition, and that of its opposite."""
    while conditions:
        literal = conditions & -conditions
        yield literal, _pair_of(literal) & ~literal
        conditions &= ~literal
