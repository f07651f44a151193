"""What the training graph tells of a model: how batch norm moves its averages, what is dropped, what weights cost."""

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from export_v1.ir import graph as ir
from export_v1.ir import ops
from export_v1.ir.graph import Index, NodeDef, Tensor
from export_v1.ir.match import anything, behind, made_by, matches, origin
from load_v2.opening import dropouts
from load_v2.opening.dropouts import Dropout, number
from load_v2.opening.graph import ALIASES
from load_v2.opening.layers import Layer
from load_v2.program import subgraph
from load_v2.program.program import Program


@dataclasses.dataclass(frozen=True)
class Training:
    """What a model does in training alone.

    Attributes:
        momenta: name of a variable that moves towards an average of the batch -> its momentum.
        unbiased: names of those that move towards the variance as an unbiased estimate.
        dropouts: name of a node of the canonical graph -> the dropout that stands there.
    """

    momenta: Mapping[str, float] = dataclasses.field(default_factory=dict)
    unbiased: frozenset[str] = frozenset()
    dropouts: Mapping[str, Dropout] = dataclasses.field(default_factory=dict)


def averages(program: Program) -> Training:
    """Returns how the training graph moves variables towards averages of the batch; nothing where there is none."""
    if program.train is None:
        return Training()
    index = Index(program.train.graph_def)
    names = {handle: variable.name for variable in program.variables for handle in variable.handles}
    momenta, unbiased = {}, set()
    for node in program.train.graph_def.node:
        handle = ir.parse(node.input[0]).node if node.input else ""
        moved = _moved(index, node, handle) if handle in names else None
        if moved is not None:
            value, momentum = moved
            momenta[names[handle]] = float(f"{np.float32(momentum):.6g}")
            source = origin(index, value, ALIASES)
            maker = index.nodes.get(source.node)
            if maker is not None and maker.op in ops.BATCH_NORMS and source.index == 2:
                unbiased.add(names[handle])
    return Training(momenta, frozenset(unbiased))


def _moved(index: Index, node: NodeDef, handle: str) -> tuple[Tensor, float] | None:
    """Returns the value that a node moves a variable towards, and the share of itself that the variable keeps."""
    own = behind(ALIASES, made_by("ReadVariableOp", anything(test=lambda _, t: t.node == handle)))
    rate, kept, value = anything("rate"), anything("kept"), anything("value")
    if node.op in ops.ASSIGN_SUBS:
        change = made_by("Mul", behind(ALIASES, made_by("Sub", own, value)), rate, any_order=True)
    elif node.op == "AssignVariableOp":
        parts = (made_by("Mul", own, kept, any_order=True), made_by("Mul", value, rate, any_order=True))
        change = made_by(ops.ADDS, *parts, any_order=True)
    else:
        return None
    for captured in matches(index, ir.data_inputs(node)[1], behind(ALIASES, change)):
        share = number(index, captured["rate"])
        keeps = number(index, captured["kept"]) if "kept" in captured.captures else None
        if share is not None and 0 < share < 1 and (keeps is None or abs(keeps + share - 1) < 1e-6):
            return captured["value"], 1 - share
    return None


def notes(program: Program, training: Training, layers: Iterable[Layer]) -> list[str]:
    """Returns what to know before the layers of a model are trained."""
    lines = []
    whole = [part for layer in layers for part in (layer, *layer.parts)]
    names = [layer.origins[-1] for layer in whole if layer.kind == "BatchNormalization"]
    if any(not training.momenta.keys() & set(origins) for origins in names):
        why = "there is no `train` signature" if program.train is None else "the training graph does so, too"
        lines.append(f"batch norm normalizes by its averages in training, since {why}")
    if program.train is not None:
        drawn = [n for n in subgraph.all_nodes(program.train.graph_def) if ops.is_random(n.op)]
        if len(drawn) > len(training.dropouts):
            lines.append("the training graph draws random numbers in places where the rebuilt model does not")
    return lines


def planned(program: Program) -> list[Dropout]:
    """Returns the dropouts of the training graph."""
    return [] if program.train is None else dropouts.in_training(program.train.graph_def)
