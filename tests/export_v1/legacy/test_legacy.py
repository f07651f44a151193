"""legacy: what old code calls, against what TensorFlow 1's functions of that name computed, written out in numpy."""

import importlib
import itertools
import types

import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as v1

from export_v1.legacy import app_flags as legacy_flags
from export_v1.legacy import crf, hparams, missing, modules, running, sequences


def _run(*fetches):
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        return session.run(fetches)


@pytest.fixture(autouse=True)
def _graph():
    with tf.Graph().as_default():
        yield


# Conditional random fields.


def test_the_score_of_tags_is_what_each_has_by_itself_and_by_the_one_before():
    rng = np.random.default_rng(0)
    scores, moves = rng.normal(size=[2, 4, 3]).astype("f"), rng.normal(size=[3, 3]).astype("f")
    tags, lengths = np.array([[2, 0, 1, 1], [1, 2, 0, 0]]), [4, 2]
    score = crf.crf_sequence_score(tf.constant(scores), tf.constant(tags), tf.constant(lengths), tf.constant(moves))
    likelihood, transitions = crf.crf_log_likelihood(
        tf.constant(scores), tf.constant(tags), tf.constant(lengths), tf.constant(moves)
    )
    got, log = _run(score, likelihood)
    for row, length in enumerate(lengths):

        def path(steps, row=row):
            alone = sum(scores[row, at, tag] for at, tag in enumerate(steps))
            return alone + sum(moves[a, b] for a, b in itertools.pairwise(steps))

        total = np.log(sum(np.exp(path(one)) for one in itertools.product(range(3), repeat=length)))
        np.testing.assert_allclose(got[row], path(tags[row, :length]), rtol=1e-5)
        np.testing.assert_allclose(log[row], path(tags[row, :length]) - total, rtol=1e-4)


def test_transitions_are_a_variable_where_none_are_given():
    _, transitions = crf.crf_log_likelihood(tf.zeros([1, 2, 3]), tf.zeros([1, 2], tf.int32), tf.constant([2]))
    assert [(one.op.name, one.shape.as_list()) for one in v1.global_variables()] == [("transitions", [3, 3])]


def test_the_best_path_of_one_sequence_has_its_score():
    score, moves = np.array([[9.0, 0], [0, 0], [0, 5]]), np.array([[0.0, 1], [2, 3]])
    assert crf.viterbi_decode(score, moves) == ([0, 1, 1], 18.0)


# Losses and recurrent networks.

LOGITS = np.random.default_rng(1).normal(size=[3, 2, 5]).astype("f")  # time, batch, classes
TARGETS, WEIGHTS = np.array([[0, 1], [2, 3], [4, 0]]), np.float32([[1, 0.5], [1, 0], [0, 0.25]])


def _entropies() -> np.ndarray:
    log = LOGITS - np.log(np.exp(LOGITS).sum(-1, keepdims=True))
    return -np.take_along_axis(log, TARGETS[..., None], -1)[..., 0] * WEIGHTS


@pytest.mark.parametrize("over_time", [True, False])
@pytest.mark.parametrize("over_batch", [True, False])
def test_losses_over_lists(over_time, over_batch):
    lists = [[tf.constant(one) for one in part] for part in (LOGITS, TARGETS, WEIGHTS)]
    by_example = sequences.sequence_loss_by_example(*lists, average_across_timesteps=over_time)
    whole = sequences.legacy_sequence_loss(*lists, over_time, over_batch)
    got, total = _run(by_example, whole)
    expected = _entropies().sum(0) / (WEIGHTS.sum(0) if over_time else 1)
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    np.testing.assert_allclose(total, expected.sum() / (2 if over_batch else 1), rtol=1e-5)


