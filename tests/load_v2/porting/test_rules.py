"""Rules: what a file may say, what it may not, and that every transform does to an array what it does to a shape."""

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from load_v2.errors import LoadError
from load_v2.porting import bookkeeping, planning, rules, transforms, values, weight_roles
from load_v2.porting.rules import Rule, RuleSet
from load_v2.porting.types import Entry, Weight


@pytest.mark.parametrize("module", [weight_roles, rules, transforms])
def test_examples(module):
    assert doctest.testmod(module).failed == 0
    assert doctest.testmod(module).attempted > 0


def planned(sources, targets, *given):
    """Plans for a checkpoint {key: array} and a model {path: shape}; returns the plan and the values by weight."""
    entries = {key: Entry(key, array.shape, str(array.dtype)) for key, array in sources.items()}
    weights = [Weight(path, tuple(shape), "float32", "", path.rpartition("/")[0]) for path, shape in targets.items()]
    plan = planning.make(entries, weights, RuleSet(tuple(given)))
    return plan, {found.weight: values.of(found, sources.get, "float32") for found in plan.assignments}


def numbers(*shape, start=0):
    return np.arange(start, start + np.prod(shape), dtype="f").reshape(shape)


def test_transforms_act_in_order():
    steps = [{"transpose": [1, 0]}, {"reshape": [2, 3, 2]}, {"scale": 2.0}, {"shift": 1}]
    array = numbers(4, 3)
    _, got = planned({"a": array}, {"w/kernel": (2, 3, 2)}, Rule("a", "w/kernel", transform=steps))
    np.testing.assert_array_equal(got["w/kernel"], array.T.reshape(2, 3, 2) * 2 + 1)


def test_several_variables_into_one_weight_in_the_order_of_the_patterns():
    sources = {"k": numbers(2, 3), "q": numbers(2, 3, start=10), "v": numbers(2, 3, start=20)}
    rule = Rule(["q", "k", "v"], "qkv/kernel", transform=[{"concatenate": 1}])
    _, got = planned(sources, {"qkv/kernel": (2, 9)}, rule)
    np.testing.assert_array_equal(got["qkv/kernel"], np.concatenate([sources[key] for key in "qkv"], 1))
    with pytest.raises(LoadError, match="several keys need"):
        Rule(["q", "k"], "qkv/kernel")
    plan, _ = planned({"q": numbers(2, 3)}, {"qkv/kernel": (2, 9)}, rule)
    assert "rule 1: 'q' for 'qkv/kernel': expected 3" in plan.misfits[0]


def test_one_variable_into_several_weights():
    array = numbers(2, 9)
    rule = Rule("qkv", [r"q/kernel", "k/kernel", "v/kernel"], transform=[{"split": {"axis": 1, "sizes": [2, 3, 4]}}])
    _, got = planned({"qkv": array}, {"q/kernel": (2, 2), "k/kernel": (2, 3), "v/kernel": (2, 4)}, rule)
    np.testing.assert_array_equal(got["k/kernel"], array[:, 2:5])
    np.testing.assert_array_equal(got["v/kernel"], array[:, 5:])


def test_one_variable_used_twice():
    # A table that is also the output layer's kernel.
    first = Rule("table", "emb/embeddings", more=True)
    second = Rule("table", "out/kernel", transform=[{"transpose": [1, 0]}])
    array = numbers(5, 2)
    plan, got = planned({"table": array}, {"emb/embeddings": (5, 2), "out/kernel": (2, 5)}, first, second)
    np.testing.assert_array_equal(got["out/kernel"], array.T)
    assert not plan.left_over and not plan.missing
    _, got = planned(
        {"table": array},
        {"a/embeddings": (5, 2), "b/embeddings": (5, 2)},
        Rule("table", ["a/embeddings", "b/embeddings"]),
    )
    np.testing.assert_array_equal(got["a/embeddings"], got["b/embeddings"])


def test_slice_squeeze_reorder_and_cast():
    array = numbers(1, 8, 2).astype("f8")
    steps = [
        {"squeeze": [0]},
        {"slice": {"axis": 0, "start": 2, "stop": 8}},
        {"reorder": {"axis": 0, "order": [2, 0, 1]}},
        {"cast": "float32"},
    ]
    _, got = planned({"a": array}, {"w/kernel": (6, 2)}, Rule("a", "w/kernel", transform=steps))
    np.testing.assert_array_equal(got["w/kernel"], array[0][[6, 7, 2, 3, 4, 5]])


