import numpy as np
import tensorflow as tf

from export_v1.passes import merge
from tests import graphs
from tests.graphs import v1


def _graph(scale: float):
    with tf.Graph().as_default() as graph:
        w = v1.get_variable("w", [], use_resource=True)
        x = v1.placeholder(tf.float32, [], name="x")

        @tf.function
        def step(value):
            return value * scale

        tf.identity(step(x) * w, name="y")
    graph_def = graph.as_graph_def()
    # Functions of one name and different content, as two graphs of one module have them.
    name = graph_def.library.function[0].signature.name
    text = graph_def.SerializeToString().replace(name.encode(), b"f" * len(name))
    return type(graph_def).FromString(text)


def test_parts_share_variables_and_keep_their_own_functions():
    merged = merge.graphs({"": _graph(2.0), "train/": _graph(3.0)})
    assert [node.name for node in merged.node if node.op == "VarHandleOp"] == ["w"]
    assert len({function.signature.name for function in merged.library.function}) == 2
    got = graphs.run(merged, ["y:0", "train/y:0"], {"x:0": 1.0, "train/x:0": 1.0}, {"w": 5.0})
    np.testing.assert_array_equal(got, [10.0, 15.0])


def test_one_part_without_prefix_is_itself():
    graph_def = _graph(2.0)
    assert graphs.names(merge.graphs({"": graph_def})) == graphs.names(graph_def)


def test_the_oldest_version_counts():
    old, new = _graph(1.0), _graph(1.0)
    old.versions.producer = 24
    assert merge.graphs({"": new, "train/": old}).versions.producer == 24
