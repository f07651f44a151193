"""GradientTreesPrediction, the trees of tf.contrib.boosted_trees.

Source of truth: tensorflow/contrib/boosted_trees/ops/prediction_ops.cc, kernels/prediction_ops.cc, lib/trees/
decision_tree.cc, lib/models/multiple_additive_trees.cc and proto/ of TensorFlow 1.15.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from export_v1.ir import messages
from export_v1.passes.replacements import resources, trees
from export_v1.passes.replacements.site import Replacement, Site

_CHILDREN = [(3, "left_id", "int32"), (4, "right_id", "int32")]
# The parts of tree_config.proto and learner.proto that answers depend on.
MESSAGES = messages.Schema(
    "tensorflow.boosted_trees.trees",
    {
        "Vector": [(1, "value", "repeated float")],
        "SparseVector": [(1, "index", "repeated int32"), (2, "value", "repeated float")],
        "Leaf": [(1, "vector", "Vector"), (2, "sparse_vector", "SparseVector")],
        "FloatSplit": [
            (1, "feature_column", "int32"),
            (5, "dimension_id", "int32"),
            (2, "threshold", "float"),
            *_CHILDREN,
        ],
        "SparseFloatSplit": [(1, "split", "FloatSplit")],
        "IdSplit": [(1, "feature_column", "int32"), (2, "feature_id", "int64"), *_CHILDREN],
        "IdSetSplit": [(1, "feature_column", "int32"), (2, "feature_ids", "repeated int64"), *_CHILDREN],
        "TreeNode": [
            (1, "leaf", "Leaf"),
            (2, "dense_float_binary_split", "FloatSplit"),
            (3, "sparse_float_binary_split_default_left", "SparseFloatSplit"),
            (4, "sparse_float_binary_split_default_right", "SparseFloatSplit"),
            (5, "categorical_id_binary_split", "IdSplit"),
            (6, "categorical_id_set_membership_binary_split", "IdSetSplit"),
            (7, "oblivious_dense_float_binary_split", "FloatSplit"),
            (8, "oblivious_categorical_id_binary_split", "IdSplit"),
        ],
        "DecisionTreeConfig": [(1, "nodes", "repeated TreeNode")],
        "DecisionTreeMetadata": [(3, "is_finalized", "bool")],
        "DecisionTreeEnsembleConfig": [
            (1, "trees", "repeated DecisionTreeConfig"),
            (2, "tree_weights", "repeated float"),
            (3, "tree_metadata", "repeated DecisionTreeMetadata"),
        ],
        "Dropout": [(1, "dropout_probability", "float")],
        "LearningRateConfig": [(2, "dropout", "Dropout")],
        "AveragingConfig": [(1, "average_last_n_trees", "float"), (2, "average_last_percent_trees", "float")],
        "LearnerConfig": [
            (1, "num_classes", "uint32"),
            (9, "growing_mode", "int32"),
            (6, "learning_rate_tuner", "LearningRateConfig"),
            (11, "averaging_config", "AveragingConfig"),
        ],
    },
)
_WHOLE_TREE = 1
_OBLIVIOUS = "oblivious_"


class _Ensemble:
    """Trees as arrays, and the columns that their nodes ask about; what is at most a threshold goes left.

    An oblivious tree asks one question on each level, and its leaves follow the last; here it is a tree like others,
    with a node for each way to come to a level.
    """

    def __init__(self, configs):
        # Column -> what it is: the kind of feature, which one, and which part of it.
        self._columns: dict[tuple, int] = {}
        self._column: list[int] = []
        self._threshold: list[float] = []
        # Node here -> the leaf that it is, in its tree, and whose values it has.
        self.leaf: list[int] = []
        self.values: list = []
        self.nodes = trees.joined([self._walked(config.nodes) for config in configs])

    def _walked(self, nodes) -> list[tuple[int, int] | None]:
        """Adds a tree; returns the children of each node."""
        if not nodes:
            raise ValueError("a tree of its ensemble has no node")
        children: list[tuple[int, int] | None] = []
        # A node of the tree, and the number that the answers on oblivious levels make up.
        places, todo = {(0, 0): 0}, [(0, 0)]
        for at, number in todo:
            if not (0 <= at < len(nodes) and number < len(nodes)):
                raise ValueError("a tree of its ensemble refers to a missing node")
            node = nodes[at]
            if node.HasField("leaf"):
                self._add_leaf(nodes, at + number)
                children.append(None)
                continue
            name, split = _split(node)
            self._add(*_question(name, split))
            if name.startswith(_OBLIVIOUS):
                below = (at + 1, 2 * number), (at + 1, 2 * number + 1)
            else:
                split = split.split if name.startswith("sparse") else split
                below = (split.left_id, number), (split.right_id, number)
            for place in below:
                if place not in places:
                    places[place] = len(todo)
                    todo.append(place)
            children.append((places[below[0]], places[below[1]]))
        return children

    def _add_leaf(self, nodes, at: int) -> None:
        if not (at < len(nodes) and nodes[at].HasField("leaf")):
            raise ValueError("a tree of its ensemble has a leaf that is not there")
        self._add(None, 0.0)
        self.leaf[-1], self.values[-1] = at, nodes[at].leaf

    def _add(self, column: tuple | None, threshold: float) -> None:
        at = 0 if column is None else self._columns.setdefault(column, len(self._columns))
        self._column.append(at)
        self._threshold.append(threshold)
        self.leaf.append(0)
        self.values.append(None)

    def leaves(self, batch, dense, sparse_floats, sparse_ints) -> tf.Tensor:
        """Returns which node each example comes to in each tree, [batch, trees].

        Args:
            batch: how many examples there are.
            dense: features of one number, [batch, 1] each.
            sparse_floats: (indices, values) of each.
            sparse_ints: (indices, values) of each.
        """
        if not self._columns:
            return tf.tile(self.nodes.roots[np.newaxis], [batch, 1])
        columns: dict[tuple, tf.Tensor] = {}
        for kind, feature in sorted({column[:2] for column in self._columns}):
            parts = sorted(column[2] for column in self._columns if column[:2] == (kind, feature))
            if kind == "dense":
                made = tf.ensure_shape(dense[feature], [None, 1])
            elif kind == "oblivious_dense":
                made = tf.ensure_shape(dense[feature], [None, 1])
                made = tf.where(tf.math.is_nan(made), -np.inf, made)
            elif kind == "ids":
                made = _memberships(sparse_ints[feature], batch, parts)
            else:
                made = trees.sparse_columns(sparse_floats[feature], batch, np.array(parts), float(kind))
            columns |= {(kind, feature, part): made[:, at] for at, part in enumerate(parts)}
        threshold = np.array(self._threshold, np.float32)
        return trees.leaves(
            self.nodes,
            tf.stack([columns[column] for column in self._columns], axis=1),
            np.array(self._column, np.int32),
            lambda node, value: value <= tf.gather(threshold, node),
        )


def _split(node):
    """Returns the kind of a node's split, and the split."""
    for field, split in node.ListFields():
        return field.name, split
    raise ValueError("a node of its ensemble is neither a leaf nor a split that is known")


