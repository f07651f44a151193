"""TreePredictionsV4 and TensorForestTreePredict, the trees of tf.contrib.tensor_forest.

Source of truth: tensorflow/contrib/tensor_forest/ops/model_ops.cc, kernels/model_ops.cc and kernels/v4 (the tests of
nodes, the values of leaves, sparse features), contrib/decision_trees/proto, and core/kernels/tensor_forest of
TensorFlow 1.15.
"""

import re
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from export_v1.ir import messages
from export_v1.passes.replacements import boosted_trees, resources, trees
from export_v1.passes.replacements.site import Replacement, Site

# The parts of generic_tree_model.proto, its extensions and tensor_forest_params.proto that answers depend on. A node
# stays bytes at first: a tree path holds it as it is.
MESSAGES = messages.Schema(
    "tensorflow.decision_trees",
    {
        "Int32Value": [(1, "value", "int32")],
        "StringValue": [(1, "value", "string")],
        "Any": [(1, "type_url", "string"), (2, "value", "bytes")],
        "Value": [(1, "float_value", "float")],
        "Vector": [(1, "value", "repeated Value")],
        "SparseEntry": [(1, "key", "int64"), (2, "value", "Value")],
        "SparseVector": [(1, "sparse_value", "repeated SparseEntry")],
        "Leaf": [(1, "vector", "Vector"), (2, "sparse_vector", "SparseVector")],
        "FeatureId": [(1, "id", "StringValue")],
        "ObliqueFeatures": [(1, "features", "repeated FeatureId"), (2, "weights", "repeated float")],
        "InequalityTest": [
            (1, "feature_id", "FeatureId"),
            (4, "oblique", "ObliqueFeatures"),
            (2, "type", "int32"),
            (3, "threshold", "Value"),
        ],
        "MatchingValuesTest": [(1, "feature_id", "FeatureId"), (2, "value", "repeated Value"), (3, "inverse", "bool")],
        "BinaryNode": [
            (1, "left_child_id", "Int32Value"),
            (2, "right_child_id", "Int32Value"),
            (4, "inequality_left_child_test", "InequalityTest"),
            (5, "custom_left_child_test", "Any"),
        ],
        "TreeNode": [(1, "node_id", "Int32Value"), (4, "binary_node", "BinaryNode"), (5, "leaf", "Leaf")],
        "DecisionTree": [(1, "nodes", "repeated bytes")],
        "Model": [(1, "decision_tree", "DecisionTree")],
        "TensorForestParams": [
            (8, "is_regression", "bool"),
            (12, "num_outputs", "int32"),
            (23, "inference_tree_paths", "bool"),
        ],
        "TreePath": [(1, "nodes_visited", "repeated bytes")],
    },
)
_LESS_OR_EQUAL = 0


