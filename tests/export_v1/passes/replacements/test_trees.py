"""Trees that hold together, and trees that do not."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1.passes.replacements import tensor_forest, trees


def test_children_are_counted_over_all_trees_and_a_leaf_is_its_own_child():
    nodes = trees.joined([[(1, 2), None, None], [None], [(2, 1), None, (1, 3), None]])
    assert nodes.roots.tolist() == [0, 3, 4] and nodes.depth == 2
    assert nodes.left.tolist() == [1, 1, 2, 3, 6, 5, 5, 7] and nodes.right.tolist() == [2, 1, 2, 3, 5, 5, 7, 7]


@pytest.mark.parametrize(
    ("tree", "what"),
    [
        ([], "refers to a missing node"),
        ([(1, 2), None], "refers to a missing node"),
        ([(-1, 1), None], "refers to a missing node"),
        ([(1, 1), (0, 0)], "contains a cycle"),
        ([(0, 0)], "contains a cycle"),
    ],
)
def test_a_damaged_tree_is_refused(tree, what):
    with pytest.raises(ValueError, match=what):
        trees.joined([tree])


def test_columns_of_a_sparse_matrix():
    indices, values = tf.constant([[0, 7], [1, 2], [1, 7], [2, 3]], tf.int64), tf.constant([1.0, 2.0, 3.0, 4.0])
    found = trees.sparse_columns((indices, values), tf.constant(4), np.array([2, 7, 9]), -1.0)
    np.testing.assert_array_equal(found, [[-1, 1, -1], [2, 3, -1], [-1, -1, -1], [-1, -1, -1]])


def test_a_tree_that_asks_for_a_feature_beyond_its_row_is_refused():
    shape = tf.TensorShape([None, 3])
    tensor_forest._check_width(shape, np.array([0, 2]))
    with pytest.raises(ValueError, match="asks for feature 3, and its input has 3"):
        tensor_forest._check_width(shape, np.array([0, 3]))
