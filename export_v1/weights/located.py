"""The variables of the exported graph, each with where its value is."""

import dataclasses

import numpy as np
import tensorflow as tf

from export_v1 import errors
from export_v1.analysis import batch_norm
from export_v1.ir import ops
from export_v1.ir.graph import GraphDef, Index, attr
from export_v1.model import Source
from export_v1.request import Request
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
    located, choices = restore.locate(
        wanted,
        checkpoint,
        model.graph,
        renames=restore.parse_renames(request.rename),
        ema=request.ema,
        init_missing=request.init_missing,
    )
    variables = [_of_checkpoint_shape(variable, checkpoint) for variable in located]
    restored = Weights(tuple(variable for variable in variables if variable.location is not None), checkpoint)
    values = initial.values([variable.name for variable in located if variable.location is None], model, restored)
    reset = initial.reset(model.graph, Weights(_shaped(variables, values), checkpoint, values))
    choices += [(f"variable {name!r} is {reset[name]}", "the main op sets it after restoring") for name in reset]
    variables = [
        dataclasses.replace(variable, location=None) if variable.name in reset else variable for variable in variables
    ]
    values |= reset
    found = Weights(_shaped(variables, values), checkpoint, values)
    return Found(found, (*choices, *_about_moving_averages(model.moving_averages, found)))


def _about_moving_averages(names: tuple[str, ...], weights: Weights) -> list[tuple[str, str]]:
    """Returns the choices to report where batch norms were set to use their moving averages."""
    if not names:
        return []
    choices = [(f"batch norm uses {len(names)} moving averages: {errors.quoted(names, 3)}", "--moving_averages")]
    initial_values = [
        variable.name
        for variable in weights.variables
        if variable.name in names and _is_initial(weights.value(variable))
    ]
    if initial_values:
        choices.append(
            (
                f"{errors.quoted(initial_values, 3)} hold what they were initialized to",
                "no update op ran in training; the model may have been meant to go by each batch, without the flag",
            )
        )
    return choices


def _is_initial(value: np.ndarray) -> bool:
    return bool(value.size) and bool(np.all(value == 0) or np.all(value == 1))


def _variables(nodes, graph_def: GraphDef, model: Source) -> list[Variable]:
    listed = {**(model.train_graph.trainable if model.train_graph else {}), **model.graph.trainable}
    if listed:
        return [_variable(node, listed.get(node.name, False)) for node in nodes]
    # Without any collection of variables to go by, floats are trainable unless they are a batch norm's statistics.
    statistic = batch_norm.moving(Index(graph_def), {node.name for node in nodes})
    return [
        _variable(node, tf.as_dtype(attr(node, "dtype").type).is_floating and node.name not in statistic)
        for node in nodes
    ]


def _variable(node, trainable: bool) -> Variable:
    shape = attr(node, "shape").shape
    known = not shape.unknown_rank and all(dim.size >= 0 for dim in shape.dim)
    return Variable(
        name=node.name,
        dtype=tf.as_dtype(attr(node, "dtype").type),
        shape=tuple(dim.size for dim in shape.dim) if known else None,
        trainable=trainable,
    )


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
