"""The proof of a port, its account, and the way back: what is compared, what is told, what is restored."""

import keras
import numpy as np
import pytest
from keras import layers

from load_v2.errors import LoadError
from load_v2.porting import load, proof, suggestions, target, values
from load_v2.porting.account import Report
from load_v2.porting.transforms import Transpose
from load_v2.porting.types import Ambiguity, Assignment, Entry, Plan, Term, Weight


def variable(value, dtype="float32"):
    return keras.Variable(np.asarray(value), dtype=dtype, name="w")


def unequal(held, saved, dtype="float32"):
    found = Assignment("w", (Term("k"),))
    return proof.unequal_weights([found], {"k": np.asarray(saved)}.get, {"w": variable(held, dtype)})


def test_a_weight_that_does_not_hold_its_value_is_found_with_the_place():
    (found,) = unequal([[1.0, 2.0], [3.0, 4.5]], np.array([[1, 2], [3, 4]], "f"))
    assert (found.key, found.index, found.largest, found.equal) == ("w", (1, 1), 0.5, False)
    assert "w: DIFFERENT, largest difference 0.5 absolute" in str(found) and "at [1, 1]" in str(found)


def test_weights_are_compared_bit_for_bit():
    assert unequal([1.0, np.nan], np.array([1.0, np.nan], "f")) == []
    assert len(unequal([0.0], np.array([-0.0], "f"))) == 1
    assert len(unequal([1.0], np.array([1.0 + 1e-7], "f"))) == 1


def test_a_model_that_changes_what_it_is_given_is_refused(tmp_path):
    import tensorflow as tf

    class Halves(layers.Layer):
        """Holds the half of what it is assigned, as a clipping or quantizing layer might."""

        def build(self, shape):
            self.kernel = self.add_weight(shape=(2,), name="kernel")
            real = self.kernel.assign
            object.__setattr__(self.kernel, "assign", lambda value: real(np.asarray(value) / 2))

        def call(self, x):
            return x * self.kernel

    prefix = str(tmp_path / "m.ckpt")
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        kernel = tf.compat.v1.get_variable("a/kernel", initializer=[2.0, 4.0], use_resource=False)
        session.run(kernel.initializer)
        tf.compat.v1.train.Saver().save(session, prefix)
    model = keras.Sequential([keras.Input((2,)), Halves()])
    with pytest.raises(
        LoadError, match="1 weights do not hold the values assigned to them: .*kernel: DIFFERENT, largest difference 2 "
    ):
        load.load_checkpoint_weights(model, prefix)
    report = load.load_checkpoint_weights(model, prefix, strict=False)
    assert report.proven == 0 and len(report.unequal) == 1 and "unequal: " in str(report)


def two_heads():
    inputs = keras.Input((2,))
    return keras.Model(inputs, [layers.Rescaling(1.0, name="one")(inputs), layers.Rescaling(1.0, name="two")(inputs)])


X = np.float32([[1.0, 2.0]])


def expected(**outputs):
    return proof.Expected({"x": X}, {key: np.asarray(value, "float32") for key, value in outputs.items()}, "io.npz")


def test_one_answer_does_not_stand_for_two_outputs():
    found = expected(a=X, b=X + 1).compare(two_heads())
    assert sorted((one.key, one.equal) for one in found) == [("a", True), ("b", False)]
    with pytest.raises(LoadError, match=r"which no answer in 'io.npz' has.\n  Known: none left"):
        expected(a=X).compare(two_heads())


def test_an_answer_of_the_same_name_is_the_one_meant():
    # An answer under a name of its own is not taken for another output, however near it is.
    names = two_heads().output_names
    found = {one.key: one.equal for one in expected(**{names[0]: X + 1, names[1]: X}).compare(two_heads())}
    assert found == {names[0]: False, names[1]: True}
    found = expected(**{names[1]: X, "z": X + 1}).compare(two_heads())
    assert [(one.key, one.equal) for one in found] == [("z", False), (names[1], True)]
    with pytest.raises(LoadError, match=r"has shape \[1, 2\], which no answer"):
        expected(**{names[0]: X[:, :1], names[1]: X}).compare(two_heads())


