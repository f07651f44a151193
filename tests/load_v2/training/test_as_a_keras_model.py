"""A resumed training is a Keras model as any other: summary, callbacks, validation, ways to compile."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import load_v2
from load_v2 import LoadError
from tests.support.trainings import Training, loss

# One is by Keras's own Adam, one by TensorFlow 1's ops.
NAMES = ["train_adam", "train_adam_ema"]
STEPS = 4


@pytest.fixture(params=NAMES)
def case(request):
    return Training(request.param)


@pytest.fixture
def resumed(case, exports):
    """Returns a function that makes the model anew."""
    return lambda: load_v2.resume(exports(case.name))


@pytest.fixture
def data(case):
    """The batches of the case, in order."""
    batches = [case.batch(step) for step in range(STEPS)]
    whole = {key: np.concatenate([batch[key] for batch in batches]) for key in case.keys}
    return tf.data.Dataset.from_tensor_slices(whole).batch(len(batches[0][case.keys[0]]))


def _assert_after(model, case):
    np.testing.assert_allclose(np.asarray(model(case.inputs(), training=False)), case.after, rtol=1e-5, atol=1e-5)
    reader = tf.train.load_checkpoint(str(case.folder / case.config["checkpoint"]))
    assert int(model.optimizer.iterations) == reader.get_tensor("global_step") + STEPS


def test_its_summary_counts_weights_and_slots(case, resumed):
    lines = []
    resumed().summary(print_fn=lambda text, **_: lines.append(text))
    text = "\n".join(lines)
    reader = tf.train.load_checkpoint(str(case.folder / case.config["checkpoint"]))
    sizes = {name: int(np.prod(shape)) for name, shape in reader.get_variable_to_shape_map().items()}
    weights = sum(size for name, size in sizes.items() if name.startswith("net/") and name.count("/") == 2)
    assert f"Trainable params: {weights} " in text
    # Keras counts iterations and the rate, too, and its Adam has no powers of beta.
    slots = sum(sizes.values()) - weights
    extra = {"train_adam": 2 - 3, "train_adam_ema": 2}[case.name]
    assert f"Optimizer params: {slots + extra} " in text


def test_fit_shows_the_loss(case, resumed, data, capsys):
    history = resumed().fit(data, shuffle=False, validation_data=data).history
    # The mean of losses over batches of one size.
    np.testing.assert_allclose(history["loss"], [np.mean(case.losses)], rtol=1e-5)
    shown = capsys.readouterr().out
    assert f"{STEPS}/{STEPS}" in shown and f"loss: {history['loss'][0]:.4f}" in shown and "val_loss: " in shown


def test_early_stopping_puts_the_best_weights_back(case, resumed, data):
    model = resumed()
    stopping = keras.callbacks.EarlyStopping(monitor="val_loss", min_delta=100, restore_best_weights=True)
    history = model.fit(data, epochs=5, shuffle=False, verbose=0, validation_data=data, callbacks=[stopping]).history
    assert len(history["val_loss"]) == 2
    # The first epoch counts as the best, since no other is better by a hundred.
    np.testing.assert_allclose(np.asarray(model(case.inputs())), case.after, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("ending", "options"),
    [
        (".keras", {}),
        (".keras", {"save_freq": STEPS}),
        (".keras", {"save_best_only": True, "monitor": "val_loss"}),
        (".weights.h5", {"save_weights_only": True}),
    ],
)
def test_a_checkpoint_of_the_first_epoch_goes_on_from_there(ending, options, case, resumed, data, tmp_path):
    model, file = resumed(), str(tmp_path / "{epoch}") + ending
    saving = keras.callbacks.ModelCheckpoint(file, **options)
    model.fit(data, epochs=2, shuffle=False, verbose=0, validation_data=data, callbacks=[saving])
    if ending == ".keras":
        again = keras.models.load_model(file.format(epoch=1))
    else:
        again = resumed()
        again.load_weights(file.format(epoch=1))
    _assert_after(again, case)
    again.fit(data, shuffle=False, verbose=0)
    for want, have in zip(model.variables, again.variables, strict=True):
        if not want.path.startswith("loss/"):
            np.testing.assert_allclose(tf.identity(have.value), tf.identity(want.value), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [{"jit_compile": True}, {"run_eagerly": True}, {"steps_per_execution": 2}],
    ids=lambda options: next(iter(options)),
)
def test_however_compiled_it_goes_on_the_same(options, case, resumed, data):
    model = resumed()
    model.compile(model.optimizer, **options)
    history = model.fit(data, shuffle=False, verbose=0).history
    np.testing.assert_allclose(history["loss"], [np.mean(case.losses)], rtol=1e-5)
    _assert_after(model, case)


def test_averaged_weights_are_saved_and_swapped_back(exports, tmp_path):
    case = Training("train_adam_ema")
    model = load_v2.resume(exports(case.name))
    loss(model, case.batch(0))
    plain = np.asarray(model(case.inputs(), training=False))
    with model.averaged_weights():
        averaged = np.asarray(model(case.inputs(), training=False))
        model.save(tmp_path / "averaged.keras")
    again = keras.models.load_model(tmp_path / "averaged.keras")
    np.testing.assert_array_equal(np.asarray(again(case.inputs(), training=False)), averaged)
    again.swap_ema()
    np.testing.assert_array_equal(np.asarray(again(case.inputs(), training=False)), plain)
    assert not np.allclose(plain, averaged)


def test_callbacks_set_a_rate_where_keras_computes_it_and_are_refused_elsewhere(case, resumed, data):
    model = resumed()
    halving = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    if case.name == "train_adam":
        before = float(model.optimizer.learning_rate)
        model.fit(data, shuffle=False, verbose=0, callbacks=[halving])
        assert float(model.optimizer.learning_rate) == pytest.approx(before / 2)
        return
    with pytest.raises(LoadError, match="computed by its graph, and cannot be set.\n  Compile the model with a Keras"):
        model.fit(data, shuffle=False, verbose=0, callbacks=[halving])
