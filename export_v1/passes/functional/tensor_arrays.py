"""TensorArrayV3 becomes TensorList ops: the list is a value, so it can be a loop variable and has a gradient.

A TensorArray is a resource, and its `flow`, a float without meaning, orders what is done to it. A TensorList is a
tensor of type variant that each op takes and gives anew. The list goes where the flow went:

    TensorArrayV3 -(handle)-> TensorArrayWriteV3 -(flow)-> …       TensorListReserve -> TensorListSetItem -> …
           `--------(flow)----------^

This is done on the v1 graph, where the flow can be followed through Enter, Switch, Merge and the rest, all of which
take variants. Arrays whose flows meet (one per branch of a condition) are converted together or not at all.
"""

import dataclasses
from collections.abc import Mapping

from tensorflow.core.framework import types_pb2

from export_v1.ir import graph
from export_v1.ir.graph import Tensor
from export_v1.passes.functional import array_ops, emit
from export_v1.passes.functional.array_ops import Array
from export_v1.passes.functional.region import Region, Unconvertible

# Positions of the inputs `handle` and `flow`, and whether the op gives a flow.
SLOTS = {
    "TensorArrayReadV3": (0, 2, False),
    "TensorArrayWriteV3": (0, 3, True),
    "TensorArrayGatherV3": (0, 2, False),
    "TensorArrayScatterV3": (0, 3, True),
    "TensorArrayConcatV3": (0, 1, False),
    "TensorArraySplitV3": (0, 3, True),
    "TensorArraySizeV3": (0, 1, False),
    "TensorArrayCloseV3": (0, None, False),
}
PASSING = {"Identity": 1, "Enter": 1, "Exit": 1, "NextIteration": 1, "Merge": 1, "Switch": 2}


@dataclasses.dataclass
class _Trace:
    """Where handles and flows go: tensor name -> the array's node, and arrays that belong together."""

    handles: dict[str, str]
    flows: dict[str, str]
    joined: dict[str, str]
    faults: dict[str, str]

    def root(self, array: str) -> str:
        while self.joined[array] != array:
            array = self.joined[array]
        return array

    def join(self, array: str, other: str) -> None:
        self.joined[self.root(array)] = self.root(other)


def convert(
    region: Region, keep: set[str], used_names: set[str], frozen: set[str], blocked: Mapping[str, str]
) -> list[Array]:
    """Converts the TensorArrays of a graph in place and returns a record of each group.

    Args:
        region: the whole v1 graph.
        keep: tensor and node names that must stay fetchable.
        taken: node names in use.
        frozen: nodes of loops that stay as they are; an array that is used there stays too.
        blocked: arrays to leave alone, by name.

    Raises:
        Unconvertible: an array is used in a way no TensorList can be; `region` is then in no defined state.
    """
    created = [name for name, node in region.nodes.items() if node.op == "TensorArrayV3"]
    if not created:
        return []
    trace = _follow(region, created, keep, frozen)
    groups: dict[str, list[str]] = {}
    for name in created:
        groups.setdefault(trace.root(name), []).append(name)
    converted = []
    for root, members in groups.items():
        fault = next((trace.faults[name] for name in trace.faults if trace.root(name) == root), None)
        if fault and not any(name in blocked for name in members):
            raise Unconvertible(members[0], fault)
        if not fault and not any(name in blocked for name in members):
            converted.append(_convert_group(region, trace, root, members, used_names))
    return converted


def _follow(region: Region, created: list[str], keep: set[str], frozen: set[str]) -> _Trace:
    """Follows handles and flows from where arrays are made to every use."""
    trace = _Trace({}, {}, {name: name for name in created}, {})
    users = graph.Index(emit.plain(region))
    todo = []
    for name in created:
        todo += [(f"{name}:0", name, trace.handles), (f"{name}:1", name, trace.flows)]
    while todo:
        tensor, array, table = todo.pop()
        if tensor in table:
            trace.join(table[tensor], array)
            continue
        table[tensor] = array
        if tensor in keep:
            trace.faults[array] = f"{tensor} is to be kept"
        for node, position in users.tensor_consumers(graph.parse(tensor)):
            slots = SLOTS.get(node.op)
            if node.name in frozen:
                trace.faults[array] = f"{node.name} is in a loop that stays as it is"
            elif node.op in PASSING and not (node.op == "Switch" and position == 1):
                todo += [(f"{node.name}:{at}", array, table) for at in range(PASSING[node.op])]
            elif slots and position == slots[table is trace.flows]:
                if slots[2] and table is trace.flows:
                    todo.append((f"{node.name}:0", array, table))
            else:
                trace.faults[array] = f"{node.name} ({node.op}) uses it"
    _check_complete(region, trace)
    return trace


def _check_complete(region: Region, trace: _Trace) -> None:
    """Joins the arrays of one op, and faults those that meet something that is no array."""
    for node in region.nodes.values():
        inputs = [source.name for source in graph.data_inputs(node)]
        if node.op in SLOTS:
            handle, flow, _ = SLOTS[node.op]
            array = trace.handles.get(inputs[handle])
            if array is None:
                continue
            if flow is not None and inputs[flow] not in trace.flows:
                trace.faults[array] = f"the flow of {node.name} is not its own"
            elif flow is not None:
                trace.join(array, trace.flows[inputs[flow]])
        elif node.op == "Merge":
            for table in (trace.handles, trace.flows):
                known = [table[name] for name in inputs if name in table]
                if known and len(known) < len(inputs):
                    trace.faults[known[0]] = f"{node.name} merges it with something else"


def _convert_group(region: Region, trace: _Trace, root: str, members: list[str], used_names: set[str]) -> Array:
    """Rewrites every node of a group of arrays."""

    def ours(table: dict[str, str], tensor: Tensor) -> bool:
        return tensor.name in table and trace.root(table[tensor.name]) == root

    uses = [
        node for node in region.nodes.values() if node.op in SLOTS and ours(trace.handles, graph.data_inputs(node)[0])
    ]
    array = array_ops.describe(region, members, uses, used_names)
    carriers = [
        node.name for node in region.nodes.values() if node.op in PASSING and ours(trace.handles, Tensor(node.name, 0))
    ]
    for node in region.nodes.values():
        if node.op in PASSING and ours(trace.flows, Tensor(node.name, 0)):
            node.attr["T"].type = types_pb2.DT_VARIANT
    rewritten = {name: array_ops.reserve(array, region.nodes[name], used_names) for name in members}
    rewritten |= {node.name: array_ops.rewrite(array, region, node, used_names) for node in uses}
    for name, nodes in rewritten.items():
        del region.nodes[name]
        for node in nodes:
            region.add(node)
    for name in carriers:
        del region.nodes[name]
    gone = {f"^{name}" for name in carriers}
    flows = {f"{name}:1": name for name in members}
    for node in region.nodes.values():
        edges = [flows.get(edge, edge) for edge in node.input if edge not in gone]
        if edges != list(node.input):
            del node.input[:]
            node.input.extend(edges)
    return array
