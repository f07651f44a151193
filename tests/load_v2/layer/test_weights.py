"""load_v2.weights: one Keras weight for each variable, and everything that is wrong with them said at once."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from load_v2 import LoadError
from load_v2.layer import weights
from load_v2.program import artefact

VALUES = {"a/w": np.float32([[1, 2], [3, 4]]), "b": np.int64(7), "c": np.float32([0.5]), "s": np.array([b"x"], object)}


def _variable(name: str, dtype: str = "float32", shape=(1,), **fields) -> artefact.Variable:
    return artefact.Variable(
        name, (name,), dtype, shape, fields.pop("trainable", True), fields.pop("key", name), **fields
    )


@pytest.fixture
def bundle(tmp_path) -> str:
    prefix = str(tmp_path / "variables")
    names = list(VALUES)
    tf.raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=[""] * 4, tensors=list(VALUES.values()))
    return prefix


ALL = [
    _variable("a/w", shape=(2, 2)),
    _variable("step", "int64", (), key="b", trainable=False),
    _variable("half", shape=(1, 2), key="a/w", part="2 2 1,1:-"),
]


@pytest.mark.parametrize("chunk", [1, 20, 2**29])
def test_weights_have_names_values_and_types(bundle, chunk, monkeypatch):
    monkeypatch.setattr(weights, "_CHUNK_BYTES", chunk)
    made = weights.create(ALL, "layer", (), bundle)
    assert [w.name for w in made] == ["a/w", "step", "half"]
    assert [w.path for w in made] == ["layer/a/w", "layer/step", "layer/half"]
    assert [w.dtype for w in made] == ["float32", "int64", "float32"]
    assert [w.trainable for w in made] == [True, False, True]
    for weight, want in zip(made, (VALUES["a/w"], 7, [[3, 4]]), strict=True):
        np.testing.assert_array_equal(weight, want)


def test_variables_are_read_together_up_to_a_size(bundle, monkeypatch):
    monkeypatch.setattr(weights, "_CHUNK_BYTES", 20)
    assert [[v.name for v in chunk] for chunk in weights._chunks(ALL)] == [["a/w", "step"], ["half"]]


def test_without_values_they_are_zeros_of_their_type():
    made = weights.create([*ALL, _variable("flag", "bool", (2,))], "layer", (), None)
    assert [w.dtype for w in made] == ["float32", "int64", "float32", "bool"]
    assert not any(np.any(w) for w in made)


def test_a_weight_is_never_cast_by_a_policy():
    (made,) = weights.create([_variable("w")], "layer", (), None)
    with keras.src.backend.AutocastScope("float16"):
        assert tf.convert_to_tensor(made).dtype == "float32"


def test_in_a_strategy_what_the_graph_writes_is_read_locally_and_averaged():
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        one, two, three = weights.create(
            [_variable("w"), _variable("moving"), _variable("count", "int64")], "layer", {"moving", "count"}, None
        )
    modes = [(w.value.synchronization, w.value.aggregation, w.trainable) for w in (one, two, three)]
    Read, Merge = tf.VariableSynchronization, tf.VariableAggregation
    assert modes[0][2] and modes[0][0] != Read.ON_READ
    assert modes[1] == (Read.ON_READ, Merge.MEAN, False)
    assert modes[2] == (Read.ON_READ, Merge.ONLY_FIRST_REPLICA, False)
    (alone,) = weights.create([_variable("moving")], "layer", {"moving"}, None)
    assert alone.trainable


def _source(bundle) -> artefact.Artefact:
    return artefact.Artefact("export", artefact.MetaGraphDef(), {}, (), {}, bundle=bundle)


def test_variables_that_are_all_there_pass(bundle):
    assert weights.check(ALL, _source(bundle)) is None
    assert weights.check([], _source(None)) is None


@pytest.mark.parametrize(
    ("variable", "parts"),
    [
        (_variable("gone"), ["'gone' is missing"]),
        (_variable("c", "float64"), ["'c': float64 in the graph, float32 in variables/"]),
        (_variable("c", shape=(2,)), ["'c': [2] in the graph, [1] in variables/"]),
        (_variable("w", key="a/w", shape=(4,)), ["'w': [4] in the graph, [2, 2]"]),
    ],
)
def test_a_variable_that_does_not_fit_is_named_with_both_sides(bundle, variable, parts):
    with pytest.raises(LoadError) as caught:
        weights.check([*ALL, variable], _source(bundle))
    for part in ["1 of 4 variables", "'export'", *parts]:
        assert part in str(caught.value)


def test_all_that_is_wrong_is_told_at_once(bundle):
    wrong = [_variable("z"), _variable("c", "float64"), _variable("y")]
    with pytest.raises(LoadError, match="(?s)3 of 3.*'c'.*'y'.*'z'"):
        weights.check(wrong, _source(bundle))


def test_an_export_without_variables_is_told_what_it_lacks():
    with pytest.raises(LoadError, match="(?s)'export'.*variables/.*'a/w'"):
        weights.check(ALL, _source(None))


def test_values_that_cannot_be_read_are_a_message(bundle):
    with pytest.raises(LoadError, match="cannot be read"):
        weights.create([_variable("gone")], "layer", (), bundle)
