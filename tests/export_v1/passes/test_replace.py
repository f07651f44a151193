"""Replacing ops: where a replacement is put, and what stays as it was."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1 import errors
from export_v1.ir import rewrite
from export_v1.ir.graph import GraphDef, Tensor
from export_v1.passes import replace, replacements
from export_v1.passes.replacements import Replacement

STEPS = np.array([[[1, 2]], [[3, 4]], [[2, 5]]], np.int32)
PARENTS = np.array([[[0, 0]], [[1, 0]], [[1, 0]]], np.int32)
# What TensorFlow 1.15.5's kernel answers to these, with end token 2.
BEAMS = [[[1, 2]], [[4, 2]], [[2, 2]]]


def _tree(name="tree", inputs=("steps", "parents", "lengths", "end")):
    return rewrite.node(name, "GatherTree", map(Tensor, inputs), T=tf.int32)


def _graph(*nodes):
    made = GraphDef()
    made.node.extend(rewrite.node(name, "Placeholder", dtype=tf.int32) for name in ("steps", "parents", "lengths"))
    made.node.append(rewrite.constant("end", 2, tf.int32))
    made.node.extend(nodes)
    return made


def _replaced(graph_def, **arguments):
    return replace.ops(graph_def, **{"written": graph_def, "stored": lambda key: None, **arguments})


def _run(graph_def, fetch):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.graph_util.import_graph_def(graph_def, name="")
        return session.run(fetch, {"steps:0": STEPS, "parents:0": PARENTS, "lengths:0": [3]})


def test_the_node_keeps_its_name_and_who_waits_for_it_still_does():
    after = rewrite.node("after", "Identity", [Tensor("tree"), Tensor("tree", -1)], T=tf.int32)
    tree = _tree()
    tree.input.append("^before")
    result = _replaced(_graph(rewrite.node("before", "NoOp"), tree, after))
    nodes = {node.name: node for node in result.graph_def.node}
    assert "^before" in nodes["tree"].input and list(nodes["after"].input) == ["tree", "^tree"]
    np.testing.assert_array_equal(_run(result.graph_def, "after:0"), BEAMS)


def test_two_nodes_of_one_op_have_functions_and_nodes_of_their_own():
    taken = rewrite.node("tree/Shape", "Identity", [Tensor("end")], T=tf.int32)
    result = _replaced(_graph(_tree(), _tree("other"), taken))
    names = [function.signature.name for function in result.graph_def.library.function]
    assert len(set(names)) == len(names) == 4
    for fetch in ("tree:0", "other:0"):
        np.testing.assert_array_equal(_run(result.graph_def, fetch), BEAMS)


def test_in_a_loop_of_tensorflow_1_it_runs_in_each_iteration():
    with tf.Graph().as_default() as graph:
        tf.compat.v1.disable_control_flow_v2()
        try:
            steps, parents, lengths = (
                tf.compat.v1.placeholder(tf.int32, name=name) for name in ("steps", "parents", "lengths")
            )
            tf.constant(2, name="end")
            # The sum stands where the tree is put: of as many inputs, and of the same type.
            found = tf.while_loop(
                lambda at, last: at < 2,
                lambda at, last: (at + 1, tf.add_n([steps, parents, lengths, at], name="tree")),
                (tf.constant(0), tf.constant([[[0]]])),
                shape_invariants=(tf.TensorShape([]), tf.TensorShape(None)),
            )
            tf.identity(found[1], name="found")
        finally:
            tf.compat.v1.enable_control_flow_v2()
        graph_def = graph.as_graph_def()
    sums = [node for node in graph_def.node if node.op == "AddN"]
    assert len(sums) == 1
    end = sums[0].input[3]
    sums[0].op = "GatherTree"
    sums[0].attr.pop("N")
    result = _replaced(graph_def)
    assert any(node.op == "Enter" for node in result.graph_def.node), end
    # At the second iteration the end token is 1: of its beams, the one that starts with it ends there.
    np.testing.assert_array_equal(_run(result.graph_def, "found:0"), [[[1, 2]], [[1, 3]], [[1, 5]]])


def test_in_a_function_a_call_stands_in_for_it():
    with tf.Graph().as_default() as graph:

        @tf.function(autograph=False)
        def body(steps, parents, lengths):
            return tf.add_n([steps, parents, lengths, 2]) + 1

        tensors = [tf.compat.v1.placeholder(tf.int32, name=name) for name in ("steps", "parents", "lengths")]
        tf.identity(body(*tensors), name="found")
        graph_def = graph.as_graph_def()
    [node] = [node for function in graph_def.library.function for node in function.node_def if node.op == "AddN"]
    for function in graph_def.library.function:
        for reader in function.node_def:
            edges = [edge.replace("AddN:sum:0", "AddN:beams:0") for edge in reader.input]
            del reader.input[:]
            reader.input.extend(edges)
    node.op = "GatherTree"
    node.attr.pop("N")
    np.testing.assert_array_equal(_run(_replaced(graph_def).graph_def, "found:0"), np.array(BEAMS) + 1)


def test_a_kept_op_stays():
    graph_def = _graph(_tree())
    kept = _replaced(graph_def, kept=["GatherTree"])
    assert kept.graph_def == graph_def and [(item.op, item.count, item.by) for item in kept.notes.replaced] == [
        ("GatherTree", 1, "")
    ]
    assert not _replaced(graph_def, kept=["GatherTree"], unrunnable_only=True).notes.replaced


def test_what_has_a_kernel_here_stays_in_the_original(monkeypatch):
    monkeypatch.setattr(replace, "TABLE", {"Neg": Replacement(lambda site, x: 0 - x, "a subtraction")})
    graph_def = _graph(rewrite.node("minus", "Neg", [Tensor("end")], T=tf.int32))
    assert _replaced(graph_def, unrunnable_only=True).graph_def == graph_def
    result = _replaced(graph_def)
    assert not any(node.op == "Neg" for node in result.graph_def.node)
    assert [(item.op, item.count, item.by, item.in_reference) for item in result.notes.replaced] == [
        ("Neg", 1, "a subtraction", False)
    ]


def test_what_runs_here_with_other_answers_is_replaced_in_the_original_too():
    for dtype, count in ((tf.int32, 1), (tf.float32, 0)):
        numbers = rewrite.constant("numbers", [3, -4], dtype)
        graph_def = _graph(numbers, rewrite.node("rounded", "Round", [Tensor("numbers")], T=dtype))
        result = _replaced(graph_def, unrunnable_only=True)
        assert [(item.op, item.count, item.in_reference) for item in result.notes.replaced] == [
            ("Round", 1, True)
        ] * count
        np.testing.assert_array_equal(_run(result.graph_def, "rounded:0"), [3, -4])


def test_a_replacement_that_cannot_be_built_names_the_node_and_the_flag(monkeypatch):
    def refuse(site, x):
        raise ValueError("no way")

    monkeypatch.setattr(replace, "TABLE", {"Neg": Replacement(refuse, "nothing")})
    with pytest.raises(errors.ExportError, match=r"'minus' \(Neg\) cannot be replaced: no way\n.*--keep_ops=Neg"):
        _replaced(_graph(rewrite.node("minus", "Neg", [Tensor("end")], T=tf.int32)))


def test_further_outputs_move_and_the_first_does_not(monkeypatch):
    monkeypatch.setattr(replace, "TABLE", {"Unique": Replacement(lambda site, x: (x + 1, x + 2), "sums")})
    unique = rewrite.node("unique", "Unique", [Tensor("lengths")], T=tf.int32, out_idx=tf.int32)
    reader = rewrite.node("reader", "Sub", [Tensor("unique", 1), Tensor("unique")], T=tf.int32)
    result = _replaced(_graph(unique, reader))
    assert set(result.renamed) == {"unique:1"}
    np.testing.assert_array_equal(_run(result.graph_def, ["unique:0", "reader:0"])[0], [4])
    np.testing.assert_array_equal(_run(result.graph_def, ["unique:0", "reader:0"])[1], [1])
    np.testing.assert_array_equal(_run(result.graph_def, result.renamed["unique:1"]), [5])


def test_one_piece_stands_in_for_nodes_that_differ_in_their_first_input_alone(monkeypatch):
    asked = []

    def build(sites, first, second):
        asked.append([site.node.name for site in sites])
        return [second + at for at, _ in enumerate(sites)]

    monkeypatch.setattr(replace, "TABLE", {"Gather": Replacement(build, "sums", joins=True)})

    def node(name, first, second="end", validate=True, waits=()):
        types = {"Tparams": tf.int32, "Tindices": tf.int32}
        made = rewrite.node(name, "Gather", [Tensor(first), Tensor(second)], validate_indices=validate, **types)
        made.attr["_output_shapes"].s = name.encode()
        made.input.extend(f"^{other}" for other in waits)
        return made

    apart = [node("d", "steps", "lengths"), node("e", "steps", waits=["a"]), node("f", "steps", validate=False)]
    result = _replaced(_graph(node("a", "steps"), *apart, node("b", "parents"), node("c", "lengths")))
    assert sorted(asked) == [["a", "b", "c"], ["d"], ["e"], ["f"]]
    assert [int(_run(result.graph_def, f"{name}:0")) for name in "abc"] == [2, 3, 4]


def test_names_to_keep_are_those_of_replaced_ops():
    replacements.check_kept(["GatherTree"])
    with pytest.raises(
        errors.ExportError, match="'GatherTrees' is not in the ops that are replaced.*\n  Closest: 'GatherTree'"
    ):
        replacements.check_kept(["GatherTrees"])


def _lstm(name, inputs, size, units, layers=1, dropout=0.0):
    count = 4 * units * (size + units + 2) + (layers - 1) * 4 * units * (2 * units + 2)
    zeros = np.zeros([layers, 2, units], np.float32)
    states = [rewrite.constant(f"{name}_{state}", zeros, tf.float32) for state in "hc"]
    params = rewrite.constant(f"{name}_params", np.full([count], 0.1, np.float32), tf.float32)
    read = [Tensor(inputs), *(Tensor(node.name) for node in (*states, params))]
    made = rewrite.node(name, "CudnnRNN", read, T=tf.float32, is_training=bool(dropout))
    made.attr["dropout"].f = dropout
    return [*states, params, made]


def _sequences():
    graph_def = GraphDef()
    graph_def.node.append(rewrite.node("x", "Placeholder", dtype=tf.float32, shape=tf.TensorShape([None, 2, 3])))
    graph_def.versions.producer = 134
    return graph_def


def test_dropout_of_cudnn_is_for_training_alone():
    graph_def = _sequences()
    graph_def.node.extend(_lstm("lstm", "x", 3, 4, layers=2, dropout=0.5))
    for training in (False, True):
        replaced = _replaced(graph_def, training=training).graph_def
        assert any(node.op == "RandomUniform" for node in replaced.node) == training


def test_shapes_that_nobody_recorded_are_inferred():
    # An LSTM of 4 units on sequences of 3 numbers, and one of 2 units on what it puts out; no shape is recorded.
    graph_def = _sequences()
    graph_def.node.extend(_lstm("second", "first", 4, 2))
    graph_def.node.extend(_lstm("first", "x", 3, 4))
    result = _replaced(graph_def)
    assert not any(node.op == "CudnnRNN" for node in result.graph_def.node)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.graph_util.import_graph_def(result.graph_def, name="")
        found = session.run("second:0", {"x:0": np.ones([5, 2, 3], np.float32)})
    assert found.shape == (5, 2, 2) and np.all(np.diff(found[:, 0, 0]) > 0)


def test_in_a_branch_of_tensorflow_1_its_constants_wait_on_their_side():
    graph_def = _graph(rewrite.constant("which", True, tf.bool))
    for name in ("steps", "parents"):
        graph_def.node.append(rewrite.node(f"{name}_side", "Switch", [Tensor(name), Tensor("which")], T=tf.int32))
    branch = _tree(inputs=("steps_side:1", "parents_side:1", "lengths", "end"))
    del branch.input[:]
    branch.input.extend(["steps_side:1", "parents_side:1", "lengths", "end"])
    graph_def.node.append(branch)
    graph_def.node.append(rewrite.node("found", "Merge", [Tensor("steps_side"), Tensor("tree")], T=tf.int32, N=2))
    result = _replaced(graph_def)
    waits = {edge for node in result.graph_def.node for edge in node.input if edge.startswith("^")}
    sides = {node.name: list(node.input) for node in result.graph_def.node if f"^{node.name}" in waits}
    assert list(sides.values()) == [["steps_side:1"]]
    np.testing.assert_array_equal(_run(result.graph_def, "found:0"), BEAMS)


def test_an_op_without_outputs_is_still_waited_for():
    metadata = rewrite.node("metadata", "TPUReplicateMetadata", num_replicas=2)
    after = rewrite.node("after", "Identity", [Tensor("end"), Tensor("metadata", -1)], T=tf.int32)
    result = _replaced(_graph(metadata, after))
    assert {node.name: node.op for node in result.graph_def.node}["metadata"] == "NoOp"
    assert _run(result.graph_def, "after:0") == 2


def test_replicas_of_different_inputs_are_refused():
    one, other = (
        rewrite.node(name, "TPUReplicatedInput", map(Tensor, inputs), T=tf.int32, N=2)
        for name, inputs in (("one", ("end", "end")), ("other", ("end", "lengths")))
    )
    assert _run(_replaced(_graph(one)).graph_def, "one:0") == 2
    with pytest.raises(errors.ExportError, match="'other' .*2 replicas different inputs"):
        _replaced(_graph(other))


def test_a_layout_of_gpus_is_refused_by_its_name():
    inputs = [
        ("x", tf.qint8),
        ("w", tf.qint8),
        ("bias", tf.float32),
        ("side", tf.qint8),
        ("a", tf.float32),
        ("b", tf.float32),
    ]
    graph_def = GraphDef()
    graph_def.node.extend(rewrite.node(name, "Placeholder", dtype=dtype) for name, dtype in inputs)
    conv = rewrite.node(
        "conv", "FusedConv2DBiasActivation", [Tensor(name) for name, _ in inputs], T=tf.qint8, Tbias=tf.float32
    )
    conv.attr["data_format"].s, conv.attr["filter_format"].s = b"NCHW_VECT_C", b"OIHW_VECT_I"
    conv.attr["padding"].s = b"SAME"
    conv.attr["strides"].list.i.extend([1, 1, 1, 1])
    graph_def.node.append(conv)
    with pytest.raises(errors.ExportError, match="'conv' .*its layouts are NCHW_VECT_C and OIHW_VECT_I, which no CPU"):
        _replaced(graph_def)
