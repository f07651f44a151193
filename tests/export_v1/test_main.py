"""`python -m export_v1` as its users meet it: help, flag errors, reports, exit codes, and never a traceback."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from absl import flags
from absl.testing import flagsaver

from tests.support import cases

FLAGS = flags.FLAGS
ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def command():
    """Returns a function that runs the command in this process: (exit code, stdout and stderr by capsys)."""
    from export_v1 import __main__

    if not FLAGS.is_parsed():
        FLAGS.mark_as_parsed()

    def run(**values) -> int:
        with flagsaver.flagsaver(**values):
            return __main__.main(["export_v1"])

    return run


def _checkpoint(name: str) -> str:
    return str(cases.load(name).folder / "model.ckpt-3")


def _copy(name: str, tmp_path) -> str:
    shutil.copytree(cases.load(name).folder, tmp_path / name)
    return str(tmp_path / name / "model.ckpt-3")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--help"], 0, ["python -m export_v1 model.ckpt-1000 --list", "--train_freeze", "KEY=TENSOR"]),
        (["--helpfull"], 0, ["python -m export_v1 model.ckpt-1000 --list", "--train_freeze", "KEY=TENSOR"]),
        ([], 1, ["No model is given", "--checkpoint", "--saved_model", "--graph_def", "--builder"]),
        (["--checkpoint=a"], 1, ["No folder to write is given", "--export_dir=DIR"]),
        (
            ["--checkpoint=a", "--graph_def=b", "--export_dir=c"],
            1,
            ["Exactly one model", "--graph_def and --checkpoint"],
        ),
        (["--checkpoint=a", "--export_dir=c", "--input=x"], 1, ["--input=x is malformed", "--input=x=images:0"]),
        (["--checkpoint=a", "--export_dir=c", "extra"], 1, ["Model 'extra' is not in folder '.'"]),
        (["a", "b", "c"], 1, ["'c' is one argument too many", "are 'a' and 'b'"]),
        (["--checkpoint=a", "b", "c"], 1, ["Model 'b' is not in folder '.'"]),
        (
            ["fixtures/mlp_layers", "--export_dir=a", "b"],
            1,
            ["Two folders to write are given: 'b', and --export_dir=a"],
        ),
        (
            ["fixtures/mlp_layers", "b", "--graph_def=c"],
            1,
            ["Two models are given: 'fixtures/mlp_layers', and --graph_def=c"],
        ),
        (["fixtures/mlp_layers", "a", "--json"], 1, ["--json goes with --list", "--list --json"]),
        (["--no_such_flag"], 1, ["--no_such_flag is not a flag", "--help lists the flags"]),
        (["--no_smple"], 1, ["Closest: --no_sample"]),
        (["--graph_def=a", "--meta_graph=b", "--export_dir=c"], 1, ["--meta_graph goes with --checkpoint"]),
    ],
)
def test_help_and_flag_errors_come_without_tensorflow(arguments, code, words, subprocess_env):
    # -X importtime lists every import on stderr.
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "export_v1", *arguments],
        capture_output=True,
        text=True,
        env=subprocess_env,
        cwd=ROOT,
        check=False,
    )
    said = done.stdout + "\n".join(line for line in done.stderr.splitlines() if not line.startswith("import time:"))
    assert done.returncode == code
    for word in words:
        assert word in said
    assert "Traceback" not in said
    assert "export_v1" in done.stderr and not any(line.endswith("| tensorflow") for line in done.stderr.splitlines())


def test_the_report_says_what_was_done(command, tmp_path, capsys):
    folder = tmp_path / "export"
    assert command(
        checkpoint=_checkpoint("convnet_bn_dropout"),
        export_dir=str(folder),
        input=["images=images:0"],
        output=["predictions=predictions:0"],
        train_freeze=["is_training:0=true"],
    ) == 0  # fmt: skip
    said = capsys.readouterr().out
    for words in (
        "signature serving_default: images float32 [None, 12, 12, 3] -> predictions float32 [None, 5]",
        "signature train",
        "variables: 13, 9 of them trainable",
        "is_training:0",
        "answers as the original does",
    ):
        assert words in said
    assert sorted(os.listdir(folder)) == ["assets.extra", "saved_model.pb", "variables"]


def test_a_model_needs_no_flag(tmp_path, capsys):
    from export_v1 import __main__

    if not FLAGS.is_parsed():
        FLAGS.mark_as_parsed()
    # Fed by position: the checkpoint's kind is seen from its files.
    assert __main__.main(["export_v1", _checkpoint("mlp_layers"), str(tmp_path / "1")]) == 0
    assert f"exported from checkpoint {_checkpoint('mlp_layers')}" in capsys.readouterr().out
    assert (tmp_path / "1" / "saved_model.pb").is_file()


def test_the_list_as_json_has_what_the_lines_have(command, capsys):
    assert command(checkpoint=_checkpoint("slim_contrib_net"), list="", json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["chosen"] == {"inputs": {"image": "image:0"}, "outputs": {"embeddings": "embeddings:0"}}
    assert found["unclear"] == "" and found["needs_permission"] == {}
    freeze = {one["tensor"]: one["value"] for one in found["candidates"]["freeze"]}
    assert freeze["phase_train:0"] is False and freeze["keep_prob:0"] == 1.0
    (image,) = [one for one in found["candidates"]["inputs"] if one["key"] == "image"]
    assert (image["dtype"], image["shape"]) == ("float32", [None, 16, 16, 3])
    names = {one["name"] for one in found["variables"]}
    assert "conv1/weights" in names and all(isinstance(one["trainable"], bool) for one in found["variables"])


def test_list_prints_flags_to_paste_and_writes_nothing(command, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command(checkpoint=_checkpoint("slim_contrib_net"), list="") == 0
    said = capsys.readouterr().out
    for flag in ("--input=image=image:0", "--freeze=phase_train:0=false", "--freeze=keep_prob:0=1.0", "embeddings:0"):
        assert flag in said
    assert "conv1/weights" in said
    assert os.listdir(tmp_path) == []


BAD_INPUT = {
    "no such output": (dict(output=["y=prob:0"]), ["Output 'prob:0'", "Closest: 'probs:0'", "--output=y=probs:0"]),
    "no such input": (dict(input=["x=xx:0"]), ["'xx:0'", "'x:0'", "--input=x=x:0"]),
    "no such folder": (dict(checkpoint="/nowhere/model.ckpt"), ["'/nowhere/model.ckpt' is not there"]),
    "a bad rename": (dict(rename=["(=b"]), ["Rename '(=b'", "--rename="]),
    "a bad sample": (dict(sample="/nowhere.npz"), ["/nowhere.npz"]),
    "an output nobody feeds": (dict(output=["loss=loss:0"]), ["labels:0", "--input=labels=labels:0"]),
    "shadow values that are not there": (dict(ema=True), ["--ema", "no shadow value"]),
    "an op library that is not there": (dict(op_library=["/nowhere.so"]), ["Op library '/nowhere.so'"]),
}


@pytest.mark.parametrize("what", sorted(BAD_INPUT))
def test_bad_input_is_one_message_and_leaves_no_folder(what, command, tmp_path, capsys):
    changed, words = BAD_INPUT[what]
    folder = tmp_path / "export"
    asked = dict(
        checkpoint=_checkpoint("mlp_layers"), export_dir=str(folder), input=["x=x:0"], output=["probs=probs:0"]
    )
    assert command(**{**asked, **changed}) == 1
    said = capsys.readouterr().err
    assert said.startswith("export_v1: ") and "Traceback" not in said and "defect" not in said
    for word in words:
        assert word in said, said
    assert os.listdir(tmp_path) == []


def _truncate(path: str, keep: float) -> None:
    with open(path, "r+b") as file:
        file.truncate(int(os.path.getsize(path) * keep))


DAMAGE = {
    ".data-00000-of-00001": ["model.ckpt-3.data-00000-of-00001"],
    ".index": ["model.ckpt-3.index", "missing"],
    ".meta": ["model.ckpt-3.meta", "--meta_graph"],
}


@pytest.mark.parametrize("ending", sorted(DAMAGE))
def test_a_missing_file_is_named(ending, command, tmp_path, capsys):
    prefix = _copy("mlp_layers", tmp_path)
    os.remove(prefix + ending)
    assert command(checkpoint=prefix, export_dir=str(tmp_path / "export"), input=["x=x:0"], output=["y=probs:0"]) == 1
    said = capsys.readouterr().err
    for word in DAMAGE[ending]:
        assert word in said, said
    assert not (tmp_path / "export").exists()


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.97])
@pytest.mark.parametrize("ending", sorted(DAMAGE))
def test_a_truncated_file_is_an_error(ending, keep, command, tmp_path, capsys):
    prefix = _copy("mlp_layers", tmp_path)
    _truncate(prefix + ending, keep)
    code = command(checkpoint=prefix, export_dir=str(tmp_path / "export"), input=["x=x:0"], output=["y=probs:0"])
    said = capsys.readouterr().err
    if ending.startswith(".data") and keep == 0.97:
        # What is cut off is the end of the last Adam slot, which nobody needs.
        assert code == 0
        return
    assert code == 1
    assert "Traceback" not in said and "defect" not in said and "model.ckpt-3" in said, said
    assert not (tmp_path / "export").exists()


def test_a_flipped_byte_is_an_error_that_names_the_variable(command, tmp_path, capsys):
    prefix = _copy("mlp_layers", tmp_path)
    path = prefix + ".data-00000-of-00001"
    import tensorflow as tf

    kernel = tf.train.load_checkpoint(prefix).get_tensor("dense/kernel").tobytes()
    with open(path, "r+b") as file:
        content = file.read()
        at = content.index(kernel) + 5
        file.seek(at)
        file.write(bytes([content[at] ^ 1]))
    assert command(checkpoint=prefix, export_dir=str(tmp_path / "export"), input=["x=x:0"], output=["y=probs:0"]) == 1
    assert "'dense/kernel'" in capsys.readouterr().err


def test_variables_that_do_not_fit_are_all_listed(command, tmp_path, capsys):
    other = _checkpoint("sharded_ckpt")
    assert command(
        checkpoint=other,
        meta_graph=_checkpoint("mlp_layers") + ".meta",
        export_dir=str(tmp_path / "export"),
        input=["x=x:0"],
        output=["y=probs:0"],
    ) == 1  # fmt: skip
    said = capsys.readouterr().err
    for name in ("dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"):
        assert f"missing in the checkpoint: '{name}'" in said
    assert "4 of 4 variables" in said and "--init_missing" in said and "'a/kernel'" in said


def test_an_existing_folder_stays_unless_overwritten(command, tmp_path, capsys):
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "saved_model.pb").write_text("keep")
    asked = dict(checkpoint=_checkpoint("mlp_layers"), export_dir=str(folder), input=["x=x:0"], output=["y=probs:0"])
    assert command(**asked) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert (folder / "saved_model.pb").read_text() == "keep"
    assert command(**asked, overwrite=True) == 0
    assert sorted(os.listdir(folder)) == ["assets.extra", "saved_model.pb", "variables"]
    assert os.listdir(tmp_path) == ["export"]


def test_a_checkpoint_however_it_is_named(command, tmp_path, capsys):
    prefix = _copy("mlp_layers", tmp_path)
    for at, named in enumerate(
        [prefix, prefix + ".meta", prefix + ".index", prefix + ".data-00000-of-00001", os.path.dirname(prefix)]
    ):
        folder = tmp_path / f"export{at}"
        assert command(checkpoint=named, export_dir=str(folder), input=["x=x:0"], output=["y=probs:0"]) == 0
        assert folder.is_dir(), capsys.readouterr().err


def test_a_vocabulary_that_moved(command, tmp_path, capsys):
    prefix = _copy("lookup_vocab", tmp_path)
    vocabulary = os.path.join(os.path.dirname(prefix), "vocab.txt")
    moved = str(tmp_path / "words.txt")
    os.rename(vocabulary, moved)
    asked = dict(
        checkpoint=prefix, export_dir=str(tmp_path / "e"), input=["words=words:0"], output=["y=dense/BiasAdd:0"]
    )
    assert command(**asked) == 1
    assert "--asset=vocab.txt=" in capsys.readouterr().err
    assert command(**asked, asset=[f"vocab.txt={moved}"]) == 0
    assert os.listdir(tmp_path / "e" / "assets") == ["words.txt"]
