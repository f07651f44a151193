"""A layer of what tf.saved_model.load returned: the same as one of the folder, or one message."""

import pathlib
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import load_v2
from export_v1.format import call_order
from load_v2 import LoadError, SignatureLayer
from tests.support import cases, savedmodels
from tests.support.graphs import v1

# One with batch norm and a train signature, a vocabulary, several inputs and outputs, loops, a counter, several graphs of parts.
CASES = [
    "convnet_bn_finetune",
    "lookup_vocab",
    "multi_io_int",
    "lstm_dynamic_rnn",
    "flow_scan_map_cond",
    "stateful_counter",
]


def _loaded(path) -> object:
    return tf.saved_model.load(str(path))


def _equal(one, other) -> bool:
    one, other = (answer if isinstance(answer, dict) else {"": answer} for answer in (one, other))
    return list(one) == list(other) and all(np.array_equal(one[key], other[key]) for key in one)


def _functional(layer):
    inputs = {
        key: keras.Input(batch_shape=spec.shape, dtype=spec.dtype, name=key) for key, spec in layer.input_specs.items()
    }
    return keras.Model(inputs, layer(inputs))


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_layer_of_the_folder(exported, name):
    path = exported(name)
    layer, folder = SignatureLayer(_loaded(path)), SignatureLayer(path)
    arrays = {key: tf.constant(value) for key, value in cases.load(name).oracle("in").items()}
    assert list(layer.input_specs) == list(folder.input_specs)
    for spec, other in zip(layer.input_specs.values(), folder.input_specs.values(), strict=True):
        assert (spec.dtype, spec.shape) == (other.dtype, other.shape)
    want = folder(arrays)
    assert _equal(layer(arrays), want)
    # By position, in the order of step 1, and through an archive that needs neither object nor folder.
    assert _equal(layer(*(arrays[key] for key in folder.input_specs)), folder(arrays))
    assert [(w.name, w.trainable) for w in layer.weights] == [(w.name, w.trainable) for w in folder.weights]
    for one, other in zip(layer.weights, folder.weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["convnet_bn_finetune", "lookup_vocab", "multi_io_int"])
def test_it_travels_in_an_archive(exported, tmp_path, name):
    shutil.copytree(exported(name), tmp_path / "export")
    case = cases.load(name)
    model = _functional(SignatureLayer(_loaded(tmp_path / "export")))
    model.save(tmp_path / "m.keras")
    shutil.rmtree(tmp_path / "export")
    arrays = {key: tf.constant(value) for key, value in case.oracle("in").items()}
    got = keras.models.load_model(tmp_path / "m.keras")(arrays)
    cases.assert_equal(got if isinstance(got, dict) else {next(iter(case.oracle())): got}, case.oracle())


def test_its_train_signature_and_losses_are_those_of_the_graph(tmp_path):
    path = savedmodels.with_train(tmp_path / "m")
    layer, folder = SignatureLayer(_loaded(path)), SignatureLayer(path)
    x = np.float32([[1, 2, 3], [3, 4, 5]])
    assert [float(loss) for loss in layer.losses] == [float(loss) for loss in folder.losses] == [45.5 + 21]
    np.testing.assert_array_equal(layer(x, training=True)["y"], folder(x, training=True)["y"])
    weights = {weight.name: np.array(weight) for weight in layer.weights}
    np.testing.assert_allclose(weights["moving"], x.mean(0) * 0.1, rtol=1e-6)
    assert layer.freeze("moving", "b") == ["b", "moving"]


def test_values_are_those_of_the_moment_and_its_own_then(tmp_path):
    loaded = _loaded(savedmodels.scale(tmp_path / "scale"))
    loaded.variables[0].assign(5.0)
    layer = SignatureLayer(loaded)
    assert float(layer(2.0)) == 10
    layer.set_weights([np.float32(7)])
    loaded.variables[0].assign(1.0)
    assert float(layer(2.0)) == 14 and float(loaded.signatures["serving_default"](x=tf.constant(2.0))["y"]) == 2


