"""new_axes: a slice that also adds axes becomes two slices, one that adds the axes and one that takes the rest.

    x[:, 0, None]    ==>    x[:, :, None][:, 0]

The first has nothing to take, and the second nothing to add. TensorFlow 2 rewrites a slice of what `tf.stack` made to the
one tensor that it takes (Grappler's RemoveStackSliceSameAxis, arithmetic_optimizer.cc of 2.21) and forgets the axes that
the slice adds beside: the answer is of another rank, and whatever reads it fails or goes wrong. A slice that only takes,
or only adds, it rewrites rightly.
"""

import numpy as np
import tensorflow as tf

from export_v1.ir import graph, rewrite
from export_v1.ir.graph import GraphDef, NodeDef, attr
from export_v1.passes.result import Result

_MASKS = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")


def apart(graph_def: GraphDef) -> Result:
    """Returns the graph, and its functions, without a slice that takes and adds axes at once; tensors keep their names.

    A slice whose strides are no constant ones stays: TensorFlow rewrites none of those.

    Args:
        graph_def: not modified.
    """
    if not any(_adds(node) for node in graph.all_nodes(graph_def)):
        return Result(graph_def)
    made = rewrite.with_nodes(graph_def, ())
    made.node.extend(_apart(graph_def.node, "{}"))
    for function in made.library.function:
        nodes = _apart(function.node_def, "{}:output:0")
        del function.node_def[:]
        function.node_def.extend(nodes)
    return Result(made)


def _adds(node: NodeDef) -> bool:
    return node.op == "StridedSlice" and bool(attr(node, "new_axis_mask").i)


def _apart(nodes, output: str) -> list[NodeDef]:
    """Returns nodes of a graph or of a function; there, `output` is how a node's first output is written."""
    ones = {node.name: _count_of_ones(node) for node in nodes if node.op == "Const"}
    used_names, result = {node.name for node in nodes}, []
    for node in nodes:
        count = ones.get(node.input[3].split(":")[0]) if _adds(node) else None
        if count and _takes(node, count):
            added = _with_masks(node, begin_mask=2**count - 1, end_mask=2**count - 1, shrink_axis_mask=0)
            added.name = graph.fresh_name(f"{node.name}/new_axes", used_names)
            # Of an axis that is new, all that there is: one.
            new = attr(node, "new_axis_mask").i
            begin, end, shrunk = (attr(node, f"{name}_mask").i for name in ("begin", "end", "shrink_axis"))
            node = _with_masks(
                node, begin_mask=begin | new, end_mask=end | new, shrink_axis_mask=shrunk & ~new, new_axis_mask=0
            )
            node.input[0] = output.format(added.name)
            result.append(added)
        result.append(node)
    return result


def _count_of_ones(constant: NodeDef) -> int:
    """Returns how many ones a constant vector has; 0: it has something else, too."""
    tensor = attr(constant, "value").tensor
    if tensor.dtype not in (tf.int32.as_datatype_enum, tf.int64.as_datatype_enum) or len(tensor.tensor_shape.dim) != 1:
        return 0
    value = tf.make_ndarray(tensor)
    return value.size if np.all(value == 1) else 0


def _takes(node: NodeDef, count: int) -> bool:
    """Returns whether a slice takes less than all of an axis that is there."""
    begin, end, ellipsis, new, shrunk = (attr(node, mask).i for mask in _MASKS)
    whole = begin & end & ~shrunk
    return any(not (whole | ellipsis | new) & 1 << at for at in range(count))


def _with_masks(node: NodeDef, **masks: int) -> NodeDef:
    made = NodeDef()
    made.CopyFrom(node)
    for name, mask in masks.items():
        made.attr[name].i = mask
    return made
