"""Whether each row of a model's outputs depends on the same row of its inputs, and on no other.

The batch is followed forward from the inputs, op by op: through what works element by element, row by row, or along other
axes. Where an op puts rows together (a mean over the batch, a slice that shifts it, a condition on what one row says) they
are mixed, and so is all that is computed from there. An op that no table in `rows` has counts as one that mixes.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

import tensorflow as tf

from export_v1.analysis.liveness import Liveness, Ordered
from export_v1.analysis.rows import computing, endings, flow, shaping, slicing
from export_v1.analysis.rows.states import FREE, Done, Free, Last, Look, Mixed, Rows, Shape, State, either
from export_v1.ir import graph, importing, library, ops, ordering
from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor, attr, data_inputs

_CALLING = ops.WHILES | ops.IFS | ops.CALLS
_RULES = {**computing.RULES, **shaping.RULES, **slicing.RULES, **flow.RULES}


def mixing(
    graph_def: GraphDef,
    inputs: Iterable[str],
    outputs: Mapping[str, str],
    frozen: Mapping[str, object],
    written: Index | None = None,
) -> dict[str, str]:
    """Returns the outputs that are not known to be one answer for each row -> the op that puts rows together.

    Args:
        graph_def: as the original runs, its inputs placeholders with an open first size.
        inputs: names of the tensors whose first axis is the batch.
        outputs: key -> tensor name.
        frozen: tensor name -> the value that it is fed.
        written: the graph with the shapes that TensorFlow 1 recorded, which tell what is in a loop.
    """
    values = {graph.parse(name): value for name, value in frozen.items()}
    index, mixed = Index(graph_def), {}
    states = _Following(index, {graph.parse(name): Rows(0) for name in inputs}, values, written).states
    for key, name in outputs.items():
        state = states.get(graph.parse(name), FREE)
        if isinstance(state, Mixed):
            mixed[key] = f"{state.node!r} ({index[state.node].op})"
        elif not isinstance(state, Free) and not (isinstance(state, Rows) and state.axis == 0):
            mixed[key] = f"{name!r}, whose first axis is not the batch"
    return mixed


class _Following:
    """Finds the state of every tensor, going round loops until nothing changes."""

    def __init__(
        self,
        index: Index,
        inputs: Mapping[Tensor, State],
        frozen: Mapping[Tensor, object] = MappingProxyType({}),
        written: Index | None = None,
    ):
        self._index = index
        self._live = Liveness(Ordered.of(self._index), frozen)
        self._shapes = _static_shapes(index.graph_def, written)
        self.states: dict[Tensor, State] = dict(inputs)
        todo = [node.name for node in ordering.in_order(index)]
        waiting = set(todo)
        todo.reverse()
        while todo:
            name = todo.pop()
            waiting.discard(name)
            node = self._index[name]
            if self._follow(node):
                readers = {
                    reader.name for reader, at in self._index.consumers(name) if not reader.input[at].startswith("^")
                }
                todo += readers - waiting
                waiting |= readers

    def _follow(self, node: NodeDef) -> bool:
        sources = data_inputs(node)
        # Nothing comes out of a branch that the frozen values never take.
        known = [None if self._live.is_dead(tensor) else self.states.get(tensor) for tensor in sources]
        if all(state is None or isinstance(state, Free) for state in known):
            return False
        states = [state or FREE for state in known]
        state = self._of(node, sources, states)
        changed = False
        for at, new in enumerate(state if isinstance(state, list) else [state] * max(len(graph.output_types(node)), 1)):
            tensor = Tensor(node.name, at)
            joined = either(self.states.get(tensor), new, node.name)
            if joined != self.states.get(tensor):
                self.states[tensor] = joined
                changed = True
        return changed

    def _of(self, node: NodeDef, sources: list[Tensor], states: list[State]) -> State | list[State]:
        if node.op in _CALLING:
            return self._called(node, sources, states)
        mixed = next((state for state in states if isinstance(state, Mixed)), None)
        if mixed is not None and node.op not in ops.MERGES:
            return mixed
        # Of all rows together: a bound on a loop's steps, and nothing else.
        bounds = node.op not in ops.SWITCHES and any(isinstance(state, Last | Done) for state in states)
        rule = (endings.RULES if bounds else _RULES).get(node.op)
        state = rule(Look(self._index, self._shapes, node, sources, states, self._live.known)) if rule else None
        return Mixed(node.name) if state is None else state

    def _called(self, node: NodeDef, sources: list[Tensor], states: list[State]) -> list[State]:
        """Returns the states of what comes out of a functional loop, of a functional condition or of a call."""
        count = len(graph.output_types(node, self._index.functions))
        mixed: list[State] = [Mixed(node.name)] * count
        if node.op in ops.WHILES:
            shapes = [self._shapes.get(Tensor(node.name, at)) for at in range(count)]
            while True:
                [goes_on] = self._inside(node, attr(node, "cond").func.name, shapes, states)
                if not isinstance(goes_on, Free):
                    return mixed
                after = self._inside(node, attr(node, "body").func.name, shapes, states)
                joined = [either(old, new, node.name) for old, new in zip(states, after, strict=True)]
                if joined == states:
                    return states
                states = joined
        first = 0 if node.op in ops.CALLS else 1
        if not all(isinstance(state, Free) for state in states[:first]):
            return mixed
        shapes = [self._shapes.get(tensor) for tensor in sources[first:]]
        branch = self._live.branch(node)
        names = ["f"] if node.op in ops.CALLS else ["then_branch", "else_branch"]
        functions = [attr(node, name).func for name in names] if branch is None else [branch]
        answers = [self._inside(node, function.name, shapes, states[first:]) for function in functions]
        together = answers[0]
        for answer in answers[1:]:
            together = [either(state, other, node.name) for state, other in zip(together, answer, strict=True)]
        return together

    def _inside(self, node: NodeDef, function: str, shapes: list[Shape], states: list[State]) -> list[State]:
        """Returns the states of what a function returns; what is mixed in it is mixed by the node that calls it."""
        body = library.body(self._index.graph_def, function)
        for argument, shape in zip(body.graph_def.node, shapes, strict=False):
            argument.attr["shape"].shape.CopyFrom(tf.TensorShape(shape).as_proto())
        inside = _Following(Index(body.graph_def), dict(zip(body.arguments, states, strict=True))).states
        returned = [inside.get(tensor, FREE) for tensor in body.returned]
        return [Mixed(node.name) if isinstance(state, Mixed) and state not in states else state for state in returned]


def _static_shapes(graph_def: GraphDef, written: Index | None) -> dict[Tensor, Shape]:
    with tf.Graph().as_default() as imported:
        importing.graph_def(graph_def)
        return {
            Tensor(operation.name, at): _recorded(written, Tensor(operation.name, at))
            if output.shape.rank is None
            else output.shape.as_list()
            for operation in imported.get_operations()
            for at, output in enumerate(operation.outputs)
        }


def _recorded(written: Index | None, tensor: Tensor) -> Shape:
    return graph.recorded_shape_of(written, tensor) if written is not None and tensor.node in written else None
