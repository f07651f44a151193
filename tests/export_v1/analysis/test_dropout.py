"""Which masks are dropouts, and what their rates depend on."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1.analysis import dropout
from export_v1.analysis.liveness import known_values
from export_v1.ir.graph import Index, Tensor, parse
from tests.support import graphs
from tests.support.graphs import v1

raw = tf.raw_ops
# The comparison, the rate at which nothing is dropped, and whether that holds for the number 0, too.
FORMS = {
    "floor": (lambda u, r: raw.Floor(x=r + u, name="mask"), 1.0, True),
    "floor of the other order": (lambda u, r: raw.Floor(x=u + r, name="mask"), 1.0, True),
    "uniform >= rate": (lambda u, r: raw.GreaterEqual(x=u, y=r, name="mask"), 0.0, True),
    "rate <= uniform": (lambda u, r: raw.LessEqual(x=r, y=u, name="mask"), 0.0, True),
    "uniform > rate": (lambda u, r: raw.Greater(x=u, y=r, name="mask"), 0.0, False),
    "rate < uniform": (lambda u, r: raw.Less(x=r, y=u, name="mask"), 0.0, False),
    "uniform < keep": (lambda u, r: raw.Less(x=u, y=r, name="mask"), 1.0, True),
    "keep > uniform": (lambda u, r: raw.Greater(x=r, y=u, name="mask"), 1.0, True),
    "uniform <= keep": (lambda u, r: raw.LessEqual(x=u, y=r, name="mask"), 1.0, True),
    "keep >= uniform": (lambda u, r: raw.GreaterEqual(x=r, y=u, name="mask"), 1.0, True),
}


def _graph(form, uniform=lambda: tf.random.uniform([2, 3], seed=1)) -> tf.Graph:
    with graphs.tensorflow_1() as graph:
        rate = v1.placeholder(tf.float32, [], name="rate")
        mask = form(tf.identity(uniform(), name="numbers"), rate)
        raw.Mul(x=tf.ones([2, 3]), y=tf.cast(mask, tf.float32), name="y")
    return graph


@pytest.mark.parametrize(("form", "off", "exact"), FORMS.values(), ids=FORMS)
def test_a_mask_is_recognised_by_what_is_compared(form, off, exact):
    graph_def = _graph(form).as_graph_def()
    index = Index(graph_def)
    (found,) = dropout.all_in(index, graph_def.node)
    assert (found.node, found.numbers, found.rate) == ("mask", parse("numbers"), parse("rate"))
    assert (found.off, found.exact) == (off, exact)
    np.testing.assert_array_equal(graphs.run(graph_def, "y:0", {"rate:0": off}), np.ones([2, 3]))
    assert not graphs.run(graph_def, "y:0", {"rate:0": 1 - off}).any()
    zeros = graphs.run(graph_def, "y:0", {"rate:0": off, "numbers:0": np.zeros([2, 3])})
    assert (zeros == 1).all() == exact


def test_what_is_compared_with_anything_else_is_no_dropout():
    form = FORMS["uniform >= rate"][0]
    for numbers in (lambda: v1.placeholder(tf.float32, [2, 3]), lambda: tf.random.normal([2, 3])):
        graph_def = _graph(form, numbers).as_graph_def()
        assert dropout.all_in(Index(graph_def), graph_def.node) == []
    both = _graph(lambda u, _: raw.GreaterEqual(x=u, y=tf.random.uniform([]), name="mask")).as_graph_def()
    assert dropout.all_in(Index(both), both.node) == []


def test_a_comparison_that_masks_nothing_is_no_dropout():
    with graphs.tensorflow_1() as graph:
        tf.reduce_mean(tf.cast(tf.random.uniform([4]) >= 0.5, tf.float32))
    graph_def = graph.as_graph_def()
    assert dropout.all_in(Index(graph_def), graph_def.node) == []


@pytest.mark.parametrize(
    ("scale", "shift", "is_unit"), [(1.0, 0.0, True), (2.0, 0.0, False), (1.0, 0.5, False), (1.0, -1.0, False)]
)
def test_numbers_of_another_range_are_not_those_of_a_dropout(scale, shift, is_unit):
    with graphs.tensorflow_1() as graph:
        drawn = raw.RandomUniform(shape=[3], dtype=tf.float32, name="drawn")
        raw.Add(x=raw.Mul(x=drawn, y=scale), y=shift, name="numbers")
    graph_def = graph.as_graph_def()
    found = dropout.unit_uniform(Index(graph_def), Tensor("numbers"), known_values(graph_def))
    assert (found.name if found is not None else None) == ("drawn" if is_unit else None)


def test_a_rate_is_followed_through_arithmetic():
    with graphs.tensorflow_1() as graph:
        keep = v1.placeholder(tf.float32, [], name="keep")
        tf.identity((3.0 - tf.reshape(keep, []) * 2.0) / 4.0, name="rate")
        raw.Mul(x=keep, y=keep, name="square")
    graph_def = graph.as_graph_def()
    scales = dropout.affine(Index(graph_def), Tensor("keep"), known_values(graph_def))
    assert scales[Tensor("rate")] == (-0.5, 0.75)
    assert Tensor("square") not in scales
    place = dropout.Dropout("mask", Tensor("numbers"), Tensor("rate"), 0.0, True)
    assert dropout.value_for_none(place, scales) == 1.5
    assert dropout.value_for_none(place, {}) is None


@pytest.mark.parametrize(("rate", "expected"), [(0.4, 0.0), (0.0, None)])
def test_the_constant_that_sets_a_rate(rate, expected):
    with graphs.tensorflow_1() as graph:
        made = tf.identity(tf.constant(rate, name="constant"), name="rate")
        mask = raw.GreaterEqual(x=tf.random.uniform([3]), y=made, name="mask")
        raw.Mul(x=tf.ones([3]), y=tf.cast(mask, tf.float32))
    index = Index(graph.as_graph_def())
    found = dropout.constant_rate(index, dropout.at(index, "mask"), known_values(index.graph_def))
    assert found == (None if expected is None else (Tensor("constant"), expected))


def test_the_mode_in_front_of_a_loop_that_sets_its_rate():
    """As tensor2tensor writes it: 1 - rate * to_float(True), and 1 minus that in the cell."""
    with graphs.tensorflow_1() as graph:
        keep = 1.0 - raw.Cast(x=tf.constant(True, name="training"), DstT=tf.float32) * tf.constant(0.2)
        inside = 1.0 - raw.Enter(data=keep, frame_name="loop", is_constant=True)
        mask = raw.GreaterEqual(x=tf.random.uniform([3]), y=inside, name="mask")
        raw.Mul(x=tf.ones([3]), y=tf.cast(mask, tf.float32))
    index = Index(graph.as_graph_def())
    known = {one: value for one, value in known_values(index.graph_def).items() if index[one.node].op == "Const"}
    tensor, value = dropout.constant_rate(index, dropout.at(index, "mask"), known)
    assert tensor == Tensor("training") and value is False
