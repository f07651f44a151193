"""Tables of pandas and Arrow, and their columns, as inputs of a layer and of a model around it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from load_v2 import LoadError, SignatureLayer
from load_v2.layer import binding, columns
from load_v2.program.signature import Spec
from tests.support import savedmodels

pandas = pytest.importorskip("pandas", reason="pip install -e '.[test]'")
pyarrow = pytest.importorskip("pyarrow", reason="pip install -e '.[test]'")

TWO = {"words": Spec("w:0", "string", (None,)), "n": Spec("n:0", "float32", (None,))}


def _tensor(dtype, value, shape=None):
    return binding.tensor("x", Spec("x:0", dtype, shape), value, "layer")


def _strings(value) -> list:
    return [item.decode() for item in _tensor("string", value, (None,)).numpy().tolist()]


@pytest.mark.parametrize(
    "made",
    [
        lambda data: pandas.DataFrame(data),
        lambda data: pandas.DataFrame(data).astype({"words": object}),
        lambda data: dict(pandas.DataFrame(data)),
        lambda data: pyarrow.table(data),
        lambda data: pyarrow.RecordBatch.from_pydict(data),
        lambda data: {key: pyarrow.array(value) for key, value in data.items()},
        lambda data: data,
    ],
    ids=["frame", "frame of objects", "dict of columns", "arrow table", "record batch", "arrow arrays", "lists"],
)
def test_a_table_has_a_column_for_each_input(made):
    words, numbers = binding.by_order(TWO, (made({"n": [1, 2], "words": ["a", "é"]}),), {}, "layer")
    assert _strings(words) == ["a", "é"]
    assert _tensor("float32", numbers, (None,)).numpy().tolist() == [1, 2]


def test_other_columns_are_refused_or_dropped(tmp_path):
    table = pandas.DataFrame({"n": [1.0], "words": ["a"], "more": [0], "id": [1]})
    with pytest.raises(LoadError, match="(?s)unknown: 'id', 'more'.*extra=\"ignore\""):
        binding.by_order(TWO, (table,), {}, "layer")
    assert len(binding.by_order(TWO, (table,), {}, "layer", extra="ignore")) == 2
    with pytest.raises(LoadError, match="missing: 'words'"):
        binding.by_order(TWO, (table.drop(columns="words"),), {}, "layer", extra="ignore")
    path = savedmodels.vocabulary(tmp_path / "words", ["a", "b"])
    table = pandas.DataFrame({"words": ["b", "a"], "id": [1, 2]})
    assert SignatureLayer(path)(table, extra="ignore").numpy().tolist() == [1, 0]
    layer = SignatureLayer(path, extra="ignore")
    assert layer(table).numpy().tolist() == layer(words=table["words"], id=3).numpy().tolist() == [1, 0]
    inputs = {"words": keras.Input((), dtype="string", name="words")}
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "m.keras")
    for other in (keras.models.clone_model(model), keras.models.load_model(tmp_path / "m.keras")):
        assert other.layers[-1](table).numpy().tolist() == [1, 0]
    for wrong in (lambda: layer(table, extra="drop"), lambda: SignatureLayer(path, extra="drop")):
        with pytest.raises(LoadError, match="extra='drop' is not known"):
            wrong()
    assert "extra" not in SignatureLayer(path).get_config()


def test_a_matrix_takes_a_table_of_as_many_columns(tmp_path):
    inputs = {"x": Spec("x:0", "float32", (None, 3))}
    table = pandas.DataFrame({"a": [1, 4], "b": [2.0, 5.0], "c": [True, False]})
    for made in (table, pyarrow.Table.from_pandas(table)):
        (value,) = binding.by_order(inputs, (made,), {}, "layer")
        assert _tensor("float32", value, (None, 3)).numpy().tolist() == [[1, 2, 1], [4, 5, 0]]
    with pytest.raises(LoadError, match="missing: 'x'; unknown: 'a', 'b'"):
        binding.by_order(inputs, (table[["a", "b"]],), {}, "layer")
    # Its own key comes first, and a dict is by key alone.
    (value,) = binding.by_order(inputs, (pandas.DataFrame({"x": [[1, 2, 3]]}),), {}, "layer")
    assert _tensor("float32", value, (None, 3)).numpy().tolist() == [[1, 2, 3]]
    with pytest.raises(LoadError, match="unknown"):
        binding.by_order(inputs, (dict(table),), {}, "layer")
    # With its key among them, the others are extra, however many they are.
    with pytest.raises(LoadError, match="unknown: 'a', 'b'"):
        binding.by_order(inputs, (table.rename(columns={"c": "x"}),), {}, "layer")
    texts = {"x": Spec("x:0", "string", (None, 2))}
    (value,) = binding.by_order(texts, (pandas.DataFrame({"a": ["x"], "b": ["longer"]}),), {}, "layer")
    assert _tensor("string", value, (None, 2)).numpy().tolist() == [[b"x", b"longer"]]


def test_two_columns_of_one_name_are_refused():
    for table in (
        pandas.DataFrame([["a", 1.0, 2.0]], columns=["words", "n", "n"]),
        pyarrow.Table.from_arrays([pyarrow.array([1]), pyarrow.array([2])], names=["n", "n"]),
    ):
        with pytest.raises(LoadError, match="more than one column 'n'"):
            binding.by_order(TWO, (table,), {}, "layer")
    assert columns.of_table(pandas.DataFrame({0: [1], 1: [2]})).keys() == {"0", "1"}


@pytest.mark.parametrize(
    "value",
    [
        ["a", "b"],
        ("a", "b"),
        np.array(["a", "b"]),
        np.array(["a", "b"], object),
        np.array([b"a", b"b"]),
        pandas.Series(["a", "b"]),
        pandas.Series(["a", "b"], dtype=object),
        pandas.Series(["a", "b"], dtype="string"),
        pandas.Series(["a", "b"], dtype="category"),
        pyarrow.array(["a", "b"]),
        pyarrow.chunked_array([["a"], ["b"]]),
        pyarrow.array(["a", "b"]).dictionary_encode(),
        np.array([["a"], ["b"]]),
    ],
    ids=str,
)
def test_strings_come_in_every_form(value):
    assert _strings(value) == ["a", "b"]


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (pandas.Series([[0, 0], [1, 1]]), [[0, 0], [1, 1]]),
        (pandas.Series([np.zeros(2), [1, 1]]), [[0, 0], [1, 1]]),
        (pyarrow.array([[0, 0], [1, 1]]), [[0, 0], [1, 1]]),
        (pyarrow.array([[0, 0], [1, 1]], pyarrow.list_(pyarrow.float32(), 2)), [[0, 0], [1, 1]]),
        (pandas.Series([[[1], [2]], [[3], [4]]]), [[[1], [2]], [[3], [4]]]),
        (pandas.Series([1, 2], dtype="Int64"), [1, 2]),
    ],
    ids=str,
)
def test_arrays_of_equal_shapes_are_stacked(value, want):
    got = _tensor("float32", value)
    assert got.dtype == "float32" and got.numpy().tolist() == want


@pytest.mark.parametrize(
    ("dtype", "value", "parts"),
    [
        ("float32", pandas.Series([[1, 2], [3]]), ["different shapes: [2], [1]", "np.stack(x)"]),
        ("string", pandas.Series(["a", None]), ["missing values", "element 1"]),
        ("string", pandas.Series(["a", pandas.NA], dtype="string"), ["missing values", "element 1"]),
        ("float32", pandas.Series([1, pandas.NA], dtype="Int64"), ["missing values", "element 1"]),
        ("int32", pyarrow.array([1, None]), ["missing values", "element 1: None"]),
    ],
    ids=str,
)
def test_what_is_missing_or_uneven_is_refused_with_what_is_wrong(dtype, value, parts):
    with pytest.raises(LoadError) as caught:
        _tensor(dtype, value)
    for part in ["'x'", dtype, *parts]:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "made",
    [
        lambda frame: dict(frame),
        lambda frame: dict(frame.astype(object)),
        lambda frame: dict(frame.astype("category")),
        lambda frame: {"words": frame["words"].to_numpy(str)},
        lambda frame: {"words": frame["words"].to_numpy(object)},
        lambda frame: {"words": tf.constant(frame["words"].to_numpy(object))},
    ],
)
def test_a_model_predicts_and_fits_columns_of_strings(tmp_path, made):
    layer = SignatureLayer(savedmodels.vocabulary(tmp_path / "words", ["a", "b", "c"]))
    inputs = {"words": keras.Input((), dtype="string", name="words")}
    model = keras.Model(inputs, layer(inputs))
    frame = pandas.DataFrame({"words": ["b", "c", "a"] * 20})
    assert model.predict(made(frame), batch_size=32, verbose=0).tolist() == [1, 2, 0] * 20
    head = keras.Model(inputs, keras.layers.Embedding(3, 1)(layer(inputs)))
    head.compile("sgd", "mse")
    history = head.fit(made(frame), np.ones((60, 1)), validation_split=0.5, verbose=0).history
    assert len(history["val_loss"]) == 1


def test_numbers_go_the_way_they_went(tmp_path):
    # A layer that takes strings was made in this process by now.
    SignatureLayer(savedmodels.vocabulary(tmp_path / "words", ["a"]))
    inputs = {"n": keras.Input((1,), name="n"), "m": keras.Input((2,), name="m")}
    model = keras.Model(inputs, keras.layers.Concatenate()([inputs["n"], inputs["m"]]))
    got = model.predict({"n": pandas.Series([1, 2]), "m": pandas.DataFrame([[3, 4], [5, 6]])}, verbose=0)
    assert got.tolist() == [[1, 3, 4], [2, 5, 6]]
    with pytest.raises(ValueError, match="Invalid dtype"):
        model.predict({"n": np.array([1, {}], object), "m": np.zeros((2, 2))}, verbose=0)


def _tables():
    table = {"a": [0.5, 3.0], "c": ["red", "green"], "country": [1, 2]}
    yield "lists", table
    yield "objects", {key: np.array(value, object) for key, value in table.items()}
    yield "columns of ones", {key: np.array(value)[:, None] for key, value in table.items()}
    frame = pandas.DataFrame(table)
    yield "frame", frame
    yield "nullable", frame.convert_dtypes()
    yield "columns", dict(frame)
    arrow = pyarrow.Table.from_pandas(frame)
    yield "arrow", arrow
    yield "columns of arrow", {name: arrow.column(name) for name in arrow.column_names}


def test_tensors_let_a_model_take_what_the_layer_takes(exported):
    layer = SignatureLayer(exported("trees_crossed_columns"))
    inputs = {key: keras.Input((), dtype=spec.dtype, name=key) for key, spec in layer.input_specs.items()}
    model = keras.Model(inputs, layer(inputs))
    want = layer(a=np.float32([0.5, 3]), c=tf.constant(["red", "green"]), country=tf.constant([1, 2], "int64"))
    for name, table in _tables():
        given = layer.tensors(table)
        assert {key: value.dtype.name for key, value in given.items()} == {
            "a": "float32",
            "c": "string",
            "country": "int64",
        }
        np.testing.assert_array_equal(model.predict(given, verbose=0), want, err_msg=name)
    model.compile("sgd", "mse")
    assert model.fit(layer.tensors(table), np.zeros((2, 2)), epochs=1, verbose=0).history["loss"]
    assert list(layer.tensors({**table, "z": [1, 2]}, extra="ignore")) == ["a", "c", "country"]
    with pytest.raises(LoadError, match="unknown: 'z'"):
        layer.tensors({**table, "z": [1, 2]})
