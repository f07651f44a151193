"""What somebody can hand in is an answer or one message, never a defect: odd sizes, odd files, odd places."""

import contextlib
import json
import os
import pathlib
import shutil
import zipfile

import numpy as np
import pytest
import tensorflow as tf

import export_v1
from export_v1 import errors
from load_v2 import SignatureLayer, load_checkpoint_weights
from load_v2 import __main__ as step_2
from tests.support import cases, porting_models, savedmodels, small_models
from tests.support.graphs import v1


def _message(capsys, *arguments) -> str:
    """Returns what a command of step 2 says that fails; not a defect."""
    assert step_2.main(step_2.parse(["load_v2", *map(str, arguments)])) == 1
    said = capsys.readouterr().err
    assert "defect" not in said and "Traceback" not in said, said
    return said


def test_a_placeholder_larger_than_memory(tmp_path):
    def build():
        x = v1.placeholder(tf.float32, [100_000, 100_000], name="x")
        tf.reduce_sum(x * v1.get_variable("w", []), name="y")

    flags = {"checkpoint": small_models.checkpoint(tmp_path, build), "inputs": {"x": "x:0"}, "outputs": {"y": "y:0"}}
    report = export_v1.export(export_dir=str(tmp_path / "out"), **flags)
    assert report["proof"]["verdict"] == "not proven" and "10,000,000,000 elements" in report["proof"]["why"]


def test_a_graph_that_runs_out_of_memory(tmp_path, monkeypatch):
    from export_v1.proof import asking

    monkeypatch.setattr(asking, "run", lambda *_: (_ for _ in ()).throw(MemoryError("Unable to allocate 75 GiB")))
    report = export_v1.export(export_dir=str(tmp_path / "out"), **cases.load("mlp_layers").flags())
    assert report["proof"]["verdict"] == "not proven" and "Unable to allocate 75 GiB" in report["proof"]["why"]


@pytest.mark.parametrize("content", [b"\xff\xfe\x00bad", b'model_checkpoint_path: "\xff"', b"no: pbtxt", b"\x00" * 9])
def test_a_record_of_the_latest_checkpoint_that_is_none(content, tmp_path):
    shutil.copytree(cases.load("mlp_layers").folder, tmp_path / "model")
    (tmp_path / "model" / "checkpoint").write_bytes(content)
    flags = {**cases.load("mlp_layers").flags(), "checkpoint": str(tmp_path / "model")}
    # The folder has but one, which needs no record.
    with contextlib.suppress(export_v1.ExportError):
        export_v1.export(export_dir=str(tmp_path / "out"), **flags)
    with contextlib.suppress(errors.UserError):
        load_checkpoint_weights(porting_models.textbook(), tmp_path / "model")


@pytest.mark.parametrize("dtype", [tf.uint8, tf.float32, tf.bool])
@pytest.mark.parametrize("op", ["StringLength", "StringToNumber", "DecodePng", "DecodeRaw", "DecodeWav", "ParseTensor"])
def test_an_op_on_strings_that_reads_numbers(op, dtype, tmp_path):
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.string, [], name="x")
        getattr(tf.raw_ops, op)(**_arguments(op, x), name="y")
    graph_def = graph.as_graph_def()
    graph_def.node[0].attr["dtype"].type = dtype.as_datatype_enum
    (tmp_path / "model.pb").write_bytes(graph_def.SerializeToString())
    with pytest.raises(export_v1.ExportError):
        export_v1.export(
            graph_def=str(tmp_path / "model.pb"),
            export_dir=str(tmp_path / "out"),
            inputs={"x": "x:0"},
            outputs={"y": "y:0"},
        )


def _arguments(op: str, x) -> dict:
    if op == "StringLength":
        return {"input": x}
    if op == "StringToNumber":
        return {"string_tensor": x}
    if op == "DecodeRaw":
        return {"bytes": x, "out_type": tf.uint8}
    if op == "ParseTensor":
        return {"serialized": x, "out_type": tf.float32}
    return {"contents": x}


@pytest.mark.parametrize("name", [None, 5, ["w"], {}, "absent"])
def test_a_record_without_a_variables_name(name, exported, tmp_path, capsys):
    folder = shutil.copytree(exported("mlp_layers"), tmp_path / "export")
    file = folder / "assets.extra" / "export_v1.json"
    record = json.loads(file.read_text())
    if name == "absent":
        del record["variables"][0]["name"]
    else:
        record["variables"][0]["name"] = name
    file.write_text(json.dumps(record))
    for command in ("verify", "show"):
        assert "export_v1.json' is damaged" in _message(capsys, command, folder)


