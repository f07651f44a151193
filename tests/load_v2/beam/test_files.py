"""Records of files for Beam: what is kept of them, how answers are written beside it, what is refused."""

import argparse
import json

import numpy as np
import pytest
import tensorflow as tf

import load_v2
from load_v2.beam import command
from load_v2.program.signature import Spec
from load_v2.scoring import elements

pytest.importorskip("apache_beam", reason="pip install -e '.[beam]'")
pyarrow = pytest.importorskip("pyarrow")

from load_v2.beam import rows  # noqa: E402 - after what says what is missing

SPECS = {"x": Spec("x:0", "float32", (None, 2)), "word": Spec("w:0", "string", (None,))}


def keyed(record, keep=()):
    ((kept, row),) = rows.Keyed(SPECS, keep).process(record)
    return kept, row


def test_what_the_signature_does_not_take_is_kept_and_what_is_asked_for():
    record = {"id": 7, "x": [1.0, 2.0], "word": "a", "tags": ["b", "c"]}
    assert keyed(record)[0] == {"id": 7, "tags": ["b", "c"]}
    assert keyed(record, ["word"])[0] == {"id": 7, "word": "a", "tags": ["b", "c"]}
    row = keyed(record)[1]
    assert isinstance(row, elements.Flat) and row["id"] == 7 and row["x"].tolist() == [1.0, 2.0]
    assert "tags" not in row, "a list that is no input does not travel"
    assert keyed({"x": [1.0], "tags": ["b"]})[1]["tags"].tolist() == ["b"], "unless an input is missing"
    assert keyed({"x": [[1.0], [1.0, 2.0]], "word": "a"})[1]["x"] == [[1.0], [1.0, 2.0]]


def test_records_of_bytes_are_handed_on_as_they_are():
    example = tf.train.Example()
    example.features.feature["id"].int64_list.value.append(7)
    example.features.feature["x"].float_list.value.extend([1.0, 2.0])
    record = example.SerializeToString()
    assert keyed(record) == ({"id": [7]}, record)
    assert keyed(b"no example") == ({}, b"no example")


def test_answers_do_not_overwrite_what_was_kept():
    found = rows.merged({"id": 7, "y": "mine"}, {"y": np.ones([1, 2]), "z": np.float32(3)})
    assert list(found) == ["id", "y", "out/y", "z"] and found["y"] == "mine"
    assert found["out/y"].tolist() == [1.0, 1.0] and found["z"].tolist() == [3.0]


def test_a_record_is_written_as_an_example():
    record = {
        "id": 7, "flag": True, "none": None, "text": "ü", "bytes": b"a\0", "words": ["b", b"c"], "empty": [],
        "half": np.array([[0.5], [1.5]], "float16"), "many": np.array([1, 2], "uint8"), "wide": 0.25,
    }  # fmt: skip
    feature = tf.train.Example.FromString(rows.example(record)).features.feature
    assert "none" not in feature and feature["empty"].WhichOneof("kind") is None
    assert feature["id"].int64_list.value == [7] and feature["flag"].int64_list.value == [1]
    assert feature["many"].int64_list.value == [1, 2] and feature["half"].float_list.value == [0.5, 1.5]
    assert feature["wide"].float_list.value == [0.25] and feature["text"].bytes_list.value == ["ü".encode()]
    assert feature["bytes"].bytes_list.value == [b"a\0"] and feature["words"].bytes_list.value == [b"b", b"c"]
    assert rows.example(dict(reversed(record.items()))) == rows.example(record)


OUTPUTS = {
    "one": Spec("a:0", "float32", (None,)),
    "many": Spec("b:0", "bfloat16", (None, 2)),
    "open": Spec("c:0", "int64", None),
    "text": Spec("d:0", "string", (None,)),
    "id": Spec("e:0", "float64", (None,)),
}


