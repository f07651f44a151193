"""A GraphDef brought to life: imported into a graph of its own, its variables filled, its tables ready."""

import contextlib
from collections.abc import Iterator, Mapping

import tensorflow as tf

from export_v1 import errors, graph
from export_v1.graph import GraphDef
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


def check_ops(graph_def: GraphDef) -> None:
    """Checks that this TensorFlow can run every op of a pruned graph.

    Raises:
        ExportError: an op is not registered, or calls back into the Python that built it; which, and where.
    """
    functions = {function.signature.name for function in graph_def.library.function}
    unknown: dict[str, list[str]] = {}
    python: dict[str, list[str]] = {}
    bodies = [function.node_def for function in graph_def.library.function]
    for node in (node for body in [graph_def.node, *bodies] for node in body):
        if node.op in _PYTHON_OPS:
            python.setdefault(node.op, []).append(node.name)
        elif node.op not in functions and graph.op_def(node.op) is None:
            unknown.setdefault(node.op, []).append(node.name)
    if python:
        raise errors.ExportError(
            f"The outputs need Python code that a graph does not hold: {_listed(python)}.\n"
            "  tf.py_func left only a number in the graph; its function lived in the process that built it.\n"
            "  Cut the graph after it, --input=KEY=TENSOR, or rebuild it in TensorFlow ops with --builder=FILE.py:FUNCTION."
        )
    if unknown:
        raise errors.ExportError(
            f"TensorFlow {tf.__version__} does not know {len(unknown)} of the ops that the outputs need: {_listed(unknown)}.\n"
            "  Bring a custom op with --op_library=FILE.so, or cut the graph after it with --input=KEY=TENSOR."
        )


_PYTHON_OPS = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})


def _listed(ops: Mapping[str, list[str]]) -> str:
    return "; ".join(f"{op} ({len(names)}: {errors.quoted(names, 3)})" for op, names in sorted(ops.items()))


def fill(session: v1.Session, weights: Weights) -> list[str]:
    """Gives every variable of the session's graph its value; returns the names of those with NaN or infinity."""
    not_finite = []
    there = {operation.name: operation for operation in session.graph.get_operations() if operation.type in graph.VARIABLES}
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
