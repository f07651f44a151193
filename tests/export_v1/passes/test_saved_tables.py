"""Tables whose contents a Saver keeps in the checkpoint."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1.ir.graph import Index
from export_v1.passes import saved_tables
from tests.support import graphs

v1 = tf.compat.v1


def _saved(own: bool) -> v1.GraphDef:
    """A graph with a table that a Saver restores, and that the graph fills itself where it is its `own`."""
    with graphs.tensorflow_1() as graph:
        table = tf.raw_ops.MutableHashTableV2(key_dtype=tf.string, value_dtype=tf.int64, name="table")
        file = tf.constant("model.ckpt")
        keys, values = tf.raw_ops.RestoreV2(
            prefix=file, tensor_names=["t-keys", "t-values"], shape_and_slices=["", ""], dtypes=[tf.string, tf.int64]
        )
        tf.raw_ops.LookupTableImportV2(table_handle=table, keys=keys, values=values)
        if own:
            tf.raw_ops.LookupTableImportV2(
                table_handle=table, keys=["own"], values=tf.constant([1], tf.int64), name="own"
            )
        tf.raw_ops.LookupTableFindV2(
            table_handle=table,
            keys=v1.placeholder(tf.string, [None]),
            default_value=tf.constant(-1, tf.int64),
            name="found",
        )
    return graph.as_graph_def()


CHECKPOINT = {"t-keys": np.array([b"a", b"b"], object), "t-values": np.array([5, 6], np.int64)}


@pytest.mark.parametrize(
    ("own", "lacks", "filled"),
    [(False, None, True), (False, "t-keys", False), (False, "t-values", False), (True, None, False)],
)
def test_a_table_gets_what_the_checkpoint_has_of_it(own, lacks, filled):
    graph_def = _saved(own)
    stored = {key: value for key, value in CHECKPOINT.items() if key != lacks}
    result = saved_tables.filled(graph_def, Index(graph_def), stored.get).graph_def
    assert (result is not graph_def) == filled
    if filled:
        with v1.Session(graph=tf.Graph()) as session:
            v1.import_graph_def(result, name="")
            added = {node.name for node in result.node} - {node.name for node in graph_def.node}
            session.run([operation for operation in session.graph.get_operations() if operation.name in added])
            asked = {"Placeholder:0": [b"b", b"c", b"a"]}
            assert session.run("found:0", asked).tolist() == [6, -1, 5]


def test_a_dense_table_gets_the_rows_that_it_had_in_memory():
    raw = tf.raw_ops
    with graphs.tensorflow_1() as graph:
        keys = [tf.constant(key, tf.int64) for key in (-1, -2)]
        table = raw.MutableDenseHashTableV2(
            empty_key=keys[0], deleted_key=keys[1], value_dtype=tf.float32, initial_num_buckets=4, name="table"
        )
        insert = raw.LookupTableInsertV2(table_handle=table, keys=tf.constant([7, 3], tf.int64), values=[1.0, 2.0])
        saved = raw.LookupTableExportV2(table_handle=table, Tkeys=tf.int64, Tvalues=tf.float32)
        with v1.Session() as session:
            session.run(insert)
            held = dict(zip(("t-keys", "t-values"), session.run(saved), strict=True))
        restored = raw.RestoreV2(
            prefix="model.ckpt", tensor_names=list(held), shape_and_slices=["", ""], dtypes=[tf.int64, tf.float32]
        )
        raw.LookupTableImportV2(table_handle=table, keys=restored[0], values=restored[1], name="import")
        raw.LookupTableFindV2(
            table_handle=table, keys=tf.constant([3, 4, 7], tf.int64), default_value=0.5, name="found"
        )
    graph_def = graph.as_graph_def()
    result = saved_tables.filled(graph_def, Index(graph_def), held.get).graph_def
    with v1.Session(graph=tf.Graph()) as session:
        v1.import_graph_def(result, name="")
        session.run("table/filled")
        assert session.run("found:0").tolist() == [2.0, 0.5, 1.0]
