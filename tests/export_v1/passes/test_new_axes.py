"""Slices that take and add axes at once, as TensorFlow runs a graph: it rewrites what is sliced out of a stack."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1.passes import new_axes
from tests.support import node_defs

A, B = np.arange(6, dtype=np.float32).reshape(3, 2), np.arange(6, 12, dtype=np.float32).reshape(3, 2)
NEW = np.newaxis
SLICES = {
    "index": (1, np.s_[:, 0, NEW]),
    "index before": (1, np.s_[NEW, :, 1]),
    "first axis": (0, np.s_[1, NEW]),
    "range": (1, np.s_[:, 1:, NEW]),
    "range between": (1, np.s_[NEW, :, 0:1, NEW]),
    "ellipsis": (2, np.s_[..., 1, NEW]),
    "after an ellipsis": (0, np.s_[NEW, 0, ..., NEW]),
    "negative": (2, np.s_[:, :, -1, NEW]),
    "other axis": (1, np.s_[1:, 0, NEW, 1]),
}


def _sliced(axis, taken):
    """Returns the graph of a slice of two stacked tensors, and what comes of them by NumPy."""

    def make():
        a, b = (tf.compat.v1.placeholder(tf.float32, [3, 2], name) for name in "ab")
        tf.multiply(tf.stack([a, b], axis)[taken], 2.0, name="y")

    return node_defs.built(make), np.stack([A, B], axis)[taken] * 2


def _answer(graph_def):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.graph_util.import_graph_def(graph_def, name="")
        return session.run("y:0", {"a:0": A, "b:0": B})


@pytest.mark.parametrize(("axis", "taken"), SLICES.values(), ids=SLICES)
def test_a_slice_of_a_stack_keeps_its_new_axes(axis, taken):
    graph_def, want = _sliced(axis, taken)
    before = graph_def.SerializeToString()
    made = new_axes.apart(graph_def).graph_def
    assert graph_def.SerializeToString() == before
    np.testing.assert_array_equal(_answer(made), want)
    assert len(made.node) == len(graph_def.node) + 1


def test_so_does_one_in_a_function():
    @tf.function(autograph=False)
    def called(a, b):
        return tf.stack([a, b], 1)[:, 0, NEW] * 2.0

    def make():
        a, b = (tf.compat.v1.placeholder(tf.float32, [3, 2], name) for name in "ab")
        tf.identity(called(a, b), name="y")

    made = new_axes.apart(node_defs.built(make)).graph_def
    np.testing.assert_array_equal(_answer(made), np.stack([A, B], 1)[:, 0, NEW] * 2)


@pytest.mark.parametrize("taken", [np.s_[:, :, NEW], np.s_[NEW, ..., NEW], np.s_[1:, 0], np.s_[:, 0:1:2, NEW]])
def test_a_slice_that_only_adds_or_only_takes_stays_and_so_does_one_of_steps(taken):
    graph_def, want = _sliced(1, taken)
    made = new_axes.apart(graph_def).graph_def
    assert list(made.node) == list(graph_def.node)
    np.testing.assert_array_equal(_answer(made), want)
