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
        "TreeMetadata": [(3, "is_finalized", "bool"), (4, "post_pruned_nodes_meta", "repeated PostPruneNodeUpdate")],
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
        self._message = MESSAGES.parse("TreeEnsemble", resources.value(site, _RESTORED_BY, _MADE_BY).item())
        self._all = [node for tree in self._message.trees for node in tree.nodes]
        splits = [[_split(node) for node in tree.nodes] for tree in self._message.trees]
        self.nodes = trees.joined([[_children(split) for split in tree] for tree in splits])
        flat = [split for tree in splits for split in tree]
        self._feature = np.array([split.feature_id if split else 0 for split in flat], np.int32)
        self._dimension = np.array([split.dimension_id if split else 0 for split in flat], np.int32)
        # A node goes left where its bucket is one of these.
        bounds = [_bounds(node) for node in self._all]
        self._first, self._last = (np.array([bound[side] for bound in bounds], np.int32) for side in (0, 1))
        self.weights = np.array(self._message.tree_weights, np.float32)

    def leaves(self, features: Sequence[tf.Tensor], starts: tf.Tensor | None = None) -> tf.Tensor:
        """Returns where each example ends in each tree, [batch, trees], from its roots or from `starts`."""
        columns = [_as_matrix(feature) for feature in features]
        widths = tf.stack([tf.shape(column)[1] for column in columns])
        column = tf.gather(tf.cumsum(widths, exclusive=True), self._feature) + self._dimension

        def is_left(node, bucket):
            return (bucket >= tf.gather(self._first, node)) & (bucket <= tf.gather(self._last, node))

        table = tf.ensure_shape(tf.concat(columns, 1), [None, None])
        return trees.leaves(self.nodes, table, column, is_left, starts)

    def values(self, size: int) -> np.ndarray:
        """Returns the logits of each node: a leaf's, or those that a node had before it was split, [nodes, size]."""
        leaves = (node.leaf if node.HasField("leaf") else node.metadata.original_leaf for node in self._all)
        return np.stack([_logits(leaf.vector.value or [leaf.scalar], size) for leaf in leaves])

    def now(self, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns what became of nodes when finished trees were pruned, a table of all trees.

        The arrays are where each tree begins in the table, [trees]; which node a node became, [rows], counted among all;
        and how its logits changed, [rows, size].
        """
        starts: list[int] = []
        became: list[int] = []
        changes: list[np.ndarray] = []
        for at, tree in enumerate(self._message.trees):
            meta = self._message.tree_metadata[at] if at < len(self._message.tree_metadata) else None
            starts.append(len(became))
            if meta is not None and meta.is_finalized and meta.post_pruned_nodes_meta:
                rows = [(row.new_node_id, row.logit_change) for row in meta.post_pruned_nodes_meta]
            else:
                rows = [(node, ()) for node in range(len(tree.nodes))]
            became += [self.nodes.roots[at] + node for node, _ in rows]
            changes += [_logits(change, size) for _, change in rows]
        return np.array(starts, np.int32), np.array(became, np.int32), np.stack(changes)


def _logits(values: Sequence[float], size: int) -> np.ndarray:
    logits = np.zeros([size], np.float32)
    logits[: len(values)] = values
    return logits


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
    if not len(ensemble.weights):
        return tf.zeros([tf.shape(features[0])[0], size])
    logits = tf.gather(ensemble.values(size), ensemble.leaves(features))
    return tf.reduce_sum(logits * ensemble.weights[:, np.newaxis], axis=1)


def training_predict(
    site: Site, handle: tf.Tensor, cached_tree_ids: tf.Tensor, cached_node_ids: tf.Tensor, features: Sequence[tf.Tensor]
) -> list[tf.Tensor]:
    """Returns what trees add to cached logits, [batch, logits_dimension], and the last tree and each example's node there.

    Args:
        site: with `logits_dimension`.
        handle: of the ensemble.
        cached_tree_ids: the tree that the cached logits go as far as, [batch], int32.
        cached_node_ids: the node of it that they have the logits of, [batch], int32; negative: nothing is cached.
        features: as for `predict`.
    """
    ensemble, size = _Ensemble(site), site.attr("logits_dimension")
    batch, count = tf.shape(features[0])[0], len(ensemble.weights)
    if not count:
        return [tf.zeros([batch, size]), tf.identity(cached_tree_ids), tf.zeros([batch], tf.int32)]
    starts, became, changes = ensemble.now(size)
    row = tf.gather(starts, cached_tree_ids) + tf.maximum(cached_node_ids, 0)
    cached = tf.gather(became, row)
    tree = tf.range(count)[tf.newaxis]
    counts = tree >= cached_tree_ids[:, tf.newaxis]
    # `==` of tensors compares objects wherever a graph of TensorFlow 1 is being built.
    is_cached = tf.equal(tree, cached_tree_ids[:, tf.newaxis]) & (cached_node_ids[:, tf.newaxis] >= 0)
    leaves = ensemble.leaves(features, tf.where(is_cached, cached[:, tf.newaxis], ensemble.nodes.roots))
    values = ensemble.values(size)
    before = (tf.gather(values, cached) - tf.gather(changes, row))[:, tf.newaxis]
    added = tf.gather(values, leaves) - tf.where(is_cached[:, :, tf.newaxis], before, 0.0)
    added = tf.where(counts[:, :, tf.newaxis], added * ensemble.weights[:, np.newaxis], 0.0)
    return [
        tf.reduce_sum(added, axis=1),
        tf.fill([batch], count - 1),
        leaves[:, -1] - ensemble.nodes.roots[-1],
    ]


_BY_STEPS = "gathers, one for each level of the trees"
REPLACEMENTS = {
    "BoostedTreesPredict": Replacement(predict, _BY_STEPS),
    "BoostedTreesTrainingPredict": Replacement(training_predict, _BY_STEPS),
}
