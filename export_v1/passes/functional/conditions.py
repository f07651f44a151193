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

import dataclasses
from collections.abc import Collection

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


def outermost(region: Region, found: Contexts, blocked: Collection[str] = ()) -> list[Condition]:
    """Returns the conditions that are in no other, in the order of their first Merge.

    One that cannot be converted is raised for, unless its first Merge is in `blocked`.
    """
    result: list[Condition] = []
    for name in region.nodes:
        if name not in found.resolved or found.of[name] != {}:
            continue
        key, positions = found.resolved[name]
        one = Condition(key, [name], (set(), set()), set())
        for side in (0, 1):
            _collect(region, found, one, side, region.nodes[name].input[positions[side]])
        for other in [c for c in result if c.predicate == key and _overlap(c, one)]:
            result.remove(other)
            one = _union(other, one)
        result.append(one)
    return [part for condition in result for part in _without_cycle(region, condition, found, blocked)]


def _collect(region: Region, found: Contexts, condition: Condition, side: int, edge: str) -> None:
    """Adds to a branch what an input of its Merge needs under the predicate."""
    todo = [graph.parse(edge).node]
    while todo:
        name = todo.pop()
        context = found.of[name]
        node = region.nodes[name]
        if name in condition.branches[side]:
            continue
        if context is None or condition.predicate not in context:
            if node.op == "Switch" and contexts.predicate(region, name) == condition.predicate:
                condition.switches.add(name)
            continue
        condition.branches[side].add(name)
        todo.extend(graph.parse(source).node for source in node.input)


def _overlap(one: Condition, two: Condition) -> bool:
    return any(a & b for a, b in zip(one.branches, two.branches, strict=True)) or bool(one.switches & two.switches)


def _union(one: Condition, two: Condition) -> Condition:
    branches = (one.branches[0] | two.branches[0], one.branches[1] | two.branches[1])
    return Condition(one.predicate, one.merges + two.merges, branches, one.switches | two.switches)


def _without_cycle(region: Region, condition: Condition, found: Contexts, blocked: Collection[str]) -> list[Condition]:
    """Returns the condition, or one for each Merge where an input of the whole depends on one of its results."""
    inside = condition.branches[0] | condition.branches[1] | condition.switches
    before = {graph.parse(edge).node for name in inside for edge in region.nodes[name].input} - inside
    seen: set[str] = set()
    todo = [*before, graph.parse(condition.predicate).node]
    while todo:
        name = todo.pop()
        if name not in seen:
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
            _collect(region, found, part, side, region.nodes[name].input[found.resolved[name][1][side]])
        parts.append(part)
    return parts


def settle(region: Region, found: Contexts, keep: set[str]) -> bool:
    """Removes Switches and Merges that an enclosing condition has decided; returns whether there were any."""
    for name, side in found.decided.items():
        node = region.nodes[name]
        region.nodes[name] = regions.make(name, "Identity", [node.input[0]], T=node.attr["T"].type)
        for other in region.nodes.values():
            for at, edge in enumerate(other.input):
                if graph.parse(edge) == graph.Tensor(name, side):
                    other.input[at] = name
    for name, position in found.live.items():
        node = region.nodes[name]
        controls = [edge for edge in node.input if edge.startswith("^")]
        _keep_result(region, name, node.input[position], controls, None)
    for name, context in found.of.items():
        if context is None and name not in keep:
            del region.nodes[name]
            region.bodies.pop(name, None)
    return bool(found.decided or found.live)


def _keep_result(region: Region, name: str, edge: str, controls: list[str], position: str | None) -> None:
    """Puts an Identity in the place of a Merge; one of two outputs where its `value_index` is asked for."""
    dtype = region.nodes[name].attr["T"].type
    if position is None:
        region.nodes[name] = regions.make(name, "Identity", [edge, *controls], T=dtype)
    else:
        region.nodes[name] = regions.make(name, "IdentityN", [edge, position, *controls])
        region.nodes[name].attr["T"].list.type.extend([dtype, types_pb2.DT_INT32])


