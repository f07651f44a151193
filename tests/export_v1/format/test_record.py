"""The record on disk."""

import json

import numpy as np
import pytest

from export_v1 import errors
from export_v1.format import record

FULL = record.Record(
    source=record.Origin("checkpoint", "model.ckpt-3"),
    graph_tensorflow_version="1.15.5",
    exported_by_tensorflow="2.21.0",
    inputs={"x": record.TensorEntry("x:0", "float32", [3, 2], [None, 2])},
    outputs={"y": record.TensorEntry("y:0", "float32", None)},
    signatures={"serving_default": record.SignatureEntry({"x": record.TensorEntry("x:0", "float32", [3, 2])}, {})},
    frozen={"is_training:0": False},
    train_frozen={"is_training:0": True},
    nodes=record.Nodes(10, 5, 4, 1),
    regularization_losses=["loss:0"],
    converted={"while": 1},
    unconverted=[record.Unconverted("cond", "a reason")],
    choices=[record.Choice("what", "why")],
    variables=[record.VariableEntry("w", "float32", [2], True, "w", 7)],
    sample=record.SampleEntry("generated", ["z"], {"y": 2}, ["flag = true"]),
    sample_left_out="too large",
    proof=record.ProofEntry("equal", "", {"z": "it is random"}, ["flag = false: no"]),
    warnings=["NaN"],
    warmup=[1, 8],
)


def _read(path):
    return record.read(str(path), errors.ExportError, "Remedy.")


def test_what_was_written_is_read(tmp_path):
    record.write(FULL, str(tmp_path / "record.json"))
    assert _read(tmp_path / "record.json").to_json() == FULL.to_json()
    entry = _read(tmp_path / "record.json").inputs["x"]
    assert entry.exported_shape == [None, 2] and entry.shape == [3, 2]
    assert _read(tmp_path / "record.json").outputs["y"].exported_shape is None


def test_every_field_is_plain_json(tmp_path):
    values = record.Record(frozen={"a:0": np.float32(0.5), "b:0": np.arange(2), "c:0": b"text"})
    record.write(values, str(tmp_path / "record.json"))
    assert json.loads((tmp_path / "record.json").read_text())["frozen"] == {"a:0": 0.5, "b:0": [0, 1], "c:0": "text"}
    assert "relaxed_shape" not in FULL.to_json()["outputs"]["y"]


def test_a_record_of_an_earlier_or_later_build_is_read(tmp_path):
    path = tmp_path / "record.json"
    path.write_text(json.dumps({"format_version": 1, "unknown": 1, "variables": [{"name": "w", "later": 2}],
                                "signatures": {"s": {"inputs": {"x": {}}, "outputs": {}}}}))  # fmt: skip
    found = _read(path)
    assert found.variables[0].name == "w" and found.variables[0].crc32c is None
    assert list(found.signatures["s"].inputs) == ["x"] and found.sample is None and found.choices == ()


def test_plain_keys_and_plain_choices_are_read(tmp_path):
    path = tmp_path / "record.json"
    path.write_text(json.dumps({"format_version": 1, "choices": ["text"], "signatures": {"s": {"inputs": ["b", "a"]}}}))
    found = _read(path)
    assert found.choices == (record.Choice("text", ""),) and list(found.signatures["s"].inputs) == ["b", "a"]


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"format_version": 2}',
        '{"format_version": 1, "inputs": 3}',
        '{"format_version": 1, "variables": [3]}',
        '{"format_version": 1, "variables": [{}]}',
        '{"format_version": 1, "choices": [{"what": "a"}]}',
        '{"format_version": 1, "signatures": {"a": []}}',
        '{"format_version": 1, "sample": {"ranks": 3}}',
        '{"format_version": 1, "frozen": 3}',
    ],
)
def test_a_damaged_record_is_one_message(tmp_path, content):
    path = tmp_path / "record.json"
    path.write_text(content)
    with pytest.raises(errors.ExportError, match="record.json.*\n  Remedy."):
        _read(path)
