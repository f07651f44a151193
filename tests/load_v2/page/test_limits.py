"""What cannot be done is named with its reason, and what can be done is not."""

import pytest

from load_v2.page import limits
from load_v2.program import artefact
from tests.support import savedmodels


def _whats(path, not_finite=()) -> str:
    return "\n".join(
        f"{limit.what}: {limit.why}. {limit.remedy}" for limit in limits.of(artefact.read(path), list(not_finite))
    )


def test_a_plain_export_says_what_training_lacks_and_that_it_compiles(exported):
    found = _whats(exported("mlp_layers"))
    assert "there is no signature 'train'" in found and "exported without --resume" in found
    assert "XLA" not in found and "strings" not in found


def test_strings_and_tables_are_named(exported):
    found = _whats(exported("lookup_vocab"))
    assert "Compile it with XLA" in found and "strings, which only TensorFlow has" in found


def test_weights_that_are_not_finite_are_named(exported):
    assert "Train every weight: these hold NaN or infinity: 'dense/kernel'" in _whats(
        exported("mlp_layers"), ["dense/kernel"]
    )


def test_a_saved_model_of_somebody_else_proves_nothing(tmp_path):
    found = _whats(savedmodels.with_train(tmp_path / "1"))
    assert "no answers were recorded" in found and "there is no signature 'train'" not in found


def test_an_export_without_a_sample_is_not_proven(exported):
    assert "Call it proven: --no_sample" in _whats(exported("mlp_layers", no_sample=True))


@pytest.mark.parametrize("name", ["stateful_counter", "queue_pipeline", "odd_no_inputs", "hub_module_tags"])
def test_every_kind_of_export_has_its_limits_told(exported, name):
    assert _whats(exported(name))
