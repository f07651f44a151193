"""tfrecords: the length of a record is looked at before TensorFlow makes room for it."""

import gzip
import os
import pathlib
import struct

import numpy as np
import pytest
import tensorflow as tf

from load_v2 import LoadError
from load_v2.program.signature import Spec
from load_v2.scoring import tfrecords
from tests.support import bundles


def _record(content: bytes, length: int | None = None) -> bytes:
    head = struct.pack("<Q", len(content) if length is None else length)
    return head + struct.pack("<I", bundles.masked(head)) + content + struct.pack("<I", bundles.masked(content))


def _read(path) -> list[bytes]:
    reader = tfrecords.Reader(str(path), {"x": Spec("x:0", "string", (None,))})
    return [row for batch in reader.batches(2) for row in batch["x"].numpy().tolist()]


@pytest.mark.parametrize("name", ["a.tfrecord", "a.tfrecord.gz"])
def test_records_as_tensorflow_writes_them_are_read(name, tmp_path):
    records = [b"", b"a", b"b" * 300_000, b"c"]
    path = str(tmp_path / name)
    with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions("GZIP" if name.endswith("gz") else "")) as writer:
        for record in records:
            writer.write(record)
    assert _read(path) == records


@pytest.mark.parametrize("name", ["a.tfrecord", "a.tfrecord.gz"])
@pytest.mark.parametrize("length", [3, 2**33, 2**40, 2**62, 2**64 - 1])
def test_a_record_longer_than_its_file_is_refused(length, name, tmp_path):
    """With its checksum right, TensorFlow 2.21 ends the process where there is no room for so much."""
    content = _record(b"first") + _record(b"xy", length)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(LoadError, match=f"ends within record 1, which begins at byte 21 .* {length:,} bytes"):
        _read(tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [_record(b"first")[:-1], _record(b"first") + b"abc", b"text", gzip.compress(b"text")],
    ids=["cut off", "more behind it", "text", "packed"],
)
def test_a_file_that_is_cut_off_is_refused(content, tmp_path):
    (tmp_path / "a.tfrecord").write_bytes(content)
    with pytest.raises(LoadError, match="cut off, or no TFRecord"):
        _read(tmp_path / "a.tfrecord")


@pytest.mark.parametrize(
    "content",
    [_record(b"first"), gzip.compress(_record(b"first"))[:-9], b""],
    ids=["not packed", "cut off", "empty"],
)
def test_what_is_not_packed_is_refused_as_such(content, tmp_path):
    (tmp_path / "a.tfrecord.gz").write_bytes(content)
    if not content:
        assert _read(tmp_path / "a.tfrecord.gz") == []
        return
    with pytest.raises(LoadError, match="cannot be read: "):
        _read(tmp_path / "a.tfrecord.gz")


@pytest.mark.parametrize("name", ["a.tfrecord", "a.tfrecord.gz"])
def test_every_record_is_in_the_file_before_it_has_its_name(name, tmp_path, monkeypatch):
    """What TensorFlow still holds would come when it lets the file go, and an error then would be nobody's."""
    named, replace = {}, os.replace

    def seen(part, path):
        named[path] = pathlib.Path(part).read_bytes()
        replace(part, path)

    monkeypatch.setattr(os, "replace", seen)
    path = str(tmp_path / name)
    with tfrecords.writer(path) as writer:
        writer.write({"y": np.ones((3, 2), np.float32)})
    assert named[path] == pathlib.Path(path).read_bytes() and len(_read(path)) == 3
