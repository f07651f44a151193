"""One model built several times over the same weights: which copy is served, and when none is told from the others."""

import pytest
import tensorflow as tf

from tests.export_v1.interface import test_interface_choice
from tests.export_v1.interface.test_interface import load
from tests.export_v1.interface.test_roles import chosen, dense, unclear, weight
from tests.support.control_flow import v1


def copy(x, at, activation=tf.nn.relu, dropped=False, labelled=True):
    """A layer and a loss over the weights "h" and "w", with labels of its own."""
    with v1.variable_scope("", reuse=v1.AUTO_REUSE), v1.name_scope(f"tower_{at}"):
        hidden = activation(dense(x, 4, "h"))
        hidden = v1.nn.dropout(hidden, rate=0.5) if dropped else hidden
        probs = tf.nn.softmax(dense(hidden, 3), name="probs")
        if labelled:
            tf.reduce_mean(tf.square(probs - v1.placeholder(tf.float32, [None, 3], "seen")))


def second(size=4, rows=None):
    return v1.placeholder(tf.float32, [rows, size], "x2")


def test_the_first_of_several_copies_is_served():
    def make(x):
        copy(x, 0)
        copy(second(), 1)

    assert chosen(make) == ({"x": "x:0"}, {"probs": "tower_0/probs:0"})


def test_a_copy_that_drops_was_for_training():
    def make(x):
        copy(x, 0, dropped=True)
        copy(second(), 1)

    assert chosen(make) == ({"x2": "x2:0"}, {"probs": "tower_1/probs:0"})


def test_copies_that_all_drop_are_alike_whatever_they_draw():
    """Each draws by a seed of its own."""

    def make(x):
        copy(x, 0, dropped=True)
        copy(second(), 1, dropped=True)

    v1.set_random_seed(1)
    assert "random numbers" in unclear(make)


@pytest.mark.parametrize("name", ["clones_on_queues", "towers_of_iterators"])
def test_the_choice_says_that_there_are_others(name):
    """Towers on two devices, and towers to train, to validate and to test, as TensorFlow 1.15.5 wrote them."""
    why = [choice.why for choice in test_interface_choice.resolve(load(name)).choices if "output" in choice.what]
    assert why and all("the first of 2 copies over the same weights" in reason for reason in why)
    assert all(("was for training" in reason) == (name == "towers_of_iterators") for reason in why)


@pytest.mark.parametrize(
    "differing",
    [
        lambda x: copy(second(), 1, activation=tf.nn.tanh),
        lambda x: copy(second(rows=7), 1),
        lambda x: copy(tf.matmul(second(2), weight([2, 4], "front")), 1),
        lambda x: copy(tf.concat([x[:, :2], second(2)], 1), 1),
        lambda x: copy(second(), 1, labelled=False),
    ],
    ids=["another step", "another batch", "more weights", "the same data", "without labels"],
)
def test_what_differs_in_more_than_its_data_is_no_copy(differing):
    def make(x):
        copy(x, 0)
        differing(x)

    assert "there is more than one model" in unclear(make) or "may be an answer too" in unclear(make)


def data(name):
    return v1.placeholder(tf.float32, [None, 4], name)


@pytest.mark.parametrize(
    "pair",
    [
        lambda x: (copy(x, 0, labelled=False), copy(second(), 1, labelled=False)),
        lambda x: (copy(x, 0, dropped=True), copy(tf.matmul(second(2), weight([2, 4], "front")), 1)),
        lambda x: (copy(x - (shared := data("z")), 0), copy(second() - shared, 1)),
        lambda x: (copy(tf.add_n([x, data("z"), x]), 0), copy(tf.add_n([second(), last := data("z2"), last]), 1)),
    ],
    ids=["no labels", "more weights than in training", "data of both", "data in other places"],
)
def test_what_is_no_pair_of_copies(pair):
    assert "there is more than one model" in unclear(pair) or "may be" in unclear(pair)


def test_data_are_told_by_where_they_are_read():
    """The second copy reads its data in another order of the graph, and computes the same."""

    def make(x):
        copy(tf.exp(x) - tf.sin(data("z")), 0)
        turned = tf.sin(data("z2"))
        copy(tf.exp(second()) - turned, 1)

    assert chosen(make) == ({"x": "x:0", "z": "z:0"}, {"probs": "tower_0/probs:0"})
