import numpy as np
import pytest
import tensorflow as tf

from export_v1 import errors
from export_v1.ir import graph as graph_module
from export_v1.ir import ops, rewrite
from export_v1.ir.graph import GraphDef, Index, Tensor
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


def _filled() -> Index:
    """A table that is filled from a file, twice, one that is filled from Python, and one that a checkpoint fills."""
    with graphs.tensorflow_1() as graph:
        table = raw.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64, name="table")
        handle, name = tf.identity(table, name="handle"), tf.constant("words.txt", name="file")
        fields = {"key_index": -2, "value_index": -1}
        raw.InitializeTableFromTextFileV2(table_handle=handle, filename=name, name="fill", **fields)
        raw.InitializeTableFromTextFileV2(table_handle=table, filename=name, name="fill_again", **fields)
        raw.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64, name="from_python")
        mutable = raw.MutableHashTableV2(key_dtype=tf.int64, value_dtype=tf.int64, name="mutable")
        dtypes = [tf.int64, tf.int64]
        keys = raw.RestoreV2(prefix="p", tensor_names=["k", "v"], shape_and_slices=["", ""], dtypes=dtypes)
        raw.LookupTableImportV2(table_handle=mutable, keys=keys[0], values=keys[1], name="restore")
    return Index(graph.as_graph_def())


def _initializers(*names: str) -> dict[str, str | None]:
    index = _filled()
    return tables.initializers(index, [index[name] for name in names])


def test_a_table_is_filled_once_by_the_op_of_its_graph():
    assert _initializers("table") == {"table": "fill"}
    assert _initializers("file") == {}
    # What a Saver puts into a mutable table is no initializer.
    assert _initializers("mutable", "table") == {"table": "fill", "mutable": None}
    tables.refuse_unfilled(_filled(), _initializers("mutable", "table"))


def test_a_table_that_python_filled_is_named_with_what_to_do():
    with pytest.raises(errors.ExportError, match=r"'from_python' \(HashTableV2\).*\n.*--input=KEY=TENSOR"):
        tables.refuse_unfilled(_filled(), _initializers("table", "from_python"))


def test_a_frozen_file_name_is_found_as_it_was_given():
    with graphs.tensorflow_1() as graph:
        name = tf.identity(tf.compat.v1.placeholder(tf.string, [], name="file"))
        table = raw.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)
        raw.InitializeTableFromTextFileV2(table_handle=table, filename=name, name="fill", key_index=-2, value_index=-1)
    for value in ("words.txt", b"words.txt"):
        result = tables.with_files(
            graph.as_graph_def(), ["fill"], known={}, frozen={"file:0": value}, find=lambda name, known: f"/in/{name}"
        )
        assert result.notes.asset_files == {"file:0": "/in/words.txt"}
    with pytest.raises(errors.ExportError, match=r"not named by a constant.*\n.*--freeze="):
        tables.with_files(graph.as_graph_def(), ["fill"], known={}, frozen={}, find=lambda name, known: name)


@pytest.mark.parametrize(
    ("empty", "dtype"), [(-2, tf.int64), (np.iinfo(np.int32).min + 1, tf.int32), ("none", tf.string)]
)
def test_a_dense_table_of_old_reserves_another_key_for_what_is_removed(empty, dtype):
    made = rewrite.node("table", "MutableDenseHashTable", [Tensor("empty")], key_dtype=dtype, value_dtype=tf.float32)
    graph_def = GraphDef(node=[rewrite.constant("empty", empty, dtype), made])
    new = tables.to_resources(graph_def).graph_def
    nodes = {node.name: node for node in new.node}
    assert nodes["table"].op == "MutableDenseHashTableV2"
    assert list(nodes["table"].input) == ["empty", "table/deleted_key"]
    deleted = tf.make_ndarray(nodes["table/deleted_key"].attr["value"].tensor)
    assert deleted.item() != (empty.encode() if dtype == tf.string else empty)
    with tf.Graph().as_default() as graph, tf.compat.v1.Session() as session:
        tf.graph_util.import_graph_def(new, name="")
        assert session.run(tf.raw_ops.LookupTableSizeV2(table_handle=graph.get_tensor_by_name("table:0"))) == 0


def test_a_dense_table_whose_empty_key_is_computed_is_named():
    made = rewrite.node("table", "MutableDenseHashTable", [Tensor("key")], key_dtype=tf.int64, value_dtype=tf.int64)
    graph_def = GraphDef(node=[rewrite.node("key", "Placeholder", dtype=tf.int64), made])
    with pytest.raises(errors.ExportError, match="'table' .*is no constant, but Placeholder"):
        tables.to_resources(graph_def)