def test_digits_are_not_lost_without_a_cast():
    plan, _ = planned({"a": numbers(2, 2).astype("f8")}, {"w/kernel": (2, 2)}, Rule("a", "w/kernel"))
    assert "float64 in the checkpoint, float32 in the model" in plan.misfits[0]
    assert 'transform = [{ cast = "float32" }]' in plan.misfits[0]
    plan, got = planned({"a": numbers(2, 2).astype("f2")}, {"w/kernel": (2, 2)}, Rule("a", "w/kernel"))
    assert not plan.misfits and got["w/kernel"].dtype == np.float32


def test_a_weight_may_be_named_by_its_end_if_that_is_enough():
    weights = {"net_3/a/kernel": (2,), "net_3/b/kernel": (2,)}
    plan, _ = planned({"x": numbers(2), "y": numbers(2)}, weights, Rule("x", "a/kernel"), Rule("y", "kernel"))
    assert [found.weight for found in plan.assignments] == ["net_3/a/kernel"]
    assert "weight 'kernel' could be any of 'net_3/a/kernel', 'net_3/b/kernel'" in plan.misfits[0]


def test_two_values_for_one_weight():
    plan, _ = planned({"x": numbers(2), "y": numbers(2)}, {"a/bias": (2,)}, Rule("x|y", "a/bias"))
    assert "'x', 'y' for 'a/bias': expected 1" in plan.misfits[0]
    plan, _ = planned({"x": numbers(2), "y": numbers(2)}, {"a/bias": (2,)}, Rule("x", "a/bias"), Rule("y", "a/bias"))
    assert "rule 1 gives it 'x' already" in plan.misfits[0]


