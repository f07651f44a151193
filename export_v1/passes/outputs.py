"""outputs: every output gets an Identity of its own, so that no later pass has to know what makes it."""

from collections.abc import Iterable, Mapping

import tensorflow as tf

from export_v1.ir import graph, rewrite
from export_v1.ir.graph import GraphDef, Tensor, parse
from export_v1.passes.result import Result


def pinned(
    graph_def: GraphDef, outputs: Mapping[str, str], waits: Iterable[str] = (), index: graph.Index | None = None
) -> Result:
    """Returns the graph with an Identity per output.

    The Identity reads a variable that is an output itself, keeps an output apart from the input or the constant it may
    be, and makes whoever runs the output run `waits` too.

    Args:
        graph_def: not modified.
        outputs: key -> tensor name.
        waits: nodes that have to run whenever an output does, such as update ops.
        index: of the graph, where there is one already.

    Returns:
        The graph; `renamed` is output key -> tensor name, because two keys may be for one tensor.
    """
    index = index or graph.Index(graph_def)
    if not outputs:
        return Result(graph_def, index=index)
    used_names, made = set(index.nodes), {}
    nodes = []
    for key, name in outputs.items():
        tensor = parse(name)
        pin = rewrite.node(graph.fresh_name(f"output/{key}", used_names), "Identity", [tensor])
        pin.attr["T"].type = tf.as_dtype(index.data_type(tensor)).base_dtype.as_datatype_enum
        pin.input.extend("^" + parse(wait).node for wait in waits)
        nodes.append(pin)
        made[key] = Tensor(pin.name).name
    new = rewrite.with_nodes(graph_def, [*graph_def.node, *nodes])
    return Result(new, made, index=index.followed_by(new))
