"""A RefSelect in a few nodes; what whole graphs answer is in tests/test_references.py."""

import pytest
import tensorflow as tf

from export_v1.passes import ref_select, variables
from tests.support import graphs
from tests.support.graphs import v1

raw = tf.raw_ops
VALUES = {"v0": 1.0, "v1": 10.0, "v2": 100.0}


def _selected(count: int):
    with graphs.tensorflow_1() as graph:
        references = [raw.VariableV2(shape=[], dtype=tf.float32, name=f"v{at}") for at in range(count)]
        index = v1.placeholder(tf.int32, [], name="index")
        tf.add(raw.RefSelect(index=index, inputs=references, name="chosen"), 0.5, name="y")
    return graph.as_graph_def()


@pytest.mark.parametrize("at", range(3))
def test_the_one_of_the_number_is_read(at):
    made = variables.to_resources(ref_select.to_conditions(_selected(3)).graph_def).graph_def
    assert graphs.run(made, "y:0", {"index:0": at}, values=VALUES) == VALUES[f"v{at}"] + 0.5


def test_one_reference_alone_is_that_one():
    made = ref_select.to_conditions(_selected(1)).graph_def
    [node] = [node for node in made.node if node.name == "chosen"]
    assert node.op == "RefIdentity" and list(node.input) == ["v0"]


def test_a_graph_without_it_is_left_as_it_is():
    with graphs.tensorflow_1() as graph:
        tf.constant(1.0)
    graph_def = graph.as_graph_def()
    assert ref_select.to_conditions(graph_def).graph_def is graph_def
