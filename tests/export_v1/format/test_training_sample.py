"""training.npz: what is written is read, and gradients compare row by row."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1 import ExportError
from export_v1.format import training_sample
from export_v1.format.training_sample import Step


def test_a_step_is_read_as_it_was_written(tmp_path):
    step = Step(
        inputs={"ids": np.int32([[1, 2]]), "words": np.array([b"a", b"bc\0"], object)},
        losses={"loss": np.float32(0.5)},
        gradients={"w": np.float32([[1], [2]]).astype(tf.bfloat16.as_numpy_dtype), "w/indices": np.int64([0, 3])},
        after={"w": np.float32([1, 2])},
        noise=1e-7,
    )
    training_sample.write(step, str(tmp_path / "training.npz"))
    read = training_sample.read(str(tmp_path / "training.npz"), ExportError, "Export again.")
    for side in ("inputs", "losses", "gradients", "after"):
        want, have = getattr(step, side), getattr(read, side)
        assert want.keys() == have.keys()
        for key, value in want.items():
            assert value.dtype == have[key].dtype
            np.testing.assert_array_equal(value, have[key])
    assert read.noise == step.noise


def test_a_large_variable_is_thinned_from_end_to_end():
    value = np.arange(5000).reshape(50, 100)
    thinned = training_sample.thinned(value)
    assert thinned.shape == (1000,) and thinned[0] == 0 and thinned[-1] == 4999
    assert training_sample.thinned(value[:10]) is not None and training_sample.thinned(value[:10]).shape == (10, 100)


SIDES = ("here", "there")


def _compared(want, have):
    return training_sample.compare_gradient("g", want, have, 0.0, SIDES)


def test_rows_are_summed_up_and_may_be_in_any_order():
    want = np.float32([[1.0], [2.0], [3.0]]), np.int64([4, 0, 4])
    have = np.float32([[2.0], [4.0]]), np.int32([0, 4])
    assert _compared(want, have).equal
    whole = np.float32([[2.0], [0.0], [0.0], [0.0], [4.0]]), None
    assert _compared(want, whole).equal and _compared(whole, have).equal


@pytest.mark.parametrize("row", [2, 9])
def test_a_row_that_the_other_lacks_is_different(row):
    want = np.float32([[1.0]]), np.int64([0])
    have = np.float32([[1.0], [5.0]]), np.int64([0, row])
    assert not _compared(want, have).equal and not _compared(have, want).equal


def test_what_is_rounding_noise_is_equal():
    want, have = (np.float32([1e-9, 0.0]), None), (np.float32([3e-9, 0.0]), None)
    assert not _compared(want, have).equal
    assert training_sample.compare_gradient("g", want, have, 1e-7, SIDES).equal


def test_a_noise_that_is_no_number_counts_as_none(tmp_path):
    np.savez(tmp_path / "training.npz", noise=np.float64([1, 2]))
    assert training_sample.read(str(tmp_path / "training.npz"), ExportError, "Export again.").noise == 0
