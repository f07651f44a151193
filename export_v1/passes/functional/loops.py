"""While loops: a frame of Enter, Merge, Switch, NextIteration and Exit becomes one While node with two functions.

For a loop that doubles `x` until it is over 10, v1 on the left:

    x -> Enter -> Merge -> Switch -(1)-> Mul -> NextIteration -> Merge       x -> While -> x
                    |        |  `--(0)-> Exit -> x                                cond: x -> Less(x, 10)
                    `-> Less -> LoopCond                                          body: x -> Mul(x, 2)

The method is that of `functionalize_while_loop` in TensorFlow's compiler (Ananthakrishnan et al., tf2xla): find the
frames, carve the condition out from LoopCond back to the Merges, the body from NextIteration back to the Switches.
That code is reachable from Python only in MLIR, from which there is no way back to a GraphDef.

The gradient of a While (`while_v2`) takes its first two arguments for a counter that starts at 0 and for the most
iterations there can be (-1: no limit), whatever else the loop has: every loop made here carries them.
"""

import dataclasses
from collections.abc import Collection

from tensorflow.core.framework import types_pb2

from export_v1.ir import graph
from export_v1.ir.graph import NodeDef
from export_v1.passes.functional import bounds, reads
from export_v1.passes.functional import region as regions
from export_v1.passes.functional.region import Captures, Region, Unconvertible
from export_v1.passes.functional.tidy import tidy


@dataclasses.dataclass
class LoopVariable:
    """A loop variable: what enters, the Merge that holds it, its Switch (where the body reads it), what comes next."""

    enter: str
    merge: str
    switch: str | None
    following: str


@dataclasses.dataclass
class Loop:
    """One v1 loop: its LoopCond, every node of its frame and of frames in it, what enters and what leaves."""

    condition: str
    members: set[str]
    variables: list[LoopVariable] = dataclasses.field(default_factory=list)
    constants: list[str] = dataclasses.field(default_factory=list)
    exits: dict[str, int] = dataclasses.field(default_factory=dict)
    parallel: int = 10


def frame_paths(region: Region) -> dict[str, tuple[str, ...]]:
    """Returns for each node the names of the frames it runs in, outermost first; () outside of every loop."""
    paths: dict[str, tuple[str, ...]] = {}
    for name in regions.order(region.nodes):
        node = region.nodes[name]
        path = max((paths.get(graph.parse(edge).node, ()) for edge in node.input), key=len, default=())
        if node.op == "Enter":
            path += (node.attr["frame_name"].s.decode(),)
        elif node.op == "Exit":
            path = path[:-1]
        paths[name] = path
    return paths


