"""A GraphDef brought to life: imported into a graph of its own, its variables filled, its tables ready."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from export_v1 import errors, graph
from export_v1.restore import Variable, Weights, is_finite

v1 = tf.compat.v1

# No optimizer that would rewrite the graph while it is being compared, and no device that the model asked for.
CONFIG = v1.ConfigProto(allow_soft_placement=True)


@contextlib.contextmanager
def opened(importing) -> Iterator[v1.Session]:
    """Yields a Session on a new graph that `importing()` has filled; global TensorFlow state stays as it was.

    Raises:
        ExportError: TensorFlow refuses the graph; its reason is in the message.
    """
    with tf.Graph().as_default() as new_graph:
        try:
            importing()
        except (tf.errors.OpError, ValueError, TypeError, KeyError) as error:
            raise errors.ExportError(f"TensorFlow {tf.__version__} refuses the pruned graph: {error}") from error
        with v1.Session(graph=new_graph, config=CONFIG) as session:
            yield session


def fill(session: v1.Session, weights: Weights) -> list[str]:
    """Gives every variable of the session's graph its value; returns the names of those with NaN or infinity."""
    not_finite = []
    there = {
        operation.name: operation for operation in session.graph.get_operations() if operation.type in graph.VARIABLES
    }
    for variable in weights.variables:
        if variable.name in there:
            assign, placeholder = _assign(session.graph, there[variable.name], variable)
            value = weights.value(variable)
            session.run(assign, {placeholder: value})
            if not is_finite(value):
                not_finite.append(variable.name)
    return sorted(not_finite)


def _assign(into: tf.Graph, operation: tf.Operation, variable: Variable):
    with into.as_default(), into.device(None), into.name_scope("restore"):
        placeholder = v1.placeholder(variable.dtype, variable.shape)
        if operation.type == "VarHandleOp":
            return tf.raw_ops.AssignVariableOp(resource=operation.outputs[0], value=placeholder), placeholder
        return tf.raw_ops.Assign(ref=operation.outputs[0], value=placeholder, validate_shape=False).op, placeholder
