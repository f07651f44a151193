"""What a replacement is told about the node that it stands in for, and what it is."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from export_v1 import errors
from export_v1.ir import graph
from export_v1.ir.graph import Index, NodeDef, data_inputs


@dataclasses.dataclass(frozen=True)
class Site:
    """A node that is replaced, and what is around it.

    Attributes:
        node: the node.
        index: the graph that it is in, cut and pruned; of a node in a function, the graph that has the function.
        written: the whole graph as it was written, with its Saver and its initializers.
        stored: returns the value that the checkpoint has under a key, or None where it has none.
        shapes: of the node's data inputs, in order, as TensorFlow 1 recorded or inferred them; unknown in a function.
        training: whether the graph is for training, whatever the node was made for.
    """

    node: NodeDef
    index: Index
    written: Index
    stored: Callable[[str], np.ndarray | None]
    shapes: Sequence[tf.TensorShape]
    training: bool = False

    def attr(self, name: str):
        """Returns an attribute as Python has it: a number, a bool, bytes, a tf.DType, a list of these.

        Raises:
            ExportError: neither the node nor its op's definition has it.
        """
        value = graph.attr(self.node, name)
        kind = value.WhichOneof("value")
        if kind is None:
            raise errors.ExportError(f"Node {self.node.name!r} ({self.node.op}) has no attribute {name!r}.")
        if kind == "list":
            types = [tf.as_dtype(data_type) for data_type in value.list.type]
            return types or [*value.list.i, *value.list.f, *value.list.b, *value.list.s]
        return tf.as_dtype(value.type) if kind == "type" else getattr(value, kind)

    def source(self, position: int) -> NodeDef | None:
        """Returns the node that makes an input, such as a resource's handle; None where it is not in the main graph.

        Args:
            position: of the input among all data inputs of the node, from 0.
        """
        inputs = data_inputs(self.node)
        while position < len(inputs):
            tensor = inputs[position]
            node = self.index.nodes.get(tensor.node)
            if node is None or node.op not in ("Identity", "Enter", "Switch", "RefEnter", "RefSwitch"):
                return node
            inputs, position = data_inputs(node), 0
        return None

    def constant(self, position: int) -> np.ndarray | None:
        """Returns the value of an input that a constant of the main graph gives, or None.

        Args:
            position: as for `source`.
        """
        node = self.source(position)
        return tf.make_ndarray(node.attr["value"].tensor) if node is not None and node.op == "Const" else None


@dataclasses.dataclass(frozen=True)
class Replacement:
    """What stands in for an op.

    Attributes:
        build: takes a `Site` and the node's inputs in the order of the op's definition (tensors of the right types and,
            where TensorFlow 1 recorded a shape, of the right rank; a list of tensors for an input that is a list) and
            returns a tensor for each output, or the one tensor of an op with one; None for an output that nobody can
            use. It calls TensorFlow's public API alone. Sizes are left open, since a recorded one may be that of a
            training batch; of what has one by its nature, such as a layer's units, the site tells it.
        by: what it is, for the report, such as "a loop over the steps".
        needs_shapes: whether it cannot do without the `shapes` of its site; they are inferred where TensorFlow 1
            recorded none.
        joins: whether one piece stands in for all nodes of the op that differ in their first input alone, such as the
            trees of a forest; `build` then takes a list of sites, the first site's inputs, and returns a list of what
            it returns otherwise, a site each. It must not read the first input.
        where: says of a node of the op whether it is to be replaced.
        is_wrong: whether TensorFlow 2 runs the op and answers something else: then the original's answers, too, are
            those of the replacement.
    """

    build: Callable[..., tf.Tensor | Sequence[tf.Tensor | None]]
    by: str
    needs_shapes: bool = False
    joins: bool = False
    where: Callable[[NodeDef], bool] = lambda node: True
    is_wrong: bool = False