@pytest.mark.parametrize("rank", [10**9, -1, 255, 2.0, "2", None])
def test_a_rank_that_there_is_not(rank, tmp_path):
    """A list of a thousand million sizes would be 8 GB."""
    folder = pathlib.Path(savedmodels.scale(tmp_path / "m"))
    export_v1.export(saved_model=str(folder), export_dir=str(tmp_path / "export"), sample=_sample(tmp_path))
    file = tmp_path / "export" / "assets.extra" / "export_v1.json"
    record = json.loads(file.read_text())
    assert record["sample"]["ranks"] == {"y": 2}
    # Layers on one export share what was read of it.
    same = shutil.copytree(tmp_path / "export", tmp_path / "same")
    assert SignatureLayer(same).output_specs["y"].shape == (None, None)
    record["sample"]["ranks"]["y"] = rank
    file.write_text(json.dumps(record))
    with contextlib.suppress(errors.UserError):
        assert SignatureLayer(tmp_path / "export").output_specs["y"].shape is None


def _sample(tmp_path: pathlib.Path) -> str:
    np.savez(tmp_path / "sample.npz", x=np.ones((2, 3), np.float32))
    return str(tmp_path / "sample.npz")


@pytest.fixture
def scoring(tmp_path, capsys):
    """Returns a function from a file of inputs to what `predict` says of it; nothing is written."""
    folder = savedmodels.two_inputs(tmp_path / "export")

    def said(inputs: pathlib.Path, outputs: str = "out.npz") -> str:
        message = _message(capsys, "predict", folder, f"--inputs={inputs}", f"--outputs={tmp_path / outputs}")
        assert not (tmp_path / outputs).exists()
        return message

    return said


ROWS = {"ids": np.ones((4, 2), np.int32), "mask": np.ones((4, 2), np.float32)}


def test_a_scalar_where_rows_are_wanted(scoring, tmp_path):
    np.savez(tmp_path / "in.npz", ids=ROWS["ids"], mask=np.float32(1))
    assert "'mask' is a scalar" in scoring(tmp_path / "in.npz")
    np.savez(tmp_path / "in.npz", ids=np.int32(1), mask=np.float32(1))
    assert "is a scalar" in scoring(tmp_path / "in.npz")
    (tmp_path / "in").mkdir()
    np.save(tmp_path / "in" / "ids.npy", ROWS["ids"])
    np.save(tmp_path / "in" / "mask.npy", np.float32(1))
    assert "'mask' is a scalar" in scoring(tmp_path / "in")


@pytest.mark.parametrize("outputs", ["out.npz", "out", "out.tfrecord"])
def test_no_rows_at_all(outputs, scoring, tmp_path):
    np.savez(tmp_path / "in.npz", **{key: value[:0] for key, value in ROWS.items()})
    assert "holds no rows" in scoring(tmp_path / "in.npz", outputs)


def test_answers_do_not_take_the_place_of_their_inputs(tmp_path, capsys):
    folder = savedmodels.two_inputs(tmp_path / "export")
    np.savez(tmp_path / "in.npz", **ROWS)
    (tmp_path / "link.npz").symlink_to(tmp_path / "in.npz")
    for name in ("in.npz", "link.npz"):
        said = _message(capsys, "predict", folder, f"--inputs={tmp_path}/in.npz", f"--outputs={tmp_path}/{name}")
        assert "holds inputs" in said
        assert sorted(np.load(tmp_path / "in.npz").files) == ["ids", "mask"]


def _npy(shape: str, descr: str = "<f4", content: bytes = bytes(32)) -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


SHAPES = ["(-1, 2)", "(4, -2)", "(-4, -2)", "(4, 2**70)", "(1180591620717411303424, 2)", "(4, 1180591620717411303424)",
          "(4.0, 2)", "(True, 2)", "('4', 2)", "(4, 2, 0)", "4", "None"]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["npz", "folder"])
def test_a_shape_that_there_is_not(kind, shape, scoring, tmp_path):
    if kind == "npz":
        np.savez(tmp_path / "in.npz", ids=ROWS["ids"])
        with zipfile.ZipFile(tmp_path / "in.npz", "a") as archive:
            archive.writestr("mask.npy", _npy(shape))
        scoring(tmp_path / "in.npz")
    else:
        (tmp_path / "in").mkdir()
        np.save(tmp_path / "in" / "ids.npy", ROWS["ids"])
        (tmp_path / "in" / "mask.npy").write_bytes(_npy(shape))
        scoring(tmp_path / "in")


