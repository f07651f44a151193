"""Trainings of TensorFlow 1.15.5 gone on with in Keras: the same losses, the same answers after."""

import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

import load_v2
from load_v2 import LoadError
from load_v2.training.optimizer import GraphOptimizer
from tests.support import cases, trainings
from tests.support.trainings import Training, loss

# Optimizers that Keras has; all others run TensorFlow 1's ops.
KERAS = {
    "train_adam": "Adam",
    "train_adamax": "Adamax",
    "train_adadelta": "Adadelta",
    "train_momentum": "SGD",
    "train_numbers": "Adam",
    "train_sgd_cosine": "SGD",
    "train_slim": "Adam",
    "train_towers": "SGD",
}


def _answers(model, case: Training) -> np.ndarray:
    return np.asarray(model(case.inputs(), training=False))


@pytest.mark.parametrize("name", trainings.NAMES)
def test_it_goes_on_as_tensorflow_1_did(name, exports):
    case = Training(name)
    model = load_v2.resume(exports(name))
    assert type(model.optimizer).__name__ == KERAS.get(name, "GraphOptimizer")
    for step in range(4):
        if case.rates is not None:
            assert float(model.optimizer.learning_rate) == pytest.approx(case.rates[step], rel=1e-6)
        np.testing.assert_allclose(loss(model, case.batch(step)), case.losses[step], rtol=1e-5, err_msg=f"step {step}")
    np.testing.assert_allclose(_answers(model, case), case.after, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["train_adam", "train_adagrad"])
def test_two_hundred_steps_stay_on_the_curve(name, exports, tmp_path):
    case = Training(name)
    model = load_v2.resume(exports(name))
    found = []
    for step in range(200):
        if step == 100:
            model.save(tmp_path / "half.keras")
            model = keras.models.load_model(tmp_path / "half.keras")
        found.append(loss(model, case.drawn(step)))
    np.testing.assert_allclose(found, case.curve, rtol=1e-3)


@pytest.mark.parametrize(
    "name", ["train_adam", "train_batch_norm_ema", "train_ftrl_adagrad_wide_deep", "train_sgd_cosine"]
)
def test_saved_in_the_middle_it_is_where_it_was(name, exports, tmp_path):
    case = Training(name)
    model = load_v2.resume(exports(name))
    found = [loss(model, case.batch(step)) for step in range(2)]
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert [v.path for v in again.optimizer.variables] == [v.path for v in model.optimizer.variables]
    assert float(again.optimizer.learning_rate) == float(model.optimizer.learning_rate)
    found += [loss(again, case.batch(step)) for step in range(2, 4)]
    np.testing.assert_allclose(found, case.losses, rtol=1e-5)
    np.testing.assert_allclose(_answers(again, case), case.after, rtol=1e-5, atol=1e-5)


def test_a_slot_that_is_lost_is_seen(exports):
    case = Training("train_adagrad")
    model = load_v2.resume(exports(case.name))
    name = next(slot for slot in model.optimizer.slots if slot.endswith("Adagrad"))
    model.optimizer.slots[name].assign(model.optimizer.slots[name] * 0 + 0.1)
    found = [loss(model, case.batch(step)) for step in range(4)]
    assert not np.allclose(found, case.losses, rtol=1e-5)


def test_fit_evaluate_and_callbacks(exports, tmp_path):
    case = Training("train_batch_norm_ema")
    model = load_v2.resume(exports(case.name))
    batches = [case.batch(step) for step in range(4)]
    whole = {key: np.concatenate([batch[key] for batch in batches]) for key in case.keys}
    checkpoint = keras.callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.keras"))
    history = model.fit(whole, batch_size=8, shuffle=False, verbose=0, callbacks=[checkpoint], validation_data=(whole,))
    # The mean of losses over batches of one size.
    np.testing.assert_allclose(history.history["loss"], [np.mean(case.losses)], rtol=1e-5)
    np.testing.assert_allclose(_answers(model, case), case.after, rtol=1e-5, atol=1e-5)
    saved = keras.models.load_model(tmp_path / "1.keras")
    np.testing.assert_array_equal(_answers(saved, case), _answers(model, case))
    # Evaluation uses the moving averages, and changes nothing.
    first = model.evaluate(whole, verbose=0)
    assert first == model.evaluate(whole, verbose=0) == pytest.approx(history.history["val_loss"][0], rel=1e-6)
    inputs = {key: whole[key] for key in case.config["inputs"]}
    labels = {key: whole[key] for key in case.config["resume"]["labels"]}
    assert model.evaluate(inputs, labels, verbose=0) == pytest.approx(first, rel=1e-6)
    assert model.predict(inputs, verbose=0).shape == (32, 3)


