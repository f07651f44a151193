"""tables: what answers write to tables is undone, for tables of every kind and age."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1.weights import session, tables
from tests.support import graphs
from tests.support.graphs import v1

raw = tf.raw_ops
KINDS = {"key_dtype": tf.int64, "value_dtype": tf.int64, "name": "table"}
RESERVED = {"empty_key": np.int64(-1), "deleted_key": np.int64(-2)}


def _of_old() -> None:
    table = raw.MutableHashTable(**KINDS)
    raw.LookupTableImport(table_handle=table, keys=np.array([1, 2]), values=np.array([10, 20]), name="init")
    raw.LookupTableInsert(table_handle=table, keys=np.array([2, 3]), values=np.array([0, 30]), name="insert")
    raw.LookupTableFind(table_handle=table, keys=np.array([1, 2, 3]), default_value=np.int64(-7), name="found")


def _of_resources(table: tf.Tensor) -> None:
    raw.LookupTableInsertV2(table_handle=table, keys=np.array([1, 2]), values=np.array([10, 20]), name="init")
    raw.LookupTableInsertV2(table_handle=table, keys=np.array([2, 3]), values=np.array([0, 30]), name="insert")
    raw.LookupTableFindV2(table_handle=table, keys=np.array([1, 2, 3]), default_value=np.int64(-7), name="found")


MAKERS = {
    "old": _of_old,
    "hashed": lambda: _of_resources(raw.MutableHashTableV2(**KINDS)),
    "dense": lambda: _of_resources(raw.MutableDenseHashTableV2(value_dtype=tf.int64, name="table", **RESERVED)),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_table_holds_again_what_it_held(make):
    with graphs.tensorflow_1() as graph:
        make()
    graph_def = graph.as_graph_def()
    assert tables.are_written(graph_def)
    with session.opened(lambda: tf.graph_util.import_graph_def(graph_def, name="")) as opened:
        opened.run("init")
        kept = tables.Kept(opened, {})
        for _ in range(2):
            opened.run("insert")
            np.testing.assert_array_equal(opened.run("found:0"), [10, 0, 30])
            kept.restore()
            np.testing.assert_array_equal(opened.run("found:0"), [10, 20, -7])


def test_a_table_that_is_only_looked_up_is_not_written():
    with graphs.tensorflow_1() as graph:
        table = raw.MutableHashTableV2(**KINDS)
        raw.LookupTableFindV2(table_handle=table, keys=np.array([1]), default_value=np.int64(0))
    assert not tables.are_written(graph.as_graph_def())


def test_a_function_writes_as_well():
    @tf.function
    def count(keys):
        return graphs.counted(keys)

    with tf.Graph().as_default() as graph:
        count(v1.placeholder(tf.int64, [2]))
    assert tables.are_written(graph.as_graph_def())
