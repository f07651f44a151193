"""Static shapes of loop variables and branch results, found by running shape inference through the functions.

A loop variable has the most specific shape that what enters and what every iteration gives agree on: start with the
former, infer the body, forget the sizes that differ, until nothing changes. TensorFlow does not do this for a While
that is read from a GraphDef: it believes `output_shapes`, and gradients are built with what it says.
"""

import tensorflow as tf

from export_v1.ir import graph, importing, ops, safety
from export_v1.ir.graph import GraphDef, NodeDef
from export_v1.passes.functional import region as regions
from export_v1.passes.functional.region import Region

Shapes = dict[str, tf.TensorShape]


def annotate(region: Region, original: GraphDef) -> Shapes:
    """Sets `output_shapes` of every While and If, in place, and returns the shape of every tensor by name.

    Args:
        region: the whole graph.
        original: the graph it came from: the functions its nodes may call, and the version to read them by.
    """
    shapes: Shapes = {}
    _Inference(original, shapes).run(region, [])
    return shapes


class _Inference:
    """Shape inference over a region and the regions below it."""

    def __init__(self, original: GraphDef, shapes: Shapes):
        self.original, self.shapes = original, shapes
        self.functions = {function.signature.name for function in original.library.function}

    def run(self, region: Region, args: list[tf.TensorShape]) -> list[tf.TensorShape]:
        """Returns the shapes of a region's results, given those of its arguments."""
        known: dict[str, tf.Tensor] = {}
        segment: list[NodeDef] = []
        given = dict(zip(region.args, args, strict=True))
        with tf.Graph().as_default():
            for name in regions.order(region.nodes):
                node = region.nodes[name]
                # What stayed of v1 control flow may lie on a cycle, so its shape is not asked for; TensorFlow computes
                # ahead what a shape depends on, so an op that could reach out is not shown to it.
                if name in region.bodies or node.op in ops.V1_CONTROL_FLOW or node.op == "_Arg" or self._reaches(node):
                    self._import(region, segment, known)
                    segment = []
                    outputs = self._outputs(region, node, known, given)
                    known.update((f"{name}:{at}", tensor) for at, tensor in enumerate(outputs))
                else:
                    segment.append(node)
            self._import(region, segment, known)
            self.shapes.update((name, tensor.shape) for name, tensor in known.items())
            return [known[graph.parse(edge).name].shape for edge in region.results]

    def _reaches(self, node: NodeDef) -> bool:
        return not safety.is_harmless(node.op, self.functions)

    def _import(self, region: Region, nodes: list[NodeDef], known: dict[str, tf.Tensor]) -> None:
        """Adds the outputs of `nodes` to `known`; of unknown shape where they do not import by themselves."""
        # Without a version, a graph counts as so old that the scalar shape of a placeholder means an unknown one.
        part = GraphDef(versions=self.original.versions, library=self.original.library)
        needed: dict[str, tf.Tensor] = {}
        for node in nodes:
            copy = part.node.add()
            copy.CopyFrom(node)
            sources = graph.data_inputs(node)
            del copy.input[:]
            copy.input.extend(source.edge for source in sources)
            needed.update((source.name, known[source.name]) for source in sources if source.name in known)
        try:
            made = importing.graph_def(part, feeds=needed, return_elements=[node.name for node in nodes])
        except ValueError:
            for node in nodes:
                known.update(
                    (f"{node.name}:{at}", tf.compat.v1.placeholder(dtype))
                    for at, dtype in enumerate(graph.output_types(node))
                )
            return
        for node, operation in zip(nodes, made, strict=True):
            known.update((f"{node.name}:{at}", tensor) for at, tensor in enumerate(operation.outputs))

    def _outputs(self, region: Region, node: NodeDef, known, given) -> list[tf.Tensor]:
        """Returns stand-ins for the outputs of an argument, a functional node, or v1 control flow."""
        if node.op == "_Arg":
            shapes = [given.get(node.name, tf.TensorShape(None))]
            return [tf.compat.v1.placeholder(node.attr["T"].type, shape) for shape in shapes]
        types = graph.output_types(node)
        shapes = [tf.TensorShape(None)] * len(types)
        parts = region.bodies.get(node.name, {})
        inputs = [known[source.name].shape for source in graph.data_inputs(node)] if parts else []
        if "body" in parts:
            shapes = self._loop(parts, inputs)
        elif parts:
            branches = [self.run(part, inputs[1:]) for part in parts.values()]
            shapes = [shape.most_specific_compatible_shape(other) for shape, other in zip(*branches, strict=True)]
        if parts:
            del node.attr["output_shapes"].list.shape[:]
            node.attr["output_shapes"].list.shape.extend(shape.as_proto() for shape in shapes)
        return [tf.compat.v1.placeholder(dtype, shape) for dtype, shape in zip(types, shapes, strict=True)]

    def _loop(self, parts: dict[str, Region], shapes: list[tf.TensorShape]) -> list[tf.TensorShape]:
        while True:
            after = self.run(parts["body"], shapes)
            relaxed = [shape.most_specific_compatible_shape(other) for shape, other in zip(shapes, after, strict=True)]
            if [shape.as_proto() for shape in relaxed] == [shape.as_proto() for shape in shapes]:
                self.run(parts["cond"], shapes)
                return shapes
            shapes = relaxed
