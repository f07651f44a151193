"""Files of arrays and of records: what a reader gives, what a writer leaves, what is refused, against numpy and TensorFlow."""

import io
import os
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from load_v2 import LoadError, scoring
from load_v2.program.signature import Spec

X = Spec("x:0", "float32", (None, 2))
SCALAR = Spec("rate:0", "float32", ())
ROWS = np.arange(10, dtype="float32").reshape(5, 2)


def read(path, size=2, **specs):
    return list(scoring.reader(str(path), specs).batches(size))


def written(path, keys, *batches):
    with scoring.writer(str(path), keys) as target:
        for batch in batches:
            target.write(batch)
    return path


def joined(batches, key="x"):
    return np.concatenate([batch[key] for batch in batches])


@pytest.fixture(params=["npz", "compressed", "folder"])
def save(request, tmp_path):
    """Returns a function that writes arrays in one of the forms with keys; its path."""

    def write(**arrays):
        if request.param == "folder":
            (tmp_path / "in").mkdir()
            for key, array in arrays.items():
                np.save(tmp_path / "in" / f"{key}.npy", array)
            return tmp_path / "in"
        (np.savez if request.param == "npz" else np.savez_compressed)(tmp_path / "in.npz", **arrays)
        return tmp_path / "in.npz"

    return write


def test_batches_are_the_rows_in_their_order_and_the_last_is_smaller(save):
    found = read(save(x=ROWS, other=np.zeros(3)), x=X)
    assert [set(batch) for batch in found] == [{"x"}] * 3
    assert [len(batch["x"]) for batch in found] == [2, 2, 1]
    np.testing.assert_array_equal(joined(found), ROWS)


def test_the_number_of_rows_is_known_beforehand(save):
    assert scoring.reader(str(save(x=ROWS, rate=np.float32(7))), {"rate": SCALAR, "x": X}).count == 5


def test_a_scalar_comes_whole_with_each_batch(save):
    found = read(save(x=ROWS, rate=np.float32(7)), x=X, rate=SCALAR)
    assert [batch["rate"].shape for batch in found] == [()] * 3
    assert {float(batch["rate"]) for batch in found} == {7.0}
    np.testing.assert_array_equal(joined(found), ROWS)


def test_scalars_alone_are_one_batch(save):
    assert [float(batch["rate"]) for batch in read(save(rate=np.float32(7)), rate=SCALAR)] == [7.0]


def test_an_array_for_a_scalar_comes_whole(save):
    found = read(save(x=ROWS, rate=np.ones(3, "float32")), x=X, rate=SCALAR)
    assert [batch["rate"].shape for batch in found] == [(3,)] * 3


def test_columns_first_and_an_unknown_rank_are_rows_all_the_same(save):
    found = read(save(x=np.asfortranarray(ROWS)), x=Spec("x:0", "float32", None))
    assert [len(batch["x"]) for batch in found] == [2, 2, 1]
    np.testing.assert_array_equal(joined(found), ROWS)


@pytest.mark.parametrize("dtype", ["int8", "float64", "complex64", ">i4", "S5", "bool"])
def test_every_plain_type_is_read_as_it_is(save, dtype):
    array = np.arange(6).astype(dtype).reshape(3, 2)
    found = read(save(x=array), x=X)
    assert {batch["x"].dtype for batch in found} == {array.dtype}
    np.testing.assert_array_equal(joined(found), array)


def test_no_rows_are_no_batches(save):
    assert read(save(x=ROWS[:0]), x=X) == []


def test_lengths_that_differ_are_told(save):
    with pytest.raises(LoadError, match="different lengths: x: 5, y: 4"):
        read(save(x=ROWS, y=ROWS[:4]), x=X, y=X)


def test_an_array_of_another_name_is_told_with_the_nearest(save):
    with pytest.raises(LoadError, match="(?s)'image' is not in .*Closest: 'images'.*Rename an array to 'image'"):
        read(save(images=ROWS), image=X)


