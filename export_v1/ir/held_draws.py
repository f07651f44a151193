"""held_draws: a graph whose random numbers are the same in every run, and in every other graph that was held likewise.

Two graphs that draw cannot be compared; held, they can: each draw becomes a function of its other inputs, of the shape
for the most part, whatever the node is called and wherever it stands, in loops and functions as well. What no op
without a state of its own computes is left as it was; `randomness.sources` finds it.
"""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from export_v1.ir import graph, ops, rewrite
from export_v1.ir.graph import GraphDef, NodeDef, Tensor, control_inputs, data_inputs

_SEED = (7, 11)
# Op -> the same with a seed among its inputs, where that stands, and its attributes: name there -> name in the op.
_STATELESS = {
    "RandomUniform": ("StatelessRandomUniform", 1, {"dtype": "dtype", "T": "T"}),
    "RandomStandardNormal": ("StatelessRandomNormal", 1, {"dtype": "dtype", "T": "T"}),
    "TruncatedNormal": ("StatelessTruncatedNormal", 1, {"dtype": "dtype", "T": "T"}),
    "RandomUniformInt": ("StatelessRandomUniformInt", 1, {"dtype": "Tout", "T": "T"}),
    "RandomGamma": ("StatelessRandomGammaV2", 1, {"dtype": "T", "T": "S"}),
    "Multinomial": ("StatelessMultinomial", 2, {"T": "T", "output_dtype": "output_dtype"}),
}


def held(graph_def: GraphDef) -> GraphDef:
    """Returns a graph with its draws held, in its functions as well; names stay as they are."""
    if not any(ops.is_random(node.op) for node in graph.all_nodes(graph_def)):
        return graph_def
    made = rewrite.with_nodes(graph_def, _held(graph_def.node, is_graph=True))
    for function in made.library.function:
        nodes = _held(function.node_def, is_graph=False)
        del function.node_def[:]
        function.node_def.extend(nodes)
    return made


def _held(nodes: Iterable[NodeDef], is_graph: bool) -> list[NodeDef]:
    names = {node.name for node in nodes}
    made: list[NodeDef] = []
    for node in nodes:
        if node.op in _STATELESS:
            made += _seeded(node, names, is_graph)
        elif node.op == "RandomShuffle":
            # The order that the values have is one that may be drawn.
            made.append(rewrite.node(node.name, "Identity", T=tf.as_dtype(node.attr["T"].type)))
            made[-1].input.extend(node.input)
        elif node.op in ops.SAMPLERS and is_graph:
            made += _sampled(node, names)
        else:
            made.append(node)
    return made


def _seeded(node: NodeDef, names: set[str], is_graph: bool) -> list[NodeDef]:
    op, at, attributes = _STATELESS[node.op]
    seed = rewrite.constant(graph.fresh_name(f"{node.name}/seed", names), _SEED, tf.int32)
    values = [edge for edge in node.input if not edge.startswith("^")]
    # A constant belongs to the loop or branch of what it waits for.
    source = values[0].partition(":")[0]
    seed.input.extend(["^" + source] if source in names else [])
    held = NodeDef(name=node.name, op=op, device=node.device)
    # In a function an edge has the name of the output, too.
    held.input.extend(
        [*values[:at], seed.name if is_graph else f"{seed.name}:output:0", *values[at:], *_controls(node)]
    )
    for name, other in attributes.items():
        held.attr[name].CopyFrom(node.attr[other])
    held.attr["Tseed"].type = tf.int32.as_datatype_enum
    return [seed, held]


def _controls(node: NodeDef) -> list[str]:
    return ["^" + name for name in control_inputs(node)]


def _sampled(node: NodeDef, names: set[str]) -> list[NodeDef]:
    """Returns what stands for a sampler of classes: the first of them, each expected half the time."""
    count = node.attr["num_sampled"].i
    classes = np.arange(count) % max(1, node.attr["range_max"].i or count)
    (true,) = data_inputs(node)

    def named(leaf: str) -> str:
        return graph.fresh_name(f"{node.name}/{leaf}", names)

    def waiting(made: NodeDef) -> NodeDef:
        made.input.append("^" + true.node)
        return made

    sampled = waiting(rewrite.constant(named("sampled"), classes, tf.int64))
    expected = waiting(rewrite.constant(named("expected"), np.full(count, 0.5), tf.float32))
    half = waiting(rewrite.constant(named("half"), 0.5, tf.float32))
    cast = rewrite.node(named("cast"), "Cast", [true], SrcT=tf.int64, DstT=tf.float32)
    ones = rewrite.node(named("ones"), "OnesLike", [Tensor(cast.name)], T=tf.float32)
    of_true = rewrite.node(named("of_true"), "Mul", [Tensor(ones.name), Tensor(half.name)], T=tf.float32)
    held = NodeDef(name=node.name, op="IdentityN", device=node.device)
    held.input.extend([sampled.name, of_true.name, expected.name, *_controls(node)])
    held.attr["T"].list.type.extend(dtype.as_datatype_enum for dtype in (tf.int64, tf.float32, tf.float32))
    return [sampled, expected, half, cast, ones, of_true, held]
