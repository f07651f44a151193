"""Variables that inference itself writes, such as counters: a graph takes their values and gives the new ones."""

import dataclasses
import itertools
from collections.abc import Sequence

from export_v1.ir import graph as ir
from export_v1.ir import ops
from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor
from load_v2.program import artefact, writes
from load_v2.program.program import Part

_BEFORE = "carried_value/"
_WRITERS = ops.ASSIGNS | ops.ASSIGN_ADDS | ops.ASSIGN_SUBS


@dataclasses.dataclass(frozen=True)
class Carried:
    """A variable that a graph hands on from one call to the next.

    Attributes:
        variable: the variable.
        before: the tensor that stands for its value before a call.
        after: the tensor that is its value after one.
    """

    variable: artefact.Variable
    before: Tensor
    after: Tensor


def without_writes(part: Part, variables: Sequence[artefact.Variable]) -> tuple[Part, tuple[Carried, ...]]:
    """Returns a part whose writes are values, and the variables that it hands on from call to call.

    A variable stays written where its shape may change, where other ops than reads and assignments have it, such as a
    loop, and where nothing orders a write and another access: whatever runs the graph may take either first.
    """
    written = {ir.parse(node.input[0]).node for node in part.graph_def.node if ops.writes_variable(node.op)}
    if not written:
        return part, ()
    index = Index(part.graph_def)
    nodes: dict[str, NodeDef] = {}
    carried = []
    for variable in (variable for variable in variables if written & set(variable.handles)):
        accesses = [
            node for node in part.graph_def.node if {t.node for t in ir.data_inputs(node)} & set(variable.handles)
        ]
        steps = _in_order(index, [node.name for node in accesses])
        if None in variable.shape or steps is None:
            continue
        if any(node.op not in _WRITERS | {"ReadVariableOp"} for node in accesses):
            continue
        before = value = f"{_BEFORE}{variable.name}"
        for node in map(index.nodes.__getitem__, steps):
            nodes[node.name] = _as_value(node, value)
            if node.op in _WRITERS:
                value = node.name
        carried.append(Carried(variable, Tensor(before), Tensor(value)))
    if not carried:
        return part, ()
    graph_def = GraphDef(versions=part.graph_def.versions, library=part.graph_def.library)
    graph_def.node.extend(nodes.get(node.name, node) for node in part.graph_def.node)
    return dataclasses.replace(part, graph_def=graph_def), tuple(carried)


def writers(part: Part) -> list[tuple[str, str]]:
    """Returns the nodes by which a part writes variables, with their ops; a variable written in a function by its handle."""
    direct = [node for node in part.graph_def.node if ops.writes_variable(node.op)]
    hidden = writes.written_by(part.graph_def) - {ir.parse(node.input[0]).node for node in direct}
    return [(node.name, node.op) for node in direct] + [(name, "VarHandleOp") for name in sorted(hidden)]


def _in_order(index: Index, accesses: Sequence[str]) -> list[str] | None:
    """Returns the accesses to a variable in the order in which they run, None where that is open for a write."""
    above = {name: index.ancestors([name]) for name in accesses}
    steps = sorted(accesses, key=lambda name: (sum(other in above[name] for other in accesses), index.order[name]))
    for first, second in itertools.combinations(steps, 2):
        written = index[first].op in _WRITERS or index[second].op in _WRITERS
        if written and first not in above[second]:
            return None
    return steps


def _as_value(node: NodeDef, value: str) -> NodeDef:
    """Returns the node that gives what a read of a variable gives, or a write leaves in it; `value` is what it holds before."""
    given = value if node.op == "ReadVariableOp" else node.input[1]
    result = NodeDef(name=node.name, op="Identity", input=[given])
    if node.op in ops.ASSIGN_ADDS | ops.ASSIGN_SUBS:
        result = NodeDef(name=node.name, op="AddV2" if node.op in ops.ASSIGN_ADDS else "Sub", input=[value, given])
    result.attr["T"].type = node.attr["dtype"].type
    return result
