"""Values of variables that no checkpoint holds: what their initializers, or the ops run after restoring, compute."""

from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf

from export_v1 import errors
from export_v1.analysis import kernels
from export_v1.ir import importing, ops
from export_v1.ir.graph import Index, Tensor, data_inputs
from export_v1.model import Graph, Source
from export_v1.passes import portable, prune, replace
from export_v1.weights import session
from export_v1.weights.restore import Weights


def values(wanted: Iterable[str], model: Source, known: Weights) -> dict[str, np.ndarray]:
    """Returns what the initializers of variables compute, in the graph as it was written.

    Args:
        wanted: variable names.
        model: has the variables in one of its graphs.
        known: the variables that have values already; an initializer may read these.

    Raises:
        ExportError: a variable has no initializer, or its initializer cannot be run here.
    """
    computed = {name: np.asarray(model.values[name]) for name in wanted if name in model.values}
    remaining = [name for name in wanted if name not in computed]
    for graph in (model.graph, model.train_graph):
        if graph is None or not remaining:
            continue
        index = graph.index
        tensors = {name: _initial_tensor(index, name) for name in remaining if name in index}
        if tensors:
            computed |= _computed(graph, tensors, known)
            remaining = [name for name in remaining if name not in tensors]
    return computed


def computable(wanted: Sequence[str], model: Source, known: Weights) -> dict[str, np.ndarray]:
    """Returns what `values` does, without the variables of which it would raise.

    All are computed together, and by halves where that fails: a graph is cut and imported as few times as can be.
    """
    try:
        return values(wanted, model, known)
    except errors.ExportError:
        half = len(wanted) // 2
        parts = (wanted[:half], wanted[half:]) if half else ()
        return {name: value for part in parts for name, value in computable(part, model, known).items()}


def reset(model: Graph, known: Weights) -> dict[str, np.ndarray]:
    """Returns the variables that the model's main ops set to something of their own, with the values they get.

    A loader runs these ops after restoring, so this is what the model answers with. A variable's initializer does not
    count: in a main op it is there for variables that a checkpoint does not hold.

    Args:
        model: the graph.
        known: the variables asked about, with the values that they are restored to.
    """
    if not model.main_ops:
        return {}
    index, names = model.index, {variable.name for variable in known.variables}
    tensors = {}
    for name in sorted(index.ancestors(op for op in model.main_ops if op in index)):
        node = index[name]
        variable = _variable(index, node) if node.op in ops.ASSIGNS else None
        if variable is not None and variable in names:
            if initializer(index, variable) not in (None, name):
                tensors[variable] = data_inputs(node)[1]
    return _computed(model, tensors, known) if tensors else {}


def written_by(model: Graph, writers: Iterable[str]) -> frozenset[str]:
    """Returns the names of the variables that ops assign, directly or through what they depend on."""
    index = model.index
    reached = index.ancestors(op for op in writers if op in index)
    names = (_variable(index, index[name]) for name in reached if index[name].op in ops.ASSIGNS)
    return frozenset(name for name in names if name is not None)


def _variable(index: Index, assign) -> str | None:
    target = data_inputs(assign)[0].node
    return target if target in index and index[target].op in ops.VARIABLES else None


def initializer(index: Index, variable: str) -> str | None:
    """Returns the name of the op that gives a variable its initial value: the first that assigns it, no restore op."""
    for consumer, at in index.consumers(variable):
        if consumer.op in ops.ASSIGNS and at == 0:
            value = data_inputs(consumer)[1]
            if value.node not in index.once(_restored):
                return consumer.name
    return None


def is_random(index: Index, variable: str) -> bool:
    """Returns whether a variable's initial value is another in each session."""
    return initializer(index, variable) in index.once(_random)


def _restored(index: Index) -> set[str]:
    """The nodes that depend on what a Saver reads."""
    return index.descendants(name for name, node in index.nodes.items() if node.op in ops.RESTORES)


def _random(index: Index) -> set[str]:
    return index.descendants(name for name, node in index.nodes.items() if ops.is_random(node.op))


def initializers(index: Index) -> list[str]:
    """Returns the names of the ops that give a graph's variables their initial values."""
    names = (initializer(index, name) for name, node in index.nodes.items() if node.op in ops.VARIABLES)
    return [name for name in names if name is not None]


def _initial_tensor(index: Index, variable: str) -> Tensor:
    name = initializer(index, variable)
    if name is None:
        raise errors.ExportError(
            f"Variable {variable!r} has no value in the checkpoint and no initializer in the graph.\n"
            "  Pass --rename='REGEX=REPLACEMENT' if the checkpoint has it under another name."
        )
    return data_inputs(index[name])[1]


def _computed(model: Graph, tensors: dict[str, Tensor], known: Weights) -> dict[str, np.ndarray]:
    outputs = [tensor.name for tensor in tensors.values()]
    pruned = prune.to_outputs(model.graph_def, outputs, model.index).graph_def
    replaced = replace.ops(pruned, written=model.graph_def, stored=lambda key: None, unrunnable_only=True)
    pruned = portable.nodes(replaced.graph_def).graph_def
    kernels.check(pruned)
    with session.opened(lambda: importing.graph_def(pruned)) as opened:
        session.fill(opened, known)
        try:
            names = {name: replaced.renamed.get(tensor.name, tensor.name) for name, tensor in tensors.items()}
            computed = opened.run(names)
        except tf.errors.OpError as error:
            raise errors.ExportError(
                f"The initializers of {errors.quoted(tensors)} cannot be run: {errors.reason(error)}\n"
                "  Pass --rename='REGEX=REPLACEMENT' if the checkpoint has them under other names."
            ) from error
    return {name: np.asarray(value) for name, value in computed.items()}