def test_python_objects_are_never_unpickled(save):
    with pytest.raises(LoadError, match="(?s)Python objects|cannot be read as a plain array"):
        read(save(x=np.array([b"a", b"b"], dtype=object)), x=X)


def test_a_header_of_the_second_version_is_read(tmp_path):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, ROWS, version=(2, 0))
    with zipfile.ZipFile(tmp_path / "in.npz", "w") as archive:
        archive.writestr("x.npy", stream.getvalue())
        archive.writestr("notes.txt", "no array")
    np.testing.assert_array_equal(joined(read(tmp_path / "in.npz", x=X)), ROWS)


def test_an_array_that_ends_early_is_told(tmp_path):
    stream = io.BytesIO()
    np.save(stream, ROWS)
    with zipfile.ZipFile(tmp_path / "in.npz", "w") as archive:
        archive.writestr("x.npy", stream.getvalue()[:-4])
    with pytest.raises(LoadError, match="'x' ends early"):
        read(tmp_path / "in.npz", x=X)


def test_damage_inside_an_archive_is_told(tmp_path):
    np.savez_compressed(tmp_path / "in.npz", x=np.random.default_rng(0).normal(size=(2000, 2)))
    content = bytearray((tmp_path / "in.npz").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    (tmp_path / "in.npz").write_bytes(content)
    with pytest.raises(LoadError, match="in.npz' is damaged"):
        read(tmp_path / "in.npz", 500, x=X)


@pytest.mark.parametrize("name", ["in.npz", "in.npy"])
def test_a_file_of_another_kind_is_told(tmp_path, name):
    (tmp_path / name).write_bytes(b"PK\3\4 or something else")
    with pytest.raises(LoadError, match=f"{name}' cannot be read as"):
        scoring.reader(str(tmp_path / name), {"x": X})


def test_one_array_is_the_only_input_and_not_one_of_several(tmp_path):
    np.save(tmp_path / "in.npy", ROWS)
    np.testing.assert_array_equal(joined(read(tmp_path / "in.npy", x=X)), ROWS)
    with pytest.raises(LoadError, match="one array, the signature has 2 inputs: x, y"):
        scoring.reader(str(tmp_path / "in.npy"), {"x": X, "y": X})


def test_rows_of_a_map_are_copies(tmp_path):
    np.save(tmp_path / "in.npy", ROWS)
    (first, *_) = read(tmp_path / "in.npy", x=X)
    assert type(first["x"]) is np.ndarray and first["x"].flags.writeable
    first["x"][...] = 0
    assert np.load(tmp_path / "in.npy").any(), "the file is not written to"


def test_a_path_of_no_known_kind_is_refused(tmp_path):
    with pytest.raises(LoadError, match="There is no file .*none.npz.*(?s:.)*'x', 'y'"):
        scoring.reader(str(tmp_path / "none.npz"), {"x": X, "y": X})
    (tmp_path / "in.csv").write_text("1,2")
    with pytest.raises(LoadError, match="in.csv' is not a kind of file"):
        scoring.reader(str(tmp_path / "in.csv"), {"x": X})
    with pytest.raises(LoadError, match="out.csv' is not a kind of file"):
        scoring.writer(str(tmp_path / "out.csv"), ["y"])
    with pytest.raises(LoadError, match="one array, the signature has 2 outputs: a, b"):
        scoring.writer(str(tmp_path / "out.npy"), ["a", "b"])


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "bool", "complex64"])
def test_what_is_written_is_what_numpy_reads(tmp_path, dtype):
    array = ROWS.astype(dtype)
    parts = array[:2], array[2:3], array[3:]
    batches = [{"a/b": part, "c": part[:, 0]} for part in parts]
    with np.load(written(tmp_path / "out.npz", ["a/b", "c"], *batches)) as found:
        assert set(found) == {"a/b", "c"} and found["a/b"].dtype == array.dtype
        np.testing.assert_array_equal(found["a/b"], array)
        np.testing.assert_array_equal(found["c"], array[:, 0])
    folder = written(tmp_path / "out", ["a/b", "c"], *batches)
    assert sorted(os.listdir(folder)) == ["a_b.npy", "c.npy"]
    np.testing.assert_array_equal(np.load(folder / "a_b.npy"), array)
    one = np.load(written(tmp_path / "out.npy", ["y"], *({"y": part} for part in parts)))
    assert one.dtype == array.dtype
    np.testing.assert_array_equal(one, array)


