"""SavedModels and Hub modules of TensorFlow 1: every signature, their variables, tables and main ops, and bad ones."""

import io
import json
import os
import pathlib
import shutil
import tarfile

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2, struct_pb2

import export_v1
import load_v2
from export_v1 import errors, pipeline
from export_v1.format import composite
from export_v1.interface import Input
from export_v1.ir.graph import Index
from export_v1.planning import grouping, variant
from export_v1.request import Request
from export_v1.source import saved_model, unpacking
from load_v2 import SignatureLayer, verify
from tests.support import cases, savedmodels

v1 = tf.compat.v1
MODELS = [*cases.names("saved_model"), *cases.names("hub_module")]


def _folder(name: str) -> pathlib.Path:
    return pathlib.Path(cases.load(name).flags()["saved_model"])


def _v1_signatures(folder):
    with tf.Graph().as_default(), v1.Session() as session:
        return v1.saved_model.load(session, ["serve"], str(folder)).signature_def


def _v1_answers(folder, key: str, inputs) -> dict[str, np.ndarray]:
    with tf.Graph().as_default(), v1.Session() as session:
        signature = v1.saved_model.load(session, ["serve"], str(folder)).signature_def[key]
        feeds = {signature.inputs[name].name: value for name, value in inputs.items()}
        return session.run({name: info.name for name, info in signature.outputs.items()}, feeds)


def _signature(name: str) -> str:
    return cases.load(name).config.get("signature", "serving_default")


@pytest.mark.parametrize("name", MODELS)
def test_answers_are_those_of_tensorflow_1_in_every_loader(name, exported):
    case, folder = cases.load(name), exported(name)
    for key in {_signature(name), "serving_default"}:
        cases.assert_equal(_v1_answers(folder, key, case.oracle("in")), case.oracle())
        loaded = tf.saved_model.load(str(folder)).signatures[key]
        cases.assert_equal(
            loaded(**{one: tf.constant(value) for one, value in case.oracle("in").items()}), case.oracle()
        )
    assert load_v2.verify(str(folder)).equal


@pytest.mark.parametrize("name", MODELS)
def test_every_signature_stays_with_its_keys_and_method(name, exported):
    kept = _v1_signatures(exported(name))
    read = saved_model.read(str(_folder(name))).graph.signatures
    for key, one in read.items():
        assert set(kept[key].inputs) == set(one.inputs), key
        assert set(kept[key].outputs) == set(one.outputs), key
        # Hub modules leave it empty, which TensorFlow Serving refuses.
        assert kept[key].method_name == (one.method_name or "tensorflow/serving/predict")
    assert set(kept) - set(read) <= {"serving_default", "train", "__saved_model_init_op"}


def test_second_signature_answers_as_tensorflow_1_did(exported):
    case = cases.load("saved_model_train_graph")
    answers = _v1_answers(exported("saved_model_train_graph"), "logits", case.oracle("in"))
    cases.assert_equal(answers, case.oracle("logits"))


def test_signatures_share_one_set_of_variables(exported):
    loaded = tf.saved_model.load(str(exported("odd_saved_model")))
    assert sorted(one.name for one in loaded.variables) == ["shift:0", "steps:0", "w:0"]
    case = cases.load("odd_saved_model")
    inputs = {key: tf.constant(value) for key, value in case.oracle("in").items()}
    before = loaded.signatures["labels"](**inputs)["y"].numpy()
    next(one for one in loaded.variables if one.name == "shift:0").assign_add([1.0, 1.0, 1.0])
    examples = [
        tf.train.Example(
            features=tf.train.Features(feature={"x": tf.train.Feature(float_list=tf.train.FloatList(value=row))})
        )
        for row in case.oracle("in")["x"]
    ]
    serialized = tf.constant([one.SerializeToString() for one in examples])
    np.testing.assert_allclose(loaded.signatures["from_example"](examples=serialized)["y"], before + 1.0, rtol=1e-6)
    np.testing.assert_allclose(loaded.signatures["labels"](**inputs)["y"], before + 1.0, rtol=1e-6)


def test_a_default_holds_where_it_is_no_input_and_is_fed_where_it_is_one(exported):
    case = cases.load("odd_saved_model")
    answers = _v1_answers(exported("odd_saved_model"), "scaled", {**case.oracle("in"), "scale": np.float32(0.5)})
    cases.assert_equal(answers, case.oracle("scaled"))


