"""load_v2.private: what rests on names that may change."""

import gc

import pytest
import tensorflow as tf

from load_v2.program import program, resource_tables


def _building_a_function(drop) -> None:
    tf.function(drop).get_concrete_function()


def _building_a_graph(drop) -> None:
    with tf.Graph().as_default() as made:
        drop()
    assert not made.get_operations()


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("during", [_building_a_function, _building_a_graph])
def test_a_table_is_dropped_while_something_else_is_built(during):
    kinds = {"key_dtype": tf.string, "value_dtype": tf.int64}
    with tf.Graph().as_default() as made:
        tf.raw_ops.MutableHashTableV2(name="words", **kinds)
        definition = made.as_graph_def()
    held = resource_tables.create_all(definition, program.run_now, {})
    name = held["words"]._node.attr["shared_name"].s.decode()
    # Another handle on the same table: what is left behind stays under its name.
    other = tf.raw_ops.MutableHashTableV2(shared_name=name, **kinds)
    assert tf.raw_ops.LookupTableSizeV2(table_handle=other).numpy() == 0

    def drop():
        held.clear()
        gc.collect()

    during(drop)
    with pytest.raises(tf.errors.OpError):
        tf.raw_ops.LookupTableSizeV2(table_handle=other)