@pytest.mark.parametrize("kind", [object, "S"])
def test_strings_are_as_wide_as_the_longest_of_all_batches(tmp_path, kind):
    words = np.array([b"a", b"", "länger".encode(), b"mid"], dtype=object).astype(kind)
    found = np.load(written(tmp_path / "out.npy", ["y"], {"y": words[:2]}, {"y": words[2:]}))
    assert found.tolist() == [b"a", b"", "länger".encode(), b"mid"] and found.dtype == "S7"


@pytest.mark.parametrize("name", ["out.npz", "out.npy", "out"])
def test_strings_that_numpy_would_cut_are_refused(tmp_path, name):
    with pytest.raises(LoadError, match="(?s)end in zero bytes.*--outputs=OUT.tfrecord"):
        written(tmp_path / name, ["y"], {"y": np.array([b"a", b"b\0"], dtype=object)})
    assert os.listdir(tmp_path) == []


def test_columns_first_are_written_in_rows(tmp_path):
    found = np.load(written(tmp_path / "out.npy", ["y"], {"y": np.asfortranarray(ROWS)}))
    np.testing.assert_array_equal(found, ROWS)


def test_later_batches_have_the_type_of_the_first(tmp_path):
    found = np.load(written(tmp_path / "out.npy", ["y"], {"y": ROWS}, {"y": ROWS.astype("float64")}))
    assert found.dtype == "float32"
    np.testing.assert_array_equal(found, np.concatenate([ROWS, ROWS]))


def examples(path, compression=None):
    records = tf.data.TFRecordDataset(str(path), compression)
    return [tf.train.Example.FromString(record).features.feature for record in records.as_numpy_iterator()]


@pytest.mark.parametrize("ending", ["tfrecord", "tfrecords", "tfrecord.gz"])
def test_records_hold_one_row_each(tmp_path, ending):
    path = written(
        tmp_path / f"out.{ending}",
        ["f", "i", "b", "s"],
        {
            "f": ROWS[:2].reshape(2, 2, 1),
            "i": np.array([3, -4], "int8"),
            "b": np.array([True, False]),
            "s": np.array([b"a\0", b""], dtype=object),
            "h": tf.cast([[0.5], [1.5]], tf.bfloat16).numpy(),
        },
        {key: np.zeros(1, dtype) for key, dtype in (("f", "f8"), ("i", "u1"), ("b", "?"), ("h", "f2"))}
        | {"s": np.array([b"last"], dtype=object)},
    )
    first, second, third = examples(path, "GZIP" if ending.endswith("gz") else None)
    assert list(first["f"].float_list.value) == [0.0, 1.0] and list(second["f"].float_list.value) == [2.0, 3.0]
    assert list(second["i"].int64_list.value) == [-4] and list(first["b"].int64_list.value) == [1]
    assert list(first["s"].bytes_list.value) == [b"a\0"] and list(third["s"].bytes_list.value) == [b"last"]
    assert list(second["h"].float_list.value) == [1.5]


def store(path, *rows, options=None):
    with tf.io.TFRecordWriter(str(path), options) as writer:
        for row in rows:
            example = tf.train.Example()
            for key, (kind, value) in row.items():
                getattr(example.features.feature[key], kind).value.extend(value)
            writer.write(example.SerializeToString())
    return path


