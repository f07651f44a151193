"""One step of training as its graph has it: what the train op runs, split where the gradients come out of tf.gradients.

    inputs, labels ─► forward ─► loss ─► tf.gradients ─┤ gradients ├─► clipping, schedules, Apply… ─► variables
                        └─► moving averages of batch norm  (run with the loss)        (the update)

What is right of the cut depends on the gradients and on variables, so it is a graph of its own that can be run with
gradients from elsewhere.
"""

import dataclasses
import functools
from collections.abc import Collection, Iterable, Mapping

from export_v1 import errors
from export_v1.ir import graph, ops, rewrite
from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor, control_inputs, data_inputs, parse
from export_v1.model import Graph
from export_v1.training import backprop
from export_v1.training.backprop import Backprop


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


class _Finding:
    def __init__(self, model: Graph, frozen: Collection[str], place: str):
        self._place = place
        self._index = Index(model.graph_def)
        self._frozen = {parse(name).node for name in frozen}
        self._calls = backprop.calls(self._index)
        self._scopes = backprop.Scopes(self._calls)

    def step(self, loss: str | None) -> TrainStep:
        calls = self._wanted(loss)
        writers = self._writers(calls)
        if not writers:
            raise errors.ExportError(
                f"No op of {self._place} changes a variable by the gradients of {_listed(calls)}.\n"
                "  --resume goes on with the train op that the graph was saved with; this one has none."
            )
        train_op, ends = self._train_op(writers, calls)
        parts = self._split(ends)
        used = dict.fromkeys(call for cut in parts.cuts if (call := self._scopes.of(parse(cut).node)))
        losses = dict.fromkeys(name for call in used for name in call.differentiated)
        return dataclasses.replace(parts, train_op=train_op, losses=tuple(losses), writers=tuple(writers))

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
        return errors.unknown("Loss", loss, f"what {self._place} has gradients of", known, "Pass --loss=TENSOR.")

    def _writers(self, calls: Iterable[Backprop]) -> list[str]:
        reached = self._index.descendants(start for call in calls for start in call.starts)
        return [
            node.name
            for node in self._index.graph_def.node
            if node.name in reached and ops.writes_variable(node.op) and self._scopes.of(node.name) is None
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
            return next((name, [name]) for name in candidates if writes[name] == most)
        losses = list(dict.fromkeys(name for call in calls for name in call.differentiated))
        if len(losses) > 1:
            flags = "\n".join(f"    --loss={name}" for name in losses)
            raise errors.ExportError(
                f"{self._place} has several training steps, for {len(losses)} losses.\n  Pass one of:\n{flags}"
            )
        return "", writers

    def _written_by(self, name: str) -> int:
        return sum(ops.writes_variable(self._index[node].op) for node in self._index.ancestors([name]))

    def _is_cut(self, tensor: Tensor, reader: NodeDef) -> bool:
        """Whether a tensor that a node reads comes out of tf.gradients there."""
        return (
            tensor.index >= 0
            and tensor.node in self._index
            and self._scopes.of(tensor.node) is not None
            and self._scopes.of(reader.name) is None
            and self._index[tensor.node].op != "Const"
        )

    def _split(self, ends: list[str]) -> TrainStep:
        runs = list(dict.fromkeys(name for end in ends for name in self._instead(end)))
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
                if self._is_cut(tensor, node):
                    cuts[tensor.name] = None
                elif tensor.node in self._index and tensor.node not in self._frozen:
                    todo.append(tensor.node)
            waits = list(dict.fromkeys(name for wait in control_inputs(node) for name in self._instead(wait)))
            if waits != control_inputs(node):
                rewired[name] = _waiting_for(node, waits)
            todo.extend(waits)
        counted = dict(rewired)
        for name, counters in self._after_counters(seen).items():
            node = counted.get(name, self._index[name])
            counted[name] = _waiting_for(node, [*control_inputs(node), *counters])
        every = self._index.graph_def.node
        order = {node.name: at for at, node in enumerate(every)}
        return TrainStep(
            train_op="",
            losses=(),
            cuts=tuple(sorted(cuts, key=lambda cut: (order[parse(cut).node], cut))),
            detached=self._with(rewired),
            update=self._with(counted),
            runs=tuple(runs),
            before=self._before(ends),
            writers=(),
            reads=tuple(reads),
        )

    def _with(self, changed: Mapping[str, NodeDef]) -> GraphDef:
        every = self._index.graph_def
        return rewrite.with_nodes(every, [changed.get(node.name, node) for node in every.node])

    def _after_counters(self, region: set[str]) -> dict[str, list[str]]:
        """Returns what reads a counter -> the writes of it that it has to wait for.

        A schedule that reads the step, and an op that counts it up, with nothing that orders the two: TensorFlow 1 may
        run either first. Its executor has the count done while it is still at the loss, so the new value is what a
        schedule reads, nearly always; here it is so each time.
        """
        found: dict[str, list[str]] = {}
        for name in sorted(region):
            if not ops.writes_variable(self._index[name].op) or name in self._gradient_dependent:
                continue
            inputs = data_inputs(self._index[name])
            variable = variable_of(self._index, inputs[0]) if inputs else None
            before = self._index.ancestors([name])
            for reader in self._readers(variable) if variable else ():
                if reader in region and reader not in before:
                    found.setdefault(reader, []).append(name)
        return found

    def _readers(self, variable: str) -> list[str]:
        """Returns what computes with a variable, seen through its reads."""
        found, todo, seen = [], [variable], set()
        while todo:
            for reader, at in self._index.consumers(todo.pop()):
                if reader.input[at].startswith("^") or reader.name in seen:
                    continue
                seen.add(reader.name)
                if reader.op in ops.VARIABLE_READS or reader.op in ops.ALIAS_TWINS:
                    todo.append(reader.name)
                else:
                    found.append(reader.name)
        return found

    def _before(self, ends: list[str]) -> tuple[str, ...]:
        """Returns what writes a variable from the data on the way to the train op."""
        reached = self._index.ancestors(ends)
        return tuple(
            node.name
            for node in self._index.graph_def.node
            if node.name in reached
            and ops.writes_variable(node.op)
            and node.name in self._data_dependent
            and node.name not in self._computed_from_gradients
        )

    @functools.cache  # noqa: B019 - lives as long as one look at one graph
    def _instead(self, name: str) -> tuple[str, ...]:
        """Returns what to wait for in place of a node, in a graph without the forward pass."""
        if name not in self._index:
            return ()
        node = self._index[name]
        if self._scopes.of(name) is not None:
            # Part of the backward pass: whatever is in the update comes after it anyway.
            return ()
        if name not in self._data_dependent or name in self._computed_from_gradients:
            return (name,)
        return tuple(dict.fromkeys(found for wait in control_inputs(node) for found in self._instead(wait)))

    @functools.cached_property
    def _data_dependent(self) -> set[str]:
        """What computes with data: with a source, and not only by way of a gradient."""
        sources = [
            node.name
            for node in self._index.graph_def.node
            if node.op in ops.PLACEHOLDERS | ops.FEEDERS | ops.SOURCES and node.name not in self._frozen
        ]
        return self._spread(sources)

    @functools.cached_property
    def _computed_from_gradients(self) -> set[str]:
        """What computes with a gradient, and not only waits for one."""
        every = self._index.graph_def.node
        return self._spread([node.name for node in every if any(self._is_cut(one, node) for one in data_inputs(node))])

    @functools.cached_property
    def _gradient_dependent(self) -> set[str]:
        return self._index.descendants(start for call in self._calls for start in call.starts)

    def _spread(self, start: list[str]) -> set[str]:
        """Returns what reads `start` through data edges, as far as tf.gradients."""
        seen, todo = set(), list(start)
        while todo:
            name = todo.pop()
            if name in seen or name in self._frozen:
                continue
            seen.add(name)
            for reader, at in self._index.consumers(name):
                tensor = parse(reader.input[at])
                if tensor.index >= 0 and not self._is_cut(tensor, reader) and self._scopes.of(reader.name) is None:
                    todo.append(reader.name)
        return seen


def _waiting_for(node: NodeDef, waits: list[str]) -> NodeDef:
    made = rewrite.rewired(node, {}, {wait: "" for wait in control_inputs(node)})
    made.input.extend("^" + wait for wait in waits)
    return made


def _listed(calls: Iterable[Backprop]) -> str:
    return errors.quoted([name for call in calls for name in call.differentiated], 3)


def shape_of(index: Index, variable: str) -> list[int | None] | None:
    """Returns the static shape of a variable, by what its node says; None for an unknown rank."""
    proto = graph.attr(index[variable], "shape").shape
    return None if proto.unknown_rank else [dim.size if dim.size >= 0 else None for dim in proto.dim]


def variable_of(index: Index, tensor: Tensor) -> str | None:
    """Returns the variable that a reference, a handle or a read of one is of, or None."""
    seen = set()
    while tensor.node in index and tensor.node not in seen:
        seen.add(tensor.node)
        node = index[tensor.node]
        if node.op in ops.VARIABLES:
            return node.name
        if node.op not in ops.VARIABLE_READS and node.op not in ops.ALIAS_TWINS and not any(graph.ref_outputs(node)):
            return None
        inputs = data_inputs(node)
        if not inputs:
            return None
        tensor = inputs[0]
    return None
