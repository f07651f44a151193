"""arrays: values within a domain, in its order, and spread over it."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1.proof import arrays
from export_v1.proof.domain import UNSAID, Domain, both, exactly


def _made(dtype, sizes, domain=None, variation=0, seed=0):
    return arrays.made(dtype, sizes, domain, np.random.default_rng(seed), variation)


@pytest.mark.parametrize("seed", range(10))
def test_integers_keep_their_order(seed):
    rising = _made(tf.int32, [9], Domain(0, 9, "rising"), seed=seed)
    assert rising[0] == 0 and set(np.diff(rising)) <= {0, 1} and rising.max() > 0
    assert sorted(_made(tf.int64, [5], Domain(0, 5, "distinct"), seed=seed)) == [0, 1, 2, 3, 4]
    splits = _made(tf.int64, [4], Domain(0, 8, "splits"), seed=seed)
    assert splits[0] == 0 and splits[-1] == 7 and (np.diff(splits) >= 0).all()
    rows = _made(tf.int64, [6, 2], Domain(0, np.array([2, 4]), "rows"), seed=seed)
    assert [tuple(row) for row in rows] == sorted({tuple(row) for row in rows}) and (rows < [2, 4]).all()


@pytest.mark.parametrize("seed", range(10))
def test_integers_are_not_all_alike(seed):
    assert len(set(_made(tf.int32, [3], seed=seed))) > 1
    assert len(set(_made(tf.int32, [2], Domain(0, 2), seed=seed))) > 1


def test_limits_hold_for_each_place():
    made = _made(tf.int32, [50, 2], Domain(np.array([0, UNSAID[0]]), np.array([90, UNSAID[1]])))
    assert made[:, 0].max() > 40 and set(made[:, 1]) == {1, 2}
    assert list(_made(tf.int32, [3], exactly([4, 0, 2]))) == [4, 0, 2]
    # Limits that belong to another shape are limits for all.
    assert _made(tf.int32, [4], Domain(0, np.array([9, 2, 5]))).max() < 2


def test_floats_have_scales_and_signs_and_numbers_alone_are_rates():
    first, others = _made(tf.float32, [99]), [_made(tf.float32, [99], variation=at) for at in (1, 2, 3)]
    assert 0 <= first.min() and first.max() < 1 and all(other.min() < 0 < other.max() for other in others)
    assert len({round(float(np.log10(np.std(other)))) for other in others}) > 1
    assert all(0 < _made(tf.float32, [], variation=at) < 1 for at in range(4))
    assert _made(tf.float32, [99], Domain(1, 3), variation=2).min() >= 1
    partly = _made(tf.float32, [2], Domain(np.array([5, UNSAID[0]]), np.array([9, UNSAID[1]])))
    assert 5 <= partly[0] < 9 and 1 <= partly[1] < 3
    definite = _made(tf.float64, [2, 3, 3], Domain(0, 1, "definite"))
    assert np.linalg.eigvalsh(definite).min() > 0


def test_pixels_use_their_whole_range():
    assert np.ptp(_made(tf.uint8, [1, 20, 20, 3])) > 200


def test_two_readers_are_both_content_where_that_can_be():
    assert both(Domain(0, 9), Domain(3, 20)) == Domain(3.0, 9.0)
    assert both(Domain(0, 2), Domain(5, 9)) == Domain(0, 2)
    assert both(None, Domain(5, 9)) == Domain(5, 9)