def test_a_table_has_a_column_for_each_output():
    source = pyarrow.schema([("id", pyarrow.int32()), ("x", pyarrow.list_(pyarrow.float32()))])
    schema = rows.table_schema(source, ["id"], OUTPUTS)
    assert {field.name: str(field.type) for field in schema} == {
        "id": "int32", "one": "float", "many": "list<item: float>", "open": "list<item: int64>", "text": "binary",
        "out/id": "double",
    }  # fmt: skip
    made = {"one": np.array([1.5], "f"), "many": tf.constant([1.0, 2.0], tf.bfloat16).numpy(), "open": np.array([3])}
    made |= {"text": np.array([b"t"], dtype=object), "out/id": np.array([2.5])}
    cells = rows.cells({"id": 7, **made}, OUTPUTS)
    assert cells == {"id": 7, "one": 1.5, "many": [1.0, 2.0], "open": [3], "text": b"t", "out/id": 2.5}
    assert pyarrow.Table.from_pylist([cells], schema=schema).to_pylist() == [cells]


def test_files_are_told_by_their_endings():
    for ending in ("tfrecord", "tfrecords", "tfrecord.gz", "tfrecords.gz"):
        assert rows.kind("input", f"a.{ending}") == "tfrecord"
    assert rows.kind("input", "a.parquet") == "parquet"
    with pytest.raises(load_v2.LoadError, match=r"--output=a.csv is neither"):
        rows.kind("output", "a.csv")


def test_files_that_match_come_in_order(tmp_path):
    names = [f"{letter}.parquet" for letter in "hbcadgfe"]
    for name in (*names, "c.txt"):
        (tmp_path / name).write_text("")
    assert rows.matching(f"{tmp_path}/*.parquet") == [f"{tmp_path}/{name}" for name in sorted(names)]
    with pytest.raises(load_v2.LoadError, match="No file matches --input="):
        rows.matching(f"{tmp_path}/*.csv")


def test_only_what_is_there_can_be_kept():
    rows.check_kept(["a"], ["a", "b"], "the table")
    with pytest.raises(load_v2.LoadError, match="--keep=c is not in the table; it has 'a', 'b'"):
        rows.check_kept(["a", "d", "c"], ["a", "b"], "the table")


def test_a_failed_record_is_a_line_of_what_can_be_read():
    kept = {"id": np.int64(7), "raw": b"\xff\x00a", "row": np.array([1, 2]), "ü": "ö"}
    line = command._line((kept, "unused"), "why")
    assert "ü" in line and "\n" not in line
    assert json.loads(line) == {"record": {"id": 7, "raw": "\\xff\x00a", "row": [1, 2], "ü": "ö"}, "reason": "why"}


def test_a_record_without_an_answer_stops_the_job():
    with pytest.raises(load_v2.LoadError, match="^why\n  --failed=FILE.jsonl"):
        command._stop("element", "why")


@pytest.mark.parametrize("hidden, package", [("pyarrow", "pyarrow"), ("google_crc32c", "google-crc32c")])
def test_a_package_that_files_need_is_asked_for_before_the_job(hidden, package, monkeypatch):
    ending = "parquet" if hidden == "pyarrow" else "tfrecord"
    hides = {"pyarrow"} if hidden == "pyarrow" else {"google_crc32c", "crcmod", "snappy"}
    real = command.importlib.util.find_spec
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None if name in hides else real(name))
    args = argparse.Namespace(input=f"a.{ending}", output=f"b.{ending}")
    with pytest.raises(load_v2.LoadError, match=f"pip install {package}"):
        command._check_files(args)


def test_flags_have_the_defaults_that_the_help_says():
    args = command.parser().parse_args(["DIR", "--input=a", "--output=b", "--keep=x", "--keep=y"])
    assert (args.signature, args.batch_size, args.failed, args.keep) == ("serving_default", None, None, ["x", "y"])
    assert command.parser().parse_known_args(["DIR", "--input=a", "--output=b", "--out=c", "--runner=R"])[1] == [
        "--out=c", "--runner=R"
    ], "what is no flag of ours is Beam's, abbreviations too"  # fmt: skip
