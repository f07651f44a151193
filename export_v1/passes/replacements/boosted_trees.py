"""BoostedTreesPredict and its like, the trees of tf.estimator.BoostedTreesClassifier and BoostedTreesRegressor.

Source of truth: tensorflow/core/ops/boosted_trees_ops.cc, core/kernels/boosted_trees/prediction_ops.cc, resources.cc
and boosted_trees.proto of TensorFlow 1.15; what later versions of TensorFlow 1's Estimators wrote, features of several
dimensions and leaves of several classes, is as in 2.3.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from export_v1.ir import messages
from export_v1.passes.replacements import resources, trees
from export_v1.passes.replacements.site import Replacement, Site

_RESTORED_BY = ("BoostedTreesDeserializeEnsemble", 2)
_MADE_BY = ("BoostedTreesCreateEnsemble", 2)
# The parts of boosted_trees.proto that answers depend on.
_CHILDREN = [(3, "left_id", "int32"), (4, "right_id", "int32")]
MESSAGES = messages.Schema(
    "tensorflow.boosted_trees",
    {
        "Vector": [(1, "value", "repeated float")],
        "Leaf": [(1, "vector", "Vector"), (3, "scalar", "float")],
        "BucketizedSplit": [
            (1, "feature_id", "int32"),
            (2, "threshold", "int32"),
            (5, "dimension_id", "int32"),
            *_CHILDREN,
        ],
        "CategoricalSplit": [
            (1, "feature_id", "int32"),
            (2, "value", "int32"),
            (5, "dimension_id", "int32"),
            *_CHILDREN,
        ],
        "DenseSplit": [(1, "feature_id", "int32"), (2, "threshold", "float"), *_CHILDREN],
        "NodeMetadata": [(2, "original_leaf", "Leaf")],
        "Node": [
            (1, "leaf", "Leaf"),
            (2, "bucketized_split", "BucketizedSplit"),
            (3, "categorical_split", "CategoricalSplit"),
            (4, "dense_split", "DenseSplit"),
            (777, "metadata", "NodeMetadata"),
        ],
        "Tree": [(1, "nodes", "repeated Node")],
        "PostPruneNodeUpdate": [(1, "new_node_id", "int32"), (2, "logit_change", "repeated float")],
        "TreeMetadata": [(4, "post_pruned_nodes_meta", "repeated PostPruneNodeUpdate")],
        "TreeEnsemble": [
            (1, "trees", "repeated Tree"),
            (2, "tree_weights", "repeated float"),
            (3, "tree_metadata", "repeated TreeMetadata"),
        ],
    },
)
_LOWEST = np.iinfo(np.int32).min


class _Ensemble:
    """An ensemble as arrays."""

    def __init__(self, site: Site):
        message = MESSAGES.parse("TreeEnsemble", resources.value(site, _RESTORED_BY, _MADE_BY).item())
        self._message = message
        self._nodes = [node for tree in message.trees for node in tree.nodes]
        splits = [_split(node) for node in self._nodes]
        by_tree = iter(splits)
        children = [[_children(next(by_tree)) for _ in tree.nodes] for tree in message.trees]
        self.nodes = trees.joined(children)
        self._feature = np.array([split.feature_id if split else 0 for split in splits], np.int32)
        self._dimension = np.array([split.dimension_id if split else 0 for split in splits], np.int32)
        # A node goes left where its bucket is one of these.
        bounds = [_bounds(node) for node in self._nodes]
        self._first, self._last = (np.array([bound[side] for bound in bounds], np.int32) for side in (0, 1))

    def leaves(self, features: Sequence[tf.Tensor]) -> tf.Tensor:
        """Returns where each example ends in each tree, [batch, trees]."""
        columns = [_as_matrix(feature) for feature in features]
        widths = tf.stack([tf.shape(column)[1] for column in columns])
        column = tf.gather(tf.cumsum(widths, exclusive=True), self._feature) + self._dimension

        def is_left(node, bucket):
            return (bucket >= tf.gather(self._first, node)) & (bucket <= tf.gather(self._last, node))

        return trees.leaves(self.nodes, tf.ensure_shape(tf.concat(columns, 1), [None, None]), column, is_left)

    def logits(self, size: int) -> np.ndarray:
        """Returns what each node adds to the logits, its tree's weight included, [nodes, size]."""
        weights = np.repeat(
            np.array(self._message.tree_weights, np.float32), [len(tree.nodes) for tree in self._message.trees]
        )
        values = np.zeros([len(self._nodes), size], np.float32)
        for at, node in enumerate(self._nodes):
            leaf = node.leaf if node.HasField("leaf") else node.metadata.original_leaf
            value = leaf.vector.value if leaf.HasField("vector") else [leaf.scalar]
            values[at, : len(value)] = value
        return weights[:, np.newaxis] * values


def _split(node):
    """Returns what tells a node's two children apart; None for a leaf."""
    kinds = [kind for kind in ("bucketized_split", "categorical_split") if node.HasField(kind)]
    if node.HasField("leaf") == bool(kinds):
        raise ValueError("a node of its ensemble is neither a leaf nor a split by buckets or categories")
    return getattr(node, kinds[0]) if kinds else None


def _children(split) -> tuple[int, int] | None:
    return (split.left_id, split.right_id) if split else None


def _bounds(node) -> tuple[int, int]:
    if node.HasField("categorical_split"):
        return node.categorical_split.value, node.categorical_split.value
    return _LOWEST, node.bucketized_split.threshold


def _as_matrix(feature: tf.Tensor) -> tf.Tensor:
    """Returns a feature as [batch, dimensions]; in TensorFlow 1.15 it has one dimension, and is [batch]."""
    shape = tf.shape(feature)
    return tf.reshape(feature, tf.concat([shape[:1], [tf.reduce_prod(shape[1:])]], 0))


def predict(site: Site, handle: tf.Tensor, features: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns the sum of all trees, each by its weight, [batch, logits_dimension].

    Args:
        site: with `logits_dimension`.
        handle: of the ensemble.
        features: buckets, or whether a category is there, [batch] each, int32; later versions: [batch, dimensions].
    """
    ensemble, size = _Ensemble(site), site.attr("logits_dimension")
    if not len(ensemble.nodes.roots):
        return tf.zeros([tf.shape(features[0])[0], size])
    return tf.reduce_sum(tf.gather(ensemble.logits(size), ensemble.leaves(features)), axis=1)


REPLACEMENTS = {"BoostedTreesPredict": Replacement(predict, "gathers, one for each level of the trees")}
