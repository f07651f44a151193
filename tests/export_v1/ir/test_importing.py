"""What is imported is what was looked at, at one place in the whole project."""

import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

import export_v1
from export_v1.ir import importing, library, safety
from tests.support.graphs import nested, v1

ROOT = pathlib.Path(__file__).parents[3]


def test_graphs_are_imported_at_one_place():
    imports = re.compile(
        r"\b(import_graph_def|import_meta_graph|saved_model\.load|load_saved_model|function_def_to_graph)\("
    )
    found = {
        str(file.relative_to(ROOT))
        for package in ("export_v1", "load_v2")
        for file in (ROOT / package).rglob("*.py")
        if imports.search(file.read_text())
    }
    # `verify` asks TensorFlow's own loader, after it has looked at all that this runs.
    assert found == {"export_v1/ir/importing.py", "load_v2/replay.py"}


FUNCTIONS = """
    node { name: "x" op: "Placeholder" attr { key: "dtype" value { type: DT_FLOAT } } }
    node { name: "y" op: "PartitionedCall" input: "x"
      attr { key: "f" value { func { name: "used" } } } attr { key: "config_proto" value { s: "\\n\\003evil" } }
      attr { key: "executor_type" value { s: "OTHER" } } attr { key: "_XlaMustCompile" value { b: true } }
      attr { key: "_class" value { list { s: "loc:@x" } } }
      attr { key: "Tin" value { list { type: DT_FLOAT } } } attr { key: "Tout" value { list { type: DT_FLOAT } } } }
    library {
      function {
        signature { name: "used" input_arg { name: "a" type: DT_FLOAT } output_arg { name: "b" type: DT_FLOAT } }
        attr { key: "api_implements" value { s: "same" } } attr { key: "_noinline" value { b: true } }
        node_def { name: "n" op: "Neg" input: "a" attr { key: "T" value { type: DT_FLOAT } }
          attr { key: "_kernel" value { s: "other" } } }
        ret { key: "b" value: "n:y:0" }
      }
      function { signature { name: "unused" } node_def { name: "w" op: "WriteFile" } }
      function { signature { name: "gradient" } }
      gradient { function_name: "unused" gradient_func: "gradient" }
    }
"""


def _functions() -> v1.GraphDef:
    return text_format.Parse(FUNCTIONS, v1.GraphDef())


def test_what_nothing_calls_and_what_changes_what_runs_is_left_out():
    given = _functions()
    plain = importing.as_written(given)
    assert [function.signature.name for function in plain.library.function] == ["used"]
    assert not plain.library.gradient
    assert set(plain.library.function[0].attr) == {"_noinline"}
    assert set(plain.library.function[0].node_def[0].attr) == {"T"}
    call = plain.node[1]
    assert set(call.attr) == {"f", "config_proto", "executor_type", "_class", "Tin", "Tout"}
    assert call.attr["config_proto"].s == call.attr["executor_type"].s == b""
    assert given == _functions()


def test_a_gradient_is_a_call():
    given = _functions()
    given.library.gradient[0].function_name = "used"
    assert library.reachable(given) == {"used", "gradient"}


def test_an_import_goes_by_the_policy_at_hand():
    graph_def = v1.GraphDef()
    text_format.Parse('node { name: "w" op: "MatchingFiles" input: "p" } node { name: "p" op: "Placeholder" attr { key: '
                      '"dtype" value { type: DT_STRING } } }', graph_def)  # fmt: skip
    let_in = safety.Policy(frozenset({"MatchingFiles"}))
    with tf.Graph().as_default():
        with pytest.raises(export_v1.ExportError, match="MatchingFiles"):
            importing.graph_def(graph_def)
        with safety.applied(let_in):
            importing.graph_def(graph_def, name="context")
            with pytest.raises(export_v1.ExportError, match="MatchingFiles"):
                importing.graph_def(graph_def, policy=safety.Policy())
        with pytest.raises(export_v1.ExportError, match="MatchingFiles"):
            importing.graph_def(graph_def)
        importing.graph_def(graph_def, policy=let_in, name="given")


def test_a_meta_graph_goes_the_same_way():
    with tf.Graph().as_default() as graph:
        v1.placeholder(tf.float32, name="x")
        meta = v1.train.export_meta_graph(graph=graph)
    meta.graph_def.node.add(name="w", op="MatchingFiles", input=["x"])
    with tf.Graph().as_default() as graph, pytest.raises(export_v1.ExportError, match="MatchingFiles"):
        importing.meta_graph(meta)
    assert not graph.get_operations()


def test_functions_that_become_a_large_graph_are_refused_with_its_size():
    library.check_size(nested(10))
    # Neg, counted with the calls: 2 + 4 + … + 2**26.
    with pytest.raises(export_v1.ExportError, match=r"54 nodes become 134,217,7\d\d; at most 50,000"):
        library.check_size(nested(26))
    with pytest.raises(export_v1.ExportError, match="more than 10\\^15"):
        library.check_size(nested(50, calls=3))
    library.check_size(nested(50, calls=1))
    with pytest.raises(export_v1.ExportError, match="51 deep, from .* at most 50 are taken"):
        library.check_size(nested(51, calls=1))
    with pytest.raises(export_v1.ExportError, match="5,000 deep"):
        library.check_size(nested(5000))
    branches = nested(26)
    for function in branches.library.function[:-1]:
        for node in function.node_def:
            # A branch of a condition counts as a call does: TensorFlow inlines both.
            node.attr["then_branch"].func.name, node.op = node.op, "If"
    with pytest.raises(export_v1.ExportError, match="134,217,7"):
        library.check_size(branches)
    with tf.Graph().as_default(), pytest.raises(export_v1.ExportError, match="134,217,7"):
        importing.graph_def(nested(26))


def test_a_constant_that_functions_make_thousands_of_is_refused_with_its_size():
    given = nested(10)
    for function in given.library.function:
        constant = function.node_def.add(name="c", op="Const")
        constant.attr["value"].tensor.tensor_content = bytes(10**6 if function.signature.name == "f9" else 1)
    # The last is called 512 times.
    with pytest.raises(
        export_v1.ExportError, match=r"its 1,00\d,\d\d\d bytes become 512,\d\d\d,\d\d\d; at most 268,435,456"
    ):
        library.check_size(given)


def test_functions_that_call_one_another_without_end_are_refused():
    given = nested(3)
    given.library.function[2].node_def[0].op = "f0"
    with pytest.raises(export_v1.ExportError, match="without end"):
        library.check_size(given)


def test_a_small_graph_of_functions_answers():
    with tf.Graph().as_default() as graph, v1.Session() as session:
        importing.graph_def(nested(3))
        assert session.run("y:0", {graph.get_tensor_by_name("x:0"): np.float32(2)}) == 2


def test_what_tensorflow_refuses_within_a_function_is_an_error_of_the_same_class_as_in_the_graph():
    given = nested(1)
    # In a graph a missing attribute is a ValueError; of a function TensorFlow says NotFoundError.
    del given.library.function[0].node_def[0].attr["T"]
    with tf.Graph().as_default(), pytest.raises(ValueError, match="T"):
        importing.graph_def(given)
