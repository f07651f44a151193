"""Conditions: Switches and Merges on one predicate become one If node with two functions.

For `tf.cond(p, lambda: x * 2, lambda: x + 1)`, v1 on the left:

    x -> Switch -(1)-> Mul -> Merge -> y        x, p -> If -> y
    p -----^  `--(0)-> Add ----^                        then_branch: x -> Mul(x, 2)
                                                        else_branch: x -> Add(x, 1)

The method is that of `functionalize_cond` in TensorFlow's compiler (tf2xla): find for every node the predicates that
it runs under, then carve each branch out from its Merges back to the Switches. Outer conditions go first, the inner
ones within the branch functions. Two `tf.cond` on one predicate are told apart by what they share: Merges whose
branches have no node in common are different conditions.
"""

import collections
import dataclasses
from collections.abc import Collection, Iterable, Iterator

from tensorflow.core.framework import types_pb2

from export_v1.ir import graph
from export_v1.ir.graph import NodeDef
from export_v1.passes.functional import contexts, reads
from export_v1.passes.functional import region as regions
from export_v1.passes.functional.contexts import Contexts
from export_v1.passes.functional.region import Captures, Region, Unconvertible
from export_v1.passes.functional.tidy import tidy


@dataclasses.dataclass
class Condition:
    """A condition: the tensor name of its predicate, its Merges, the nodes of its branches (false, true)."""

    predicate: str
    merges: list[str]
    branches: tuple[set[str], set[str]]
    switches: set[str]

    def places(self) -> Iterator[tuple[str, int, str]]:
        """Yields what no other condition has: nodes in its branches, and Switches, for its predicate."""
        for at, names in enumerate((*self.branches, self.switches)):
            yield from ((self.predicate, at, name) for name in names)


class Ledger:
    """What converting a condition asks of its whole region, kept up to date while one after the other is converted.

    Attributes:
        users: node -> how many edges lead out of it.
        indexed: Merges whose `value_index` is read.
        place: node -> its place in the region.
        written: nodes that hold the resources which the region writes.
    """

    def __init__(self, region: Region):
        self._region = region
        self.place = {name: at for at, name in enumerate(region.nodes)}
        self.indexed: set[str] = set()
        self.written = reads.written(region)
        self.users: collections.Counter[str] = collections.Counter(graph.parse(edge).node for edge in region.results)
        for node in region.nodes.values():
            self.add(node)
        self._rank: dict[str, int] = {}
        self._sort()

    def add(self, node: NodeDef) -> None:
        """Takes note of what a node reads."""
        for edge in node.input:
            tensor = graph.parse(edge)
            self.users[tensor.node] += 1
            if tensor.index == 1:
                self.indexed.add(tensor.node)

    def forget(self, node: NodeDef) -> None:
        """Forgets what a node has read."""
        for edge in node.input:
            self.users[graph.parse(edge).node] -= 1

    def _sort(self) -> None:
        # Where a loop goes round, nothing is in order.
        loops = any(node.op == "NextIteration" for node in self._region.nodes.values())
        self._rank = {} if loops else {name: at for at, name in enumerate(regions.order(self._region.nodes))}

    def converted(self, added: Iterable[NodeDef], merges: Iterable[str]) -> None:
        """Takes note of nodes that stand for a condition now, each after what it reads, and that its Merges read."""
        last = 0
        for node in added:
            last = max((self._rank.get(graph.parse(edge).node, 0) for edge in node.input), default=0)
            self._rank[node.name] = last
            self.written |= reads.written(self._region, [node])
        if any(self._rank.get(name, last) < last for name in merges):
            self._sort()

    def is_before(self, name: str, merges: Iterable[str]) -> bool:
        """Returns whether a node is known to depend on none of some others."""
        return bool(self._rank) and name in self._rank and self._rank[name] < min(map(self._rank.__getitem__, merges))


