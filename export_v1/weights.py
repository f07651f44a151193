"""The variables of the exported graph, each with where its value is."""

import dataclasses

import numpy as np
import tensorflow as tf

from export_v1 import errors, graph, restore, session, source
from export_v1.graph import GraphDef, Index, Tensor, attr, data_inputs
from export_v1.passes import portable, prune
from export_v1.request import Request
from export_v1.restore import Checkpoint, Variable, Weights

_ASSIGNS = frozenset({"Assign", "AssignVariableOp"})


@dataclasses.dataclass(frozen=True)
class Found:
    """The weights, and the choices that were made about them: (what, why)."""

    weights: Weights
    choices: tuple[tuple[str, str], ...]


def of(graph_def: GraphDef, model: source.Source, request: Request) -> Found:
    """Returns the weights of every variable in the exported graph.

    Raises:
        ExportError: the checkpoint lacks some or has them in another shape; a value cannot be computed.
    """
    wanted = [_variable(node, model) for node in graph_def.node if node.op == "VarHandleOp"]
    if not wanted:
        return Found(Weights(()), ())
    if model.checkpoint is None:
        initial = _initial_values(wanted, model)
        return Found(Weights(_shaped(wanted, initial), None, initial), ())
    checkpoint = Checkpoint(model.checkpoint)
    located, choices = restore.locate(
        wanted,
        checkpoint,
        model.graph,
        renames=restore.parse_renames(request.rename),
        ema=request.ema,
        init_missing=request.init_missing,
    )
    initial = _initial_values([one for one in located if one.location is None], model)
    variables = [_of_checkpoint_shape(one, checkpoint) for one in located]
    return Found(Weights(_shaped(variables, initial), checkpoint, initial), tuple(choices))


def _variable(node, model: source.Source) -> Variable:
    shape = attr(node, "shape").shape
    known = not shape.unknown_rank and all(dim.size >= 0 for dim in shape.dim)
    dtype = tf.as_dtype(attr(node, "dtype").type)
    listed = {**(model.train_graph.trainable if model.train_graph else {}), **model.graph.trainable}
    return Variable(
        name=node.name,
        dtype=dtype,
        shape=tuple(dim.size for dim in shape.dim) if known else None,
        # Without any TRAINABLE_VARIABLES to go by, whatever can have a gradient is trainable.
        trainable=listed.get(node.name, False) if any(listed.values()) else dtype.is_floating,
    )


def _of_checkpoint_shape(variable: Variable, checkpoint: Checkpoint) -> Variable:
    if variable.shape is not None or variable.location is None:
        return variable
    sizes = [size for _, size in variable.location.part] or checkpoint.shapes[variable.location.key]
    return dataclasses.replace(variable, shape=tuple(sizes))


def _shaped(variables, initial) -> tuple[Variable, ...]:
    return tuple(
        dataclasses.replace(one, shape=initial[one.name].shape) if one.name in initial else one for one in variables
    )


def _initial_values(variables: list[Variable], model: source.Source) -> dict[str, np.ndarray]:
    """Returns what the initializers of variables compute, in the graph as it was written."""
    given = {one.name: model.values[one.name] for one in variables if one.name in model.values}
    wanted = [one.name for one in variables if one.name not in given]
    if not wanted:
        return given
    index = Index(model.graph.graph_def)
    tensors = {name: _initial_tensor(index, name) for name in wanted}
    pruned = portable.nodes(prune.to_outputs(model.graph.graph_def, [tensor.name for tensor in tensors.values()]))
    session.check_ops(pruned)
    with session.opened(lambda: tf.graph_util.import_graph_def(pruned, name="")) as opened:
        try:
            computed = opened.run({name: tensor.name for name, tensor in tensors.items()})
        except tf.errors.OpError as error:
            raise errors.ExportError(
                f"The initializers of {errors.quoted(wanted)} cannot be run: {str(error).splitlines()[0]}"
            ) from error
    return given | {name: np.asarray(value) for name, value in computed.items()}


def _initial_tensor(index: Index, variable: str) -> Tensor:
    for consumer, at in index.consumers(variable):
        if consumer.op in _ASSIGNS and at == 0:
            value = data_inputs(consumer)[1]
            if not any(index[name].op in ("RestoreV2", "Restore") for name in index.ancestors([value.node])):
                return value
    raise errors.ExportError(
        f"Variable {variable!r} has no value in the checkpoint and no initializer in the graph.\n"
        "  Pass --rename='REGEX=REPLACEMENT' if the checkpoint has it under another name."
    )


def listed(model: source.Source) -> list[Variable]:
    """Returns every variable of the graph as it was written, for a listing."""
    return [_variable(node, model) for node in model.graph.graph_def.node if node.op in graph.VARIABLES]
