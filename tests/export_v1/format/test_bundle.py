"""bundle: an index read without TensorFlow agrees with TensorFlow about every tensor."""

import pathlib
import shutil
import zlib

import numpy as np
import pytest
import tensorflow as tf

import export_v1
from export_v1.format import bundle, table
from tests.support import bundles, cases

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
def test_an_index_that_is_cut_is_refused(tmp_path, cut):
    copy = bundles.copied(prefix("mlp_layers"), tmp_path)
    path = pathlib.Path(copy + ".index")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(export_v1.ExportError, match="no table of TensorFlow's, or cut off"):
        bundle.read(copy)


def test_what_is_no_index_is_none_or_refused(tmp_path):
    assert bundle.read(str(tmp_path / "nothing")) is None
    assert bundle.read(prefix("v1_format")) is None
    (tmp_path / "text.index").write_bytes(zlib.compress(b"text" * 1000))
    with pytest.raises(export_v1.ExportError, match="no table of TensorFlow's"):
        bundle.read(str(tmp_path / "text"))


ENTRY = bundles.Entry(dtype=1, size=4).SerializeToString()


@pytest.mark.parametrize(
    ("header", "key", "told"),
    [
        ({"num_shards": 3}, b"w", ""),
        ({"num_shards": 3, "endianness": 1}, b"w", None),
        ({"num_shards": 3}, b"\0a\0\1", "an entry of its index is damaged"),
        ({"num_shards": 3}, b"\xff\xfe", "an entry of its index is damaged"),
    ],
    ids=["plain", "big-endian", "a slice without an end", "a name that is no text"],
)
def test_only_what_can_be_copied_as_it_is_is_read(tmp_path, header, key, told):
    values = {b"": bundles.Header(**header).SerializeToString(), key: ENTRY}
    (tmp_path / "m.index").write_bytes(bundles.table(values))
    if told:
        with pytest.raises(export_v1.ExportError, match=told):
            bundle.read(str(tmp_path / "m"))
        return
    index = bundle.read(str(tmp_path / "m"))
    assert (index is None) == (told is None)
    if index is not None:
        assert index.shards == 3 and index.entry("w", ()).size == 4 and index.entry("gone", ()) is None


def _literal(content: bytes) -> bytes:
    """Snappy's own form of bytes that are as they are: up to 60 in a short one, more in a long one."""
    if len(content) > 60:
        return b"\xf4" + (len(content) - 1).to_bytes(2, "little") + content
    return bytes([len(content) - 1 << 2]) + content if content else b""


def _snappy(content: bytes) -> bytes:
    """Bytes as Snappy compresses them: of 40 bytes of one letter one, and copies of it of each of the three kinds."""
    before, after = content.split(b"a" * 40)
    one = _literal(before + b"a" * 4)
    copies = b"\x01\x01" + bytes([9 << 2 | 2, 2, 0]) + bytes([11 << 2 | 3, 3, 0, 0, 0]) + bytes([9 << 2 | 2, 1, 0])
    return bundles.varint(len(content)) + one + copies + _literal(after)


NAMES = ("a" * 40, "b" * 80, "c" * 90)


def _compressed(folder, compress=_snappy, kind: int = 1) -> str:
    prefix = str(folder / "m")
    tf.raw_ops.SaveV2(
        prefix=prefix, tensor_names=NAMES, shape_and_slices=[""] * 3, tensors=[np.float32([1.0, 2.0])] * 3
    )
    values = dict(table.entries((folder / "m.index").read_bytes()))
    (folder / "m.index").write_bytes(bundles.table(values, compress, kind))
    return prefix


def test_a_compressed_index_is_read_as_tensorflow_reads_it(tmp_path):
    prefix = _compressed(tmp_path)
    reader = tf.train.load_checkpoint(prefix)
    assert set(bundle.read(prefix).tensors) == set(reader.get_variable_to_shape_map()) == set(NAMES)
    np.testing.assert_array_equal(reader.get_tensor(NAMES[0]), [1.0, 2.0])


@pytest.mark.parametrize(
    "compress, kind, told",
    [
        (lambda content: content, 2, "in a way that TensorFlow does not know"),
        (lambda content: bundles.varint(2**40) + _literal(content), 1, "1,099,511,627,776 bytes"),
        (lambda content: bundles.varint(len(content) + 1) + _literal(content), 1, "not as long as it says"),
        (lambda content: bundles.varint(len(content)) + _literal(content) + b"\0a", 1, "not as long as it says"),
        (lambda content: bundles.varint(len(content)) + b"\x01\x01" + _literal(content), 1, "copies what is not there"),
    ],
)
def test_a_block_that_is_no_compressed_one_is_one_message(tmp_path, compress, kind, told):
    with pytest.raises(export_v1.ExportError, match=told):
        bundle.read(_compressed(tmp_path, compress, kind))


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


def test_a_number_that_does_not_end():
    with pytest.raises(table.DamagedError, match="does not end, or has more than 64 bits"):
        table.varint(b"\xff" * 10 + b"\1", 0)
    with pytest.raises(table.DamagedError, match="does not end"):
        table.varint(b"\xff", 0)


def _shape(*sizes, **others):
    def change(entry):
        entry.shape.ClearField("dim")
        for size in sizes:
            entry.shape.dim.add(size=size)
        _with(**others)(entry)

    return change


