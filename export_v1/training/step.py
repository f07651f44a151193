"""One step of training as its graph has it: what the train op runs, split where the gradients come out of tf.gradients.

    inputs, labels ─► forward ─► loss ─► tf.gradients ─┤ gradients ├─► clipping, schedules, Apply… ─► variables
                        └─► moving averages of batch norm  (run with the loss)        (the update)

What is right of the cut depends on the gradients and on variables, so it is a graph of its own that can be run with
gradients from elsewhere.
"""

import dataclasses
from collections.abc import Collection, Iterable, Mapping

from export_v1 import errors
from export_v1.analysis import variables
from export_v1.ir import graph, ops, rewrite
from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor, control_inputs, data_inputs, parse
from export_v1.model import Graph
from export_v1.training import backprop
from export_v1.training.backprop import Backprop
from export_v1.training.dependence import Dependence

# What to do where an update cannot be followed.
LEAVE_IT = (
    "  Pass --leave_behind=optimizer to keep the loss and train with a Keras optimizer, or export it without --resume."
)


@dataclasses.dataclass(frozen=True)
class TrainStep:
    """What one run of the train op does.

    Attributes:
        train_op: name of the node that a training loop ran; "" where it ran several.
        losses: the tensors that gradients are taken of.
        cuts: the tensors that come out of tf.gradients, in graph order; each is in the scope of one loss.
        detached: the whole graph, in which nothing that the update needs waits for the forward pass.
        update: the same, in which what reads a counter waits for the step to be counted.
        runs: nodes of `update` that do the update when they are run.
        before: nodes that write a variable from the data, not from gradients: to be run with the loss.
        writers: the nodes that change a variable by a gradient.
        reads: sources that the update reads besides gradients, by tensor name.
        dropped: nodes that the train op ran to fill a queue from the forward pass; neither the loss nor the update runs them.
    """

    train_op: str
    losses: tuple[str, ...]
    cuts: tuple[str, ...]
    detached: GraphDef
    update: GraphDef
    runs: tuple[str, ...]
    before: tuple[str, ...]
    writers: tuple[str, ...]
    reads: tuple[str, ...]
    dropped: tuple[str, ...] = ()


def find(model: Graph, loss: str | None, frozen: Collection[str], place: str) -> TrainStep:
    """Returns the step of training that a graph was saved with.

    Args:
        model: the graph.
        loss: tensor name of the loss; None: the only one that the graph has gradients of.
        frozen: tensors that never change during training; they are nobody's data.
        place: what the graph is called in messages.

    Raises:
        ExportError: there are no gradients, or they are of another loss; or there are several steps, and nothing
            tells which is meant.
    """
    return _Finding(model, frozen, place).step(loss)


def loss_alone(model: Graph, loss: str | None, frozen: Collection[str], place: str) -> TrainStep:
    """Returns what there is of a step where nobody follows its update: the losses; see `find`."""
    return _Finding(model, frozen, place).loss_alone(loss)


