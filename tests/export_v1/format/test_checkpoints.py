"""checkpoints: what TensorFlow's readers take at their word is looked at before they are asked."""

import gzip
import pathlib
import pickle
import shutil
import struct

import h5py
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.util import saved_tensor_slice_pb2

import export_v1
from export_v1.format import checkpoints
from load_v2 import LoadError, load_checkpoint_weights
from tests.support import bundles, cases, porting_models


def _strings(folder: pathlib.Path, lengths: list[int], content: bytes) -> str:
    """Writes a checkpoint of a number and some strings, which are said to be of such lengths."""
    prefix = str(folder / "m")
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=["n", "s"],
        shape_and_slices=["", ""],
        tensors=[np.float32(1), np.array([b"x"] * len(lengths))],
    )
    entry = bundles.Entry.FromString(bundles.read_table(prefix + ".index")[b"s"])
    data = folder / "m.data-00000-of-00001"
    as_numbers = b"".join(struct.pack("<I" if length < 2**32 else "<Q", length) for length in lengths)
    stored = b"".join(map(bundles.varint, lengths)) + struct.pack("<I", bundles.masked(as_numbers)) + content
    data.write_bytes(data.read_bytes()[: entry.offset] + stored)
    bundles.entry_changed(prefix, "s", lambda entry: setattr(entry, "size", len(stored)))
    return prefix


@pytest.mark.parametrize("longest", [4, 2**33, 2**40, 2**62])
def test_a_string_longer_than_its_file_is_refused(longest, tmp_path):
    """TensorFlow 2.21 makes room for it first, and ends the process where there is none."""
    with pytest.raises(export_v1.ExportError, match=r"the strings of 's' are said to take [\d,]+ bytes, of \d+"):
        checkpoints.opened(_strings(tmp_path, [2, longest], b"abcde"))


def test_lengths_that_do_not_end_are_refused(tmp_path):
    prefix = _strings(tmp_path, [2, 3], b"abcde")
    data = tmp_path / "m.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:5])
    with pytest.raises(export_v1.ExportError, match="the strings of 's' are cut off"):
        checkpoints.opened(prefix)


def test_strings_as_they_are_written_are_read(tmp_path):
    words = np.array([b"", b"a" * 300, *(b"w%d" % at for at in range(50_000))])
    tf.raw_ops.SaveV2(prefix=str(tmp_path / "m"), tensor_names=["s"], shape_and_slices=[""], tensors=[words])
    opened = checkpoints.opened(str(tmp_path / "m"))
    assert opened.reader.get_tensor("s").tolist() == words.tolist()
    assert opened.shapes == {"s": [50_002]} and opened.dtypes == {"s": tf.string}


def test_a_state_of_an_iterator_is_no_value(tmp_path):
    state = tf.raw_ops.TensorListFromTensor(tensor=[1.0], element_shape=tf.constant([], tf.int32))
    tf.raw_ops.SaveV2(
        prefix=str(tmp_path / "m"), tensor_names=["n", "v"], shape_and_slices=["", ""], tensors=[1.0, state]
    )
    assert list(checkpoints.opened(str(tmp_path / "m")).shapes) == ["n"]


def _v1(folder: pathlib.Path, sizes: list[int]) -> str:
    prefix = bundles.copied(cases.load("v1_format").flags()["checkpoint"], folder)
    values = bundles.read_table(prefix)
    said = saved_tensor_slice_pb2.SavedTensorSlices.FromString(values[b""])
    tensor = next(tensor for tensor in said.meta.tensor if tensor.name == "out/kernel")
    tensor.shape.ClearField("dim")
    for size in sizes:
        tensor.shape.dim.add(size=size)
    values[b""] = said.SerializeToString()
    pathlib.Path(prefix).write_bytes(bundles.table(values))
    return prefix


def test_a_v1_checkpoint_is_read(tmp_path):
    assert checkpoints.opened(_v1(tmp_path, [3, 2])).shapes == {"out/bias": [2], "out/kernel": [3, 2]}


@pytest.mark.parametrize("sizes", [[-3, 2], [2**40, 2**40], [2**20, 2**20], [1000, 1000]])
def test_a_v1_checkpoint_that_cannot_hold_what_it_says_is_refused(sizes, tmp_path):
    with pytest.raises(export_v1.ExportError, match="cannot be read: "):
        checkpoints.opened(_v1(tmp_path, sizes))


