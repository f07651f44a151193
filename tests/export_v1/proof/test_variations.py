"""variations: further inputs, made of a first set."""

import numpy as np

from export_v1.proof import variations

FIRST = {
    "x": np.full([50], 0.5, np.float32),
    "ids": np.arange(3),
    "on": np.array(True),
    "mask": np.array([True, False]),
}
OTHERS = ({**FIRST, "x": FIRST["x"] * 3, "ids": FIRST["ids"] + 1}, dict(FIRST), {**FIRST, "x": -FIRST["x"]})


def _of(free, others=()):
    return {variation.name: variation.inputs for variation in variations.of(FIRST, free, others)}


def test_each_scalar_bool_has_a_set_with_its_other_value_and_nothing_else():
    made = _of([])
    assert list(made) == ["on = false"]
    assert not made["on = false"]["on"] and made["on = false"]["x"] is FIRST["x"]


def test_other_values_are_those_of_what_is_free_and_only_where_they_are_others():
    made = _of(["x"], OTHERS)
    assert list(made) == ["on = false", "other values, 1", "other values, 3"]
    assert made["other values, 1"]["x"][0] == 1.5 and made["other values, 1"]["ids"] is FIRST["ids"]
    assert list(_of([], OTHERS)) == ["on = false"]
