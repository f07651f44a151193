"""Elements in batches: what an element counts, which go together, and what a failing one costs its neighbours."""

import numpy as np
import pytest
import tensorflow as tf

import load_v2
from load_v2.scoring.scorer import Scorer

pytest.importorskip("apache_beam", reason="pip install -e '.[beam]'")

from load_v2.beam import Failure, SignatureModelHandler, score  # noqa: E402 - after what says what is missing
from tests.support import savedmodels  # noqa: E402


@pytest.fixture(scope="module")
def scale(tmp_path_factory) -> str:
    """An export that multiplies rows by 3."""
    return str(savedmodels.scale(tmp_path_factory.mktemp("scale") / "1"))


class Numbers(Scorer):
    """Answers a row with its number, and fails on batches that hold a negative one."""

    def __init__(self, path):
        super().__init__(load_v2.SignatureLayer(path))
        self.batches = []

    def batch(self, arrays):
        values = arrays["x"][:, 0].tolist()
        self.batches.append(values)
        if min(values) < 0:
            raise tf.errors.InvalidArgumentError(None, None, "stack of Python\nno root of it\n\t [[{{node sqrt}}]]")
        return {"y": np.float32(values)}


def asked(path, model, *values, **options):
    elements = [{"x": np.full([2], value, "float32")} for value in values]
    return [one.inference for one in SignatureModelHandler(path, **options).run_inference(elements, model)]


def test_the_one_that_fails_is_found_by_halving_and_the_others_are_answered(scale):
    model = Numbers(scale)
    found = asked(scale, model, 1, 2, -3, 4, failures="return")
    assert [one if isinstance(one, Failure) else float(one["y"]) for one in found] == [
        1.0, 2.0, Failure("Record with 'x': the graph fails: no root of it"), 4.0
    ]  # fmt: skip
    assert model.batches == [[1, 2, -3, 4], [1, 2], [-3, 4], [-3], [4]]


def test_failures_are_counted_and_ten_of_them_told(scale):
    with pytest.raises(load_v2.LoadError, match="^2 of 3 elements fail. Record with 'x': the graph fails: no root"):
        asked(scale, Numbers(scale), -1, 2, -3)
    with pytest.raises(load_v2.LoadError, match="^Record with 'x'"):
        asked(scale, Numbers(scale), -1)
    with pytest.raises(load_v2.LoadError) as caught:
        asked(scale, Numbers(scale), *[-1] * 12)
    assert str(caught.value).count("Record with") == 10


def test_batches_have_one_size_unless_told_otherwise(scale):
    def sizes(**options):
        given = SignatureModelHandler(scale, **options).batch_elements_kwargs()
        return given["min_batch_size"], given["max_batch_size"], given.get("max_batch_duration_secs")

    assert sizes() == (256, 256, None)
    assert sizes(max_batch_size=8) == (8, 8, None)
    assert sizes(min_batch_size=8) == (8, 256, None)
    assert sizes(min_batch_size=1000) == (1000, 1000, None)
    assert sizes(min_batch_size=2, max_batch_size=8, max_batch_duration_secs=0) == (2, 8, 0)


@pytest.mark.parametrize("name", ["min_batch_size", "max_batch_size"])
@pytest.mark.parametrize("size", [0, -1, 2.5, True])
def test_a_batch_of_no_elements_is_refused(scale, name, size):
    with pytest.raises(load_v2.LoadError, match=f"{name}={size} is not a positive whole number"):
        SignatureModelHandler(scale, **{name: size})


def test_an_element_counts_what_it_is_said_to_and_fills_a_batch_where_it_does_not_fit(scale):
    weight = SignatureModelHandler(scale, max_batch_size=7, element_size_fn=len).batch_elements_kwargs()[
        "element_size_fn"
    ]
    fits = {"x": np.zeros([2], "float32")}
    assert (weight(fits), weight(("key", fits))) == (1, 2), "the function gets what Beam gives: the pair"
    assert weight({"x": "no"}) == weight(("key", {"x": "no"})) == weight(("a", "b", "c")) == 7


def test_processes_share_models_only_where_that_is_asked_for(scale):
    def shares(**options):
        made = SignatureModelHandler(scale, **options)
        return made.share_model_across_processes(), made.model_copies()

    assert shares() == (False, 1)
    assert shares(large_model=True) == (True, 1)
    assert shares(model_copies=3) == (True, 3)
    assert SignatureModelHandler(scale, env_vars={"A": "1"})._env_vars == {"A": "1"}
    assert SignatureModelHandler(scale).get_metrics_namespace() == "load_v2"


def test_bytes_are_counted_for_every_kind_of_element(scale):
    example = tf.train.Example()
    example.features.feature["x"].float_list.value.append(1.0)
    model = SignatureModelHandler(scale)
    assert model.get_num_bytes([b"abc"]) == 3
    assert model.get_num_bytes([example]) == len(example.SerializeToString())
    assert model.get_num_bytes([{"x": np.zeros(3, "float32"), "y": np.zeros(1, "int64")}, np.zeros(2)]) == 12 + 8 + 16


def test_another_export_is_taken_from_the_next_batch_on(scale, tmp_path):
    model = SignatureModelHandler(scale)
    model.update_model_path(None)
    assert list(asked(scale, Numbers(scale), 1)) and model._path == scale
    model.update_model_path(str(tmp_path))
    assert model._path == str(tmp_path)
    with pytest.raises(load_v2.LoadError):
        model.load_model()


def test_answers_and_failures_come_apart_keyed_or_not():
    from apache_beam.ml.inference import base

    good, bad = base.PredictionResult("e", {"y": 1}), base.PredictionResult("f", Failure("why"))
    assert list(score._split(good)) == [good] and list(score._split(("k", good))) == [("k", good)]
    (plain,), (keyed,) = score._split(bad), score._split(("k", bad))
    assert plain.tag == keyed.tag == score.FAILED
    assert plain.value == ("f", "why") and keyed.value == (("k", "f"), "why")
