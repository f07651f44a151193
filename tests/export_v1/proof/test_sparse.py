"""Inputs made up for sparse placeholders agree with each other, so that a graph that reads them can answer."""

import numpy as np
import tensorflow as tf

import export_v1
from tests.support import graphs

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