@pytest.mark.parametrize("which", ["index", "unused"])
@pytest.mark.parametrize("bundle_too", [False, True])
def test_a_v1_checkpoint_whose_blocks_end_beyond_it_is_refused(bundle_too, which, tmp_path):
    """Beside a bundle of the same prefix, too: RestoreV2 would read it in the bundle's place."""
    prefix = _v1(tmp_path, [3, 2])
    path = pathlib.Path(prefix)
    content = path.read_bytes()
    (unused, index), far = bundles.handles(content), bundles.varint(0) + bundles.varint(2**62)
    footer = unused + far if which == "index" else far + index
    path.write_bytes(content[:-48] + footer.ljust(40, b"\0") + content[-8:])
    if bundle_too:
        tf.raw_ops.SaveV2(prefix=prefix, tensor_names=["n"], shape_and_slices=[""], tensors=[1.0])
    with pytest.raises(export_v1.ExportError, match="a block of it ends at byte"):
        checkpoints.opened(prefix)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(export_v1.ExportError, match="cannot be read: "):
        checkpoints.opened(str(tmp_path / "nothing"))
    (tmp_path / "text").write_bytes(b"text")
    with pytest.raises(export_v1.ExportError, match="no file that TensorFlow's Saver writes"):
        checkpoints.opened(str(tmp_path / "text"))


@pytest.mark.parametrize("kind", [IndexError, KeyError, TypeError, RuntimeError, MemoryError])
def test_whatever_the_reader_makes_of_a_status_is_one_message(kind, monkeypatch):
    def reader(_):
        raise kind("Read less bytes than requested")

    monkeypatch.setattr(tf.compat.v1.train, "NewCheckpointReader", reader)
    with pytest.raises(export_v1.ExportError, match="cannot be read: .*Read less"):
        checkpoints.opened(cases.load("mlp_layers").flags()["checkpoint"])


def _npz(path: pathlib.Path) -> None:
    with path.open("wb") as file:
        np.savez(file, w=np.zeros(9))


def _hdf5(path: pathlib.Path) -> None:
    with h5py.File(path, "w") as file:
        file["w"] = np.zeros(9)


OTHERS = {
    "model.ckpt.gz": (lambda path: path.write_bytes(gzip.compress(bytes(100))), "packed by gzip"),
    "weights.npz": (_npz, "an archive"),
    "weights.h5": (_hdf5, "HDF5.*keras.models.load_model"),
    "model.pt": (lambda path: path.write_bytes(pickle.dumps([0.5] * 50)), "a pickle"),
    "notes.txt": (lambda path: path.write_text("accuracy 0.9\n" * 9), "no file that TensorFlow's Saver writes"),
    "empty": (lambda path: path.write_bytes(b""), "empty"),
    "renamed": (lambda path: shutil.copy(cases.load("mlp_layers").folder / "model.ckpt-3.meta", path), "no file that"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_file_of_another_kind_is_no_checkpoint(name, tmp_path):
    """Any file could be one of TensorFlow before 1.0, which has no ending; and then lacked its MetaGraphDef."""
    write, what = OTHERS[name]
    write(tmp_path / name)
    told = f"(?s){name}' is not a checkpoint: it is {what}.*A checkpoint is PREFIX.index"
    with pytest.raises(export_v1.ExportError, match=told):
        export_v1.export(checkpoint=str(tmp_path / name), export_dir=str(tmp_path / "out"))
    with pytest.raises(LoadError, match=told):
        load_checkpoint_weights(porting_models.textbook(), tmp_path / name)


def test_a_checkpoint_of_the_old_format_is_still_one(tmp_path):
    prefix = str(tmp_path / "model.ckpt")
    tf.raw_ops.Save(filename=prefix, tensor_names=["w"], data=[np.float32([1, 2])])
    assert checkpoints.opened(prefix).shapes == {"w": [2]}
    checkpoints.check_kind(prefix)
    (tmp_path / "model.ckpt").write_bytes((tmp_path / "model.ckpt").read_bytes()[:-1])
    with pytest.raises(export_v1.ExportError, match="which this one has not, or has lost"):
        checkpoints.opened(prefix)
