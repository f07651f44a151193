"""What a graph that does not hold together is told, fault by fault."""

import pytest
import tensorflow as tf

from export_v1.errors import ExportError
from export_v1.ir import wellformed
from export_v1.ir.graph import GraphDef
from tests.support import graphs
from tests.support.graphs import v1

FLOAT = tf.float32.as_datatype_enum


def _graph() -> GraphDef:
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [2, 2], name="x")
        w = tf.constant([[1.0, 2.0], [3.0, 4.0]], name="w")
        with tf.control_dependencies([tf.no_op(name="init")]):
            tf.raw_ops.MatMul(a=x, b=w, name="y")
        tf.raw_ops.AddN(inputs=[x, w], name="sum")
        tf.raw_ops.Unpack(value=x, num=2, name="rows")
        tf.constant(1, name="one")
        tf.constant(["a", "b"], name="words")
    return graph.as_graph_def()


def _problems(change) -> list[str]:
    graph_def = _graph()
    change(graph_def, {node.name: node for node in graph_def.node})
    return wellformed.problems(graph_def)


def _tensor(name, **fields):
    def change(graph_def, nodes):
        proto = nodes[name].attr["value"].tensor
        for key, value in fields.items():
            if key == "dims":
                del proto.tensor_shape.dim[:]
                for size in value:
                    proto.tensor_shape.dim.add(size=size)
            else:
                setattr(proto, key, value)

    return change


def _set(name, key, **fields):
    def change(graph_def, nodes):
        for field, value in fields.items():
            setattr(nodes[name].attr[key], field, value)

    return change


def _input(name, at, edge):
    def change(graph_def, nodes):
        nodes[name].input[at] = edge

    return change


def _add(**fields):
    return lambda graph_def, nodes: graph_def.node.add(**fields)


def _dims(name, *sizes):
    def change(graph_def, nodes):
        shape = nodes[name].attr["shape"].shape
        del shape.dim[:]
        for size in sizes:
            shape.dim.add(size=size)

    return change


FAULTS = [
    (_add(name="x", op="NoOp"), "2 nodes have the name 'x'"),
    (_add(op="NoOp"), "1 nodes have the name ''"),
    (lambda graph_def, nodes: nodes["y"].attr.pop("T"), "'y' ('MatMul') has no attribute 'T'"),
    (_set("y", "transpose_a", i=1), "attribute 'transpose_a' that is no bool"),
    (_set("y", "T", type=tf.string.as_datatype_enum), "attribute 'T' of type string, which the op does not take"),
    (_set("sum", "N", i=0), "attribute 'N' that is less than 1"),
    (_set("rows", "num", i=-1), "attribute 'num' that is less than 0"),
    (_set("rows", "num", i=100_001), "attribute 'num' of 100001"),
    (_set("x", "extra", type=999), "attribute 'extra' of a type that there is not: 999"),
    (_dims("x", -2), "attribute 'shape' with an impossible shape"),
    (_dims("x", *[1] * 255), "attribute 'shape' with an impossible shape"),
    (_dims("x", 2**28, 2**28), "attribute 'shape' with an impossible shape"),
    (_tensor("w", dims=[2, -1]), "a tensor of no definite shape"),
    (_tensor("w", dims=[1] * 255), "a tensor of no definite shape"),
    (lambda graph_def, nodes: setattr(nodes["w"].attr["value"].tensor.tensor_shape, "unknown_rank", True),
     "a tensor of no definite shape"),
    (_tensor("w", dtype=999), "a tensor of type number 999"),
    (_tensor("w", dtype=0), "a tensor of type number 0"),
    (_tensor("w", dtype=101), "a tensor of type number 101"),
    (_tensor("w", dims=[2**30]), "a tensor of 4,294,967,296 bytes"),
    (_tensor("words", tensor_content=b"ab"), "strings as plain bytes"),
    (_tensor("w", tensor_content=b"0" * 15), "15 bytes for a tensor of 16"),
    (lambda graph_def, nodes: nodes["one"].attr["value"].tensor.int_val.extend([1, 2]), "3 values for a tensor of 1"),
    (_input("y", 0, "z"), "'y' (MatMul) reads 'z', and there is no such node"),
    (_input("y", 2, "^gone"), "reads '^gone', and there is no such node"),
    (lambda graph_def, nodes: nodes["y"].input.append("w"), "reads 'w' after a control edge"),
    (lambda graph_def, nodes: nodes["y"].input.pop(0), "has 1 inputs, its op takes 2"),
    (lambda graph_def, nodes: nodes["init"].input.append("x"), "has 1 inputs, its op takes 0"),
    (_input("y", 0, "x:1"), "reads 'x:1', and that node has 1 outputs"),
    (_input("y", 0, "rows:2"), "reads 'rows:2', and that node has 2 outputs"),
    (_input("y", 0, "one"), "reads 'one:0' of type int32, where its op takes float32"),
    (_input("y", 0, "y"), "depend on themselves: 'y'"),
    (_input("y", 2, "^y"), "depend on themselves: 'y'"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "fault"), FAULTS, ids=[fault[:40] for _, fault in FAULTS])
def test_a_fault_is_told(change, fault):
    found = _problems(change)
    assert found and fault in found[0]


def _complex(graph_def, nodes):
    node = graph_def.node.add(name="c", op="Const")
    node.attr["dtype"].type = tf.complex64.as_datatype_enum
    node.attr["value"].tensor.dtype = tf.complex64.as_datatype_enum
    node.attr["value"].tensor.scomplex_val.extend([1.0, 2.0])


