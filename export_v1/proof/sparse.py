"""Inputs made up for a tf.sparse_placeholder: placeholders of indices, values and shape that have to agree.

Source: tf.sparse_placeholder of TensorFlow 1.0 to 1.15, which names them NAME/indices, NAME/values and NAME/shape.
"""

from collections.abc import Mapping

import numpy as np

from export_v1.interface import Input
from export_v1.ir.graph import parse

# Room in each axis after the first; only the first place is taken.
WIDTH = 4


def examples(inputs: Mapping[str, Input], rows: int) -> dict[str, np.ndarray]:
    """Returns indices and shapes, by input key, of sparse inputs with one value in each of `rows` rows."""
    by_name: dict[str, dict[str, str]] = {}
    for key, one in inputs.items():
        name, _, part = parse(one.tensor).node.rpartition("/")
        by_name.setdefault(name, {})[part] = key
    found = {}
    for parts in by_name.values():
        if {"indices", "values", "shape"} <= parts.keys():
            rank = _rank(inputs[parts["indices"]], inputs[parts["shape"]])
            indices = np.zeros([rows, rank], np.int64)
            indices[:, 0] = np.arange(rows)
            found[parts["indices"]] = indices
            found[parts["shape"]] = np.array([rows] + [WIDTH] * (rank - 1), np.int64)
    return found


def _rank(indices: Input, shape: Input) -> int:
    known = [one.shape[-1] for one in (indices, shape) if one.shape and one.shape[-1]]
    return known[0] if known else 2