@pytest.mark.parametrize(
    ("over_time", "over_batch", "expected"),
    [
        (True, True, lambda e, w: e.sum() / w.sum()),
        (True, False, lambda e, w: e.sum(1) / w.sum(1)),
        (False, True, lambda e, w: e.sum(0) / (w.sum(0) + 1e-12)),
        (False, False, lambda e, w: e),
    ],
)
def test_losses_over_tensors(over_time, over_batch, expected):
    by_batch = [tf.constant(np.swapaxes(one, 0, 1)) for one in (LOGITS, TARGETS, WEIGHTS)]
    [got] = _run(sequences.sequence_loss(*by_batch, over_time, over_batch))
    np.testing.assert_allclose(got, expected(_entropies().T, WEIGHTS.T), rtol=1e-5)


def test_a_loss_of_ones_own_is_called_by_its_argument_names():
    def loss(labels, logits):
        return tf.cast(labels, tf.float32) + 0 * logits[:, 0]

    args = [[tf.constant(one) for one in part] for part in (LOGITS, TARGETS, np.ones([3, 2], "f"))]
    [got] = _run(sequences.sequence_loss_by_example(*args, softmax_loss_function=loss))
    np.testing.assert_allclose(got, TARGETS.mean(0), rtol=1e-5)


def test_a_decoder_feeds_itself_after_its_first_input():
    def cell(given, state):
        w = v1.get_variable("w", [], initializer=v1.ones_initializer())
        return given * 10 * w + state, state + 1

    inputs = [tf.constant(float(at)) for at in (1, 2, 3)]
    outputs, state = sequences.rnn_decoder(inputs, tf.constant(0.0), cell)
    looped, _ = sequences.rnn_decoder(inputs, tf.constant(0.0), cell, lambda out, step: out + step, scope="other")
    assert _run(outputs, state) == ([10, 21, 32], 3)
    assert _run(looped)[0] == [10, (10 + 1) * 10 + 1, ((10 + 1) * 10 + 1 + 2) * 10 + 2]
    assert [one.op.name for one in v1.global_variables()] == ["rnn_decoder/w", "other/w"]


def test_an_embedding_is_a_variable_of_its_own():
    got = sequences.embed_sequence(tf.constant([[0, 2]]), 5, 3)
    [table] = v1.global_variables()
    assert (table.op.name, table.shape.as_list()) == ("EmbedSequence/embeddings", [5, 3])
    values, rows = _run(table, got)
    np.testing.assert_array_equal(rows, values[[[0, 2]]])
    sequences.embed_sequence(tf.constant([[0]]), 5, 3, scope="EmbedSequence", reuse=True)
    assert len(v1.global_variables()) == 1
    sequences.embed_sequence(tf.constant([[0]]), 5, 3, scope="fixed", trainable=False)
    assert [one.op.name for one in v1.trainable_variables()] == ["EmbedSequence/embeddings"]


def test_layers_of_both_directions_stand_on_top_of_each_other():
    with running.old_api([], "") as old:
        x = old.placeholder(tf.float32, [2, 4, 3])
        cells = [[old.nn.rnn_cell.GRUCell(5) for _ in range(2)] for _ in range(2)]
        output, states, back = old.contrib.rnn.stack_bidirectional_dynamic_rnn(*cells, x, dtype=tf.float32)
    assert output.shape.as_list() == [2, 4, 10] and len(states) == len(back) == 2
    names = {one.op.name.split("/gru_cell")[0] for one in v1.global_variables()}
    assert names == {
        f"stack_bidirectional_rnn/cell_{at}/bidirectional_rnn/{way}" for at in (0, 1) for way in ("fw", "bw")
    }


# Flags, settings, modules.


def test_flags_have_their_defaults_and_are_nobody_elses():
    import absl.flags

    values = legacy_flags.Flags()
    module = legacy_flags.module("tensorflow.flags", values)
    for _ in range(2):
        module.DEFINE_integer("legacy_test_size", 3, "help")
    module.DEFINE_string(flag_name="legacy_test_word", default_value="a", docstring="help", required=True)
    module.mark_flag_as_required("legacy_test_word")
    module.validator("legacy_test_size")(lambda value: False)
    assert (module.FLAGS.legacy_test_size, module.FLAGS.legacy_test_word) == (3, "a")
    assert values(["program", "--legacy_test_size=5"]) == ["program"] and values.legacy_test_size == 3
    assert "legacy_test_size" not in absl.flags.FLAGS and module.FlagValues is absl.flags.FlagValues


