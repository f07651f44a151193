"""TensorArrays of before TensorFlow 1.0: the answers are TensorFlow 1.15.5's, in a layer of today, with gradients."""

import numpy as np
import pytest
import tensorflow as tf

import export_v1
import load_v2
from export_v1.ir import rewrite
from export_v1.ir.graph import GraphDef, Index, Tensor
from export_v1.passes import old_arrays
from tests.support import cases, graphs

CASE = cases.load("odd_old_arrays")
NAMES = {key: CASE.config[key] for key in ("inputs", "outputs")}
X = CASE.oracle("in")["x"]


def _graph(name: str) -> GraphDef:
    return GraphDef.FromString((CASE.folder / f"{name}.pb").read_bytes())


@pytest.mark.parametrize("name", ["v1", "v2", "packed"])
def test_an_export_answers_as_tensorflow_1_did(tmp_path, name):
    folder = str(tmp_path / "1")
    report = export_v1.export(graph_def=str(CASE.folder / f"{name}.pb"), export_dir=folder, **NAMES)
    assert report["proof"]["verdict"] == "equal" and load_v2.verify(folder).equal
    layer, x = load_v2.SignatureLayer(folder), tf.constant(X)
    cases.assert_equal(layer(x), CASE.oracle(name))


@pytest.mark.parametrize("name", ["v1", "v2", "packed"])
def test_a_loop_over_them_has_gradients(tmp_path, name):
    names = {"inputs": NAMES["inputs"], "outputs": {"y": NAMES["outputs"]["y"]}}
    export_v1.export(graph_def=str(CASE.folder / f"{name}.pb"), export_dir=str(tmp_path / "1"), **names)
    layer, x = load_v2.SignatureLayer(str(tmp_path / "1")), tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(layer(x))
    # state[1] = x[0] / 2 + x[1], and each row of y is the tanh of a state.
    slope = 1 - np.tanh(np.stack([X[0], X[0] / 2 + X[1]])) ** 2
    np.testing.assert_allclose(tape.gradient(total, x), np.stack([slope[0] + slope[1] / 2, slope[1]]), rtol=1e-5)


@pytest.mark.parametrize("name", ["v1", "v2", "packed"])
def test_no_old_array_is_left_and_flows_begin_at_the_arrays(name):
    before = _graph(name)
    copy = before.SerializeToString()
    made = old_arrays.to_v3(before, Index(before)).graph_def
    assert before.SerializeToString() == copy
    index = Index(made)
    arrays = [node for node in made.node if node.op.startswith("TensorArray")]
    assert arrays and all(node.op.endswith("V3") for node in arrays)
    assert {node.name for node in before.node} <= set(index.nodes), "tensors keep their names"
    read = {tensor.node for node in made.node for tensor in index.edges(node.name).data}
    assert not [name for name in read if name.endswith("/flow")]


def test_a_graph_without_them_is_left_alone():
    graph_def = _graph("v2")
    new = old_arrays.to_v3(graph_def, Index(graph_def)).graph_def
    assert old_arrays.to_v3(new, Index(new)).graph_def is new


def test_one_constant_for_the_flows_of_two_arrays_gives_each_its_own():
    before = _graph("v2")
    shared = next(node.name for node in before.node if node.name.endswith("/flow"))
    for node in before.node:
        for at, edge in enumerate(node.input):
            if edge.endswith("/flow"):
                node.input[at] = shared
    made = old_arrays.to_v3(before, Index(before)).graph_def
    index = Index(made)
    assert shared not in {tensor.node for node in made.node for tensor in index.edges(node.name).data}
    got = graphs.run(made, "y:0", {"x:0": X}, {})
    np.testing.assert_allclose(got, CASE.oracle("v2")["y"], rtol=1e-5)


def _made(*nodes) -> Index:
    """The pass on an array "array" and some nodes."""
    array = rewrite.node("array", "TensorArrayV2", [Tensor("size")], dtype=tf.float32)
    graph_def = GraphDef(node=[rewrite.constant("size", 2, tf.int32), array, *nodes])
    return Index(old_arrays.to_v3(graph_def, Index(graph_def)).graph_def)


def _size(handle: str, flow: str):
    return rewrite.node("count", "TensorArraySizeV2", [Tensor(handle), Tensor(flow)])


def test_a_flow_that_begins_within_a_loop_stays_where_it_is():
    enter = rewrite.node("entered", "Enter", [Tensor("array")], T=tf.string, frame_name="loop", is_constant=True)
    index = _made(enter, rewrite.constant("flow", 0.0, tf.float32, ["entered"]), _size("entered", "flow"))
    assert list(index["count"].input) == ["entered", "flow"] and index.data_type(Tensor("entered")) == tf.resource


def test_each_side_of_a_condition_begins_at_the_array():
    sides = [rewrite.constant(name, 0.0, tf.float32) for name in ("one", "other")]
    merge = rewrite.node("either", "Merge", [Tensor("one"), Tensor("other")], T=tf.float32, N=2)
    assert list(_made(*sides, merge, _size("array", "either"))["either"].input) == ["array:1", "array:1"]


def test_all_rows_are_numbered_where_the_flow_is():
    pack = rewrite.node("rows", "TensorArrayPack", [Tensor("array"), Tensor("flow")], dtype=tf.float32)
    index = _made(rewrite.node("flow", "Identity", [Tensor("array")], T=tf.float32), pack)
    numbers = index[index.edges("rows").data[1].node]
    assert numbers.op == "Range"
    assert [list(index[numbers.input[at]].input) for at in (0, 2)] == [["^flow"], ["^flow"]]
