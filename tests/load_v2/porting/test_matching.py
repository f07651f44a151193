"""Matching by itself: what is matched is right, and what cannot be known is left open."""

import random

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from load_v2.porting import matching, planning, source_graph, target
from load_v2.porting.flow import Flow
from load_v2.porting.rules import Rule, RuleSet
from load_v2.porting.types import Entry, Weight
from tests.support import cases, porting_models


def entries(**shapes):
    return [Entry(key.replace("__", "/"), tuple(shape), "float32") for key, shape in shapes.items()]


def layer(path, given=None, **shapes):
    return [Weight(f"{path}/{role}", tuple(shape), "float32", "", given or path) for role, shape in shapes.items()]


def pairs(found):
    return {pair.key: pair.weight for pair in found.pairs}


def dense(scope, size=4):
    return {f"{scope}__kernel": (size, size), f"{scope}__bias": (size,)}


def chain(*layers):
    """Returns the flow of layers that compute one from another, in this order."""
    operations = {weight.path: frozenset([number]) for number, found in enumerate(layers) for weight in found}
    return Flow(operations, {number + 1: frozenset([number]) for number in range(len(layers) - 1)})


def test_roles_in_every_dialect():
    found = matching.match(
        entries(
            a__weights=(3, 4), a__biases=(4,), b__w=(4, 2), b__b=(2,), table=(9, 3), c__depthwise_weights=(3, 3, 2, 1)
        ),
        [
            *layer("one", kernel=(3, 4), bias=(4,)),
            *layer("two", kernel=(4, 2), bias=(2,)),
            *layer("emb", embeddings=(9, 3)),
            Weight("dw/kernel", (3, 3, 2, 1), "float32", "DepthwiseConv2D", "dw"),
        ],
    )
    assert pairs(found) == {
        "a/weights": "one/kernel",
        "a/biases": "one/bias",
        "b/w": "two/kernel",
        "b/b": "two/bias",
        "table": "emb/embeddings",
        "c/depthwise_weights": "dw/kernel",
    }


def test_variables_without_names_are_matched_by_shape():
    # tf.Variable(…) in code of 2016: Variable, Variable_1, Variable_2, Variable_3.
    found = matching.match(
        entries(Variable=(8, 5), Variable_1=(5,), Variable_2=(5, 3), Variable_3=(3,)),
        layer("dense", kernel=(8, 5), bias=(5,)) + layer("dense_1", kernel=(5, 3), bias=(3,)),
    )
    assert pairs(found) == {
        "Variable": "dense/kernel",
        "Variable_1": "dense/bias",
        "Variable_2": "dense_1/kernel",
        "Variable_3": "dense_1/bias",
    }


def test_a_convolution_of_one_position_is_a_dense_layer():
    found = matching.match(
        entries(logits__weights=(1, 1, 8, 3), logits__biases=(3,), line__weights=(1, 4, 2), fc__weights=(5, 6)),
        layer("head", kernel=(8, 3), bias=(3,)) + layer("proj", kernel=(4, 2)) + layer("conv", kernel=(1, 1, 5, 6)),
    )
    assert pairs(found) == {
        "logits/weights": "head/kernel",
        "logits/biases": "head/bias",
        "line/weights": "proj/kernel",
        "fc/weights": "conv/kernel",
    }
    # One of more positions is none, however many weights it has.
    assert not matching.match(entries(fc6__weights=(2, 2, 4, 3)), layer("fc1", kernel=(16, 3))).pairs
    assert not matching.match(entries(fc6__weights=(2, 2, 4, 3)), layer("fc1", kernel=(4, 3))).pairs


def test_layers_beside_each_other_are_told_apart_by_where_they_are_concatenated():
    def branches(order):
        flow = {"join": tuple(order), 3: ("join",), 0: ("x",), 1: ("x",), 2: ("x",)}
        return lambda names: Flow(dict(zip(names, map(frozenset, ([0], [1], [2], [3])), strict=True)), flow, {"join"})

    source = entries(a__kernel=(4, 4), b__kernel=(4, 4), c__kernel=(4, 4), end__kernel=(12, 2))
    weights = layer("p", given="dense", kernel=(4, 4)) + layer("q", given="dense", kernel=(4, 4))
    weights += layer("r", given="dense", kernel=(4, 4)) + layer("head", kernel=(12, 2))
    one, other = branches([2, 0, 1]), branches([0, 1, 2])
    found = matching.match(source, weights, one([e.key for e in source]), other([w.path for w in weights]))
    assert pairs(found) == {
        "c/kernel": "p/kernel",
        "a/kernel": "q/kernel",
        "b/kernel": "r/kernel",
        "end/kernel": "head/kernel",
    }
    # Without a concatenation, which is to be added and has no order, nothing tells them apart.
    found = matching.match(
        source, weights, one([e.key for e in source]), Flow(other([w.path for w in weights]).operations, {})
    )
    assert set(pairs(found)) == {"end/kernel"}


