"""load_v2's commands, called in this process: what they print, write, refuse and return."""

import json
import os
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl import flags

import load_v2
from export_v1.format import record as record_file
from export_v1.format import sample as codec
from load_v2 import LoadError, SignatureLayer, __main__
from load_v2.commands import predict, show, to_keras
from load_v2.program import artefact
from load_v2.program.signature import Spec
from tests.support import savedmodels
from tests.support.graphs import v1


@pytest.fixture(autouse=True)
def _parsed_flags():
    # absl's own flags, --verbosity among them, are read by main; a program has parsed them by then.
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


def _main(*arguments: object) -> int:
    return __main__.main(__main__.parse(["load_v2", *map(str, arguments)]))


@pytest.fixture
def scale(tmp_path) -> str:
    return savedmodels.scale(tmp_path / "scale")


def test_public_names_are_there_and_others_are_not():
    assert load_v2.SignatureLayer is SignatureLayer and load_v2.LoadError is LoadError
    for name in load_v2.__all__:
        assert callable(getattr(load_v2, name))
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = load_v2.nothing


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "COMMAND"),
        (["shw"], "shw"),
        (["show"], "DIR"),
        (["predict", "dir", "--inputs=a.npz"], "--outputs"),
        (["predict", "dir", "--outputs=a.npz"], "--inputs"),
        (["to_keras", "dir"], "--keras"),
        (["verify", "dir", "--nothing"], "--nothing"),
        (["predict", "dir", "--inputs=a", "--outputs=b", "--batch_size=0"], "'0' is not a positive"),
        (["predict", "dir", "--inputs=a", "--outputs=b", "--batch_size=-3"], "'-3' is not a positive"),
        (["predict", "dir", "--inputs=a", "--outputs=b", "--batch_size=many"], "'many' is not a positive"),
    ],
)
def test_bad_arguments_exit_1_with_what_is_wrong_first(arguments, said, capsys):
    with pytest.raises(SystemExit) as caught:
        __main__.parse(["load_v2", *arguments])
    assert caught.value.code == 1
    assert said in capsys.readouterr().err.partition("usage:")[0]


def test_every_command_is_listed_and_has_help(capsys):
    with pytest.raises(SystemExit) as caught:
        __main__.parse(["load_v2", "--help"])
    assert caught.value.code == 0
    listed = capsys.readouterr().out
    for command in ("show", "verify", "report", "predict", "to_keras", "rebuild", "port"):
        assert f"\n  {command}\n      " in listed
        with pytest.raises(SystemExit) as caught:
            __main__.parse(["load_v2", command, "--help"])
        assert caught.value.code == 0 and "--verbosity" in capsys.readouterr().out


def test_defaults():
    args = __main__.parse(["load_v2", "predict", "dir", "--inputs=a", "--outputs=b"])
    assert (args.signature, args.batch_size, args.allow_ops, args.verbosity) == ("serving_default", None, [], 0)
    args = __main__.parse(["load_v2", "to_keras", "dir", "--keras=m.keras", "--allow_ops=A, B,", "--allow_ops", "C"])
    assert (args.signature, args.overwrite, args.allow_ops) == ("serving_default", False, ["A", "B", "C"])
    again = __main__.parse(["load_v2", "verify", "dir"])
    assert again.allow_ops == []


def test_a_message_is_printed_without_a_traceback_and_a_defect_with_its_name(tmp_path, capsys, monkeypatch):
    assert _main("show", tmp_path / "nowhere") == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("There is no folder") and "Traceback" not in said.err
    with pytest.raises(LoadError):
        _main("show", tmp_path / "nowhere", "--verbosity=1")

    def broken(path):
        raise ZeroDivisionError("not expected")

    monkeypatch.setattr(artefact, "read", broken)
    assert _main("show", tmp_path) == 1
    said = capsys.readouterr().err
    assert "load_v2 show: ZeroDivisionError: not expected" in said and "--verbosity=1" in said


