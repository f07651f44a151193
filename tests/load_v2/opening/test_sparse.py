"""Sparse tensors and the rows that have the same number, as code."""

import numpy as np
import pytest
import tensorflow as tf

from tests.support.rebuilding import assert_rebuilt, case, code_of, numbers, placeholder

v1 = tf.compat.v1
# -1 stands for no id; one row has none, and one has an id twice.
_IDS = np.int64([[1, -1, 3, -1, 8], [-1] * 5, [0, 0, 2, -1, -1], [-1, -1, -1, -1, 5]])


def _sparse(ids):
    places = tf.where(ids >= 0)
    return v1.SparseTensor(places, tf.gather_nd(ids, places), tf.shape(ids, out_type="int64"))


def _floats(sparse):
    return v1.SparseTensor(sparse.indices, tf.cast(sparse.values, "float32") * 0.5 + 1.0, sparse.dense_shape)


def _table(rows: int = 9):
    return tf.constant(numbers(rows, 3))


def _dense(sparse):
    return v1.sparse_tensor_to_dense(sparse, -7)


def _backwards(sparse):
    return v1.SparseTensor(tf.reverse(sparse.indices, [0]), tf.reverse(sparse.values, [0]), sparse.dense_shape)


OF_SPARSE = {
    "sum of rows": lambda s: v1.nn.embedding_lookup_sparse(_table(), s, None, combiner="sum"),
    "mean of rows": lambda s: v1.nn.safe_embedding_lookup_sparse([_table()], s, combiner="mean"),
    "sum by a root": lambda s: v1.nn.safe_embedding_lookup_sparse([_table()], s, combiner="sqrtn", default_id=2),
    "weighted": lambda s: v1.nn.embedding_lookup_sparse(_table(), s, _floats(s), combiner="mean"),
    "weighted, rows without": lambda s: v1.nn.safe_embedding_lookup_sparse([_table()], s, _floats(s), combiner="sqrtn"),
    "table in parts": lambda s: v1.nn.safe_embedding_lookup_sparse([_table(5), _table(4)], s, partition_strategy="div"),
    "dense": _dense,
    "dense, one value": lambda s: v1.sparse_to_dense(s.indices, s.dense_shape, 1.5, 0.5),
    "other shape": lambda s: _dense(v1.sparse_reshape(s, [2, -1, 5])) + _dense(v1.sparse_reshape(s, [-1]))[0],
    "no row without": lambda s: v1.sparse_fill_empty_rows(_backwards(s), 3)[0].values,
    "rows without": lambda s: v1.sparse_fill_empty_rows(s, 3)[1],
    "in order": lambda s: v1.sparse_reorder(_backwards(s)).values,
    "sums of all": lambda s: v1.sparse_reduce_sum(s),
    "shares of each row": lambda s: _dense(v1.sparse_softmax(_floats(s))),
    "times a dense row": lambda s: _dense(_floats(s) * tf.constant(numbers(5))),
    "plus a dense one": lambda s: v1.sparse_add(_floats(s), tf.constant(numbers(4, 5))),
    "product": lambda s: v1.sparse_tensor_dense_matmul(_floats(s), tf.constant(numbers(5, 2))),
}  # fmt: skip


@pytest.mark.parametrize("name", OF_SPARSE)
def test_sparse_tensors_made_of_dense_ones(name):
    def build():
        ids = placeholder("ids", [None, 5], "int64")
        return {"ids": ids}, {"y": OF_SPARSE[name](_sparse(ids))}

    _assert_rebuilt(build, {"ids": _IDS})


@pytest.mark.parametrize("name", ["mean of rows", "dense", "product"])
def test_sparse_tensors_that_are_given(name):
    def build():
        places, ids = placeholder("places", [None, 2], "int64"), placeholder("ids", [None], "int64")
        whole = placeholder("whole", [2], "int64")
        made = v1.SparseTensor(places, ids, whole)
        return {"places": places, "ids": ids, "whole": whole}, {"y": OF_SPARSE[name](made)}

    feeds = {"places": np.int64([[0, 1], [0, 3], [2, 0]]), "ids": np.int64([1, 8, 2]), "whole": np.int64([4, 5])}
    _assert_rebuilt(build, feeds)


@pytest.mark.parametrize("what", ["sum", "mean", "max", "min", "prod"])
def test_rows_of_the_same_number(what):
    def build():
        x, ids = placeholder("x", [None, 2]), placeholder("ids", [None], "int32")
        return {"x": x, "ids": ids}, {"y": getattr(tf.math, f"segment_{what}")(x, ids)}

    _assert_rebuilt(build, {"x": numbers(4, 2) - 2.0, "ids": np.int32([0, 0, 2, 4])})


def test_rows_taken_apart_and_put_together_again():
    def build():
        x, at = placeholder("x", [None, 2]), placeholder("at", [None], "int32")
        parts = v1.dynamic_partition(x, at, 3)
        places = v1.dynamic_partition(tf.range(tf.shape(x)[0]), at, 3)
        doubled = [part * (number + 1.0) for number, part in enumerate(parts)]
        # The last of two rows for one place counts.
        again = v1.dynamic_stitch([[0, 1], [1, 3]], [x[:2], x[2:4]])
        return {"x": x, "at": at}, {"y": v1.dynamic_stitch(places, doubled), "again": tf.gather(again, [0, 1, 3])}

    _assert_rebuilt(build, {"x": numbers(5, 2), "at": np.int32([2, 0, 0, 2, 0])})


@pytest.mark.parametrize("name", ["sum of rows", "mean of rows", "sum by a root", "weighted"])
def test_sums_of_rows_are_a_layer_and_a_function(name):
    def build():
        ids = placeholder("ids", [None, 5], "int64")
        return {"ids": ids}, {"y": OF_SPARSE[name](_sparse(ids))}

    _, layers = code_of(case(build))
    kinds = [layer.kind for layer in layers]
    assert kinds.count("Embedding") == 1 and "Parameter" not in kinds and "Unique" not in kinds


def test_ids_that_are_looked_up_once_each_and_repeated_are_looked_up_by_one_layer():
    def build():
        ids = placeholder("ids", [None], "int64")
        known = tf.unique(ids)
        return {"ids": ids}, {"y": tf.gather(tf.gather(_table(), known[0]), known[1])}

    assert_rebuilt(build, {"ids": np.int64([3, 1, 3, 3])}, "Embedding")


def _assert_rebuilt(build, feeds) -> None:
    _, layers = code_of(case(build))
    assert_rebuilt(build, feeds, *(layer.kind for layer in layers))
