"""Constants of a frozen graph that act as weights, made variables again.

freeze_graph turns a variable `w` into a constant `w` and its read into an Identity, `w/read` or `…/ReadVariableOp`,
and never touches any other constant. Where a graph has such pairs, these floats were variables and nothing else was.
Where a later tool has removed the Identities, whatever is read in the place of a weight counts: see `WEIGHTS`.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from export_v1 import errors
from export_v1.analysis import batch_norm
from export_v1.ir import graph, ops, rewrite
from export_v1.ir.graph import GraphDef, Index, NodeDef, Tensor, data_inputs, parse

_READ = "/read"
_READ_RESOURCE = "ReadVariableOp"
_PRODUCTS = frozenset(
    "MatMul BatchMatMul BatchMatMulV2 BatchMatMulV3 Conv2D Conv3D DepthwiseConv2dNative Conv2DBackpropInput "
    "Conv3DBackpropInputV2 Einsum".split()
)
_CONVOLUTIONS = frozenset({"Conv2D", "Conv3D", "DepthwiseConv2dNative", "Conv2DBackpropInput", "Conv3DBackpropInputV2"})
# Op -> the inputs that are weights; None: any of them.
WEIGHTS: Mapping[str, tuple[int, ...] | None] = {
    **{op: None for op in _PRODUCTS - _CONVOLUTIONS},
    **{op: (1,) for op in _CONVOLUTIONS},
    **{op: (1, 2, 3, 4) for op in ops.BATCH_NORMS},
    "BiasAdd": (1,),
    "Gather": (0,),
    "GatherV2": (0,),
}


@dataclasses.dataclass(frozen=True)
class Thawed:
    """A graph with variables for what were constants.

    Attributes:
        graph_def: the graph.
        values: variable name -> value.
        trainable: variable name -> whether gradients change it; a batch norm's moving statistics are not trainable.
        notes: what was done, and by which rule.
    """

    graph_def: GraphDef
    values: Mapping[str, np.ndarray]
    trainable: Mapping[str, bool]
    notes: tuple[str, ...]


def weights(graph_def: GraphDef) -> Thawed:
    """Returns the graph with a variable, named as the constant, for each float constant that acts as a weight.

    Args:
        graph_def: a frozen graph. Not modified.

    Raises:
        ExportError: no constant acts as a weight.
    """
    index = Index(graph_def)
    floats = {node.name: node for node in graph_def.node if node.op == "Const" and _is_float(node)}
    names = {name for name in floats if _was_variable(index, name)}
    why = "each is read as freeze_graph writes a variable's read"
    if not names:
        names = {name for name, node in floats.items() if _acts_as_weight(index, node)}
        why = "each is read where an op takes its weights"
    if not names:
        raise errors.ExportError(
            f"--unfreeze finds no weights: none of the {len(floats)} float constants is read as one.\n"
            f"  Ops that would tell: {errors.quoted(WEIGHTS, 20)}.\n  Remove --unfreeze."
        )
    still = batch_norm.moving(index, names)
    values = {name: tf.make_ndarray(floats[name].attr["value"].tensor) for name in names}
    total = sum(value.size for value in values.values())
    kept = f", {len(still)} of them not trainable as moving statistics of batch norms" if still else ""
    note = f"{len(names)} constants ({total:,} numbers) are variables now{kept}: {why}"
    return Thawed(_with_variables(graph_def, names), values, {name: name not in still for name in names}, (note,))


def _is_float(node: NodeDef) -> bool:
    return tf.as_dtype(node.attr["dtype"].type).is_floating


def _was_variable(index: Index, name: str) -> bool:
    readers = [node for node, at in index.consumers(name) if node.op == "Identity" and parse(node.input[at]).index == 0]
    return any(node.name == name + _READ or node.name.split("/")[-1].startswith(_READ_RESOURCE) for node in readers)


def _acts_as_weight(index: Index, node: NodeDef) -> bool:
    value = tf.make_ndarray(node.attr["value"].tensor)
    # All alike: a batch norm without scale has a constant of ones in its place. Scalars are settings.
    if value.ndim == 0 or value.size < 2 or (value == value.ravel()[0]).all():
        return False
    for reader, at in batch_norm.readers(index, node.name):
        positions = WEIGHTS.get(reader.op, ())
        if positions is None or at in positions:
            return True
        # x @ w + b; a constant added to anything else (an image's mean) is no weight.
        if reader.op in ops.ADDS and _makes_product(index, data_inputs(reader)[1 - at]):
            return True
    return False


def _makes_product(index: Index, tensor: Tensor) -> bool:
    node = index.nodes.get(tensor.node)
    while node is not None and node.op in ("Identity", "Reshape"):
        node = index.nodes.get(data_inputs(node)[0].node)
    return node is not None and node.op in _PRODUCTS


def _with_variables(graph_def: GraphDef, names: set[str]) -> GraphDef:
    used_names = {node.name for node in graph_def.node}
    reads = {
        Tensor(name): Tensor(graph.fresh_name(f"{name}/Read/{_READ_RESOURCE}", used_names)) for name in sorted(names)
    }
    nodes = []
    for node in graph_def.node:
        if node.name not in names:
            nodes.append(rewrite.rewired(node, reads))
            continue
        dtype = tf.as_dtype(node.attr["dtype"].type)
        shape = tf.TensorShape(node.attr["value"].tensor.tensor_shape)
        handle = Tensor(node.name)
        nodes.append(
            rewrite.node(node.name, "VarHandleOp", dtype=dtype, shape=shape, shared_name=node.name, container="")
        )
        read = rewrite.node(reads[handle].node, _READ_RESOURCE, [handle], dtype=dtype)
        read.input.extend(edge for edge in node.input if edge.startswith("^"))
        nodes.append(read)
    return rewrite.with_nodes(graph_def, nodes)
