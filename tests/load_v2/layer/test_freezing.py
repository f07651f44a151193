"""freeze and unfreeze: what a pattern names, what then stays as it is, and for how long."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from load_v2 import LoadError, SignatureLayer
from load_v2.layer import freezing
from tests.support import cases, savedmodels
from tests.support.graphs import v1

X = np.float32([[1, 2, 3], [3, 4, 5]])


def _two_blocks(folder) -> str:
    """Two blocks of batch centring in scopes `a` and `b`, each with `moving` and `w`; training moves by a tenth."""
    with savedmodels.session() as current:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        sides = []
        for training in (False, True):
            h, updates = x, []
            for scope in ("a", "b"):
                with v1.variable_scope(scope, reuse=v1.AUTO_REUSE):
                    moving = v1.get_variable(
                        "moving", initializer=np.zeros(3, "float32"), trainable=False, use_resource=True
                    )
                    w = v1.get_variable("w", initializer=np.float32([1, 2, 3]), use_resource=True)
                mean = tf.reduce_mean(h, 0)
                if training:
                    updates.append(moving.assign_sub((moving - mean) * 0.1, read_value=False))
                h = (h - (mean if training else moving)) * w + 1
            with tf.control_dependencies(updates):
                sides.append(({"x": x}, {"y": tf.identity(h)}))
        for scope in ("a", "b"):
            with v1.variable_scope(scope, reuse=True):
                loss = tf.reduce_sum(v1.get_variable("w", initializer=np.float32([1, 2, 3]), use_resource=True))
                v1.add_to_collection(v1.GraphKeys.REGULARIZATION_LOSSES, loss)
        return savedmodels.save(folder, current, *sides[0], train=sides[1])


@pytest.fixture
def two_blocks(tmp_path) -> str:
    return _two_blocks(tmp_path / "two_blocks")


def _values(layer) -> dict[str, np.ndarray]:
    return {weight.name: np.array(weight) for weight in layer.weights}


def _changed(layer, before) -> set[str]:
    return {name for name, value in _values(layer).items() if not np.array_equal(value, before[name])}


def _fitted(layer, model=None) -> set[str]:
    """Returns the names of the weights that a step of training changes."""
    if model is None:
        inputs = keras.Input((3,))
        model = keras.Model(inputs, layer(inputs))
    before = _values(layer)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(X, np.ones((2, 3), "float32"), verbose=0)
    return _changed(layer, before)


class _Named:
    def __init__(self, name):
        self.name = name


@pytest.mark.parametrize(
    ("patterns", "want"),
    [
        (["a"], ["a/b/w", "a/c"]),
        (["a/"], ["a/b/w", "a/c"]),
        (["a/b"], ["a/b/w"]),
        (["a/b/w"], ["a/b/w"]),
        (["*/w"], ["a/b/w", "ab/w"]),
        (["a*"], ["a/b/w", "a/c", "ab/w"]),
        (["a?"], ["ab/w"]),
        (["*/b"], ["a/b/w"]),
        (["ab", "a/c"], ["a/c", "ab/w"]),
        (["[c-d]"], ["d"]),
    ],
)
def test_a_pattern_names_weights_and_scopes(patterns, want):
    weights = [_Named(name) for name in ("a/b/w", "a/c", "ab/w", "d")]
    assert [weight.name for weight in freezing.matching(patterns, weights, "Layer 'l'")] == want


@pytest.mark.parametrize(
    ("patterns", "parts"),
    [
        (["a/movin"], ["'a/movin'", "Closest: 'a/moving'", "4 weights, in: 'a', 'b'"]),
        (["a", "c/*"], ["no scope matches 'c/*'"]),
        (["w"], ["'w'", "Closest: 'a/w', 'b/w'"]),
        (["A"], ["'A'"]),
        ([], ["give a scope or a pattern", '"a"']),
    ],
)
def test_a_pattern_that_names_nothing_freezes_nothing(two_blocks, patterns, parts):
    layer = SignatureLayer(two_blocks, name="blocks")
    with pytest.raises(LoadError) as caught:
        layer.freeze(*patterns)
    for part in ["'blocks'", *parts]:
        assert part in str(caught.value)
    assert not any(weight.frozen for weight in layer.weights)


def test_a_frozen_scope_neither_trains_nor_moves(two_blocks):
    layer = SignatureLayer(two_blocks)
    assert _fitted(layer) == {"a/moving", "a/w", "b/moving", "b/w"}
    assert layer.freeze("a") == ["a/moving", "a/w"]
    assert [weight.name for weight in layer.trainable_weights] == ["b/w"]
    assert _fitted(layer) == {"b/moving", "b/w"}
    assert layer.unfreeze("*") == ["a/moving", "a/w"] and layer.unfreeze() == []
    assert _fitted(layer) == {"a/moving", "a/w", "b/moving", "b/w"}


def test_what_is_not_frozen_moves_as_it_did(two_blocks):
    layer, other = SignatureLayer(two_blocks), SignatureLayer(two_blocks)
    layer.freeze("a/moving")
    # Block a is centred by its average, which is zero.
    inner = X * np.float32([1, 2, 3]) + 1
    want = (inner - inner.mean(0)) * np.float32([1, 2, 3]) + 1
    np.testing.assert_allclose(layer(X, training=True), want, rtol=1e-6)
    assert np.array_equal(_values(layer)["a/moving"], np.zeros(3))
    np.testing.assert_allclose(_values(layer)["b/moving"], inner.mean(0) * 0.1, rtol=1e-6)
    other(X, training=True)
    np.testing.assert_allclose(_values(other)["a/moving"], X.mean(0) * 0.1, rtol=1e-6)


with np.load(cases.FOLDER / "frozen" / "rebuild_norms.npz") as arrays:
    _GOLDEN = {key: arrays[key] for key in arrays.files}


@pytest.mark.parametrize("scopes", sorted({key.partition("/")[0] for key in _GOLDEN}))
def test_frozen_batch_norm_trains_as_tensorflow_1_did_with_training_false(exported, scopes):
    # Fused, written out, and assigned by hand; TensorFlow 1.15.5 built the frozen ones with training=False.
    case = cases.load("rebuild_norms")
    x, y = case.oracle("in")["x"], case.oracle("finetune")["target"]
    layer = SignatureLayer(exported("rebuild_norms"))
    layer.freeze(*scopes.split("+"))
    model = keras.Sequential([keras.Input(x.shape[1:]), layer])
    model.compile(keras.optimizers.SGD(0.05), "mse")
    losses = [model.train_on_batch(x, y) for _ in range(3)]
    np.testing.assert_allclose(losses, _GOLDEN[f"{scopes}/losses"], rtol=1e-5)
    for weight in layer.weights:
        np.testing.assert_allclose(
            weight, _GOLDEN[f"{scopes}/{weight.name}"], rtol=1e-4, atol=1e-5, err_msg=weight.name
        )


@pytest.mark.parametrize("way", ["fresh", "archive", "clone"])
def test_a_frozen_batch_norm_is_that_of_keras(exported, tmp_path, way):
    export = exported("convnet_bn_finetune")
    case = cases.load("convnet_bn_finetune")
    x, y = case.oracle("in")["images"], case.oracle("finetune")["target"]
    layer = SignatureLayer(export, name="net")
    layer.freeze("batch_normalization")
    ours = keras.Sequential([keras.Input(x.shape[1:]), layer])
    layers = [
        keras.layers.Conv2D(6, 3, padding="same", name="conv2d"),
        keras.layers.BatchNormalization(epsilon=1e-3, trainable=False, name="batch_normalization"),
        keras.layers.ReLU(),
        keras.layers.Flatten(),
        keras.layers.Dense(4, name="head"),
    ]
    plain = keras.Sequential([keras.Input(x.shape[1:]), *layers])
    values = _values(layer)
    for weight in plain.weights:
        weight.assign(values["/".join(weight.path.split("/")[-2:])])
    if way == "archive":
        ours.save(tmp_path / "m.keras")
        ours = keras.models.load_model(tmp_path / "m.keras")
    elif way == "clone":
        ours = keras.models.clone_model(ours)
    for model in (ours, plain):
        model.compile(keras.optimizers.SGD(0.05), "mse")
    history = [[model.train_on_batch(x, y) for _ in range(3)] for model in (ours, plain)]
    np.testing.assert_allclose(*history, rtol=1e-5)
    np.testing.assert_allclose(ours(x), plain(x), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours(x, training=True), ours(x), rtol=1e-5, atol=1e-6)


def test_a_batch_norm_with_one_average_frozen_goes_by_the_batch_and_says_so(exported, caplog):
    layer, other = (SignatureLayer(exported("convnet_bn_finetune"), name="net") for _ in range(2))
    x = cases.load("convnet_bn_finetune").oracle("in")["images"]
    assert layer.freeze("*/moving_mean") == ["batch_normalization/moving_mean"]
    with caplog.at_level("WARNING"):
        np.testing.assert_array_equal(layer(x, training=True), other(x, training=True))
    said = [record.getMessage() for record in caplog.records]
    assert any(
        "'net'" in text and "'batch_normalization/moving_mean'" in text and "other moving averages" in text
        for text in said
    )
    assert _changed(layer, _values(other)) == {"batch_normalization/moving_mean"}


def test_a_batch_norm_in_training_form_that_cannot_go_by_averages_says_why(tmp_path, caplog):
    with savedmodels.session() as current:
        x = v1.placeholder(tf.float32, [None, 3], name="x")
        moving = savedmodels.variable("moving", np.zeros(3, "float32"), trainable=False)
        mean, variance = tf.nn.moments(x, [0])
        with tf.control_dependencies([moving.assign_sub((moving - mean) * 0.1, read_value=False)]):
            trained = tf.identity((x - mean) / tf.sqrt(variance + 1))
        path = savedmodels.save(tmp_path / "m", current, {"x": x}, {"y": x - moving}, train=({"x": x}, {"y": trained}))
    layer = SignatureLayer(path)
    with caplog.at_level("WARNING"):
        layer.freeze("moving")
    assert any("some of its statistics would still be those of the batch" in r.getMessage() for r in caplog.records)
    np.testing.assert_allclose(layer(X, training=True), (X - X.mean(0)) / np.sqrt(X.var(0) + 1), rtol=1e-6)
    assert np.array_equal(_values(layer)["moving"], np.zeros(3))


def test_averages_move_where_only_weights_are_frozen(two_blocks):
    layer = SignatureLayer(two_blocks)
    assert layer.freeze("*/w") == ["a/w", "b/w"]
    before = _values(layer)
    layer(X, training=True)
    assert _changed(layer, before) == {"a/moving", "b/moving"}


def test_trainable_of_a_weight_is_the_same(two_blocks):
    layer = SignatureLayer(two_blocks)
    for weight in layer.weights:
        weight.trainable = not weight.name.startswith("b/")
    # A moving average that is told to train does, as in Keras.
    assert sorted(weight.name for weight in layer.trainable_weights) == ["a/moving", "a/w"]
    layer = SignatureLayer(two_blocks)
    for weight in layer.weights:
        if weight.name.startswith("b/"):
            weight.trainable = False
    assert layer.get_config()["frozen"] == ["b/moving", "b/w"]
    assert _fitted(layer) == {"a/moving", "a/w"}


def test_freezing_the_layer_and_back_leaves_parts_frozen(two_blocks):
    layer = SignatureLayer(two_blocks)
    layer.freeze("a")
    layer.trainable = False
    assert not layer.trainable_weights and layer.get_config()["frozen"] == ["a/moving", "a/w"]
    layer.trainable = True
    assert [weight.name for weight in layer.trainable_weights] == ["b/w"]


def test_losses_of_frozen_weights_are_none(two_blocks, tmp_path):
    layer = SignatureLayer(two_blocks)
    assert [float(loss) for loss in layer.losses] == [6, 6]
    layer.freeze("a")
    assert len(layer.losses) == 1 and len(keras.Sequential([layer]).losses) == 1
    layer.freeze("b")
    assert layer.losses == []
    # A loss of two weights counts with the one that trains.
    both = SignatureLayer(savedmodels.with_train(tmp_path / "both"))
    both.freeze("w")
    assert [float(loss) for loss in both.losses] == [21]
    both.unfreeze("w")
    both.freeze("b")
    assert [float(loss) for loss in both.losses] == [66.5]


def test_a_weight_keeps_the_regularizer_it_is_given(two_blocks):
    layer = SignatureLayer(two_blocks)
    layer.weights[1].regularizer = keras.regularizers.L1(1.0)
    assert sorted(float(loss) for loss in layer.losses) == [6, 12]


@pytest.mark.parametrize("way", ["archive", "clone", "config", "weights"])
def test_what_is_frozen_stays_frozen(two_blocks, tmp_path, way):
    inputs = keras.Input((3,))
    layer = SignatureLayer(two_blocks, name="blocks")
    model = keras.Model(inputs, layer(inputs))
    layer.freeze("a")
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(X, np.ones((2, 3), "float32"), verbose=0)
    want = model(X)
    if way == "archive":
        model.save(tmp_path / "m.keras")
        again = keras.models.load_model(tmp_path / "m.keras")
    elif way == "clone":
        again = keras.models.clone_model(model)
    elif way == "config":
        again = keras.Model.from_config(model.get_config())
    else:
        model.save_weights(tmp_path / "m.weights.h5")
        again = keras.models.clone_model(model)
        again.set_weights([value * 0 for value in again.get_weights()])
        again.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_array_equal(again(X), want)
    found = again.get_layer("blocks")
    assert sorted(weight.name for weight in found.weights if weight.frozen) == ["a/moving", "a/w"]
    assert _fitted(found, again) == {"b/moving", "b/w"}
    if way == "archive":
        # The original's order of weights in a file does not depend on what was frozen when it was saved.
        found.unfreeze()
        again.save(tmp_path / "again.keras")
        np.testing.assert_array_equal(keras.models.load_model(tmp_path / "again.keras")(X), again(X))


def test_a_config_that_freezes_what_is_not_there_was_changed(two_blocks):
    layer = SignatureLayer(two_blocks)
    for frozen in (["a/w", "c/w"], "c/w", [3], 3):
        with pytest.raises(LoadError, match="(?s)freezes weights that it does not have: .*changed"):
            SignatureLayer.from_config({**layer.get_config(), "frozen": frozen})
    assert "frozen" not in layer.get_config()


def test_what_a_condition_changes_cannot_be_frozen_alone(tmp_path):
    with savedmodels.session() as current:
        x = v1.placeholder(tf.float32, [None], name="x")
        w, counter = (
            savedmodels.variable("w", np.float32(2)),
            savedmodels.variable("counter", np.float32(0), trainable=False),
        )
        v1.enable_control_flow_v2()
        counted = tf.cond(
            tf.reduce_sum(x) > 0, lambda: counter.assign_add(1.0) * 0.0 + w * 0.0, lambda: tf.constant(0.0)
        )
        trained = x * w + counted
        sides = ({"x": x}, {"y": x * w})
        path = savedmodels.save(tmp_path / "m", current, *sides, train=({"x": x}, {"y": trained}))
    layer = SignatureLayer(path)
    with pytest.raises(LoadError, match="(?s)'counter' are changed inside .*If.*layer.trainable = False"):
        layer.freeze("counter")
    assert not any(weight.frozen for weight in layer.weights)
    assert layer.freeze("w") == ["w"]
    layer(np.float32([1]), training=True)
    assert _values(layer) == {"w": 2, "counter": 1}
