"""bundle: an index read without TensorFlow agrees with TensorFlow about every tensor."""

import pathlib
import shutil
import zlib

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import tensor_bundle_pb2

import export_v1
from export_v1.format import bundle
from tests.support import cases

NAMES = ("mlp_layers", "sharded_ckpt", "partitioned_embedding", "ema_shadow", "lookup_vocab")


def prefix(name: str) -> str:
    return cases.load(name).flags()["checkpoint"]


@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_tensorflow_about_names_types_and_shapes(name):
    reader = tf.train.load_checkpoint(prefix(name))
    found = bundle.read(prefix(name)).tensors
    assert {key: [dim.size for dim in entry.shape.dim] for key, entry in found.items()} == (
        reader.get_variable_to_shape_map()
    )
    assert {key: tf.as_dtype(entry.dtype) for key, entry in found.items()} == reader.get_variable_to_dtype_map()


@pytest.mark.parametrize("name", NAMES)
def test_bytes_are_where_it_says(name):
    index, reader = bundle.read(prefix(name)), tf.train.load_checkpoint(prefix(name))
    for key in index.tensors:
        entry = index.entry(key, ())
        if entry is not None and entry.dtype != tf.string.as_datatype_enum:
            path = pathlib.Path(bundle.data_file(prefix(name), entry.shard_id, index.shards))
            assert path.read_bytes()[entry.offset :][: entry.size] == reader.get_tensor(key).tobytes(), key


def test_slices_are_where_it_says():
    path = prefix("partitioned_embedding")
    index, whole = bundle.read(path), tf.train.load_checkpoint(path).get_tensor("model/emb")
    assert index.entry("model/emb", ()) is None
    assert list(index.slices["model/emb"]) == [((0, 7), (0, 6)), ((7, 7), (0, 6)), ((14, 6), (0, 6))]
    data = pathlib.Path(bundle.data_file(path, 0, 1)).read_bytes()
    for part, entry in index.slices["model/emb"].items():
        expected = whole[tuple(slice(start, start + size) for start, size in part)]
        assert data[entry.offset :][: entry.size] == expected.tobytes(), part
    assert index.entry("model/emb", ((0, 8), (0, 6))) is None


@pytest.mark.parametrize("start", [0, 63, 64, 8191, 8192, 2**20 - 1, 2**20, 2**27, 2**34, 2**41 - 1])
def test_slices_far_into_a_tensor(tmp_path, start):
    spec = f"{start + 3} {start},2"
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "far"), tensor_names=["w"], shape_and_slices=[spec], tensors=[np.float32([1, 2])]
    )
    assert list(bundle.read(str(tmp_path / "far")).slices["w"]) == [((start, 2),)]


def test_slices_along_a_whole_axis(tmp_path):
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "w"), tensor_names=["w"], shape_and_slices=["4 3 1,2:-"], tensors=[np.zeros([2, 3])]
    )
    assert list(bundle.read(str(tmp_path / "w")).slices["w"]) == [((1, 2), (0, 3))]


def test_many_names_fill_several_blocks(tmp_path):
    names = [f"tower/layer_{at}/a_rather_long_name_of_a_variable/kernel" for at in range(3000)]
    values = [np.int32(at) for at in range(3000)]
    tf.raw_ops.SaveV2(prefix=str(tmp_path / "many"), tensor_names=names, shape_and_slices=[""] * 3000, tensors=values)
    assert sorted(bundle.read(str(tmp_path / "many")).tensors) == sorted(names)


def test_checksum_of_slices_is_that_of_the_whole(tmp_path):
    value = np.arange(24, dtype=np.float64).reshape(6, 4)
    tf.raw_ops.SaveV2(prefix=str(tmp_path / "whole"), tensor_names=["w"], shape_and_slices=[""], tensors=[value])
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "cut"),
        tensor_names=["w"] * 3,
        shape_and_slices=["6 4 0,1:-", "6 4 1,3:-", "6 4 4,2:-"],
        tensors=[value[:1], value[1:4], value[4:]],
    )
    whole, cut = bundle.read(str(tmp_path / "whole")), bundle.read(str(tmp_path / "cut"))
    assert cut.checksum("w") == whole.checksum("w") == whole.tensors["w"].crc32c
    swapped = np.concatenate([value[1:4], value[:1], value[4:]])
    tf.raw_ops.SaveV2(prefix=str(tmp_path / "other"), tensor_names=["w"], shape_and_slices=[""], tensors=[swapped])
    assert bundle.read(str(tmp_path / "other")).checksum("w") != whole.checksum("w")


@pytest.mark.parametrize("cut", [0, 1, 47, 48, 200])
def test_an_index_that_is_cut_is_none(tmp_path, cut):
    for path in pathlib.Path(prefix("mlp_layers")).parent.glob("model.ckpt-3.*"):
        shutil.copy(path, tmp_path)
    path = tmp_path / "model.ckpt-3.index"
    path.write_bytes(path.read_bytes()[:cut])
    assert bundle.read(str(tmp_path / "model.ckpt-3")) is None