def _reads_unknown(graph_def, nodes):
    graph_def.node.add(name="known", op="Exp", input=["custom_input:3"]).attr["T"].type = FLOAT


def _loop(graph_def, nodes):
    for name, op, inputs in (("merge", "Merge", ["x", "next"]), ("next", "NextIteration", ["merge"])):
        node = graph_def.node.add(name=name, op=op, input=inputs)
        node.attr["T"].type = FLOAT
        if op == "Merge":
            node.attr["N"].i = 2


@pytest.mark.parametrize(
    "change",
    [
        lambda graph_def, nodes: None,
        lambda graph_def, nodes: nodes["y"].attr.pop("transpose_a"),
        _set("y", "transpose_a", placeholder="transpose"),
        _set("y", "_mark", type=999),
        _dims("x", -1, 0, 2**40),
        _dims("x", *[1] * 254),
        _tensor("w", dims=[2, 2]),
        _add(name="custom", op="OpOfALibrary", input=["x:7", "custom_input"]),
        _input("sum", 0, "rows:1"),
        _complex,
        _reads_unknown,
        _loop,
    ],
    ids=["nothing", "a default", "a caller's value", "a private mark", "large", "many axes", "the same", "an unknown op",
         "a second output", "complex", "of an unknown op", "a loop"],
)  # fmt: skip
def test_what_is_no_fault(change):
    def with_more(graph_def, nodes):
        graph_def.node.add(name="custom_input", op="AnotherOpOfALibrary")
        change(graph_def, nodes)

    assert _problems(with_more) == []


def test_a_reference_may_be_read_as_a_value():
    with graphs.tensorflow_1() as graph:
        tf.raw_ops.Exp(x=v1.get_variable("n", [])._ref(), name="y")
    assert wellformed.problems(graph.as_graph_def()) == []


def test_a_call_has_as_many_inputs_as_its_function_takes():
    graph_def = _graph()
    function = graph_def.library.function.add()
    function.signature.name = "Twice"
    function.signature.input_arg.add(name="x", type=FLOAT)
    graph_def.node.add(name="call", op="Twice", input=["x"])
    assert wellformed.problems(graph_def) == []
    graph_def.node[-1].input.append("x")
    (found,) = wellformed.problems(graph_def)
    assert "'call'" in found and "has 2 inputs, its op takes 1" in found


def test_faults_of_functions_are_faults_of_the_graph():
    graph_def = _graph()
    for _ in range(2):
        graph_def.library.function.add().signature.name = "f"
    assert any("'f'" in one for one in wellformed.problems(graph_def))


def test_every_fault_is_found_and_a_few_are_shown():
    graph_def = _graph()
    for at in range(5):
        graph_def.node.add(name=f"bad{at}", op="MatMul")
    found = wellformed.problems(graph_def)
    assert len(found) == 5
    with pytest.raises(ExportError, match="(?s)^Part 7 .*'bad0'.*'bad1'.*'bad2'.*and 2 more") as caught:
        wellformed.check(graph_def, "Part 7")
    assert "'bad3'" not in str(caught.value)
    assert "more" not in str(wellformed.fault(found[:3], "It"))


def test_a_graph_that_holds_together_is_let_in():
    wellformed.check(_graph())


def test_names_without_end_are_cut():
    graph_def = _graph()
    graph_def.node.add(name="n" * 5000, op="MatMul")
    assert len(wellformed.problems(graph_def)[0]) < 300


def test_what_fails_on_a_graph_with_a_fault_is_put_down_to_it():
    bad = _graph()
    bad.node.add(name="bad", op="MatMul")
    with pytest.raises(ExportError, match="(?s)^The model.*'bad'") as caught:
        with wellformed.blamed(lambda: [_graph(), bad], "The model"):
            raise KeyError("a walk tripped")
    assert isinstance(caught.value.__cause__, KeyError)


def test_what_fails_on_a_good_graph_is_raised_as_it_is():
    with pytest.raises(KeyError, match="a walk tripped"), wellformed.blamed(lambda: [_graph()], "The model"):
        raise KeyError("a walk tripped")


def test_an_error_that_says_what_is_wrong_is_not_replaced():
    bad = _graph()
    bad.node.add(name="bad", op="MatMul")
    with pytest.raises(ExportError, match="^said already$"), wellformed.blamed(lambda: [bad], "The model"):
        raise ExportError("said already")


def test_nobody_looks_where_nothing_failed():
    with wellformed.blamed(lambda: pytest.fail("looked"), "The model"):
        pass


@pytest.mark.parametrize("key", ["key_index", "value_index", "vocab_size", "offset"])
def test_a_table_from_a_file_asks_for_no_column_and_no_line_that_its_kernel_cannot_count(key):
    graph_def = v1.GraphDef()
    graph_def.node.add(name="t", op="HashTableV2").attr["key_dtype"].type = 7
    graph_def.node[0].attr["value_dtype"].type = 9
    graph_def.node.add(name="file", op="Placeholder").attr["dtype"].type = 7
    fill = graph_def.node.add(name="fill", op="InitializeTableFromTextFileV2", input=["t", "file"])
    fill.attr["key_index"].i, fill.attr["value_index"].i = -2, -1
    assert not wellformed.problems(graph_def)
    fill.attr[key].i = 2**31
    assert [f"{key!r} of 2,147,483,648" in problem for problem in wellformed.problems(graph_def)] == [True]