def test_what_the_main_op_sets_and_initializes_is_in_the_variables(exported):
    loaded = {one.name: one.numpy() for one in tf.saved_model.load(str(exported("odd_saved_model"))).variables}
    # The checkpoint has 3.0; the main op sets 1.5 after restoring. "shift" is local, in no checkpoint.
    assert loaded["steps:0"] == 1.5
    np.testing.assert_allclose(loaded["shift:0"], np.sin(np.arange(3) + 4) * 0.5, rtol=1e-6)
    checkpoint = tf.train.load_checkpoint(str(_folder("odd_saved_model") / "variables" / "variables"))
    assert checkpoint.get_tensor("steps") == 3.0 and not checkpoint.has_tensor("shift")


def test_choices_about_signatures_are_said(exported):
    record = json.loads((exported("odd_saved_model") / "assets.extra" / "export_v1.json").read_text())
    said = " ".join(f"{one['what']}: {one['why']}" for one in record["choices"])
    assert "signature 'labels' is also 'serving_default'" in said
    assert "scale:0 is frozen to 2.0" in said
    assert "graph with tags 'serve', of 2" in said


def test_hub_default_is_also_serving_default_and_trains_with_updates(exported):
    case, folder = cases.load("hub_module_tags"), exported("hub_module_tags")
    loaded = tf.saved_model.load(str(folder))
    assert {"default", "pooled", "serving_default", "train"} <= set(loaded.signatures)
    inputs = {key: tf.constant(value) for key, value in case.oracle("in").items()}
    before = {one.name: one.numpy() for one in loaded.variables}
    loaded.signatures["serving_default"](**inputs)
    assert all(np.array_equal(before[one.name], one.numpy()) for one in loaded.variables)
    loaded.signatures["train"](**inputs)
    changed = {one.name for one in loaded.variables if not np.array_equal(before[one.name], one.numpy())}
    assert changed == {"Conv/BatchNorm/moving_mean:0", "Conv/BatchNorm/moving_variance:0"}


def test_hub_regularization_loss_is_tensorflow_1s(exported):
    with np.load(cases.load("hub_module_tags").folder / "oracle.npz") as arrays:
        want = arrays["regularization_loss"]
    with tf.Graph().as_default() as graph, v1.Session() as session:
        meta_graph = v1.saved_model.load(session, ["serve"], str(exported("hub_module_tags")))
        names = meta_graph.collection_def["regularization_losses"].node_list.value
        got = sum(session.run([graph.get_tensor_by_name(name) for name in names]))
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_hub_fine_tuning_is_tensorflow_1s(exported):
    """Three steps in training mode, regularization included."""
    case, loaded = cases.load("hub_module_tags"), load_v2.SignatureLayer(str(exported("hub_module_tags")))
    expected, config = case.oracle("finetune"), case.config["finetune"]
    images, losses = tf.constant(case.oracle("in")["images"]), []
    for _ in range(config["steps"]):
        with tf.GradientTape() as tape:
            output = loaded(images, training=True)[config["output"]]
            loss = tf.reduce_mean(tf.square(output - expected["target"])) + tf.add_n(loaded.losses)
        losses.append(float(loss))
        weights = [one.value for one in loaded.trainable_weights]
        for weight, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
            weight.assign_sub(config["learning_rate"] * gradient)
    np.testing.assert_allclose(losses, expected["losses"], rtol=2e-4)


def test_inputs_and_outputs_of_ones_own_leave_the_signatures_behind(exported):
    folder = exported("odd_saved_model", inputs={"x": "x:0"}, outputs={"logits": "y:0"}, freeze={"scale:0": "1.0"})
    kept = _v1_signatures(folder)
    assert [key for key in kept if not key.startswith("__")] == ["serving_default"]


def test_a_frozen_value_is_no_input_any_more(exported):
    folder = exported("odd_saved_model", freeze={"scale:0": "0.5"})
    assert list(_v1_signatures(folder)["scaled"].inputs) == ["x"]
    case = cases.load("odd_saved_model")
    cases.assert_equal(_v1_answers(folder, "scaled", case.oracle("in")), case.oracle("scaled"))


def test_the_listing_tells_the_signatures():
    request = Request(saved_model=str(_folder("odd_saved_model")))
    first = pipeline.listing(request).splitlines()
    assert first[0] == "Without flags all 3 signatures are kept:"
    assert "  scaled: scale=scale:0, x=x:0 -> y=y:0" in first


