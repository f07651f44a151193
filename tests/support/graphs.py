"""Small TensorFlow 1 graphs for tests, built with tf.compat.v1 as TensorFlow 1 would have."""

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1


@contextlib.contextmanager
def tensorflow_1() -> Iterator[tf.Graph]:
    """Yields a new default graph in which conditions and loops are TensorFlow 1's and variables are references."""
    was_v2 = v1.control_flow_v2_enabled()
    was_resource = v1.resource_variables_enabled()
    v1.disable_control_flow_v2()
    v1.disable_resource_variables()
    try:
        with tf.Graph().as_default() as graph:
            yield graph
    finally:
        if was_v2:
            v1.enable_control_flow_v2()
        if was_resource:
            v1.enable_resource_variables()


def run(graph_def, fetches, feeds: Mapping[str, object] | None = None, values: Mapping[str, object] | None = None):
    """Returns what a v1 Session answers on an imported GraphDef, its variables given values first."""
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(graph_def, name="")
        with v1.Session() as session:
            for name, value in (values or {}).items():
                operation = graph.get_operation_by_name(name)
                placed = tf.constant(np.asarray(value, operation.get_attr("dtype").base_dtype.as_numpy_dtype))
                if operation.type == "VarHandleOp":
                    session.run(tf.raw_ops.AssignVariableOp(resource=operation.outputs[0], value=placed))
                else:
                    session.run(tf.raw_ops.Assign(ref=operation.outputs[0], value=placed))
            return session.run(fetches, dict(feeds or {}))


def counted(keys: tf.Tensor, **name) -> tf.Tensor:
    """Returns how often each key has been asked for, this time included; a table counts, which `name` is about."""
    raw = tf.raw_ops
    table = raw.MutableHashTableV2(key_dtype=keys.dtype, value_dtype=tf.int64, name="table", **name)
    count = raw.LookupTableFindV2(table_handle=table, keys=keys, default_value=tf.constant(0, tf.int64)) + 1
    insert = raw.LookupTableInsertV2(table_handle=table, keys=keys, values=count)
    with tf.control_dependencies([insert]):
        return tf.identity(count, name="count")


def kinds(graph_def) -> set[str]:
    """Returns the op types of a graph."""
    return {node.op for node in graph_def.node}


def names(graph_def) -> list[str]:
    """Returns the node names of a graph, in order."""
    return [node.name for node in graph_def.node]


def nested(levels: int, calls: int = 2) -> v1.GraphDef:
    """Returns a small graph of functions, each of which calls the next one several times."""
    graph_def = v1.GraphDef()
    graph_def.node.add(name="x", op="Placeholder").attr["dtype"].type = 1
    graph_def.node.add(name="y", op="f0", input=["x"])
    for level in range(levels):
        function = graph_def.library.function.add()
        function.signature.name = f"f{level}"
        function.signature.input_arg.add(name="a", type=1)
        function.signature.output_arg.add(name="b", type=1)
        edge = "a"
        for at in range(calls):
            inner = f"f{level + 1}" if level + 1 < levels else "Neg"
            node = function.node_def.add(name=f"n{at}", op=inner, input=[edge])
            if inner == "Neg":
                node.attr["T"].type = 1
            edge = f"n{at}:{'y' if inner == 'Neg' else 'b'}:0"
        function.ret["b"] = edge
    return graph_def
