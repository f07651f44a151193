"""Answers as points: none lost, the worst shown, what is allowed as `comparison` has it."""

import numpy as np

from export_v1.format import comparison
from load_v2.page import plots, proof


def _plot(want, have, number=0, reader="SignatureLayer", key="y"):
    want, have = np.asarray(want), np.asarray(have)
    return proof.of(reader, number, want, have, comparison.compare(key, want, have))


def test_each_element_is_in_the_group_of_its_share_of_what_is_allowed():
    want = np.ones(6, "float64")
    # With answers of size 1, 2e-5 are allowed.
    have = want + np.array([0, 1e-9, 1e-7, 1e-6, 1.9e-5, 3e-5])
    plot = _plot(want, have)
    assert plot.groups == (1, 1, 1, 1, 1, 1) and len(plot.points) == 6


def test_identical_integers_and_nan_differ_by_nothing():
    assert _plot([1, 2, 3], [1, 2, 3]).groups == (3, 0, 0, 0, 0, 0)
    assert _plot([1, 2, 3], [1, 2, 4]).groups == (2, 0, 0, 0, 0, 1)
    assert _plot(np.float32([np.nan, 1]), np.float32([np.nan, np.nan])).groups == (1, 0, 0, 0, 0, 1)


def test_of_a_large_answer_the_worst_elements_are_drawn():
    want = np.zeros(100_000, "float32")
    have = want.copy()
    have[77_777] = 1
    plot = _plot(want + 1, have + 1)
    assert (1.0, 2.0) in plot.points and len(plot.points) <= 1500 and sum(plot.groups) == 100_000


def test_strings_and_other_shapes_are_not_plotted():
    assert not _plot(np.array([b"a"], object), np.array([b"b"], object)).points
    assert not _plot(np.zeros(3), np.zeros(4)).groups
    assert plots.scatter(_plot(np.zeros(3), np.zeros(4))) == "" == plots.differences(_plot(np.zeros(3), np.zeros(4)))


def test_each_output_is_shown_once_the_different_ones_first():
    equal, worse = (
        _plot(np.float32([1, 2]), np.float32([1, 2])),
        _plot(np.float32([1, 2]), np.float32([1, 2 + 1e-6]), 1),
    )
    different = _plot(np.float32([1]), np.float32([2]), key="z")
    assert proof.worst_first([equal, worse, different]) == [different, worse]


def test_the_largest_floats_and_single_values_can_be_drawn():
    compared = comparison.not_proven("y", "")
    for values in ([1.7e308, -1.7e308], [5.0], [0.0, 0.0]):
        points = tuple((value, value) for value in values)
        drawn = plots.scatter(proof.Plot("SignatureLayer", 0, compared, len(values), points))
        assert "nan" not in drawn and "inf" not in drawn and "<path" in drawn
