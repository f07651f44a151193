import numpy as np
import tensorflow as tf

from export_v1.passes import freeze, outputs, portable, prune
from tests import graphs
from tests.graphs import v1

FLOAT = tf.float32.as_datatype_enum


def _split():
    with graphs.tensorflow_1() as graph:
        a, b = tf.split(v1.placeholder(tf.float32, [4], name="x"), 2, name="halves")
        with tf.control_dependencies([a]):
            tf.add(a * 10.0, b, name="y")
    return graph.as_graph_def()


def test_any_tensor_can_be_an_input():
    cut, names = freeze.to_placeholders(_split(), {"halves:1": (FLOAT, [None]), "halves:0": (FLOAT, None)})
    cut = prune.to_outputs(cut, ["y"])
    assert "Split" not in graphs.kinds(cut)
    got = graphs.run(cut, "y:0", {names["halves:0"]: [1.0], names["halves:1"]: [2.0]})
    np.testing.assert_array_equal(got, [12.0])


def test_a_node_with_one_output_keeps_its_name():
    cut, names = freeze.to_placeholders(_split(), {"y:0": (FLOAT, [2])})
    assert names == {"y:0": "y:0"}
    assert [node.op for node in cut.node if node.name == "y"] == ["Placeholder"]


def test_any_tensor_can_be_frozen():
    frozen, names = freeze.to_constants(_split(), {"halves:1": (FLOAT, np.float32([5, 6]))})
    frozen = prune.to_outputs(frozen, ["y"])
    assert names == {"halves:1": "halves_1:0"}
    np.testing.assert_array_equal(graphs.run(frozen, "y:0", {"x:0": [1, 2, 3, 4]}), [15, 26])


def test_an_output_reads_a_reference_and_waits_for_updates():
    with graphs.tensorflow_1() as graph:
        n = v1.get_variable("n", [])
        v1.assign_add(n, 1.0, name="update")
    pinned, names = outputs.pinned(graph.as_graph_def(), {"n": "n:0"}, waits=["update"])
    assert names == {"n": "output/n:0"}
    pin = next(node for node in pinned.node if node.name == "output/n")
    assert list(pin.input) == ["n", "^update"] and pin.attr["T"].type == FLOAT


def test_what_ties_a_node_to_its_machine_is_left_out():
    graph_def = _split()
    graph_def.node[0].device = "/job:ps/device:GPU:3"
    graph_def.node[0].attr["_class"].list.s.append(b"loc:@gone")
    graph_def.node[0].attr["_output_shapes"].list.shape.add()
    stripped = portable.nodes(graph_def)
    assert not stripped.node[0].device and not {"_class", "_output_shapes"} & set(stripped.node[0].attr)
    assert graph_def.node[0].device
