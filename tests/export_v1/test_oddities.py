"""Ways to save a model that are not the usual one: what each case is about, beyond its answers."""

import json

import numpy as np
import pytest
import tensorflow as tf

import export_v1
import load_v2
from export_v1 import errors
from export_v1.analysis import kernels
from export_v1.artifact import save
from export_v1.passes import replace
from export_v1.source import checkpoint as checkpoint_source
from export_v1.source import meta_graph, session_bundle
from export_v1.weights.session import CONFIG, SERVED
from tests.support import cases

v1 = tf.compat.v1


def _variables(folder) -> dict[str, tf.Variable]:
    return {one.name.removesuffix(":0"): one for one in tf.saved_model.load(str(folder)).variables}


def _checkpoint(name: str) -> str:
    case = cases.load(name)
    return str(case.folder / case.config["checkpoint"])


def _names(name: str) -> dict[str, object]:
    return {key: cases.load(name).config[key] for key in ("inputs", "outputs")}


def _sine(count: int, start: float) -> np.ndarray:
    """Values as the cases give them to variables."""
    return (np.sin(np.arange(count) + start) * 0.5).astype("f")


def _answers(folder, inputs) -> dict[str, tf.Tensor]:
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    return signature(**{key: tf.constant(value) for key, value in inputs.items()})


def test_variables_without_a_collection_are_restored_and_trainable(exported):
    found = _variables(exported("odd_no_collection"))
    np.testing.assert_allclose(found["w"].numpy().ravel(), _sine(12, 1), rtol=1e-6)
    np.testing.assert_allclose(found["b"].numpy(), _sine(3, 2), rtol=1e-6)
    assert all(one.trainable for one in found.values())


def test_variables_that_the_checkpoint_lacks_are_listed(tmp_path):
    with pytest.raises(errors.ExportError, match="1 of 2 variables.*\n.*'scale'(.|\n)*--init_missing"):
        export_v1.export(
            checkpoint=_checkpoint("odd_partial_saver"), export_dir=str(tmp_path / "out"), **_names("odd_partial_saver")
        )
    assert not (tmp_path / "out").exists()


def test_init_missing_takes_their_initializer_and_says_so(tmp_path):
    case = cases.load("odd_partial_saver")
    report = export_v1.export(
        checkpoint=_checkpoint(case.name), export_dir=str(tmp_path / "out"), init_missing=True, **_names(case.name)
    )
    np.testing.assert_allclose(_variables(tmp_path / "out")["scale"].numpy(), _sine(3, 5), rtol=1e-6)
    cases.assert_equal(_answers(tmp_path / "out", case.oracle("in")), case.oracle())
    assert any("'scale'" in one["what"] and "--init_missing" in one["why"] for one in report["choices"])
    assert load_v2.verify(str(tmp_path / "out")).equal


def test_an_initializer_may_read_a_restored_variable(tmp_path):
    with tf.Graph().as_default(), v1.Session() as session:
        v1.disable_resource_variables()
        try:
            w = v1.get_variable("w", initializer=tf.constant([1.0, 2.0]))
            double = v1.get_variable("double", initializer=w.initialized_value() * 2.0)
        finally:
            v1.enable_resource_variables()
        tf.add(v1.placeholder(tf.float32, [None, 2], "x"), double + w, name="y")
        # One after the other: run together, the second may look at the first before it has a value.
        session.run(w.initializer)
        session.run(double.initializer)
        session.run(w.assign([5.0, 7.0]))
        path = v1.train.Saver([w]).save(session, str(tmp_path / "model.ckpt"))
    export_v1.export(checkpoint=path, export_dir=str(tmp_path / "out"), init_missing=True)
    np.testing.assert_array_equal(_variables(tmp_path / "out")["double"].numpy(), [10.0, 14.0])