def test_first_rule_that_matches_takes_the_variable():
    plan, _ = planned({"x": numbers(2)}, {"a/bias": (2,)}, Rule("x", skip="no"), Rule("x", "a/bias"))
    assert plan.skipped == {"x": "no"}
    assert plan.missing == ["a/bias"]
    assert [unused.partition(":")[0] for unused in plan.unused_rules] == ["rule 2 (x)"]
    plan, _ = planned({"x": numbers(2)}, {"a/bias": (2,), "b/bias": (2,)}, Rule("x", "a/bias"), Rule("x", "b/bias"))
    assert [unused.partition(":")[0] for unused in plan.unused_rules] == ["rule 2 (x)"] and plan.missing == ["b/bias"]


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("[[rule]]\nkey = 'a'\nweigth = 'b'", ["'weigth' is not in rule 1 of 'r.toml'", "Closest: 'weight'"]),
        ("[[rules]]\nkey = 'a'", ["unknown table [[rules]]; did you mean [[rule]]?"]),
        ("emma = true", ["unknown entry 'emma'; did you mean ema?"]),
        ("[rule]\nkey = 'a'", ["[[rule]], in double brackets"]),
        ("ema = 1", ["ema is true or false, not 1"]),
        ('[[rule]]\nkey = "a\\d"', ["not TOML", "single quotes"]),
        ("[[rule]]\nkey = 'a('\nweight = 'b'", ["Rule 1 of 'r.toml'", "'a(' is not a regular expression"]),
        ("[[rule]]\nkey = 'a'\nweight = 'b\\1'", ["refers to group 1"]),
        ("[[rule]]\nkey = 'a'", ["either weight = '…' or skip"]),
        ("[[rule]]\nweight = 'a'", ["key is a string"]),
        (
            "[[rule]]\nkey = 'a'\nweight = 'b'\ntransform = [{ transpse = [1] }]",
            ["'transpse' is not in", "'transpose'"],
        ),
        ("[[rule]]\nkey = 'a'\nweight = 'b'\ntransform = [{ transpose = 1 }]", ["is written {transpose = [1, 0]}"]),
        ("[[rule]]\nkey = 'a'\nweight = 'b'\ntransform = { transpose = [1] }", ["transform is a list of steps"]),
        ("[[rule]]\nkey = 'a'\nweight = 'b'\ntransform = [{ cast = \"float31\" }]", ['{cast = "float32"}']),
        ("[[rule]]\nkey = 'a'\nweight = 'b'\npreset = \"ltsm\"", ["'ltsm' is not in the presets", "'lstm'"]),
        ("[[rule]]\nkey = 'a'\nweight = 'b'\nforget_bias = 1.0", ['forget_bias belongs to preset = "lstm"']),
        *(
            (f"[[rule]]\nkey = 'a'\nweight = 'b'\ntransform = [{{ {step} }}]", [fact])
            for step, fact in (
                ("reorder = { axis = 0, order = [0, 0, 1] }", "is written {reorder"),
                ("reorder = { axis = 0, order = [0, 1], more = 1 }", "is written {reorder"),
                ("split = { axis = 0 }", "is written {split"),
                ("split = { axis = 0, parts = 2, sizes = [1, 1] }", "is written {split"),
                ("split = { parts = 2 }", "is written {split"),
                ("split = { axis = 0, parts = 1, more = 2 }", "is written {split"),
                ("slice = { axis = 0, end = 2 }", "is written {slice"),
                ("slice = { axis = 0, start = 1.5 }", "is written {slice"),
                ("transpose = [true, false]", "is written {transpose"),
                ("reshape = []", "is written {reshape"),
                ("scale = true", "is written {scale"),
                ("shift = '1'", "is written {shift"),
                ("concatenate = 'x'", "is written {concatenate"),
                ("cast = 'float32', scale = 2.0", "one name, not 2"),
            )
        ),
        ("[[rule]]\nkey = 'a'\nweight = 'b'\ntransform = ['transpose']", ["a transform step is a table"]),
        ("[[rule]]\nkey = ['a', 'b']\nweight = 'c'", ["several keys need"]),
        ("[[rule]]\nkey = 'a'\nweight = 'c'\ntransform = [{ concatenate = 0 }]", ["several keys need"]),
        (
            "[[rule]]\nkey = ['a', 'b']\nweight = 'c'\ntransform = [{ concatenate = 0 }, { concatenate = 1 }]",
            ["used once in a rule"],
        ),
        ("[[rule]]\nkey = 'a'\nweight = 'b'\nskip = 'c'", ["and not both"]),
        ("[[rule]]\nkey = ['a', 'b']\nweight = 'c'\npreset = 'layer'", ["preset 'layer' takes one key"]),
        ("[[rule]]\nkey = 'a'\nweight = ['b', 'c']\npreset = 'layer'", ["preset 'layer' takes one key"]),
        ("[[rule]]\nkey = 'a'\nweight = 'b'\npreset = 'gru'\nforget_bias = 1.0", ["forget_bias belongs"]),
        ("[[rule]]\nkey = '(?P<n>a)'\nweight = 'b\\g<m>'", ["refers to group m"]),
        ("[[rule]]\nkey = []\nweight = 'b'", ["key is a string"]),
        ("[[rule]]\nweight = 'b'", ["key is a string"]),
        ("[[rule]]\nkey = 'a'\nweight = 'b'\nkeep = 'c'", ["keep = ", "without a key"]),
        ("[[rule]]\nweight = 'b'\nmore = true\nkeep = 'c'", ["keep = ", "without a key"]),
        ("[[rule]]\nkeep = 'c'", ["keep = ", "without a key"]),
        ("[[rule]]\nweight = 'b('\nkeep = 'c'", ["weight 'b(' is not a regular expression"]),
        ("[[rule]]\nkey = 'a'\nweight = [1]", ["weight is a string"]),
        (
            "[[rule]]\nkey = 'a'\nweight = 'b'\ntransform = [{ split = { axis = 0, parts = 2 } }]",
            ["2 parts for 1 weights"],
        ),
        ("[[rule]]\nkey = 'a'\nweight = 'b'\npreset = \"layer\"\ntransform = [{ scale = 2 }]", ["no transform"]),
    ],
)
def test_what_a_file_may_not_say(text, facts, tmp_path):
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(LoadError) as caught:
        rules.load(tmp_path / "r.toml")
    for fact in facts:
        assert fact in str(caught.value)


def test_rules_that_are_none(tmp_path):
    with pytest.raises(LoadError, match="cannot be read: No such file"):
        rules.load(tmp_path / "r.toml")
    with pytest.raises(LoadError, match="Rule objects or the path"):
        rules.load([{"key": "a"}])
    assert rules.load(None) == RuleSet()


SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)


