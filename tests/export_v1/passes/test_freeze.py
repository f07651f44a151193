import numpy as np
import pytest
import tensorflow as tf

from export_v1.passes import freeze, outputs, portable, prune
from tests.support import graphs
from tests.support.graphs import v1

FLOAT = tf.float32.as_datatype_enum


def _split():
    with graphs.tensorflow_1() as graph:
        a, b = tf.split(v1.placeholder(tf.float32, [4], name="x"), 2, name="halves")
        with tf.control_dependencies([a]):
            tf.add(a * 10.0, b, name="y")
    return graph.as_graph_def()


def test_any_tensor_can_be_an_input():
    result = freeze.to_placeholders(_split(), {"halves:1": (FLOAT, [None]), "halves:0": (FLOAT, None)})
    cut, names = result.graph_def, result.renamed
    cut = prune.to_outputs(cut, ["y"]).graph_def
    assert "Split" not in graphs.kinds(cut)
    got = graphs.run(cut, "y:0", {names["halves:0"]: [1.0], names["halves:1"]: [2.0]})
    np.testing.assert_array_equal(got, [12.0])


def test_a_node_with_one_output_keeps_its_name():
    result = freeze.to_placeholders(_split(), {"y:0": (FLOAT, [2])})
    cut, names = result.graph_def, result.renamed
    assert names == {"y:0": "y:0"}
    assert [node.op for node in cut.node if node.name == "y"] == ["Placeholder"]


def test_any_tensor_can_be_frozen():
    result = freeze.to_constants(_split(), {"halves:1": (FLOAT, np.float32([5, 6]))})
    frozen, names = result.graph_def, result.renamed
    frozen = prune.to_outputs(frozen, ["y"]).graph_def
    assert names == {"halves:1": "halves_1:0"}
    np.testing.assert_array_equal(graphs.run(frozen, "y:0", {"x:0": [1, 2, 3, 4]}), [15, 26])


def test_the_other_output_of_a_cut_node_still_answers():
    for make, feeds in ((freeze.to_placeholders, {"halves_0:0": [7.0, 8.0]}), (freeze.to_constants, {})):
        result = make(_split(), {"halves:0": (FLOAT, [2] if feeds else np.float32([7, 8]))})
        cut, names = result.graph_def, result.renamed
        assert names == {"halves:0": "halves_0:0"}
        got = graphs.run(cut, ["y:0", "halves:1"], {"x:0": [1, 2, 3, 4], **feeds})
        np.testing.assert_array_equal(got, [[73, 84], [3, 4]])


def test_a_name_that_is_taken_is_not_given_again():
    graph_def = _split()
    graph_def.node.add(name="halves_0", op="NoOp")
    for make, value in ((freeze.to_placeholders, [2]), (freeze.to_constants, np.float32([7, 8]))):
        result = make(graph_def, {"halves:0": (FLOAT, value)})
        cut, names = result.graph_def, result.renamed
        assert names == {"halves:0": "halves_0_1:0"} and len(set(graphs.names(cut))) == len(cut.node)


def test_a_placeholder_has_the_type_and_the_shape_that_were_asked_for():
    shapes = {"y:0": [None, 3], "halves:0": None, "halves:1": []}
    result = freeze.to_placeholders(_split(), {name: (9, shape) for name, shape in shapes.items()})
    cut, names = result.graph_def, result.renamed
    nodes = {node.name: node for node in cut.node}
    for name, shape in shapes.items():
        node = nodes[names[name].partition(":")[0]]
        assert node.attr["dtype"].type == 9 and tf.TensorShape(node.attr["shape"].shape) == tf.TensorShape(shape)


def test_a_frozen_value_has_the_type_that_was_asked_for():
    with graphs.tensorflow_1() as graph:
        v1.placeholder(tf.int64, [], name="steps")
        v1.placeholder(tf.string, [None], name="words")
    values = {"steps:0": (tf.int64.as_datatype_enum, 3), "words:0": (tf.string.as_datatype_enum, [b"a", b"bc"])}
    result = freeze.to_constants(graph.as_graph_def(), values)
    frozen, names = result.graph_def, result.renamed
    assert names == {"steps:0": "steps:0", "words:0": "words:0"} and graphs.kinds(frozen) == {"Const"}
    steps, words = graphs.run(frozen, ["steps:0", "words:0"])
    assert steps == 3 and steps.dtype == np.int64 and list(words) == [b"a", b"bc"]


def test_who_waited_for_a_cut_node_waits_for_what_is_there_now():
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [], name="x")
        with tf.control_dependencies([tf.exp(x, name="cut")]):
            tf.negative(x, name="y")
    for make, value in ((freeze.to_placeholders, []), (freeze.to_constants, 1.0)):
        cut = make(graph.as_graph_def(), {"cut:0": (FLOAT, value)}).graph_def
        nodes = {node.name: node for node in cut.node}
        assert list(nodes["y"].input) == ["x", "^cut"] and not nodes["cut"].input