def test_a_local_variable_is_its_initializer_without_being_asked(exported):
    found = _variables(exported("odd_local_variable"))
    np.testing.assert_allclose(found["norm/mean"].numpy(), _sine(4, 3), rtol=1e-6)
    assert not found["norm/mean"].trainable and found["w"].trainable
    record = json.loads((exported("odd_local_variable") / "assets.extra" / "export_v1.json").read_text())
    assert any("'norm/mean'" in one["what"] and "local variable" in one["why"] for one in record["choices"])


@pytest.mark.parametrize(
    ("name", "variable", "key"),
    [("odd_ema_names", "w", "w/ExponentialMovingAverage"), ("odd_saver_scope", "w", "other/name")],
)
def test_the_savers_own_names_lead_to_the_values(exported, name, variable, key):
    wanted = tf.train.load_checkpoint(_checkpoint(name))
    assert not wanted.has_tensor(variable)
    np.testing.assert_array_equal(_variables(exported(name))[variable].numpy(), wanted.get_tensor(key))


def test_a_tower_trains_with_its_own_updates_alone(exported):
    loaded = tf.saved_model.load(str(exported("odd_towers")))
    assert len(loaded.variables) == 6
    images = cases.load("odd_towers").oracle("in")["x"]
    mean = next(one for one in loaded.variables if one.name == "model/bn/moving_mean:0")
    kernel, bias = (
        next(one for one in loaded.variables if one.name == f"model/conv/{part}:0") for part in ("kernel", "bias")
    )
    batch = tf.reduce_mean(tf.nn.conv2d(images, kernel, 1, "VALID") + bias, [0, 1, 2])
    loaded.signatures["train"](x=tf.constant(images))
    # Momentum 0.5 from zero, once: the other tower's update would have moved it twice, and needs inputs of its own.
    np.testing.assert_allclose(mean.numpy(), 0.5 * batch, rtol=1e-4, atol=1e-6)


def test_a_bool_variable_is_frozen_by_its_name(exported, tmp_path):
    assert set(_variables(exported("odd_bool_variable"))) == {"w"}
    with tf.Graph().as_default() as graph, v1.Session() as session:
        v1.saved_model.load(session, ["serve"], str(exported("odd_bool_variable")))
        assert not [one for one in graph.get_operations() if one.type in ("RandomUniform", "If", "Switch")]


def test_zero_states_can_be_fed(exported):
    case = cases.load("odd_zero_state")
    inputs = case.oracle("in")
    fed = _answers(exported("odd_zero_state"), inputs)
    zeros = _answers(exported("odd_zero_state"), {**inputs, "c": 0 * inputs["c"], "h": 0 * inputs["h"]})
    assert not np.allclose(fed["y"], zeros["y"], atol=1e-3)


def test_an_optimizers_slot_and_an_inner_gradient_stay_on_the_way(exported):
    found = _variables(exported("odd_inner_gradient"))
    assert {name: one.trainable for name, one in found.items()} == {"w": True, "w/Momentum": False}
    layer = load_v2.SignatureLayer(str(exported("odd_inner_gradient")))
    inputs = {key: tf.constant(value) for key, value in cases.load("odd_inner_gradient").oracle("in").items()}
    weight = layer.trainable_weights[0].value
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(inputs) ** 2)
    # Second derivatives: through the inner gradient, too.
    assert np.abs(tape.gradient(loss, weight)).max() > 0.01


# Session bundles.

BUNDLE = cases.FOLDER / "odd_session_bundle" / "bundle"


@pytest.mark.parametrize("named", ["", "export.meta", "export-00000-of-00001", "export"])
def test_a_session_bundle_answers_under_its_signatures(named, tmp_path):
    case = cases.load("odd_session_bundle")
    export_v1.export(checkpoint=str(BUNDLE / named), export_dir=str(tmp_path / "out"))
    loaded = tf.saved_model.load(str(tmp_path / "out"))
    got = loaded.signatures["serving_default"](inputs=tf.constant(case.oracle("in")["inputs"]))
    np.testing.assert_allclose(got["scores"], case.oracle()["scores"], rtol=1e-6)
    got = loaded.signatures["predict"](images=tf.constant(case.oracle("in")["inputs"]))
    np.testing.assert_allclose(got["logits"], case.oracle()["logits"], rtol=1e-6)
    with tf.Graph().as_default(), v1.Session() as session:
        kept = v1.saved_model.load(session, ["serve"], str(tmp_path / "out")).signature_def
    assert kept["serving_default"].method_name == "tensorflow/serving/classify"