def _question(name: str, split) -> tuple[tuple, float]:
    """Returns the column that a split asks about, and its threshold.

    The kind of a sparse number's column is what stands for a missing one: nothing is less than "-inf", and "nan" is less
    than nothing. A column of identifiers is 0 where one of them is there, 1 elsewhere.
    """
    if name.startswith("sparse"):
        missing = "-inf" if name.endswith("left") else "nan"
        return (missing, split.split.feature_column, split.split.dimension_id), split.split.threshold
    if name.endswith("dense_float_binary_split"):
        return (name.removesuffix("_float_binary_split"), split.feature_column, 0), split.threshold
    ids = split.feature_ids if "set_membership" in name else [split.feature_id]
    return ("ids", split.feature_column, tuple(sorted(ids))), 0.5


def _memberships(
    entries: tuple[tf.Tensor, tf.Tensor], batch: tf.Tensor, groups: Sequence[tuple[int, ...]]
) -> tf.Tensor:
    """Returns 0 where a row has one of a group of identifiers and 1 elsewhere, [batch, groups]."""
    indices, values = entries
    known = np.array(sorted({identifier for group in groups for identifier in group} or {0}), np.int64)
    by_identifier = tf.stack([tf.ensure_shape(indices, [None, 2])[:, 0], values], axis=1)
    missing = trees.sparse_columns((by_identifier, tf.zeros(tf.shape(values))), batch, known, 1.0)
    if all(len(group) == 1 for group in groups):
        return tf.gather(missing, np.searchsorted(known, [group[0] for group in groups]), axis=1)
    among = np.array([[float(identifier in group) for group in groups] for identifier in known], np.float32)
    return 1 - tf.sign(tf.matmul(1 - missing, among))


