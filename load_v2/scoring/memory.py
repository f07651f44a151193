"""Arrays that TensorFlow reads where they lie, instead of copying them twice."""

import math

import numpy as np
import tensorflow as tf

# What TensorFlow asks of memory that it did not allocate itself: the widest vector of any processor.
_ALIGNMENT = 64
# A smaller array is copied faster than it is handed over.
_SMALL = 2**16


def empty(shape: tuple[int, ...], dtype) -> np.ndarray:
    """Returns a new array, uninitialized, in memory that `tensor` does not have to copy."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def tensor(value, dtype: str):
    """Returns an array of numbers as a tensor that shares its memory if it comes from `empty`, else its only copy.

    What it does not know how to share (strings, tensors, lists, another type, little data) it returns as it is. Nobody may
    write to the array as long as the tensor lives.

    Args:
        value: an array, or anything else.
        dtype: the type that the tensor is to have.
    """
    if not isinstance(value, np.ndarray) or value.nbytes < _SMALL:
        return value
    if value.dtype.kind not in "biufc" or value.dtype.name != dtype or not value.dtype.isnative:
        return value
    if value.ctypes.data % _ALIGNMENT or not value.flags.c_contiguous or not value.flags.writeable:
        copy = empty(value.shape, value.dtype)
        copy[...] = value
        value = copy
    return tf.experimental.dlpack.from_dlpack(value.__dlpack__())