def test_the_nearest_answer_of_the_shape_is_taken():
    inputs = keras.Input((2,))
    model = keras.Model(inputs, layers.Rescaling(1.0)(inputs))
    (found,) = expected(far=X + 9, near=X + 0.5, other=X[0]).compare(model)
    assert (found.key, found.equal) == ("near", False)
    (found,) = expected(far=X + 9, right=X).compare(model)
    assert (found.key, found.equal) == ("right", True)


def test_inputs_go_where_their_names_say():
    b, a = keras.Input((2,), name="b"), keras.Input((2,), name="a")
    for inputs in ([b, a], {"b": b, "a": a}):
        model = keras.Model(inputs, b - a)
        answer = proof.Expected({"a": X, "b": X * 3}, {"y": X * 2}, "io.npz")
        assert [one.equal for one in answer.compare(model)] == [True]
        with pytest.raises(LoadError, match="(?s)Model input 'b'.*Name that array in/b"):
            proof.Expected({"a": X, "c": X}, {"y": X}, "io.npz").ask(model)


def test_a_model_in_code_is_called_by_keyword_or_with_a_dict():
    class Keywords(keras.Model):
        def call(self, a, b, training=None):
            assert not training
            return a - b

    class Whole(keras.Model):
        def call(self, inputs, training=None):
            assert training is False
            return {"y": inputs["a"] - inputs["b"]}

    answer = proof.Expected({"b": X, "a": X * 3}, {"y": X * 2}, "io.npz")
    for made in (Keywords(), Whole()):
        assert [one.equal for one in answer.compare(made)] == [True]


def test_dropout_is_off_while_answers_are_compared():
    inputs = keras.Input((2,))
    model = keras.Model(inputs, layers.Dropout(0.9)(inputs))
    model.trainable = True
    assert [one.equal for one in expected(y=X).compare(model)] == [True]


def test_expected_answers_are_in_and_out_and_nothing_else(tmp_path):
    np.savez(tmp_path / "io.npz", **{"in/x": X, "out/y": X, "ema/y": X, "note": X})
    found = proof.Expected.read(tmp_path / "io.npz")
    assert set(found.inputs) == {"x"} and set(found.outputs) == {"y"} and found.source.endswith("io.npz")
    np.savez(tmp_path / "half.npz", **{"in/x": X})
    with pytest.raises(LoadError, match="(?s)half.npz' need arrays named in/KEY and out/KEY.*'in/x'"):
        proof.Expected.read(tmp_path / "half.npz")
    (tmp_path / "text.npz").write_text("no arrays")
    with pytest.raises(LoadError, match="text.npz' are not an .npz file"):
        proof.Expected.read(tmp_path / "text.npz")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32"])
def test_an_error_puts_back_what_weights_held(dtype):
    weights = [variable([1, 2], dtype), variable(3, dtype)]
    with pytest.raises(KeyError):
        with values.backup(weights):
            for weight in weights:
                weight.assign(keras.ops.zeros_like(weight))
            raise KeyError
    assert [np.asarray(weight, "float32").tolist() for weight in weights] == [[1, 2], 3]
    with values.backup(weights):
        weights[1].assign(keras.ops.zeros_like(weights[1]))
    assert float(weights[1]) == 0


def test_values_are_made_of_terms_and_steps_in_their_order():
    arrays = {"a": np.arange(6, dtype="f").reshape(2, 3), "b": np.ones((2, 2), "f")}
    made = Assignment("w", (Term("a", (Transpose((1, 0)),)), Term("b")), (Transpose((1, 0)),), 0)
    got = values.of(made, arrays.get, "float64")
    np.testing.assert_array_equal(got, np.concatenate([arrays["a"].T, arrays["b"]], 0).T)
    assert got.dtype == "float64" and got.flags.c_contiguous
    assert values.of(Assignment("w", (Term("s"),)), {"s": np.float32(3)}.get, "float32").shape == ()