def test_what_is_no_index_is_none(tmp_path):
    assert bundle.read(str(tmp_path / "nothing")) is None
    (tmp_path / "text.index").write_bytes(zlib.compress(b"text" * 1000))
    assert bundle.read(str(tmp_path / "text")) is None
    assert bundle.read(prefix("v1_format")) is None


def _table(values: dict[bytes, bytes], compression: int = 0) -> bytes:
    """Returns a string table of one block."""

    def block(pairs: dict[bytes, bytes]) -> bytes:
        entries = b"".join(bytes([0, len(key), len(value)]) + key + value for key, value in pairs.items())
        return entries + (0).to_bytes(4, "little") + (1).to_bytes(4, "little")

    def handle(start: int, size: int) -> bytes:
        assert max(start, size) < 128
        return bytes([start, size])

    data = block(values)
    index = block({b"\xff": handle(0, len(data))})
    footer = handle(0, 0) + handle(len(data) + 5, len(index))
    magic = (0xDB4775248B80FB57).to_bytes(8, "little")
    return data + bytes([compression]) + bytes(4) + index + bytes(5) + footer.ljust(40, b"\0") + magic


ENTRY = tensor_bundle_pb2.BundleEntryProto(dtype=1, size=4).SerializeToString()


@pytest.mark.parametrize(
    ("header", "changes", "read"),
    [
        ({"num_shards": 3}, {}, True),
        ({"num_shards": 3, "endianness": 1}, {}, False),
        ({"num_shards": 3}, {"compression": 1}, False),
        ({"num_shards": 3}, {"slice_key": b"\0a\0\1"}, False),
    ],
    ids=["plain", "big-endian", "compressed", "damaged"],
)
def test_only_what_can_be_copied_as_it_is_is_read(tmp_path, header, changes, read):
    changes = dict(changes)
    proto = tensor_bundle_pb2.BundleHeaderProto(**header)
    values = {b"": proto.SerializeToString(), changes.pop("slice_key", b"w"): ENTRY}
    (tmp_path / "m.index").write_bytes(_table(values, **changes))
    index = bundle.read(str(tmp_path / "m"))
    assert (index is not None) == read
    if read:
        assert index.shards == 3 and index.entry("w", ()).size == 4 and index.entry("gone", ()) is None


def test_slices_of_a_name_with_a_zero_byte_in_it(tmp_path):
    name = "a\0b"
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "w"), tensor_names=[name], shape_and_slices=["4 1,2"], tensors=[np.zeros([2])]
    )
    assert list(bundle.read(str(tmp_path / "w")).slices) == [name]


def _varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found, number = found + bytes([number & 127 | 128]), number >> 7
    return found + bytes([number])


def _blocks(entries: list[list[tuple[int, bytes]]], times: int = 1) -> bytes:
    """Returns a table of blocks of (bytes in common with the key before, the rest of the key), each listed so often."""

    def block(pairs) -> bytes:
        content = [
            _varint(common) + _varint(len(own)) + _varint(len(value)) + own + value for common, own, value in pairs
        ]
        return b"".join(content) + (0).to_bytes(4, "little") + (1).to_bytes(4, "little")

    content, handles = b"", []
    for pairs in entries:
        made = block([(common, own, b"") for common, own in pairs])
        handles.append(_varint(len(content)) + _varint(len(made)))
        content += made + bytes(5)
    listed = block([(0, b"%09d" % at, handle) for at, handle in enumerate(handles * times)])
    footer = b"\0\0" + _varint(len(content)) + _varint(len(listed))
    return content + listed + bytes(5) + footer.ljust(40, b"\0") + (0xDB4775248B80FB57).to_bytes(8, "little")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (_blocks([[(0, b"%06d" % at) for at in range(100)]], times=2), "not in order at b'000000'"),
        (_blocks([[(0, b"b"), (0, b"a")]]), "not in order at b'a'"),
        (_blocks([[(0, b"a" * 2**20), *((2**20, b"%06d" % at) for at in range(400))]]), "has keys of more than"),
    ],
    ids=["a block that comes twice", "keys out of order", "a long key again and again"],
)
def test_an_index_that_a_walk_would_not_end_in_is_refused_before_tensorflow_reads_it(content, told, tmp_path):
    (tmp_path / "m.index").write_bytes(content)
    (tmp_path / "m.data-00000-of-00001").write_bytes(b"")
    with pytest.raises(export_v1.ExportError, match=told):
        bundle.read(str(tmp_path / "m"))
    shutil.copy(pathlib.Path(prefix("mlp_layers") + ".meta"), tmp_path / "m.meta")
    with pytest.raises(export_v1.ExportError, match=told):
        export_v1.inspect(checkpoint=str(tmp_path / "m"))


def test_a_number_that_does_not_end_is_none(tmp_path):
    content = bytearray(_blocks([[(0, b"a")]]))
    content[:1] = b"\xff" * 100_000
    with pytest.raises(ValueError, match="more than 64 bits"):
        bundle._varint(content, 0)
