"""constant_weights: variables that nothing writes become constants, and their readers read these.

    w VarHandleOp ─┬► ReadVariableOp ─► MatMul          w Const ─┬► MatMul
                   └► ResourceGather               ==>           └► GatherV2

A graph for inference alone: who loads it has no variables to train, and a runtime that knows its kernels may store them
as its processor likes them best.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import tensorflow as tf

from export_v1.ir import graph, ops, rewrite
from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor, attr, control_inputs, data_inputs, parse
from export_v1.passes.result import Result

# What reads a variable by its handle, and the op that reads a value instead.
_READERS = {"ReadVariableOp": "Identity", "ResourceGather": "GatherV2", "ResourceGatherNd": "GatherNd"}


def constant(graph_def: GraphDef) -> list[str]:
    """Returns the names of the variables that can become constants: of those, reads are all that the graph has.

    What a function reads, a loop's body for one, is not among them: its handle is an argument. Nor is what scales a norm
    by the data's own statistics: TensorFlow 2.21 with oneDNN takes one with constants for its own LayerNorm, whose
    epsilon is 0.001 whatever the graph has.
    """
    index = Index(graph_def)
    handles = [node.name for node in graph_def.node if node.op == "VarHandleOp"]
    readers = {name: [reader for reader, _ in index.consumers(name)] for name in handles}
    return [
        name
        for name in handles
        if all(reader.op in _READERS for reader in readers[name])
        and not any(_scales_by_data(index, reader) for reader in readers[name])
    ]


def _scales_by_data(index: Index, read: NodeDef) -> bool:
    """Returns whether a value is multiplied by a reciprocal root that data goes into."""
    products = (reader for reader, _ in index.consumers(read.name) if reader.op == "Mul")
    factors = (tensor.node for product in products for tensor in data_inputs(product))
    roots = [name for name in factors if index[name].op == "Rsqrt"]
    return any(index[name].op in ops.PLACEHOLDERS for name in index.ancestors(roots)) if roots else False


def of(graph_def: GraphDef, values: Mapping[str, Callable[[], np.ndarray]]) -> Result:
    """Returns the graph with constants in place of variables.

    Args:
        graph_def: of resource variables. Not modified.
        values: name of a variable, one of `constant`, -> returns its value.
    """
    index = Index(graph_def)
    used_names = set(index.nodes)
    # A read that waits for nothing is the constant.
    reads = {
        Tensor(node.name): Tensor(parse(node.input[0]).node)
        for node in graph_def.node
        if node.op == "ReadVariableOp" and parse(node.input[0]).node in values and not control_inputs(node)
    }
    nodes: list[NodeDef] = []
    for node in graph_def.node:
        if node.name in values:
            dtype = tf.as_dtype(attr(node, "dtype").type)
            nodes.append(rewrite.constant(node.name, values[node.name](), dtype))
        elif node.op in _READERS and parse(node.input[0]).node in values:
            if Tensor(node.name) not in reads:
                nodes += _reading(node, reads, used_names)
        else:
            nodes.append(rewrite.rewired(node, reads, {old.node: new.node for old, new in reads.items()}))
    made = rewrite.with_nodes(graph_def, nodes)
    return Result(made, {old.name: new.name for old, new in reads.items()})


def _reading(node: NodeDef, reads: Mapping[Tensor, Tensor], used_names: set[str]) -> Iterable[NodeDef]:
    """Yields a reader of a handle as a reader of a value, under the same name."""
    value, *others = (reads.get(tensor, tensor) for tensor in data_inputs(node))
    waits = [Tensor(reads.get(Tensor(name), Tensor(name)).node, -1) for name in control_inputs(node)]
    dtype = tf.as_dtype(attr(node, "dtype").type)
    made = rewrite.node(node.name, _READERS[node.op])
    if node.op == "ReadVariableOp":
        made.attr["T"].type = dtype.as_datatype_enum
    else:
        made.attr["Tparams"].type = dtype.as_datatype_enum
        made.attr["Tindices"].type = attr(node, "Tindices").type
    if node.op == "ResourceGather":
        batch = attr(node, "batch_dims").i
        axis = rewrite.constant(graph.fresh_name(f"{node.name}/axis", used_names), batch, tf.int32)
        yield axis
        made.attr["Taxis"].type = tf.int32.as_datatype_enum
        made.attr["batch_dims"].i = batch
        others.append(Tensor(axis.name))
    made.input.extend(tensor.edge for tensor in (value, *others, *waits))
    yield made