class _Words(tf.Module):
    """A model made with TensorFlow 2: a weight, a fixed one, a table in memory and one of a file."""

    def __init__(self, file):
        super().__init__()
        self.w = tf.Variable([[1.0, 2.0], [3.0, 4.0]], name="scope/w")
        self.fixed = tf.Variable(2.0, trainable=False, name="fixed")
        index = tf.lookup.TextFileIndex
        lines = tf.lookup.TextFileInitializer(file, tf.string, index.WHOLE_LINE, tf.int64, index.LINE_NUMBER)
        self.lines = tf.lookup.StaticHashTable(lines, -1)
        self.pairs = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["x", "y"], [1, 2]), -1)

    @tf.function(
        input_signature=[tf.TensorSpec([None, 2], name="rows"), tf.TensorSpec([None], tf.string, name="words")]
    )
    def answer(self, rows, words):
        return {"y": rows @ self.w * self.fixed, "line": self.lines.lookup(words), "pair": self.pairs.lookup(words)}


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_model_of_tensorflow_2_however_often_it_was_saved(tmp_path, times):
    file = tmp_path / "words.txt"
    file.write_text("a\nb\nx\n")
    made = _Words(str(file))
    tf.saved_model.save(made, str(tmp_path / "0"), signatures=made.answer)
    for index in range(1, times):
        again = _loaded(tmp_path / str(index - 1))
        tf.saved_model.save(again, str(tmp_path / str(index)), signatures=again.signatures)
    file.unlink()
    folder = SignatureLayer(str(tmp_path / str(times - 1)))
    layer = SignatureLayer(_loaded(tmp_path / str(times - 1)))
    _functional(layer).save(tmp_path / "m.keras")
    for reader in (folder, layer, keras.models.load_model(tmp_path / "m.keras")):
        got = reader({"rows": np.float32([[1, 0], [0, 1]]), "words": np.array(["b", "x"], object)})
        assert got["y"].numpy().tolist() == [[2, 4], [6, 8]]
        assert got["line"].numpy().tolist() == [1, 2] and got["pair"].numpy().tolist() == [-1, 1]
    assert sorted((w.name, w.trainable) for w in layer.weights) == [("fixed", False), ("scope/w", True)]


def test_an_export_of_keras(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.BatchNormalization()])
    model.export(str(tmp_path / "served"), verbose=False)
    layer = SignatureLayer(_loaded(tmp_path / "served"))
    x = np.float32(np.random.RandomState(0).randn(5, 4))
    np.testing.assert_allclose(layer(x), model(x), rtol=1e-6)
    assert sum(w.trainable for w in layer.weights) == 4 and len(layer.weights) == 6
    inputs = keras.Input((4,))
    new = keras.Model(inputs, keras.layers.Dense(1)(layer(inputs)))
    new.compile("sgd", "mse")
    before = [np.array(w) for w in layer.weights]
    new.fit(x, np.ones((5, 1)), verbose=0)
    assert any(not np.array_equal(a, b) for a, b in zip(before, layer.weights, strict=True))


def test_mirrored_variables(exported):
    path = exported("convnet_bn_finetune")
    devices = tf.config.list_logical_devices("CPU")
    loaded = _loaded(path)
    with tf.distribute.MirroredStrategy([device.name for device in devices]).scope():
        layer = SignatureLayer(loaded)
    assert all(isinstance(w.value, tf.distribute.DistributedValues) for w in layer.weights)
    case = cases.load("convnet_bn_finetune")
    np.testing.assert_allclose(layer(case.oracle("in")["images"]), next(iter(case.oracle().values())), rtol=1e-4)


def test_ops_that_reach_outside_are_refused_and_can_be_allowed(tmp_path):
    loaded = _loaded(savedmodels.reads_file(tmp_path / "m"))
    with pytest.raises(LoadError, match=r"(?s)ReadFile.*allow_ops=\['ReadFile'\]"):
        SignatureLayer(loaded)
    layer = SignatureLayer(loaded, allow_ops=["ReadFile"])
    file = tmp_path / "x.txt"
    file.write_text("content")
    assert layer(str(file)).numpy() == b"content"
    _functional(layer).save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match="ReadFile"):
        keras.models.load_model(tmp_path / "m.keras")


def test_reference_variables_get_the_message_of_the_folder(tmp_path):
    with pytest.raises(LoadError) as caught:
        SignatureLayer(_loaded(savedmodels.reference(tmp_path / "m")))
    for part in (
        "reference variables",
        "export_v1 --saved_model=FOLDER",
        "FOLDER is what tf.saved_model.load was given",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("made", "kind"),
    [(lambda: keras.layers.Dense(2), "Dense"), (tf.Module, "Module"), (lambda: None, "NoneType"), (lambda: 3, "int")],
)
def test_what_was_not_loaded_is_refused_with_what_to_do(made, kind):
    with pytest.raises(LoadError) as caught:
        SignatureLayer(made())
    for part in (kind, "tf.saved_model.load", "tf.saved_model.save(module, DIR, signatures=…)"):
        assert part in str(caught.value)


def test_a_signature_that_is_not_there_and_none_at_all(tmp_path):
    loaded = _loaded(savedmodels.with_train(tmp_path / "m"))
    with pytest.raises(LoadError, match="(?s)'serve' is not in what TensorFlow loaded.*'serving_default', 'train'"):
        SignatureLayer(loaded, signature="serve")
    made = tf.Module()
    made.w = tf.Variable(1.0)
    tf.saved_model.save(made, str(tmp_path / "bare"))
    with pytest.raises(LoadError, match="(?s)There are none.*tf.saved_model.save"):
        SignatureLayer(_loaded(tmp_path / "bare"))


