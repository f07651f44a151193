"""Checkpoints of TensorFlow 1.15 in Keras models: the answers are TensorFlow 1.15's, and nothing is done in silence."""

import keras
import numpy as np
import pytest
from keras import layers

from load_v2.errors import LoadError
from load_v2.porting import Rule, load_checkpoint_weights
from tests.support import cases, porting_models

RULES = cases.FOLDER / "port_rules"


def oracle(case):
    return cases.FOLDER / case / "oracle.npz"


def port(model, case, rules=None, **more):
    """Loads a case into a model whose weights are first made wrong, and compares with TensorFlow 1.15's answers.

    `rules` is a file of fixtures/port_rules, or Rule objects.
    """
    for weight in model.weights:
        weight.assign(keras.ops.full(weight.shape, -7.0))
    return load_checkpoint_weights(
        model,
        cases.FOLDER / case / "model.ckpt-3",
        RULES / rules if isinstance(rules, str) else rules,
        expect=oracle(case),
        **more,
    )


def assert_accounted(report):
    """Asserts that each variable of the checkpoint is used or skipped, once, and each weight is filled."""
    used = {key for assignment in report.assignments for key in assignment.keys}
    assert used | set(report.skipped) == set(report.entries)
    assert not used & set(report.skipped)
    assert [assignment.weight for assignment in report.assignments] == list(report.weights)
    assert report.proven == len(report.weights)
    assert report.complete


@pytest.mark.parametrize(
    ("case", "model"),
    [
        ("port_textbook", porting_models.textbook),
        ("mlp_layers", porting_models.mlp),
        ("convnet_bn_dropout", porting_models.convnet),
        ("slim_contrib_net", porting_models.slim_net),
        ("port_same_shapes", porting_models.same_shapes),
        ("port_tf_keras", porting_models.tf_keras),
    ],
)
@pytest.mark.parametrize("meta", [True, False])
def test_by_itself(case, model, meta, tmp_path):
    folder = copied(case, tmp_path, meta)
    model = model()
    report = load_checkpoint_weights(model, folder, expect=oracle(case))
    assert_accounted(report)
    assert len(report.answers) == len(keras.tree.flatten(model.outputs))


def copied(case, tmp_path, meta=True):
    for file in (cases.FOLDER / case).iterdir():
        if meta or file.suffix != ".meta":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


@pytest.mark.parametrize(
    ("case", "model", "rules"),
    [
        ("lstm_dynamic_rnn", porting_models.LastState, "lstm_gru.toml"),
        ("port_lstm_cells", porting_models.lstm_cells, "lstm_cells.toml"),
        ("port_cudnn", porting_models.cudnn, "cudnn.toml"),
        ("port_conv1", porting_models.Conv1, "conv1.toml"),
        ("bert_tiny", porting_models.bert, "bert.toml"),
        ("port_bert_names", lambda: porting_models.bert(25, 6, 12, 3, 2, 20, segments=2), "bert.toml"),
    ],
)
def test_by_rules(case, model, rules):
    report = port(model(), case, rules)
    assert_accounted(report)
    assert report.answers and all(answer.equal for answer in report.answers)


def test_bert_rules_account_for_heads_and_optimizer():
    report = port(porting_models.bert(25, 6, 12, 3, 2, 20, segments=2), "port_bert_names", "bert.toml")
    assert report.skipped["cls/predictions/output_bias"] == "pre-training head"
    assert report.skipped["bert/pooler/dense/kernel/adam_m"] == "optimizer slot of 'bert/pooler/dense/kernel'"
    assert report.skipped["global_step"] == "training step counter"


def test_moving_averages_only_when_asked_for():
    with np.load(oracle("ema_shadow")) as file:
        x, plain, averaged = file["in/x"], file["out/out"], file["ema/out"]

    def loaded(**more):
        model = keras.Sequential([keras.Input((5,)), layers.Dense(7, activation="tanh"), layers.Dense(2)])
        report = load_checkpoint_weights(model, cases.FOLDER / "ema_shadow", **more)
        used = {key for assignment in report.assignments for key in assignment.keys}
        assert used | set(report.skipped) == set(report.entries)
        return report, model(x)

    report, answer = loaded()
    np.testing.assert_allclose(answer, plain, atol=1e-5)
    assert "ema=True" in report.choices[0]
    report, answer = loaded(ema=True)
    np.testing.assert_allclose(answer, averaged, atol=1e-5)
    assert report.assignments[0].keys == ("dense/kernel/ExponentialMovingAverage",)
    assert "ExponentialMovingAverage' is used" in report.skipped["dense/kernel"]
    with pytest.raises(LoadError, match="no moving averages"):
        load_checkpoint_weights(porting_models.mlp(), cases.FOLDER / "mlp_layers", ema=True)


