"""What cannot be proven is written all the same, and never called equal."""

import json
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import export_v1
import load_v2
from export_v1.format.comparison import Verdict
from export_v1.proof import asking
from tests.support import cases, small_models
from tests.support.graphs import v1


def _picky() -> None:
    x = v1.placeholder(tf.float32, [None, 2], "x")
    w = v1.get_variable("w", initializer=tf.constant([[1.0, 2.0], [3.0, 4.0]]))
    with tf.control_dependencies([v1.Assert(tf.reduce_sum(x) > 1e6, ["too little"])]):
        tf.matmul(x, w, name="y")


@pytest.fixture
def picky(tmp_path) -> dict[str, object]:
    """Returns the flags of a model that takes no inputs which could be made up."""
    (tmp_path / "model").mkdir()
    checkpoint = small_models.checkpoint(tmp_path / "model", _picky)
    return {"checkpoint": checkpoint, "inputs": {"x": "x:0"}, "outputs": {"y": "y:0"}}


def test_a_model_that_takes_no_generated_inputs_is_written_and_proven_later(picky, tmp_path, monkeypatch):
    out = str(tmp_path / "out")
    report = export_v1.export(**picky, export_dir=out)
    assert report["sample"] is None and report["proof"]["verdict"] == "not proven"
    assert "too little" in report["proof"]["why"] and "too little" in report["sample_left_out"]
    text = report.text()
    assert "--input=x=x:0[None,2]  float32" in text and "--sample=sample.npz --overwrite" in text
    found = load_v2.verify(out)
    assert found.verdict is Verdict.NOT_PROVEN and "variables intact" in found.lines()[-1]
    np.testing.assert_allclose(load_v2.SignatureLayer(out)(np.float32([[1e6, 1e6]])), [[4e6, 6e6]])

    [line] = [line for line in text.splitlines() if "python -c" in line]
    program, flag, code = shlex.split(line)
    subprocess.run(
        [sys.executable, flag, code.replace("zeros", "ones").replace("[1, 2]", "[600000, 2]")], cwd=tmp_path, check=True
    )
    assert program == "python"
    report = export_v1.export(**picky, export_dir=out, sample=str(tmp_path / "sample.npz"), overwrite=True)
    assert report["proof"]["verdict"] == "equal" and load_v2.verify(out).equal


