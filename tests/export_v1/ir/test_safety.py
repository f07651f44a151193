"""What a graph could do is said and refused before anything of it runs."""

import os

import numpy as np
import pytest
import tensorflow as tf

import export_v1
from export_v1.ir import graph, safety
from tests.support import graphs
from tests.support.graphs import v1


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


def test_ops_inside_functions_count():
    graph_def = tf.compat.v1.GraphDef()
    function = graph_def.library.function.add()
    function.signature.name = "inner"
    function.node_def.add(name="write", op="WriteFile")
    graph_def.node.add(name="call", op="inner")
    assert safety.refused(graph_def) == {"WriteFile": ["write"]}


def _alone(op: str) -> v1.GraphDef:
    graph_def = v1.GraphDef()
    graph_def.node.add(name="n", op=op)
    return graph_def


@pytest.mark.parametrize(
    "op", ["PyFuncStateless", "MergeV2Checkpoints", "ImmutableConst", "Copy", "FixedUnigramCandidateSampler", "ReadFile",
           "TPUReplicatedInput", "ImageSummary", "PyFunc", "WriteFile", "SaveV2", "PrintV2", "QueueDequeueV2", "MapDefun"]
)  # fmt: skip
def test_what_reaches_outside_is_refused(op):
    assert safety.refused(_alone(op)) == {op: ["n"]}


def test_what_is_registered_nowhere_is_refused():
    assert safety.refused(_alone("NoSuchOp")) == {"NoSuchOp": ["n"]}


def test_what_the_table_does_not_know_is_refused(monkeypatch):
    """An op of a newer TensorFlow, stateless and with a string among its attributes."""
    definition = v1.GraphDef().library.function.add().signature
    monkeypatch.setattr(graph, "registered", lambda op: definition)
    assert safety.refused(_alone("Newer")) == {}
    definition.attr.add(name="file", type="string")
    safety.is_telling.cache_clear()
    assert safety.refused(_alone("Newer")) == {"Newer": ["n"]}
    safety.is_telling.cache_clear()


def test_what_tensorflow_makes_for_itself_is_refused():
    assert safety.refused(_alone("_MklConv2D")) == {"_MklConv2D": ["n"]}


def test_a_function_does_not_hide_an_op_by_its_name():
    graph_def = _alone("WriteFile")
    graph_def.library.function.add().signature.name = "WriteFile"
    assert safety.refused(graph_def) == {"WriteFile": ["n"]}


@pytest.mark.parametrize(
    "op",
    [
        "MatMul",
        "VarHandleOp",
        "HashTableV2",
        "RandomUniform",
        "SampleDistortedBoundingBoxV2",
        "TensorArrayV3",
        "While",
        "Print",
        "CheckNumerics",
    ],
)
def test_what_computes_and_remembers_is_let_in(op):
    assert safety.refused(_alone(op)) == {}


def _fills_a_table(*inputs: str) -> v1.GraphDef:
    graph_def = v1.GraphDef()
    graph_def.node.add(name="fill", op="InitializeTableFromTextFileV2", input=inputs)
    return graph_def


def test_a_table_is_filled_from_the_exports_own_files_only():
    refused = {"InitializeTableFromTextFileV2": ["fill"]}
    assert safety.refused(_fills_a_table("table", "words"), ["words:0"]) == {}
    assert safety.refused(_fills_a_table("table", "words:0"), ["words:0"]) == {}
    assert safety.refused(_fills_a_table("table", "words"), ["other:0", "table:0"]) == refused
    assert safety.refused(_fills_a_table("table", "words")) == refused
    assert safety.refused(_fills_a_table("table"), ["words:0"]) == refused
    passed_on = _fills_a_table("table", "same")
    passed_on.node.add(name="same", op="Identity", input=["words"])
    assert safety.refused(passed_on, ["words:0"]) == {}
    passed_on.node[1].op = "StringLower"
    assert safety.refused(passed_on, ["words:0"]) == refused


def test_inside_a_function_no_name_is_a_file_of_the_exports_own():
    graph_def = v1.GraphDef()
    function = graph_def.library.function.add()
    function.node_def.add(name="fill", op="InitializeTableFromTextFileV2", input=["table", "words"])
    assert safety.refused(graph_def, ["words:0"]) == {"InitializeTableFromTextFileV2": ["fill"]}


def test_a_constant_is_a_file_of_the_models_own_by_what_it_holds():
    graph_def = _fills_a_table("table", "words")
    words = graph_def.node.add(name="words", op="Const")
    words.attr["value"].tensor.CopyFrom(tf.make_tensor_proto("/model/words.txt"))
    safety.Policy(own_paths={"/model/words.txt"}).check(graph_def)
    with pytest.raises(export_v1.ExportError, match="InitializeTableFromTextFileV2: 'fill'"):
        safety.Policy(own_paths={"/model/other.txt"}).check(graph_def)