def _with(**fields):
    def change(message):
        for name, value in fields.items():
            setattr(message, name, value)

    return change


def _unknown_rank(entry):
    entry.shape.unknown_rank = True


def _part_added(entry):
    entry.slices.add().extent.add(start=0, length=3)


# TensorFlow 2.21 ends the process over some of these, and reads beyond the end of memory by others.
HOSTILE_ENTRIES = {
    "negative": (_shape(-5), r"tensor 'w' has shape \[-5\]"),
    "negative beside nothing": (_shape(0, -1), r"has shape \[0, -1\]"),
    "more than 64 bits of elements": (_shape(2**40, 2**40), "has shape"),
    "more than 64 bits of bytes": (_shape(2**61), "has shape"),
    "more axes than there are": (_shape(*[1] * 300), "has shape"),
    "no rank": (_unknown_rank, "an unknown number of axes"),
    "larger than its bytes": (_shape(2**20, 2**20), "float32 .* has 24 bytes"),
    "smaller than its bytes": (_shape(2), "has 24 bytes"),
    "no type": (_with(dtype=0), "of type 0"),
    "a type that is not there": (_with(dtype=77), "of type 77"),
    "a reference": (_with(dtype=101), "of type 101"),
    "numbers for strings": (_shape(2**40, dtype=7), "string .* has 24 bytes"),
    "data file 5": (_with(shard_id=5), "in data file 5 of 1"),
    "data file -1": (_with(shard_id=-1), "in data file -1 of 1"),
    "before the data": (_with(offset=-1), "bytes at -1"),
    "bytes of a negative number": (_with(size=-1), "has -1 bytes"),
    "beyond all data": (_with(offset=2**63 - 8), "has 24 bytes at"),
    "a part that is not there": (_part_added, r"part \[\(0, 3\)\] of 'w'|entry of its index"),
}


@pytest.fixture
def written(tmp_path):
    """The prefix of a checkpoint of `w`, float32 [2, 3], `s`, two strings, and `p`, float32 [6] in two parts."""
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "m"),
        tensor_names=["w", "s", "p", "p"],
        shape_and_slices=["", "", "6 0,2", "6 2,4"],
        tensors=[np.ones([2, 3], np.float32), np.array([b"ab", b"cde"]), *(np.ones([n], np.float32) for n in (2, 4))],
    )
    return str(tmp_path / "m")


@pytest.mark.parametrize("shards", [0, -1, 2**31 - 1])
def test_a_number_of_data_files_that_no_bundle_has(shards, written):
    bundles.header_changed(written, _with(num_shards=shards))
    with pytest.raises(export_v1.ExportError, match=f"of {shards:,} data files"):
        bundle.read(written)


def _extent(**fields):
    def change(entry):
        extent = entry.slices[1].extent[0]
        for name, value in fields.items():
            setattr(extent, name, value)

    return change


HOSTILE_PARTS = {
    "before the tensor": (_extent(start=-2), r"outside of its shape \[6\]"),
    "beyond the tensor": (_extent(start=3), "outside of its shape"),
    "beyond all tensors": (_extent(start=2**62, length=2**62), "outside of its shape"),
    "of a negative size": (_extent(length=-4), "a negative size"),
    "not written": (_extent(length=3), "is not there"),
    "of another rank": (lambda entry: entry.slices[1].extent.add(), "entry of its index is damaged"),
    "twice": (lambda entry: entry.slices.append(entry.slices[1]), "'p' has a part twice"),
    "of a smaller whole": (_shape(3), "outside of its shape"),
}


@pytest.mark.parametrize(
    ("tensor", "what"), [*(("w", what) for what in HOSTILE_ENTRIES), *(("p", what) for what in HOSTILE_PARTS)]
)
def test_an_entry_that_tensorflow_could_not_read_by_is_refused(tensor, what, written):
    change, told = {**HOSTILE_ENTRIES, **HOSTILE_PARTS}[what]
    bundles.entry_changed(written, tensor, change)
    with pytest.raises(export_v1.ExportError, match=told):
        bundle.read(written)


@pytest.mark.parametrize("change", [_shape(1, size=4), _with(dtype=3)], ids=["fewer elements", "another type"])
def test_a_part_that_holds_less_than_it_is_said_to_is_refused(change, written):
    """TensorFlow 2.21 copies what is said, from wherever it lies."""

    def smaller(values):
        key = sorted(key for key in values if key[:1] == b"\0")[-1]
        entry = bundles.Entry.FromString(values[key])
        change(entry)
        values[key] = entry.SerializeToString()

    bundles.changed(written, smaller)
    with pytest.raises(export_v1.ExportError, match=r"part \[\(2, 4\)\] of 'p' has shape"):
        bundle.read(written)


def test_what_is_whole_is_read_with_any_type(tmp_path):
    names = ["bool", "int8", "uint16", "int64", "half", "bfloat16", "double", "complex64", "float8_e5m2"]
    values = [*(tf.cast(tf.zeros([4]), name) for name in names), tf.zeros([2, 0, 3], tf.string)]
    names.append("string")
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "m"), tensor_names=names, shape_and_slices=[""] * len(names), tensors=values
    )
    assert sorted(bundle.read(str(tmp_path / "m")).tensors) == sorted(names)
