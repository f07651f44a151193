"""freeze in a training of TensorFlow 1 that goes on: what stays, what goes on, and for how long."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import load_v2
from load_v2 import LoadError
from load_v2.training.optimizer import GraphOptimizer
from tests.support.trainings import Training, loss


def _values(model) -> dict[str, np.ndarray]:
    slots = model.optimizer.slots if isinstance(model.optimizer, GraphOptimizer) else {}
    return {name: np.array(value) for name, value in {**slots, **model.by_name}.items()}


def _changed(model, before) -> set[str]:
    return {name for name, value in _values(model).items() if not np.array_equal(value, before[name])}


def _scope_of(model) -> str:
    """Returns the scope that the first trained weight is in, or its name."""
    name = model.trainable_weights[0].name
    return name.rpartition("/")[0] or name


# Optimizers of Keras's, of TensorFlow 1's in one op, in plain ops, on rows, clipped by the norm of all, with batch norm.
CASES = [
    "train_adam",
    "train_adagrad",
    "train_batch_norm_ema",
    "train_lars",
    "train_momentum",
    "train_rmsprop_rnn_clipped",
    "train_rows_momentum_clipped",
    "train_rows_partitioned",
    "train_slim",
    "train_nadam",
]


@pytest.mark.parametrize("name", CASES)
def test_a_frozen_scope_stays_and_the_rest_goes_on(name, exports):
    case = Training(name)
    model = load_v2.resume(exports(name))
    scope = _scope_of(model)
    before = _values(model)
    frozen = set(model.freeze(scope))
    assert frozen and frozen == {weight for weight in model.by_name if model.by_name[weight].frozen}
    assert not frozen & {weight.name for weight in model.trainable_weights}
    losses = [loss(model, case.batch(step)) for step in range(2)]
    assert losses[0] == pytest.approx(case.losses[0], rel=1e-5)
    changed = _changed(model, before)
    assert not changed & frozen
    # Slots that belong to a frozen weight alone have its name, and moving averages of weights are no slots.
    own = {weight for weight in changed for other in frozen if weight.startswith(other + "/")}
    assert all("Average" in weight for weight in own), own
    trained = {weight.name for weight in model.trainable_weights}
    assert trained <= changed, trained - changed


def test_a_slot_that_all_weights_share_goes_on(exports):
    case = Training("train_nadam")
    model = load_v2.resume(exports(case.name))
    before, frozen = _values(model), model.freeze(_scope_of(model))
    loss(model, case.batch(0))
    changed = _changed(model, before)
    assert {"beta1_power", "beta2_power", "global_step"} <= changed
    assert not {weight for weight in changed for other in frozen if weight.startswith(other)}


@pytest.mark.parametrize(("name", "flags"), [("train_batch_norm_ema", {}), ("train_slim", {"batch_statistics": False})])
def test_frozen_batch_norm_goes_by_its_averages(name, flags, exports):
    # Nothing else in these graphs tells training from inference.
    case = Training(name)
    whole, model = (load_v2.resume(exports(name, **flags)) for _ in range(2))
    before, evaluated = _values(model), model.evaluate(case.batch(0), verbose=0)
    assert loss(whole, case.batch(0)) != pytest.approx(evaluated, rel=1e-3)
    scope = next(weight for weight in model.by_name if weight.endswith("moving_mean")).rpartition("/")[0]
    frozen = model.freeze(scope)
    assert loss(model, case.batch(0)) == pytest.approx(evaluated, rel=1e-5)
    assert not _changed(model, before) & set(frozen)


@pytest.mark.parametrize("name", ["train_adam", "train_batch_norm_ema", "train_adagrad"])
def test_it_survives_an_archive(name, exports, tmp_path):
    case = Training(name)
    model = load_v2.resume(exports(name))
    frozen = model.freeze(_scope_of(model))
    loss(model, case.batch(0))
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert sorted(weight.name for weight in again.by_name.values() if weight.frozen) == sorted(frozen)
    assert [v.path for v in again.optimizer.variables] == [v.path for v in model.optimizer.variables]
    before = _values(again)
    assert loss(again, case.batch(1)) == pytest.approx(loss(model, case.batch(1)), rel=1e-6)
    assert not _changed(again, before) & set(frozen)
    # Unfrozen, it trains again, with the slots that it had.
    assert sorted(again.unfreeze()) == sorted(frozen)
    before = _values(again)
    loss(again, case.batch(2))
    assert {weight.name for weight in again.trainable_weights} <= _changed(again, before)


def test_frozen_weights_that_only_the_training_reads_survive_an_archive(exports, tmp_path):
    model = load_v2.resume(exports("train_two_losses"))
    frozen = model.freeze("critic/a")
    assert sorted(frozen) == ["critic/a/bias", "critic/a/kernel"]
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert sorted(weight.name for weight in again.by_name.values() if weight.frozen) == sorted(frozen)


def test_another_optimizer_leaves_frozen_weights_alone_and_knows_them(exports, tmp_path):
    case = Training("train_adagrad")
    model = load_v2.resume(exports(case.name))
    frozen = set(model.freeze(_scope_of(model)))
    model.compile(keras.optimizers.Adam(0.01))
    before = _values(model)
    loss(model, case.batch(0))
    assert _changed(model, before) & set(model.by_name) == {weight.name for weight in model.trainable_weights}
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    for one, other in zip(again.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one, other)
    again.unfreeze()
    before = _values(again)
    loss(again, case.batch(1))
    assert frozen & {weight.name for weight in again.trainable_weights} <= _changed(again, before)


@pytest.mark.parametrize("name", ["train_momentum", "train_adagrad", "train_adam"])
def test_the_first_step_of_what_is_not_frozen_is_that_of_the_whole(name, exports):
    # Nothing is clipped by the norm of all, and the whole training is TensorFlow 1's.
    case = Training(name)
    model, whole = (load_v2.resume(exports(name)) for _ in range(2))
    model.freeze(_scope_of(model))
    for trained in (model, whole):
        loss(trained, case.batch(0))
    for weight in model.trainable_weights:
        np.testing.assert_allclose(weight, whole.by_name[weight.name], rtol=1e-6)


@pytest.mark.parametrize("name", ["train_rmsprop_rnn_clipped", "train_rows_momentum_clipped"])
def test_gradients_of_frozen_weights_count_as_zero_where_all_are_clipped(name, exports, monkeypatch):
    case = Training(name)
    model = load_v2.resume(exports(case.name))
    frozen, given = model.freeze(_scope_of(model)), []
    monkeypatch.setattr(model.optimizer, "update", lambda grads, data, held: given.extend(grads))
    model.compile(model.optimizer, run_eagerly=True)
    loss(model, case.batch(0))
    entries = model.get_config()["training"]["gradients"]
    by_name = {
        entry["variable"]: tf.convert_to_tensor(gradient) for entry, gradient in zip(entries, given, strict=True)
    }
    assert not any(np.any(by_name[name]) for name in frozen if name in by_name)
    assert any(name in by_name for name in frozen)
    assert all(np.any(by_name[weight.name]) for weight in model.trainable_weights)


def test_what_a_condition_updates_is_refused_and_nothing_is_frozen(exports):
    model = load_v2.resume(exports("train_loss_scaled"))
    with pytest.raises(LoadError, match="(?s)changed inside .*SignatureLayer"):
        model.freeze(_scope_of(model))
    assert not any(weight.frozen for weight in model.by_name.values())


def test_a_pattern_that_names_nothing_is_a_message(exports):
    model = load_v2.resume(exports("train_adam"))
    with pytest.raises(LoadError, match="no weight and no scope matches 'nowhere'"):
        model.freeze("nowhere")
