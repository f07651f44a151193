"""What a pass can rely on, and how to find out that it does not hold."""

import enum
from collections.abc import Iterable

from export_v1.ir import graph, wellformed
from export_v1.ir.graph import Index, parse
from export_v1.passes import portable
from export_v1.passes.state import State

_V1_CONTROL_FLOW = frozenset({"Switch", "Merge", "Enter", "Exit", "NextIteration", "LoopCond"})


class Guarantee(enum.Enum):
    """Something that is true of a graph, as a clause."""

    WELL_FORMED = "the graph is well-formed"
    CUT = "inputs are placeholders, and so are frozen tensors that are no constants"
    PRUNED = "nothing is there but what inputs, outputs and initializers of tables need"
    PORTABLE = "no node names a device or the nodes and shapes of another graph"
    FROZEN = "frozen tensors are constants"
    PINNED = "every output has an Identity of its own"
    RESOURCES = "nothing takes or gives a reference"
    FUNCTIONAL = "there is no v1 control flow but in what is noted as unconverted"


def problem(guarantee: Guarantee, state: State) -> str:
    """Returns where a guarantee does not hold, "" where it holds."""
    return _PROBLEMS[guarantee](state, Index(state.graph_def))


def _wellformed(state: State, index: Index) -> str:
    return "; ".join(wellformed.problems(state.graph_def)[:3])


def _cut(state: State, index: Index) -> str:
    inputs = [state.name(tensor) for tensor in state.inputs]
    wrong = [name for name in inputs if parse(name).node not in index or index[parse(name).node].op != "Placeholder"]
    return _first(wrong + _frozen_as(state, index, ("Placeholder", "Const")))


def _frozen(state: State, index: Index) -> str:
    return _first(_frozen_as(state, index, ("Const",)))


def _frozen_as(state: State, index: Index, ops: tuple[str, ...]) -> list[str]:
    nodes = [parse(state.name(tensor)).node for tensor in state.frozen]
    return [name for name in nodes if name in index and index[name].op not in ops]


def _pruned(state: State, index: Index) -> str:
    kept = index.ancestors(parse(name).node for name in [*state.ends, *state.table_inits])
    return _first(name for name in index.nodes if name not in kept)


def _portable(state: State, index: Index) -> str:
    return _first(node.name for node in state.graph_def.node if node.device or set(portable.MARKS) & set(node.attr))


def _pinned(state: State, index: Index) -> str:
    names = [parse(name).node for name in state.fetched]
    total = sum(len(tensors) for tensors in state.outputs.values()) + len(state.losses)
    twice = [] if len(names) == total else ["two outputs are one"]
    return _first(twice + [name for name in names if name not in index or index[name].op != "Identity"])


def _resources(state: State, index: Index) -> str:
    return _first(
        node.name for node in state.graph_def.node if any(graph.ref_inputs(node)) or any(graph.ref_outputs(node))
    )


def _functional(state: State, index: Index) -> str:
    if state.notes.unconverted:
        return ""
    return _first(node.name for node in state.graph_def.node if node.op in _V1_CONTROL_FLOW)


def _first(names: Iterable[str]) -> str:
    return next(iter(names), "")


_PROBLEMS = {
    Guarantee.WELL_FORMED: _wellformed,
    Guarantee.CUT: _cut,
    Guarantee.PRUNED: _pruned,
    Guarantee.PORTABLE: _portable,
    Guarantee.FROZEN: _frozen,
    Guarantee.PINNED: _pinned,
    Guarantee.RESOURCES: _resources,
    Guarantee.FUNCTIONAL: _functional,
}
