"""What of a training cannot be carried over, and may be left behind: each by the word that `--leave_behind` takes."""

import dataclasses
from collections.abc import Collection

from export_v1 import errors
from export_v1.format.record import OPTIMIZER, PYTHON, QUEUES, SAMPLING
from export_v1.ir import ops
from export_v1.ir.graph import Index, NodeDef, data_inputs, parse
from export_v1.training.step import TrainStep

# What the training does without each.
_WITHOUT = {
    PYTHON: "the loss takes what Python computed as labels, which you feed",
    SAMPLING: "the loss samples by a random stream of its own, so losses differ from TensorFlow 1's",
    QUEUES: "the step does not fill these any more, and what the loss takes out of them are labels, which you feed",
    OPTIMIZER: "the export has the loss alone; compile the model with a Keras optimizer, which starts anew",
}


@dataclasses.dataclass(frozen=True)
class Obstacle:
    """Something that does not come along.

    Attributes:
        word: what `--leave_behind` calls it.
        what: the ops, or what is unclear about them, in words.
        tensors: what the loss reads of Python calls, or takes out of queues.
    """

    word: str
    what: str
    tensors: tuple[str, ...] = ()

    @property
    def without(self) -> str:
        """What the training does where it is left behind."""
        return _WITHOUT[self.word]


def of(index: Index, step: TrainStep, losses: Collection[str], given: Collection[str]) -> list[Obstacle]:
    """Returns what stands in the way, apart from what nobody can follow in the optimizer.

    Args:
        index: of the graph.
        step: of the training.
        losses: by tensor name.
        given: tensors that are fed or frozen; nothing before these counts.
    """
    stops = {parse(name).node for name in given}
    reached = index.ancestors([*(parse(name).node for name in losses), *step.before], stop=stops) - stops
    python = [node for node in index.graph_def.node if node.name in reached and node.op in ops.PYTHON_CALLS]
    sampling = [node for node in index.graph_def.node if node.name in reached and node.op in ops.SAMPLERS]
    obstacles = []
    if python:
        names = {node.name for node in python}
        obstacles.append(Obstacle(PYTHON, f"the loss calls Python, {_listed(python)}", _read_of(index, names, reached)))
    if sampling:
        obstacles.append(
            Obstacle(SAMPLING, f"the loss draws the classes that it compares with, by {_listed(sampling)}")
        )
    if step.dropped:
        fills = [index[name] for name in step.dropped]
        queues = {_queue(node) for node in fills}
        taking = {name for name in reached if index[name].op in ops.FEEDERS and _queue(index[name]) in queues}
        what = f"the step fills queues from the forward pass, by {_listed(fills)}"
        obstacles.append(Obstacle(QUEUES, what, _read_of(index, taking, reached)))
    return obstacles


def _read_of(index: Index, names: Collection[str], readers: Collection[str]) -> tuple[str, ...]:
    """Returns the tensors of some nodes that others read."""
    edges = [parse(edge) for reader in readers if reader not in names for edge in index[reader].input]
    return tuple(sorted({tensor.name for tensor in edges if tensor.node in names and tensor.index >= 0}))


def _queue(node: NodeDef) -> str:
    """Returns what tells one queue from another: the node that holds it, or the name that a stage shares."""
    if "shared_name" in node.attr:
        return node.attr["shared_name"].s.decode()
    return data_inputs(node)[0].node if data_inputs(node) else ""


def _listed(nodes) -> str:
    return ", ".join(f"{node.op} {node.name!r}" for node in nodes[:3]) + (" and others" if len(nodes) > 3 else "")


def refuse(obstacles: Collection[Obstacle], left: Collection[str], place: str) -> None:
    """Raises one ExportError where something stands in the way that is not left behind."""
    standing = [obstacle for obstacle in obstacles if obstacle.word not in left]
    if not standing:
        return
    lines = "\n".join(f"  {obstacle.what}.\n    Without it: {obstacle.without}." for obstacle in standing)
    words = ",".join(dict.fromkeys([*left, *(obstacle.word for obstacle in standing)]))
    raise errors.ExportError(
        f"The training in {place} cannot be carried over whole:\n{lines}\n"
        f"  Pass --leave_behind={words} to go on without, or export it without --resume."
    )


def label_names(obstacles: Collection[Obstacle]) -> list[str]:
    """Returns the tensors that have to be fed where Python or queues are left behind."""
    return [name for obstacle in obstacles for name in obstacle.tensors]
