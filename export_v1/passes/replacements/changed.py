"""Ops that TensorFlow 2 has a kernel for which answers something else than TensorFlow 1's.

Source of truth: tensorflow/core/kernels/cwise_op_round.cc of TensorFlow 1.15. Found by running each op without state on
the same inputs under TensorFlow 1.15.5 and 2.21.
"""

import tensorflow as tf

from export_v1.ir import graph
from export_v1.ir.graph import NodeDef
from export_v1.passes.replacements.site import Replacement, Site


def rounded(site: Site, x: tf.Tensor) -> tf.Tensor:
    """Returns integers as they are."""
    return x


def _is_of_integers(node: NodeDef) -> bool:
    return tf.as_dtype(graph.attr(node, "T").type).is_integer


REPLACEMENTS = {
    "Round": Replacement(
        rounded, "Identity, of integers, which TensorFlow 2 rounds to 0", where=_is_of_integers, is_wrong=True
    )
}
