"""SignatureLayer in inference: weights, forms of a call, composition, the answers of TensorFlow 1.15."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from load_v2 import LoadError, SignatureLayer
from tests.support import cases, savedmodels


@pytest.fixture(scope="module")
def two_inputs(tmp_path_factory):
    return savedmodels.two_inputs(tmp_path_factory.mktemp("m") / "two_inputs")


IDS, MASK = np.int32([[1, 2], [3, 4]]), np.float32([[1, 0], [0.5, 2]])
SUM, PRODUCT = [[2, 2], [3.5, 8]], [[1, 0], [1.5, 8]]


def _check(answer):
    np.testing.assert_allclose(answer["sum"], SUM)
    np.testing.assert_allclose(answer["product"], PRODUCT)


def test_all_forms_of_a_call_answer_the_same(two_inputs):
    layer = SignatureLayer(two_inputs)
    _check(layer({"ids": IDS, "mask": MASK}))
    _check(layer(ids=IDS, mask=MASK))
    _check(layer(IDS, MASK))
    _check(layer([IDS, MASK]))
    _check(layer(IDS, mask=MASK))
    _check(layer(IDS.tolist(), tf.constant(MASK), training=False))
    _check(tf.function(lambda ids, mask: layer(ids, mask=mask))(IDS, MASK))


def test_call_order_is_that_of_step_1(exported):
    flags = cases.load("multi_io_int").flags()
    turned = dict(reversed(flags["inputs"].items()))
    oracle = cases.load("multi_io_int").oracle("in")
    layer = SignatureLayer(exported("multi_io_int", inputs=turned))
    assert list(layer.input_specs) == list(turned)
    got = layer(*[oracle[key] for key in turned])
    np.testing.assert_array_equal(got["idx"], cases.load("multi_io_int").oracle()["idx"])


def test_one_output_is_the_tensor_several_are_a_dict(exported, two_inputs):
    one = SignatureLayer(exported("convnet_bn_finetune"))
    assert isinstance(one(cases.load("convnet_bn_finetune").oracle("in")["images"]), tf.Tensor)
    assert list(SignatureLayer(two_inputs)(IDS, MASK)) == ["product", "sum"]


def test_weights_carry_the_names_and_values_of_tensorflow_1(exported):
    case = cases.load("convnet_bn_finetune")
    layer = SignatureLayer(exported("convnet_bn_finetune"), name="base")
    stored = tf.train.load_checkpoint(str(case.folder / case.config["checkpoint"]))
    assert {w.name for w in layer.non_trainable_weights} == {
        "batch_normalization/moving_mean",
        "batch_normalization/moving_variance",
    }
    assert len(layer.trainable_weights) == 6 and layer.count_params() > 0
    for weight in layer.weights:
        assert weight.path == f"base/{weight.name}"
        np.testing.assert_array_equal(weight, stored.get_tensor(weight.name))


def test_two_layers_on_one_export_are_independent_and_one_layer_shares(exported):
    path, x = exported("mlp_layers"), cases.load("mlp_layers").oracle("in")["x"]
    first, second = SignatureLayer(path), SignatureLayer(path)
    before = np.asarray(second(x)["logits"])
    first.set_weights([np.zeros_like(w) for w in first.get_weights()])
    np.testing.assert_array_equal(second(x)["logits"], before)
    assert not np.any(first(x)["logits"])
    a, b = keras.Input((16,)), keras.Input((16,))
    model = keras.Model([a, b], [second(a)["logits"], second(b)["logits"]])
    assert len(model.weights) == 4


def test_tables_of_the_same_name_stay_apart(tmp_path):
    one = SignatureLayer(savedmodels.vocabulary(tmp_path / "one", ["a", "b"]))
    two = SignatureLayer(savedmodels.vocabulary(tmp_path / "two", ["b", "a"]))
    words = np.array(["a", "b", "c"])
    assert one(words).numpy().tolist() == [0, 1, -1]
    assert two(words).numpy().tolist() == [1, 0, -1]


def test_strings_scalars_and_unknown_sizes(exported, tmp_path):
    case = cases.load("lookup_vocab")
    layer = SignatureLayer(exported("lookup_vocab"))
    got = layer(case.oracle("in")["words"])
    assert (np.asarray(got["label"]) == case.oracle()["label"]).all()
    scalar = SignatureLayer(savedmodels.scale(tmp_path / "scale"))
    assert float(scalar(2.0)) == 6.0
    assert scalar(np.ones((2, 3, 4), "float32")).shape == (2, 3, 4)
    assert scalar(keras.Input((5, 7))).shape == (None, 5, 7)
    assert scalar(keras.Input((5,))).shape == (None, 5)


@pytest.mark.parametrize("eager", [False, True])
def test_composes_with_new_heads_in_every_kind_of_model(exported, eager):
    path, x = exported("mlp_layers"), np.float32(cases.load("mlp_layers").oracle("in")["x"])

    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.base, self.head = SignatureLayer(path), keras.layers.Dense(2)

        def call(self, inputs, training=None):
            return self.head(self.base(inputs, training=training)["logits"])

    class First(keras.layers.Layer):
        def call(self, inputs):
            return inputs["logits"]

    inputs = keras.Input((16,))
    inner = keras.Model(inputs, SignatureLayer(path)(inputs))
    outer = keras.Input((16,))
    models = [
        keras.Sequential([SignatureLayer(path), First(), keras.layers.Dense(2)]),
        keras.Model(outer, keras.layers.Dense(2)(inner(outer)["probs"])),
        Subclassed(),
    ]
    for model in models:
        model.compile("sgd", "mse", run_eagerly=eager)
        model(x)
        before = [np.array(w) for w in model.trainable_weights]
        model.fit(x, np.ones((len(x), 2)), batch_size=3, verbose=0)
        assert model.predict(x, batch_size=3, verbose=0).shape == (len(x), 2)
        changed = [not np.array_equal(a, b) for a, b in zip(before, model.trainable_weights, strict=True)]
        assert changed == [True] * 6


def test_jit_compile_where_the_graph_allows(exported):
    path, x = exported("bert_tiny"), cases.load("bert_tiny").oracle("in")
    layer = SignatureLayer(path)
    assert layer.supports_jit and not SignatureLayer(exported("lookup_vocab")).supports_jit
    inputs = {key: keras.Input((8,), dtype="int32", name=key) for key in x}
    model = keras.Model(inputs, layer(inputs)["pooled"])
    plain = model(x)
    model.compile("sgd", "mse", jit_compile=True)
    np.testing.assert_allclose(model.predict(x, verbose=0), plain, rtol=1e-5, atol=1e-6)
    model.fit(x, np.zeros((3, 16)), verbose=0)
    assert not np.allclose(model(x), plain)


def test_mixed_precision_around_it(exported):
    x = np.float32(cases.load("mlp_layers").oracle("in")["x"])
    plain = SignatureLayer(exported("mlp_layers"))(x)["logits"]
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        inputs = keras.Input((16,))
        layer = SignatureLayer(exported("mlp_layers"))
        logits = layer(keras.layers.Activation("linear")(inputs))["logits"]
        model = keras.Model(inputs, keras.layers.Dense(2)(logits))
        model.compile("sgd", "mse")
        assert logits.dtype == "float32" and model.output.dtype == "float16"
        assert {w.dtype for w in layer.weights} == {"float32"}
        np.testing.assert_allclose(layer(tf.cast(x, "float16"))["logits"], plain, atol=2e-2)
        model.fit(x, np.ones((len(x), 2)), verbose=0)
    finally:
        keras.mixed_precision.set_global_policy("float32")


def test_a_small_last_batch_makes_no_new_function(exported):
    layer = SignatureLayer(exported("mlp_layers"))
    x = np.zeros((9, 16), "float32")
    layer(x)
    before = layer._functions.count
    for rows in (8, 1, 3):
        assert layer(x[:rows])["logits"].shape == (rows, 3)
    assert layer._functions.count == before == 1


def test_other_signatures_of_the_same_export(exported):
    case = cases.load("saved_model_train_graph")
    path, x = exported("saved_model_train_graph"), case.oracle("in")
    default, logits = SignatureLayer(path), SignatureLayer(path, "logits")
    np.testing.assert_allclose(logits(x), case.oracle("logits")["logits"], rtol=1e-5, atol=1e-6)
    key = next(iter(case.oracle()))
    got = default(x)
    np.testing.assert_allclose(got[key] if isinstance(got, dict) else got, case.oracle()[key], rtol=1e-5, atol=1e-6)


def test_v1_control_flow_serves_but_says_why_it_cannot_train(tmp_path):
    layer = SignatureLayer(savedmodels.while_loop(tmp_path / "loop"))
    x = tf.constant([1.0, 2.0])
    assert layer(x).numpy().tolist() == [8, 16]
    assert tf.function(layer)(x).numpy().tolist() == [8, 16]
    with pytest.raises(LoadError, match="Outputs 'y' cannot be differentiated"), tf.GradientTape() as tape:
        tape.gradient(layer(x), layer.trainable_weights)
    layer.trainable = False
    with tf.GradientTape() as tape:
        assert layer(x).numpy().tolist() == [8, 16]


def test_a_tensorflow_2_saved_model_says_what_it_lacks(tmp_path):
    module = tf.Module()
    module.w = tf.Variable([2.0])
    module.f = tf.function(lambda x: {"y": x * module.w}, input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    tf.saved_model.save(module, str(tmp_path / "tf2"), signatures=module.f)
    layer = SignatureLayer(tmp_path / "tf2")
    assert layer(np.float32([1, 2])).numpy().tolist() == [2, 4]
    assert [w.trainable for w in layer.weights] == [True]
    with tf.GradientTape() as tape:
        answer = layer(np.float32([3]))
    assert tape.gradient(answer, layer.trainable_weights)[0].numpy().tolist() == [3]


@pytest.mark.parametrize(
    ("call", "parts"),
    [
        (lambda layer: layer({"ids": IDS, "masks": MASK}), ["missing: 'mask'", "unknown: 'masks'", "Closest: 'mask'"]),
        (lambda layer: layer(IDS), ["missing: 'mask'", "in call order: 'ids', 'mask'"]),
        (lambda layer: layer(IDS, MASK, MASK), ["3 were given by position"]),
        (lambda layer: layer(IDS, ids=IDS), ["both by position and by key", "'ids'"]),
        (lambda layer: layer(IDS.astype("float32"), MASK), ["'ids' is float32", "int32 [None, 2]", "tf.cast"]),
        (lambda layer: layer(IDS, np.array([["a", "b"]])), ["'mask' is string", "float32 [None, 2]"]),
        (lambda layer: layer(IDS, MASK[0]), ["'mask' is [2]", "float32 [None, 2]"]),
        (lambda layer: layer(IDS, MASK[:, :1]), ["'mask' is [2, 1]", "float32 [None, 2]"]),
        (lambda layer: layer(IDS, tf.ragged.constant([[1.0]])), ["RaggedTensor", "x.to_tensor()"]),
        (lambda layer: layer(IDS, [[1.0], [2.0, 3.0]]), ["'mask'", "cannot be converted to an array"]),
        (lambda layer: layer(keras.Input((3,), dtype="int32"), keras.Input((2,))), ["'ids' is [None, 3]"]),
    ],
)
def test_wrong_arguments_get_one_clear_error(two_inputs, call, parts):
    with pytest.raises(LoadError) as caught:
        call(SignatureLayer(two_inputs))
    for part in parts:
        assert part in str(caught.value)


def test_what_cannot_be_loaded_gets_one_clear_error(tmp_path, two_inputs):
    cases_ = {
        "serving_defualt": (
            two_inputs,
            {"signature": "serving_defualt"},
            ["Closest: 'serving_default'", 'signature="'],
        ),
        "nowhere": (str(tmp_path / "nowhere"), {}, ["There is no folder"]),
        "empty": (str(tmp_path), {}, ["is not a SavedModel"]),
        "reference": (savedmodels.reference(tmp_path / "ref"), {}, ["'old/w'", "python -m export_v1 --saved_model="]),
        "reads_file": (savedmodels.reads_file(tmp_path / "file"), {}, ["ReadFile", "allow_ops"]),
    }
    for path, arguments, parts in cases_.values():
        with pytest.raises(LoadError) as caught:
            SignatureLayer(path, **arguments)
        for part in parts:
            assert part in str(caught.value)


def test_allowed_ops_run(tmp_path):
    file = tmp_path / "hello.txt"
    file.write_text("hello")
    layer = SignatureLayer(savedmodels.reads_file(tmp_path / "file"), allow_ops=["ReadFile"])
    assert layer(str(file)).numpy() == b"hello"


def test_a_tensorflow_2_saved_model_of_a_keras_model_with_a_vocabulary(tmp_path):
    (tmp_path / "words.txt").write_text("a\nb\n")
    words = keras.Input((), dtype="string")
    initializer = tf.lookup.TextFileInitializer(
        str(tmp_path / "words.txt"),
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
    )
    module = tf.Module()
    module.table = tf.lookup.StaticHashTable(initializer, default_value=2)
    module.rows = tf.Variable([[1.0], [2.0], [3.0]], name="rows")
    module.fixed = tf.Variable(10.0, trainable=False, name="fixed")
    signature = [tf.TensorSpec(words.shape, tf.string, name="words")]
    module.f = tf.function(lambda words: tf.gather(module.rows, module.table.lookup(words)) * module.fixed, signature)
    tf.saved_model.save(module, str(tmp_path / "tf2"), signatures=module.f)
    layer = SignatureLayer(tmp_path / "tf2")
    assert layer(["b", "z", "a"]).numpy().tolist() == [[20], [30], [10]]
    assert {w.name: w.trainable for w in layer.weights} == {"rows": True, "fixed": False}
    keras.Model(words, layer(words)).save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded(tf.constant(["b"])).numpy().tolist() == [[20]]
