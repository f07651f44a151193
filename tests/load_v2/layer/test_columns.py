"""Inputs as people have them: lists, object arrays, other keys, and one axis more or less; no table library is needed."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from load_v2 import LoadError, SignatureLayer
from load_v2.layer import binding
from load_v2.program.signature import Spec
from tests.support import savedmodels


def _tensor(dtype, value, shape=None):
    return binding.tensor("x", Spec("x:0", dtype, shape), value, "layer")


def _uneven() -> np.ndarray:
    value = np.empty(2, object)
    value[0], value[1] = np.zeros(2), np.zeros(1)
    return value


def test_other_keys_are_refused_or_dropped(tmp_path):
    path = savedmodels.vocabulary(tmp_path / "words", ["a", "b"])
    layer = SignatureLayer(path, extra="ignore")
    given = {"words": ["b", "a"], "id": [1, 2]}
    assert layer(given).numpy().tolist() == layer(**given).numpy().tolist() == [1, 0]
    with pytest.raises(LoadError, match="(?s)unknown: 'id'.*extra=\"ignore\""):
        SignatureLayer(path)(given)
    assert SignatureLayer(path)(given, extra="ignore").numpy().tolist() == [1, 0]
    with pytest.raises(LoadError, match="missing: 'words'"):
        layer({"word": ["b"], "id": [1]})
    clone = SignatureLayer.from_config(layer.get_config())
    assert clone(given).numpy().tolist() == [1, 0]
    for wrong in (lambda: layer(given, extra="drop"), lambda: SignatureLayer(path, extra="drop")):
        with pytest.raises(LoadError, match="extra='drop' is not known"):
            wrong()


def test_an_input_may_be_called_extra(tmp_path):
    with savedmodels.session() as current:
        x = tf.compat.v1.placeholder(tf.float32, [None], name="x")
        path = savedmodels.save(
            tmp_path / "m", current, {"extra": x}, {"y": x * savedmodels.variable("w", np.float32(2))}
        )
    assert SignatureLayer(path)(extra=[1.0]).numpy().tolist() == [2]


def test_bytes_keep_their_zeros():
    assert _tensor("string", [b"a\0", b"b"]).numpy().tolist() == [b"a\0", b"b"]


def test_an_array_of_objects_of_rank_2_is_stacked_in_its_shape():
    value = np.empty((1, 2), object)
    value[0, 0], value[0, 1] = np.zeros(3), np.ones(3)
    assert _tensor("float32", value).numpy().tolist() == [[[0, 0, 0], [1, 1, 1]]]


@pytest.mark.parametrize(
    "kind", [np.array, tf.constant, lambda value: value, lambda value: tf.constant(value, tf.float64)]
)
def test_one_axis_more_or_less_where_that_is_the_only_reading(kind):
    assert _tensor("float32", kind([[1.0], [2.0]]), (None,)).numpy().tolist() == [1, 2]
    assert _tensor("float32", kind([1.0, 2.0]), (None, 1)).numpy().tolist() == [[1], [2]]
    assert _tensor("float32", kind([1.0, 2.0]), (2, 1)).numpy().tolist() == [[1], [2]]
    for value, shape in [
        ([1.0, 2.0], (None, 2)),
        ([1.0, 2.0], (None, None)),
        ([1.0, 2.0], (3, 1)),
        ([[1.0, 2.0]], (None,)),
        ([[1.0], [2.0]], (3,)),
        ([1.0], ()),
        (1.0, (None,)),
        ([[[1.0]]], (None,)),
        ([[[1.0]]], (None, 1)),
        ([[1.0]], (None, 1, 1)),
    ]:
        with pytest.raises(LoadError, match="the signature has"):
            _tensor("float32", kind(value), shape)


def test_an_axis_of_symbolic_tensors_and_in_functions(tmp_path):
    path = savedmodels.vocabulary(tmp_path / "words", ["a", "b"])
    layer = SignatureLayer(path)
    inputs = keras.Input((1,), dtype="string")
    model = keras.Model(inputs, layer(inputs))
    assert model.output.shape == (None,)
    words = tf.constant([["b"], ["a"], ["b"]])
    assert model(words).numpy().tolist() == [1, 0, 1]
    assert tf.function(layer)(words).numpy().tolist() == [1, 0, 1]
    traced = tf.function(layer, input_signature=[tf.TensorSpec([None, 1], tf.string)])
    assert traced(words).numpy().tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (np.array([np.zeros(2), np.ones(2)], object), [[0, 0], [1, 1]]),
        (np.array([1, 2.5], object), [1, 2.5]),
        (np.array([], object), []),
    ],
    ids=str,
)
def test_arrays_of_equal_shapes_are_stacked(value, want):
    got = _tensor("float32", value)
    assert got.dtype == "float32" and got.numpy().tolist() == want


def test_a_missing_integer_is_refused_by_its_place():
    # pandas has made a float of it.
    with pytest.raises(LoadError, match="'x' has missing values; the first is element 1: nan"):
        _tensor("int64", np.array([1, np.nan]))
    assert np.isnan(_tensor("float32", np.array([1, np.nan]))[1])


@pytest.mark.parametrize(
    ("dtype", "value", "parts"),
    [
        ("float32", [[1, 2], [3]], ["cannot be converted to an array"]),
        ("float32", np.array([1, None], object), ["missing values", "element 1: None"]),
        ("string", np.array(["a", 3], object), ["mixes int and str"]),
        ("float32", np.array([1, {}], object), ["no type that a tensor has"]),
        ("string", ["a", None], ["cannot be converted to a tensor"]),
        ("float32", _uneven(), ["different shapes: [2], [1]", "np.stack(x)"]),
    ],
    ids=str,
)
def test_what_is_missing_or_uneven_is_refused_with_what_is_wrong(dtype, value, parts):
    with pytest.raises(LoadError) as caught:
        _tensor(dtype, value)
    for part in ["'x'", dtype, *parts]:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        ["a", "b"],
        ("a", "b"),
        np.array(["a", "b"]),
        np.array(["a", "b"], object),
        np.array([b"a", b"b"]),
        [["a"], ["b"]],
    ],
    ids=str,
)
def test_strings_come_in_every_form(value):
    assert _tensor("string", value, (None,)).numpy().tolist() == [b"a", b"b"]


def test_a_model_predicts_numpys_own_strings(tmp_path):
    layer = SignatureLayer(savedmodels.vocabulary(tmp_path / "words", ["a", "b", "c"]))
    inputs = {"words": keras.Input((), dtype="string", name="words")}
    model = keras.Model(inputs, layer(inputs))
    assert model.predict({"words": np.array(["b", "c", "a"])}, verbose=0).tolist() == [1, 2, 0]
    for missing in (None, float("nan")):
        with pytest.raises(LoadError, match="missing values; the first is element 1: (None|nan)"):
            model.predict({"words": np.array(["b", missing, "a"], object)}, verbose=0)
    # What Keras refused for a reason of its own, it refuses as before.
    numbers = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="Invalid dtype"):
        numbers.predict(np.array([[1], [{}]], object), verbose=0)


def test_a_column_without_any_string_is_not_called_one_of_strings(tmp_path):
    layer = SignatureLayer(savedmodels.vocabulary(tmp_path / "words", ["a", "b", "c"]))
    inputs = {"words": keras.Input((), dtype="string", name="words")}
    with pytest.raises(ValueError, match="Invalid dtype"):
        keras.Model(inputs, layer(inputs)).predict({"words": np.array([float("nan"), 1.0], object)}, verbose=0)
