"""TensorFlow's own shape functions, asked about shapes and values that a graph's placeholders might have: nothing runs."""

import dataclasses
import re
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from export_v1.ir import rewrite
from export_v1.ir.graph import GraphDef

Shapes = Mapping[str, Sequence[int | None] | None]
_NAMED = re.compile(r"\{\{node ([^}]+)\}\}")
# Values of more elements say nothing about a shape.
_MOST_ELEMENTS = 64


@dataclasses.dataclass(frozen=True)
class Refusal:
    """What TensorFlow has against a candidate.

    Attributes:
        message: what it says.
        node: the op that it names, or "".
    """

    message: str
    node: str = ""

    @classmethod
    def of(cls, message: str) -> "Refusal":
        """Returns what a message of TensorFlow says, with the op that it names."""
        named = _NAMED.search(message)
        return cls(message, named.group(1) if named else "")

    @property
    def numbers(self) -> list[int]:
        """The sizes that the message speaks of, without those in the names of nodes."""
        text = _NAMED.sub("", self.message.split("[[{{")[0])
        return [int(number) for number in re.findall(r"(?<![\w.])\d{1,5}(?![\w.]*\w)", text)]


def imported(graph_def: GraphDef, shapes: Shapes, values: Mapping[str, np.ndarray] | None = None) -> tf.Graph:
    """Returns a graph whose placeholders have these shapes, or are constants of these values.

    Args:
        graph_def: importable; not modified.
        shapes: placeholder name -> shape, None for what is still open.
        values: placeholder name -> integers; large ones are left to their shape.

    Raises:
        ValueError, OpError: TensorFlow finds something wrong with it; the message names the op.
    """
    small = {name: value for name, value in (values or {}).items() if value.size <= _MOST_ELEMENTS}
    nodes = []
    for node in graph_def.node:
        if node.op == "Placeholder" and node.name in small:
            node = rewrite.constant(node.name, small[node.name], tf.as_dtype(node.attr["dtype"].type))
        elif node.op == "Placeholder" and node.name in shapes:
            node = rewrite.rewired(node, {})
            node.attr["shape"].shape.CopyFrom(tf.TensorShape(shapes[node.name]).as_proto())
        nodes.append(node)
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(rewrite.with_nodes(graph_def, nodes), name="")
    return graph


def refusal(graph_def: GraphDef, shapes: Shapes, values: Mapping[str, np.ndarray] | None = None) -> Refusal | None:
    """Returns what TensorFlow has against these shapes and values, None where it has nothing; see `imported`."""
    try:
        imported(graph_def, shapes, values)
    except (ValueError, TypeError, tf.errors.OpError) as error:
        return Refusal.of(str(error))
    return None
