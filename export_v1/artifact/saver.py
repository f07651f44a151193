"""saver: the nodes by which a v1 loader restores every variable, as a SaverDef describes them.

TensorFlow's own Saver makes the same from Python, op by op, which for a thousand variables takes longer than to import
their graph.
"""

from collections.abc import Sequence

import tensorflow as tf
from tensorflow.core.protobuf import saver_pb2

from export_v1.ir import graph, rewrite
from export_v1.ir.graph import GraphDef, NodeDef, Tensor
from export_v1.weights.restore import Variable


def nodes(
    graph_def: GraphDef, variables: Sequence[Variable], reads: Sequence[Tensor]
) -> tuple[list[NodeDef], saver_pb2.SaverDef]:
    """Returns the ops that save the variables of a graph and restore them, and the SaverDef that says which they are.

    Args:
        graph_def: has a VarHandleOp named as each variable. Not modified.
        variables: at least one; their names are the keys.
        reads: the value of each.
    """
    names = {node.name for node in graph_def.node}

    def tensor(suffix: str) -> Tensor:
        return Tensor(graph.fresh_name(f"save/{suffix}", names))

    default, filename = tensor("filename/input"), tensor("filename")
    keys, slices = tensor("tensor_names"), tensor("shape_and_slices")
    save, saved, restored, done = tensor("SaveV2"), tensor("Identity"), tensor("RestoreV2"), tensor("restore_all")
    assigns = [
        rewrite.node(
            tensor(f"Assign_{at}").node,
            "AssignVariableOp",
            [Tensor(variable.name), Tensor(restored.node, at)],
            dtype=variable.dtype,
        )
        for at, variable in enumerate(variables)
    ]
    types = [variable.dtype.as_datatype_enum for variable in variables]
    written = rewrite.node(save.node, "SaveV2", [filename, keys, slices, *reads])
    written.attr["dtypes"].list.type.extend(types)
    read = rewrite.node(restored.node, "RestoreV2", [filename, keys, slices])
    read.attr["dtypes"].list.type.extend(types)
    made = [
        rewrite.constant(default.node, "model", tf.string),
        rewrite.node(filename.node, "PlaceholderWithDefault", [default], dtype=tf.string, shape=tf.TensorShape([])),
        rewrite.constant(keys.node, [variable.name for variable in variables], tf.string),
        rewrite.constant(slices.node, [""] * len(types), tf.string),
        written,
        _after(rewrite.node(saved.node, "Identity", [filename], T=tf.string), [written]),
        read,
        *assigns,
        _after(rewrite.node(done.node, "NoOp"), assigns),
    ]
    definition = saver_pb2.SaverDef(
        filename_tensor_name=filename.name,
        save_tensor_name=saved.name,
        restore_op_name=done.node,
        max_to_keep=5,
        version=saver_pb2.SaverDef.V2,
    )
    return made, definition


def _after(node: NodeDef, others: Sequence[NodeDef]) -> NodeDef:
    node.input.extend("^" + other.name for other in others)
    return node
