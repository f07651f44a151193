"""variations: further inputs, made of a first set."""

import numpy as np
import tensorflow as tf

from export_v1.proof import variations

FIRST = {
    "x": np.full([50], 0.5, np.float32),
    "half": np.zeros([2], tf.bfloat16.as_numpy_dtype),
    "ids": np.arange(3),
    "training": np.array(True),
    "mask": np.array([True, False]),
}


def _of(free, another=lambda: None):
    return {one.name: one.inputs for one in variations.of(FIRST, free, another)}


def test_each_scalar_bool_has_a_set_with_its_other_value_and_nothing_else():
    made = _of([])
    assert list(made) == ["training = false"]
    assert not made["training = false"]["training"] and made["training = false"]["x"] is FIRST["x"]


def test_floats_come_in_several_scales_and_both_signs():
    made = _of(["x", "half", "ids"])
    for scale in (1, 0.01, 100):
        x = made[f"floats between {-scale:g} and {scale:g}"]["x"]
        assert x.dtype == np.float32 and x.shape == (50,)
        assert -scale <= x.min() < -0.5 * scale and 0.5 * scale < x.max() <= scale
    last = made["floats between -100 and 100"]
    assert last["half"].dtype == FIRST["half"].dtype and last["half"].any() and last["ids"] is FIRST["ids"]


def test_what_is_not_free_stays_as_it_was():
    made = _of(["half"])
    assert all(inputs["x"] is FIRST["x"] for inputs in made.values())


def test_other_values_are_asked_for_once_and_only_where_they_are_others():
    other = {**FIRST, "ids": np.arange(3) + 1, "x": FIRST["x"] + 1}
    made = _of(["ids"], lambda: other)
    assert list(made) == ["training = false", "other values"]
    assert list(made["other values"]["ids"]) == [1, 2, 3] and made["other values"]["x"] is FIRST["x"]
    assert "other values" not in _of(["ids"], lambda: dict(FIRST))


def test_they_are_the_same_every_time():
    one, other = _of(["x"]), _of(["x"])
    assert all(np.array_equal(one[name]["x"], other[name]["x"]) for name in one)
