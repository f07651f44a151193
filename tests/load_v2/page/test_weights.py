"""What the page says of numbers, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from load_v2.page import weights
from load_v2.program import artefact


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32", "uint8", "bool"])
def test_ranges_and_histograms_are_those_of_numpy(dtype):
    values = (np.random.default_rng(3).normal(size=(7, 40)) * 20).astype(dtype)
    held = weights.numbers(values)
    plain = values.astype("float64")
    assert (held.lowest, held.highest) == (plain.min(), plain.max())
    assert np.allclose([held.mean, held.spread], [plain.mean(), plain.std()])
    assert sum(held.bins) == values.size and held.bins == tuple(np.histogram(plain, weights.BINS)[0])


def test_what_is_not_finite_is_counted_and_left_out():
    held = weights.numbers(np.float32([1, np.nan, np.inf, -np.inf, 3, np.nan]))
    assert (held.nan, held.infinite, held.lowest, held.highest, held.mean) == (2, 2, 1, 3, 2)
    assert weights.numbers(np.float32([np.nan])).lowest is None


@pytest.mark.parametrize(
    "values", [np.float32([]), np.array([b"a"], object), np.float32([5]), np.float64([-1.7e308, 1.7e308])]
)
def test_arrays_without_a_range_have_no_histogram_and_no_error(values):
    held = weights.numbers(values)
    assert sum(held.bins) in (0, values.size)


def test_bfloat16_is_read():
    held = weights.numbers(tf.constant([1.5, -2], tf.bfloat16).numpy())
    assert (held.lowest, held.highest) == (-2, 1.5)


def test_the_weights_of_an_export_are_those_of_its_bundle(exported):
    source = artefact.read(exported("partitioned_embedding"))
    reader = tf.train.load_checkpoint(source.bundle)
    read = list(weights.read(source))
    assert len(read) == len(source.variables)
    for variable, held in read:
        assert held.highest == reader.get_tensor(variable.key).max()