def test_with_require_proof_it_is_not_written(picky, tmp_path):
    with pytest.raises(export_v1.ExportError, match="(?s)--require_proof was given.*too little.*--sample=FILE.npz"):
        export_v1.export(**picky, export_dir=str(tmp_path / "out"), require_proof=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_the_command_exits_0_and_says_that_nothing_is_proven(picky, tmp_path, run_program):
    flags = [
        f"--checkpoint={picky['checkpoint']}",
        "--input=x=x:0",
        "--output=y=y:0",
        f"--export_dir={tmp_path / 'out'}",
    ]
    done = run_program(["-m", "export_v1", *flags])
    assert done.returncode == 0 and "proof: not proven: The original graph fails on every generated" in done.stdout
    assert done.stderr == "" and "equal" not in done.stdout
    done = run_program(["-m", "export_v1", *flags, "--overwrite", "--require_proof"])
    assert done.returncode == 1 and "--require_proof" in done.stderr


def test_a_sample_that_was_given_and_does_not_fit_stops_as_before(picky, tmp_path):
    np.savez(tmp_path / "in.npz", x=np.ones([1, 2], np.float32))
    with pytest.raises(export_v1.ExportError, match="fails on the sample given: .*too little"):
        export_v1.export(**picky, export_dir=str(tmp_path / "out"), sample=str(tmp_path / "in.npz"))


def _sampler() -> None:
    x = v1.placeholder(tf.float32, [None, 2], "x")
    w = v1.get_variable("w", initializer=tf.constant([[1.0, 2.0], [3.0, 4.0]]))
    h = tf.matmul(x, w, name="h")
    # One of two components, mostly the first.
    which = tf.floor(tf.random.uniform([]) + 0.2)
    tf.add(h, which, name="y")


def test_a_sampler_is_exported_each_time_and_is_never_called_equal(tmp_path):
    (tmp_path / "model").mkdir()
    checkpoint = small_models.checkpoint(tmp_path / "model", _sampler)
    flags = {"checkpoint": checkpoint, "inputs": {"x": "x:0"}, "outputs": {"y": "y:0", "h": "h:0"}}
    for attempt in range(3):
        report = export_v1.export(**flags, export_dir=str(tmp_path / str(attempt)))
        found = load_v2.verify(tmp_path / str(attempt))
        assert found.verdict is Verdict.EQUAL
        unproven = [output.key for output in found.outputs if not output.equal]
        assert unproven == list(report["proof"]["not_proven"]) == ["y"]
        assert re.search("not proven: output 'y': it is random: RandomUniform", report.text())
    with pytest.raises(export_v1.ExportError, match="(?s)Not every output.*'y': it is random.*--output"):
        export_v1.export(**flags, export_dir=str(tmp_path / "out"), require_proof=True)
    assert not (tmp_path / "out").exists() and not [*tmp_path.glob(".*")]


def test_where_every_output_is_random_nothing_is_equal(tmp_path):
    (tmp_path / "model").mkdir()
    checkpoint = small_models.checkpoint(tmp_path / "model", _sampler)
    flags = {"checkpoint": checkpoint, "inputs": {"x": "x:0"}, "outputs": {"y": "y:0"}}
    text = export_v1.export(**flags, export_dir=str(tmp_path / "out")).text()
    assert "proof: not proven" in text and "proof: equal" not in text
    assert load_v2.verify(tmp_path / "out").verdict is Verdict.NOT_PROVEN


def test_what_the_graph_leaves_open_is_not_proven_although_the_answers_agree(tmp_path):
    """A kernel that is slow today may be quick tomorrow: which of two values is read is not in the graph."""

    def racing():
        x = v1.placeholder(tf.float32, [None, 2], "x")
        v = v1.get_variable("v", initializer=[1.0, 2.0], use_resource=False)
        view = tf.identity(v)
        # What is added is nothing, so that every order gives the same answer.
        with tf.control_dependencies([view]):
            written = v1.assign_add(v, tf.reduce_sum(x, 0) * 0.0)
        tf.multiply(view, x, name="read")
        tf.add(written, x, name="other")

    (tmp_path / "model").mkdir()
    checkpoint = small_models.checkpoint(tmp_path / "model", racing)
    outputs = {"read": "read:0", "other": "other:0"}
    out = str(tmp_path / "out")
    report = export_v1.export(checkpoint=checkpoint, inputs={"x": "x:0"}, outputs=outputs, export_dir=out)
    assert list(report["proof"]["not_proven"]) == ["read"] and "leaves open which is first" in report.text()
    assert [output.key for output in load_v2.verify(out).outputs if not output.equal] == ["read"]


def test_an_order_left_open_is_told_where_the_export_leaves_the_write_out(tmp_path):
    """Both sides of a condition are computed before it, so that the original moves its average whatever the mode is."""

    def moving():
        x = v1.placeholder(tf.float32, [None, 2], "x")
        average = v1.get_variable("average", initializer=[1.0, 2.0], use_resource=False)
        with tf.control_dependencies([v1.assign_add(average, tf.reduce_sum(x, 0) * 0.0)]):
            trained = x - tf.reduce_mean(x, 0)
        served = x - average
        is_training = v1.placeholder(tf.bool, [], "is_training")
        tf.identity(v1.cond(is_training, lambda: trained, lambda: served), name="y")

    (tmp_path / "model").mkdir()
    checkpoint = small_models.checkpoint(tmp_path / "model", moving)
    flags = {"inputs": {"x": "x:0"}, "outputs": {"y": "y:0"}, "freeze": {"is_training": False}}
    report = export_v1.export(checkpoint=checkpoint, export_dir=str(tmp_path / "out"), **flags)
    assert "reads variable 'average'" in report["proof"]["not_proven"]["y"]


def test_an_original_that_cannot_be_run_stops_no_export(picky, tmp_path, monkeypatch):
    def refuse(*_):
        raise export_v1.ExportError("TensorFlow refuses the pruned graph: why\n  Remedy.")

    monkeypatch.setattr(asking.session, "opened", refuse)
    report = export_v1.export(**picky, export_dir=str(tmp_path / "out"))
    assert report["proof"]["why"] == "The original graph cannot be run: TensorFlow refuses the pruned graph: why"


def test_bfloat16_is_proven_and_answers_as_tensorflow_1_did(tmp_path):
    case = cases.load("proof_bfloat16")
    names = {key: case.config[key] for key in ("inputs", "outputs")}
    flags = {"checkpoint": str(case.folder / case.config["checkpoint"]), **names}
    np.savez(tmp_path / "in.npz", **case.oracle("in"))
    for given in ({}, {"sample": str(tmp_path / "in.npz")}):
        out = str(tmp_path / f"out{len(given)}")
        report = export_v1.export(**flags, export_dir=out, **given)
        assert report["proof"]["verdict"] == "equal"
        assert load_v2.verify(out).equal
    with np.load(tmp_path / "out1" / "assets.extra" / "sample.npz") as stored:
        # Answers of 8 bits: 2 units in the last place.
        np.testing.assert_allclose(stored["out/y"], case.oracle()["y"], rtol=2**-6, atol=2**-9)
        np.testing.assert_array_equal(stored["dtypes/out/y"], b"bfloat16")
    record = json.loads((tmp_path / "out1" / "assets.extra" / "export_v1.json").read_text())
    assert record["inputs"]["x"]["dtype"] == "bfloat16"