def embedder(rows, size, out, name="head"):
    ids = keras.Input((None,), dtype="int64")
    mean = layers.GlobalAveragePooling1D()(layers.Embedding(rows, size)(ids))
    return keras.Model(ids, layers.Dense(out, name=name)(mean))


def test_parts_with_keys_of_their_own_are_joined():
    report = load_checkpoint_weights(embedder(13, 4, 2), cases.FOLDER / "port_parts", expect=oracle("port_parts"))
    assert_accounted(report)
    assert report.skipped["emb/Adagrad"] == "optimizer slot of 'emb'"


def test_partitioned_variables_come_whole():
    ids = keras.Input((5,), dtype="int64")
    total = layers.Lambda(lambda e: keras.ops.sum(e, 1))(layers.Embedding(20, 6)(ids))
    model = keras.Model(ids, layers.Dense(4, use_bias=False)(total))
    assert_accounted(
        load_checkpoint_weights(model, cases.FOLDER / "partitioned_embedding", expect=oracle("partitioned_embedding"))
    )


@pytest.mark.parametrize(
    ("case", "file"),
    [
        ("v1_format", "model.ckpt-3"),
        ("v1_format", "model.ckpt-3.meta"),
        ("v1_format", ""),
        ("sharded_ckpt", "model.ckpt-3.data-00001-of-00002"),
        ("sharded_ckpt", "model.ckpt-3.index"),
        ("port_files/sharded_v1", "model.ckpt-3"),
        ("port_files/sharded_v1", "model.ckpt-3-00001-of-00002"),
        ("port_files/sharded_v1", ""),
    ],
)
def test_any_file_of_a_checkpoint_names_it(case, file):
    sizes = [2] if case == "v1_format" else [4, 2]
    model = keras.Sequential([keras.Input((3,)), *(layers.Dense(size) for size in sizes)])
    assert_accounted(load_checkpoint_weights(model, cases.FOLDER / case / file, expect=oracle(case)))


def test_names_of_layers_made_before_do_not_matter():
    # The numbers of this model's layers are one or more ahead of the checkpoint's: `dense_1` is not `dense_1`.
    keras.utils.clear_session()
    keras.Sequential([keras.Input((8,)), layers.Dense(8)])
    assert_accounted(port(porting_models.same_shapes(), "port_same_shapes"))


def test_two_heads_of_one_shape_are_not_guessed(tmp_path):
    model = porting_models.same_shapes(heads=("actor", "critic"))
    before = [weight.numpy() for weight in model.weights]
    with pytest.raises(LoadError) as caught:
        load_checkpoint_weights(model, cases.FOLDER / "port_same_shapes")
    message = str(caught.value)
    assert "Undecided: 'actor' could be 'policy' or 'value'" in message
    assert "key = 'policy'    # or 'value'\n    weight = 'actor'\n    preset = \"layer\"" in message
    assert all(np.array_equal(was, weight.numpy()) for was, weight in zip(before, model.weights, strict=True))
    # What it says to paste is right, and enough.
    pasted = message[message.index("    [[rule]]") :].replace("\n    ", "\n")
    (tmp_path / "rules.toml").write_text(pasted)
    report = load_checkpoint_weights(
        model, cases.FOLDER / "port_same_shapes", tmp_path / "rules.toml", expect=oracle("port_same_shapes")
    )
    assert_accounted(report)


def test_a_chain_in_code_has_no_known_order():
    class Code(keras.Model):
        def __init__(self):
            super().__init__()
            self.chain = [layers.Dense(8, activation="tanh") for _ in range(11)]
            self.policy, self.value = layers.Dense(3, name="policy"), layers.Dense(3, name="value")

        def call(self, x):
            for layer in self.chain:
                x = layer(x)
            return {"policy": self.policy(x), "value": self.value(x)}

    model = Code()
    model(np.zeros((1, 8), "f"))
    with pytest.raises(LoadError, match="Undecided: .* could be 'dense' or 'dense_1'"):
        load_checkpoint_weights(model, cases.FOLDER / "port_same_shapes")