def outermost(region: Region, blocked: Collection[str] = ()) -> list[Loop]:
    """Returns the loops that are in no other loop. Two loops may share a frame name (a graph imported twice).

    Of a loop in `blocked`, named by its LoopCond, only the members are known.
    """
    paths = frame_paths(region)
    parent = {name: name for name, path in paths.items() if path}

    def find(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for name in parent:
        for edge in region.nodes[name].input:
            source = graph.parse(edge).node
            if source in parent and paths[source][0] == paths[name][0]:
                parent[find(name)] = find(source)
    groups: dict[str, set[str]] = {}
    for name in parent:
        groups.setdefault(find(name), set()).add(name)
    loops = []
    place = {name: at for at, name in enumerate(region.nodes)}
    for members in groups.values():
        members_in_order = sorted((name for name in members if len(paths[name]) == 1), key=place.__getitem__)
        conditions = [name for name in members_in_order if region.nodes[name].op == "LoopCond"]
        if conditions:
            loops.append(Loop(conditions[0], members))
            if conditions[0] in blocked:
                continue
            if len(conditions) > 1:
                raise Unconvertible(conditions[0], f"its frame has a second condition, {conditions[1]}")
            _describe(region, members_in_order, loops[-1])
    _add_exits(region, paths, [loop for loop in loops if loop.condition not in blocked])
    return loops


def _describe(region: Region, level: list[str], loop: Loop) -> None:
    """Fills in the variables and constants of a loop, given its nodes that are in no inner loop, in order."""
    nodes = region.nodes
    switches = {}
    for name in level:
        if nodes[name].op == "Switch" and graph.parse(nodes[name].input[1]).node == loop.condition:
            switches[graph.parse(nodes[name].input[0]).node] = name
    for name in level:
        if nodes[name].op == "Merge":
            ends = {nodes[source.node].op: source.node for source in graph.data_inputs(nodes[name])}
            if "NextIteration" in ends and "Enter" in ends:
                loop.variables.append(LoopVariable(ends["Enter"], name, switches.get(name), ends["NextIteration"]))
            elif "NextIteration" in ends:
                raise Unconvertible(loop.condition, f"{name} merges a NextIteration without an Enter")
    entering = {variable.enter for variable in loop.variables}
    loop.constants = [n for n in level if nodes[n].op == "Enter" and n not in entering]
    for name in entering:
        loop.parallel = nodes[name].attr["parallel_iterations"].i or loop.parallel


def _add_exits(region: Region, paths: dict[str, tuple[str, ...]], loops: list[Loop]) -> None:
    """Fills in the exits of all loops, in one walk over the graph."""
    owner = {name: loop for loop in loops for name in loop.members if len(paths[name]) == 1}
    switches = {variable.switch: at for loop in loops for at, variable in enumerate(loop.variables) if variable.switch}
    for name, node in region.nodes.items():
        if node.op != "Exit":
            continue
        source = graph.parse(node.input[0])
        loop = owner.get(source.node)
        if loop is None:
            continue
        if source.node not in switches or source.index != 0:
            raise Unconvertible(loop.condition, f"{name} leaves the loop from {source.node}, not from a variable")
        loop.exits[name] = switches[source.node]


def convert(region: Region, loop: Loop, used_names: set[str], convert_region, written: set[str]) -> None:
    """Puts a While in the place of `loop`.

    Args:
        region: where the loop is; changed. Each Exit stays as an Identity of the same name.
        loop: from `outermost`, of this region as it is now.
        taken: node names in use.
        convert_region: converts the control flow within a body, in place.
        written: what `reads.written` returns of the region; what the While writes is added.

    Raises:
        Unconvertible: the loop has a form that no function can have; the region is then in no defined state.
    """
    scope = loop.condition.rpartition("/")[0] or "while"
    name = graph.fresh_name(scope, used_names)
    captures = Captures(region, name, used_names)
    cond, body, fixed = _carve(region, loop, captures)
    for part in (cond, body):
        convert_region(part)
        tidy(part)
    _check_effects(region, loop, cond, body)
    inputs = [region.nodes[variable.enter].input[0] for variable in loop.variables]
    reads.hoist(captures, [cond, body], inputs, written)
    captures.drop_unused([cond, body])
    counter, limit = fixed[:2]
    one = body.add(regions.constant(f"{name}/one", 1, types_pb2.DT_INT32))
    body.add(regions.make(f"{name}/next", "AddV2", [counter, one.name], T=types_pb2.DT_INT32))
    most = bounds.most_iterations(captures, cond, body, dict(zip(fixed[2:], inputs, strict=True)))
    body.results = [f"{name}/next", limit, *body.results]
    start = region.add(regions.constant(graph.fresh_name(f"{name}/start", used_names), 0, types_pb2.DT_INT32))
    inputs = [start.name, most, *inputs, *captures.edges()]
    for part in (cond, body):
        part.args = [*fixed, *captures.args.values()]
        captures.declare(part)
    body.results += list(captures.args.values())
    node = _while_node(captures, inputs, loop, [cond, body])
    _replace(region, loop, node)
    region.bodies[name] = {"cond": cond, "body": body}
    written |= reads.written(region, [region.nodes[name]])


def _replace(region: Region, loop: Loop, node: NodeDef) -> None:
    """Takes the loop's nodes out of a region and puts its While in; an Exit becomes an Identity of one output."""
    for name, at in loop.exits.items():
        dtype = node.attr["T"].list.type[at + 2]
        controls = [edge for edge in region.nodes[name].input if edge.startswith("^") and edge[1:] not in loop.members]
        region.nodes[name] = regions.make(name, "Identity", [f"{node.name}:{at + 2}", *controls], T=dtype)
    for member in loop.members:
        region.nodes.pop(member)
        region.bodies.pop(member, None)
    region.add(node)


def _carve(region: Region, loop: Loop, captures: Captures) -> tuple[Region, Region, list[str]]:
    """Returns the condition, the body, and their arguments up to the captures: counter, limit, loop variables."""
    cond, body = Region({}), Region({})
    fixed = [graph.fresh_name(f"{captures.name}/{part}", captures.used_names) for part in ("counter", "limit")]
    in_cond: dict[str, str] = {}
    in_body: dict[str, str] = {}
    for name in fixed:
        cond.add(regions.make(name, "_Arg", T=types_pb2.DT_INT32))
        body.add(regions.make(name, "_Arg", T=types_pb2.DT_INT32))
    for variable in loop.variables:
        leaf = variable.merge.rsplit("/", 1)[-1].lower().replace("merge", "var")
        arg = graph.fresh_name(f"{captures.name}/{leaf}", captures.used_names)
        fixed.append(arg)
        dtype = region.dtype(graph.parse(region.nodes[variable.enter].input[0]))
        cond.add(regions.make(arg, "_Arg", T=dtype))
        body.add(regions.make(arg, "_Arg", T=dtype))
        in_cond[f"{variable.merge}:0"] = in_body[f"{variable.merge}:0"] = arg
        if variable.switch:
            in_body[f"{variable.switch}:1"] = arg
    for enter in [*loop.constants, *(variable.enter for variable in loop.variables)]:
        for control in graph.control_inputs(region.nodes[enter]):
            if control not in loop.members:
                captures.controls[control] = None
    for part, replaced in ((cond, in_cond), (body, in_body)):
        for enter in loop.constants:
            replaced[f"{enter}:0"] = captures.arg(graph.parse(region.nodes[enter].input[0]), part)
    name = graph.fresh_name(f"{captures.name}/true", captures.used_names)
    true = body.add(regions.constant(name, True, types_pb2.DT_BOOL))
    in_body[f"{loop.condition}:0"] = true.name
    regions.carve(captures, [region.nodes[loop.condition].input[0]], loop.members.__contains__, in_cond, cond)
    following = [_following(region, loop, variable, captures.used_names) for variable in loop.variables]
    regions.carve(captures, following, loop.members.__contains__, in_body, body)
    return cond, body, fixed


def _following(region: Region, loop: Loop, variable: LoopVariable, used_names: set[str]) -> str:
    """Returns the edge of a variable's next value, after all that its NextIteration waits for, such as a push."""
    edge, *controls = region.nodes[variable.following].input
    if not controls:
        return edge
    dtype = region.dtype(graph.parse(edge))
    waiting = regions.make(
        graph.fresh_name(f"{variable.following}/value", used_names), "Identity", [edge, *controls], T=dtype
    )
    loop.members.add(region.add(waiting).name)
    return waiting.name


def _check_effects(region: Region, loop: Loop, cond: Region, body: Region) -> None:
    """An effect must be in one of the functions, and in one only."""
    for name in region.nodes:
        if name not in loop.members or not regions.stateful(region.nodes[name]):
            continue
        if name in cond.nodes and name in body.nodes:
            raise Unconvertible(loop.condition, f"{name} has effects, and both the condition and the body need it")


def _while_node(captures: Captures, inputs: list[str], loop: Loop, parts: list[Region]) -> NodeDef:
    effects = any(regions.stateful(node) for part in parts for node in part.nodes.values())
    op = "While" if effects else "StatelessWhile"
    node = regions.make(captures.name, op, [*inputs, *("^" + control for control in captures.controls)])
    node.attr["T"].list.type.extend(captures.outer.dtype(graph.parse(edge)) for edge in inputs)
    node.attr["parallel_iterations"].i = loop.parallel
    # What while_v2 sets on the nodes it makes: how many outputs are the loop's own, lowering to Switch and Merge
    # where a Session or a tf.function runs it (a While that is called costs more), constants seen through for XLA.
    node.attr["_num_original_outputs"].i = len(inputs)
    node.attr["_lower_using_switch_merge"].b = True
    node.attr["_xla_propagate_compile_time_consts"].b = True
    return node