def test_our_own_export_can_be_exported_again(exported, tmp_path):
    case = cases.load("mlp_layers")
    export_v1.export(saved_model=str(exported("mlp_layers")), export_dir=str(tmp_path / "again"))
    cases.assert_equal(_v1_answers(tmp_path / "again", "serving_default", case.oracle("in")), case.oracle())


def test_a_sparse_input_comes_as_its_three_tensors(tmp_path):
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.sparse_placeholder(tf.float32, [None, 4], name="x")
        y = tf.sparse.reduce_sum(x, axis=1, name="y")
        v1.saved_model.simple_save(session, str(tmp_path / "model"), {"x": x}, {"y": y})
    report = export_v1.export(saved_model=str(tmp_path / "model"), export_dir=str(tmp_path / "out"), no_sample=True)
    assert any("sparse 'x' of signature 'serving_default'" in one["what"] for one in report["choices"])
    signature = tf.saved_model.load(str(tmp_path / "out")).signatures["serving_default"]
    sparse = tf.sparse.from_dense([[0.0, 2.0, 0.0, 1.0], [4.0, 0.0, 0.0, 0.0]])
    got = signature(x_values=sparse.values, x_indices=sparse.indices, x_shape=sparse.dense_shape)
    np.testing.assert_array_equal(next(iter(got.values())), [3.0, 4.0])


def test_an_input_whose_key_is_a_keyword_of_python_can_be_given_after_all(tmp_path):
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None], name="x")
        v1.saved_model.simple_save(session, str(tmp_path / "model"), {"as": x}, {"as": x * 2})
    report = export_v1.export(saved_model=str(tmp_path / "model"), export_dir=str(tmp_path / "out"))
    assert any("input 'as'" in one["what"] and "'as_'" in one["what"] for one in report["choices"])
    signature = tf.saved_model.load(str(tmp_path / "out")).signatures["serving_default"]
    np.testing.assert_array_equal(signature(as_=tf.constant([1.0, 2.0]))["as"], [2.0, 4.0])
    np.testing.assert_array_equal(load_v2.SignatureLayer(str(tmp_path / "out"))(np.float32([3.0])), [6.0])


def test_regularization_losses_of_the_training_graph_alone_are_kept(copy, tmp_path):
    folder = copy("hub_module_tags")
    found = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    del found.meta_graphs[0].collection_def["regularization_losses"]
    (folder / "saved_model.pb").write_bytes(found.SerializeToString())
    export_v1.export(saved_model=str(folder), export_dir=str(tmp_path / "out"))
    with np.load(cases.load("hub_module_tags").folder / "oracle.npz") as arrays:
        want = arrays["regularization_loss"]
    layer = load_v2.SignatureLayer(str(tmp_path / "out"))
    np.testing.assert_allclose(sum(map(float, layer.losses)), want, rtol=1e-6)


# Groups: what can share a graph.


def _graph(*edges: str) -> Index:
    """Returns a graph of "node op input input" lines, all floats."""
    graph_def = tf.compat.v1.GraphDef()
    for edge in edges:
        name, op, *inputs = edge.split()
        node = graph_def.node.add(name=name, op=op, input=inputs)
        node.attr["T" if op != "Placeholder" else "dtype"].type = tf.float32.as_datatype_enum
    return Index(graph_def)


def _asks(inputs: str, outputs: str, **frozen) -> variant.PlannedSignature:
    cuts = {name: Input(f"{name}:0", tf.float32.as_datatype_enum) for name in inputs.split()}
    return variant.PlannedSignature(
        cuts, {name: f"{name}:0" for name in outputs.split()}, {f"{key}:0": value for key, value in frozen.items()}
    )


def _ragged(folder: pathlib.Path) -> tf.Tensor:
    """Saves lengths of words, a RaggedTensor, as TensorFlow 1.15 does."""
    with savedmodels.session() as current:
        x = v1.placeholder(tf.string, [None], name="x")
        lengths = tf.ragged.map_flat_values(tf.strings.length, tf.strings.split(x))
        twice = tf.ragged.map_flat_values(lambda flat: flat * savedmodels.variable("w", np.int32(2)), lengths)
        current.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(current, str(folder), {"x": x}, {"lengths": twice})