def test_joins_of_joins_are_one_join_and_sums_have_no_order():
    operations = {name: frozenset([name]) for name in "abcd"}
    feeds = {"in": ("a", "b"), "out": ("in", "c"), "relu": ("out",), "d": ("relu",)}
    assert Flow(operations, feeds, frozenset({"in", "out"})).places("d") == {(0, "a"), (1, "b"), (2, "c")}
    assert Flow(operations, feeds, frozenset({"out"})).places("d") == {(0, "a"), (0, "b"), (1, "c")}
    assert Flow(operations, feeds).places("d") == {(0, "a"), (0, "b"), (0, "c")}
    # What the model is given has its place, too; what goes beside without variables (a mask) takes none.
    given = {"join": ("x", "a", "b"), "mul": ("join", "noise"), "d": ("mul",)}
    assert Flow(operations, given, frozenset({"join"})).places("d") == {(1, "a"), (2, "b")}
    # A loop ends.
    loop = {"d": ("merge",), "merge": ("a", "next"), "next": ("merge", "d")}
    assert Flow(operations, loop, frozenset({"merge"})).places("d") == {(0, "a")}


def test_equal_shapes_need_names():
    layers = layer("key", kernel=(4, 4), bias=(4,)) + layer("query", kernel=(4, 4), bias=(4,))
    found = matching.match(entries(**dense("net__query"), **dense("net__key")), layers)
    assert pairs(found)["net/query/kernel"] == "query/kernel"
    assert {pair.how for pair in found.pairs} == {"same name"}


def test_numbers_made_up_by_keras_are_no_names():
    # dense_1 of the checkpoint is the second layer; the model's dense_1 is its first.
    first, second = (layer(f"dense_{n}", given="dense", kernel=(4, 4), bias=(4,)) for n in (1, 2))
    source = entries(**dense("dense"), **dense("dense_1"))
    assert not pairs(matching.match(source, first + second)), "without a graph, there is no order"
    found = pairs(matching.match(source, first + second, None, chain(first, second)))
    assert found["dense/kernel"] == "dense_1/kernel"
    assert found["dense_1/kernel"] == "dense_2/kernel"
    found = pairs(matching.match(source, first + second, None, chain(second, first)))
    assert found["dense/kernel"] == "dense_2/kernel", "computation counts, not the order in the list"


def test_names_against_order_are_no_match():
    first, second = (layer(name, kernel=(4, 4), bias=(4,)) for name in ("conv_2", "conv_1"))
    found = matching.match(entries(**dense("conv_1"), **dense("conv_2")), first + second, None, chain(first, second))
    assert not found.pairs
    assert [ambiguity.layer for ambiguity in found.ambiguous] == ["conv_2", "conv_1"]


def test_order_has_to_agree_with_what_shapes_say():
    # dense_2 is known by its shape, and lies first in the model: this model is in another order than the checkpoint.
    first = layer("dense_7", given="dense", kernel=(9, 4), bias=(4,))
    rest = [layer(f"dense_{n}", given="dense", kernel=(4, 4), bias=(4,)) for n in (8, 9)]
    source = entries(**dense("dense"), **dense("dense_1"), dense_2__kernel=(9, 4), dense_2__bias=(4,))
    found = matching.match(source, [*first, *rest[0], *rest[1]], None, chain(first, *rest))
    assert set(pairs(found)) == {"dense_2/kernel", "dense_2/bias"}
    assert len(found.ambiguous) == 2


def test_natural_order_of_numbers():
    names = ["dense"] + [f"dense_{n}" for n in range(1, 12)]
    layers = [layer(f"d{n}", given="d", kernel=(4, 4), bias=(4,)) for n in range(12)]
    source = [entry for name in sorted(names) for entry in entries(**dense(name))]
    found = pairs(matching.match(source, sum(layers, []), None, chain(*layers)))
    assert found["dense_2/kernel"] == "d2/kernel"
    assert found["dense_10/kernel"] == "d10/kernel"


