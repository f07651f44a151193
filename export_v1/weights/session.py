"""A GraphDef brought to life: imported into a graph of its own, its variables filled, its tables ready."""

import contextlib
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import rewriter_config_pb2

from export_v1 import errors
from export_v1.ir import importing, ops, rewrite
from export_v1.ir.graph import GraphDef, Tensor, parse
from export_v1.weights.restore import Variable, Weights, is_finite

v1 = tf.compat.v1

# No device that the model asked for, and no optimizer: graphs are asked a few times, as they are written. An optimizer
# would rewrite what is compared, and some of TensorFlow's take time that grows with the square of a graph's size.
CONFIG = v1.ConfigProto(
    allow_soft_placement=True,
    graph_options=v1.GraphOptions(
        rewrite_options=rewriter_config_pb2.RewriterConfig(disable_meta_optimizer=True),
        optimizer_options=v1.OptimizerOptions(opt_level=v1.OptimizerOptions.L0),
    ),
)
# As a graph is run by default, rewritten by TensorFlow: for one whose constants let it rewrite more.
SERVED = v1.ConfigProto(allow_soft_placement=True)


@contextlib.contextmanager
def opened(importing) -> Iterator[tf.compat.v1.Session]:
    """Yields a Session on a new graph that `importing()` has filled; global TensorFlow state stays as it was.

    Raises:
        ExportError: TensorFlow refuses the graph; its reason is in the message.
    """
    with tf.Graph().as_default() as new_graph:
        with refused("pruned"):
            importing()
        with v1.Session(graph=new_graph, config=CONFIG) as session:
            yield session


@contextlib.contextmanager
def refused(which: str) -> Iterator[None]:
    """Where TensorFlow does not import a graph in the block, raises an ExportError with its reason.

    Args:
        which: graph it is, in one word.
    """
    try:
        yield
    except errors.UserError:
        raise
    except (tf.errors.OpError, ValueError, TypeError, KeyError) as error:
        raise errors.ExportError(f"TensorFlow {tf.__version__} refuses the {which} graph: {error}") from error


def fill(session: tf.compat.v1.Session, weights: Weights) -> list[str]:
    """Gives every variable of the session's graph its value; returns the names of those with NaN or infinity.

    No more than a variable, or `_TOGETHER` bytes of small ones, is in memory a second time.
    """
    assigns = _assigns(session.graph, weights)
    variables = [variable for variable in weights.variables if variable.name in assigns]
    not_finite: list[str] = []
    for part in weights.in_parts(variables, _TOGETHER):
        session.run([assigns[name][0] for name in part], {assigns[name][1]: value for name, value in part.items()})
        not_finite += [name for name, value in part.items() if not is_finite(value)]
    return sorted(not_finite)


def values(session: tf.compat.v1.Session, names: Collection[str]) -> dict[str, np.ndarray]:
    """Returns the values that variables have now, by name, of those that the session's graph has."""
    into = session.graph
    reads = dict(into.get_collection(_READS))
    for operation in into.get_operations():
        if operation.type in ops.VARIABLES and operation.name in names and operation.name not in reads:
            reads[operation.name] = _read(into, operation)
            into.add_to_collection(_READS, (operation.name, reads[operation.name]))
    return session.run({name: reads[name] for name in names if name in reads})


def _read(into: tf.Graph, operation: tf.Operation) -> tf.Tensor:
    if operation.type != "VarHandleOp":
        return operation.outputs[0]
    with into.as_default(), into.device(None), into.name_scope("read"):
        return tf.raw_ops.ReadVariableOp(resource=operation.outputs[0], dtype=operation.get_attr("dtype"))


# Each run of a session that sees new fetches costs milliseconds, so small variables share one.
_TOGETHER = 16 * 2**20
_COLLECTION, _READS = "export_v1/assigns", "export_v1/reads"


def _assigns(into: tf.Graph, weights: Weights) -> dict[str, tuple[tf.Operation, tf.Tensor]]:
    """Returns, by variable name, an op that assigns and the tensor to feed it with.

    Where the graph lists a variable it is that variable's own initializer: a graph that will be written gets no node
    that it has not got. The original's reference variables get nodes, once.
    """
    listed = into.get_collection(v1.GraphKeys.GLOBAL_VARIABLES)
    assigns = {variable.op.name: (variable.initializer, variable.initial_value) for variable in listed}
    assigns.update(into.get_collection(_COLLECTION))
    wanted = {variable.name: variable for variable in weights.variables if variable.name not in assigns}
    found = [
        (operation, wanted[operation.name])
        for operation in into.get_operations()
        if operation.type in ops.VARIABLES and operation.name in wanted
    ]
    for name, assign in _added(into, found).items():
        assigns[name] = assign
        into.add_to_collection(_COLLECTION, (name, assign))
    return assigns


def _added(into: tf.Graph, found: Sequence[tuple[tf.Operation, Variable]]) -> dict[str, tuple[tf.Operation, tf.Tensor]]:
    """Adds the ops that assign, all in one import: thousands made one by one would take seconds."""
    nodes, elements = GraphDef(), []
    for at, (operation, variable) in enumerate(found):
        dtype, value = variable.dtype, Tensor(f"value_{at}", 0)
        op, attrs = "Assign", {"T": dtype, "validate_shape": False}
        if operation.type == "VarHandleOp":
            op, attrs = "AssignVariableOp", {"dtype": dtype}
        nodes.node.append(rewrite.node(value.node, "Placeholder", dtype=dtype, shape=tf.TensorShape(variable.shape)))
        nodes.node.append(rewrite.node(f"assign_{at}", op, [parse(operation.outputs[0].name), value], **attrs))
        elements += [f"assign_{at}", value.name]
    feeds = {operation.outputs[0].name: operation.outputs[0] for operation, _ in found}
    with into.as_default(), into.device(None):
        made = importing.graph_def(nodes, feeds=feeds, return_elements=elements, name="restore") if found else []
    return {variable.name: (made[2 * at], made[2 * at + 1]) for at, (_, variable) in enumerate(found)}
