"""Many conditions in a row: what converts one looks at no more than its neighbours."""

import numpy as np
import tensorflow as tf

from export_v1.ir import importing
from export_v1.passes import functional
from export_v1.passes.functional import contexts
from export_v1.passes.functional.region import Region
from tests.support import graphs
from tests.support.graphs import v1


def _row(count: int) -> v1.GraphDef:
    with graphs.tensorflow_1() as graph:
        value = v1.placeholder(tf.float32, [2], name="x")
        which = v1.placeholder(tf.bool, [], name="which")
        for at in range(count):
            value = v1.cond(which, lambda value=value, at=at: value + at, lambda value=value: value * 0.5)
        tf.identity(value, name="y")
    return graph.as_graph_def()


def _answer(graph_def: v1.GraphDef, **inputs):
    with tf.Graph().as_default(), v1.Session() as session:
        importing.graph_def(graph_def)
        return session.run("y:0", {f"{name}:0": value for name, value in inputs.items()})


def test_a_row_is_converted_in_one_round_and_answers_as_before(monkeypatch):
    looks: list[Region] = []
    analyse = contexts.analyse
    monkeypatch.setattr(contexts, "analyse", lambda region, opaque: [looks.append(region), analyse(region, opaque)][1])
    given = _row(30)
    result = functional.convert(given, keep=["y:0"])
    assert result.notes.converted["cond"] == 30 and not any(node.op == "Merge" for node in result.graph_def.node)
    # The whole graph once, and to see that nothing is left; each branch once.
    assert sum(region is looks[0] for region in looks) == 2 and len(looks) == 2 + 60
    for which in (True, False):
        inputs = {"x": np.float32([1, 2]), "which": which}
        np.testing.assert_array_equal(_answer(result.graph_def, **inputs), _answer(given, **inputs))


def test_what_one_condition_needs_of_another_is_followed_no_further_than_it_can_lead(monkeypatch):
    from export_v1.passes.functional import conditions

    walked: list[str] = []
    is_before = conditions.Ledger.is_before

    def counted(self, name, merges):
        walked.append(name)
        return is_before(self, name, merges)

    monkeypatch.setattr(conditions.Ledger, "is_before", counted)
    functional.convert(_row(40), keep=["y:0"])
    assert 40 <= len(walked) < 40 * 8


def test_two_results_of_a_predicate_where_one_needs_the_other_are_two_conditions():
    with graphs.tensorflow_1() as graph:
        x, which = v1.placeholder(tf.float32, [2], name="x"), v1.placeholder(tf.bool, [], name="which")
        off, on = tf.raw_ops.Switch(data=x, pred=which)
        first, _ = tf.raw_ops.Merge(inputs=[off * 2.0, on * 3.0])
        # It shares the Switch with the first, and needs its result.
        other_off, other_on = tf.raw_ops.Switch(data=first + 1.0, pred=which)
        second, _ = tf.raw_ops.Merge(inputs=[off + other_off, on - other_on])
        tf.identity(first * second, name="y")
    given = graph.as_graph_def()
    result = functional.convert(given, keep=["y:0"])
    assert result.notes.converted["cond"] == 2
    for which in (True, False):
        inputs = {"x": np.float32([1, 2]), "which": which}
        np.testing.assert_array_equal(_answer(result.graph_def, **inputs), _answer(given, **inputs))