class _Tests:
    """What the nodes of a tree ask, each a value that is below a threshold, or at it, on the left.

    A test of one feature is that feature's value. A sum of features is a column of its own, and so is whether a value
    is among several: 0 where it is on the left, 1 elsewhere.
    """

    def __init__(self, nodes):
        binary = [None if node.HasField("leaf") else node.binary_node for node in nodes]
        self._sums: list[tuple[list[int], list[float]]] = []
        self._matches: list[tuple[int, list[float], bool]] = []
        tested = [self._asked(node) if node is not None else (0, 0.0, True) for node in binary]
        features = {feature for feature, _, _ in tested if isinstance(feature, int)}
        features |= {feature for group, _ in self._sums for feature in group} | {match[0] for match in self._matches}
        self.features = np.array(sorted(features), np.int32)
        self.column = np.array([self._position(feature) for feature, _, _ in tested], np.int32)
        self._threshold = np.array([threshold for _, threshold, _ in tested], np.float32)
        self._with_equal = np.array([with_equal for _, _, with_equal in tested])

    def _asked(self, node) -> tuple[int | str, float, bool]:
        """Returns feature or column, threshold, and whether what is at the threshold goes left."""
        if node.HasField("inequality_left_child_test"):
            test = node.inequality_left_child_test
            threshold = test.threshold.float_value
            if not test.HasField("oblique"):
                return _number(test.feature_id), threshold, test.type == _LESS_OR_EQUAL
            group = [_number(feature) for feature in test.oblique.features]
            self._sums.append((group, list(test.oblique.weights)))
            return f"sum {len(self._sums) - 1}", threshold, True
        custom = node.custom_left_child_test
        if not custom.type_url.endswith("/tensorflow.decision_trees.MatchingValuesTest"):
            raise ValueError(f"a node of its tree has an unknown kind of test: {custom.type_url!r}")
        test = MESSAGES.parse("MatchingValuesTest", custom.value)
        values = [value.float_value for value in test.value]
        self._matches.append((_number(test.feature_id), values, test.inverse))
        return f"match {len(self._matches) - 1}", 0.0, True

    def _position(self, feature: int | str) -> int:
        if isinstance(feature, int):
            return int(np.searchsorted(self.features, feature))
        kind, at = feature.split()
        return len(self.features) + (0 if kind == "sum" else len(self._sums)) + int(at)

    def columns(self, values: tf.Tensor) -> tf.Tensor:
        """Returns [batch, columns] from the values of `features`, [batch, features]."""
        columns = [values]
        if self._sums:
            columns.append(self._weighted(values))
        if self._matches:
            columns.append(self._matched(values))
        return tf.concat(columns, 1)

    def _weighted(self, values: tf.Tensor) -> tf.Tensor:
        total = tf.zeros([tf.shape(values)[0], len(self._sums)])
        # One after the other, as they are added in the kernel: a sum may be just at the threshold.
        for at in range(max(len(group) for group, _ in self._sums)):
            in_group = np.array([at < len(group) for group, _ in self._sums])
            which = [self._position(group[at]) if at < len(group) else 0 for group, _ in self._sums]
            weights = np.array([each[at] if at < len(each) else 0.0 for _, each in self._sums], np.float32)
            total = tf.where(in_group, total + weights * tf.gather(values, which, axis=1), total)
        return total

    def _matched(self, values: tf.Tensor) -> tf.Tensor:
        most = max(1, *(len(known) for _, known, _ in self._matches))
        # NaN is equal to nothing.
        known = np.full([len(self._matches), most], np.nan, np.float32)
        for at, (_, each, _) in enumerate(self._matches):
            known[at, : len(each)] = each
        observed = tf.gather(values, [self._position(feature) for feature, _, _ in self._matches], axis=1)
        among = tf.reduce_any(tf.equal(observed[:, :, tf.newaxis], known), axis=2)
        return tf.cast(tf.equal(among, np.array([inverse for _, _, inverse in self._matches])), tf.float32)

    def is_left(self, node: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
        """Returns whether what a node asks about, which is `value`, is on its left."""
        threshold = tf.gather(self._threshold, node)
        return (value < threshold) | (tf.gather(self._with_equal, node) & tf.equal(value, threshold))


def _number(feature) -> int:
    return int(feature.id.value or 0)


def tree_predictions(
    sites: Sequence[Site],
    handle: tf.Tensor,
    input_data: tf.Tensor,
    sparse_input_indices: tf.Tensor,
    sparse_input_values: tf.Tensor,
    sparse_input_shape: tf.Tensor,
) -> list[list[tf.Tensor | None]]:
    """Returns for each tree the values of the leaf that each example comes to, [batch, outputs], and its way there, [batch].

    Args:
        sites: with `params`, a serialized TensorForestParams, and `input_spec`.
        handle: of the first tree.
        input_data: the dense features, [batch, features], float32.
        sparse_input_indices: of the sparse features, [entries, 2], int64.
        sparse_input_values: [entries], float32.
        sparse_input_shape: [2], int64.
    """
    params = MESSAGES.parse("TensorForestParams", sites[0].attr("params"))
    raw = [_serialized_nodes(site) for site in sites]
    nodes = [[MESSAGES.parse("TreeNode", content) for content in tree] for tree in raw]
    tests = _Tests([node for tree in nodes for node in tree])
    dense_size = int((re.search(rb"dense_features_size: (\d+)", sites[0].attr("input_spec")) or [b"", b"0"])[1])
    sparse = (sparse_input_indices, sparse_input_values)
    batch = tf.shape(input_data)[0] if dense_size else tf.cast(sparse_input_shape[0], tf.int32)
    _check_width(sites[0].shapes[1], tests.features[tests.features < dense_size])
    values = _features(tests.features, batch, dense_size, input_data, sparse)
    joined = trees.joined([[_children(node, tree) for node in tree] for tree in nodes])
    leaves = trees.leaves(joined, tests.columns(values), tests.column, tests.is_left)
    outputs = tf.unstack(
        tf.gather(np.stack([_outputs(node, params) for tree in nodes for node in tree]), leaves), axis=1
    )
    if not params.inference_tree_paths:
        return [[output, None] for output in outputs]
    paths = tf.unstack(tf.gather(_paths([content for tree in raw for content in tree], joined), leaves), axis=1)
    return [list(both) for both in zip(outputs, paths, strict=True)]


def _serialized_nodes(site: Site) -> Sequence[bytes]:
    """Returns the nodes of a tree, each a TreeNode; a tree of no node is initialized to one leaf of zeros."""
    serialized = resources.value(site, ("TreeDeserialize", 1), ("CreateTreeVariable", 1)).item()
    return MESSAGES.parse("Model", serialized).decision_tree.nodes or [b"\x2a\x00"]


def _children(node, nodes) -> tuple[int, int] | None:
    if node.HasField("leaf"):
        return None
    both = node.binary_node.left_child_id.value, node.binary_node.right_child_id.value
    if not all(0 <= child < len(nodes) for child in both):
        raise ValueError("a node of its tree refers to a missing child")
    return nodes[both[0]].node_id.value, nodes[both[1]].node_id.value


def _outputs(node, params) -> np.ndarray:
    """Returns what a node answers as a leaf: means, or counts of classes, which become shares of their sum."""
    outputs = np.zeros([params.num_outputs], np.float32)
    for at, value in enumerate(node.leaf.vector.value[: params.num_outputs]):
        outputs[at] = value.float_value
    for entry in node.leaf.sparse_vector.sparse_value:
        if 0 <= entry.key < params.num_outputs:
            outputs[entry.key] = entry.value.float_value
    # One after the other, as the kernel adds them.
    total = np.add.accumulate(outputs, dtype=np.float32)[-1:]
    return outputs / total if not params.is_regression and (total > 0).all() else outputs


def _paths(raw: Sequence[bytes], nodes: trees.Nodes) -> np.ndarray:
    """Returns for each leaf the serialized nodes from its root to it."""
    paths = np.full([len(raw)], b"", object)
    todo: list[tuple[int, list[bytes]]] = [(root, []) for root in nodes.roots]
    while todo:
        at, before = todo.pop()
        path = [*before, raw[at]]
        if nodes.left[at] == at:
            paths[at] = MESSAGES.classes["TreePath"](nodes_visited=path).SerializeToString()
        else:
            todo += [(nodes.left[at], path), (nodes.right[at], path)]
    return paths


def _check_width(shape: tf.TensorShape, features: np.ndarray) -> None:
    """Raises a ValueError where trees ask for dense features that their input does not have.

    So they do where tf.contrib.tensor_forest trained them with feature_bagging_fraction.
    """
    width = shape[1] if shape.rank == 2 else None
    if width is not None and features.size and features.max() >= width:
        raise ValueError(
            f"its tree asks for feature {features.max()}, and its input has {width}; TensorFlow 1 read what lies behind in memory"
        )


def _features(
    features: np.ndarray, batch: tf.Tensor, dense_size: int, dense: tf.Tensor, sparse: tuple[tf.Tensor, tf.Tensor]
) -> tf.Tensor:
    """Returns the values of some features, [batch, features]; a sparse one that is not there is 0."""
    is_dense = features < dense_size
    columns = []
    if is_dense.any():
        columns.append(tf.gather(tf.ensure_shape(dense, [None, None]), features[is_dense], axis=1))
    if not is_dense.all():
        columns.append(trees.sparse_columns(sparse, batch, features[~is_dense], 0.0))
    return tf.ensure_shape(tf.concat(columns, 1), [None, len(features)])


def tensor_forest_tree_predict(sites: Sequence[Site], handle: tf.Tensor, dense_features: tf.Tensor) -> list[tf.Tensor]:
    """Returns for each tree the values of the leaf that each example comes to, [batch, logits_dimension].

    Args:
        sites: with `logits_dimension`.
        handle: of the first tree.
        dense_features: [batch, features], float32.
    """
    restored_by, made_by = ("TensorForestTreeDeserialize", 1), ("TensorForestCreateTreeVariable", 1)
    stored = [resources.value(site, restored_by, made_by).item() for site in sites]
    # A tree of no node answers zeros, as a leaf of no values does.
    by_tree = [boosted_trees.MESSAGES.parse("Tree", tree or b"\x0a\x02\x0a\x00").nodes for tree in stored]
    splits = [[None if node.HasField("leaf") else node.dense_split for node in nodes] for nodes in by_tree]
    flat = [split for tree in splits for split in tree]
    joined = trees.joined([[(split.left_id, split.right_id) if split else None for split in tree] for tree in splits])
    threshold = np.array([split.threshold if split else 0 for split in flat], np.float32)
    values = np.zeros([len(flat), sites[0].attr("logits_dimension")], np.float32)
    for row, node in zip(values, (node for nodes in by_tree for node in nodes), strict=True):
        known = node.leaf.vector.value[: row.size]
        row[: len(known)] = known
    leaves = trees.leaves(
        joined,
        tf.ensure_shape(dense_features, [None, None]),
        np.array([split.feature_id if split else 0 for split in flat], np.int32),
        lambda node, value: value <= tf.gather(threshold, node),
    )
    return tf.unstack(tf.gather(values, leaves), axis=1)


_BY_STEPS = "gathers, one for each level of the trees, of all trees at once"
REPLACEMENTS = {
    "TreePredictionsV4": Replacement(tree_predictions, _BY_STEPS, joins=True),
    "TensorForestTreePredict": Replacement(tensor_forest_tree_predict, _BY_STEPS, joins=True),
}
