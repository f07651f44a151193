import numpy as np
import pytest
import tensorflow as tf

from export_v1.ir import graph as graph_module
from export_v1.ir import ops
from export_v1.passes import tables
from tests.support import graphs

raw = tf.raw_ops


def _old_table() -> tf.Graph:
    with graphs.tensorflow_1() as graph:
        table = raw.HashTable(key_dtype=tf.string, value_dtype=tf.int64, shared_name="words", name="table")
        raw.InitializeTable(table_handle=table, keys=["a", "b"], values=tf.constant([1, 2], tf.int64), name="init")
        handle = tf.identity(table, name="handle")
        # An Identity of strings that are strings.
        tf.identity(tf.constant(["b", "c"]), name="keys")
        keys = graph.get_tensor_by_name("keys:0")
        found = raw.LookupTableFind(table_handle=table, keys=keys, default_value=tf.constant(-1, tf.int64), name="y")
        del handle, found
    return graph


def test_a_table_by_reference_becomes_a_resource():
    given = _old_table().as_graph_def()
    made = tables.to_resources(given).graph_def
    nodes = {node.name: node for node in made.node}
    assert [nodes[name].op for name in ("table", "init", "y")] == [
        "HashTableV2", "InitializeTableV2", "LookupTableFindV2",
    ]  # fmt: skip
    assert nodes["handle"].attr["T"].type == tf.resource.as_datatype_enum
    assert nodes["keys"].attr["T"].type == tf.string.as_datatype_enum
    assert nodes["table"].attr["shared_name"].s == b"words"
    assert given == _old_table().as_graph_def()
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(made, name="")
        with tf.compat.v1.Session() as session:
            session.run("init")
            np.testing.assert_array_equal(session.run("y:0"), [2, -1])
    assert graph.get_tensor_by_name("handle:0").dtype == tf.resource


# MutableDenseHashTableV2 takes a key for what was deleted, too.
@pytest.mark.parametrize("op", sorted(set(ops.TABLE_TWINS) - {"MutableDenseHashTable"}))
def test_an_old_op_and_its_twin_take_and_give_the_same_but_for_the_handle(op):
    old, new = graph_module.op_def(op), graph_module.op_def(ops.TABLE_TWINS[op])
    for side in ("input_arg", "output_arg"):
        pairs = list(zip(getattr(old, side), getattr(new, side), strict=True))
        assert all(one.is_ref == (other.type == tf.resource.as_datatype_enum) for one, other in pairs)
        assert [one.type_attr for one, _ in pairs] == [other.type_attr for _, other in pairs]
    assert {one.name for one in old.attr} == {one.name for one in new.attr}


def test_every_op_that_makes_a_table_or_fills_one_is_known_as_such():
    makes = {op for op in ops.TABLE_TWINS.values() if any(arg.type for arg in graph_module.op_def(op).output_arg[:1])}
    assert ops.TABLES == makes - {"LookupTableSizeV2"}
    assert ops.TABLE_INITIALIZERS == {"InitializeTableV2", "InitializeTableFromTextFileV2", "LookupTableImportV2"}
