"""sample.npz."""

import numpy as np
import pytest

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