def test_an_archive_that_fills_the_memory(scoring, tmp_path):
    """A few kilobytes that are two gigabytes when they are unpacked, as one row."""
    with zipfile.ZipFile(tmp_path / "in.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("ids.npy", _npy("(1, 2)", "<i4", bytes(8)))
        with archive.open("mask.npy", "w", force_zip64=True) as member:
            member.write(_npy("(1, 536870912)", "<f4", b""))
            for _ in range(2048):
                member.write(bytes(2**20))
    assert (tmp_path / "in.npz").stat().st_size < 20 * 2**20
    assert "unpacked" in scoring(tmp_path / "in.npz")
    shutil.copy(tmp_path / "in.npz", tmp_path / "sample.npz")
    with pytest.raises(export_v1.ExportError, match="unpacked"):
        export_v1.export(
            export_dir=str(tmp_path / "o"), sample=str(tmp_path / "sample.npz"), **cases.load("mlp_layers").flags()
        )


@pytest.mark.parametrize("backend", ["jax", "torch", "numpy"])
def test_a_layer_of_another_backend(backend, exported, subprocess_env, run_in_python):
    code = f"""
import sys, types
import keras
keras.backend.backend = lambda: {backend!r}
keras.config.backend = keras.backend.backend
import load_v2
try:
    load_v2.SignatureLayer({str(exported("mlp_layers"))!r})
except load_v2.LoadError as error:
    print(error)
"""
    said = run_in_python(code)
    assert f"KERAS_BACKEND is {backend!r}" in said and "KERAS_BACKEND=tensorflow" in said


@pytest.fixture
def run_in_python(run_program):
    def run(code: str) -> str:
        done = run_program(["-c", code])
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    return run


def test_a_path_too_deep(exported, tmp_path, capsys):
    deep = str(tmp_path) + "/a" * 1900
    np.savez(tmp_path / "in.npz", x=np.zeros((2, 16), "float32"))
    export = exported("mlp_layers")
    for command in (
        ["predict", export, f"--inputs={tmp_path}/in.npz", f"--outputs={deep}/out.npz"],
        ["to_keras", export, f"--keras={deep}/m.keras"],
    ):
        assert "folders deep" in _message(capsys, *command)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.npz"]
    for command in (["show", deep], ["verify", deep]):
        _message(capsys, *command)
    # What is there, and deeper than Python's stack.
    folder = shutil.copytree(export, tmp_path / "export")
    place = folder
    for _ in range(300):
        place = place / ("a" * 5)
    place.mkdir(parents=True)
    assert step_2.main(step_2.parse(["load_v2", "show", str(folder)])) == 0


def test_a_folder_whose_name_is_not_utf_8(exported, tmp_path, capsys):
    """TensorFlow takes none; people have them from other systems."""
    place = tmp_path / os.fsdecode(b"mod\xffel")
    shutil.copytree(cases.load("lookup_vocab").folder, place)
    flags = cases.load("lookup_vocab").flags() | {"checkpoint": str(place / "model.ckpt-3")}
    report = export_v1.export(export_dir=str(place / "export"), **flags)
    assert report["proof"]["verdict"] == "equal"
    np.savez(place / "in.npz", words=cases.load("lookup_vocab").oracle("in")["words"].astype("S"))
    for command in (
        ["verify", place / "export"],
        ["predict", place / "export", f"--inputs={place}/in.npz", f"--outputs={place}/out.npz"],
        ["to_keras", place / "export", f"--keras={place}/m.keras"],
        ["verify", place / "m.keras"],
    ):
        assert step_2.main(step_2.parse(["load_v2", *map(str, command)])) == 0, capsys.readouterr()
    assert "There is no folder" in _message(capsys, "show", place / "none")


def test_answers_do_not_go_into_the_model(exported, tmp_path, capsys):
    folder = shutil.copytree(exported("mlp_layers"), tmp_path / "export")
    np.savez(tmp_path / "in.npz", x=np.zeros((2, 16), "float32"))
    before = {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}
    (tmp_path / "link").symlink_to(folder)
    for name in ("export/assets.extra/sample.npz", "export/out.npz", "link/out.npz"):
        said = _message(capsys, "predict", folder, f"--inputs={tmp_path}/in.npz", f"--outputs={tmp_path}/{name}")
        assert "is in the folder of the model" in said
    assert {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))} == before
