"""Functions of a graph's library, such as the body of a loop, as graphs of their own."""

import dataclasses

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import function_pb2

from export_v1.ir import library
from export_v1.ir.graph import GraphDef, Tensor
from load_v2.opening import canonical, choices, expressions
from load_v2.opening import graph as graphs
from load_v2.opening.context import Context, Refused
from load_v2.opening.sizes import Sizes
from load_v2.opening.values import Values
from load_v2.program import artefact


@dataclasses.dataclass(frozen=True, eq=False)
class Function:
    """A function called by a node, as a graph.

    Attributes:
        context: of the function's own graph. What is the same at each call, and no data, is known there.
        arguments: its arguments in order; None for one that is known.
        results: in order.
        given: the tensors outside, in the order of the arguments.
        outer: of the graph that these are in.
    """

    context: Context
    arguments: tuple[Tensor, ...]
    results: tuple[Tensor, ...]
    given: tuple[Tensor, ...]
    outer: Context

    def is_same(self, index: int) -> bool:
        """Returns whether a loop hands an argument on as it is."""
        return self.results[index] == self.arguments[index]


def of_loop(context: Context, loop: Tensor, attr: str = "body") -> Function:
    """Returns the body, or the condition, of a While.

    Args:
        context: of the graph that the loop is in.
        loop: an output of it.
        attr: "body" or "cond".

    Raises:
        Refused: it is not in the library, or uses what has no form outside a function.
    """
    node = context.graph.node(loop)
    given = context.sources(loop)
    definition = _definition(context, node.attr[attr].func.name)
    body = _definition(context, node.attr["body"].func.name)
    same = {
        at for at, (argument, result) in enumerate(zip(body.signature.input_arg, body.signature.output_arg, strict=True))
        if _origin(body, body.ret[result.name]) == argument.name
    }  # fmt: skip
    shapes = [
        None if shape.unknown_rank else [dim.size if dim.size >= 0 else None for dim in shape.dim]
        for shape in node.attr["output_shapes"].list.shape
    ] or [None] * len(given)
    return _function(context, definition, given, same, shapes)


def _origin(definition: function_pb2.FunctionDef, edge: str) -> str:
    """Returns the argument, or the node, that an edge of a function comes from, past nodes that change nothing."""
    nodes = {node.name: node for node in definition.node_def}
    name = edge.partition(":")[0]
    while name in nodes and nodes[name].op == "Identity":
        name = nodes[name].input[0].partition(":")[0]
    return name


def of_branch(context: Context, condition: Tensor, attr: str) -> Function:
    """Returns the branch `attr` of an If; errors are those of `of_loop`."""
    node, given = context.graph.node(condition), context.sources(condition)[1:]
    definition = _definition(context, node.attr[attr].func.name)
    shapes = [None if (shape := context.graph.shape(tensor)) is None else list(shape) for tensor in given]
    return _function(context, definition, given, set(range(len(given))), shapes)


def _definition(context: Context, name: str) -> function_pb2.FunctionDef:
    for function in context.graph.graph_def.library.function:
        if function.signature.name == name:
            return function
    raise Refused(f"its function {name!r} is not in the graph")


def _function(context: Context, definition, given: list[Tensor], same: set[int], shapes) -> Function:
    graph_def = GraphDef(versions=context.graph.graph_def.versions, library=context.graph.graph_def.library)
    arguments, weights, held = [], {}, {}
    for at, (argument, source) in enumerate(zip(definition.signature.input_arg, given, strict=True)):
        arguments.append(Tensor(argument.name))
        # A list has no value of its own; what it is made of is read where the function is.
        is_value = argument.type not in (tf.resource.as_datatype_enum, tf.variant.as_datatype_enum)
        if at in same and not context.is_data(source) and is_value:
            value = context.values.value(source)
            if context.values.kind(source) == "constant" and expressions.is_literal(value):
                graph_def.node.append(graphs.constant(argument.name, value))
                continue
            weights[argument.name] = _stand_in(context, source, value, argument.name)
            held[argument.name] = value
            shape: list[int | None] | None = list(value.shape)
        else:
            shape = _known_shape(context, source, shapes[at])
        graph_def.node.append(graphs.placeholder(argument.name, tf.as_dtype(argument.type), shape))
    body = library.body(graph_def, definition.signature.name)
    graph_def.node.extend(graphs.plain(node) for node in body.graph_def.node[len(arguments) :])
    results = body.returned

    def read(variable: artefact.Variable) -> np.ndarray:
        return held[variable.key]

    outputs = {str(at): tensor for at, tensor in enumerate(results)}
    inputs = {argument.node: argument for argument in arguments}
    try:
        chosen = choices.with_choices(graph_def)
        graph = canonical.simplified(graphs.without_aliases(chosen, inputs, outputs, weights), read)
        if stretched := choices.of_other_shapes(graph):
            raise ValueError(f"the branches of {stretched[0]!r} give tensors of different shapes")
    except ValueError as error:
        raise Refused(f"the function {definition.signature.name!r} cannot be read: {error}") from error
    values = Values(graph, read)
    inner = Context(graph, values, Sizes(graph, values, numbers=True), context.patterns)
    return Function(
        inner, tuple(arguments), tuple(graph.outputs[str(at)] for at in range(len(results))), tuple(given), context
    )


def _known_shape(context: Context, source: Tensor, told) -> list[int | None] | None:
    shape = context.graph.shape(source)
    if context.graph.dtype(source) == "variant" or shape is None:
        return told
    if told is None or len(told) != len(shape):
        return list(shape) if told is None else None
    return [size if size == other else None for size, other in zip(shape, told, strict=True)]


def _stand_in(context: Context, source: Tensor, value: np.ndarray, key: str) -> artefact.Variable:
    """Returns a variable that stands for a weight expression outside, under the name of the first in it."""
    variables = context.values.variables(source)
    return artefact.Variable(
        name=variables[0].name if variables else source.node,
        handles=(),
        dtype=value.dtype.name,
        shape=tuple(value.shape),
        trainable=not variables or any(variable.trainable for variable in variables),
        key=key,
    )
