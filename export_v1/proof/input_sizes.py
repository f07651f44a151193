"""Sizes for the open axes of made-up inputs, found by TensorFlow's own shape inference: nothing is run."""

from collections.abc import Iterator, Mapping, Sequence

import tensorflow as tf

from export_v1.ir import importing, rewrite
from export_v1.ir.graph import GraphDef

# A graph that takes a picture of 36 to answer one of 32 takes nothing else; most such sizes are small.
_LARGEST = 64
Shapes = Mapping[str, Sequence[int | None]]


def fits(graph_def: GraphDef, shapes: Shapes) -> bool:
    """Returns whether TensorFlow finds nothing wrong with a graph whose placeholders have these shapes.

    Args:
        graph_def: importable; not modified.
        shapes: placeholder name -> shape, None for what is still open.
    """
    with tf.Graph().as_default():
        try:
            importing.graph_def(_shaped(graph_def, shapes))
        except (ValueError, tf.errors.OpError):
            return False
    return True


def searched(graph_def: GraphDef, shapes: Shapes, batch: int) -> Iterator[dict[str, list[int]]]:
    """Yields shapes without open axes that fit together, each placeholder with one size for all of its own.

    The placeholders are settled one after the other, those with more open axes first.

    Args:
        graph_def: importable; not modified.
        shapes: placeholder name -> shape, None for open axes; the first axis is the batch.
        batch: its size.
    """
    chosen: dict[str, list[int | None]] = {
        name: [batch if at == 0 and size is None else size for at, size in enumerate(shape)]
        for name, shape in shapes.items()
    }
    for name in sorted(chosen, key=lambda name: -chosen[name].count(None)):
        if None not in chosen[name]:
            continue
        for size in range(_LARGEST, 0, -1):
            shape: list[int | None] = [size if known is None else known for known in chosen[name]]
            if fits(graph_def, {**chosen, name: shape}):
                chosen[name] = shape
                break
        else:
            return
    yield {name: [size for size in shape if size is not None] for name, shape in chosen.items()}


def _shaped(graph_def: GraphDef, shapes: Shapes) -> GraphDef:
    nodes = []
    for node in graph_def.node:
        if node.name in shapes and node.op == "Placeholder":
            node = rewrite.rewired(node, {})
            node.attr["shape"].shape.CopyFrom(tf.TensorShape(shapes[node.name]).as_proto())
        nodes.append(node)
    return rewrite.with_nodes(graph_def, nodes)
