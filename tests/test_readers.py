"""The matrix of readers: a cell is green for the recorded answers only, and a red one says why."""

import shutil

import numpy as np
import pytest

from tests.readers import cell
from tests.readers.__main__ import table
from tests.readers.readers import READERS

# Those that need nothing but TensorFlow.
OWN = [
    "v1 Session",
    "C API",
    "saved_model_cli show",
    "saved_model_cli run",
    "saved_model_cli scan",
    "tf.saved_model.load",
]


@pytest.mark.parametrize("reader", OWN)
def test_readers_of_tensorflow_itself_are_green(reader, exported):
    folder = str(exported("lookup_vocab"))
    only_looks = reader in ("saved_model_cli show", "saved_model_cli scan")
    assert cell.sample(folder)[1]
    assert cell.run(reader, folder) == {"worst": None if only_looks else 0.0}


@pytest.fixture
def spoilt(exported, tmp_path):
    """Returns a function that gives an export with another recorded answer."""

    def make(change) -> str:
        folder = tmp_path / "spoilt"
        shutil.copytree(exported("mlp_layers"), folder)
        with np.load(folder / "assets.extra" / "sample.npz") as arrays:
            values = {key: arrays[key] for key in arrays.files}
        values["out/probs"] = change(values["out/probs"])
        np.savez(folder / "assets.extra" / "sample.npz", **values)
        return str(folder)

    return make


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda value: value + 1e-3, "'probs' is off by 0.00"),
        (lambda value: value[:1], r"'probs' has shape [3, 3], TensorFlow's [1, 3]"),
        (lambda value: value.astype(np.int32), "'probs' is float32, TensorFlow's int32"),
    ],
)
def test_other_answers_are_red(spoilt, change, said):
    assert said in cell.run("v1 Session", spoilt(change))["reason"]


def test_a_reader_that_raises_is_red(exported, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(exported("mlp_layers"), folder)
    (folder / "saved_model.pb").write_bytes(b"no graph")
    # One of the three ways to call saved_model_cli, each of which is a process.
    readers = [reader for reader in OWN if reader not in ("saved_model_cli show", "saved_model_cli scan")]
    assert all("reason" in cell.run(reader, str(folder)) for reader in readers)


def test_a_missing_output_is_red(exported, monkeypatch):
    monkeypatch.setitem(READERS, "v1 Session", lambda folder, inputs, outputs: {})
    assert "no output 'probs'" in cell.run("v1 Session", str(exported("mlp_layers")))["reason"]


def test_the_table_says_each_reason_once():
    green, looked, red = {"worst": 2e-7}, {"worst": None}, {"reason": "it lacks Unique"}
    text = table(
        {"a": {"X": green, "Y": red}, "b": {"X": {"worst": 0.0}, "Y": red}, "c": {"X": looked, "Y": green}}, ["X", "Y"]
    )
    assert "| a | 2e-07 | **red** (1) |" in text and "| b | identical | **red** (1) |" in text and "| c | yes |" in text
    assert text.count("it lacks Unique") == 1
