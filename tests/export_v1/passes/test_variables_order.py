"""What waits for what once references are resources: edges, since one run may come out right by chance."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1.errors import ExportError
from export_v1.ir import graph as graph_module
from export_v1.ir import ops
from export_v1.ir.graph import GraphDef
from export_v1.passes import variables
from tests.support import graphs
from tests.support.graphs import v1

raw = tf.raw_ops


def _variable(name: str, shape: list[int], dtype=tf.float32) -> tf.Tensor:
    """Returns a reference to a variable that nothing initializes: an initializer would write it."""
    return raw.VariableV2(shape=shape, dtype=dtype, name=name)


def _converted(graph: tf.Graph) -> tuple[dict, GraphDef]:
    made = variables.to_resources(graph.as_graph_def()).graph_def
    for node in made.node:
        assert not any(graph_module.ref_outputs(node)) and not any(graph_module.ref_inputs(node)), node.name
    return {node.name: node for node in made.node}, made


def _edges(nodes, name: str) -> list[str]:
    return list(nodes[name].input)


def test_the_read_in_place_of_an_identity_waits_for_what_the_identity_waited_for():
    with graphs.tensorflow_1() as graph:
        n = _variable("n", [])
        raw.AssignAdd(ref=n, value=1.0, name="write")
        with tf.control_dependencies([tf.no_op(name="gate")]):
            shared = tf.identity(n, name="shared")
        again = tf.identity(shared, name="again")
        tf.exp(again, name="y")
        tf.exp(shared, name="z")
    nodes, _ = _converted(graph)
    assert _edges(nodes, "shared") == ["n", "^gate"]
    assert nodes["again"].op == "ReadVariableOp" and _edges(nodes, "again") == ["n", "^gate"]
    for name in ("y", "z"):
        read = nodes[nodes[name].input[0]]
        assert read.op == "ReadVariableOp" and list(read.input) == ["n", "^gate"]


def test_an_own_read_waits_for_what_its_reader_waited_for():
    with graphs.tensorflow_1() as graph:
        w = _variable("w", [])
        with tf.control_dependencies([tf.no_op(name="gate")]):
            raw.Add(x=w, y=w, name="y")
    nodes, _ = _converted(graph)
    assert _edges(nodes, "y") == ["y/read_0", "y/read_0", "^gate"]
    assert _edges(nodes, "y/read_0") == ["w", "^gate"]


def test_an_own_read_waits_for_other_operands_only_where_the_variable_is_written():
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [], name="x")
        w, n = _variable("w", []), _variable("n", [])
        raw.AssignAdd(ref=n, value=w, name="write")
        raw.Add(x=w, y=x, name="constant")
        raw.Add(x=n, y=x, name="written")
        raw.Merge(inputs=[x, n], name="merge")
    nodes, _ = _converted(graph)
    assert _edges(nodes, "constant/read_0") == ["w"]
    assert _edges(nodes, "written/read_0") == ["n", "^x"]
    # A Merge runs as soon as one of its inputs is there: to wait for the other would be to wait for good.
    assert _edges(nodes, "merge/read_1") == ["n"]


def test_whether_a_variable_is_initialized_is_asked_when_it_was():
    with graphs.tensorflow_1() as graph:
        n = _variable("n", [])
        with tf.control_dependencies([tf.no_op(name="gate")]):
            raw.IsVariableInitialized(ref=n, name="asked")
        written = raw.Assign(ref=n, value=1.0, name="write")
        raw.IsVariableInitialized(ref=written, name="asked_after")
    nodes, made = _converted(graph)
    assert nodes["asked"].op == "VarIsInitializedOp"
    assert _edges(nodes, "asked") == ["n", "^gate"]
    assert _edges(nodes, "asked_after") == ["n", "^write"]
    assert bool(graphs.run(made, "asked_after:0"))


def test_a_write_through_what_a_write_gives_waits_for_it():
    with graphs.tensorflow_1() as graph:
        n = _variable("n", [])
        first = raw.AssignAdd(ref=n, value=1.0, name="first")
        three = tf.constant(3.0, name="three")
        with tf.control_dependencies([tf.no_op(name="gate")]):
            second = raw.AssignSub(ref=first, value=three, name="second")
        tf.identity(second, name="y")
        raw.Mul(x=second, y=2.0, name="twice")
    nodes, made = _converted(graph)
    assert nodes["first"].op == "AssignAddVariableOp" and nodes["second"].op == "AssignSubVariableOp"
    assert _edges(nodes, "second") == ["n", "three", "^gate", "^first"]
    assert _edges(nodes, "y") == ["n", "^second"]
    assert _edges(nodes, "twice/read_0") == ["n", "^twice/y", "^second"]
    assert graphs.run(made, ["y:0", "twice:0"], values={"n": 5.0}) == [3.0, 6.0]


def test_a_value_that_is_a_variable_is_read_by_the_write():
    with graphs.tensorflow_1() as graph:
        n, w = _variable("n", []), _variable("w", [])
        with tf.control_dependencies([tf.no_op(name="gate")]):
            raw.Assign(ref=n, value=w, name="write")
        raw.AssignAdd(ref=n, value=raw.Assign(ref=w, value=7.0, name="other"), name="add")
    nodes, _ = _converted(graph)
    assert _edges(nodes, "write") == ["n", "write/read_1", "^gate"]
    assert _edges(nodes, "write/read_1") == ["w", "^gate"]
    assert _edges(nodes, "add") == ["n", "add/read_1"]
    assert _edges(nodes, "add/read_1") == ["w", "^other"]
    assert [node.op for node in nodes.values()].count("ReadVariableOp") == 2


def test_a_node_reads_a_variable_once_and_different_variables_apart():
    with graphs.tensorflow_1() as graph:
        w, v = _variable("w", []), _variable("v", [])
        raw.AddN(inputs=[w, v, w], name="sum")
        tf.no_op(name="sum/read_1")
    nodes, made = _converted(graph)
    assert _edges(nodes, "sum") == ["sum/read_0", "sum/read_1_1", "sum/read_0"]
    assert len(nodes) == len(made.node)
    assert graphs.run(made, "sum:0", values={"w": 1.0, "v": 10.0}) == 12.0


def test_a_reference_is_handed_on_as_a_resource():
    with graphs.tensorflow_1() as graph:
        n, pred = _variable("n", []), v1.placeholder(tf.bool, [], name="pred")
        with tf.control_dependencies([tf.no_op(name="gate")]):
            alias = raw.RefIdentity(input=n, name="alias")
        no, yes = raw.RefSwitch(data=alias, pred=pred, name="switch")
        added = raw.AssignAdd(ref=yes, value=1.0, name="add")
        merged, _ = raw.RefMerge(inputs=[no, added], name="merge")
        tf.identity(merged, name="y")
    nodes, made = _converted(graph)
    assert [nodes[name].op for name in ("alias", "switch", "merge")] == ["Identity", "Switch", "Merge"]
    assert {nodes[name].attr["T"].type for name in ("alias", "switch")} == {tf.resource.as_datatype_enum}
    assert _edges(nodes, "alias") == ["n", "^gate"] and _edges(nodes, "add")[0] == "switch:1"
    assert _edges(nodes, "switch") == ["n", "pred", "^alias"]


def test_what_takes_the_reference_of_a_condition_takes_the_handle_before_it_and_waits_for_its_end():
    with graphs.tensorflow_1() as graph:
        n, pred = _variable("n", []), v1.placeholder(tf.bool, [], name="pred")
        no, yes = raw.RefSwitch(data=n, pred=pred, name="switch")
        added = raw.AssignAdd(ref=yes, value=1.0, name="add")
        merged, _ = raw.RefMerge(inputs=[no, added], name="merge")
        raw.AssignSub(ref=merged, value=1.0, name="sub")
        tf.identity(merged, name="y")
    nodes, _ = _converted(graph)
    # The Merge waits for the write of its own branch, by a constant that is in that branch.
    assert nodes["merge"].attr["T"].type == tf.bool.as_datatype_enum
    [done_0, done_1] = [nodes[name] for name in _edges(nodes, "merge")]
    assert done_0.op == done_1.op == "Const"
    [branch_0, branch_1] = [nodes[done.input[0][1:]] for done in (done_0, done_1)]
    assert list(branch_0.input) == ["switch"] and list(branch_1.input) == ["switch:1", "^add"]
    assert _edges(nodes, "sub") == ["n", "sub/value", "^merge"] and _edges(nodes, "y") == ["n", "^merge"]


def test_a_reference_of_one_of_two_variables_stays_a_choice():
    with graphs.tensorflow_1() as graph:
        n, m, pred = _variable("n", []), _variable("m", []), v1.placeholder(tf.bool, [], name="pred")
        no, yes = raw.RefSwitch(data=n, pred=pred)[0], raw.RefSwitch(data=m, pred=pred)[1]
        merged, _ = raw.RefMerge(inputs=[no, raw.AssignAdd(ref=yes, value=1.0, name="add")], name="merge")
        tf.identity(merged, name="y")
    nodes, _ = _converted(graph)
    assert nodes["merge"].attr["T"].type == tf.resource.as_datatype_enum
    assert _edges(nodes, _edges(nodes, "merge")[1])[1:] == ["^add"] and _edges(nodes, "y") == ["merge"]


@pytest.mark.parametrize("view", ["identity", "reshape", "expand", "switch"])
def test_a_view_read_after_a_write_sees_it(view):
    with graphs.tensorflow_1() as graph:
        n, pred = _variable("n", [2]), v1.placeholder(tf.bool, [], name="pred")
        shared = {
            "identity": lambda: tf.stop_gradient(tf.identity(n)),
            "reshape": lambda: tf.reshape(n, [2, 1]),
            "expand": lambda: tf.squeeze(tf.expand_dims(n, 0), 0),
            "switch": lambda: raw.Switch(data=tf.identity(n), pred=pred)[1],
        }[view]()
        with tf.control_dependencies([shared]):
            write = raw.AssignAdd(ref=n, value=[1.0, 1.0], name="write")
        with tf.control_dependencies([write]):
            tf.multiply(shared, 2.0, name="y")
    _, made = _converted(graph)
    answer = graphs.run(made, "y:0", feeds={"pred:0": True}, values={"n": [1.0, 2.0]})
    np.testing.assert_array_equal(np.ravel(answer), [4.0, 6.0])


def test_attributes_of_a_write_stay():
    with graphs.tensorflow_1() as graph:
        w, c = _variable("w", [4]), _variable("c", [], tf.int32)
        raw.ScatterAdd(ref=w, indices=tf.constant([1], tf.int64), updates=[2.0], use_locking=True, name="scatter")
        raw.CountUpTo(ref=c, limit=9, name="count")
        raw.StridedSliceAssign(ref=w, begin=[1], end=[3], strides=[1], value=[5.0, 6.0], begin_mask=1, name="slice")
        raw.ApplyMomentum(
            var=w, accum=_variable("m", [4]), lr=0.1, grad=[1.0] * 4, momentum=0.9, use_nesterov=True,
            name="momentum",
        )  # fmt: skip
        raw.Assign(ref=w, value=[0.0] * 4, validate_shape=False, name="assign")
    nodes, _ = _converted(graph)
    scatter, momentum = nodes["scatter"], nodes["momentum"]
    assert scatter.attr["dtype"].type == 1 and scatter.attr["Tindices"].type == tf.int64.as_datatype_enum
    assert nodes["count"].op == "ResourceCountUpTo" and nodes["count"].attr["limit"].i == 9
    assert nodes["slice"].op == "ResourceStridedSliceAssign" and nodes["slice"].attr["begin_mask"].i == 1
    assert momentum.op == "ResourceApplyMomentum" and momentum.attr["use_nesterov"].b
    assert _edges(nodes, "momentum")[:2] == ["w", "m"]
    assert nodes["assign"].attr["dtype"].type == 1 and not nodes["assign"].attr["validate_shape"].b
    for node in nodes.values():
        known = {one.name for one in graph_module.op_def(node.op).attr}
        assert {key for key in node.attr if not key.startswith("_")} <= known, node.name


def test_every_write_has_a_twin_that_takes_a_resource_in_the_same_place():
    for op, twin in {**ops.WRITE_TWINS}.items():
        old, new = graph_module.op_def(op), graph_module.op_def(twin)
        assert len(old.input_arg) == len(new.input_arg), op
        for before, after in zip(old.input_arg, new.input_arg, strict=True):
            assert before.is_ref == (after.type == tf.resource.as_datatype_enum), (op, before.name)
            if not before.is_ref:
                assert before.type_attr.lower().replace("dtype", "t") == after.type_attr.lower().replace("dtype", "t")


@pytest.mark.parametrize("kind", ["Update", "Add", "Sub", "Mul", "Div", "Min", "Max"])
def test_a_scatter_answers_what_it_did(kind):
    with graphs.tensorflow_1() as graph:
        w = _variable("w", [3])
        tf.identity(getattr(raw, f"Scatter{kind}")(ref=w, indices=[0, 2], updates=[2.0, 4.0]), name="y")
    _, made = _converted(graph)
    values = {"w": [6.0, 7.0, 8.0]}
    want = graphs.run(graph.as_graph_def(), "y:0", values=values)
    np.testing.assert_array_equal(graphs.run(made, "y:0", values=values), want)


def test_a_handle_has_the_name_dtype_and_shape_of_its_variable():
    with graphs.tensorflow_1() as graph:
        _variable("scope/w", [2, 3], tf.float64)
        raw.Variable(shape=[4], dtype=tf.int64, name="old", shared_name="elsewhere", container="c")
    nodes, _ = _converted(graph)
    for name, dtype, shape in (("scope/w", tf.float64, [2, 3]), ("old", tf.int64, [4])):
        node = nodes[name]
        assert node.op == "VarHandleOp" and node.attr["dtype"].type == dtype.as_datatype_enum
        assert [dim.size for dim in node.attr["shape"].shape.dim] == shape
        assert node.attr["shared_name"].s.decode() == name and node.attr["container"].s == b""


def test_reads_have_the_dtype_without_the_reference():
    with graphs.tensorflow_1() as graph:
        w = _variable("w", [], tf.float64)
        raw.Exp(x=w, name="y")
        tf.identity(w, name="read")
    nodes, _ = _converted(graph)
    assert {nodes[name].attr["dtype"].type for name in ("read", "y/read_0")} == {tf.float64.as_datatype_enum}


def test_a_function_that_is_called_as_an_op_reads_a_variable():
    with graphs.tensorflow_1() as graph:
        tf.identity(_variable("w", []), name="w/read")
    graph_def = graph.as_graph_def()
    function = graph_def.library.function.add()
    function.signature.name = "Twice"
    function.signature.input_arg.add(name="x", type=tf.float32.as_datatype_enum)
    function.signature.output_arg.add(name="y", type=tf.float32.as_datatype_enum)
    function.node_def.add(name="sum", op="AddV2", input=["x", "x"]).attr["T"].type = tf.float32.as_datatype_enum
    function.ret["y"] = "sum:z:0"
    graph_def.node.add(name="y", op="Twice", input=["w"])
    made = variables.to_resources(graph_def).graph_def
    nodes = {node.name: node for node in made.node}
    assert _edges(nodes, "y") == ["y/read_0"] and nodes["y/read_0"].attr["dtype"].type == 1
    assert graphs.run(made, "y:0", values={"w": 4.0}) == 8.0


def test_an_identity_of_a_variable_that_is_only_read_stays_between():
    with graphs.tensorflow_1() as graph:
        w = _variable("w", [])
        tf.exp(tf.identity(w, name="w/read"), name="y")
    nodes, _ = _converted(graph)
    assert _edges(nodes, "y") == ["w/read"] and nodes["w/read"].op == "ReadVariableOp"


def test_all_ops_without_a_twin_are_named():
    with graphs.tensorflow_1() as graph:
        w = _variable("w", [2])
        for name in ("first", "second"):
            raw.RefSelect(index=0, inputs=[w, w], name=name + "_selected")
        raw.ScatterNdUpdate(ref=w, indices=[[0]], updates=[1.0], name="fine")
    with pytest.raises(
        ExportError, match="(?s)^2 ops .*'first_selected' .RefSelect.*'second_selected' .RefSelect"
    ) as caught:
        variables.to_resources(graph.as_graph_def())
    assert "--input=" in str(caught.value) and "fine" not in str(caught.value)


def test_the_graph_that_came_in_is_as_it_was():
    with graphs.tensorflow_1() as graph:
        raw.AssignAdd(ref=_variable("n", []), value=1.0, name="write")
    before = graph.as_graph_def()
    given = graph.as_graph_def()
    variables.to_resources(given)
    assert given == before