def test_nothing_is_let_in_beside_what_was_named():
    graph_def = _alone("ReadFile")
    graph_def.node.add(name="w", op="WriteFile")
    safety.Policy(frozenset({"ReadFile", "WriteFile"})).check(graph_def)
    policy = safety.Policy(frozenset({"ReadFile"}), remedy=lambda ops: f"--allow_ops={','.join(ops)}")
    with pytest.raises(export_v1.ExportError, match="WriteFile: 'w'.*\n.*--allow_ops=ReadFile,WriteFile") as caught:
        policy.check(graph_def)
    assert "'n'" not in str(caught.value)


def test_a_listing_looks_at_what_the_outputs_need_alone():
    graph_def = v1.GraphDef()
    graph_def.node.add(name="x", op="ReadFile")
    graph_def.node.add(name="v", op="VariableV2")
    graph_def.node.add(name="words", op="Const")
    graph_def.node.add(name="fill", op="InitializeTableFromTextFileV2", input=["t", "words"])
    graph_def.node.add(name="y", op="AddV2", input=["x", "v", "^fill"])
    graph_def.node.add(name="elsewhere", op="WriteFile")
    assert safety.before(graph.Index(graph_def), ["y:0"], []) == {"ReadFile": ["x"]}
    assert safety.before(graph.Index(graph_def), ["y:0"], ["x:0"]) == {}
    assert safety.before(graph.Index(graph_def), ["elsewhere:0", "y:0"], ["y:0"]) == {"WriteFile": ["elsewhere"]}


def test_the_listing_names_them_before_anything_is_exported(reads_a_file):
    from export_v1 import pipeline
    from export_v1.request import Request

    said = pipeline.listing(Request(checkpoint=reads_a_file["checkpoint"]))
    assert "ReadFile: 'ReadFile'" in said and "VariableV2:" not in said


@pytest.fixture
def needs_two_ops(reads_a_file, tmp_path) -> str:
    """Returns an export that runs with two ops let in."""
    with graphs.tensorflow_1():
        x = v1.placeholder(tf.float32, [None], name="x")
        w = v1.get_variable("w", [])
        found = tf.raw_ops.MatchingFiles(pattern=str(tmp_path / "secret"))
        length = tf.strings.length(tf.io.read_file(found[0]))
        tf.add(x * w, tf.cast(length, tf.float32), name="y")
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            v1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    export_v1.export(**reads_a_file, allow_ops=["ReadFile", "MatchingFiles"])
    return reads_a_file["export_dir"]


@pytest.mark.parametrize("allowed", [["--allow_ops=ReadFile,MatchingFiles"],
                                     ["--allow_ops=ReadFile", "--allow_ops", "MatchingFiles"]])  # fmt: skip
def test_every_command_that_runs_a_graph_lets_ops_in_by_name(allowed, needs_two_ops, tmp_path, capsys):
    from load_v2 import __main__ as step_2

    np.savez(tmp_path / "in.npz", x=np.ones(3, "float32"))
    for at, command in enumerate(
        (
            ["verify", needs_two_ops],
            ["to_keras", needs_two_ops, f"--keras={tmp_path}/m.keras"],
            ["predict", needs_two_ops, f"--inputs={tmp_path}/in.npz", f"--outputs={tmp_path}/out.npz"],
        )
    ):
        assert step_2.main(step_2.parse(["load_v2", *command])) == 1, command
        assert "ReadFile" in capsys.readouterr().err
        assert step_2.main(step_2.parse(["load_v2", *command, *allowed])) == 0, (at, capsys.readouterr().err)


def test_verify_takes_the_names_from_python(needs_two_ops):
    import load_v2

    with pytest.raises(load_v2.LoadError, match="MatchingFiles"):
        load_v2.verify(needs_two_ops, allow_ops=["ReadFile"])
    assert load_v2.verify(needs_two_ops, allow_ops=("ReadFile", "MatchingFiles")).equal


@pytest.mark.parametrize("verbosity", [0, 1])
def test_a_defect_of_a_command_of_step_2_is_one_message(verbosity, tmp_path, run_program):
    code = f"""
import sys
sys.argv = ["-m", "show", {str(tmp_path)!r}, "--verbosity={verbosity}"]
from load_v2 import __main__
from load_v2.commands import show
def broken(args):
    raise ZeroDivisionError("not expected")
show.run = broken
__main__.run_main()
"""
    done = run_program(["-c", code])
    assert done.returncode == 1
    assert ("Traceback" in done.stderr) == bool(verbosity)
    if not verbosity:
        assert done.stderr.startswith("load_v2 show: ZeroDivisionError: not expected\n  This is a bug in load_v2")
        assert done.stderr.count("\n") == 2