def convert_all(
    region: Region, analysed: Contexts, keep: set[str], used_names: set[str], blocked: Collection[str], convert_region
) -> bool:
    """Converts the outermost conditions of a region, one that shares nodes with another in another round.

    Args:
        region: changed.
        found: contexts of the region.
        keep: nodes and tensor names that must stay.
        taken: node names in use.
        blocked: Merges of conditions that stay.
        convert_region: converts the conditions within a branch, in place.

    Returns:
        Whether any was converted.

    Raises:
        Unconvertible: no If can stand for one of them; the region is then in no defined state.
    """
    whole = outermost(region, analysed)
    if not whole:
        return False
    ledger = Ledger(region)
    touched: set[str] = set()
    for each in whole:
        members = each.branches[0] | each.branches[1] | each.switches | set(each.merges)
        if not touched.isdisjoint(members):
            continue
        parts = _without_cycle(region, each, analysed, blocked, ledger)
        part = next((part for part in parts if not any(merge in blocked for merge in part.merges)), None)
        if part is None:
            continue
        try:
            convert(region, part, analysed, keep, used_names, convert_region, ledger)
        except Unconvertible as error:
            raise error.within(part.merges[0]) from error
        touched |= members
    return bool(touched)


def outermost(region: Region, analysed: Contexts) -> list[Condition]:
    """Returns the conditions that are in no other, in the order of their last Merge."""
    result: dict[int, Condition] = {}
    # Predicate, branch (2: a Switch) and node -> the condition that has it.
    owners: dict[tuple[str, int, str], Condition] = {}
    for name in region.nodes:
        if name not in analysed.resolved or analysed.of[name] != {}:
            continue
        key, positions = analysed.resolved[name]
        condition = Condition(key, [name], (set(), set()), set())
        for side in (0, 1):
            _collect(region, analysed, condition, side, region.nodes[name].input[positions[side]])
        places = list(condition.places())
        overlapping = {id(owners[place]) for place in places if place in owners}
        for number in [number for number in result if number in overlapping] if len(overlapping) > 1 else overlapping:
            condition = _joined(result.pop(number), condition)
        result[id(condition)] = condition
        owners.update(dict.fromkeys(places if len(overlapping) < 2 else condition.places(), condition))
    return list(result.values())


def _collect(region: Region, analysed: Contexts, condition: Condition, side: int, edge: str) -> None:
    """Adds to a branch what an input of its Merge needs under the predicate."""
    todo = [graph.parse(edge).node]
    while todo:
        name = todo.pop()
        context = analysed.of[name]
        node = region.nodes[name]
        if name in condition.branches[side]:
            continue
        if context is None or condition.predicate not in context:
            if node.op == "Switch" and contexts.predicate(region, name) == condition.predicate:
                condition.switches.add(name)
            continue
        condition.branches[side].add(name)
        todo.extend(graph.parse(source).node for source in node.input)


def _joined(condition: Condition, other: Condition) -> Condition:
    """Returns the first condition, which takes in the second."""
    for mine, others in zip((*condition.branches, condition.switches), (*other.branches, other.switches), strict=True):
        mine |= others
    condition.merges += other.merges
    return condition


def _without_cycle(
    region: Region, condition: Condition, analysed: Contexts, blocked: Collection[str], ledger: Ledger
) -> list[Condition]:
    """Returns the condition, or one for each Merge where an input of the whole depends on one of its results."""
    inside = condition.branches[0] | condition.branches[1] | condition.switches
    before = {graph.parse(edge).node for name in inside for edge in region.nodes[name].input} - inside
    seen: set[str] = set()
    todo = [*before, graph.parse(condition.predicate).node]
    while todo:
        name = todo.pop()
        if name not in seen and not ledger.is_before(name, condition.merges):
            seen.add(name)
            todo.extend(graph.parse(edge).node for edge in region.nodes[name].input)
    if not seen & set(condition.merges):
        return [condition]
    if len(condition.merges) == 1:
        raise Unconvertible(condition.merges[0], "its predicate or an input of its branches depends on its own result")
    effects = [name for name in inside if regions.stateful(region.nodes[name])]
    if effects and condition.merges[0] in blocked:
        return [condition]
    if effects:
        raise Unconvertible(condition.merges[0], f"it would run {sorted(effects)[0]} more than once")
    parts = []
    for name in condition.merges:
        part = Condition(condition.predicate, [name], (set(), set()), set())
        for side in (0, 1):
            _collect(region, analysed, part, side, region.nodes[name].input[analysed.resolved[name][1][side]])
        parts.append(part)
    return parts


