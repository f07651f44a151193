"""sample.npz."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1 import errors
from export_v1.format import sample


def _read(path):
    return sample.read(str(path), errors.ExportError, "Remedy.")


def test_what_was_written_is_read(tmp_path):
    strings = np.array([[b"ab\0\0", b"c"]], object)
    arrays = sample.Arrays({"x": np.float32([1, 2]), "s": strings}, {"y": np.int64([3])}, {"y": 2e-9})
    sample.write(arrays, str(tmp_path / "sample.npz"))
    found = _read(tmp_path / "sample.npz")
    np.testing.assert_array_equal(found.inputs["x"], [1, 2])
    assert found.inputs["s"].tolist() == [[b"ab\0\0", b"c"]]
    assert found.outputs.keys() == {"y"} and found.noise == {"y": 2e-9}


def test_nothing_is_unpickled(tmp_path):
    np.savez(tmp_path / "sample.npz", **{"in/x": np.array([{}], object)})
    with pytest.raises(errors.ExportError, match="cannot be read as .npz.*\n  Remedy."):
        _read(tmp_path / "sample.npz")


def test_a_file_that_is_none_is_one_message(tmp_path):
    (tmp_path / "sample.npz").write_bytes(b"PK\3\4 cut")
    with pytest.raises(errors.ExportError, match="cannot be read as .npz"):
        _read(tmp_path / "sample.npz")
    with pytest.raises(errors.ExportError, match="nothing.npz"):
        _read(tmp_path / "nothing.npz")


def test_further_sets_are_written_and_an_earlier_reader_sees_the_first(tmp_path):
    words = np.array([b"a\0"], object)
    further = [sample.Arrays({"x": np.float32([n]), "s": words}, {"y": np.int64([n])}, {"y": 0.5 * n}) for n in (1, 2)]
    arrays = sample.Arrays({"x": np.float32([0])}, {"y": np.int64([0])}, further=further)
    sample.write(arrays, str(tmp_path / "sample.npz"))
    found = _read(tmp_path / "sample.npz")
    assert found.inputs["x"] == [0] and found.outputs["y"] == [0] and found.noise == {}
    assert [(list(one.inputs["x"]), list(one.outputs["y"]), one.noise) for one in found.further] == [
        ([1], [1], {"y": 0.5}), ([2], [2], {"y": 1.0})
    ]  # fmt: skip
    assert list(found.further[1].inputs["s"]) == [b"a\0"]
    names = sample.arrays(str(tmp_path / "sample.npz"), errors.ExportError, "")
    assert [name for name in names if not sample.is_about_another(name)] == ["in/x"]


def test_bfloat16_is_read_as_it_was_and_others_read_its_values(tmp_path):
    dtype = tf.bfloat16.as_numpy_dtype
    arrays = sample.Arrays({"x": np.array([1.5, np.inf], dtype)}, {"y": np.array([[-0.125]], dtype)})
    sample.write(arrays, str(tmp_path / "sample.npz"))
    found = _read(tmp_path / "sample.npz")
    assert found.inputs["x"].dtype == found.outputs["y"].dtype == dtype
    assert found.inputs["x"].tolist() == [1.5, np.inf] and found.outputs["y"].tolist() == [[-0.125]]
    with np.load(tmp_path / "sample.npz", allow_pickle=False) as plain:
        assert plain["in/x"].dtype == np.float32 and plain["in/x"].tolist() == [1.5, np.inf]


def test_bfloat16_of_the_first_exports_is_read(tmp_path):
    value = np.array([1.5, 2.0], tf.bfloat16.as_numpy_dtype)
    np.savez(tmp_path / "sample.npz", **{"in/x": value, "out/y": value})
    found = _read(tmp_path / "sample.npz")
    assert found.outputs["y"].dtype == value.dtype and found.outputs["y"].tolist() == [1.5, 2.0]


def test_a_type_that_is_none_is_one_message(tmp_path):
    np.savez(tmp_path / "sample.npz", **{"in/x": np.float32([1]), "dtypes/in/x": np.asarray(b"nonsense")})
    with pytest.raises(errors.ExportError, match="cannot be read as .npz"):
        _read(tmp_path / "sample.npz")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        # As long as the memory is large.
        ("lengths/in/s", np.int64([3, 10**13]), "are said to be of 10,000,000,000,000"),
        ("lengths/in/s", np.int64([-1, 2]), "are said to be"),
        # Whatever the answer is, it would be equal to what was recorded.
        ("noise/y", np.float64(np.inf), "is no size: inf"),
        ("noise/y", np.float64(-1), "is no size"),
        ("sets/1/noise/y", np.float64(np.nan), "is no size"),
        ("noise/y", np.array(b"1"), "damaged"),
    ],
)
def test_sizes_that_no_writer_gives_are_one_message(name, value, told, tmp_path):
    path = tmp_path / "sample.npz"
    arrays = sample.Arrays({"s": np.array([b"a\0\0", b"bc"], object)}, {"y": np.float32([3])}, {"y": 2e-9})
    sample.write(arrays, str(path))
    with np.load(path) as stored:
        changed = {**stored, name: value}
    np.savez(path, **changed)
    with pytest.raises(errors.ExportError, match=f"(?s){told}.*Remedy"):
        _read(path)