@st.composite
def steps(draw):
    shape = draw(SHAPES)
    axis = draw(st.integers(-3, 2))
    whole = st.integers(1, 4)
    return shape, draw(
        st.one_of(
            st.permutations(range(draw(st.integers(1, 3)))).map(lambda axes: transforms.Transpose(tuple(axes))),
            st.lists(st.integers(-1, 8).filter(bool), min_size=1, max_size=3).map(
                lambda to: transforms.Reshape(tuple(to))
            ),
            st.just(transforms.Squeeze((axis,))),
            st.tuples(st.integers(0, 3), whole).map(lambda ends: transforms.Slice(axis, *ends)),
            st.tuples(whole, whole).map(lambda sizes: transforms.Part(axis, 1, 0, sizes)),
            st.integers(1, 3).map(lambda parts: transforms.Part(axis, 0, parts)),
            st.permutations(range(draw(whole))).map(lambda order: transforms.Reorder(axis, tuple(order))),
            st.sampled_from([transforms.Cast("float16"), transforms.Scale(3.0), transforms.Shift(1.0, 1, 2)]),
            st.lists(whole, min_size=1, max_size=4).map(lambda to: transforms.Heads(tuple(to))),
        )
    )


@given(steps())
def test_a_step_that_accepts_a_shape_makes_the_shape_it_said(drawn):
    shape, step = drawn
    try:
        said = step.shape(shape)
    except LoadError:
        return
    assert step.apply(np.zeros(shape, "f")).shape == said


@pytest.mark.parametrize(
    ("step", "shape", "fact"),
    [
        (transforms.Transpose((0, 1)), (2, 3, 4), "not an order of the axes of shape [2, 3, 4]"),
        (transforms.Transpose((0, 0)), (2, 3), "transpose [0, 0] is not an order"),
        (transforms.Reshape((-1, 4)), (2, 3), "does not hold the 6 elements of shape [2, 3]"),
        (transforms.Reshape((-1, -1)), (2, 3), "reshape [-1, -1] does not hold the 6"),
        (transforms.Reshape((2, 2)), (2, 3), "reshape [2, 2] does not hold the 6"),
        (transforms.Squeeze((0,)), (2, 3), "those axes of shape [2, 3] are not all of size 1"),
        (transforms.Squeeze((2,)), (1, 3), "squeeze: shape [1, 3] has no axis 2"),
        (transforms.Slice(0, 1, 9), (2, 3), "slice 1:9 is not inside axis 0 of shape [2, 3]"),
        (transforms.Slice(0, 1, 1), (2, 3), "slice 1:1 is not inside axis 0"),
        (transforms.Slice(1, 3), (2, 3), "slice 3:3 is not inside axis 1"),
        (transforms.Slice(0, -1, 1), (2, 3), "slice -1:1 is not inside axis 0"),
        (transforms.Slice(-3, 0, 1), (2, 3), "slice: shape [2, 3] has no axis -3"),
        (transforms.Part(1, 0, 2), (2, 3), "axis 1 of shape [2, 3] cannot be split into 2 equal parts"),
        (transforms.Part(0, 0, 0, (1, 2)), (4, 3), "axis 0 of shape [4, 3] cannot be split into sizes [1, 2]"),
        (transforms.Part(0, 0, 0, (3, 2)), (4, 3), "axis 0 of shape [4, 3] cannot be split into sizes [3, 2]"),
        (transforms.Reorder(0, (0, 2, 1)), (4, 3), "axis 0 of shape [4, 3] is not 3 equal blocks"),
        (transforms.Shift(1.0, 1, 4), (4, 6), "the last axis of shape [4, 6] cannot be split into 4 equal blocks"),
        (transforms.Shift(1.0, 1, 4), (), "cannot be split into 4 equal blocks"),
        (transforms.Heads((2, 2, 4)), (4, 2, 2), "shape [4, 2, 2] does not become [2, 2, 4] by splitting one axis"),
        (transforms.Heads((4, 4)), (2, 8), "shape [2, 8] does not become [4, 4] by splitting one axis"),
        (transforms.Heads((8,)), (1, 8), "shape [1, 8] does not become [8] by splitting one axis"),
        (transforms.Heads((8,)), (2, 4), "shape [2, 4] does not become [8] by splitting one axis"),
    ],
)
def test_a_step_refuses_what_it_cannot_do(step, shape, fact):
    with pytest.raises(LoadError) as caught:
        step.shape(shape)
    assert fact in str(caught.value)


def test_heads_split_one_axis_only():
    assert transforms.Heads((16, 2, 8)).shape((16, 16)) == (16, 2, 8)
    assert transforms.Heads((2, 8, 16)).shape((16, 16)) == (2, 8, 16)
    assert transforms.Heads((2, 8)).shape((16,)) == (2, 8)


