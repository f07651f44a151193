"""The pass: the order in which constructs are converted, and what happens to those that cannot be."""

from collections.abc import Collection, Mapping

from export_v1.ir import graph, ops
from export_v1.ir.graph import GraphDef, NodeDef
from export_v1.passes.functional import (
    array_ops,
    conditions,
    contexts,
    element_shapes,
    emit,
    loops,
    reads,
    shapes,
    tensor_arrays,
)
from export_v1.passes.functional import region as regions
from export_v1.passes.functional.array_ops import Array
from export_v1.passes.functional.region import Region, Unconvertible
from export_v1.passes.result import Notes, Result


def convert(graph_def: GraphDef, *, keep: Collection[str]) -> Result:
    """Returns the graph with its v1 control flow turned into While, If and TensorList ops.

    Every tensor of `keep` can be fetched from the result by the same name and has the same value; an Exit or a Merge
    becomes an Identity of its name. Gradients pass the result where they passed the original. Variables that a loop
    or a branch only reads are read before it. A construct that cannot be converted stays, whole, with all that is in
    it; the rest is converted. A graph without v1 control flow comes back equal.

    Args:
        graph_def: a graph without reference variables, pruned to what `keep` needs. Not modified.
        keep: tensor or node names.

    Returns:
        The graph; notes how many of each kind were converted ("while", "cond", "tensor_array"), and what was not:
        (node that stands for the construct, why it stays as it was), sorted.
    """
    if not any(node.op in ops.V1_CONTROL_FLOW or node.op.startswith("TensorArray") for node in graph_def.node):
        return Result(graph_def)
    wanted = {graph.parse(name).node for name in keep} | {graph.parse(name).name for name in keep}
    blocked: dict[str, str] = {}
    while True:
        region = _region_of(graph_def)
        try:
            arrays = _convert_all(region, wanted, blocked)
            known = _shaped(region, arrays, graph_def)
        except Unconvertible as error:
            if error.construct in blocked:
                raise AssertionError(f"{error} was to be left alone") from error
            blocked[error.construct] = error.reason
        else:
            break
    counts = _count(region, sum(len(array.names) for array in arrays))
    notes = Notes(converted=counts, unconverted=_unconverted(region, blocked))
    if not any(counts.values()):
        result = GraphDef()
        result.CopyFrom(graph_def)
        return Result(result, notes=notes)
    for array in arrays:
        element_shapes.measure(region, array, set(region.nodes))
    return Result(emit.graph_def(region, graph_def, known), notes=notes)


def _shaped(region: Region, arrays: list[Array], graph_def: GraphDef) -> shapes.Shapes:
    """Returns the static shape of every tensor, and says of each list's elements what is known of what is written."""
    known = shapes.annotate(region, graph_def)
    while any([array_ops.refine(region, array, known) for array in arrays]):
        known = shapes.annotate(region, graph_def)
    return known


def _region_of(graph_def: GraphDef) -> Region:
    region = Region({})
    for node in graph_def.node:
        copy = region.nodes[node.name] = NodeDef()
        copy.CopyFrom(node)
    return region


def _convert_all(region: Region, keep: set[str], blocked: Mapping[str, str]) -> list[Array]:
    """Converts a graph in place and returns its TensorArrays; raises Unconvertible for the first that fails.

    TensorArrays go first, while their flow can still be followed through one graph; loops before conditions, because
    the Switches of a loop are not those of a condition.
    """
    used_names, sinks = set(region.nodes), _sinks(region)
    frozen = {name for loop in loops.outermost(region, blocked) if loop.condition in blocked for name in loop.members}
    arrays = tensor_arrays.convert(region, keep, used_names, frozen, blocked)
    _convert_loops(region, keep, used_names, blocked)
    # What reads a branch from outside would hold it there.
    _drop_idle(region, keep | sinks)
    _convert_conditions(region, keep, used_names, blocked)
    _drop_idle(region, keep | sinks)
    return arrays


def _drop_idle(region: Region, roots: set[str]) -> None:
    """Drops what the conversion left without use (indices of a `stack`), but nothing that can be fed or has effects."""
    index = graph.Index(emit.plain(region))
    fed = {name for name, node in region.nodes.items() if node.op in ops.PLACEHOLDERS or regions.stateful(node)}
    needed = index.ancestors((roots & set(region.nodes)) | fed)
    region.nodes = {name: node for name, node in region.nodes.items() if name in needed}


def _sinks(region: Region) -> set[str]:
    """Returns the nodes that no other reads: someone may want them."""
    read = {graph.parse(edge).node for node in region.nodes.values() for edge in node.input}
    return set(region.nodes) - read


def _convert_loops(region: Region, keep: set[str], used_names: set[str], blocked: Mapping[str, str]) -> None:
    def inner(part: Region) -> None:
        _convert_loops(part, set(), used_names, {})
        _convert_conditions(part, set(), used_names, {})

    outermost = [loop for loop in loops.outermost(region, blocked) if loop.condition not in blocked]
    written = reads.written(region) if outermost else set()
    for loop in outermost:
        try:
            fetched = sorted(loop.members & keep)
            if fetched:
                raise Unconvertible(loop.condition, f"{fetched[0]}, inside the loop, is to be kept")
            loops.convert(region, loop, used_names, inner, written)
        except Unconvertible as error:
            raise error.within(loop.condition) from error


def _convert_conditions(region: Region, keep: set[str], used_names: set[str], blocked: Mapping[str, str]) -> None:
    def inner(part: Region) -> None:
        _convert_conditions(part, set(), used_names, {})

    opaque = {name for name, path in loops.frame_paths(region).items() if path}
    while True:
        analysed = contexts.analyse(region, opaque)
        if conditions.settle(region, analysed, keep):
            continue
        if not conditions.convert_all(region, analysed, keep, used_names, blocked, inner):
            break
    for name, reason in analysed.unresolved.items():
        if name not in blocked:
            raise Unconvertible(name, reason)


def _count(region: Region, arrays: int) -> dict[str, int]:
    names = [node.op for part in region.walk() for node in part.nodes.values() if node.name in part.bodies]
    loops_made = sum(op in ops.WHILES for op in names)
    return {"while": loops_made, "cond": len(names) - loops_made, "tensor_array": arrays}


def _unconverted(region: Region, blocked: Mapping[str, str]) -> list[tuple[str, str]]:
    """Returns the blocked constructs, and any other Switch that no Merge ends."""
    left = [name for name, node in region.nodes.items() if node.op == "Switch"]
    if left and not blocked:
        return [(left[0], "one of its branches is not ended by a Merge")]
    return sorted(blocked.items())