def test_normalization_inside_a_scope_follows_its_layer():
    norm = {"beta": (8,), "moving_mean": (8,)}
    layers = [
        layer("c1", given="c", kernel=(3, 8)),
        layer("n1", given="n", **norm),
        layer("c2", given="c", kernel=(8, 8)),
        layer("n2", given="n", **norm),
    ]
    source = entries(
        in__weights=(3, 8), in__BatchNorm__beta=(8,), in__BatchNorm__moving_mean=(8,),
        out__weights=(8, 8), out__BatchNorm__beta=(8,), out__BatchNorm__moving_mean=(8,),
    )  # fmt: skip
    found = matching.match(source, sum(reversed(layers), []), None, chain(*layers))
    assert pairs(found)["in/BatchNorm/beta"] == "n1/beta"
    assert pairs(found)["out/BatchNorm/beta"] == "n2/beta"


def test_a_layer_of_another_kind_gives_no_single_variable():
    # The TF1 LSTM's bias has the Keras LSTM's shape, but not its order of gates.
    found = matching.match(
        entries(cell__kernel=(14, 32), cell__bias=(32,)),
        layer("lstm", kernel=(6, 32), recurrent_kernel=(8, 32), bias=(32,)),
    )
    assert not found.pairs


def test_what_a_normalization_lacks_is_all_that_is_missing():
    plan = planning.make(
        {entry.key: entry for entry in entries(bn__beta=(8,), bn__moving_mean=(8,), bn__moving_variance=(8,))},
        layer("norm", gamma=(8,), beta=(8,), moving_mean=(8,), moving_variance=(8,)),
    )
    assert plan.missing == ["norm/gamma"]
    assert not plan.left_over


@st.composite
def networks(draw):
    """Draws a graph of layers of few shapes, its TF1 scopes in order of creation, and a model made in another order."""
    count = draw(st.integers(2, 9))
    shapes = [draw(st.sampled_from([(2, 2), (2, 3)])) for _ in range(count)]
    feeds = {n: tuple(draw(st.sets(st.integers(0, n - 1), min_size=1, max_size=2))) for n in range(1, count)}
    joins = set()
    for n, sources in list(feeds.items()):
        if len(sources) > 1 and draw(st.booleans()):
            joins.add(f"join {n}")
            feeds[f"join {n}"], feeds[n] = tuple(draw(st.permutations(sources))), (f"join {n}",)
    return (
        shapes,
        feeds,
        frozenset(joins),
        draw(st.permutations(range(count))),
        draw(st.booleans()),
        draw(st.booleans()),
    )


@given(networks())
@settings(max_examples=400, deadline=None)
def test_no_match_is_ever_wrong(network):
    shapes, feeds, joins, order, with_source, with_target = network
    scopes = ["dense" + (f"_{n}" if n else "") for n in range(len(shapes))]
    source = entries(**{f"{scope}__kernel": shape for scope, shape in zip(scopes, shapes, strict=True)})
    weights = [layer(f"made_{n}", given="made", kernel=shapes[n])[0] for n in order]
    source_flow = Flow({f"{scope}/kernel": frozenset([n]) for n, scope in enumerate(scopes)}, feeds, joins)
    target_flow = Flow({f"made_{n}/kernel": frozenset([n]) for n in order}, feeds, joins)
    found = matching.match(source, weights, source_flow if with_source else None, target_flow if with_target else None)
    right = {f"{scope}/kernel": f"made_{n}/kernel" for n, scope in enumerate(scopes)}
    assert pairs(found).items() <= right.items()
    assert {pair.weight for pair in found.pairs} | {a.layer for a in found.ambiguous} == {w.path for w in weights}


def test_the_property_can_fail():
    # Twins side by side: taking them in turn would be a guess, and half of the time the test above would see it.
    weights = [layer(f"made_{n}", given="made", kernel=(2, 2))[0] for n in (1, 0)]
    source = entries(dense__kernel=(2, 2), dense_1__kernel=(2, 2))
    flow = Flow(
        {"made_0/kernel": frozenset([0]), "made_1/kernel": frozenset([1])}, {0: frozenset(["x"]), 1: frozenset(["x"])}
    )
    assert not matching.match(source, weights, None, flow).pairs


@pytest.mark.parametrize("case", ["slim_contrib_net", "convnet_bn_dropout", "port_same_shapes", "lstm_dynamic_rnn"])
def test_graph_of_a_training_checkpoint_shows_the_forward_computation(case):
    from load_v2.porting import bookkeeping
    from load_v2.porting.entries import Checkpoint

    checkpoint = Checkpoint(cases.FOLDER / case)
    found = source_graph.flow(checkpoint.prefix, checkpoint.entries)
    names = [key for key in checkpoint.entries if key not in bookkeeping.reasons(checkpoint.entries)]
    assert found.knows(names)
    used = {operation for name in names for operation in found.operations[name]}
    assert not [
        operation for operation in used if "gradients" in operation or "Adam" in operation or "save" in operation
    ]


