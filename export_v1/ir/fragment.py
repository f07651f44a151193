"""Small graphs written in TensorFlow's own API, to be put in the place of a node.

A fragment is traced by TensorFlow from a Python function of tensors, so no NodeDef of it is written by hand, and its
loops are functional. `inlined` gives its nodes for the main graph; `as_function` makes it a function of the library,
for a node that is in a function itself.
"""

import dataclasses
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence

import tensorflow as tf
from tensorflow.core.framework import function_pb2

from export_v1.ir import graph, library
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


def inlined(fragment: Fragment, prefix: str, inputs: Sequence[Tensor], waits: Iterable[str], hint: str) -> Inlined:
    """Returns a fragment's nodes under names that start with `prefix`, for a graph that gives it `inputs`.

    Args:
        fragment: what to put into the graph.
        prefix: "scope/", which no node of the graph starts with.
        inputs: what stands in for the fragment's placeholders.
        waits: nodes of the graph that every node without an input waits for: in a loop or a branch of TensorFlow 1, a
            constant belongs to it only where it waits for something there.
        hint: what the names of the functions that it calls start with; no other node has it.
    """
    given = dict(zip(fragment.inputs, inputs, strict=True))
    functions = _named_by_content(fragment.graph_def.library.function, hint)
    names = {old: function.signature.name for old, function in functions.items()}  # type: ignore[attr-defined]

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
    return Inlined(nodes, list(functions.values()), [tensor_of(tensor) for tensor in fragment.outputs])


def as_function(fragment: Fragment, hint: str) -> tuple[str, list]:
    """Returns the name of a library function that computes a fragment, and all functions to be added to the library.

    Args:
        fragment: what it computes.
        hint: what its name and the names of those that it calls start with; no other node has it.
    """
    functions = _named_by_content([*fragment.graph_def.library.function, fragment.function], hint)
    main = functions[fragment.function.signature.name]  # type: ignore[attr-defined]
    return main.signature.name, list(functions.values())  # type: ignore[attr-defined]


def _named_by_content(functions: Iterable, hint: str) -> dict[str, object]:
    """Returns, by their names, copies of functions whose names end in a hash of what they do and of a hint.

    TensorFlow differentiates a loop by registering its functions under derived names, for the whole process. A name
    must not stand for two different things, and two nodes must not share a function, however equal.
    """
    originals = {function.signature.name: function for function in functions}
    made: dict[str, object] = {}

    def write(name: str):
        if name not in made:
            copy = function_pb2.FunctionDef()
            copy.CopyFrom(originals[name])
            called = {callee for node in copy.node_def for callee in library.called_by(node) if callee in originals}
            names = {callee: write(callee).signature.name for callee in sorted(called)}
            for node in copy.node_def:
                _rename_calls(node, names)
            _rename_arguments(copy)
            # What the process that traced it knows of its gradients, and its own name for it.
            copy.attr.clear()
            copy.signature.name = ""
            digest = hashlib.sha1(copy.SerializeToString(deterministic=True), usedforsecurity=False).hexdigest()
            stem = re.sub(r"(__inference_)?(.*?)_[0-9]+$", r"\2", name)
            copy.signature.name = re.sub(r"[^a-z0-9]+", "_", f"{hint}_{stem}_{digest[:10]}".lower()).strip("_")
            made[name] = copy
        return made[name]

    for name in originals:
        write(name)
    return made


def _rename_arguments(function) -> None:
    """Gives a function's arguments names by their positions: those that TensorFlow makes up count calls."""
    node_names = {node.name for node in function.node_def}
    names = {arg.name: graph.fresh_name(f"arg_{at}", node_names) for at, arg in enumerate(function.signature.input_arg)}
    for arg in function.signature.input_arg:
        arg.name = names[arg.name]
    for node in function.node_def:
        edges = [names.get(edge, edge) for edge in node.input]
        del node.input[:]
        node.input.extend(edges)
    for key, edge in list(function.ret.items()):
        function.ret[key] = names.get(edge, edge)


def _rename_calls(node: NodeDef, names: dict[str, str]) -> None:
    # Colocation with a node by the name that it had.
    node.attr.pop("_class", None)
    node.op = names.get(node.op, node.op)
    for value in node.attr.values():
        if value.HasField("func"):
            value.func.name = names.get(value.func.name, value.func.name)
        for function in value.list.func:
            function.name = names.get(function.name, function.name)
