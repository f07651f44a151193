"""races: answers that depend on an order which the graph leaves open.

A view of a reference variable, `tf.identity(w)` say, changes with it. Who computes with it sees what another node writes,
or does not see it yet; where neither waits for the other, TensorFlow decides anew in each run, and each of its versions in
its own way.
"""

from collections.abc import Mapping

from export_v1.analysis.liveness import Liveness, Ordered
from export_v1.analysis.references import References
from export_v1.ir import ops
from export_v1.ir.graph import GraphDef, parse


def undecided(graph_def: GraphDef, outputs: Mapping[str, str]) -> dict[str, str]:
    """Returns the outputs that are computed from a variable before or after it is written -> who reads it and who writes it.

    Args:
        graph_def: as the original runs: with reference variables, frozen values as constants, and nothing in it that no
            output needs.
        outputs: key -> tensor name.
    """
    references = References(graph_def)
    index = references.index
    live = Liveness(Ordered.of(index))
    written = [
        (variable, write.name)
        for tensor, variables in references.roots.items()
        for write, _ in index.tensor_consumers(tensor)
        if write.op in ops.WRITE_TWINS and live.runs(write)
        for variable in variables & references.written
    ]
    if not written:
        return {}
    reads = [
        (variable, reader.name)
        for tensor in (*references.roots, *references.views)
        for reader, at in index.tensor_consumers(tensor)
        if reader.op not in ops.WRITE_TWINS and parse(f"{reader.name}:0") not in references and live.runs(reader)
        for variable in references.variables(tensor)
    ]
    before = {name: index.ancestors([name]) for _, name in (*written, *reads)}
    races = [
        (reader, write, variable)
        for variable, reader in reads
        for other, write in written
        if variable == other
        and reader not in before[write]
        and write not in before[reader]
        and not live.excludes(reader, write)
    ]
    reasons = {}
    for key, name in outputs.items():
        above = index.ancestors([parse(name).node])
        for reader, write, variable in races:
            if reader in above:
                reasons[key] = (
                    f"{reader!r} reads variable {variable!r}, {write!r} writes it, and the graph leaves open which is first"
                )
    return reasons
