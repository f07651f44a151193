"""What a graph could do is said and refused before anything of it runs."""

import os

import pytest
import tensorflow as tf

import export_v1
from export_v1 import safety
from load_v2 import safety as safety_of_step_2
from tests import graphs
from tests.graphs import v1


@pytest.fixture
def reads_a_file(tmp_path) -> dict[str, object]:
    """Returns flags for a model whose answer depends on a file's content."""
    with graphs.tensorflow_1():
        x = v1.placeholder(tf.float32, [None], name="x")
        w = v1.get_variable("w", [])
        length = tf.strings.length(tf.io.read_file(tf.constant(str(tmp_path / "secret"))))
        tf.add(x * w, tf.cast(length, tf.float32), name="y")
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            prefix = v1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    (tmp_path / "secret").write_text("12345")
    return {
        "checkpoint": prefix,
        "export_dir": str(tmp_path / "export"),
        "inputs": {"x": "x:0"},
        "outputs": {"y": "y:0"},
    }


def test_an_op_that_reads_files_is_refused_by_name(reads_a_file):
    with pytest.raises(export_v1.ExportError, match="(?s)ReadFile: 'ReadFile'.*--allow_ops=ReadFile"):
        export_v1.export(**reads_a_file)
    assert not os.path.exists(reads_a_file["export_dir"])


def test_it_is_let_in_by_name(reads_a_file):
    report = export_v1.export(**reads_a_file, allow_ops=["ReadFile"])
    assert report["sample"] is not None


def test_an_op_outside_what_the_outputs_need_is_no_matter(reads_a_file):
    assert export_v1.export(**{**reads_a_file, "outputs": {"y": "mul:0"}})


def test_both_steps_hold_to_the_same_lists():
    assert safety.STATEFUL == safety_of_step_2.STATEFUL
    assert safety.OUTSIDE == safety_of_step_2.OUTSIDE
    assert safety._FAMILIES == safety_of_step_2._FAMILIES


def test_ops_inside_functions_count():
    graph_def = tf.compat.v1.GraphDef()
    function = graph_def.library.function.add()
    function.signature.name = "inner"
    function.node_def.add(name="write", op="WriteFile")
    graph_def.node.add(name="call", op="inner")
    assert safety.refused(graph_def) == {"WriteFile": ["write"]}


@pytest.mark.parametrize(
    "op", ["PyFunc", "EagerPyFunc", "ReadFile", "SaveV2", "MatchingFiles", "PrintV2", "IteratorGetNext", "NoSuchOp"]
)
def test_what_reaches_outside_is_refused(op):
    graph_def = tf.compat.v1.GraphDef()
    graph_def.node.add(name="n", op=op)
    assert safety.refused(graph_def) == {op: ["n"]}


def test_the_listing_names_them_before_anything_is_exported(reads_a_file):
    from export_v1 import pipeline
    from export_v1.request import Request

    said = pipeline.listing(Request(checkpoint=reads_a_file["checkpoint"]))
    assert "ReadFile: 'ReadFile'" in said and "VariableV2:" not in said