def test_everything_that_does_not_fit_is_said_at_once():
    inputs = keras.Input((16,))
    hidden = layers.Dense(31, name="dense")(inputs)
    model = keras.Model(inputs, [layers.Dense(3, name="other")(hidden), layers.BatchNormalization(name="norm")(hidden)])
    before = [weight.numpy() for weight in model.weights]
    with pytest.raises(LoadError) as caught:
        load_checkpoint_weights(model, cases.FOLDER / "mlp_layers")
    message = str(caught.value)
    for fact in (
        "of 8 weights",
        "'dense/kernel' for 'dense/kernel': shape [16, 32] from the checkpoint, [16, 31] in the model",
        "'norm/gamma' [31]",
        "'other/kernel' [31, 3]",
        "'dense_1/kernel' [32, 3]",
        "the model is unchanged",
    ):
        assert fact in message
    assert all(np.array_equal(was, weight.numpy()) for was, weight in zip(before, model.weights, strict=True))


def test_not_strict_loads_what_fits_and_returns_the_rest():
    inputs = keras.Input((16,))
    hidden = layers.Dense(32, activation="relu")(inputs)
    model = keras.Model(inputs, [layers.Dense(3)(hidden), layers.Dense(4, name="new")(hidden)])
    report = load_checkpoint_weights(model, cases.FOLDER / "mlp_layers", strict=False)
    assert report.missing == ["new/kernel", "new/bias"]
    assert report.proven == 4
    assert not report.complete
    assert "Missing in the checkpoint (2): 'new/kernel' [32, 4]" in str(report)


def test_a_net_of_branches_with_a_head_that_the_model_lacks():
    model = porting_models.branches()
    with pytest.raises(LoadError) as caught:
        port(model, "port_branches")
    assert "Left over in the checkpoint (4): 'aux/logits/bias' [5]" in str(caught.value)
    assert "key = 'aux/.*'\n    skip = " in str(caught.value) and "Undecided" not in str(caught.value)
    report = port(model, "port_branches", [Rule("aux/.*", skip="not in this model")])
    assert_accounted(report)
    sources = {assignment.keys[0]: assignment.weight for assignment in report.assignments}
    first, _, last = (sources[f"mixed_c/{name}/kernel"] for name in ("b1x1", "b3x3", "pool_proj"))
    order = list(report.weights)
    assert order.index(first) < order.index(last)


def test_branches_in_another_order_are_another_model():
    # The one of the pool is told by what it computes from alone, which both branches of one convolution do.
    with pytest.raises(LoadError, match="Undecided|does not give the answers"):
        port(porting_models.branches(swapped=True), "port_branches", [Rule("aux/.*", skip="not in this model")])


