import numpy as np
import pytest
import tensorflow as tf

from export_v1.artifact import initializers
from export_v1.ir.graph import GraphDef
from export_v1.weights.restore import Variable
from tests.support import graphs


def _graph(*variables: Variable) -> GraphDef:
    graph_def = GraphDef()
    for one in variables:
        node = graph_def.node.add(name=one.name, op="VarHandleOp")
        node.attr["dtype"].type = one.dtype.as_datatype_enum
        node.attr["shape"].shape.unknown_rank = True
        node.attr["shared_name"].s = one.name.encode()
    return graph_def


@pytest.mark.parametrize("dtype", [tf.float32, tf.int64, tf.bool, tf.string, tf.complex64, tf.bfloat16])
def test_a_variable_is_described_and_filled_with_zeros(dtype):
    one = Variable("scope/w", dtype, (2, 3), trainable=True)
    made, (definition,) = initializers.added(_graph(one), [one])
    with tf.Graph().as_default():
        tf.graph_util.import_graph_def(made, name="")
        with tf.compat.v1.Session() as session:
            session.run(definition.initializer_name)
            read, initial = session.run([definition.snapshot_name, definition.initial_value_name])
    want = np.full((2, 3), b"", object) if dtype == tf.string else np.zeros((2, 3), dtype.as_numpy_dtype)
    for value in (read, initial):
        assert value.dtype == want.dtype
        np.testing.assert_array_equal(value, want)
    assert definition.variable_name == "scope/w:0" and definition.is_resource and definition.trainable


def test_a_handle_knows_its_shape():
    one, scalar = Variable("w", tf.float32, (2, 3), True), Variable("n", tf.int64, (), False)
    given = _graph(one, scalar)
    other = given.node.add(name="other", op="VarHandleOp")
    other.attr["shape"].shape.unknown_rank = True
    made, definitions = initializers.added(given, [one, scalar])
    nodes = {node.name: node for node in made.node}
    assert [dim.size for dim in nodes["w"].attr["shape"].shape.dim] == [2, 3]
    assert not nodes["w"].attr["shape"].shape.unknown_rank and not nodes["n"].attr["shape"].shape.unknown_rank
    assert nodes["other"].attr["shape"].shape.unknown_rank, "nothing is known of it"
    assert given.node[0].attr["shape"].shape.unknown_rank, "the graph that came in is as it was"
    assert [one.trainable for one in definitions] == [True, False]


def test_names_that_are_taken_are_not_given_again():
    one = Variable("w", tf.float32, (), True)
    given = _graph(one)
    for name in ("Assign", "Read", "zeros", "shape", "zero"):
        given.node.add(name=f"w/{name}", op="NoOp")
    made, (definition,) = initializers.added(given, [one])
    assert len(set(graphs.names(made))) == len(made.node) == 11
    assert definition.initializer_name == "w/Assign_1" and definition.snapshot_name == "w/Read_1:0"
    assert definition.initial_value_name == "w/zeros_1:0"
