"""randomness: which tensors random numbers reach."""

import pytest
import tensorflow as tf
from google.protobuf import text_format

from export_v1.ir import randomness
from export_v1.ir.graph import Index
from tests.support import graphs
from tests.support.graphs import v1


def _graph(text: str):
    return text_format.Parse(text, v1.GraphDef())


def test_an_output_is_random_where_a_random_op_stands_before_it():
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [2], "x")
        noise = tf.random.normal([2], name="noise")
        tf.add(x, noise, name="y")
        tf.multiply(x, 2.0, name="plain")
        with tf.control_dependencies([noise]):
            tf.identity(x, name="waits")
    wanted = {"y": "y:0", "plain": "plain:0", "waits": "waits:0", "gone": "gone:0"}
    found = randomness.sources(Index(graph.as_graph_def()), wanted)
    assert found == dict.fromkeys(["y", "waits"], "RandomStandardNormal 'noise/RandomStandardNormal'")


RANDOM = """
    node { name: "call" op: "If" attr { key: "then_branch" value { func { name: "outer" } } } }
    node { name: "differs" op: "f" } node { name: "still" op: "g" }
    library { function { signature { name: "outer" } node_def { name: "c" op: "inner" } }
              function { signature { name: "inner" } node_def { name: "r" op: "RandomUniform" } }
              function { signature { name: "f" } } function { signature { name: "g" } }
              gradient { function_name: "f" gradient_func: "inner" } }
"""


def test_randomness_counts_in_functions_that_are_called_only():
    graph_def = _graph(RANDOM)
    found = randomness.sources(Index(graph_def), {"a": "call:0", "b": "differs:0", "c": "still:0"})
    assert found == {"a": "RandomUniform inside 'call'", "b": "RandomUniform inside 'differs'"}


@pytest.mark.parametrize(
    "op",
    [
        *("RandomUniform", "TruncatedNormal", "Multinomial", "StatefulUniformInt", "SampleDistortedBoundingBoxV2"),
        *("ThreadUnsafeUnigramCandidateSampler", "NonDeterministicInts", "RandomShuffle"),
    ],
)
def test_an_op_that_draws_is_random(op):
    assert randomness.sources(Index(_graph(f'node {{ name: "r" op: "{op}" }}')), {"r": "r:0"})
    assert not randomness.sources(Index(_graph(f'node {{ name: "r" op: "Stateless{op}" }}')), {"r": "r:0"})