def test_its_generic_signatures_are_the_default_where_there_is_no_other():
    meta = meta_graph.read(str(BUNDLE / "export.meta"))
    message = session_bundle.MESSAGES.classes["Signatures"]()
    content = meta.collection_def["serving_signatures"].any_list.value[0]
    message.ParseFromString(content.value)
    message.ClearField("default_signature")
    content.value = message.SerializeToString()
    assert session_bundle.signatures(meta)["serving_default"].inputs == {"images": "x:0"}
    content.value = b"\xff\xff"
    assert session_bundle.signatures(meta) == {}
    assert session_bundle.signatures(meta_graph.read(_checkpoint("odd_towers") + ".meta")) == {}


# Ops that this TensorFlow, or this machine, cannot run.


def test_an_op_that_is_gone_is_found_before_anything_is_written(tmp_path):
    with pytest.raises(
        errors.ExportError, match="does not know.*BucketizeWithInputBoundaries.*'bucket'.*\n.*--op_library"
    ):
        export_v1.export(
            checkpoint=_checkpoint("odd_unknown_op"),
            export_dir=str(tmp_path / "out"),
            keep_ops=["BucketizeWithInputBoundaries"],
            **_names("odd_unknown_op"),
        )
    assert not (tmp_path / "out").exists()


def test_the_graph_can_be_cut_after_an_op_that_is_gone(tmp_path):
    export_v1.export(
        checkpoint=_checkpoint("odd_unknown_op"),
        export_dir=str(tmp_path / "out"),
        inputs={"bucket": "bucket:0[None]"},
        outputs={"y": "y:0"},
    )
    got = _answers(tmp_path / "out", {"bucket": np.array([1, 2], "i4")})
    np.testing.assert_allclose(got["y"], cases.load("odd_unknown_op").oracle()["y"], rtol=1e-6)


def _node(op: str, **types) -> v1.GraphDef:
    graph_def = v1.GraphDef()
    node = graph_def.node.add(name="here", op=op)
    for key, value in types.items():
        node.attr[key].type = value.as_datatype_enum
    return graph_def


@pytest.mark.parametrize(
    ("graph_def", "what"),
    [
        (_node("CudnnRNN", T=tf.float32), "CudnnRNN for GPU only"),
        (_node("BiasAdd", T=tf.string), "BiasAdd of string"),
        (_node("PyFunc"), "Python code"),
        (_node("NoSuchOp"), "NoSuchOp"),
    ],
)
def test_what_cannot_be_run_here_is_named(graph_def, what):
    if "GPU" in what and tf.config.list_physical_devices("GPU"):
        graph_def = _node("TPUReplicateMetadata")
        what = "TPUReplicateMetadata"
    with pytest.raises(errors.ExportError, match=f"{what}.*'here'(.|\n)*--input=KEY=TENSOR"):
        kernels.check(graph_def)


# What makes and grows trees has no replacement: it is in no way to an output.
@pytest.mark.parametrize("name", [name for name in cases.names("meta_ckpt") if not name.startswith("trees_")])
def test_ops_with_kernels_pass(name):
    """Whole training graphs of every case: queues, optimizers, control flow, summaries."""
    graph_def = checkpoint_source.read(cases.load(name).flags()["checkpoint"]).graph.graph_def
    runnable = replace.ops(graph_def, written=graph_def, stored=lambda key: None, unrunnable_only=True)
    kernels.check(runnable.graph_def)


