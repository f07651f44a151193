"""Proposals: names as a person reads them, shapes with the steps that fit, each variable and weight once."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from load_v2 import LoadError
from load_v2.porting import Rule, load_checkpoint_weights, near_misses, proposing, reshaping, suggest_rules
from load_v2.porting.likeness import Likeness
from load_v2.porting.types import Entry, Weight
from tests.support import cases, porting_models

v1 = tf.compat.v1


def _checkpoint(tmp_path, shapes: dict) -> tuple[str, dict]:
    """Writes variables with random values as a Saver does; returns the prefix and the values."""
    random = np.random.default_rng(5)
    values = {name: random.normal(size=shape).astype("float32") for name, shape in shapes.items()}
    with tf.Graph().as_default(), v1.Session() as session:
        made = [v1.get_variable(name, initializer=value, use_resource=False) for name, value in values.items()]
        session.run(v1.global_variables_initializer())
        return v1.train.Saver(made).save(session, str(tmp_path / "model.ckpt")), values


# Names of the checkpoint -> name of the layer in a model of another hand.
_INCEPTION = {
    f"InceptionV3/Mixed_{block}/Branch_{branch}/Conv2d_0{place}_{size}x{size}": f"{block}_b{branch}_{place}"
    for block in ("3a", "3b", "4e")
    for branch in (0, 1, 2)
    for place, size in (("a", 3), ("b", 3))
}


def test_blocks_and_branches_of_one_shape_are_told_apart_by_their_names(tmp_path):
    # Every kernel has the same shape: nothing but the names decides.
    shapes = {
        f"{scope}/{leaf}": size for scope in _INCEPTION for leaf, size in (("weights", (3, 3, 4, 4)), ("biases", (4,)))
    }
    prefix, values = _checkpoint(tmp_path, shapes)
    inputs = keras.Input((8, 8, 4))
    names = list(_INCEPTION.values())
    # In an order that says nothing, side by side.
    outputs = [layers.Conv2D(4, 3, name=name)(inputs) for name in names[5:] + names[:5][::-1]]
    model = keras.Model(inputs, outputs)
    rules = tmp_path / "rules.toml"
    rules.write_text(suggest_rules(model, prefix))
    load_checkpoint_weights(model, prefix, rules)
    for scope, name in _INCEPTION.items():
        kernel, bias = model.get_layer(name).get_weights()
        assert np.array_equal(kernel, values[f"{scope}/weights"]) and np.array_equal(bias, values[f"{scope}/biases"])


def test_steps_that_fit_are_proposed_and_load(tmp_path):
    shapes = {
        "net/fc6/weights": (1, 1, 6, 5), "net/fc6/biases": (5,),
        "net/proj/kernel": (7, 5), "net/proj/bias": (7,),
        "net/query/kernel": (7, 12), "net/query/bias": (12,),
    }  # fmt: skip
    prefix, values = _checkpoint(tmp_path, shapes)
    inputs = keras.Input((3, 6))
    hidden = layers.Dense(5, name="fc6")(inputs)
    hidden = layers.Dense(7, name="proj")(hidden)
    model = keras.Model(inputs, layers.EinsumDense("abc,cde->abde", (None, 4, 3), bias_axes="de", name="query")(hidden))
    rules = tmp_path / "rules.toml"
    text = suggest_rules(model, prefix)
    rules.write_text(text)
    assert "squeeze = [0, 1]" in text and "transpose = [1, 0]" in text and "reshape = [7, 4, 3]" in text
    load_checkpoint_weights(model, prefix, rules)
    assert np.array_equal(model.get_layer("fc6").kernel, values["net/fc6/weights"][0, 0])
    assert np.array_equal(model.get_layer("proj").kernel, values["net/proj/kernel"].T)
    assert np.array_equal(model.get_layer("query").kernel, values["net/query/kernel"].reshape(7, 4, 3))


def test_every_variable_and_every_weight_stands_in_the_file_once(tmp_path):
    shapes = {"a/kernel": (4, 4), "b/kernel": (4, 4), "c/other": (9,), "a/kernel/Adam": (4, 4), "global_step": ()}
    prefix, _ = _checkpoint(tmp_path, shapes)
    inputs = keras.Input((4,))
    model = keras.Model(inputs, [layers.Dense(4, use_bias=False, name=name)(inputs) for name in ("x", "y", "z")])
    text = suggest_rules(model, prefix)
    lines = text.splitlines()
    for name in shapes:
        places = [line for line in lines if line.lstrip("# ").startswith((f"key = '{name}'", f"{name}:"))]
        assert len(places) == 1, (name, places)
    for weight in model.weights:
        assert len([line for line in lines if f"weight = '{weight.path}'" in line]) == 1
    assert "3 weights, 5 variables" in lines[0] and "0 are certain, 2 are proposed, 1 have nothing proposed" in lines[1]


def test_what_is_certain_is_what_is_matched_without_rules(tmp_path):
    prefix, _ = _checkpoint(tmp_path, {"one/kernel": (4, 3), "one/bias": (3,), "two/kernel": (3, 2), "two/bias": (2,)})
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(2)])
    text = suggest_rules(model, prefix)
    assert (
        "4 are certain" in text
        and "only one fits" in text
        and "Proposed" not in text
        and "Weights for which" not in text
    )
    rules = tmp_path / "rules.toml"
    rules.write_text(text)
    plain = {one.weight: one.keys for one in load_checkpoint_weights(model, prefix).assignments}
    assert {one.weight: one.keys for one in load_checkpoint_weights(model, prefix, rules).assignments} == plain


def test_a_model_that_is_the_beginning_of_another_gets_its_first_layers(tmp_path):
    shapes = {
        f"dense{f'_{at}' if at else ''}/{leaf}": size
        for at in range(12)
        for leaf, size in (("kernel", (4, 4)), ("bias", (4,)))
    }
    prefix, values = _checkpoint(tmp_path, shapes)
    model = keras.Sequential([keras.Input((4,)), *[layers.Dense(4) for _ in range(3)]])
    rules = tmp_path / "rules.toml"
    rules.write_text(suggest_rules(model, prefix))
    load_checkpoint_weights(model, prefix, rules)
    for at, name in enumerate(("dense", "dense_1", "dense_2")):
        assert np.array_equal(model.layers[at].kernel, values[f"{name}/kernel"])


def test_cells_of_two_directions_are_told_apart():
    model = porting_models.lstm_cells()
    text = suggest_rules(model, cases.FOLDER / "port_lstm_cells" / "model.ckpt-3")
    rules = [rule.splitlines()[:3] for rule in text.split("[[rule]]\n")[1:]]
    pairs = {
        (key.split("'")[1], weight.split("'")[1].rpartition("/")[0].rpartition("/")[2]) for key, weight, _ in rules
    }
    assert ("bidirectional_rnn/fw/basic_lstm_cell", "forward_lstm") in pairs
    assert ("bidirectional_rnn/bw/basic_lstm_cell", "backward_lstm") in pairs


def test_names_that_toml_and_patterns_read_otherwise_are_written_so_that_they_mean_themselves(tmp_path):
    entry = Entry("a.b+c/it's/kernel", (2, 3), "float32")
    import tomllib

    from load_v2.porting import starter

    table = tomllib.loads("\n".join(starter._rule(entry.key, "d/kernel", (), "")))["rule"][0]
    rule = Rule(**table)
    import re

    assert re.fullmatch(rule.key[0], entry.key) and not re.fullmatch(rule.key[0], "aXb+c/it's/kernel")


@pytest.mark.parametrize(
    ("source", "target", "other"),
    [
        ("Mixed_3a/Branch_1", "3a_b1", "3b_b1"),
        ("Mixed_3a/Branch_1", "3a_b1", "3a_b2"),
        ("layer_11/attention/self/query", "encoder_11_self_query", "encoder_1_self_query"),
        ("layer_11/attention/self/query", "encoder_11_self_query", "encoder_11_self_key"),
        ("block2/BatchNorm", "block2_bn", "block2_conv"),
        ("conv2_3/1x1_increase", "conv2_3_1x1_increase", "conv2_3_1x1_reduce"),
        ("depthwise_5", "dw5", "pw5"),
        ("resnet/block1/unit_2/conv3", "b1_u2_conv3", "b1_u3_conv2"),
    ],
)
def test_the_name_that_a_person_would_choose_is_the_most_alike(source, target, other):
    likeness = Likeness([source], [target, other])
    assert likeness.of(source, target) > likeness.of(source, other)


@pytest.mark.parametrize(
    ("shape", "wanted", "steps"),
    [
        ((3, 4), (3, 4), ()),
        ((1, 1, 3, 4), (3, 4), ("{ squeeze = [0, 1] }",)),
        ((4, 3), (3, 4), ("{ transpose = [1, 0] }",)),
        ((8, 3, 5, 5), (5, 5, 3, 8), ("{ transpose = [2, 3, 1, 0] }",)),
        ((12, 6), (12, 2, 3), ("{ reshape = [12, 2, 3] }",)),
        ((3, 4), (3, 5), None),
    ],
)
def test_the_fewest_steps_that_fit(shape, wanted, steps):
    way = reshaping.way(Entry("a", shape, "float32"), Weight("b", wanted, "float32"))
    assert (way and way.steps) == steps


def test_a_type_that_would_lose_digits_gets_its_cast():
    way = reshaping.way(Entry("a", (2,), "float64"), Weight("b", (2,), "float32"))
    assert way.steps == ('{ cast = "float32" }',)


def test_roles_are_not_crossed():
    entries = [Entry("a/gamma", (4,), "float32"), Entry("a/beta", (4,), "float32")]
    weights = [Weight("b/beta", (4,), "float32"), Weight("b/gamma", (4,), "float32")]
    assert {(one.key, one.weight) for one in proposing.propose(entries, weights)} == {
        ("a/beta", "b/beta"), ("a/gamma", "b/gamma"),
    }  # fmt: skip
    assert proposing.propose(entries[:1], weights[:1]) == [], "gamma is no beta, though nothing else is left"


def test_words_with_two_numbers_have_nothing_in_common():
    likeness = Likeness(["conv_1"], ["conv_2", "conv"])
    assert likeness.of("conv_1", "conv_2") == 0 < likeness.of("conv_1", "conv")


_ENTRIES = {
    key: Entry(key, (2, 2), "float32")
    for key in ("model/conv1/weights", "model/conv1/biases", "model/rnn/cell/kernel", "model/rnn/cell/bias")
}


@pytest.mark.parametrize(
    ("rule", "used", "words"),
    [
        (Rule("conv1/weights", "a"), (), "it matches only a part of 'model/conv1/weights'; key matches whole names"),
        (Rule("model/Conv1/weights", "a"), (), "upper and lower case differ from 'model/conv1/weights'"),
        (Rule("model/conv1/wieghts", "a"), (), "closest: 'model/conv1/weights'"),
        (Rule("model/conv1/weights:0", "a"), (), "is a tensor name; the variable is 'model/conv1/weights'"),
        (
            Rule("model/conv1/.*", "a"),
            _ENTRIES,
            "an earlier rule has taken 'model/conv1/biases', 'model/conv1/weights'",
        ),
        (
            Rule("model/rnn", "a", preset="lstm"),
            (),
            "scope 'model/rnn' has not the variables that preset 'lstm' needs: below it are 'cell'",
        ),
        (Rule("model/rnn/cell/kernel", "a", preset="lstm"), (), "key is a scope: 'model/rnn/cell' instead of"),
        (Rule("zzz", "a"), (), "nothing is like it"),
    ],
)
def test_a_rule_that_matched_nothing_says_what_it_nearly_matched(rule, used, words):
    assert words in near_misses.of(rule, _ENTRIES, used)


def test_the_near_miss_is_in_the_message(tmp_path):
    prefix, _ = _checkpoint(tmp_path, {"net/one/kernel": (4, 3), "net/one/bias": (3,)})
    model = keras.Sequential([keras.Input((5,)), layers.Dense(3)])
    with pytest.raises(
        LoadError, match=r"Matched nothing: rule 1 \(one/kernel\): it matches only a part of 'net/one/kernel'"
    ):
        load_checkpoint_weights(model, prefix, [Rule("one/kernel", "kernel")])
