"""bundle: an index read without TensorFlow agrees with TensorFlow about every tensor."""

import pathlib
import shutil
import zlib

import numpy as np
import pytest
import tensorflow as tf

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