def test_a_signature_without_inputs_is_exported_with_none(tmp_path):
    case = cases.load("odd_no_inputs")
    report = export_v1.export(saved_model=str(case.folder / "saved_model"), export_dir=str(tmp_path / "out"))
    assert dict(report["inputs"]) == {}
    cases.assert_equal(_answers(tmp_path / "out", {}), case.oracle())
    assert load_v2.verify(str(tmp_path / "out")).equal


def test_an_output_of_a_graph_without_data_needs_no_input(tmp_path):
    with tf.Graph().as_default(), v1.Session() as session:
        tf.matmul(*[v1.get_variable("w", initializer=_sine(4, 1).reshape(2, 2))] * 2, name="product")
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    where = {"checkpoint": str(tmp_path / "model.ckpt"), "export_dir": str(tmp_path / "out")}
    with pytest.raises(errors.ExportError, match=r"--output=product=product:0 "):
        export_v1.export(**where)
    export_v1.export(**where, outputs={"product": "product:0"})
    w = _sine(4, 1).reshape(2, 2)
    np.testing.assert_allclose(_answers(tmp_path / "out", {})["product"], w @ w, rtol=1e-6)


def test_one_of_two_keys_for_a_tensor_stays(tmp_path):
    case = cases.load("odd_two_keys")
    report = export_v1.export(saved_model=str(case.folder / "saved_model"), export_dir=str(tmp_path / "out"))
    assert list(report["inputs"]) == ["a"]
    cases.assert_equal(_answers(tmp_path / "out", case.oracle("in")), case.oracle())


def test_constants_that_are_data_can_be_cut(tmp_path):
    data = np.linspace(0, 1, 6).reshape(3, 2).astype("f")
    with tf.Graph().as_default(), v1.Session() as session:
        w = v1.get_variable("w", initializer=_sine(4, 1).reshape(2, 2))
        v1.losses.mean_squared_error(tf.zeros([3, 2]), tf.matmul(tf.constant(data, name="data"), w, name="y"))
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    where = {"checkpoint": str(tmp_path / "model.ckpt"), "outputs": {"y": "y:0"}}
    export_v1.export(**where, export_dir=str(tmp_path / "cut"), inputs={"data": "data:0[None,2]"})
    weights = _sine(4, 1).reshape(2, 2)
    np.testing.assert_allclose(_answers(tmp_path / "cut", {"data": -data})["y"], -data @ weights, rtol=1e-5)
    export_v1.export(**where, export_dir=str(tmp_path / "kept"))
    np.testing.assert_allclose(_answers(tmp_path / "kept", {})["y"], data @ weights, rtol=1e-5)


def test_what_freezes_nothing_is_said_and_nodes_are_counted_once(tmp_path):
    case = cases.load("odd_cond_v2")
    report = export_v1.export(**case.flags(), export_dir=str(tmp_path / "out"))
    nodes = report["nodes"]
    assert 0 < nodes["kept"] <= nodes["original"] and nodes["kept"] + nodes["dropped"] == nodes["original"]
    names = {"outputs": {"h": "MatMul:0"}, "inputs": case.config["inputs"]}
    report = export_v1.export(
        checkpoint=_checkpoint(case.name), export_dir=str(tmp_path / "part"), freeze={"training:0": False}, **names
    )
    assert any("training:0 changes nothing" in one["what"] for one in report["choices"])


def test_signatures_of_inference_and_training_share_a_vocabulary(tmp_path):
    import load_v2

    case, folder = cases.load("lookup_vocab"), str(tmp_path / "1")
    flags = {**case.flags(), "train_freeze": {"keras_learning_phase:0": True}}
    report = export_v1.export(export_dir=folder, **flags)
    assert set(report["signatures"]) == {"serving_default", "train"}
    assert sorted(path.name for path in (tmp_path / "1" / "assets").iterdir()) == ["vocab.txt"]
    words, want = tf.constant(case.oracle("in")["words"]), case.oracle("out")["logits"]
    for signature in tf.saved_model.load(folder).signatures.values():
        np.testing.assert_allclose(signature(words=words)["logits"], want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        load_v2.SignatureLayer(folder)(words, training=True)["logits"], want, rtol=1e-5, atol=1e-6
    )


