"""The .keras archive, clones, weight files, and SavedModels of models that hold the layer."""

import json
import shutil
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from load_v2 import LoadError, SignatureLayer
from load_v2.commands import to_keras
from tests.support import cases, savedmodels


def _copy(path, folder):
    """A copy of an export, whose folder a test may take away."""
    return str(shutil.copytree(path, folder))


def _first(answer):
    return answer if not isinstance(answer, dict) else answer[sorted(answer)[0]]


IN_ANOTHER_PROCESS = """
import json, sys
import numpy as np, keras, load_v2
inputs = dict(np.load(sys.argv[2]))
model = keras.models.load_model(sys.argv[1])
answer = model(inputs if len(inputs) > 1 or sys.argv[4] == "dict" else next(iter(inputs.values())))
answer = answer if isinstance(answer, dict) else {"y": answer}
np.savez(sys.argv[3], **{k: np.asarray(v).astype("S") if v.dtype == "string" else v for k, v in answer.items()})
"""


def _elsewhere(file, inputs, folder, run_program, form="dict"):
    """Answers of an archive in a process of its own."""
    arrays = {k: v.astype("S") if v.dtype == object else v for k, v in inputs.items()}
    np.savez(folder / "in.npz", **arrays)
    done = run_program(["-c", IN_ANOTHER_PROCESS, file, folder / "in.npz", folder / "out.npz", form], cwd=folder)
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(np.load(folder / "out.npz"))


@pytest.mark.parametrize(
    "name", ["mlp_layers", "lookup_vocab", "multi_io_int", "lstm_dynamic_rnn", "convnet_bn_dropout"]
)
def test_an_archive_answers_where_the_export_does_not_exist(exported, tmp_path, run_program, name):
    path = _copy(exported(name), tmp_path / "export")
    case = cases.load(name)
    model = to_keras.as_model(path)
    want = model(case.oracle("in"))
    to_keras.save(model, str(tmp_path / "m.keras"))
    shutil.rmtree(path)
    got = _elsewhere(tmp_path / "m.keras", case.oracle("in"), tmp_path, run_program)
    for key, value in (want if isinstance(want, dict) else {"y": want}).items():
        value = np.asarray(value)
        np.testing.assert_array_equal(got[key], value.astype("S") if value.dtype == object else value)


class Holder(keras.Model):
    """A subclassed model with a layer in it."""

    def __init__(self, base, **kwargs):
        super().__init__(**kwargs)
        self.base, self.head = base, keras.layers.Dense(2)

    def call(self, inputs, training=None):
        return self.head(self.base(inputs, training=training))

    def get_config(self):
        return {"base": keras.saving.serialize_keras_object(self.base)}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config["base"]))


def _functional(layer):
    inputs = keras.Input((8, 8, 2))
    return keras.Model(inputs, keras.layers.Dense(2)(layer(inputs)))


KINDS = {
    "functional": _functional,
    "sequential": lambda layer: keras.Sequential([keras.Input((8, 8, 2)), layer, keras.layers.Dense(2)]),
    "subclassed": Holder,
}


@pytest.mark.parametrize("kind", KINDS)
def test_fine_tuned_weights_travel_in_every_kind_of_model(exported, tmp_path, kind):
    path = _copy(exported("convnet_bn_finetune"), tmp_path / "export")
    x = cases.load("convnet_bn_finetune").oracle("in")["images"]
    model = KINDS[kind](SignatureLayer(path))
    model.compile("adam", "mse")
    model.fit(x, np.ones((len(x), 2)), verbose=0)
    want = model(x)
    model.save(tmp_path / "m.keras")
    shutil.rmtree(path)
    loaded = keras.models.load_model(tmp_path / "m.keras", custom_objects={"Holder": Holder})
    np.testing.assert_array_equal(loaded(x), want)
    loaded.fit(x, np.ones((len(x), 2)), verbose=0)
    assert not np.array_equal(loaded(x), want)
    # A second generation: saved from what was loaded.
    again = loaded(x)
    loaded.save(tmp_path / "again.keras")
    third = keras.models.load_model(tmp_path / "again.keras", custom_objects={"Holder": Holder})
    np.testing.assert_array_equal(third(x), again)


def test_training_graph_and_regularizers_travel(tmp_path):
    layer = SignatureLayer(savedmodels.with_train(tmp_path / "export"))
    inputs = keras.Input((3,))
    keras.Model(inputs, layer(inputs)).save(tmp_path / "m.keras")
    shutil.rmtree(tmp_path / "export")
    loaded = next(item for item in keras.models.load_model(tmp_path / "m.keras").layers if item.weights)
    assert float(sum(loaded.losses)) == pytest.approx(66.5)
    x = np.float32([[1, 2, 3], [3, 4, 5]])
    loaded(x, training=True)
    np.testing.assert_allclose({w.name: w for w in loaded.weights}["moving"], x.mean(0) * 0.1, rtol=1e-6)