class _Finding:
    def __init__(self, model: Graph, frozen: Collection[str], place: str):
        self._place = place
        self._index = model.index
        self._frozen = {parse(name).node for name in frozen}
        self._calls = backprop.calls(self._index)
        self._depends = Dependence(self._index, self._calls, self._frozen)

    def step(self, loss: str | None) -> TrainStep:
        calls = self._wanted(loss)
        writers = self._writers(calls)
        if not writers:
            raise errors.ExportError(
                f"No op of {self._place} changes a variable by the gradients of {_listed(calls)}.\n"
                f"  --resume goes on with the train op that the graph was saved with; this one has none.\n{LEAVE_IT}"
            )
        train_op, ends = self._train_op(writers, calls)
        parts = self._split(ends)
        used = dict.fromkeys(call for cut in parts.cuts if (call := self._depends.scopes.of(parse(cut).node)))
        losses = dict.fromkeys(name for call in used for name in call.differentiated)
        return dataclasses.replace(parts, train_op=train_op, losses=tuple(losses), writers=tuple(writers))

    def loss_alone(self, loss: str | None) -> TrainStep:
        losses = dict.fromkeys(name for call in self._wanted(loss) for name in call.differentiated)
        whole = self._index.graph_def
        return TrainStep("", tuple(losses), (), whole, whole, (), (), (), ())

    def _wanted(self, loss: str | None) -> list[Backprop]:
        if not self._calls:
            raise errors.ExportError(
                f"{self._place} has no gradients: it was saved without its training ops.\n"
                "  Export it without --resume, and train it with a Keras optimizer."
            )
        if loss is None:
            return self._calls
        node = parse(loss).node
        if graph.recorded_shape(self._index[node], parse(loss).index):
            raise self._unknown_loss(loss)
        exact = [call for call in self._calls if loss in call.differentiated]
        if exact:
            return exact
        # A loss that is scaled before it is differentiated, or summed after.
        before = self._index.ancestors([node])
        related = [
            call
            for call in self._calls
            for name in call.differentiated
            if parse(name).node in before or node in self._index.ancestors([parse(name).node])
        ]
        if not related:
            raise self._unknown_loss(loss)
        return list(dict.fromkeys(related))

    def _unknown_loss(self, loss: str) -> errors.UserError:
        known = [name for call in self._calls for name in call.differentiated]
        return errors.unknown(
            "Loss", loss, f"the losses that {self._place} has gradients of", known, "Pass --loss=TENSOR."
        )

    def _writers(self, calls: Iterable[Backprop]) -> list[str]:
        reached = self._index.descendants(start for call in calls for start in call.starts)
        return [
            node.name
            for node in self._index.graph_def.node
            if node.name in reached and ops.writes_variable(node.op) and self._depends.scopes.of(node.name) is None
        ]

    def _train_op(self, writers: list[str], calls: list[Backprop]) -> tuple[str, list[str]]:
        """Returns the train op, "" if there is none, and the nodes that do all of its work."""
        common: set[str] | None = None
        for writer in writers:
            after = self._index.descendants([writer])
            common = after if common is None else common & after
        candidates = [node.name for node in self._index.graph_def.node if node.name in (common or ())]
        if candidates:
            # More than the update may hang on it: the step's counter, moving averages of the weights.
            writes = {name: self._written_by(name) for name in candidates}
            most = max(writes.values())
            all_of_it = [name for name in candidates if writes[name] == most]
            # A node in a branch does nothing in the steps that take the other one.
            train_op = next((name for name in all_of_it if not is_conditional(self._index, name)), all_of_it[0])
            return train_op, [train_op]
        losses = list(dict.fromkeys(name for call in calls for name in call.differentiated))
        if len(losses) > 1:
            flags = "\n".join(f"    --loss={name}" for name in losses)
            raise errors.ExportError(
                f"{self._place} has several training steps, for {len(losses)} losses.\n  Pass one of:\n{flags}"
            )
        return "", writers

    def _written_by(self, name: str) -> int:
        before = [self._index[node].op for node in self._index.ancestors([name])]
        return sum(ops.writes_variable(op) or op in ops.FILLS for op in before)

    def _split(self, ends: list[str]) -> TrainStep:
        runs = list(dict.fromkeys(name for end in ends for name in self._depends.instead(end)))
        cuts: dict[str, None] = {}
        reads: dict[str, None] = {}
        rewired: dict[str, NodeDef] = {}
        seen, todo = set(), list(runs)
        while todo:
            name = todo.pop()
            if name in seen:
                continue
            seen.add(name)
            node = self._index[name]
            if node.op in ops.SOURCES and name not in self._frozen:
                reads[Tensor(name).name] = None
            for tensor in data_inputs(node):
                if self._depends.is_cut(tensor, node):
                    cuts[tensor.name] = None
                elif tensor.node in self._index and tensor.node not in self._frozen:
                    todo.append(tensor.node)
            waits = list(dict.fromkeys(name for wait in control_inputs(node) for name in self._depends.instead(wait)))
            if waits != control_inputs(node):
                rewired[name] = _waiting_for(node, waits)
            todo.extend(waits)
        counted = dict(rewired)
        for name, counters in self._after_counters(seen).items():
            node = counted.get(name, self._index[name])
            counted[name] = _waiting_for(node, [*control_inputs(node), *counters])
        order, before = self._index.order, self._before(ends)
        return TrainStep(
            train_op="",
            losses=(),
            cuts=tuple(sorted(cuts, key=lambda cut: (order[parse(cut).node], cut))),
            detached=self._with(rewired),
            update=self._with(counted),
            runs=tuple(runs),
            before=before,
            writers=(),
            reads=tuple(reads),
            dropped=self._dropped(ends, seen, before),
        )

    def _dropped(self, ends: list[str], kept: set[str], before: Iterable[str]) -> tuple[str, ...]:
        reached = self._index.ancestors(ends) - kept
        losses = [parse(name).node for call in self._calls for name in call.differentiated]
        forward = self._index.ancestors([*losses, *before])
        return tuple(name for name in sorted(reached - forward) if self._index[name].op in ops.FILLS)

    def _with(self, changed: Mapping[str, NodeDef]) -> GraphDef:
        every = self._index.graph_def
        return rewrite.with_nodes(every, [changed.get(node.name, node) for node in every.node])

    def _after_counters(self, region: set[str]) -> dict[str, list[str]]:
        """Returns what reads a counter -> the writes of it that it has to wait for.

        A schedule that reads the step, and an op that counts it up, with nothing that orders the two: TensorFlow 1 may
        run either first. Its executor has the count done while it is still at the loss, so the new value is what a
        schedule reads, nearly always; here it is so each time.
        """
        waiting: dict[str, list[str]] = {}
        for name in sorted(region):
            if not ops.writes_variable(self._index[name].op) or name in self._depends.gradient_dependent:
                continue
            inputs = data_inputs(self._index[name])
            variable = variables.read_by(self._index, inputs[0]) if inputs else None
            before = self._index.ancestors([name])
            readers = variables.readers(self._index, variable) if variable else ()
            for reader in dict.fromkeys(node.name for node, _ in readers):
                if reader in region and reader not in before:
                    waiting.setdefault(reader, []).append(name)
        return waiting

    def _before(self, ends: list[str]) -> tuple[str, ...]:
        """Returns what writes a variable from the data on the way to the train op."""
        reached = self._index.ancestors(ends)
        return tuple(
            node.name
            for node in self._index.graph_def.node
            if node.name in reached
            and ops.writes_variable(node.op)
            and node.name in self._depends.data_dependent
            and node.name not in self._depends.computed_from_gradients
        )


def _waiting_for(node: NodeDef, waits: list[str]) -> NodeDef:
    made = rewrite.rewired(node, {}, {wait: "" for wait in control_inputs(node)})
    made.input.extend("^" + wait for wait in waits)
    return made


def is_conditional(index: Index, name: str) -> bool:
    """Whether a node runs in one branch of a condition alone, as a rate does of an update that is made now and then."""
    # Where branches meet again, and behind a loop, there is a value whatever a condition says.
    ends = [node.name for node in index.graph_def.node if node.op in ops.MERGES | ops.EXITS]
    return name not in ends and any(index[node].op in ops.SWITCHES for node in index.ancestors([name], stop=ends))


def _listed(calls: Iterable[Backprop]) -> str:
    return errors.quoted([name for call in calls for name in call.differentiated], 3)


def shape_of(index: Index, variable: str) -> list[int | None] | None:
    """Returns the static shape of a variable, by what its node says; None for an unknown rank."""
    proto = graph.attr(index[variable], "shape").shape
    return None if proto.unknown_rank else [dim.size if dim.size >= 0 else None for dim in proto.dim]
