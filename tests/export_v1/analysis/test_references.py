"""Which variable each tensor of a graph is."""

import tensorflow as tf

from export_v1.analysis.references import References
from export_v1.ir.graph import Tensor
from tests.support import graphs
from tests.support.graphs import v1

raw = tf.raw_ops


def test_references_and_views_know_their_variables():
    with graphs.tensorflow_1() as graph:
        n, m, other = (raw.VariableV2(shape=[2], dtype=tf.float32, name=name) for name in ("n", "m", "other"))
        pred = v1.placeholder(tf.bool, [], name="pred")
        switched = raw.RefSwitch(data=n, pred=pred, name="switch")
        own, _ = raw.RefMerge(inputs=[switched[0], raw.AssignAdd(ref=switched[1], value=[1.0, 1.0])], name="own")
        one, two = raw.RefSwitch(data=n, pred=pred)[0], raw.RefSwitch(data=m, pred=pred)[1]
        either, _ = raw.RefMerge(inputs=[one, two], name="either")
        tf.reshape(tf.identity(own, name="view"), [2, 1], name="reshaped")
        tf.identity(other, name="unwritten")
        tf.exp(either, name="value")
    references = References(graph.as_graph_def())
    assert references.written == {"n"}
    assert references.variables(Tensor("own")) == references.variables(Tensor("reshaped")) == {"n"}
    assert references.variables(Tensor("either")) == {"n", "m"}
    assert Tensor("unwritten") not in references and Tensor("value") not in references
    assert references.is_decided(references.index["own"]) and not references.is_decided(references.index["either"])
    assert references.base(Tensor("own")) == Tensor("n") and references.base(Tensor("either")) == Tensor("either")
