"""The variables of the exported graph, each with where its value is."""

import dataclasses

import tensorflow as tf

from export_v1 import errors
from export_v1.analysis import batch_norm
from export_v1.ir import ops
from export_v1.ir.graph import GraphDef, Index, attr
from export_v1.model import Source
from export_v1.request import Request
from export_v1.weights import derived as derived_values
from export_v1.weights import initial, restore
from export_v1.weights.restore import Checkpoint, Variable, Weights


@dataclasses.dataclass(frozen=True)
class Found:
    """The weights, and the choices that were made about them: (what, why)."""

    weights: Weights
    choices: tuple[tuple[str, str], ...]


def of(graph_def: GraphDef, model: Source, request: Request) -> Found:
    """Returns the weights of every variable in the exported graph.

    Raises:
        ExportError: the checkpoint lacks some or has them in another shape; a value cannot be computed.
    """
    wanted = _variables([node for node in graph_def.node if node.op == "VarHandleOp"], graph_def, model)
    if not wanted:
        return Found(Weights(()), ())
    if model.checkpoint is None:
        _refuse_without_values(wanted, model, request)
        values = initial.values([variable.name for variable in wanted], model, Weights(()))
        return Found(Weights(_shaped(wanted, values), None, values), ())
    checkpoint = Checkpoint(model.checkpoint)
    renames = restore.parse_renames(request.rename)
    missing = [
        variable.name
        for variable in wanted
        if restore.location(variable.name, checkpoint, model.graph, renames) is None
    ]
    derived = derived_values.values(missing, model.graph.graph_def, checkpoint)
    located, choices = restore.locate(
        [variable for variable in wanted if variable.name not in derived],
        checkpoint,
        model.graph,
        renames=renames,
        ema=request.ema,
        init_missing=request.init_missing,
    )
    choices += [
        (f"variable {name!r} is computed from {errors.quoted(keys, 3)}", "the graph's own Saver restores it so")
        for name, (_, keys) in derived.items()
    ]
    by_name = {variable.name: variable for variable in located}
    located = [by_name.get(variable.name, variable) for variable in wanted]
    variables = [_of_checkpoint_shape(variable, checkpoint) for variable in located]
    restored = Weights(tuple(variable for variable in variables if variable.location is not None), checkpoint)
    values = {name: value for name, (value, _) in derived.items()}
    unsaved = [variable.name for variable in located if variable.location is None and variable.name not in derived]
    values |= initial.values(unsaved, model, restored)
    reset = initial.reset(model.graph, Weights(_shaped(variables, values), checkpoint, values))
    choices += [(f"variable {name!r} is {reset[name]}", "the main op sets it after restoring") for name in reset]
    variables = [
        dataclasses.replace(variable, location=None) if variable.name in reset else variable for variable in variables
    ]
    values |= reset
    weights = Weights(_shaped(variables, values), checkpoint, values)
    return Found(weights, tuple(choices))


def _variables(nodes, graph_def: GraphDef, model: Source) -> list[Variable]:
    listed = {**(model.train_graph.trainable if model.train_graph else {}), **model.graph.trainable}
    if listed:
        return [restore.of_node(node, listed.get(node.name, False)) for node in nodes]
    # Without any collection of variables to go by, floats are trainable unless they are a batch norm's statistics.
    statistic = batch_norm.moving(Index(graph_def), {node.name for node in nodes})
    return [
        restore.of_node(node, tf.as_dtype(attr(node, "dtype").type).is_floating and node.name not in statistic)
        for node in nodes
    ]


def _of_checkpoint_shape(variable: Variable, checkpoint: Checkpoint) -> Variable:
    if variable.shape is not None or variable.location is None:
        return variable
    sizes = [size for _, size in variable.location.part] or checkpoint.shapes[variable.location.key]
    return dataclasses.replace(variable, shape=tuple(sizes))


def _shaped(variables, values) -> tuple[Variable, ...]:
    return tuple(
        dataclasses.replace(variable, shape=values[variable.name].shape) if variable.name in values else variable
        for variable in variables
    )


def _refuse_without_values(wanted: list[Variable], model: Source, request: Request) -> None:
    """A graph with variables and no checkpoint is not frozen: initial values would be silently wrong answers."""
    known = model.graph.local | set(model.values)
    missing = [variable.name for variable in wanted if variable.name not in known]
    if missing and not request.init_missing:
        raise errors.ExportError(
            f"{len(missing)} variables have no values in {model.path!r}: {errors.quoted(missing)}.\n"
            "  The graph is not frozen. Pass --checkpoint=PREFIX --meta_graph=FILE with the checkpoint that belongs to "
            "it, or --init_missing to take their initializers."
        )


def listed(model: Source) -> list[Variable]:
    """Returns every variable of the graph as it was written, for a listing."""
    nodes = [node for node in model.graph.graph_def.node if node.op in ops.VARIABLES]
    return _variables(nodes, model.graph.graph_def, model)