def test_a_graph_tells_layers_apart_whose_names_are_of_no_use():
    from load_v2.porting.entries import Checkpoint

    checkpoint = Checkpoint(cases.FOLDER / "slim_contrib_net")
    model = porting_models.slim_net()
    flow = source_graph.flow(checkpoint.prefix, checkpoint.entries)
    weights = target.weights(model)
    random.Random(3).shuffle(weights)
    plan = planning.make(checkpoint.entries, weights, source_flow=flow, target_flow=target.flow(model))
    norms = [found for found in plan.assignments if found.weight.endswith("moving_mean")]
    assert {found.how for found in norms} == {"same place in both graphs"}
    assert not plan.missing and not plan.left_over


def test_the_rules_for_released_bert_checkpoints_at_full_size():
    # The names and shapes of a released base model (12 layers of 768), with its heads: no tensor is needed for a plan.
    hidden, heads = 768, 12
    source = {
        "bert/embeddings/word_embeddings": (30522, hidden),
        "bert/embeddings/token_type_embeddings": (2, hidden),
        "bert/embeddings/position_embeddings": (512, hidden),
        "bert/pooler/dense/kernel": (hidden, hidden),
        "bert/pooler/dense/bias": (hidden,),
        "cls/predictions/output_bias": (30522,),
        "cls/predictions/transform/dense/kernel": (hidden, hidden),
        "cls/predictions/transform/dense/bias": (hidden,),
        "cls/seq_relationship/output_weights": (2, hidden),
        "cls/seq_relationship/output_bias": (2,),
    }
    norms = ["bert/embeddings", "cls/predictions/transform"]
    for number in range(12):
        scope = f"bert/encoder/layer_{number}"
        norms += [f"{scope}/attention/output", f"{scope}/output"]
        sizes = {f"attention/self/{name}": (hidden, hidden) for name in ("query", "key", "value")}
        sizes |= {"attention/output/dense": (hidden, hidden)}
        sizes |= {"intermediate/dense": (hidden, 4 * hidden), "output/dense": (4 * hidden, hidden)}
        for name, size in sizes.items():
            source |= {f"{scope}/{name}/kernel": size, f"{scope}/{name}/bias": size[1:]}
    source |= {f"{scope}/LayerNorm/{role}": (hidden,) for scope in norms for role in ("gamma", "beta")}
    assert len(source) == 199 + 7  # 199 of the encoder, and the heads

    from load_v2.porting import rules

    model = porting_models.bert(5, 4, 24, heads, 12, 96, segments=2)
    sizes = {5: 30522, 4: 512, 24: hidden, 96: 4 * hidden}
    weights = [
        Weight(
            w.path,
            tuple(_grown(side, at, w, sizes) for at, side in enumerate(w.shape)),
            w.dtype,
            w.layer_class,
            w.given,
        )
        for w in target.weights(model)
    ]
    plan = planning.make(
        {key: Entry(key, shape, "float32") for key, shape in source.items()},
        weights,
        rules.load(cases.FOLDER / "port_rules" / "bert.toml"),
    )
    assert not plan.missing and not plan.left_over and not plan.misfits
    assert len(plan.assignments) == 199
    assert sorted(plan.skipped) == sorted(key for key in source if key.startswith("cls/"))


def _grown(side, axis, weight, sizes):
    """Returns a side of the small model's weight at full size; 2 is the size of a head, or the kinds of tokens."""
    if side == 2:
        return 2 if "token_type" in weight.path else 64
    return sizes.get(side, side)


def test_rules_come_before_matching():
    first, second = (layer(f"d{n}", given="d", kernel=(4, 4), bias=(4,)) for n in range(2))
    source = {entry.key: entry for entry in entries(**dense("a"), **dense("b"))}
    plan = planning.make(source, first + second, RuleSet((Rule("b", "d0", preset="layer"),)))
    assert {found.weight: (found.keys[0], found.how) for found in plan.assignments} == {
        "d0/kernel": ("b/kernel", "rule 1, preset layer"),
        "d0/bias": ("b/bias", "rule 1, preset layer"),
        "d1/kernel": ("a/kernel", "only one fits"),
        "d1/bias": ("a/bias", "only one fits"),
    }


def test_a_concatenation_that_is_called_twice_tells_no_order():
    inputs = keras.Input((4,))
    join = keras.layers.Concatenate()
    first, second = (keras.layers.Dense(4, use_bias=False)(inputs) for _ in range(2))
    once = keras.Model(inputs, keras.layers.Dense(2)(join([first, second])))
    assert target.flow(once).joins
    twice = keras.Model(inputs, keras.layers.Dense(2)(join([first, second]) + join([second, first])))
    assert not target.flow(twice).joins
