import pytest
import tensorflow as tf

from export_v1.ir.graph import Index, parse
from export_v1.ir.match import anything, behind, either, exactly, made_by, match, matches, origin
from tests.support import graphs
from tests.support.graphs import v1

raw = tf.raw_ops


@pytest.fixture(scope="module")
def index() -> Index:
    with graphs.tensorflow_1() as graph:
        a, b = v1.placeholder(tf.float32, [], name="a"), v1.placeholder(tf.float32, [], name="b")
        raw.Sub(x=a, y=b, name="difference")
        raw.Mul(x=raw.Rsqrt(x=b, name="root"), y=a, name="scaled")
        raw.Mul(x=a, y=a, name="square")
        copy = tf.identity(tf.identity(graph.get_tensor_by_name("scaled:0"), name="once"), name="twice")
        with tf.control_dependencies([a]):
            raw.AddV2(x=copy, y=a, name="sum")
    return Index(graph.as_graph_def())


def fits(index, name, pattern):
    return match(index, parse(name), pattern)


def test_captures_are_the_tensors_that_fit(index):
    found = fits(index, "difference", made_by("Sub", anything("left"), anything("right")))
    assert found and found.captures == {"left": parse("a"), "right": parse("b")}
    assert fits(index, "difference", made_by({"Add", "Sub"}))


def test_order_counts_unless_it_does_not(index):
    root = made_by("Rsqrt", anything("variance"))
    assert not fits(index, "scaled", made_by("Mul", anything(), root))
    found = fits(index, "scaled", made_by("Mul", anything("x"), root, any_order=True))
    assert found["x"] == parse("a") and found["variance"] == parse("b")


def test_a_name_stands_for_one_tensor(index):
    same = made_by("Mul", anything("x"), anything("x"))
    assert fits(index, "square", same)
    assert fits(index, "scaled", same).reason == "'a:0' is not 'root:0'"


def test_a_name_that_cannot_be_the_same_makes_other_ways_be_tried(index):
    pattern = made_by(
        "AddV2", behind({"Identity"}, made_by("Mul", anything("x"), anything(), any_order=True)), anything("x")
    )
    assert fits(index, "sum", pattern)["x"] == parse("a")


def test_every_way_is_told(index):
    pattern = made_by("Mul", anything("x"), anything("y"), any_order=True)
    assert [(found["x"].node, found["y"].node) for found in matches(index, parse("scaled"), pattern)] == [
        ("root", "a"),
        ("a", "root"),
    ]


def test_alternatives_are_tried_in_their_order(index):
    pattern = either(made_by("Sub", anything("x"), anything()), made_by("Mul", anything("x"), anything()))
    assert fits(index, "difference", pattern)["x"] == parse("a")
    assert fits(index, "square", pattern)["x"] == parse("a")
    assert not fits(index, "root", pattern)


def test_what_is_seen_through(index):
    assert fits(index, "twice", behind({"Identity"}, exactly(parse("scaled"))))
    assert not fits(index, "twice", exactly(parse("scaled")))
    assert origin(index, parse("twice"), {"Identity"}) == parse("scaled")
    assert origin(index, parse("a"), {"Placeholder"}) == parse("a")
    assert origin(index, parse("gone"), {"Identity"}) == parse("gone")


@pytest.mark.parametrize(
    ("name", "pattern", "reason"),
    [
        ("sum", made_by("Mul"), "'sum:0' is AddV2, not Mul"),
        ("sum", made_by(("AddN", "Add")), "'sum:0' is AddV2, not Add or AddN"),
        ("gone", made_by("Mul"), "'gone:0' is not in the graph, not Mul"),
        ("scaled", made_by("Mul", anything()), "'scaled:0' (Mul) has 2 inputs, not 1"),
        ("scaled", made_by("Mul", made_by("Rsqrt", exactly(parse("a"))), anything()), "'b:0' is not 'a:0'"),
        ("a", anything(test=lambda index, tensor: False, what="a constant"), "'a:0' is not a constant"),
    ],
)
def test_a_mismatch_says_how_far_it_got(index, name, pattern, reason):
    found = fits(index, name, pattern)
    assert not found and found.reason == reason
