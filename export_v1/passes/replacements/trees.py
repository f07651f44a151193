"""Decision trees as arrays: all trees of an ensemble at once, one step from the roots towards the leaves at a time."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Nodes:
    """The nodes of all trees of an ensemble, one tree after the other.

    Attributes:
        roots: where each tree begins, [trees].
        left: where a node's left child is, [nodes]; a leaf is its own child.
        right: where its right child is, [nodes].
        depth: the most steps from a root to a leaf.
    """

    roots: np.ndarray
    left: np.ndarray
    right: np.ndarray
    depth: int


def joined(trees: Sequence[Sequence[tuple[int, int] | None]]) -> Nodes:
    """Returns the nodes of trees as arrays.

    Args:
        trees: for each node of each tree its left and right child, counted in its tree, or None for a leaf; the first
            node is the root.

    Raises:
        ValueError: a tree has no node, a child that it does not have, or no end.
    """
    roots: list[int] = []
    left: list[int] = []
    right: list[int] = []
    depth = 0
    for tree in trees:
        start = len(left)
        depth = max(depth, _depth(tree))
        roots.append(start)
        for at, children in enumerate(tree):
            left.append(start + (children[0] if children else at))
            right.append(start + (children[1] if children else at))
    return Nodes(np.array(roots, np.int32), np.array(left, np.int32), np.array(right, np.int32), depth)


def _depth(tree: Sequence[tuple[int, int] | None]) -> int:
    level, depth = {0}, -1
    while level:
        if not all(0 <= node < len(tree) for node in level):
            raise ValueError("a tree of its ensemble refers to a missing node")
        depth += 1
        if depth > len(tree):
            raise ValueError("a tree of its ensemble contains a cycle")
        level = {child for node in level for child in tree[node] or ()}
    return depth


def leaves(
    nodes: Nodes,
    columns: tf.Tensor,
    column: np.ndarray,
    is_left: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    starts: tf.Tensor | None = None,
) -> tf.Tensor:
    """Returns the leaf that each example comes to in each tree, [batch, trees], int32.

    Args:
        nodes: of all trees.
        columns: what nodes ask about, [batch, columns].
        column: which of these each node asks about, [nodes]; any one for a leaf.
        is_left: takes nodes and the values that they ask about, [batch, trees] each, and returns where to go left.
        starts: where each example begins in each tree, [batch, trees], int32; None: at the roots.
    """
    shape = tf.TensorShape([None, len(nodes.roots)])
    if starts is None:
        starts = tf.tile(nodes.roots[np.newaxis], [tf.shape(columns)[0], 1])

    def step(at, reached):
        values = tf.gather(columns, tf.gather(column, reached), axis=1, batch_dims=1)
        below = tf.where(is_left(reached, values), tf.gather(nodes.left, reached), tf.gather(nodes.right, reached))
        return at + 1, tf.ensure_shape(below, shape)

    if not nodes.depth:
        return starts
    return tf.while_loop(
        lambda at, reached: at < nodes.depth,
        step,
        (tf.constant(0), tf.ensure_shape(starts, shape)),
        shape_invariants=(tf.TensorShape([]), shape),
        maximum_iterations=nodes.depth,
    )[1]


def sparse_columns(
    entries: tuple[tf.Tensor, tf.Tensor], batch: tf.Tensor, wanted: np.ndarray, default: float
) -> tf.Tensor:
    """Returns some columns of a sparse matrix of numbers, [batch, len(wanted)], float32.

    Args:
        entries: indices, [entries, 2], int64, and values, [entries], float32.
        batch: how many rows there are.
        wanted: which columns, in ascending order, at least one.
        default: what stands where there is no entry.
    """
    indices, values = entries
    row, column = tf.unstack(tf.ensure_shape(indices, [None, 2]), axis=1)
    wanted = wanted.astype(np.int64)
    at = tf.minimum(tf.searchsorted(wanted, column, out_type=tf.int64), wanted.size - 1)
    present = tf.where(tf.equal(tf.gather(wanted, at), column))[:, 0]
    places = tf.gather(tf.stack([row, at], axis=1), present)
    empty = tf.fill(tf.stack([tf.cast(batch, tf.int64), wanted.size]), tf.constant(default, tf.float32))
    result = tf.gather(tf.ensure_shape(values, [None]), present)
    return tf.ensure_shape(tf.tensor_scatter_nd_update(empty, places, result), [None, wanted.size])
