"""Which answers are equal."""

import warnings

import numpy as np
import pytest
import tensorflow as tf

from export_v1.format import comparison
from export_v1.format.comparison import Verdict


@pytest.mark.parametrize(
    ("expected", "got", "same"),
    [
        (np.float32([1, 2]), np.float32([1, 2]), True),
        (np.float32([1, 2]), np.float64([1, 2]), False),
        (np.float32([1, 2]), np.float32([[1, 2]]), False),
        (np.float32([1, 2]), np.float32([1, 2.00001]), True),
        (np.float32([1, 2]), np.float32([1, 2.0002]), False),
        (np.float64([1, 2]), np.float64([1, 2 + 1e-3]), False),
        (np.float16([1, 2]), np.float16([1, 2.002]), True),
        (np.float16([1, 2]), np.float16([1, 2.1]), False),
        (np.float32([1, 2]).astype(tf.bfloat16.as_numpy_dtype), np.float32([1, 2.03]).astype("bfloat16"), True),
        (np.float32([1, 2]).astype(tf.bfloat16.as_numpy_dtype), np.float32([1, 2.2]).astype("bfloat16"), False),
        # An element near zero carries the rounding of the large ones, and not more.
        (np.float32([1000, 1000, 0]), np.float32([1000, 1000, 5e-3]), True),
        (np.float32([1000, 1000, 0]), np.float32([1000, 1000, 5e-2]), False),
        (np.float32([1e-6, 0]), np.float32([1e-6, 1e-12]), True),
        (np.float32([1e-6, 0]), np.float32([1e-6, 1e-6]), False),
        (np.float32([np.nan, 1]), np.float32([np.nan, 1]), True),
        (np.float32([np.nan, 1]), np.float32([0, 1]), False),
        (np.float32([0, 1]), np.float32([np.nan, 1]), False),
        (np.float32([np.inf, 1]), np.float32([np.inf, 1]), True),
        (np.float32([np.inf, 1]), np.float32([-np.inf, 1]), False),
        (np.float32([np.inf, 1]), np.float32([np.inf, 2]), False),
        (np.complex64([1j, 2]), np.complex64([1j, 2]), True),
        (np.complex64([1j, 2]), np.complex64([-1j, 2]), False),
        (np.int32([1, 2**24]), np.int32([1, 2**24 + 1]), False),
        (np.array([True, False]), np.array([True, True]), False),
        (np.array([b"a", b"b"], object), np.array([b"a", b"b"], object), True),
        (np.array([b"a", b"b"], object), np.array([b"a", b"c"], object), False),
        (np.zeros([0, 3], np.float32), np.zeros([0, 3], np.float32), True),
    ],
)
def test_two_answers_are_the_same_within_rounding_of_their_type(expected, got, same):
    assert comparison.compare("y", expected, got).equal == same


@pytest.mark.parametrize(("dtype", "tolerance"), comparison.TOLERANCES.items())
def test_the_tolerance_is_that_of_the_type(dtype, tolerance):
    numpy_type = tf.as_dtype(dtype).as_numpy_dtype
    want = np.array([1, 1], numpy_type)
    # Of the element and of the root mean square: twice the tolerance in all.
    assert comparison.compare("y", want, (want * (1 + 1.5 * tolerance)).astype(numpy_type)).equal
    assert not comparison.compare("y", want, (want * (1 + 4 * tolerance)).astype(numpy_type)).equal


def test_there_is_no_floor():
    want = np.float32([1e-8, 2e-8])
    assert not comparison.compare("y", want, want * np.float32(1.77)).equal
    assert comparison.compare("y", want, want * np.float32(1 + 1e-6)).equal


def test_measured_noise_is_allowed_for():
    want, have = np.float32([1e-8, 2e-8]), np.float32([3e-8, -1e-8])
    assert not comparison.compare("y", want, have).equal
    assert comparison.compare("y", want, have, noise=4e-8).equal
    assert not comparison.compare("y", want, have, noise=2e-8).equal


def test_the_worst_element_is_told():
    found = comparison.compare("y", np.float32([[1, 2], [3, 4]]), np.float32([[1, 2], [5, 4]]))
    assert (found.index, found.largest, found.relative) == ((1, 0), 2.0, pytest.approx(2 / 3))
    assert str(found) == "y: DIFFERENT, largest difference 2 absolute, 0.667 relative at [1, 0] (tolerance 1e-05)"


def test_integers_of_64_bits_are_told_apart():
    found = comparison.compare("y", np.int64([2**62]), np.int64([2**62 + 1]))
    assert not found.equal and found.largest == 1 and found.tolerance == 0


def test_both_sides_are_named():
    shapes = comparison.compare("y", np.zeros(2, "f"), np.zeros(3, "f"), sides=("here", "there"))
    types = comparison.compare("y", np.zeros(2, "f"), np.zeros(2, "d"), sides=("here", "there"))
    strings = comparison.compare(
        "y", np.array([b"a", b"b"], object), np.array([b"a", b"c"], object), sides=("here", "there")
    )
    assert "shape [2] here, [3] there" in str(shapes) and "float32 here, float64 there" in str(types)
    assert "1 strings differ, first at [1]: b'b' here, b'c' there" in str(strings)
    assert not (shapes.equal or types.equal or strings.equal)


def test_what_is_infinitely_different_everywhere_is_said_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = comparison.compare("y", np.float32([np.inf, -np.inf]), np.float32([1, 2]))
    assert not found.equal and found.relative == found.largest == np.inf


def test_what_was_not_compared_is_not_equal():
    found = comparison.not_proven("y", "it is random")
    assert not found.equal and str(found) == "y: not proven, it is random"


@pytest.mark.parametrize(
    ("verdicts", "overall"),
    [("", "not proven"), ("NN", "not proven"), ("NE", "equal"), ("EE", "equal"), ("EDN", "different")],
)
def test_one_that_differs_decides_and_what_was_not_compared_does_not(verdicts, overall):
    words = {"E": Verdict.EQUAL, "D": Verdict.DIFFERENT, "N": Verdict.NOT_PROVEN}
    assert comparison.overall(words[letter] for letter in verdicts).value == overall