SPECS = {
    "x": Spec("x:0", "float16", (None, 2, 1)),
    "i": Spec("i:0", "int32", (None,)),
    "s": Spec("s:0", "string", (None, 2)),
}


@pytest.mark.parametrize("ending", ["tfrecord", "tfrecord.gz"])
def test_records_are_read_into_the_shapes_and_types_of_the_signature(tmp_path, ending):
    rows = [
        {"x": ("float_list", [n, n + 0.5]), "i": ("int64_list", [n]), "s": ("bytes_list", [b"a", b"b"])}
        for n in range(3)
    ]
    path = store(tmp_path / f"in.{ending}", *rows, options="GZIP" if ending.endswith("gz") else None)
    reader = scoring.reader(str(path), SPECS)
    assert reader.count is None
    found = list(reader.batches(2))
    assert [batch["x"].shape for batch in found] == [(2, 2, 1), (1, 2, 1)]
    assert (found[0]["x"].dtype, found[0]["i"].dtype, found[0]["s"].dtype) == (tf.float16, tf.int32, tf.string)
    assert found[1]["x"].numpy().ravel().tolist() == [2.0, 2.5] and found[1]["i"].numpy().tolist() == [2]
    assert found[0]["s"].numpy().tolist() == [[b"a", b"b"]] * 2


def test_one_input_of_numbers_is_a_feature(tmp_path):
    path = store(tmp_path / "in.tfrecord", {"i": ("int64_list", [7])}, {"i": ("int64_list", [8])})
    assert [batch["i"].numpy().tolist() for batch in read(path, 2, i=SPECS["i"])] == [[7, 8]]


def test_a_signature_that_takes_records_gets_them_as_they_are(tmp_path):
    path = store(tmp_path / "in.tfrecord", {"any": ("int64_list", [1])}, {"any": ("int64_list", [2])})
    want = [record for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()]
    (batch,) = read(path, 5, examples=Spec("e:0", "string", (None,)))
    assert batch["examples"].numpy().tolist() == want
    # A string beside another input, or of more than one dimension, is a feature like any.
    with pytest.raises(LoadError, match="cannot be read: .*s.*"):
        read(path, s=SPECS["s"])


@pytest.mark.parametrize("shape", [None, (), (None, None)])
def test_sizes_that_records_do_not_have_must_be_in_the_signature(tmp_path, shape):
    path = store(tmp_path / "in.tfrecord", {"x": ("float_list", [1.0])})
    with pytest.raises(LoadError, match="Input 'x' is float32 .*all sizes but the first must be known"):
        scoring.reader(str(path), {"x": Spec("x:0", "float32", shape)})


def test_records_that_do_not_fit_are_told(tmp_path):
    path = store(tmp_path / "in.tfrecord", {"x": ("float_list", [1.0, 2.0, 3.0])})
    with pytest.raises(LoadError, match="in.tfrecord' cannot be read: .*x"):
        read(path, x=X)
    path.write_bytes(b"no record of any kind" * 9)
    with pytest.raises(LoadError, match="in.tfrecord' cannot be read"):
        read(path, x=X)


def test_bfloat16_is_written_as_float32_since_numpy_s_files_have_no_such_type(tmp_path):
    rows = np.array([[1.5], [-0.125]], tf.bfloat16.as_numpy_dtype)
    found = np.load(written(tmp_path / "out.npy", ["y"], {"y": rows[:1]}, {"y": rows[1:]}))
    assert found.dtype == np.float32 and found.tolist() == [[1.5], [-0.125]]


def test_rows_of_other_sizes_are_not_one_array(tmp_path):
    with pytest.raises(LoadError, match=r"rows of shape \[2\] and, from row 3 on, \[4\]"):
        with scoring.writer(str(tmp_path / "out.npz"), ["y"]) as target:
            target.write({"y": np.zeros([3, 2], "float32")})
            target.write({"y": np.zeros([3, 4], "float32")})
    assert not (tmp_path / "out.npz").exists()