def test_weights_that_a_rule_keeps_stay_as_the_model_has_them():
    inputs = keras.Input((16,))
    hidden = layers.Dense(32, activation="relu", name="dense")(inputs)
    model = keras.Model(inputs, layers.Dense(7, name="new_head")(hidden))
    before = [np.asarray(weight) for weight in model.get_layer("new_head").weights]
    rules = [Rule("dense_1/.*", skip="another task"), Rule(weight="new_head/.*", keep="trained from here on")]
    with pytest.raises(LoadError, match=r"weight = 'new_head/\.\*'\n    keep = \"not in the checkpoint\""):
        load_checkpoint_weights(model, cases.FOLDER / "mlp_layers", rules[:1])
    with pytest.raises(LoadError, match="no matching variable for 1 of 4 weights"):
        kept = Rule(weight="new_head/kernel", keep=True)
        load_checkpoint_weights(model, cases.FOLDER / "mlp_layers", [rules[0], kept])
    report = load_checkpoint_weights(model, cases.FOLDER / "mlp_layers", rules)
    assert report.complete and report.proven == 2
    assert report.kept == dict.fromkeys(("new_head/kernel", "new_head/bias"), "trained from here on")
    assert "2 of 4 weights of" in str(report) and "kept as the model had it, trained from here on: 2 (" in str(report)
    assert "kept as they were" in repr(report)
    for weight, value in zip(model.get_layer("new_head").weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
    with np.load(oracle("mlp_layers")) as file:
        assert not np.array_equal(keras.Model(inputs, hidden)(file["in/x"]), np.zeros((1, 32)))


@pytest.mark.parametrize(
    ("rules", "fact"),
    [
        ([Rule("dense/kernel", "new_head/kernel"), Rule(weight="new_head/.*", keep=True)], "does not fit|shape"),
        ([Rule(weight="new_haed/.*", keep=True)], "Matched nothing: rule 1 \\(new_haed/.*\\): closest: 'new_head"),
        ([Rule(weight="new_head", keep=True)], "it matches only a part of 'new_head/bias'"),
        ([Rule(weight=".*", keep=True), Rule("dense_1/bias", "new_head/bias")], "an earlier rule keeps it"),
        ([Rule(weight="new_.*", keep=True), Rule(weight="new_head/bias", keep=True)], "an earlier rule has filled"),
    ],
)
def test_a_rule_that_keeps_what_is_not_there_or_taken_is_said(rules, fact):
    inputs = keras.Input((16,))
    hidden = layers.Dense(32, activation="relu", name="dense")(inputs)
    model = keras.Model(inputs, layers.Dense(7, name="new_head")(hidden))
    with pytest.raises(LoadError, match=fact):
        load_checkpoint_weights(model, cases.FOLDER / "mlp_layers", [*rules, Rule("nothing/.*", skip=True)])


def test_left_over_variables_are_refused_with_a_rule_to_skip_them():
    model = keras.Sequential([keras.Input((16,)), layers.Dense(32)])
    with pytest.raises(LoadError) as caught:
        load_checkpoint_weights(model, cases.FOLDER / "mlp_layers")
    assert "Left over in the checkpoint (2): 'dense_1/bias' [3], 'dense_1/kernel' [32, 3]" in str(caught.value)
    assert "key = 'dense_1/.*'\n    skip = " in str(caught.value)
    report = load_checkpoint_weights(model, cases.FOLDER / "mlp_layers", [Rule("dense_1/.*", skip="other task")])
    assert report.skipped["dense_1/bias"] == "other task"


def test_a_square_transposed_kernel_is_caught_by_expected_answers_alone():
    # Both orders fit, and both read back equal: only the answer tells.
    rules = [
        Rule("conv1", "stem/convolution", preset="layer"),
        Rule("local/(down|mix)", r"\1/kernel"),
        Rule("out_weights", "head/kernel"),
    ]
    model = porting_models.Conv1()
    with np.load(oracle("port_conv1")) as file:
        model(file["in/x"])
    before = [weight.numpy() for weight in model.weights]
    with pytest.raises(LoadError, match=r"Output out: DIFFERENT, largest difference .* at \[\d, \d\]"):
        load_checkpoint_weights(model, cases.FOLDER / "port_conv1", rules, expect=oracle("port_conv1"))
    assert all(np.array_equal(was, weight.numpy()) for was, weight in zip(before, model.weights, strict=True))
    assert load_checkpoint_weights(model, cases.FOLDER / "port_conv1", rules).proven == 5


def test_swapped_gates_and_a_wrong_forget_bias_are_caught():
    for wrong in (
        Rule("block/lstm_cell", "block", preset="lstm", forget_bias=0.0),
        Rule("block/lstm_cell/bias", "block/lstm_cell/bias", more=False),
    ):
        rules = [
            Rule("bidirectional_rnn/fw/basic_lstm_cell", "forward_lstm", preset="lstm", forget_bias=0.5),
            Rule("bidirectional_rnn/bw/basic_lstm_cell", "backward_lstm", preset="lstm", forget_bias=0.5),
            wrong,
            Rule("gru/gru_cell", "gru", preset="gru"),
            # The kernel's rows, without putting its gates in Keras's order.
            Rule(
                "block/lstm_cell/kernel",
                ["block/lstm_cell/kernel", "block/lstm_cell/recurrent_kernel"],
                transform=[{"split": {"axis": 0, "sizes": [8, 6]}}],
            ),
        ]
        with pytest.raises(LoadError, match="does not give the answers.*\n.*Output out: DIFFERENT"):
            load_checkpoint_weights(
                porting_models.lstm_cells(), cases.FOLDER / "port_lstm_cells", rules, expect=oracle("port_lstm_cells")
            )


def test_a_wrong_rule_is_named():
    model = keras.Sequential([keras.Input((16,)), layers.Dense(32, name="first"), layers.Dense(3, name="last")])
    rules = [Rule("dense/kernel", "last/kernel"), Rule("dense_1/kernel", "frist/kernel")]
    with pytest.raises(LoadError) as caught:
        load_checkpoint_weights(model, cases.FOLDER / "mlp_layers", rules)
    message = str(caught.value)
    assert "rule 1: 'dense/kernel' for 'sequential" in message
    assert "/last/kernel': shape [16, 32] from the checkpoint, [32, 3] in the model" in message
    assert "rule 2: weight 'frist/kernel' is not in the model; closest: 'sequential" in message


@pytest.mark.parametrize(
    ("case", "model", "rule", "fact"),
    [
        ("port_peephole", None, Rule("rnn/lstm_cell", "lstm", preset="lstm"), "'w_f_diag', 'w_i_diag', 'w_o_diag' too"),
        ("port_cudnn", False, Rule("cudnn_gru/.*/cudnn_.*_cell", "gru", preset="cudnn_gru"), "reset_after=True"),
        ("lstm_dynamic_rnn", True, Rule("rnn/.*/gru_cell", "gru", preset="gru"), "build GRU(reset_after=False)"),
    ],
)
def test_what_keras_cannot_do_is_said(case, model, rule, fact):
    if model is None:
        model = keras.Sequential([keras.Input((4, 5)), layers.LSTM(4, name="lstm")])
    else:
        model = porting_models.cudnn(reset_after=model)
    with pytest.raises(LoadError) as caught:
        load_checkpoint_weights(model, cases.FOLDER / case, [rule])
    assert fact in str(caught.value)


def test_recurrent_layers_are_not_matched_but_told_their_presets():
    model = porting_models.LastState()
    with np.load(oracle("lstm_dynamic_rnn")) as file:
        model(file["in/seq"], file["in/lengths"])
    with pytest.raises(LoadError) as caught:
        load_checkpoint_weights(model, cases.FOLDER / "lstm_dynamic_rnn")
    message = str(caught.value)
    assert "key = 'rnn/multi_rnn_cell/cell_0/lstm_cell'" in message
    assert 'preset = "lstm"\n    forget_bias = 1.0' in message
    assert "key = 'rnn/multi_rnn_cell/cell_1/gru_cell'" in message
    report = load_checkpoint_weights(model, cases.FOLDER / "lstm_dynamic_rnn", strict=False)
    assert report.proven == 2, "a bias of the same shape has other gates: only the projection can be matched"


def test_an_unbuilt_model_is_built_by_expected_inputs_or_refused():
    model = keras.Sequential([layers.Dense(128, activation="relu"), layers.Dense(10, activation="softmax")])
    with pytest.raises(LoadError, match="no weights yet.*\n.*keras.Input"):
        load_checkpoint_weights(model, cases.FOLDER / "port_textbook")
    assert_accounted(load_checkpoint_weights(model, cases.FOLDER / "port_textbook", expect=oracle("port_textbook")))
    with pytest.raises(LoadError, match="not a Keras 3 model"):
        load_checkpoint_weights(object(), cases.FOLDER / "port_textbook")


def test_damaged_files_leave_the_model_alone(tmp_path):
    folder = copied("port_textbook", tmp_path)
    data = folder / "model.ckpt-3.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-40])
    model = porting_models.textbook()
    before = [weight.numpy() for weight in model.weights]
    with pytest.raises(LoadError, match="Variable '.*' of '.*' cannot be read"):
        load_checkpoint_weights(model, folder)
    assert all(np.array_equal(was, weight.numpy()) for was, weight in zip(before, model.weights, strict=True))


def test_a_prefix_may_be_a_folder_with_its_slash(tmp_path):
    for file in (cases.FOLDER / "port_textbook").glob("model.ckpt-3.*"):
        (tmp_path / file.name.removeprefix("model.ckpt-3")).write_bytes(file.read_bytes())
    for path in (tmp_path, f"{tmp_path}/", tmp_path / ".index"):
        report = load_checkpoint_weights(porting_models.textbook(), path, expect=oracle("port_textbook"))
        assert_accounted(report)


def test_no_checkpoint_there(tmp_path):
    with pytest.raises(LoadError, match="no checkpoint at"):
        load_checkpoint_weights(porting_models.textbook(), tmp_path / "model.ckpt-9")
    with pytest.raises(LoadError, match="holds no checkpoint"):
        load_checkpoint_weights(porting_models.textbook(), tmp_path)
    for name in ("a.index", "b.index"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(LoadError, match="holds 2 checkpoints.*\n.*'a', 'b'"):
        load_checkpoint_weights(porting_models.textbook(), tmp_path)
    (tmp_path / "b.index").unlink()
    with pytest.raises(LoadError, match="cannot be read"):
        load_checkpoint_weights(porting_models.textbook(), tmp_path)
