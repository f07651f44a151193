"""What a tensor that is no data is made of."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1.ir.graph import Tensor
from load_v2.opening import graph
from load_v2.opening.values import Values
from load_v2.program import artefact

v1 = tf.compat.v1
KEPT = {
    "transposed": lambda w: tf.transpose(w),
    "reshaped and cut": lambda w: tf.reshape(w, [-1])[2:],
    "beside itself": lambda w: tf.concat([w, w], 0),
    "one more": lambda w: w + 1.0,
}
CHANGED = {
    "scaled": lambda w: w * 0.5,
    "normalized": lambda w: tf.nn.l2_normalize(w, 0),
    "under a row of zeros": lambda w: tf.concat([tf.zeros([1, 3]), w[1:]], 0),
}


def _values(build) -> Values:
    with tf.Graph().as_default() as made:
        build(v1.placeholder("float32", [3, 3], name="w"))
    variable = artefact.Variable(
        name="w", handles=(), dtype="float32", shape=(3, 3), trainable=True, key="w"
    )  # fmt: skip
    simple = graph.without_aliases(made.as_graph_def(), {}, {"y": Tensor("y")}, {"w": variable})
    return Values(simple, lambda _: np.ones((3, 3), "float32"))


@pytest.mark.parametrize("name", [*KEPT, *CHANGED])
def test_what_is_trained_in_the_place_of_variables_is_told(name):
    known = _values(lambda w: tf.raw_ops.Reshape(tensor={**KEPT, **CHANGED}[name](w), shape=[-1], name="y"))
    assert known.kind(Tensor("y")) == "weight"
    assert known.is_rearranged(Tensor("y")) == (name in KEPT)


def test_the_same_made_twice_of_the_same_variable_is_known_as_such():
    def build(w):
        parts = [tf.transpose(w, name="one"), tf.transpose(w, name="other"), tf.reshape(w, [3, 3], name="third")]
        tf.raw_ops.AddN(inputs=parts, name="y")

    known = _values(build)
    assert known.formula(Tensor("one")) == known.formula(Tensor("other")) != known.formula(Tensor("third"))