def test_clone_config_and_weight_files(exported, tmp_path):
    x = cases.load("mlp_layers").oracle("in")["x"]
    model = to_keras.as_model(exported("mlp_layers"))
    model.set_weights([w + 1 for w in model.get_weights()])
    want = model({"x": x})["probs"]
    clone = keras.models.clone_model(model)
    np.testing.assert_array_equal(clone({"x": x})["probs"], want)
    clone.set_weights([w * 0 for w in clone.get_weights()])
    np.testing.assert_array_equal(model({"x": x})["probs"], want)
    model.save_weights(tmp_path / "w.weights.h5")
    clone.load_weights(tmp_path / "w.weights.h5")
    np.testing.assert_array_equal(clone({"x": x})["probs"], want)
    config = model.layers[-1].get_config()
    again = SignatureLayer.from_config(config)
    assert again.get_config() == config
    np.testing.assert_array_equal(again(x)["probs"], want)


def test_a_layer_from_a_bare_config_says_what_it_lacks(exported):
    original = SignatureLayer(exported("mlp_layers"))
    config = json.loads(json.dumps(original.get_config()))
    layer = SignatureLayer.from_config(config)
    assert layer.get_config() == config == original.get_config()
    assert [w.name for w in layer.weights][0] == "dense/kernel"
    with pytest.raises(LoadError, match="has no graph"):
        layer(np.zeros((1, 16), "float32"))


@pytest.mark.parametrize("name", ["mlp_layers", "lookup_vocab", "lstm_dynamic_rnn", "convnet_bn_dropout"])
@pytest.mark.parametrize("way", ["export", "save"])
def test_a_saved_model_of_a_model_stands_alone(exported, tmp_path, name, way):
    path = _copy(exported(name), tmp_path / "export")
    case = cases.load(name)
    model = to_keras.as_model(path)
    inputs = {key: tf.constant(value) for key, value in case.oracle("in").items()}
    want = model(inputs)
    if way == "export":
        model.export(tmp_path / "served", verbose=False)
    else:
        specs = {key: tf.TensorSpec(t.shape, t.dtype, key) for key, t in model.input.items()}
        serve = tf.function(lambda **given: model(given)).get_concrete_function(**specs)
        tf.saved_model.save(model, str(tmp_path / "served"), signatures={"serving_default": serve})
    shutil.rmtree(path)
    served = tf.saved_model.load(str(tmp_path / "served")).signatures["serving_default"]
    got = served(**inputs)
    for key, value in (want if isinstance(want, dict) else {next(iter(got)): want}).items():
        np.testing.assert_array_equal(got[key], value)


def test_safe_mode_refuses_ops_that_reach_outside(tmp_path):
    layer = SignatureLayer(savedmodels.reads_file(tmp_path / "export"), allow_ops=["ReadFile"])
    name = keras.Input(batch_shape=(), dtype="string")
    keras.Model(name, layer(name)).save(tmp_path / "m.keras")
    with pytest.raises(ValueError) as caught:
        keras.models.load_model(tmp_path / "m.keras")
    assert "ReadFile" in str(caught.value) and "safe_mode=False" in str(caught.value)
    (tmp_path / "hello.txt").write_text("hello")
    loaded = keras.models.load_model(tmp_path / "m.keras", safe_mode=False)
    assert loaded(tf.constant(str(tmp_path / "hello.txt"))).numpy() == b"hello"


def _tampered(source, target, change):
    """Copies an archive; `change(name, content)` returns the new content of a member, or None to leave it out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return target


def _vocabulary_elsewhere(name, content):
    return content.replace(b"0_one_words.txt", b"../../../../etc") if name.endswith("saved_model.pb") else content


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda name, content: None if name.endswith("saved_model.pb") else content, "saved_model.pb"),
        (lambda name, content: content[:100] if name.endswith("saved_model.pb") else content, "damaged"),
        (lambda name, content: None if "words.txt" in name else content, "lacks its asset"),
        (_vocabulary_elsewhere, "outside its folder"),
        (lambda name, content: content.replace(b'"int64"', b'"int32"') if name == "config.json" else content, "differ"),
        (lambda name, content: b"{" if name.endswith("export_v1.json") else content, "damaged"),
    ],
    ids=["no graph", "cut graph", "no asset", "asset outside", "other config", "cut record"],
)
def test_a_cut_or_changed_archive_gets_one_clear_error(tmp_path, change, part):
    layer = SignatureLayer(savedmodels.vocabulary(tmp_path / "one", ["a", "b"]))
    words = keras.Input(batch_shape=(None,), dtype="string")
    keras.Model(words, layer(words)).save(tmp_path / "m.keras")
    del layer
    bad = _tampered(tmp_path / "m.keras", tmp_path / "bad.keras", change)
    with pytest.raises(ValueError) as caught:
        keras.models.load_model(bad)
    assert part in str(caught.value)


def test_weights_of_another_model_are_refused_by_name(exported, tmp_path):
    keras.Sequential([keras.Input((3,)), SignatureLayer(exported("v1_format"))]).save_weights(
        tmp_path / "other.weights.h5"
    )
    model = keras.Sequential([keras.Input((16,)), SignatureLayer(exported("mlp_layers"))])
    with pytest.raises(ValueError, match="do not fit layer"):
        model.load_weights(tmp_path / "other.weights.h5")
