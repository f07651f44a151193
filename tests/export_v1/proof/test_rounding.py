"""rounding: what moves with the last bit of an input is noise."""

import numpy as np
import pytest
import tensorflow as tf

from export_v1.proof import rounding

X = np.linspace(0.1, 0.9, 64, dtype=np.float32)


def _difference(inputs):
    # What is left of two equal things: pure rounding.
    x = inputs["x"]
    return {"y": (x * np.float32(3) / np.float32(3) - x).astype(np.float32), "tiny": x * np.float32(1e-8)}


def test_a_small_answer_moves_by_its_own_last_bits_and_noise_by_all_of_itself():
    answers = _difference({"x": X})
    noise = rounding.noise(_ask(_difference), {"x": X}, rounding.small(answers))
    assert noise["tiny"] < 1e-13 and not rounding.small({"y": X, "n": np.int32([0])})
    assert rounding.is_solid(answers["tiny"], noise["tiny"])


def _ask(function):
    return lambda inputs, seconds=0: function(inputs)


def test_noise_is_more_than_one_nudged_input_shows():
    """Where all inputs are 1, one is the next float in one of 64 elements at least."""
    x = np.ones(64, np.float32)
    noise = rounding.noise(_ask(lambda inputs: {"y": inputs["x"]}), {"x": x}, {"y": x})
    assert noise == {"y": 16 * 2.0**-23}


@pytest.mark.parametrize(("dtype", "most"), [(np.float16, 0.04), (np.float32, 0.01)])
def test_how_much_noise_would_still_let_a_wrong_answer_show(dtype, most):
    ones = np.ones(8, dtype)
    assert rounding.is_solid(ones, most * 0.9) and not rounding.is_solid(ones, most * 1.1)


def test_a_single_number_is_asked_for_until_it_has_moved():
    """Of one element it takes chance for the inputs to move in a way that shows."""
    turns = []

    def ask(inputs):
        turns.append(inputs)
        return {"y": np.float32([1e-3 if len(turns) < 5 else 2e-3])}

    assert rounding.noise(_ask(ask), {"x": X}, {"y": np.float32([1e-3])})["y"] > 1e-3
    turns.clear()
    assert rounding.noise(_ask(ask), {"x": X}, {"y": np.full(8, 1e-3, np.float32)}, nudges=1) == {}
    assert len(turns) == 1


def test_a_slow_model_is_asked_no_oftener_than_has_to_be(monkeypatch):
    turns = []
    monkeypatch.setattr(rounding, "_FAST_SECONDS", -1.0)
    rounding.noise(
        lambda inputs, seconds=0: turns.append(1) or {"y": np.float32([1])}, {"x": X}, {"y": np.float32([1])}
    )
    assert len(turns) == 2


def test_an_integer_that_flips_is_never_solid():
    def ask(inputs):
        return {"k": np.int64([inputs["x"].astype("d").sum() > 1]), "still": np.int64([7])}

    x = np.float32([0.5, 0.5])
    noise = rounding.noise(_ask(ask), {"x": x}, ask({"x": x}))
    assert noise == {"k": np.inf}
    assert not rounding.is_solid(np.int64([0]), noise["k"]) and rounding.is_solid(np.int64([7]), 0.0)


def test_without_floats_or_where_the_graph_refuses_there_is_no_noise():
    def refuses(inputs):
        raise tf.errors.InvalidArgumentError(None, None, "no")

    assert rounding.noise(_ask(refuses), {"x": X}, {"y": X}) == {}
    assert rounding.noise(_ask(_difference), {"ids": np.arange(3)}, {"y": X}) == {}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_every_float_type_is_nudged(dtype):
    x = np.linspace(0.1, 0.9, 64).astype(tf.as_dtype(dtype).as_numpy_dtype)
    noise = rounding.noise(_ask(lambda inputs: {"y": inputs["x"]}), {"x": x}, {"y": x})
    assert 0 < noise["y"] < 0.5


def test_much_noise_hides_a_wrong_answer():
    assert rounding.is_solid(X, 1e-3) and not rounding.is_solid(X, 1e-1)