def test_positions_are_refused_where_nothing_tells_their_order(tmp_path):
    path = savedmodels.two_inputs(tmp_path / "two")
    ids, mask = np.int32([[1, 2]]), np.float32([[1, 0]])
    layer = SignatureLayer(_loaded(path), name="two")
    with pytest.raises(LoadError, match=r"(?s)'two'.*by position.*layer\(ids=…, mask=…\).*SignatureLayer\(DIR\)"):
        layer(ids, mask)
    want = SignatureLayer(path)(ids, mask)
    assert _equal(layer(ids=ids, mask=mask), want)
    # A clone and an archive know no more.
    model = _functional(layer)
    model.save(tmp_path / "m.keras")
    for other in (keras.models.clone_model(model), keras.models.load_model(tmp_path / "m.keras")):
        with pytest.raises(LoadError, match="by position"):
            other.get_layer("two")(ids, mask)


def test_the_call_order_is_in_the_graph_where_step_1_wrote_it(exported):
    config = cases.load("multi_io_int").config
    inputs, outputs = (dict(reversed(config[side].items())) for side in ("inputs", "outputs"))
    assert list(inputs) == ["b", "a"]
    path = exported("multi_io_int", inputs=inputs, outputs=outputs)
    loaded = _loaded(path)
    orders = call_order.from_items(loaded.graph.get_collection(call_order.COLLECTION))
    assert orders == {"serving_default": (list(inputs), list(outputs))}
    arrays = cases.load("multi_io_int").oracle("in")
    layer = SignatureLayer(loaded)
    assert list(layer.input_specs) == ["b", "a"]
    answers = layer(arrays["b"], arrays["a"])
    assert list(answers) == list(outputs)
    cases.assert_equal(answers, cases.load("multi_io_int").oracle())


@pytest.mark.parametrize("items", [[], [b"\xff"], ["[1]"], ["{"], ['{"a": 1}'], [3]])
def test_a_collection_that_is_something_else_tells_nothing(items):
    assert call_order.from_items(items) == {}


def test_what_was_written_for_it_goes_away(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    words = savedmodels.vocabulary(tmp_path / "words", ["a", "b"])
    layer = SignatureLayer(_loaded(words))
    left = [path.relative_to(tmp_path / "temporary") for path in (tmp_path / "temporary").rglob("*") if path.is_file()]
    assert not any("variables" in path.parts for path in left)
    _functional(layer).save(tmp_path / "m.keras")
    assert layer(["b"]).numpy().tolist() == [1]
    for bad in (
        lambda: SignatureLayer(_loaded(words), signature="serve"),
        lambda: SignatureLayer(_loaded(words), allow_ops=()),
    ):
        try:
            bad()
        except LoadError:
            pass
    del layer
    keras.backend.clear_session()
    import gc

    gc.collect()
    assert not [path for path in (tmp_path / "temporary").iterdir() if path.name.startswith("load_v2_")]


def test_keys_that_are_no_names_in_python(tmp_path):
    with savedmodels.session() as current:
        x, y = (v1.placeholder(tf.float32, [None], name=name) for name in "xy")
        w = savedmodels.variable("w", np.float32(2))
        path = savedmodels.save(tmp_path / "m", current, {"a/x:0": x, "1-y": y}, {"x/2": x - y * w})
    for made in (path, _loaded(path)):
        assert SignatureLayer(made)({"a/x:0": np.float32([5]), "1-y": np.float32([1])}).numpy().tolist() == [3]


def test_sparse_inputs_are_three(tmp_path):
    with savedmodels.session() as current:
        rows = v1.sparse_placeholder(tf.float32, [None, 3], name="rows")
        y = tf.sparse.sparse_dense_matmul(rows, savedmodels.variable("w", np.float32([[1], [2], [3]])))
        path = savedmodels.save(tmp_path / "m", current, {"rows": rows}, {"y": y})
    sparse = {"rows_indices": [[0, 1]], "rows_values": np.float32([5]), "rows_dense_shape": [1, 3]}
    for made in (path, _loaded(path)):
        assert SignatureLayer(made)(sparse).numpy().tolist() == [[10]]


def test_what_tensorflow_cannot_save_gets_a_message_that_names_the_folder(tmp_path, monkeypatch):
    loaded = _loaded(savedmodels.scale(tmp_path / "m"))

    def refuse(*_, **__):
        raise ValueError("untracked resource")

    monkeypatch.setattr(tf.saved_model, "save", refuse)
    with pytest.raises(
        LoadError, match=r"(?s)'serving_default'.*untracked resource.*the folder.*SignatureLayer\(DIR\)"
    ):
        SignatureLayer(loaded)


def test_it_is_a_path_as_well(tmp_path):
    path = savedmodels.scale(tmp_path / "scale")
    assert float(SignatureLayer(pathlib.Path(path))(2.0)) == 6


@pytest.mark.parametrize("name", ["resume", "verify", "rebuild", "SupervisedSignature"])
def test_what_takes_a_folder_says_so(tmp_path, name):
    loaded = _loaded(savedmodels.scale(tmp_path / "scale"))
    with pytest.raises(LoadError, match="(?s)path of a folder is needed.*AutoTrackable.*--export_dir"):
        getattr(load_v2, name)(loaded)
