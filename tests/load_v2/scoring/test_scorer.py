"""One signature over many rows: one answer or one reason for each, in its place."""

import numpy as np
import pytest
import tensorflow as tf

import load_v2
from load_v2.program.signature import Spec
from load_v2.scoring import scorer
from load_v2.scoring.scorer import Failure, Scorer
from tests.support import savedmodels


@pytest.fixture(scope="module")
def scale(tmp_path_factory) -> str:
    """An export that multiplies rows by 3."""
    return str(savedmodels.scale(tmp_path_factory.mktemp("scale") / "1"))


@pytest.mark.parametrize(
    "error, said",
    [
        (tf.errors.InvalidArgumentError(None, None, "what\n\n more"), "the graph fails: what"),
        (tf.errors.InvalidArgumentError(None, None, "[[{{node first}}]]\nwhat"), "the graph fails: [[{{node first}}]]"),
        (ValueError("shapes"), "the graph fails: shapes"),
        (ValueError(""), "the graph fails: ValueError"),
        (load_v2.LoadError("no answer\n  do that"), "no answer\n  do that"),
    ],
)
def test_the_fact_is_taken_out_of_what_tensorflow_says(error, said):
    assert scorer._reason(error) == said


def test_rows_go_together_by_shape_and_by_what_has_no_rows():
    specs = {"x": Spec("x:0", "float32", (None, None)), "rate": Spec("r:0", "float32", ())}
    rows = [(2, 1.0), (3, 1.0), (2, 1.0), (2, 5.0)]
    found = [{"x": np.zeros(size), "rate": np.float32(rate)} for size, rate in rows]
    assert scorer._alike(found, specs) == [[0, 2], [1], [3]]


def test_every_answer_is_a_row_of_the_graph_s_own(scale):
    model = Scorer.of(scale)
    rows = [{"x": np.array([at, 10.0], "float32")} for at in range(3)]
    (key,) = load_v2.SignatureLayer(scale).output_specs
    assert [one[key].tolist() for one in model.rows(rows)] == [[0.0, 30.0], [3.0, 30.0], [6.0, 30.0]]


def test_a_graph_of_a_fixed_batch_is_never_given_another():
    class Fixed:
        input_specs = {"x": Spec("x:0", "float32", (4,)), "rate": Spec("r:0", "float32", ())}
        output_specs = {"y": Spec("y:0", "float32", (4,))}
        given = []

        def __call__(self, batch):
            self.given.append(batch)
            return batch["x"] * batch["rate"]

    model = Scorer(Fixed())
    answers = model.rows([{"x": np.float32(at), "rate": np.float32(2)} for at in range(6)])
    assert [one["y"] for one in answers] == [0, 2, 4, 6, 8, 10]
    assert [batch["x"].tolist() for batch in model._layer.given] == [[0, 1, 2, 3], [4, 5, 5, 5]]
    assert [batch["rate"].shape for batch in model._layer.given] == [(), ()]


def test_an_output_that_is_not_one_answer_for_each_row_is_refused(tmp_path):
    with savedmodels.session() as current:
        x = tf.compat.v1.placeholder(tf.float32, [None, 2], name="x")
        total = tf.reduce_sum(x) * savedmodels.variable("w", np.float32(2))
        path = savedmodels.save(tmp_path / "total", current, {"x": x}, {"total": total})
    with pytest.raises(load_v2.LoadError, match=r"'total' has shape \[\] for 2 rows.*(?s:.)*SignatureLayer"):
        Scorer.of(str(path)).batch({"x": np.zeros([2, 2], "float32")})


def test_one_bad_element_costs_its_neighbours_nothing(scale):
    (key,) = load_v2.SignatureLayer(scale).output_specs
    given = [{"x": np.float32([1, 2])}, {"x": "no"}, {"x": np.float32([3, 4])}, {}]
    answers = Scorer.of(scale).elements(given)
    assert [answers[at][key].tolist() for at in (0, 2)] == [[3.0, 6.0], [9.0, 12.0]]
    assert isinstance(answers[1], Failure) and "input 'x' is string" in answers[1].reason
    assert isinstance(answers[3], Failure) and "input 'x' is missing" in answers[3].reason


def test_no_rows_have_no_answers(scale):
    (key,) = load_v2.SignatureLayer(scale).output_specs
    assert Scorer.of(scale).batch({"x": np.zeros([0, 2], "float32")})[key].shape == (0, 2)
    assert Scorer.of(scale).elements([]) == []


@pytest.mark.parametrize(
    ("specs", "size"),
    [
        ({"a": Spec("", "", (4, 2)), "b": Spec("", "", ())}, 4),
        ({"a": Spec("", "", (4, 2)), "b": Spec("", "", (3,))}, None),
        ({"a": Spec("", "", (None, 2))}, None),
        ({"a": Spec("", "", None)}, None),
        ({"a": Spec("", "", (4,)), "b": Spec("", "", (None,))}, None),
    ],
)
def test_a_batch_size_is_fixed_where_all_inputs_agree(specs, size):
    assert scorer.fixed_batch(specs) == size