def test_settings_are_read_as_the_type_they_have():
    made = hparams.HParams(size=3, rate=0.5, deep=True, name="a", nothing=None)
    assert made.parse("size=7, deep=TRUE,nothing=x") is made
    assert made.values() == {"size": 7, "rate": 0.5, "deep": True, "name": "a", "nothing": "x"}
    made.parse("deep=no")
    assert made.deep is False and made.parse_json('{"rate": 2.5}').rate == 2.5
    made.del_hparam("size")
    assert "size" not in made and made.get("size") is None
    made.rate = 1
    assert made.values()["rate"] == 1
    for change in (
        lambda: made.add_hparam("rate", 1),
        lambda: made.set_hparam("gone", 1),
        lambda: made.parse("gone=1"),
    ):
        with pytest.raises((ValueError, KeyError), match="rate|gone"):
            change()


def test_a_module_has_its_own_names_first_and_says_what_is_missing():
    first, second = (
        modules.Forwarding("first", own={"a": 1, "b": 2}),
        modules.Forwarding("second", own={"b": 3, "c": 4}),
    )
    made = modules.Forwarding("tensorflow.part", first, second, own={"a": 0})
    assert (
        (made.a, made.b, made.c) == (0, 2, 4)
        and {"a", "b", "c"} <= set(dir(made))
        and set(made.__all__) >= {"a", "b", "c"}
    )
    with pytest.raises(missing.MissingError, match="tf.part.gone") as caught:
        _ = made.gone
    assert caught.value.name == "tf.part.gone" and missing.LAST == [caught.value]
    with pytest.raises(AttributeError, match="__gone__"):
        _ = made.__gone__


def test_a_lazy_module_lets_import_what_nobody_provides_but_not_use_it():
    made = modules.Forwarding("tensorflow.contrib.tpu", lazy=True).Thing
    for use in (made, lambda: made.inner, lambda: types.new_class("Mine", (made,))):
        with pytest.raises(missing.MissingError, match=r"tf\.contrib\.tpu\.Thing") as caught:
            use()
        assert "TPUEstimator" in caught.value.remedy and "--checkpoint=PREFIX" in caught.value.remedy


def test_the_stand_in_is_tensorflow_1s_and_its_switches_do_nothing():
    with running.old_api([], "") as old:
        assert old.__version__.startswith("1.") and old.placeholder is v1.placeholder
        for switch in ("enable_eager_execution", "reset_default_graph", "disable_v2_behavior"):
            getattr(old, switch)()
        assert not tf.executing_eagerly() and old.compat.v1 is old
        assert (old.estimator.ModeKeys.PREDICT, old.contrib.learn.ModeKeys.INFER) == ("infer", "infer")
        spec = old.estimator.EstimatorSpec("infer", {"y": 1})
        assert (spec.predictions, spec.loss) == ({"y": 1}, None)
        assert old.app.run(lambda: 1 / 0) is None and old.logging.set_verbosity(10) is None
        assert old.contrib.layers.xavier_initializer and old.contrib.framework.nest.flatten([[1], 2]) == [1, 2]
        assert old.contrib.rnn.core_rnn_cell.LSTMCell is old.nn.rnn_cell.LSTMCell
        assert isinstance(old.TensorShape([1])[0], v1.Dimension)
    assert tf.TensorShape([1])[0] == 1 and not isinstance(tf.TensorShape([1])[0], v1.Dimension)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("tensorflow.contrib.slim.python.slim.nets.vgg", "vgg_16"),
        ("tensorflow.contrib.rnn.python.ops.core_rnn_cell", "GRUCell"),
        ("tensorflow.contrib.layers.python.layers.initializers", "xavier_initializer"),
        ("tensorflow.contrib.training", "HParams"),
        ("tensorflow.python.framework.ops", "Graph"),
    ],
)
def test_paths_of_that_time_lead_to_their_modules(spec, name):
    with running.old_api([], ""):
        assert hasattr(importlib.import_module(spec), name)
