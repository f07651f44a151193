"""Arrays that TensorFlow reads where they lie: the same values, one copy at most."""

import numpy as np
import pytest
import tensorflow as tf

from load_v2.scoring import memory

SHAPE = (1000, 100)


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int32", "int64", "uint64", "float16", "float32", "float64", "complex64"]
)
def test_aligned_memory_is_shared_and_other_memory_copied_once(dtype):
    values = (np.arange(100_000).reshape(SHAPE) % 2).astype(dtype)
    aligned = memory.empty(SHAPE, dtype)
    aligned[...] = values
    assert aligned.ctypes.data % 64 == 0
    shared = memory.tensor(aligned, dtype)
    np.testing.assert_array_equal(shared.numpy(), values)
    aligned[0, 0] = 1
    assert shared.dtype == dtype and shared.numpy()[0, 0] == 1, "it is the same memory"
    aligned[0, 0] = 0

    raw = np.empty(values.nbytes + 128, np.uint8)
    start = -raw.ctypes.data % 64 + 16
    unaligned = raw[start : start + values.nbytes].view(dtype).reshape(SHAPE)
    unaligned[...] = values
    fixed = aligned.copy()
    fixed.flags.writeable = False
    for other in (unaligned, fixed, np.asfortranarray(values), values[::1, ::-1][:, ::-1]):
        made = memory.tensor(other, dtype)
        assert tf.is_tensor(made)
        # A graph that slices needs the alignment: TensorFlow ends the process where it is not there.
        np.testing.assert_array_equal(tf.strided_slice(made, [1, 0], [3, 100]).numpy(), values[1:3])


def test_the_memory_lives_as_long_as_the_tensor():
    shared = memory.tensor(memory.empty(SHAPE, "float32"), "float32")
    values = shared.numpy().copy()
    trash = [np.full(SHAPE, 7, "float32") for _ in range(50)]
    np.testing.assert_array_equal(shared.numpy(), values)
    assert trash


@pytest.mark.parametrize(
    "value",
    [
        np.zeros(3, "float32"),
        np.zeros(SHAPE, "float64"),
        np.zeros(SHAPE, ">f4"),
        np.full(SHAPE, b"a", object),
        np.full(SHAPE, b"a"),
        [1.0],
        tf.zeros([2]),
    ],
)
def test_what_cannot_be_shared_stays_what_it_is(value):
    assert memory.tensor(value, "float32") is value


def test_nothing_is_an_array_too():
    assert memory.empty((0, 4), "float32").shape == (0, 4)