def settle(region: Region, analysed: Contexts, keep: set[str]) -> bool:
    """Removes Switches and Merges that an enclosing condition has decided; returns whether there were any."""
    for name in analysed.decided:
        node = region.nodes[name]
        region.nodes[name] = regions.make(name, "Identity", [node.input[0]], T=node.attr["T"].type)
    for node in region.nodes.values() if analysed.decided else ():
        for at, edge in enumerate(node.input):
            tensor = graph.parse(edge)
            if analysed.decided.get(tensor.node) == tensor.index:
                node.input[at] = tensor.node
    for name, position in analysed.live.items():
        node = region.nodes[name]
        controls = [edge for edge in node.input if edge.startswith("^")]
        _keep_result(region, name, node.input[position], controls, None)
    for name, context in analysed.of.items():
        if context is None and name not in keep:
            del region.nodes[name]
            region.bodies.pop(name, None)
    return bool(analysed.decided or analysed.live)


def _keep_result(region: Region, name: str, edge: str, controls: list[str], position: str | None) -> None:
    """Puts an Identity in the place of a Merge; one of two outputs where its `value_index` is asked for."""
    dtype = region.nodes[name].attr["T"].type
    if position is None:
        region.nodes[name] = regions.make(name, "Identity", [edge, *controls], T=dtype)
    else:
        region.nodes[name] = regions.make(name, "IdentityN", [edge, position, *controls])
        region.nodes[name].attr["T"].list.type.extend([dtype, types_pb2.DT_INT32])


def convert(
    region: Region,
    condition: Condition,
    analysed: Contexts,
    keep: set[str],
    used_names: set[str],
    convert_region,
    ledger: Ledger,
) -> None:
    """Puts an If in the place of `condition`; each Merge stays as an Identity of the same name.

    Args:
        region: where the condition is; changed.
        condition: from `outermost`, of this region as it is now.
        found: contexts of the region.
        keep: nodes and tensor names that must stay; one of them inside a branch makes the condition unconvertible.
        taken: node names in use.
        convert_region: converts the conditions within a branch, in place.
        ledger: of the region.

    Raises:
        Unconvertible: no If can stand for it; the region is then in no defined state.
    """
    name = graph.fresh_name(condition.merges[0].rpartition("/")[0] or "cond", used_names)
    captures = Captures(region, name, used_names)
    indexed = [m for m in condition.merges if f"{m}:1" in keep or m in ledger.indexed]
    parts = []
    for side in (0, 1):
        part = _carve(region, condition, analysed, captures, side, indexed, ledger)
        convert_region(part)
        tidy(part)
        parts.append(part)
    added = reads.hoist(captures, parts, [condition.predicate], ledger.written)
    captures.drop_unused(parts)
    for part in parts:
        part.args = list(captures.args.values())
        captures.declare(part)
    node = _if_node(captures, condition, len(indexed), parts)
    for at, merge in enumerate(condition.merges):
        own = [edge for edge in region.nodes[merge].input if edge.startswith("^")]
        position = f"{name}:{len(condition.merges) + indexed.index(merge)}" if merge in indexed else None
        ledger.forget(region.nodes[merge])
        _keep_result(region, merge, f"{name}:{at}", own, position)
        ledger.add(region.nodes[merge])
    added.append(region.add(node))
    region.bodies[name] = {"then_branch": parts[1], "else_branch": parts[0]}
    for each in added:
        ledger.add(each)
    ledger.converted(added, condition.merges)
    _drop_moved(region, condition, keep, ledger)


