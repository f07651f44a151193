"""load_v2.tables: tables made once, filled once, shared where the graph shares them, gone with their layer."""

import gc

import numpy as np
import pytest
import tensorflow as tf

from load_v2 import SignatureLayer
from load_v2.program import program, resource_tables, subgraph
from tests.support import savedmodels


def _graph() -> subgraph.GraphDef:
    """Two nodes on one table, filled through the second; one table of its own; one that starts empty."""
    with tf.Graph().as_default() as made:
        kinds = {"key_dtype": tf.string, "value_dtype": tf.int64}
        tf.raw_ops.HashTableV2(shared_name="words", name="one", **kinds)
        twin = tf.raw_ops.HashTableV2(shared_name="words", name="twin", **kinds)
        apart = tf.raw_ops.HashTableV2(name="apart", **kinds)
        tf.raw_ops.MutableHashTableV2(name="empty", **kinds)
        for handle, number, name in ((twin, 1, "fill"), (apart, 2, "fill_apart")):
            values = tf.constant([number], tf.int64)
            tf.raw_ops.InitializeTableV2(table_handle=handle, keys=tf.constant(["a"]), values=values, name=name)
    return made.as_graph_def()


def _look_up(table) -> int:
    default = tf.constant(-1, tf.int64)
    handle = table.resource_handle
    return int(tf.raw_ops.LookupTableFindV2(table_handle=handle, keys=tf.constant("a"), default_value=default))


def test_nodes_of_one_shared_name_are_one_table():
    made = resource_tables.create_all(_graph(), program.run_now, {})
    assert set(made) == {"one", "twin", "apart", "empty"}
    assert made["one"] is made["twin"] and len({id(table) for table in made.values()}) == 3
    assert [_look_up(made[name]) for name in ("one", "apart", "empty")] == [1, 2, -1]


def test_two_sets_of_tables_are_apart():
    one, two = (resource_tables.create_all(_graph(), program.run_now, {}) for _ in range(2))
    tf.raw_ops.LookupTableInsertV2(
        table_handle=one["empty"].resource_handle, keys=tf.constant("a"), values=tf.constant(5, tf.int64)
    )
    assert _look_up(one["empty"]) == 5 and _look_up(two["empty"]) == -1


def test_initializers_are_told_by_the_table_they_fill():
    assert resource_tables.initializers(_graph()) == {"twin": ["fill"], "apart": ["fill_apart"]}
    assert {key: len(nodes) for key, nodes in resource_tables.shared_nodes(_graph()).items()} == {
        "words": 2,
        "apart": 1,
        "empty": 1,
    }


@pytest.mark.parametrize("op", ["InitializeTableV2", "InitializeTableFromTextFileV2", "LookupTableImportV2"])
def test_every_op_that_fills_a_table_is_an_initializer(op):
    made = subgraph.GraphDef()
    made.node.add(name="fill", op=op, input=["table:0"])
    made.node.add(name="no", op=op)
    assert resource_tables.initializers(made) == {"table": ["fill"]}


def test_what_is_looked_up_has_a_known_rank():
    made = resource_tables.create_all(_graph(), program.run_now, {})

    @tf.function
    def look_up(keys):
        handle = made["one"].resource_handle
        found = tf.raw_ops.LookupTableFindV2(table_handle=handle, keys=keys, default_value=tf.constant(-1, tf.int64))
        assert found.shape == (3,)
        return found

    assert look_up(tf.constant(["a", "b", "a"])).numpy().tolist() == [1, -1, 1]


def _size(handle) -> int:
    return int(tf.raw_ops.LookupTableSizeV2(table_handle=handle))


def test_a_table_goes_with_its_layer(tmp_path):
    layer = SignatureLayer(savedmodels.vocabulary(tmp_path / "one", ["a", "b"]))
    assert layer(np.array(["b"])).numpy().tolist() == [1]
    node = layer._resources.tables[0]._node
    # Another handle on the same table: what a layer leaves behind stays under its name.
    other = tf.raw_ops.HashTableV2(
        key_dtype=tf.string, value_dtype=tf.int64, shared_name=node.attr["shared_name"].s.decode()
    )
    assert _size(other) == 2
    del layer
    gc.collect()
    with pytest.raises(tf.errors.OpError):
        _size(other)


def test_files_are_tracked_by_the_table_that_reads_them(tmp_path):
    layer = SignatureLayer(savedmodels.vocabulary(tmp_path / "one", ["a", "b"]))
    (table,) = layer._resources.tables
    (asset,) = layer._resources.assets
    assert list(table._trackable_children().values()).count(asset) == 1
    made = resource_tables.create_all(_graph(), program.run_now, {"file:0": asset})
    assert asset not in made["one"]._trackable_children().values()


def test_a_table_that_takes_its_reserved_keys_is_made_with_them():
    with tf.Graph().as_default() as made:
        keys = [tf.constant(key, tf.int64, name=name) for key, name in ((-1, "empty"), (-2, "deleted"))]
        tf.raw_ops.MutableDenseHashTableV2(empty_key=keys[0], deleted_key=keys[1], value_dtype=tf.int64, name="dense")
    table = resource_tables.create_all(made.as_graph_def(), program.run_now, {})["dense"]
    default = tf.constant(7, tf.int64)
    found = tf.raw_ops.LookupTableFindV2(
        table_handle=table.resource_handle, keys=tf.constant([5], tf.int64), default_value=default
    )
    assert found.numpy().tolist() == [7]