def convert(region: Region, condition: Condition, found: Contexts, keep: set[str], taken: set[str], convert_region):
    """Puts an If in the place of `condition`; each Merge stays as an Identity of the same name.

    Args:
        region: where the condition is; changed.
        condition: from `outermost`, of this region as it is now.
        found: contexts of the region.
        keep: nodes and tensor names that must stay; one of them inside a branch makes the condition unconvertible.
        taken: node names in use.
        convert_region: converts the conditions within a branch, in place.

    Raises:
        Unconvertible: no If can stand for it; the region is then in no defined state.
    """
    name = graph.fresh_name(condition.merges[0].rpartition("/")[0] or "cond", taken)
    captures = Captures(region, name, taken)
    indexed = [m for m in condition.merges if f"{m}:1" in keep or _index_is_read(region, m)]
    parts = []
    for side in (0, 1):
        part = _carve(region, condition, found, captures, side, indexed)
        convert_region(part)
        tidy(part)
        parts.append(part)
    reads.hoist(captures, parts, [condition.predicate])
    captures.drop_unused(parts)
    for part in parts:
        part.args = list(captures.args.values())
        captures.declare(part)
    node = _if_node(captures, condition, len(indexed), parts)
    for at, merge in enumerate(condition.merges):
        own = [edge for edge in region.nodes[merge].input if edge.startswith("^")]
        position = f"{name}:{len(condition.merges) + indexed.index(merge)}" if merge in indexed else None
        _keep_result(region, merge, f"{name}:{at}", own, position)
    region.add(node)
    region.bodies[name] = {"then_branch": parts[1], "else_branch": parts[0]}
    _drop_moved(region, condition, keep)


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


def _carve(region, condition: Condition, found: Contexts, captures: Captures, side: int, indexed: list[str]) -> Region:
    """Returns one branch; its results are those of the Merges, then the position of this side in each of `indexed`."""
    part = Region({})
    loop_ops = [name for name in condition.branches[side] if region.nodes[name].op in ("Enter", "Exit")]
    if loop_ops:
        raise Unconvertible(min(loop_ops), "this loop stays as it is, and cannot be in a function")
    replaced: dict[str, str] = {}
    for switch in [name for name in region.nodes if name in condition.switches]:
        source = graph.parse(region.nodes[switch].input[0])
        captures.controls.update(dict.fromkeys(graph.control_inputs(region.nodes[switch])))
        if _origin(region, source.name) == condition.predicate:
            value = regions.constant(
                graph.fresh_name(f"{captures.name}/side", captures.taken), bool(side), types_pb2.DT_BOOL
            )
            replaced[f"{switch}:{side}"] = part.add(value).name
        else:
            replaced[f"{switch}:{side}"] = captures.arg(source, part)
    results = [region.nodes[merge].input[found.resolved[merge][1][side]] for merge in condition.merges]
    regions.carve(captures, results, condition.branches[side].__contains__, replaced, part)
    for merge in indexed:
        position = regions.constant(
            graph.fresh_name(f"{captures.name}/position", captures.taken),
            found.resolved[merge][1][side],
            types_pb2.DT_INT32,
        )
        part.results.append(part.add(position).name)
    return part


def _origin(region: Region, name: str) -> str:
    tensor = graph.parse(name)
    while region.nodes[tensor.node].op == "Identity":
        tensor = graph.parse(region.nodes[tensor.node].input[0])
    return tensor.name


def _index_is_read(region: Region, merge: str) -> bool:
    wanted = graph.Tensor(merge, 1)
    return any(graph.parse(edge) == wanted for node in region.nodes.values() for edge in node.input)


def _drop_moved(region: Region, condition: Condition, keep: set[str]) -> None:
    """Removes the branch nodes that nothing in the region needs any longer."""
    moved = condition.branches[0] | condition.branches[1] | condition.switches
    users: dict[str, int] = {}
    for node in region.nodes.values():
        for edge in node.input:
            users[graph.parse(edge).node] = users.get(graph.parse(edge).node, 0) + 1
    for edge in region.results:
        users[graph.parse(edge).node] = users.get(graph.parse(edge).node, 0) + 1
    todo = [name for name in moved if not users.get(name) and name not in keep]
    while todo:
        node = region.nodes.pop(todo.pop())
        region.bodies.pop(node.name, None)
        for edge in node.input:
            source = graph.parse(edge).node
            users[source] -= 1
            if not users[source] and source in moved and source not in keep:
                todo.append(source)
    for name in moved & set(region.nodes):
        if regions.stateful(region.nodes[name]):
            raise Unconvertible(condition.merges[0], f"{name} has effects, and is needed outside of its branch")
