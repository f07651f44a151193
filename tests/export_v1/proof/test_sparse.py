"""Inputs made up for sparse placeholders agree with each other, so that a graph that reads them can answer."""

import numpy as np
import pytest
import tensorflow as tf

import export_v1
from export_v1.proof import examples
from tests.support import graphs, small_models

v1 = tf.compat.v1


def test_weighted_lookups_of_sparse_ids_have_a_sample(tmp_path):
    with graphs.tensorflow_1(), v1.Session() as session:
        ids = v1.sparse_placeholder(tf.int64, [None, 6], name="ids")
        weights = v1.sparse_placeholder(tf.float32, [None, 6], name="weights")
        table = v1.get_variable("table", [50, 4], use_resource=False)
        tf.identity(v1.nn.embedding_lookup_sparse(table, ids, weights, combiner="sqrtn"), name="y")
        inputs = {f"{name}_{part}": f"{name}/{part}:0" for name in ("ids", "weights") for part in ("indices", "values")}
        inputs |= {f"{one.op.name.replace('/', '_')}": one.name for one in (ids.dense_shape, weights.dense_shape)}
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
        values = session.run(table)
    flags = {"checkpoint": str(tmp_path / "model.ckpt"), "inputs": inputs, "outputs": {"y": "y:0"}}
    report = export_v1.export(export_dir=str(tmp_path / "1"), **flags)
    assert report["sample"]["origin"] == "generated"
    with np.load(tmp_path / "1" / "assets.extra" / "sample.npz") as sample:
        np.testing.assert_array_equal(sample["in/ids_indices"], [[0, 0], [1, 0], [2, 0]])
        # One value a row: the weight, over its own norm, is 1.
        np.testing.assert_allclose(sample["out/y"], values[sample["in/ids_values"]], rtol=1e-5)


def _attempt(build, **inputs):
    with graphs.tensorflow_1() as graph:
        tf.identity(build(), name="y")
    graph_def = graph.as_graph_def()
    asked = small_models.asked(graph, {key: f"{name}:0" for key, name in inputs.items()}, {})
    made = next(iter(examples.attempts(graph_def, graph_def, asked.signatures["serving_default"].inputs)))
    return made, graphs.run(graph_def, "y:0", {f"{inputs[key]}:0": value for key, value in made.items()})


def test_the_parts_are_known_by_the_op_that_reads_them():
    def build():
        parts = [v1.placeholder(tf.int64, [None, 2], "where"), v1.placeholder(tf.float32, [None], "what")]
        sparse = tf.SparseTensor(*parts, v1.placeholder(tf.int64, [2], "room"))
        return tf.sparse.sparse_dense_matmul(sparse, tf.ones([30, 4]))

    made, answer = _attempt(build, a="where", b="what", c="room")
    assert list(made["c"]) == [3, 30] and made["a"][:, 1].max() > 3 and list(made["a"][:, 0]) == [0, 1, 2]
    np.testing.assert_allclose(answer, np.repeat(made["b"][:, None], 4, axis=1), rtol=1e-6)


def test_rows_of_one_are_columns_of_the_other():
    def build():
        adjacent, features = (
            v1.sparse_placeholder(tf.float32, name="adjacent"),
            v1.sparse_placeholder(tf.float32, name="x"),
        )
        hidden = tf.sparse.sparse_dense_matmul(features, tf.ones([14, 3]))
        return tf.sparse.sparse_dense_matmul(adjacent, hidden)

    names = {
        f"{name}_{part}": f"{name}/{part}" for name in ("adjacent", "x") for part in ("indices", "values", "shape")
    }
    made, answer = _attempt(build, **names)
    assert list(made["adjacent_shape"]) == [3, 3] and list(made["x_shape"]) == [3, 14] and answer.shape == (3, 3)


def test_a_dense_shape_that_is_constant_is_kept_to():
    def build():
        parts = [v1.placeholder(tf.int64, [5, 2], "where"), v1.placeholder(tf.float32, [5], "what")]
        return tf.sparse.to_dense(tf.SparseTensor(*parts, tf.constant([2, 4], tf.int64)))

    made, answer = _attempt(build, a="where", b="what")
    assert (made["a"] < [2, 4]).all() and np.count_nonzero(answer) == 5


def test_several_sparse_tensors_of_one_op_have_as_many_rows():
    def build():
        a, b = v1.sparse_placeholder(tf.string, name="a"), v1.sparse_placeholder(tf.int64, name="b")
        dense = v1.placeholder(tf.int64, [None, 1], "dense")
        # As graph code has them that takes placeholders of its own for the parts, under names of its own.
        parts = [v1.placeholder(tf.int64, [None, 2], "where"), v1.placeholder(tf.int64, [None], "what")]
        parts.append(v1.placeholder(tf.int64, [2], "room"))
        return tf.sparse.cross_hashed([a, b, tf.SparseTensor(*parts), dense], 20).dense_shape

    names = {f"{name}_{part}": f"{name}/{part}" for name in "ab" for part in ("indices", "values", "shape")}
    made, answer = _attempt(build, dense="dense", c="where", d="what", e="room", **names)
    assert list(made["e"]) == list(made["a_shape"]) and len(made["d"]) == len(made["c"]) == len(made["dense"])
    assert answer[0] == made["e"][0]


def test_a_factor_that_is_turned_has_as_many_rows_as_the_other():
    def build():
        sparse = v1.sparse_placeholder(tf.float32, name="x")
        return tf.sparse.sparse_dense_matmul(sparse, tf.ones([14, 4]), adjoint_a=True)

    made, answer = _attempt(build, **{part: f"x/{part}" for part in ("indices", "values", "shape")})
    assert made["shape"][0] == 14 and answer.shape == (made["shape"][1], 4) and answer.any()


@pytest.mark.parametrize("order", [[1, 0], None])
def test_an_order_of_axes_is_followed_back(order):
    """Without one, TensorFlow computes it in the graph."""

    def build():
        turned = tf.sparse.transpose(v1.sparse_placeholder(tf.float32, name="x"), order)
        return tf.sparse.sparse_dense_matmul(tf.sparse.reorder(turned), tf.ones([14, 4]))

    made, answer = _attempt(build, **{part: f"x/{part}" for part in ("indices", "values", "shape")})
    assert made["shape"][0] == 14 and answer.shape == (made["shape"][1], 4) and answer.any()


def test_a_dense_operand_tells_the_shape():
    """As graph attention has it: scores of a row and of a column, spread over the neighbours that there are."""

    def build():
        near, x = v1.sparse_placeholder(tf.float32, name="near"), v1.placeholder(tf.float32, [1, None, 6], "x")
        scores = tf.reduce_sum(x, 2)
        return tf.sparse.to_dense(tf.sparse.add(near * tf.transpose(scores), near * scores))

    made, answer = _attempt(build, x="x", **{part: f"near/{part}" for part in ("indices", "values", "shape")})
    rows = made["x"].shape[1]
    assert list(made["shape"]) == [rows, rows] and np.count_nonzero(answer) == len(made["values"])


def test_labels_of_sequences_need_no_shape():
    def build():
        labels = v1.sparse_placeholder(tf.int32, name="labels")
        scores, lengths = v1.placeholder(tf.float32, [None, None, 8], "x"), v1.placeholder(tf.int32, [None], "lengths")
        return v1.nn.ctc_loss(labels, scores, lengths)

    made, answer = _attempt(build, indices="labels/indices", values="labels/values", x="x", lengths="lengths")
    assert made["indices"].shape == (3, 2) and np.isfinite(answer).all()