def test_words_are_looked_up_in_one_table_in_inference_and_in_training(exported):
    case = cases.load("odd_vocabulary_training")
    folder = exported(case.name)
    assert sorted(path.name for path in (folder / "assets").iterdir()) == ["vocab.txt"]
    words, layer = tf.constant(case.oracle("in")["words"]), load_v2.SignatureLayer(folder)
    cases.assert_equal({"y": layer(words)}, case.oracle())
    cases.assert_equal({"y": layer(words, training=True)}, case.oracle("train"))


def test_a_box_drawn_at_random_is_no_danger_and_what_it_crops_is_not_compared(tmp_path):
    case = cases.load("odd_distorted_boxes")
    names = {"inputs": case.config["inputs"], "outputs": case.config["outputs"]}
    report = export_v1.export(checkpoint=_checkpoint(case.name), export_dir=str(tmp_path / "out"), **names)
    assert set(report["proof"]["not_proven"]) == {"y"}
    answers = _answers(tmp_path / "out", case.oracle("in"))
    cases.assert_equal({"brightness": answers["brightness"]}, case.oracle())
    assert answers["y"].shape == case.oracle("random")["y"].shape


def _frozen(name: str, path) -> str:
    """Writes the graph of a checkpoint, frozen as TensorFlow 1's freeze_graph does it."""
    case = cases.load(name)
    with tf.Graph().as_default() as graph, v1.Session() as session:
        saver = v1.train.import_meta_graph(_checkpoint(name) + ".meta", clear_devices=True)
        saver.restore(session, _checkpoint(name))
        nodes = [tensor.split(":")[0] for tensor in case.config["outputs"].values()]
        graph_def = v1.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), nodes)
    path.write_bytes(graph_def.SerializeToString())
    return str(path)


@pytest.mark.parametrize(("flags", "config"), [({}, SERVED), ({"unfreeze": True}, CONFIG)])
def test_constants_are_compared_as_tensorflow_rewrites_them(tmp_path, monkeypatch, flags, config):
    case, configs, real = cases.load("mlp_layers"), [], save.write

    def write(exported, folder, checks, config, **options):
        configs.append(config)
        return real(exported, folder, checks, config, **options)

    monkeypatch.setattr(save, "write", write)
    names = {"inputs": case.config["inputs"], "outputs": case.config["outputs"]}
    frozen = _frozen("mlp_layers", tmp_path / "frozen.pb")
    export_v1.export(graph_def=frozen, export_dir=str(tmp_path / "1"), **names, **flags)
    assert configs == [config]


def test_a_frozen_layer_norm_is_equal_as_it_is_served_or_refused(tmp_path):
    """With oneDNN, TensorFlow 2.21 gives a layer norm whose gamma and beta are constants another epsilon."""
    case = cases.load("bert_tiny")
    frozen, folder = _frozen("bert_tiny", tmp_path / "frozen.pb"), tmp_path / "1"
    names = {"inputs": case.config["inputs"], "outputs": case.config["outputs"]}
    try:
        export_v1.export(graph_def=frozen, export_dir=str(folder), **names)
    except export_v1.ExportError as error:
        assert "does not answer as the original does" in str(error) and "--unfreeze makes variables" in str(error)
        assert not folder.exists()
        export_v1.export(graph_def=frozen, export_dir=str(folder), unfreeze=True, **names)
    served = tf.saved_model.load(str(folder)).signatures["serving_default"]
    fed = {key: tf.constant(value) for key, value in case.oracle("in").items()}
    cases.assert_equal(served(**fed), case.oracle())