def test_moving_averages_of_weights_are_swapped_and_back(exports):
    case = Training("train_adam_ema")
    model = load_v2.resume(exports(case.name))
    reader = tf.train.load_checkpoint(str(case.folder / "model.ckpt-5"))
    plain = {name: np.asarray(keras.ops.convert_to_numpy(v.value)) for name, v in model.by_name.items()}
    with model.averaged_weights():
        for name, variable in model.by_name.items():
            averaged = reader.get_tensor(f"{name}/ExponentialMovingAverage")
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable.value), averaged)
    for name, variable in model.by_name.items():
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable.value), plain[name])
    with pytest.raises(LoadError, match="keeps no moving averages"):
        load_v2.resume(exports("train_adam")).swap_ema()


def test_variables_that_were_not_trained_stay(exports):
    case = Training("train_two_losses")
    model = load_v2.resume(exports(case.name))
    before = {name: np.asarray(keras.ops.convert_to_numpy(v.value)) for name, v in model.by_name.items()}
    loss(model, case.batch(0))
    changed = {
        name
        for name, v in model.by_name.items()
        if not np.array_equal(before[name], keras.ops.convert_to_numpy(v.value))
    }
    assert changed == {name for name in before if name.startswith("generator/")}
    assert any(name.startswith("critic/") for name in before)


def test_another_optimizer_gets_the_clipped_gradients(exports):
    case = Training("train_slim")
    model = load_v2.resume(exports(case.name))
    names = {name: v for name, v in model.by_name.items() if v.trainable}
    before = {name: np.asarray(keras.ops.convert_to_numpy(v.value)) for name, v in names.items()}
    model.compile(keras.optimizers.SGD(1.0))
    loss(model, case.batch(0))
    steps = {name: before[name] - np.asarray(keras.ops.convert_to_numpy(v.value)) for name, v in names.items()}
    # slim clips each gradient to this norm, and multiplies that of fc/weights by 0.1 before.
    norms = {name: float(np.linalg.norm(step)) for name, step in steps.items()}
    assert max(norms.values()) == pytest.approx(0.5, rel=1e-4)


def test_xla_computes_the_same(exports):
    case = Training("train_nesterov_decay_piecewise")
    model = load_v2.resume(exports("train_adam"))
    model.compile(model.optimizer, jit_compile=True)
    adam = Training("train_adam")
    found = [loss(model, adam.batch(step)) for step in range(4)]
    np.testing.assert_allclose(found, adam.losses, rtol=1e-4)
    assert case.rates is not None


def test_wrong_batches_are_one_message(exports):
    case = Training("train_adam")
    model = load_v2.resume(exports(case.name))
    batch = case.batch(0)
    with pytest.raises(LoadError, match="Input 'labels' is not in the batch"):
        model.train_on_batch({"x": batch["x"]})
    with pytest.raises(LoadError, match="takes no sample_weight"):
        model.train_on_batch({"x": batch["x"]}, {"labels": batch["labels"]}, sample_weight=np.ones(8))
    with pytest.raises(LoadError, match="cannot be set"):
        load_v2.resume(exports("train_adagrad")).optimizer.learning_rate = 0.1


def test_a_changed_archive_is_refused(exports, tmp_path):
    model = load_v2.resume(exports("train_adagrad"))
    model.save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        names = archive.namelist()
        content = {name: archive.read(name) for name in names}
    (graph,) = [name for name in names if name.endswith("update/saved_model.pb")]
    content[graph] = content[graph].replace(b"ResourceApplyAdagrad", b"ResourceApplyAdadelt")
    with zipfile.ZipFile(tmp_path / "changed.keras", "w") as archive:
        for name in names:
            archive.writestr(name, content[name])
    # Keras collects what it could not load into an error of its own.
    with pytest.raises(ValueError, match="archive was changed after model .* was saved: saved_model.pb of 'update'"):
        keras.models.load_model(tmp_path / "changed.keras")


def test_a_config_grants_nothing(exports):
    model = load_v2.resume(exports("train_adagrad"))
    config = {**model.get_config(), "bundle": "/nowhere", "allow_ops": ["WriteFile"]}
    again = type(model).from_config(config)
    assert not again.layer.policy.everything and not again.layer.policy.allowed


def test_an_export_without_training_says_so(exported):
    with pytest.raises(LoadError, match=r"was exported without its training.\n  Export it again with --resume"):
        load_v2.resume(exported("mlp_layers"))


def test_an_optimizer_alone_says_what_it_lacks(exports):
    model = load_v2.resume(exports("train_adagrad"))
    alone = GraphOptimizer.from_config(model.optimizer.get_config())
    assert [slot for slot in alone.slots] == [slot for slot in model.optimizer.slots]
    with pytest.raises(LoadError, match="made from a config and has no graph"):
        alone.apply([])


def test_exports_with_training_serve_as_any_other(exports):
    case = Training("train_adam")
    layer = load_v2.SignatureLayer(exports(case.name))
    assert {weight.name for weight in layer.weights} == {
        "net/d0/kernel",
        "net/d0/bias",
        "net/logits/kernel",
        "net/logits/bias",
    }
    assert load_v2.verify(exports(case.name)).equal
    cases.assert_equal(
        {"out": np.asarray(layer(case.inputs()))}, {"out": _answers(load_v2.resume(exports(case.name)), case)}
    )
