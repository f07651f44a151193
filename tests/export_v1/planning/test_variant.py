"""variant: which graph is asked, and by which names."""

import tensorflow as tf

from export_v1.planning import variant
from export_v1.source import assets
from tests.support import graphs, small_models
from tests.support.graphs import v1


def _graph(factor: float):
    with graphs.tensorflow_1() as graph:
        h, _ = tf.split(v1.placeholder(tf.float32, [2], name="x"), 2, name="halves")
        tf.multiply(h, factor, name="y")
    return graph


def test_answers_are_recorded_from_what_was_found_and_the_rest_is_exported():
    found = _graph(2.0).as_graph_def()
    asked = small_models.asked(_graph(3.0), {"h": "halves:0"}, {"y": "y:0"}, original=found)
    answers = []
    for made in (variant.original(asked, assets.Files({}, [])), variant.transformed(asked, assets.Files({}, []))):
        names, fetched = made.inputs["serving_default"], made.outputs["serving_default"]
        assert names == {"h": "halves_0:0"}
        answers.append(graphs.run(made.graph_def, fetched, {names["h"]: [5.0]})["y"])
    assert answers == [[10.0], [15.0]]
