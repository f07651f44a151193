"""Whether the functions of a graph hold together, and what has an order."""

import pytest
from tensorflow.core.framework import function_pb2, node_def_pb2, op_def_pb2

from export_v1.ir import library as functions
from export_v1.ir import ordering


def _library(**bodies: list[tuple]) -> function_pb2.FunctionDefLibrary:
    """Returns functions of an argument `x` with the nodes (name, op, inputs), each of which returns its last node."""
    library = function_pb2.FunctionDefLibrary()
    for name, nodes in bodies.items():
        function = library.function.add()
        function.signature.name = name
        function.signature.input_arg.add(name="x", type=1)
        function.signature.output_arg.add(name="out", type=1)
        for node, op, *inputs in nodes:
            function.node_def.add(name=node, op=op, input=inputs)
        function.ret["out"] = f"{nodes[-1][0]}:y:0"
    return library


GOOD = [("a", "Exp", "x"), ("b", "Exp", "a:y:0", "^a"), ("c", "Exp", "b:y")]


def test_what_holds_together():
    assert functions.problems(_library(f=GOOD, g=[("call", "f", "x"), ("out", "Exp", "call:out:0")])) == []
    assert functions.problems(_library(f=[("a", "OpOfALibrary", "x"), ("b", "Exp", "a:anything:0")])) == []


@pytest.mark.parametrize(
    ("nodes", "fault"),
    [
        ([("a", "Exp", "x"), ("a", "Exp", "x")], "two nodes of one name"),
        ([("a", "Exp", "gone")], "'a' that reads 'gone'"),
        ([("a", "Exp", "x", "^gone")], "'a' that reads '^gone'"),
        ([("b", "Exp", "x"), ("a", "Exp", "b:z:0")], "'a' that reads 'b:z:0'"),
        ([("a", "Exp", "b:y:0"), ("b", "Exp", "a:y:0")], "depend on themselves"),
        ([("a", "Exp", "x", "^a")], "depend on themselves"),
    ],
)
def test_a_body_that_does_not(nodes, fault):
    (found,) = functions.problems(_library(f=GOOD, bad=nodes))
    assert "'bad'" in found and fault in found


@pytest.mark.parametrize(
    ("arg", "fault"),
    [
        ({"type": 1, "number_attr": "N"}, "'out' of several tensors"),
        ({"type_list_attr": "T"}, "'out' of several tensors"),
        ({"type_attr": "T"}, "'out' of no type"),
        ({}, "'out' of no type"),
    ],
)
@pytest.mark.parametrize("side", ["input_arg", "output_arg"])
def test_an_argument_is_one_tensor_of_a_type(side, arg, fault):
    """TensorFlow 2.21 ends the process where a result is of `N` tensors, and nobody says how many these are."""
    library = _library(f=GOOD)
    (given,) = getattr(library.function[0].signature, side)
    given.Clear()
    given.MergeFrom(op_def_pb2.OpDef.ArgDef(name="out", **arg))
    found = functions.problems(library)
    assert any("'f'" in one and fault in one for one in found)


def test_a_type_that_the_caller_gives_is_one():
    library = _library(f=GOOD)
    signature = library.function[0].signature
    signature.attr.add(name="T", type="type")
    signature.output_arg[0].ClearField("type")
    signature.output_arg[0].type_attr = "T"
    assert functions.problems(library) == []


def test_what_a_function_waits_for_is_there():
    library = _library(f=GOOD)
    library.function[0].control_ret["done"] = "a"
    assert functions.problems(library) == []
    library.function[0].control_ret["done"] = "gone"
    assert "waits for a node 'gone'" in functions.problems(library)[0]


def test_a_loop_has_a_way_back():
    nodes = [("m", "Merge", "x", "n:output:0"), ("n", "NextIteration", "m:output:0"), ("y", "Exp", "m:output:0")]
    assert functions.problems(_library(f=nodes)) == []


@pytest.mark.parametrize("returned", [None, "gone:y:0", "c:z:0"])
def test_what_is_returned_has_to_be_made(returned):
    library = _library(f=GOOD)
    library.function[0].ret.pop("out")
    if returned:
        library.function[0].ret["out"] = returned
    (found,) = functions.problems(library)
    assert "'f'" in found and "returns 'out'" in found


def test_names_are_given_once():
    library = _library(f=GOOD)
    library.function.add().CopyFrom(library.function[0])
    assert functions.problems(library) == ["two functions have the name 'f'"]
    assert functions.problems(_library(**{"": GOOD}))


def _ring(field: str) -> function_pb2.FunctionDefLibrary:
    library = _library(f=[("a", "Exp", "x")], g=[("a", "Exp", "x")], h=[("a", "Exp", "x")])
    for function, callee in zip(library.function, ("g", "f", "h"), strict=True):
        if callee == "h":
            break
        node = function.node_def[0]
        if field == "op":
            node.op = callee
            function.ret["out"] = "a"
        elif field == "list":
            node.attr["branches"].list.func.add(name=callee)
        else:
            node.attr["f"].func.name = callee
    return library


@pytest.mark.parametrize("field", ["op", "func", "list"])
def test_functions_that_call_each_other_are_named(field):
    found = functions.problems(_ring(field))
    assert found == ["function 'f' calls itself", "function 'g' calls itself"]


def test_a_gradient_is_a_call():
    library = _library(f=[("a", "Exp", "x")], g=[("a", "Exp", "x")])
    library.gradient.add(function_name="f", gradient_func="g")
    assert functions.problems(library) == []
    library.function[1].node_def[0].attr["f"].func.name = "f"
    assert functions.problems(library) == ["function 'f' calls itself", "function 'g' calls itself"]


def test_a_node_calls_by_its_op_and_its_attributes():
    node = node_def_pb2.NodeDef(op="Case")
    node.attr["one"].func.name = "f"
    node.attr["branches"].list.func.add(name="g")
    node.attr["T"].type = 1
    assert functions.called_by(node) == {"Case", "f", "g"}


@pytest.mark.parametrize(
    ("needed", "left"),
    [
        ({}, []),
        ({"a": ["b", "c"], "b": ["c"], "c": []}, []),
        ({"a": ["b", "b"], "b": []}, []),
        ({"a": ["a"]}, ["a"]),
        ({"a": ["b"], "b": ["c"], "c": ["b"], "d": []}, ["a", "b", "c"]),
    ],
)
def test_what_cannot_be_put_in_order(needed, left):
    assert ordering.unordered(needed) == left