def test_a_ragged_output_comes_as_the_tensors_that_make_it_up(tmp_path):
    _ragged(tmp_path / "m")
    want = {"lengths_values": [2, 4, 6], "lengths_row_splits": [0, 2, 3, 3]}
    got = SignatureLayer(tmp_path / "m")(np.array([b"a bb", b"ccc", b""]))
    assert {key: value.numpy().tolist() for key, value in got.items()} == want
    report = export_v1.export(saved_model=str(tmp_path / "m"), export_dir=str(tmp_path / "out"))
    assert any("'lengths' of signature 'serving_default' is made up of" in one["what"] for one in report["choices"])
    assert report["proof"]["verdict"] == "equal" and verify(tmp_path / "out").equal
    got = SignatureLayer(tmp_path / "out")(np.array([b"a bb", b"ccc", b""]))
    assert {key: value.numpy().tolist() for key, value in got.items()} == want


def test_other_tensors_of_several_parts_are_numbered():
    info = meta_graph_pb2.TensorInfo()
    info.composite_tensor.type_spec.type_spec_class = struct_pb2.TypeSpecProto.OPTIONAL_SPEC
    for name in ("a:0", "b:0"):
        info.composite_tensor.components.add(name=name)
    assert [(key, part.name) for key, part in composite.parts("y", info)] == [("y_0", "a:0"), ("y_1", "b:0")]
    info.composite_tensor.type_spec.type_spec_class = struct_pb2.TypeSpecProto.RAGGED_TENSOR_SPEC
    info.composite_tensor.components.add(name="c:0")
    assert [key for key, _ in composite.parts("y", info)] == ["y_values", "y_row_splits_1", "y_row_splits_2"]


@pytest.mark.parametrize(
    ("signatures", "expected"),
    [
        ({"a": _asks("x", "y"), "b": _asks("raw", "y")}, [["a"], ["b"]]),
        ({"a": _asks("x", "y"), "c": _asks("other", "z")}, [["a", "c"]]),
        ({"a": _asks("x", "y"), "b": _asks("raw", "y"), "c": _asks("other", "z")}, [["a", "c"], ["b"]]),
        ({"a": _asks("x", "y"), "d": _asks("x", "y x")}, [["a", "d"]]),
        ({"a": _asks("x", "y", other=1.0), "c": _asks("other", "z")}, [["a"], ["c"]]),
        ({"a": _asks("x", "y z", other=1.0), "c": _asks("x", "y z", other=2.0)}, [["a"], ["c"]]),
    ],
)
def test_signatures_share_a_graph_where_their_cuts_do_not_meet(signatures, expected):
    index = _graph("raw Placeholder", "x Identity raw", "y Neg x", "other Placeholder", "z Neg other")
    assert grouping.groups(index, signatures) == expected


# Packed modules.


def _packed(path: pathlib.Path, folder: pathlib.Path, **extra) -> str:
    with tarfile.open(path, "w:gz") as made:
        made.add(folder, arcname=".")
        for name, member in extra.items():
            member.name = name.replace("UP", "..").replace("SLASH", "/")
            made.addfile(member, io.BytesIO(b"x" * member.size))
    return str(path)