def test_an_interrupted_command_ends_with_1(scale, monkeypatch):
    def interrupted(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(artefact, "read", interrupted)
    assert _main("show", scale) == 1


def test_show_tells_signatures_variables_and_files(tmp_path, capsys):
    path = savedmodels.two_inputs(tmp_path / "two")
    assert _main("show", path) == 0
    said = capsys.readouterr().out
    for part in (f"{path}, not made by step 1", "signature serving_default", "variables: 1, 1 of them trainable, 2 numbers",
                 "  w: float32 [2]\n"):  # fmt: skip
        assert part in said
    lines = [line.split()[:2] for line in said.splitlines() if line.startswith(("  input", "  output"))]
    assert lines == [["input", "ids:"], ["input", "mask:"], ["output", "product:"], ["output", "sum:"]]
    assert "int32 [None, 2]   ids:0" in said and "could touch" not in said
    assert _main("show", savedmodels.vocabulary(tmp_path / "words", ["a"])) == 0
    assert "words_words.txt   words_file:0" in capsys.readouterr().out
    assert _main("show", savedmodels.with_train(tmp_path / "train")) == 0
    said = capsys.readouterr().out
    assert "signature train" in said and "moving: float32 [3]  (not trainable)" in said
    assert "variables: 3, 2 of them trainable, 11 numbers" in said


def test_show_tells_what_step_1_did(scale):
    record = {
        "format_version": 1,
        "source": {"kind": "checkpoint", "path": "model.ckpt"},
        "graph_tensorflow_version": "1.15.5",
        "frozen": {"keep:0": 1.0},
        "train_frozen": {"keep:0": 0.5},
        "nodes": {"original": 10, "kept": 3, "dropped": 7},
        "choices": ["an old one", {"what": "input x", "why": "the only placeholder"}],
        "unconverted": [{"construct": "loop 'a'", "why": "no bound"}],
    }
    os.makedirs(os.path.join(scale, "assets.extra"))
    pathlib.Path(scale, record_file.PATH).write_text(json.dumps(record))
    said = "\n".join(show.describe(artefact.read(scale)))
    for part in ("from checkpoint model.ckpt, TensorFlow 1.15.5", "frozen: keep:0 = 1.0", "train frozen: keep:0 = 0.5",
                 "nodes: 10 original, 3 kept, 7 dropped, 0 folded", "chosen: an old one",
                 "chosen: input x (the only placeholder)",
                 "not converted: loop 'a' (no bound)"):  # fmt: skip
        assert part in said


def test_show_names_ops_that_reach_outside_but_not_the_savers(tmp_path):
    said = "\n".join(show.describe(artefact.read(savedmodels.reads_file(tmp_path / "file"))))
    assert "could touch files, network or Python: ReadFile in ReadFile" in said and "RestoreV2" not in said


def _sample(path: str, y) -> None:
    os.makedirs(os.path.join(path, "assets.extra"), exist_ok=True)
    np.savez(os.path.join(path, codec.PATH), **{"in/x": np.float32([1, 2]), "out/y": np.float32(y)})


@pytest.mark.parametrize(("y", "code", "said"), [([3, 6], 0, "y: equal"), ([3, 7], 1, "y: DIFFERENT")])
def test_verify_tells_and_returns_its_verdict(scale, capsys, y, code, said):
    _sample(scale, y)
    assert _main("verify", scale) == code
    assert said in capsys.readouterr().out


def test_to_keras_writes_an_archive_once(tmp_path, capsys):
    path, file = savedmodels.two_inputs(tmp_path / "two"), tmp_path / "m.keras"
    assert _main("to_keras", path, f"--keras={file}") == 0
    assert "1 weights" in capsys.readouterr().out
    written = file.read_bytes()
    assert _main("to_keras", path, f"--keras={file}") == 1
    said = capsys.readouterr().err
    assert "m.keras" in said and "--overwrite" in said and file.read_bytes() == written
    assert _main("to_keras", path, f"--keras={file}", "--overwrite") == 0
    loaded = keras.models.load_model(file)
    got = loaded({"ids": np.int32([[1, 2]]), "mask": np.float32([[1, 1]])})
    assert got["sum"].numpy().tolist() == [[2, 4]]
    assert _main("to_keras", path, f"--keras={tmp_path}/m.h5") == 1
    assert "m.h5" in capsys.readouterr().err and not (tmp_path / "m.h5").exists()


def test_to_keras_takes_another_signature_and_refuses_an_unknown_rank(tmp_path, scale):
    model = to_keras.as_model(savedmodels.with_train(tmp_path / "m"), "train")
    assert model.layers[-1].get_config()["description"]["signature"] == "train"
    with pytest.raises(LoadError, match=r"rank of input 'x'.*\n.*--input=x=x:0\[None,3\]"):
        to_keras.as_model(scale)


def test_to_keras_takes_slashes_out_of_names(tmp_path):
    with savedmodels.session() as current:
        x = v1.placeholder(tf.float32, [None, 1], name="x")
        path = savedmodels.save(
            tmp_path / "m", current, {"a/x": x}, {"y": x * savedmodels.variable("w", np.float32(2))}
        )
    model = to_keras.as_model(path)
    assert list(model.input) == ["a/x"] and model.input["a/x"].name == "a_x"
    assert model({"a/x": np.float32([[3]])}).numpy().tolist() == [[6]]


class _Answers:
    """A layer that answers what it is told to, and remembers its batches."""

    def __init__(self, specs: dict, answer, outputs=("y",)):
        self.input_specs, self.output_specs, self._answer = specs, dict.fromkeys(outputs), answer
        self.batches = []

    def __call__(self, batch):
        self.batches.append(batch)
        return self._answer(batch)


ROWS = {"x": Spec("x:0", "float32", (None, 1))}


def _predict(tmp_path, layer, size=2, **arrays):
    np.savez(tmp_path / "in.npz", **arrays)
    done = predict.predict(layer, str(tmp_path / "in.npz"), str(tmp_path / "out.npz"), size)
    assert done.seconds >= 0
    return done.rows, dict(np.load(tmp_path / "out.npz"))


def test_predict_runs_batch_by_batch_in_order(tmp_path):
    layer = _Answers(ROWS, lambda batch: batch["x"] * 2)
    x = np.arange(5, dtype="float32").reshape(5, 1)
    count, got = _predict(tmp_path, layer, x=x)
    assert count == 5 and [len(batch["x"]) for batch in layer.batches] == [2, 2, 1]
    np.testing.assert_array_equal(got["y"], x * 2)


def test_predict_takes_256_rows_where_nobody_says(tmp_path):
    layer = _Answers(ROWS, lambda batch: batch["x"])
    _predict(tmp_path, layer, None, x=np.zeros([300, 1], "float32"))
    assert [len(batch["x"]) for batch in layer.batches] == [256, 44]


def test_predict_fills_up_a_fixed_batch_with_its_last_row_and_leaves_scalars(tmp_path):
    specs = {"x": Spec("x:0", "float32", (4, 1)), "rate": Spec("r:0", "float32", ())}
    layer = _Answers(specs, lambda batch: {"y": batch["x"] + batch["rate"], "z": batch["x"]}, ("y", "z"))
    x = np.arange(6, dtype="float32").reshape(6, 1)
    count, got = _predict(tmp_path, layer, 100, x=x, rate=np.float32(10))
    assert count == 6 and [batch["x"].ravel().tolist() for batch in layer.batches] == [[0, 1, 2, 3], [4, 5, 5, 5]]
    assert all(np.shape(batch["rate"]) == () for batch in layer.batches)
    np.testing.assert_array_equal(got["y"], x + 10)
    np.testing.assert_array_equal(got["z"], x)


@pytest.mark.parametrize("answer", [np.float32(1), np.zeros([3, 1]), np.zeros([1, 2])])
def test_predict_refuses_what_is_not_one_answer_for_each_row(tmp_path, answer):
    with pytest.raises(LoadError, match="'y' has shape .* for 2 rows"):
        _predict(tmp_path, _Answers(ROWS, lambda batch: answer), x=np.zeros([2, 1], "float32"))
    assert not (tmp_path / "out.npz").exists()


def test_predict_names_the_row_on_which_the_graph_fails(tmp_path):
    def fails(batch):
        if 3 in batch["x"]:
            raise tf.errors.InvalidArgumentError(None, None, "the fact")
        return batch["x"]

    with pytest.raises(LoadError, match=r"Row 3 of '.*in.npz' has no answer. the graph fails: the fact"):
        _predict(tmp_path, _Answers(ROWS, fails), x=np.arange(5, dtype="float32").reshape(5, 1))
    assert not (tmp_path / "out.npz").exists()


def test_the_predict_command_tells_how_many_rows(tmp_path, capsys):
    path = savedmodels.two_inputs(tmp_path / "two")
    np.savez(tmp_path / "in.npz", ids=np.int32([[1, 2]] * 3), mask=np.float32([[1, 1]] * 3))
    given = [f"--inputs={tmp_path}/in.npz", f"--outputs={tmp_path}/out.npz"]
    assert _main("predict", path, *given, "--batch_size=2") == 0
    assert "out.npz: 3 rows" in capsys.readouterr().out
    assert np.load(tmp_path / "out.npz")["sum"].shape == (3, 2)
    assert _main("predict", path, *given, "--signature=other") == 1
    assert "'other'" in capsys.readouterr().err