def test_an_output_has_a_name_of_its_own_and_the_type_of_its_tensor():
    with graphs.tensorflow_1() as graph:
        tf.constant(1, name="output/y")
        tf.nn.top_k(v1.placeholder(tf.float32, [4], name="x"), 2, name="top")
    given = graph.as_graph_def()
    result = outputs.pinned(given, {"y": "top:1", "z": "top", "x": "x:0"})
    pinned, names = result.graph_def, result.renamed
    assert names == {"y": "output/y_1:0", "z": "output/z:0", "x": "output/x:0"}
    nodes = {node.name: node for node in pinned.node}
    assert list(nodes["output/y_1"].input) == ["top:1"] and nodes["output/y_1"].attr["T"].type == 3
    assert list(nodes["output/z"].input) == ["top"] and nodes["output/z"].attr["T"].type == FLOAT
    assert given == graph.as_graph_def()


def test_an_output_reads_a_reference_and_waits_for_updates():
    with graphs.tensorflow_1() as graph:
        n = v1.get_variable("n", [])
        v1.assign_add(n, 1.0, name="update")
    result = outputs.pinned(graph.as_graph_def(), {"n": "n:0"}, waits=["update"])
    pinned, names = result.graph_def, result.renamed
    assert names == {"n": "output/n:0"}
    pin = next(node for node in pinned.node if node.name == "output/n")
    assert list(pin.input) == ["n", "^update"] and pin.attr["T"].type == FLOAT


def test_what_ties_a_node_to_its_machine_is_left_out():
    graph_def = _split()
    graph_def.node[0].device = "/job:ps/device:GPU:3"
    graph_def.node[0].attr["_class"].list.s.append(b"loc:@gone")
    graph_def.node[0].attr["_output_shapes"].list.shape.add()
    stripped = portable.nodes(graph_def).graph_def
    assert not stripped.node[0].device and not {"_class", "_output_shapes"} & set(stripped.node[0].attr)
    assert graph_def.node[0].device


def test_marks_are_left_out_in_functions_too_and_nothing_else_is():
    graph_def = _split()
    function = graph_def.library.function.add()
    function.signature.name = "f"
    node = function.node_def.add(name="n", op="NoOp", device="/device:GPU:0")
    marks = ("_output_shapes", "_class", "_XlaCompile", "_XlaScope", "_XlaSeparateCompiledGradients", "_tpu_replicate")
    for mark in (*marks, "_gradient_op_type", "value"):
        node.attr[mark].s = b"x"
        graph_def.node[1].attr[mark].s = b"x"
    stripped = portable.nodes(graph_def).graph_def
    inner = stripped.library.function[0].node_def[0]
    assert set(inner.attr) == {"_gradient_op_type", "value"} and not inner.device
    assert set(stripped.node[1].attr) == set(graph_def.node[1].attr) - set(marks)
    assert len(graph_def.library.function[0].node_def[0].attr) == 8


def test_what_nobody_feeds_is_never_there():
    with graphs.tensorflow_1() as graph:
        x, word = v1.placeholder(tf.float32, [], name="x"), v1.placeholder(tf.string, [], name="word")
        data = v1.placeholder(tf.bool, [], name="data")
        outside = tf.strings.to_number(word) + v1.placeholder(tf.float32, [2], name="other")[0]
        tf.identity(v1.cond(data, lambda: outside, lambda: x), name="y")
    made = freeze.to_nothing(graph.as_graph_def(), {"word", "other"}).graph_def
    assert {"word", "other"} <= set(graphs.names(made))
    assert graphs.run(made, "y:0", {"x:0": 3.0, "data:0": False}) == 3.0
    with pytest.raises(tf.errors.InvalidArgumentError, match="does not have value"):
        graphs.run(made, "y:0", {"x:0": 3.0, "data:0": True})


def test_what_could_do_more_than_compute_is_not_there_at_all(tmp_path):
    with graphs.tensorflow_1() as graph:
        x, data = v1.placeholder(tf.float32, [], name="x"), v1.placeholder(tf.bool, [], name="data")
        write = tf.io.write_file(str(tmp_path / "canary"), "it ran")
        with tf.control_dependencies([write]):
            read = tf.strings.to_number(tf.raw_ops.ReadFile(filename=str(tmp_path / "canary"), name="read"))
        tf.identity(v1.cond(data, lambda: read, lambda: x), name="y")
    made = freeze.to_nothing(graph.as_graph_def(), {write.name, "read"}).graph_def
    assert {"read", write.name} <= set(graphs.names(made)) and not {"ReadFile", "WriteFile"} & graphs.kinds(made)
    assert graphs.run(made, "y:0", {"x:0": 3.0, "data:0": False}) == 3.0
    with pytest.raises(tf.errors.InvalidArgumentError, match="does not have value"):
        graphs.run(made, "y:0", {"x:0": 3.0, "data:0": True})
    assert not (tmp_path / "canary").exists()