def test_a_report_tells_everything_once():
    plan = Plan(
        [Assignment("w/kernel", (Term("a", (Transpose((1, 0)),)),), how="rule 1")],
        {f"a/Adam_{n}": "optimizer slot of 'a'" for n in range(4)} | {"b/Adam": "optimizer slot of 'b'"},
        ["w/bias"], ["left"], ["'x' for 'y': why"], [Ambiguity("w", ("p", "q"), True)], ["plain values"], ["rule 2 (z)"],
    )  # fmt: skip
    entries = {key: Entry(key, (2,), "float32") for key in ("a", "left", "x")}
    weights = [Weight(path, (2,), "float32") for path in ("w/kernel", "w/bias")]
    report = Report.of_plan(plan, "/there/model.ckpt", "net", entries, weights)
    text = str(report)
    for fact in (
        "1 of 2 weights of 'net' loaded from '/there/model.ckpt'",
        "w/kernel <- a  (rule 1, transpose(axes=(1, 0)))",
        "skipped, optimizer slot of …: 5 (a/Adam_0, a/Adam_1, a/Adam_2, …)",
        "chosen: plain values",
        "Does not fit: 'x' for 'y': why.",
        "Missing in the checkpoint (1): 'w/bias' [2].",
        "Left over in the checkpoint (1): 'left' [2].",
        "Undecided: 'w' could be 'p' or 'q'.",
        "Matched nothing: rule 2 (z).",
        "proven: 0 weights",
    ):
        assert text.count(fact) == 1, fact
    assert str(report.refusal()).startswith("'model.ckpt' has no matching variable for 1 of 2 weights of model 'net'")
    report.assignments.append(Assignment("w/bias", (Term("x"),)))
    report.missing.clear()
    assert not report.complete
    assert str(report.refusal()).startswith("Model 'net' has no matching weight for 1 of 3 variables of 'model.ckpt'")
    report.left_over.clear()
    assert not report.complete, "for a misfit is left"
    report.misfits.clear()
    assert report.complete


def suggested(missing=(), left=(), ambiguous=(), weights=()):
    entries = {key: Entry(key, shape, "float32") for key, shape in dict(left).items()}
    weights = [Weight(path, shape, "float32") for path, shape in {**dict(missing), **dict(weights)}.items()]
    plan = Plan([], {}, list(dict(missing)), list(entries), [], list(ambiguous), [], [])
    return suggestions.lines(Report.of_plan(plan, "c", "m", entries, weights))


def test_a_variable_of_the_size_is_proposed_as_it_is_or_turned_or_reshaped():
    assert suggested({"d/kernel": (2, 3)}, {"a.b/kernel": (2, 3), "c": (2, 3)}) == [
        "[[rule]]", r"key = 'a\.b/kernel'    # or 'c'", "weight = 'd/kernel'"
    ]  # fmt: skip
    assert suggested({"d/kernel": (2, 3)}, {"a": (3, 2)})[-1] == "transform = [{ transpose = [1, 0] }]"
    assert suggested({"d/kernel": (4, 2, 3)}, {"a/kernel": (4, 6)})[-1] == "transform = [{ reshape = [4, 2, 3] }]"
    assert suggested({"d/kernel": (8, 3)}, {"a/kernel": (2, 2, 2, 3)})[-1] == "transform = [{ reshape = [8, 3] }]"
    assert not any("transform" in line for line in suggested({"d/kernel": (4, 2, 3)}, {"a/bias": (4, 6)}))
    assert not any("key" in line for line in suggested({"d/kernel": (5,)}, {"a": (4,)}))


def test_what_nothing_could_be_is_proposed_to_be_kept_by_scope_or_by_end():
    assert suggested({"norm/mean": (3,), "norm/count": ()}) == [
        "[[rule]]", "weight = 'norm/.*'", 'keep = "not in the checkpoint"'
    ]  # fmt: skip
    weights = {f"block{n}_conv/{role}": (n,) for n in range(3) for role in ("kernel", "bias")}
    biases = {path: shape for path, shape in weights.items() if path.endswith("bias")}
    assert suggested(biases, weights=weights)[1] == "weight = '.*_conv/bias'"
    # The end is not theirs alone where another weight has it, too: each is named.
    weights["stem_conv/bias"] = (9,)
    lines = suggested(biases, weights=weights)
    assert [line for line in lines if line.startswith("weight")] == [f"weight = '{path}'" for path in biases]


