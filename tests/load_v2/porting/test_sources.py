"""What the checkpoint's side is made of: files, parts, averages, and scopes that are TF1 cells."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from load_v2.commands import port
from load_v2.errors import LoadError
from load_v2.porting import ema as averages
from load_v2.porting import entries as checkpoint
from load_v2.porting import presets, rules, shape_fitting, weight_roles
from load_v2.porting.transforms import Cast, Transpose
from load_v2.porting.types import Assignment, Entry, Plan, Term, Weight


def entries(**shapes):
    found = {key.replace("__", "/"): shape for key, shape in shapes.items()}
    return {key: Entry(key, shape, "float32") for key, shape in found.items()}


def saved(prefix, **values):
    names = [name.replace("__", "/") for name in values]
    tf.raw_ops.SaveV2(prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names),
                      tensors=[tf.constant(value) for value in values.values()])  # fmt: skip
    return checkpoint.Checkpoint(str(prefix))


def test_parts_are_joined_along_the_axis_in_which_they_differ(tmp_path):
    parts = [np.full((2, size), float(size), "f") for size in (1, 2, 3)]
    found = saved(tmp_path / "m", **{f"emb__part_{n}": part for n, part in enumerate(parts)}, rest=1.0)
    assert {key: entry.shape for key, entry in found.entries.items()} == {"emb": (2, 6), "rest": ()}
    np.testing.assert_array_equal(found.read("emb"), np.concatenate(parts, 1))
    assert found.read("rest") == 1.0


def test_parts_are_in_the_order_of_their_numbers(tmp_path):
    found = saved(tmp_path / "m", **{f"emb__part_{n}__Adam": np.full((1, 2), float(n), "f") for n in range(11)})
    assert list(found.entries) == ["emb/Adam"]
    assert found.read("emb/Adam")[:, 0].tolist() == list(range(11))


@pytest.mark.parametrize(
    "shapes",
    [
        {"emb__part_0": (2, 2), "emb__part_2": (2, 2)},
        {"emb__part_0": (2, 2), "emb__part_1": (3, 3)},
        {"emb__part_0": (2, 2), "emb__part_1": (2,)},
        {"emb__part_0": (), "emb__part_1": ()},
        {"emb__part_0": (2, 2), "emb__part_1": (2, 2), "emb": (4, 2)},
    ],
)
def test_what_are_no_parts_of_one_variable_stays_apart(shapes, tmp_path):
    found = saved(tmp_path / "m", **{key: np.zeros(shape, "f") for key, shape in shapes.items()})
    assert set(found.entries) == {key.replace("__", "/") for key in shapes} and not found.parts


def test_a_folder_says_which_checkpoint_is_its_latest(tmp_path):
    for name in ("a", "b"):
        saved(tmp_path / name, x=1.0)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/machine/that/trained/a"\n')
    assert checkpoint.locate(tmp_path) == str(tmp_path / "a")
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "b"\n')
    assert checkpoint.locate(tmp_path) == str(tmp_path / "b")
    for ending in (".index", ".data-00000-of-00001", ".meta", ".index.pbtxt", ""):
        assert checkpoint.locate(f"{tmp_path}/a{ending}") == str(tmp_path / "a")
    os.makedirs(tmp_path / "export" / "variables")
    saved(tmp_path / "export" / "variables" / "variables", x=1.0)
    assert checkpoint.locate(tmp_path / "export") == str(tmp_path / "export" / "variables" / "variables")


def test_the_only_checkpoint_of_a_folder_is_meant_and_of_several_none(tmp_path):
    saved(tmp_path / "a", x=1.0)
    assert checkpoint.locate(tmp_path) == str(tmp_path / "a")
    saved(tmp_path / "b", x=1.0)
    with pytest.raises(LoadError, match="holds 2 checkpoints(?s:.)*'a', 'b'(?s:.)*Give one of them, such as .*/b'"):
        checkpoint.locate(tmp_path)


AVERAGED = entries(a=(2,), a__ExponentialMovingAverage=(2,), b__ExponentialMovingAverage=(3,), c=(4,))


@pytest.mark.parametrize("ema", [None, False, True])
def test_an_average_stands_in_for_what_is_missing_or_for_all_that_have_one(ema):
    chosen = averages.choose(AVERAGED, ema)
    stands = {"b": "b/ExponentialMovingAverage", **({"a": "a/ExponentialMovingAverage"} if ema else {})}
    assert chosen.stand_ins == stands
    assert list(chosen.entries) == ["a", "a/ExponentialMovingAverage", "b", "c"]
    assert chosen.entries["b"] == Entry("b", (3,), "float32")
    assert chosen.choice.partition(",")[0] == {
        None: "plain values", False: "moving averages of 1 variables", True: "moving averages of 1 variables"
    }[ema]  # fmt: skip


def test_averages_that_are_not_there_are_refused_where_they_are_wanted():
    with pytest.raises(
        LoadError, match="none of its 1 variables ends with /ExponentialMovingAverage.\n  Leave out ema"
    ):
        averages.choose(entries(a=(2,)), True)
    assert averages.choose(entries(a=(2,)), None).choice == ""


def test_the_account_has_the_averages_own_keys():
    chosen = averages.choose(AVERAGED, True)
    plan = Plan(
        [Assignment("w", (Term("a"),))], {"a/ExponentialMovingAverage": "moving average of 'a'"}, left_over=["b", "c"]
    )
    averages.settle(plan, chosen)
    assert plan.assignments[0].keys == ("a/ExponentialMovingAverage",)
    assert plan.skipped == {"a": "its moving average 'a/ExponentialMovingAverage' is used"}
    assert plan.left_over == ["b/ExponentialMovingAverage", "c"]
    assert plan.choices == [chosen.choice]
    plan = Plan([], {"b": "by a rule", "a/ExponentialMovingAverage": "moving average of 'a'"}, left_over=["a", "c"])
    averages.settle(plan, averages.choose(AVERAGED, False))
    assert set(plan.skipped) == {"b/ExponentialMovingAverage", "a/ExponentialMovingAverage"}
    assert plan.left_over == ["a", "c"]


def test_a_preset_means_a_scope_s_own_variables():
    source = entries(
        s__weights=(2,),
        s__biases=(3,),
        s__inner__kernel=(4,),
        s__odd=(5,),
        sub__s__kernel=(6,),
        s2__kernel=(7,),
        s_kernel=(8,),
    )
    found = presets.members("layer", "s", source)
    assert {role: entry.key for role, entry in found.items()} == {
        "kernel": "s/weights", "bias": "s/biases", "odd": "s/odd"
    }  # fmt: skip
    assert presets.members("layer", "none", source) is None
    assert presets.members("lstm", "s", entries(s__bias=(2,))) is None
    gru = entries(g__gates__kernel=(2,), g__gates__bias=(2,), g__candidate__kernel=(2,))
    assert set(presets.members("gru", "g", gru)) == {"gates/kernel", "gates/bias", "candidate/kernel"}
    assert presets.members("gru", "g", entries(g__gates__kernel=(2,))) is None
    assert presets.members("cudnn_gru", "g", gru) is None


def keras_layer(**shapes):
    return {role: Weight(f"l/{role}", shape, "float32") for role, shape in shapes.items()}


LSTM = keras_layer(kernel=(3, 8), recurrent_kernel=(2, 8), bias=(8,))
CELL = {"kernel": Entry("k", (5, 8), "float32"), "bias": Entry("b", (8,), "float32")}


def built(found, arrays):
    from load_v2.porting import values

    return {one.weight.partition("/")[2]: values.of(one, arrays.get, "float32") for one in found}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("preset, bias", [("lstm", 0.5), ("lstm", None), ("cudnn_lstm", None)])
def test_an_lstm_computes_what_tf1_computed(preset, bias):
    random = np.random.default_rng(0)
    k, b, x, h, c = (random.normal(size=size).astype("f") for size in ((5, 8), (8,), (1, 3), (1, 2), (1, 2)))
    i, j, f, o = np.split(np.concatenate([x, h], 1) @ k + b, 4, 1)
    forget = 0.0 if preset == "cudnn_lstm" else 1.0 if bias is None else bias
    state = sigmoid(f + forget) * c + sigmoid(i) * np.tanh(j)
    made = built(presets.expand(preset, CELL, LSTM, bias), {"k": k, "b": b})
    cell = keras.layers.LSTMCell(2)
    cell.build((1, 3))
    cell.set_weights([made["kernel"], made["recurrent_kernel"], made["bias"]])
    got, _ = cell(x, [h, c])
    np.testing.assert_allclose(got, sigmoid(o) * np.tanh(state), atol=1e-6)


@pytest.mark.parametrize(
    "preset, source, target, fact",
    [
        ("lstm", CELL, keras_layer(kernel=(3, 8), bias=(8,)), "needs a layer with kernel and recurrent_kernel"),
        ("lstm", CELL, keras_layer(kernel=(3, 8), recurrent_kernel=(2, 8)), "build it with use_bias=True"),
        ("lstm", {"kernel": CELL["kernel"]}, LSTM, "the scope has no 'bias'; it has 'kernel'"),
        ("lstm", {**CELL, "w_f_diag": CELL["bias"]}, LSTM, "the cell has 'w_f_diag' too"),
        ("gru", CELL, keras_layer(kernel=(3, 6), recurrent_kernel=(2, 6), bias=(2, 6)), "reset_after=False"),
        ("cudnn_gru", CELL, keras_layer(kernel=(3, 6), recurrent_kernel=(2, 6), bias=(6,)), "reset_after=True"),
        ("layer", CELL, keras_layer(kernel=(5, 8)), "the layer has no 'bias' for 'b'; it has 'kernel'"),
    ],
)
def test_a_layer_that_cannot_be_the_cell_is_told_how_to_be_built(preset, source, target, fact):
    with pytest.raises(LoadError) as caught:
        presets.expand(preset, source, target)
    assert fact in str(caught.value)


def test_attention_splits_into_heads_only_what_has_none():
    target = keras_layer(kernel=(4, 2, 2), bias=(4,))
    source = {"kernel": Entry("k", (4, 4), "float32"), "bias": Entry("b", (4,), "float32")}
    kernel, bias = presets.expand("attention", source, target)
    assert [step.to for step in kernel.steps] == [(4, 2, 2)] and bias.steps == ()
    assert presets.expand("layer", source, target)[0].steps == ()


def fault(dtype, wanted, *steps, shape=(2, 3), weight=(2, 3)):
    found = Assignment("w", (Term("k"),), steps)
    return shape_fitting.misfit(found, Weight("w", weight, wanted), {"k": Entry("k", shape, dtype)})


def test_a_type_may_widen_and_only_a_cast_narrows():
    for dtype, wanted in (("float16", "float32"), ("bfloat16", "float32"), ("float32", "float64"), ("int64", "int64")):
        assert fault(dtype, wanted) == ""
    for dtype, wanted in (
        ("float64", "float32"), ("bfloat16", "float16"), ("float16", "bfloat16"), ("int32", "float64"),
        ("int32", "int64"), ("bool", "float32"), ("string", "float32"),
    ):  # fmt: skip
        assert f"{dtype} in the checkpoint, {wanted} in the model" in fault(dtype, wanted)
        assert fault(dtype, wanted, Cast(wanted)) == ""
    assert shape_fitting.misfit(
        Assignment("w", (Term("k", (Cast("float32"),)),)), Weight("w", (2,), "float32"),
        {"k": Entry("k", (2,), "float64")},
    ) == ""  # fmt: skip


def test_a_shape_must_be_the_weights_own():
    assert "shape [2, 3] from the checkpoint, [3, 2] in the model" in fault("float32", "float32", weight=(3, 2))
    assert fault("float32", "float32", Transpose((1, 0)), weight=(3, 2)) == ""
    assert "not an order of the axes" in fault("float32", "float32", Transpose((0,)))


@pytest.mark.parametrize(
    "shapes, axis, made",
    [
        (((2, 3), (4, 3)), 0, (6, 3)), (((2, 3), (2, 4)), -1, (2, 7)), (((2, 3), (4, 3)), 1, None),
        (((2,), (2, 1)), 0, None), (((2, 3), (2,)), 1, None), (((), ()), 0, None),
    ],
)  # fmt: skip
def test_variables_join_where_their_other_sides_are_equal(shapes, axis, made):
    found = {str(n): Entry(str(n), shape, "float32") for n, shape in enumerate(shapes)}
    joined = Assignment("w", tuple(map(Term, found)), axis=axis)
    if made is None:
        with pytest.raises(LoadError, match="do not join along axis"):
            shape_fitting.result_shape(joined, found)
    else:
        assert shape_fitting.result_shape(joined, found) == made


def test_a_variables_part_is_told_by_its_last_word():
    assert [weight_roles.role_of(name) for name in ("a/W", "a/moving_var", "a/kernel#2", "kernel/a", "scale")] == [
        "kernel", "moving_variance", "kernel", "?", "gamma"
    ]  # fmt: skip
    depthwise = [Weight(f"{name}/kernel", (3, 3, 1, 1), "float32", kind) for name, kind in
                 (("a", "DepthwiseConv2D"), ("b", "Conv2D"))]  # fmt: skip
    assert [group.members[0][0] for group in weight_roles.groups(depthwise)] == ["depthwise_kernel", "kernel"]
    one, other = weight_roles.groups(entries(a__kernel=(2,), b__weights=(2,)).values())
    assert weight_roles.alike(one, other)
    table, beta, unknown, short = weight_roles.groups(
        entries(t__embeddings=(2,), v__beta=(2,), w=(2,), u=(3,)).values()
    )
    assert weight_roles.alike(one, table) and weight_roles.alike(one, unknown)
    assert not weight_roles.alike(one, beta) and not weight_roles.alike(unknown, short)


def test_the_rules_file_s_word_on_averages_holds_unless_the_call_says_otherwise(tmp_path):
    from load_v2.porting import load_checkpoint_weights

    saved(tmp_path / "m", d__kernel=np.ones((2, 1), "f"), d__kernel__ExponentialMovingAverage=np.full((2, 1), 2.0, "f"))
    (tmp_path / "r.toml").write_text("ema = true")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
    for ema, value in ((None, 2.0), (False, 1.0), (True, 2.0)):
        load_checkpoint_weights(model, tmp_path / "m", tmp_path / "r.toml", ema=ema)
        assert model.get_weights()[0].tolist() == [[value], [value]]
    assert rules.load(tmp_path / "r.toml").ema is True


def test_code_is_imported_with_its_neighbours_and_the_path_is_as_it_was(tmp_path, monkeypatch):
    import sys

    (tmp_path / "porting_code.py").write_text(
        "import porting_neighbour\ndef build(): return porting_neighbour.X\nY = 3\n"
    )
    (tmp_path / "porting_neighbour.py").write_text("X = 7\n")
    for name in ("porting_code", "porting_neighbour"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    before = list(sys.path)
    assert port._built((f"{tmp_path}/porting_code.py", "build")) == 7
    assert sys.path == before and sys.modules["porting_code"].Y == 3
    with pytest.raises(LoadError, match="(?s)Function 'Y' is not in .*Known .*'build'"):
        port._built((f"{tmp_path}/porting_code.py", "Y"))
    monkeypatch.chdir(tmp_path)
    assert port._built(("porting_code", "build")) == 7
    for name in ("porting_code", "porting_neighbour"):
        sys.modules.pop(name, None)