def _if_node(captures: Captures, condition: Condition, indexed: int, parts: list[Region]) -> NodeDef:
    region, controls = captures.outer, ["^" + control for control in captures.controls]
    effects = any(regions.stateful(node) for part in parts for node in part.nodes.values())
    source = graph.parse(condition.predicate)
    node = regions.make(captures.name, "If" if effects else "StatelessIf", [source.edge, *captures.edges(), *controls])
    node.attr["Tcond"].type = region.dtype(source)
    node.attr["Tin"].list.type.extend(region.dtype(graph.parse(edge)) for edge in captures.edges())
    node.attr["Tout"].list.type.extend(region.nodes[m].attr["T"].type for m in condition.merges)
    node.attr["Tout"].list.type.extend([types_pb2.DT_INT32] * indexed)
    # As cond_v2 does: a branch that is inlined costs less than one that is called.
    node.attr["_lower_using_switch_merge"].b = True
    node.attr["_xla_propagate_compile_time_consts"].b = True
    return node


def _carve(
    region, condition: Condition, analysed: Contexts, captures: Captures, side: int, indexed: list[str], ledger: Ledger
) -> Region:
    """Returns one branch; its results are those of the Merges, then the position of this side in each of `indexed`."""
    part = Region({})
    loop_ops = [name for name in condition.branches[side] if region.nodes[name].op in ("Enter", "Exit")]
    if loop_ops:
        raise Unconvertible(min(loop_ops), "this loop stays as it is, and cannot be in a function")
    replaced: dict[str, str] = {}
    for switch in sorted(condition.switches, key=ledger.place.__getitem__):
        source = graph.parse(region.nodes[switch].input[0])
        captures.controls.update(dict.fromkeys(graph.control_inputs(region.nodes[switch])))
        if _origin(region, source.name) == condition.predicate:
            value = regions.constant(
                graph.fresh_name(f"{captures.name}/side", captures.used_names), bool(side), types_pb2.DT_BOOL
            )
            replaced[f"{switch}:{side}"] = part.add(value).name
        else:
            replaced[f"{switch}:{side}"] = captures.arg(source, part)
    results = [region.nodes[merge].input[analysed.resolved[merge][1][side]] for merge in condition.merges]
    regions.carve(captures, results, condition.branches[side].__contains__, replaced, part)
    for merge in indexed:
        position = regions.constant(
            graph.fresh_name(f"{captures.name}/position", captures.used_names),
            analysed.resolved[merge][1][side],
            types_pb2.DT_INT32,
        )
        part.results.append(part.add(position).name)
    return part


def _origin(region: Region, name: str) -> str:
    tensor = graph.parse(name)
    while region.nodes[tensor.node].op == "Identity":
        tensor = graph.parse(region.nodes[tensor.node].input[0])
    return tensor.name


def _drop_moved(region: Region, condition: Condition, keep: set[str], ledger: Ledger) -> None:
    """Removes the branch nodes that nothing in the region needs any longer."""
    moved = condition.branches[0] | condition.branches[1] | condition.switches
    users = ledger.users
    todo = [name for name in moved if not users[name] and name not in keep]
    while todo:
        node = region.nodes.pop(todo.pop())
        region.bodies.pop(node.name, None)
        for edge in node.input:
            source = graph.parse(edge).node
            users[source] -= 1
            if not users[source] and source in moved and source not in keep:
                todo.append(source)
    for name in moved:
        if name in region.nodes and regions.stateful(region.nodes[name]):
            raise Unconvertible(condition.merges[0], f"{name} has effects, and is needed outside of its branch")
