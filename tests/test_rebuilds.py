"""What `python -m tests.rebuilds` says of a model."""

import dataclasses
import pathlib
import shutil

import numpy as np
import pytest

from tests.rebuilds import __main__ as command
from tests.rebuilds import judging
from tests.support import cases


@pytest.fixture
def tuned(exported, tmp_path):
    """Returns the folder of a case that was fine-tuned, with its export."""
    folder = tmp_path / "tuned"
    shutil.copytree(cases.load("convnet_bn_finetune").folder, folder)
    (folder / "1").symlink_to(exported("convnet_bn_finetune"))
    return folder


def _changed(folder: pathlib.Path, key: str) -> None:
    arrays = dict(np.load(folder / "oracle.npz"))
    arrays[key] = arrays[key] * np.float32(1.01)
    np.savez(folder / "oracle.npz", **arrays)


def test_a_model_that_answers_and_trains_as_the_original(tuned):
    (row,) = judging.judged([tuned], ["tensorflow"])
    assert row.equal and row.tuned and not row.wrong and row.answers == {"tensorflow": "equal"}
    assert str(row).startswith("| tuned | ") and "100.00% of" in str(row) and str(row).endswith("| equal | equal |")


@pytest.mark.parametrize("key", ["out/out", "finetune/losses"])
def test_an_answer_or_a_loss_that_is_not_tensorflow_1s_is_wrong(tuned, key):
    _changed(tuned, key)
    (row,) = judging.judged([tuned], ["tensorflow"])
    assert row.wrong and "DIFFERENT" in str(row)


def test_what_is_refused_is_told_and_is_not_wrong(exported):
    refused, rebuilt = judging.judged([exported("odd_no_inputs"), exported("mlp_layers")], ["tensorflow"])
    assert refused.report is None and "has no inputs" in str(refused) and not refused.wrong
    assert rebuilt.equal and rebuilt.tuned is None
    said = command.summary([refused, rebuilt, dataclasses.replace(rebuilt, answers={"jax": "DIFFERENT"})])
    assert said.startswith("3 models: 1 rebuilt and equal, 1 wrong.") and "100.00% by number" in said


def test_a_folder_of_cases_and_exports_is_looked_through(exported, tmp_path):
    (tmp_path / "a" / "1").mkdir(parents=True)
    (tmp_path / "a" / "1" / "saved_model.pb").touch()
    (tmp_path / "b" / "1").mkdir(parents=True)
    (tmp_path / "b" / "case.json").touch()
    (tmp_path / "b" / "1" / "saved_model.pb").touch()
    assert command.models(tmp_path) == [tmp_path / "a" / "1", tmp_path / "b"]
    assert command.models(tmp_path / "b") == [tmp_path / "b"] and not command.models(tmp_path / "c")