def test_what_is_left_over_is_proposed_to_be_skipped_only_where_nothing_is_missing():
    assert suggested({}, {"a/b": (2,)}) == ["[[rule]]", "key = 'a/b'", 'skip = "not in this model"']
    assert suggested({}, {"a/b/w": (2,), "a/b/v": (2,)})[1] == "key = 'a/.*'"
    assert not any("skip" in line for line in suggested({"d/kernel": (5,)}, {"a": (4,)}))


def test_undecided_layers_are_offered_one_scope_each_the_likeliest_first():
    found = [
        Ambiguity("left", ("tower_right", "tower_left"), True),
        Ambiguity("right", ("tower_left", "tower_right"), True),
    ]
    lines = suggested(ambiguous=found)
    assert [line for line in lines if line.startswith("key")] == [
        "key = 'tower_left'    # or 'tower_right'", "key = 'tower_right'    # or 'tower_left'"
    ]  # fmt: skip
    assert lines.count('preset = "layer"') == 2
    (single,) = [line for line in suggested(ambiguous=[Ambiguity("w/k", ("p", "q"), False)]) if "preset" in line] or [
        ""
    ]
    assert single == ""
    lines = suggested(ambiguous=[Ambiguity("right", ("tower_left", "tower_right"), True)])
    assert lines[1] == "key = 'tower_right'    # or 'tower_left'"
    lines = suggested(ambiguous=[Ambiguity(layer, ("p", "q"), True) for layer in "ab"])
    assert [line for line in lines if line.startswith("key")] == ["key = 'p'    # or 'q'", "key = 'q'    # or 'p'"]
    numbered = suggested(ambiguous=[Ambiguity("d", ("dense_10", "dense_2", "dense"), True)])
    assert numbered[1] == "key = 'dense'    # or 'dense_2', 'dense_10'"


def test_a_model_without_weights_is_refused():
    with pytest.raises(LoadError, match="no weights yet"):
        target.variables(keras.Sequential([keras.Input((2,)), layers.Rescaling(2.0)]))


def test_paths_of_a_model_are_unique_and_its_made_up_numbers_no_names():
    class Twice(layers.Layer):
        def build(self, shape):
            self.a, self.b = (self.add_weight(shape=(2,), name="kernel") for _ in range(2))

        def call(self, x):
            return x * self.a + self.b

    model = keras.Sequential([keras.Input((2,)), layers.Dense(2, name="dense_7"), Twice(name="mine_3")], name="net")
    found = {weight.path: weight for weight in target.weights(model)}
    assert list(found) == [
        f"net/{name}" for name in ("dense_7/kernel", "dense_7/bias", "mine_3/kernel", "mine_3/kernel#2")
    ]
    dense, mine = found["net/dense_7/kernel"], found["net/mine_3/kernel"]
    assert (dense.given, mine.given) == ("net/dense", "net/mine_3")
    assert (dense.layer_class, dense.shape, mine.layer_class) == ("Dense", (2, 2), "Twice")


def test_a_nested_model_is_entered_and_a_shared_layer_has_both_places():
    inner_input = keras.Input((2,))
    inner = keras.Model(
        inner_input, layers.Dense(2, name="in")(layers.Dense(2, name="first")(inner_input)), name="inner"
    )
    inputs = keras.Input((2,))
    before, after = layers.Dense(2, name="before"), layers.Dense(2, name="after")
    model = keras.Model(inputs, after(inner(before(inputs))))
    flow = target.flow(model)
    path = {name: next(p for p in target.variables(model) if f"/{p}".endswith(f"/{name}/kernel"))
            for name in ("before", "first", "in", "after")}  # fmt: skip
    assert flow.nearest([path["after"]]) >= {path["in"]} and path["first"] not in flow.nearest([path["after"]])
    assert path["before"] in flow.nearest([path["first"]])
    assert flow.after([path["before"]]) == set()
    assert target.flow(layers.Dense(2)) is None
