"""AccumulateNV2, which TensorFlow itself replaces when it runs a graph: a sum that every reader of an export knows.

Source of truth: tensorflow/core/ops/math_ops.cc and core/common_runtime/accumulate_n_optimizer.cc of TensorFlow 1.15.
"""

from collections.abc import Sequence

import tensorflow as tf

from export_v1.passes.replacements.site import Replacement, Site


def accumulate_n(site: Site, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns the sum of tensors of one shape."""
    return tf.add_n(list(inputs))


REPLACEMENTS = {"AccumulateNV2": Replacement(accumulate_n, "AddN")}
