"""Small graphs written in TensorFlow's own API, to be put in the place of a node.

A fragment is traced by TensorFlow from a Python function of tensors, so no NodeDef of it is written by hand, and its
loops are functional. `inlined` gives its nodes for the main graph; `as_function` makes it a function of the library,
for a node that is in a function itself.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence

import tensorflow as tf

from export_v1.ir import graph
from export_v1.ir.graph import GraphDef, NodeDef, Tensor, parse


@dataclasses.dataclass(frozen=True)
class Fragment:
    """A traced function of tensors.

    Attributes:
        graph_def: its nodes and the functions that these call.
        inputs: names of its placeholders, in order.
        outputs: its results.
        function: the same as a function definition, whose arguments and results are in the same order.
    """

    graph_def: GraphDef
    inputs: tuple[str, ...]
    outputs: tuple[Tensor, ...]
    function: object


def traced(build: Callable[..., Sequence[tf.Tensor]], specs: Sequence[tf.TensorSpec]) -> Fragment:
    """Returns what a function of tensors computes, as a fragment.

    Args:
        build: takes a tensor for each spec and returns a list of tensors; no variables, and no Python state.
        specs: types and static shapes of the inputs.
    """
    function = tf.function(lambda *tensors: list(build(*tensors)), autograph=False)
    concrete = function.get_concrete_function(*specs)
    assert not concrete.captured_inputs, "a fragment computes with its inputs and constants alone"
    return Fragment(
        graph_def=concrete.graph.as_graph_def(),
        inputs=tuple(tensor.op.name for tensor in concrete.inputs),
        outputs=tuple(parse(tensor.name) for tensor in concrete.outputs),
        function=concrete.function_def,
    )


@dataclasses.dataclass(frozen=True)
class Inlined:
    """A fragment as part of a graph.

    Attributes:
        nodes: to be added to the graph.
        functions: to be added to its library.
        outputs: the fragment's results there.
    """

    nodes: list[NodeDef]
    functions: list
    outputs: list[Tensor]


def inlined(
    fragment: Fragment, prefix: str, inputs: Sequence[Tensor], waits: Iterable[str], taken: set[str]
) -> Inlined:
    """Returns a fragment's nodes under names that start with `prefix`, for a graph that gives it `inputs`.

    Args:
        fragment: what to put into the graph.
        prefix: "scope/", which no node of the graph starts with.
        inputs: what stands in for the fragment's placeholders.
        waits: nodes of the graph that every node without an input waits for: in a loop or a branch of TensorFlow 1, a
            constant belongs to it only where it waits for something there.
        taken: names of the graph's functions; those of the fragment are added.
    """
    given = dict(zip(fragment.inputs, inputs, strict=True))
    names = _fresh_names(fragment.graph_def.library.function, prefix, taken)

    def tensor_of(tensor: Tensor) -> Tensor:
        if tensor.node in given:
            return given[tensor.node] if tensor.index >= 0 else Tensor(given[tensor.node].node, -1)
        return Tensor(prefix + tensor.node, tensor.index)

    nodes = []
    for source in fragment.graph_def.node:
        if source.name in given:
            continue
        made = NodeDef()
        made.CopyFrom(source)
        made.name = prefix + source.name
        del made.input[:]
        made.input.extend(tensor_of(parse(edge)).edge for edge in source.input)
        if not graph.data_inputs(source):
            made.input.extend(edge for edge in (f"^{name}" for name in waits) if edge not in made.input)
        _rename_calls(made, names)
        nodes.append(made)
    return Inlined(
        nodes, _renamed(fragment.graph_def.library.function, names), [tensor_of(one) for one in fragment.outputs]
    )


def as_function(fragment: Fragment, prefix: str, taken: set[str]) -> tuple[str, list]:
    """Returns the name of a library function that computes a fragment, and all functions to be added to the library.

    Args:
        fragment: what it computes.
        prefix: what its name and the names of those that it calls start with.
        taken: names of the graph's functions; the new ones are added.
    """
    functions = [*fragment.graph_def.library.function, fragment.function]
    names = _fresh_names(functions, prefix, taken)
    return names[fragment.function.signature.name], _renamed(functions, names)  # type: ignore[attr-defined]


def _fresh_names(functions: Iterable, prefix: str, taken: set[str]) -> dict[str, str]:
    stem = re.sub(r"\W", "_", prefix)
    return {
        function.signature.name: graph.fresh_name(f"{stem}{re.sub(r'_[0-9]+$', '', function.signature.name)}", taken)
        for function in functions
    }


def _renamed(functions: Iterable, names: dict[str, str]) -> list:
    copies = []
    for function in functions:
        copy = type(function)()
        copy.CopyFrom(function)
        copy.signature.name = names[function.signature.name]
        for node in copy.node_def:
            _rename_calls(node, names)
        for key in [key for key in copy.attr if "inference" in key or "forward" in key or "backward" in key]:
            # What the process that traced it knows of its gradients.
            del copy.attr[key]
        copies.append(copy)
    return copies


def _rename_calls(node: NodeDef, names: dict[str, str]) -> None:
    node.op = names.get(node.op, node.op)
    for value in node.attr.values():
        if value.HasField("func"):
            value.func.name = names.get(value.func.name, value.func.name)
        for function in value.list.func:
            function.name = names.get(function.name, function.name)
