"""optimize: the joined graph of an export as one for inference alone, with fewer ops. Only `--optimize` asks for it.

Weights are constants, what scales a layer's channels is in its kernel, and nothing passes a tensor on unchanged. Answers
are the same but for rounding.
"""

from collections.abc import Callable, Collection, Mapping

import numpy as np

from export_v1.format.record import Optimized
from export_v1.ir import ops, rewrite
from export_v1.ir.graph import GraphDef, Index, Tensor, control_inputs, parse
from export_v1.passes import affine, constant_weights, prune
from export_v1.passes.result import Result

_PASSING_ON = ops.IDENTITIES | {"PreventGradient"}


def inference(
    graph_def: GraphDef, ends: Collection[str], values: Mapping[str, Callable[[], np.ndarray]]
) -> tuple[GraphDef, Optimized]:
    """Returns the graph for inference alone, and what was done. Tensors in `ends` keep their names.

    Args:
        graph_def: of resource variables. Not modified.
        ends: tensor and node names that are asked for or fed.
        values: name of a variable, one of `constant_weights.constant`, -> returns its value.
    """
    keep = {parse(name).node for name in ends}
    short, identities = without_identities(constant_weights.of(graph_def, values).graph_def, keep)
    folded_graph, folded = affine.into_kernels(prune.to_outputs(short.graph_def, ends).graph_def, keep)
    pruned = prune.to_outputs(folded_graph.graph_def, ends).graph_def
    return pruned, Optimized(len(values), folded.layers, folded.norms, folded.steps, identities)


def without_identities(graph_def: GraphDef, keep: Collection[str]) -> tuple[Result, int]:
    """Returns the graph without nodes that only pass a tensor on, and how many these were.

    One that waits for something stays, and so does one behind a Switch that somebody waits for: it tells which side is
    alive.

    Args:
        graph_def: not modified.
        keep: names of nodes that have to stay, such as outputs.
    """
    index = Index(graph_def)
    dead: dict[Tensor, Tensor] = {}
    for node in graph_def.node:
        if node.op in _PASSING_ON and node.name not in keep and not control_inputs(node):
            source = parse(node.input[0])
            awaited = any(at >= len(index.edges(reader.name).data) for reader, at in index.consumers(node.name))
            if not awaited or index[source.node].op not in ops.V1_CONTROL_FLOW:
                dead[Tensor(node.name)] = source
    sources = _origins(dead)
    waits = {old.node: new.node for old, new in sources.items()}
    nodes = [rewrite.rewired(node, sources, waits) for node in graph_def.node if Tensor(node.name) not in dead]
    return Result(rewrite.with_nodes(graph_def, nodes), {old.name: new.name for old, new in sources.items()}), len(dead)


def _origins(passed_on: Mapping[Tensor, Tensor]) -> dict[Tensor, Tensor]:
    """Returns tensor -> what it passes on, where that passes nothing on itself."""
    origins: dict[Tensor, Tensor] = {}
    for tensor in passed_on:
        way = []
        while tensor in passed_on and tensor not in origins:
            way.append(tensor)
            tensor = passed_on[tensor]
        origins.update(dict.fromkeys(way, origins.get(tensor, tensor)))
    return origins
