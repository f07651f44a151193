"""Many files into many: which into which, what a killed run left is gone on with, and nothing is mixed."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

import load_v2
from load_v2 import LoadError
from load_v2.__main__ import parse
from load_v2.commands import predict
from load_v2.scoring import jobs
from tests.support import cases, savedmodels

ROWS = np.random.default_rng(3).normal(size=[60, 16]).astype(np.float32)


@pytest.fixture(scope="module")
def layer(exported):
    return load_v2.SignatureLayer(str(exported("mlp_layers")))


def _arrays(folder: pathlib.Path, count: int = 3) -> list[pathlib.Path]:
    """Writes the rows in several .npz."""
    folder.mkdir(exist_ok=True)
    for at, part in enumerate(np.split(ROWS, count)):
        np.savez(folder / f"{at}.npz", x=part)
    return sorted(folder.glob("*.npz"))


def _answers(folder: pathlib.Path) -> np.ndarray:
    return np.concatenate([np.load(path)["probs"] for path in sorted(folder.glob("*.npz"))])


def _run(layer, folder: pathlib.Path, **more):
    return predict.predict(layer, f"{folder}/in/*.npz", f"{folder}/out/*.npz", 7, **more)


@pytest.mark.parametrize(
    "inputs, outputs, expected",
    [
        ("a/*.parquet", "o/*.csv", {"a/1.parquet": "o/1.csv", "a/2.parquet": "o/2.csv"}),
        ("a", "o/*/x.parquet", {"a/1.parquet": "o/1/x.parquet", "a/2.parquet": "o/2/x.parquet"}),
        (
            "a/**/*.parquet",
            "o/*.parquet",
            {"a/1.parquet": "o/1.parquet", "a/2.parquet": "o/2.parquet", "a/b/1.parquet": "o/b/1.parquet"},
        ),  # fmt: skip
        ("*/1.parquet", "o/*.parquet", {"a/1.parquet": "o/a/1.parquet"}),
        ("r/*", "o/*.npz", {"r/3.tfrecord.gz": "o/3.npz"}),
        ("r/3.tfrecord.gz", "o/*.npz", {"r/3.tfrecord.gz": "o/3.npz"}),
        ("keys", "o/*", {"keys": "o/keys"}),
        ("keys", "o", {"keys": "o"}),
    ],
)
def test_a_star_is_the_name_of_each_file(inputs, outputs, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a/1.parquet", "a/2.parquet", "a/b/1.parquet", "a/_SUCCESS", "a/.hidden.parquet", "r/3.tfrecord.gz",
                 "r/_log", "keys/x.npy"):  # fmt: skip
        os.makedirs(os.path.dirname(name), exist_ok=True)
        pathlib.Path(name).touch()
    made = jobs.tasks(inputs, outputs)
    assert {task.inputs[0]: task.output for task in made} == expected
    assert all(len(task.inputs) == 1 and task.failed is None for task in made)


def test_without_a_star_all_go_into_one(tmp_path, layer):
    files = _arrays(tmp_path / "in")
    (task,) = jobs.tasks(f"{tmp_path}/in/*.npz", "out.npz", "failed.jsonl")
    assert task == jobs.Task(tuple(map(str, files)), "out.npz", "failed.jsonl")
    done = predict.predict(layer, f"{tmp_path}/in/*.npz", f"{tmp_path}/out.npz", 7)
    assert (done.rows, done.failed, done.files, done.before) == (60, 0, 1, 0)
    np.testing.assert_allclose(np.load(tmp_path / "out.npz")["probs"], layer(ROWS)["probs"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "inputs, outputs, failed, message",
    [
        ("a/*.npz", "o/*/*.npz", None, "--outputs=o/./..npz has more than one"),
        ("a/*.npz", "o/*.npz", "f.jsonl", "Give both a ., or neither"),
        ("a/*.npz", "o.npz", "f/*.jsonl", "Give both a ., or neither"),
        ("a/*.npz", "a/*.npz", None, "'a/1.npz' holds inputs"),
        ("a/*", "o/*.npz", None, "written twice: by 'a/1.npy' and 'a/1.npz'"),
        ("a/*.npz", "o/*.npz", "o/*.npz", "written twice: by --outputs and --failed"),
        ("b/*", "o/*.npz", None, "tables and other files.*apart"),
        ("none/*.npz", "o/*.npz", None, "No file matches 'none/..npz'"),
        ("none.npz", "o/*.npz", None, "There is no file 'none.npz'"),
    ],
)
def test_names_that_do_not_go_together_are_one_message(inputs, outputs, failed, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a/1.npz", "a/1.npy", "b/1.npz", "b/2.parquet"):
        os.makedirs(os.path.dirname(name), exist_ok=True)
        pathlib.Path(name).touch()
    with pytest.raises(LoadError, match="(?s)" + message):
        jobs.tasks(inputs, outputs, failed)
    assert sorted(os.listdir()) == ["a", "b"]


def test_only_what_is_missing_is_done(layer, tmp_path):
    _arrays(tmp_path / "in")
    whole = _run(layer, tmp_path)
    assert (whole.rows, whole.files, whole.before) == (60, 3, 0)
    out = tmp_path / "out"
    expected, first = _answers(out), os.stat(out / "0.npz")
    os.unlink(out / "1.npz")
    again = _run(layer, tmp_path)
    assert (again.rows, again.files, again.before) == (20, 1, 2)
    assert (_answers(out) == expected).all() and os.stat(out / "0.npz") == first
    assert _run(layer, tmp_path).files == 0
    np.savez(tmp_path / "in" / "9.npz", x=ROWS[:5])
    assert _run(layer, tmp_path).rows == 5, "files may come"


def test_answers_of_something_else_are_not_gone_on_with(layer, exported, tmp_path):
    _arrays(tmp_path / "in")
    _run(layer, tmp_path)
    os.unlink(tmp_path / "out" / "2.npz")
    other = load_v2.SignatureLayer(savedmodels.scale(tmp_path / "other"))
    for model, more, message in (
        (other, {}, "0.npz' and 1 more are of another run: export was"),
        (layer, {"columns": {"x": "y"}}, 'columns was {}, and is {"x": "y"}'),
    ):
        with pytest.raises(LoadError, match=message):
            _run(model, tmp_path, **more)
    assert _run(layer, tmp_path, failed=f"{tmp_path}/failed/*.jsonl").files == 1, "what stopped for want of it goes on"
    with pytest.raises(LoadError, match="failed was .*jsonl, and is .*json1"):
        _run(layer, tmp_path, failed=f"{tmp_path}/failed/*.json1")


def test_answers_to_a_file_that_has_changed_are_not_left_as_they_are(layer, tmp_path):
    files = _arrays(tmp_path / "in")
    _run(layer, tmp_path)
    np.savez(files[1], x=ROWS[:20] * 2)
    with pytest.raises(LoadError, match="(?s)in/1.npz' is not the file any more that .*Remove '.*out/1.npz'") as caught:
        _run(layer, tmp_path)
    assert "answers it again" in str(caught.value)
    os.unlink(tmp_path / "out" / "1.npz")
    assert _run(layer, tmp_path).rows == 20


@pytest.mark.parametrize("ending", ["npz", "folder"])
def test_a_file_that_is_written_to_meanwhile_has_no_answers(ending, layer, tmp_path):
    files = _arrays(tmp_path / "in", 1)
    outputs = str(tmp_path / "out" / ("*.npz" if ending == "npz" else "*"))
    ledger = jobs.Ledger(outputs, jobs.tasks(f"{tmp_path}/in/*.npz", outputs), {})
    (task,) = ledger.left
    predict.predict(layer, str(files[0]), task.output)
    ledger.check_unchanged(task)
    np.savez(files[0], x=ROWS[:7])
    with pytest.raises(LoadError, match="written to while"):
        ledger.check_unchanged(task)
    assert not os.path.exists(task.output)


def test_outputs_of_unknown_origin_are_left_alone(layer, tmp_path):
    _arrays(tmp_path / "in")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "1.npz").write_text("mine")
    with pytest.raises(LoadError, match="out/1.npz' is there already"):
        _run(layer, tmp_path)
    assert os.listdir(tmp_path / "out") == ["1.npz"]
    for content in ("{", "[]", '{"settings": {}, "files": 3}', '{"settings": {}}'):
        (tmp_path / "out" / jobs.LIST).write_text(content)
        with pytest.raises(LoadError, match="predict.json' cannot be read"):
            _run(layer, tmp_path)


def _picky(folder: pathlib.Path) -> str:
    """An export that adds 1, and fails on negative numbers."""
    with savedmodels.session() as current:
        x = tf.compat.v1.placeholder(tf.float32, [None, 2], name="x")
        check = tf.compat.v1.assert_non_negative(x, message="below zero")
        with tf.control_dependencies([check]):
            y = x + savedmodels.variable("one", np.float32(1))
        return savedmodels.save(folder, current, {"x": x}, {"y": y})


@pytest.mark.parametrize("kind", ["npz", "npy", "tfrecord"])
def test_rows_that_the_graph_refuses_are_set_aside(kind, tmp_path):
    layer = load_v2.SignatureLayer(_picky(tmp_path / "picky"))
    x = np.arange(20, dtype=np.float32).reshape(10, 2)
    x[3], x[9] = -1, -2
    path = str(tmp_path / f"in.{kind}")
    if kind == "tfrecord":
        with tf.io.TFRecordWriter(path) as records:
            for row in x:
                feature = tf.train.Feature(float_list=tf.train.FloatList(value=row))
                example = tf.train.Example(features=tf.train.Features(feature={"pixels": feature}))
                records.write(example.SerializeToString())
    else:
        np.save(path, x) if kind == "npy" else np.savez(path, pixels=x)
    out, failed = str(tmp_path / "out.npz"), str(tmp_path / "failed.jsonl")
    with pytest.raises(LoadError, match="Row 3 of .*below zero.*\n.*--failed=FILE.jsonl"):
        predict.predict(layer, path, out, 4, columns={"x": "pixels"})
    assert not os.path.exists(out)
    done = predict.predict(layer, path, out, 4, columns={"x": "pixels"}, failed=failed)
    assert (done.rows, done.failed) == (10, 2)
    np.testing.assert_array_equal(np.load(out)["y"], np.delete(x, [3, 9], axis=0) + 1)
    lines = [json.loads(line) for line in pathlib.Path(failed).read_text().splitlines()]
    assert [(line["file"], line["row"]) for line in lines] == [(path, 3), (path, 9)]
    assert all("below zero" in line["reason"] for line in lines)
    with pytest.raises(LoadError, match="'failed.csv' is not .jsonl"):
        predict.predict(layer, path, out, columns={"x": "pixels"}, failed="failed.csv")
    with pytest.raises(LoadError, match="Input 'y' is not in the signature"):
        predict.predict(layer, path, out, columns={"y": "pixels"})


def test_killed_in_the_middle_and_run_again_every_row_is_there_once(exported, subprocess_env, tmp_path):
    """kill -9 at several moments, of one job; the last run does what is left."""
    case, export = cases.load("mlp_layers"), str(exported("mlp_layers"))
    (tmp_path / "in").mkdir()
    rows = np.random.default_rng(5).normal(size=[24, 2000, 16]).astype(np.float32)
    for at, part in enumerate(rows):
        np.savez(tmp_path / "in" / f"{at:02}.npz", x=part)
    command = [sys.executable, "-m", "load_v2", "predict", export, f"--inputs={tmp_path}/in/*.npz"]
    command += [f"--outputs={tmp_path}/out/*.npz", f"--failed={tmp_path}/failed/*.jsonl", "--batch_size=4"]
    seen: dict[str, int] = {}
    for enough in (1, 5, 12):
        job = subprocess.Popen(command, env=subprocess_env, stdout=subprocess.DEVNULL, start_new_session=True)
        for _ in range(6000):
            if len(_whole(tmp_path / "out")) >= enough or job.poll() is not None:
                break
            time.sleep(0.01)
        assert job.poll() is None, "it is in the middle"
        os.killpg(job.pid, signal.SIGKILL)
        job.wait()
        for path in _whole(tmp_path / "out"):
            assert np.load(path)["probs"].shape == (2000, 3), "nothing is partial"
            assert seen.setdefault(path.name, path.stat().st_mtime_ns) == path.stat().st_mtime_ns, (
                "nothing is done again"
            )
    last = subprocess.run(command, env=subprocess_env, capture_output=True, text=True)
    assert last.returncode == 0 and f"{24 - len(seen)} files; {len(seen)} more had been answered before" in last.stdout
    assert 12 <= len(seen) < 24
    for path in _whole(tmp_path / "out"):
        assert path.name not in seen or seen[path.name] == path.stat().st_mtime_ns
    layer = load_v2.SignatureLayer(export)
    got = _answers(tmp_path / "out")
    np.testing.assert_allclose(got, layer(rows.reshape(-1, 16))["probs"], rtol=1e-5, atol=1e-6)
    assert len(list((tmp_path / "failed").iterdir())) == 24
    left = {path.name for path in (tmp_path / "out").iterdir()} - {f"{at:02}.npz" for at in range(24)}
    assert left == {jobs.LIST}, "what the killed runs left is gone"
    assert case.oracle()["probs"].shape[1] == 3


def _whole(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(folder.glob("*.npz"))


def test_the_command_tells_what_it_did(exported, tmp_path, capsys):
    _arrays(tmp_path / "in")
    argv = ["load_v2", "predict", str(exported("mlp_layers")), f"--inputs={tmp_path}/in/*.npz"]
    argv += [f"--outputs={tmp_path}/out/*.npz", f"--failed={tmp_path}/failed/*.jsonl"]
    assert predict.run(parse(argv)) == 0
    said = capsys.readouterr().out
    assert "60 rows" in said and "of 3 files; 0 more" in said and "jsonl: 0 of these rows" in said
    assert predict.run(parse(argv)) == 0
    assert "0 rows" in (said := capsys.readouterr().out) and "of 0 files; 3 more" in said