def gradient_trees_prediction(
    site: Site,
    handle: tf.Tensor,
    seed: tf.Tensor,
    dense_float_features: Sequence[tf.Tensor],
    sparse_float_feature_indices: Sequence[tf.Tensor],
    sparse_float_feature_values: Sequence[tf.Tensor],
    sparse_float_feature_shapes: Sequence[tf.Tensor],
    sparse_int_feature_indices: Sequence[tf.Tensor],
    sparse_int_feature_values: Sequence[tf.Tensor],
    sparse_int_feature_shapes: Sequence[tf.Tensor],
) -> list[tf.Tensor]:
    """Returns the sum of all trees, each by its weight, [batch, logits]; the trees left out, none; and leaves of Verbose.

    Args:
        site: with `learner_config`, `reduce_dim`, `apply_dropout` and `apply_averaging`.
        handle: of the ensemble.
        seed: unused: nothing is left out at random.
        dense_float_features: [batch, 1] each.
        sparse_float_feature_indices: [entries, 2] each.
        sparse_float_feature_values: [entries] each.
        sparse_float_feature_shapes: [2] each.
        sparse_int_feature_indices: [entries, 2] each.
        sparse_int_feature_values: [entries] each.
        sparse_int_feature_shapes: [2] each.
    """
    learner = MESSAGES.parse("LearnerConfig", site.attr("learner_config"))
    if site.attr("apply_dropout") and learner.learning_rate_tuner.HasField("dropout"):
        raise ValueError("it leaves trees out at random, as training does")
    value = resources.value(site, ("TreeEnsembleDeserialize", 2), ("CreateTreeEnsembleVariable", 2))
    config = MESSAGES.parse("DecisionTreeEnsembleConfig", value.item())
    kept = [at for at in range(len(config.trees)) if _counts(config, learner, at)]
    shapes = [*sparse_float_feature_shapes, *sparse_int_feature_shapes]
    batch = tf.shape(dense_float_features[0])[0] if dense_float_features else tf.cast(shapes[0][0], tf.int32)
    size = learner.num_classes - (1 if site.attr("reduce_dim") else 0)
    none_left_out = tf.zeros([2, 0])
    if not kept:
        return [tf.zeros([batch, size]), none_left_out, tf.zeros([batch, 0], tf.int32)]
    ensemble = _Ensemble([config.trees[at] for at in kept])
    leaves = ensemble.leaves(
        batch,
        dense_float_features,
        list(zip(sparse_float_feature_indices, sparse_float_feature_values, strict=True)),
        list(zip(sparse_int_feature_indices, sparse_int_feature_values, strict=True)),
    )
    weights = _weights(config, learner if site.attr("apply_averaging") else None)[kept]
    added = np.stack([_added(leaf, size) for leaf in ensemble.values])
    logits = tf.reduce_sum(tf.gather(added, leaves) * weights[:, np.newaxis], axis=1)
    return [logits, none_left_out, tf.gather(np.array(ensemble.leaf, np.int32), leaves)]


def _counts(config, learner, at: int) -> bool:
    """Returns whether a tree counts: one that still grows does not where trees are grown as wholes."""
    return learner.growing_mode != _WHOLE_TREE or not config.tree_metadata or config.tree_metadata[at].is_finalized


def _weights(config, averaged) -> np.ndarray:
    """Returns the weight of each tree; of an average over the last ensembles, the later a tree came the less."""
    weights, count = np.array(config.tree_weights, np.float32), len(config.trees)
    if averaged is None or not averaged.HasField("averaging_config"):
        return weights
    averaging = averaged.averaging_config
    if averaging.average_last_n_trees:
        start = int(max(0.0, count - averaging.average_last_n_trees))
    elif averaging.average_last_percent_trees:
        start = int(max(0.0, count * (1.0 - averaging.average_last_percent_trees)))
    else:
        return weights
    for at in range(start, count):
        weights[at] = weights[at] * np.float32(count - at) / np.float32(count - start)
    return weights


def _added(leaf, size: int) -> np.ndarray:
    """Returns what a node adds to the logits as a leaf."""
    added = np.zeros([size], np.float32)
    if leaf is None:
        return added
    if leaf.HasField("sparse_vector"):
        for at, value in zip(leaf.sparse_vector.index, leaf.sparse_vector.value, strict=True):
            added[at] += value
    else:
        added[: len(leaf.vector.value)] = leaf.vector.value
    return added


def _without_leaves(*arguments) -> list[tf.Tensor]:
    return gradient_trees_prediction(*arguments)[:2]


_BY_STEPS = "gathers, one for each level of the trees"
REPLACEMENTS = {
    "GradientTreesPrediction": Replacement(_without_leaves, _BY_STEPS),
    "GradientTreesPredictionVerbose": Replacement(gradient_trees_prediction, _BY_STEPS),
}