def test_packed_module_is_read_and_its_folder_goes_away(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temp"))
    (tmp_path / "temp").mkdir()
    packed = _packed(tmp_path / "module.tar.gz", _folder("hub_module_tags"))
    export_v1.export(saved_model=packed, export_dir=str(tmp_path / "out"))
    case = cases.load("hub_module_tags")
    cases.assert_equal(_v1_answers(tmp_path / "out", "default", case.oracle("in")), case.oracle())
    assert not list((tmp_path / "temp").glob("export_v1-*"))


def test_unpacked_folder_lives_as_long_as_its_source(tmp_path):
    source = saved_model.read(_packed(tmp_path / "module.tgz", _folder("hub_module_tags")))
    folder = source.holds.folder
    assert os.path.exists(source.checkpoint + ".index")
    del source
    assert not os.path.exists(folder)


def _link(kind) -> tarfile.TarInfo:
    made = tarfile.TarInfo()
    made.type, made.linkname = kind, "/etc/passwd"
    return made


def _file() -> tarfile.TarInfo:
    made = tarfile.TarInfo()
    made.size = 1
    return made


@pytest.mark.parametrize(
    ("name", "member", "what"),
    [
        ("UPSLASHout", _file(), "leads out"),
        ("HERESLASHout", _file(), "leads out"),
        ("aSLASHUPSLASHUPSLASHout", _file(), "leads out"),
        ("link", _link(tarfile.SYMTYPE), "a link"),
        ("hard", _link(tarfile.LNKTYPE), "a link"),
        ("device", _link(tarfile.CHRTYPE), "special file"),
    ],
)
def test_archive_that_reaches_outside_is_refused_before_anything_is_written(tmp_path, monkeypatch, name, member, what):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temp"))
    (tmp_path / "temp").mkdir()
    name = name.replace("HERE", str(tmp_path))
    packed = _packed(tmp_path / "module.tar.gz", _folder("hub_module_tags"), **{name: member})
    with pytest.raises(errors.ExportError, match=what):
        unpacking.unpacked(packed)
    assert not list(tmp_path.rglob("out")) and not list((tmp_path / "temp").iterdir())


def test_half_an_archive_says_so(tmp_path):
    packed = pathlib.Path(_packed(tmp_path / "module.tar.gz", _folder("hub_module_tags")))
    packed.write_bytes(packed.read_bytes()[:2000])
    with pytest.raises(errors.ExportError, match="cannot be unpacked.*\n.*Get it again"):
        saved_model.read(str(packed))


# Bad input.


@pytest.fixture
def copy(tmp_path):
    def made(name: str) -> pathlib.Path:
        shutil.copytree(_folder(name), tmp_path / "copy")
        for path in [tmp_path / "copy", *(tmp_path / "copy").rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        return tmp_path / "copy"

    return made


def test_folder_without_a_saved_model_says_what_is_there(tmp_path):
    (tmp_path / "readme.txt").write_text("")
    with pytest.raises(errors.ExportError, match="no SavedModel.*\n.*'readme.txt'"):
        saved_model.read(str(tmp_path))


def test_folder_of_a_checkpoint_names_the_flag_for_it():
    folder = str(cases.load("mlp_layers").folder)
    with pytest.raises(errors.ExportError, match=f"--checkpoint={folder}"):
        saved_model.read(folder)


def test_missing_folder_says_so(tmp_path):
    with pytest.raises(errors.ExportError, match="is not there"):
        saved_model.read(str(tmp_path / "nowhere"))


def test_latest_version_folder_is_taken_and_said(tmp_path):
    for version in ("2", "10"):
        shutil.copytree(_folder("odd_saved_model"), tmp_path / version)
    source = saved_model.read(str(tmp_path))
    assert source.checkpoint == str(tmp_path / "10" / "variables" / "variables")
    assert "the latest version" in source.notes[0]


def test_tags_that_are_not_there_list_those_that_are():
    with pytest.raises(
        errors.ExportError, match="no graph with tags 'tpu'.*\n.*'gpu', 'serve'; 'serve'.*\n.*--tags=serve"
    ):
        saved_model.read(str(_folder("odd_saved_model")), ["tpu"])
    with pytest.raises(errors.ExportError, match="no graph with tags 'serve'.*\n.*none"):
        saved_model.read(str(_folder("hub_module_tags")), ["serve"])


def test_tags_choose_a_graph():
    assert set(saved_model.read(str(_folder("odd_saved_model")), ["gpu", "serve"]).graph.signatures) == {"only"}
    trained = saved_model.read(str(_folder("hub_module_tags")), ["train"])
    assert trained.graph.update_ops and trained.train_graph is None


def test_missing_variables_are_named_before_anything_is_written(copy):
    folder = copy("odd_saved_model")
    (folder / "variables" / "variables.index").unlink()
    with pytest.raises(
        errors.ExportError, match="not complete.*2 variables.*variables.index.*\n.*variables.data-00000"
    ):
        saved_model.read(str(folder))
    shutil.rmtree(folder / "variables")
    with pytest.raises(errors.ExportError, match="no such folder"):
        saved_model.read(str(folder))


def test_missing_asset_is_named(copy, tmp_path):
    folder = copy("saved_model_train_graph")
    (folder / "assets" / "v.txt").unlink()
    with pytest.raises(errors.ExportError, match="v.txt.*not found"):
        export_v1.export(saved_model=str(folder), export_dir=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"not a proto", None])
def test_file_that_is_no_saved_model_says_so(copy, content):
    folder = copy("odd_saved_model")
    whole = (folder / "saved_model.pb").read_bytes()
    (folder / "saved_model.pb").write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(errors.ExportError, match="saved_model.pb"):
        saved_model.read(str(folder))


def test_saved_model_of_tensorflow_2_is_refused(tmp_path):
    module = tf.Module()
    module.v = tf.Variable(1.0)
    module.f = tf.function(lambda x: x * module.v, input_signature=[tf.TensorSpec([])])
    tf.saved_model.save(module, str(tmp_path), signatures=module.f)
    with pytest.raises(errors.ExportError, match="TensorFlow 2 model already.*\n.*tf.saved_model.load"):
        saved_model.read(str(tmp_path))
