"""load_v2.binding: the arguments of a call in their order, and what becomes a tensor of the signature's type."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from load_v2 import LoadError
from load_v2.layer import binding
from load_v2.program.signature import Spec

TWO = {"b": Spec("b:0", "float32", None), "a": Spec("a:0", "float32", None)}
ONE = {"x": Spec("x:0", "float32", None)}


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((1, 2), {}),
        (([1, 2],), {}),
        (((1, 2),), {}),
        (({"a": 2, "b": 1},), {}),
        ((), {"a": 2, "b": 1}),
        ((1,), {"a": 2}),
    ],
)
def test_every_form_gives_the_values_in_call_order(args, kwargs):
    assert binding.by_order(TWO, args, kwargs, "layer") == [1, 2]


def test_one_input_takes_a_list_as_its_value():
    assert binding.by_order(ONE, ([1],), {}, "layer") == [[1]]
    assert binding.by_order(ONE, ({"x": 3},), {}, "layer") == [3]
    assert binding.by_order({}, (), {}, "layer") == []


@pytest.mark.parametrize(
    ("args", "kwargs", "parts"),
    [
        ((1, 2, 3), {}, ["3 were given by position", "'b', 'a'"]),
        (([1, 2, 3],), {}, ["3 were given by position"]),
        ((1,), {"b": 1}, ["'b' came both by position and by key"]),
        ((1,), {}, ["missing: 'a'", "layer(b=…, a=…)"]),
        (({"a": 1, "b": 2, "c": 3},), {}, ["unknown: 'c'"]),
        (({"a": 1, "c": 3},), {}, ["missing: 'b'", "unknown: 'c'"]),
        ((1, 2), {"c": 3}, ["unknown: 'c'"]),
        ((), {}, ["missing: 'a', 'b'"]),
        ((), {"A": 1, "b": 2}, ["missing: 'a'", "unknown: 'A'", "Closest: 'a'"]),
    ],
)
def test_other_arguments_are_refused_with_what_is_wrong(args, kwargs, parts):
    with pytest.raises(LoadError) as caught:
        binding.by_order(TWO, args, kwargs, "encoder")
    for part in ["'encoder'", *parts]:
        assert part in str(caught.value)


def test_an_unknown_key_beside_all_known_ones_has_nothing_close():
    with pytest.raises(LoadError) as caught:
        binding.by_order(ONE, ({"x": 1, "xx": 2},), {}, "layer")
    assert "Closest" not in str(caught.value) and "missing" not in str(caught.value)


def _tensor(dtype: str, value, shape=None):
    return binding.tensor("x", Spec("x:0", dtype, shape), value, "layer")


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("float32", np.float64([1, 2])),
        ("float32", np.float16([1, 2])),
        ("float32", np.int64([1, 2])),
        ("float32", np.array([True, False])),
        ("float16", np.float32([1, 2])),
        ("int32", np.int64([1, 2])),
        ("uint8", np.int32([1, 2])),
        ("int64", np.array([True, False])),
        ("bool", np.array([True, False])),
        ("float32", [1, 2]),
        ("int32", [1, 2]),
        ("float32", tf.constant([1, 2], tf.int32)),
        ("complex64", np.complex64([1, 2j])),
    ],
)
def test_values_of_one_kind_become_the_signatures_type(dtype, value):
    got = _tensor(dtype, value)
    assert tf.is_tensor(got) and got.dtype == dtype
    np.testing.assert_array_equal(got, np.asarray(value).astype(dtype))


@pytest.mark.parametrize(
    ("dtype", "value", "given"),
    [
        ("int32", np.float32([1.5]), "float32"),
        ("bool", np.int32([1]), "int32"),
        ("bool", np.float32([1]), "float32"),
        ("string", np.int32([1]), "int32"),
        ("float32", np.array(["1"]), "string"),
        ("float32", np.complex64([1j]), "complex64"),
        ("complex64", np.float32([1]), "float32"),
    ],
)
def test_what_could_lose_its_meaning_is_refused(dtype, value, given):
    with pytest.raises(LoadError) as caught:
        _tensor(dtype, value)
    assert f"'x' is {given}" in str(caught.value) and f"tf.cast(x, tf.{dtype})" in str(caught.value)


def test_strings_come_as_lists_arrays_and_scalars():
    assert _tensor("string", ["a", "b"]).numpy().tolist() == [b"a", b"b"]
    assert _tensor("string", np.array(["é"], object)).numpy().tolist() == ["é".encode()]
    assert _tensor("string", "a").numpy() == b"a"


def test_a_variable_of_keras_is_read():
    assert _tensor("float32", keras.Variable([1.0, 2.0])).numpy().tolist() == [1, 2]


def test_a_tensor_that_fits_is_not_touched():
    given = tf.constant([[1.0]])
    assert _tensor("float32", given, (None, 1)) is given


@pytest.mark.parametrize("value", [tf.zeros([2, 3]), np.zeros([2, 3], "float32"), np.zeros([2, 3])], ids=type)
@pytest.mark.parametrize("shape", [(None,), (None, 2), (3, 3), (), (None, None, 3)])
def test_other_shapes_are_refused_in_every_form(value, shape):
    with pytest.raises(LoadError, match=r"'x' is \[2, 3\]"):
        _tensor("float32", value, shape)


@pytest.mark.parametrize("shape", [None, (None, 3), (2, None), (2, 3), (None, None)])
def test_shapes_that_fit_are_taken(shape):
    for value in (tf.zeros([2, 3]), np.zeros([2, 3])):
        assert _tensor("float32", value, shape).shape == (2, 3)


def test_a_symbolic_tensor_of_keras_stays_and_is_checked():
    symbol = keras.Input((3,), dtype="float16")
    assert _tensor("float32", symbol, (None, 3)) is symbol
    # Its batch size is not known yet; the graph's may be.
    assert _tensor("float32", symbol, (4, 3)) is symbol
    with pytest.raises(LoadError, match="'x' is float16"):
        _tensor("int32", symbol, (None, 3))
    with pytest.raises(LoadError, match=r"\[None, 3\].*\[None, 4\]"):
        _tensor("float16", symbol, (None, 4))


@pytest.mark.parametrize(
    ("value", "remedy"),
    [
        (tf.ragged.constant([[1.0], [1.0, 2.0]]), "x.to_tensor()"),
        (tf.sparse.from_dense([[1.0]]), "tf.sparse.to_dense(x)"),
        (tf.IndexedSlices(tf.ones([1, 2]), tf.constant([0]), tf.constant([2, 2])), "tf.sparse.to_dense(x)"),
    ],
)
def test_tensors_that_are_not_dense_are_refused_with_the_remedy(value, remedy):
    with pytest.raises(LoadError) as caught:
        _tensor("float32", value)
    assert type(value).__name__ in str(caught.value) and remedy in str(caught.value)


def test_what_makes_no_tensor_is_refused_with_its_type():
    with pytest.raises(LoadError, match="'x' has type list.*\n.*float32"):
        _tensor("float32", [[1.0], [1.0, 2.0]])
    with pytest.raises(LoadError, match="'x' has type dict"):
        _tensor("string", {"a": 1})


class _Elsewhere:
    """An array that is out of reach, as one of another library on its own device."""

    def __array__(self, *_, **__):
        raise TypeError("it is on another device")


def test_an_array_that_does_not_give_its_values_is_refused_with_the_reason():
    with pytest.raises(LoadError, match="'x' has type _Elsewhere.*another device"):
        _tensor("float32", _Elsewhere())


def test_a_traced_tensor_gets_the_signatures_shape_and_is_held_to_it():
    @tf.function(input_signature=[tf.TensorSpec(None, tf.float32)])
    def traced(value):
        got = _tensor("float32", value, (2, 3))
        assert got.shape == (2, 3)
        return got

    assert traced(tf.zeros([2, 3])).shape == (2, 3)
    with pytest.raises(tf.errors.InvalidArgumentError):
        traced(tf.zeros([2, 4]))