def test_joining_needs_shapes_that_join():
    sources, target = {"a": numbers(2, 3), "b": numbers(4, 3)}, {"w/kernel": (6, 3)}
    _, got = planned(sources, target, Rule(["a", "b"], "w/kernel", transform=[{"concatenate": 0}]))
    assert got["w/kernel"].shape == (6, 3)
    steps = [{"transpose": [1, 0]}, {"concatenate": 1}, {"transpose": [1, 0]}, {"scale": 2.0}]
    _, got = planned(sources, target, Rule(["a", "b"], "w/kernel", transform=steps))
    np.testing.assert_array_equal(got["w/kernel"], np.concatenate([sources["a"], sources["b"]]) * 2)
    plan, _ = planned(sources, target, Rule(["a", "b"], "w/kernel", transform=[{"concatenate": 1}]))
    assert "do not join along axis 1" in plan.misfits[0]


def test_named_groups_and_several_uses_of_one(tmp_path):
    (tmp_path / "r.toml").write_text(
        "ema = true\n[[rule]]\nkey = '(?P<n>a)(b)'\nweight = '\\g<n>/\\2/\\1'\nmore = true"
    )
    loaded = rules.load(str(tmp_path / "r.toml"))
    assert loaded == RuleSet((Rule("(?P<n>a)(b)", r"\g<n>/\2/\1", more=True),), True, "r.toml")
    _, got = planned({"ab": numbers(2)}, {"a/b/a": (2,)}, *loaded.rules)
    assert list(got) == ["a/b/a"]


def test_a_step_keeps_the_type_of_what_it_is_given():
    for step in (transforms.Scale(0.5), transforms.Shift(1.5), transforms.Shift(1.5, 1, 2)):
        given = np.array([1, 2], "float16")
        assert step.apply(given).dtype == "float16"
        assert given.tolist() == [1, 2], "what was given is as it was"
    assert transforms.Shift(1.5, 1, 2).apply(np.zeros((2, 4), "f")).tolist() == [[0, 0, 1.5, 1.5]] * 2
    whole = np.array([1, 2], "int32")
    assert transforms.Scale(2.0).apply(whole).dtype == transforms.Shift(2.0).apply(whole).dtype == "int32"
    assert transforms.Cast("int8").apply(np.array([3.0])).dtype == "int8"


def test_what_belongs_to_training_is_told_by_what_it_belongs_to():
    shapes = {
        "dense/kernel": (2, 3), "dense/kernel/Adam": (2, 3), "dense/kernel/Adam_1": (2, 3),
        "dense/kernel/Momentum": (2, 3),
        "dense/kernel/adam_m": (2, 3), "train/dense/kernel/RMSProp": (2, 3), "training/Adam/dense/kernel/m": (2, 3),
        "dense/kernel/ExponentialMovingAverage": (2, 3), "bn/moving_mean": (3,), "bn/moving_mean/biased": (3,),
        "bn/moving_mean/local_step": (), "table": (9, 2), "table/vr": (9,), "global_step": (), "opt/beta1_power": (),
        "training/Adam/iter": (), "Adam": (2, 3), "lonely/Adam": (2, 3), "net/m": (2, 3), "gate/v": (2, 2), "step": (),
        "alone/ExponentialMovingAverage": (2, 3), "dense/kernel/v": (9, 9), "net/iter": (2,), "training/Adam/decay": (2,),
    }  # fmt: skip
    reasons = bookkeeping.reasons({key: Entry(key, shape, "float32") for key, shape in shapes.items()})
    model = {"dense/kernel", "bn/moving_mean", "table", "Adam", "lonely/Adam", "net/m", "gate/v", "step"}
    model |= {"alone/ExponentialMovingAverage", "dense/kernel/v", "net/iter", "training/Adam/decay"}
    assert set(shapes) - set(reasons) == model
    assert reasons["training/Adam/dense/kernel/m"] == "optimizer slot of 'dense/kernel'"
    assert reasons["table/vr"] == "optimizer slot of 'table'"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = " + "[\n" * 100_000, "is not TOML: maximum recursion depth"),
        ("x = " + "{a=" * 2_000, "is not TOML: maximum recursion depth"),
        ("a." * 100_000 + "b = 1", "a line of 200,005 characters"),
        ("x = " + "9" * 6_000, "is not TOML: Exceeds the limit"),
        (b"x = '\xff'", "is not TOML: 'utf-8' codec"),
    ],
    ids=["lists", "tables", "dots", "digits", "bytes"],
)
def test_a_file_that_was_made_to_take_long_is_refused(text, told, tmp_path):
    (tmp_path / "r.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(LoadError, match=told):
        rules.load(tmp_path / "r.toml")
