"""Ops at the edges of what tf.xla.experimental.compile and tf.contrib.tpu hand to a compiler: the graph runs without them.

Source of truth: tensorflow/compiler/jit/ops/xla_ops.cc, jit/encapsulate_xla_computations_pass.cc and tensorflow/core/
ops/tpu_replication_ops.cc of TensorFlow 1.15.
"""

from collections.abc import Sequence

import tensorflow as tf

from export_v1.ir.graph import data_inputs
from export_v1.passes.replacements.site import Replacement, Site


def cluster_output(site: Site, x: tf.Tensor) -> tf.Tensor:
    """Returns what leaves a cluster."""
    return tf.identity(x)


def replicated_input(site: Site, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns the input of the one replica that there is here, which has to be that of all."""
    if len(set(data_inputs(site.node))) > 1:
        raise ValueError(f"it gives {len(inputs)} replicas different inputs")
    return tf.identity(inputs[0])


def replicated_output(site: Site, x: tf.Tensor) -> list[tf.Tensor]:
    """Returns the output of each replica, which is the same: their inputs are."""
    return [tf.identity(x) for _ in range(site.attr("num_replicas"))]


def metadata(site: Site) -> list[tf.Tensor]:
    """Returns nothing: it tells a compiler of the replicas, and others wait for it."""
    return []


REPLACEMENTS = {
    "XlaClusterOutput": Replacement(cluster_output, "Identity"),
    "TPUReplicatedInput": Replacement(replicated_input, "Identity, where all replicas have one input"),
    "TPUReplicatedOutput": Replacement(replicated_output, "Identity"),
    "TPUReplicateMetadata": Replacement(metadata, "NoOp"),
}
