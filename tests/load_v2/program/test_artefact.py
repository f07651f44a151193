"""load_v2.artefact: what is read of an export folder, and what of it is refused."""

import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import variable_pb2
from tensorflow.core.protobuf import saved_model_pb2

from export_v1.format import record as record_file
from load_v2 import LoadError
from load_v2.program import artefact
from tests.support import savedmodels
from tests.support.graphs import v1


def _change(path: str, change) -> None:
    """Rewrites an export's saved_model.pb after `change(SavedModel)`."""
    file = pathlib.Path(path) / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    change(model)
    file.write_bytes(model.SerializeToString())


def _record(path: str, content) -> None:
    os.makedirs(os.path.join(path, "assets.extra"), exist_ok=True)
    pathlib.Path(path, record_file.PATH).write_text(content if isinstance(content, str) else json.dumps(content))


@pytest.fixture
def scale(tmp_path) -> str:
    return savedmodels.scale(tmp_path / "scale")


def test_a_folder_that_is_not_there_and_one_that_is_no_export(tmp_path):
    with pytest.raises(LoadError, match="no folder '.*nowhere'"):
        artefact.read(tmp_path / "nowhere")
    with pytest.raises(LoadError, match="has no saved_model.pb.*\n.*--export_dir"):
        artefact.read(tmp_path)


def test_a_folder_of_versions_is_told_the_newest(tmp_path, scale):
    for version in ("1", "2"):
        shutil.copytree(scale, tmp_path / "base" / version)
    (tmp_path / "base" / "empty").mkdir()
    with pytest.raises(LoadError, match=r"Did you mean '.*base/2'\?"):
        artefact.read(tmp_path / "base")


def test_a_file_that_is_no_saved_model_or_holds_nothing(scale):
    file = pathlib.Path(scale, "saved_model.pb")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LoadError, match="saved_model.pb' is damaged"):
        artefact.read(scale)
    file.write_bytes(b"")
    with pytest.raises(LoadError, match="holds no graph"):
        artefact.read(scale)


def test_of_several_graphs_the_one_to_serve_is_read(scale):
    def with_another(model):
        other = model.meta_graphs.add()
        other.meta_info_def.tags.extend(["serve", "gpu"])
        model.meta_graphs.append(model.meta_graphs[0])
        del model.meta_graphs[0]

    _change(scale, with_another)
    assert list(artefact.read(scale).signatures) == ["serving_default"]

    def without_tag(model):
        model.meta_graphs[1].meta_info_def.tags[:] = ["train"]

    _change(scale, without_tag)
    with pytest.raises(LoadError, match="2 graphs.*\n.*'gpu,serve', 'train'.*\n.*--tags=gpu,serve"):
        artefact.read(scale)


def test_a_graph_that_does_not_hold_together_is_refused(scale):
    def cycle(model):
        node = model.meta_graphs[0].graph_def.node.add(name="self", op="Neg")
        node.input.append("self")

    _change(scale, cycle)
    with pytest.raises(LoadError, match="'self'"):
        artefact.read(scale)


@pytest.mark.parametrize(
    ("content", "said"),
    [("{", "damaged"), ({"format_version": 2}, "version 2, .* reads 1"), ({}, "version None"), ([1], "version None")],
)
def test_a_record_that_is_damaged_or_of_another_version(scale, content, said):
    _record(scale, content)
    with pytest.raises(LoadError, match=f"export_v1.json.*{said}"):
        artefact.read(scale)


def test_the_record_tells_what_was_not_converted(scale):
    assert artefact.read(scale).unconverted == [] and artefact.read(scale).record is None
    _record(scale, {"format_version": 1, "unconverted": [{"construct": "loop 'a'", "why": "no bound"}]})
    assert artefact.read(scale).unconverted == ["loop 'a': no bound"]


def test_a_recorded_rank_is_that_of_an_output_of_unknown_rank(tmp_path):
    with savedmodels.session() as current:
        x = v1.placeholder(tf.float32, None, name="x")
        known = v1.placeholder(tf.float32, [None], name="known")
        sides = (
            {"x": x, "known": known},
            {"y": x * savedmodels.variable("w", np.float32(2)), "z": known * 1, "odd": -x},
        )
        path = savedmodels.save(tmp_path / "ranks", current, *sides, other=sides)
    _record(path, {"format_version": 1, "sample": {"ranks": {"y": 2, "z": 3, "odd": None}}})
    signatures = artefact.read(path).signatures
    for outputs in (signatures["serving_default"].outputs, signatures["other"].outputs):
        assert {key: spec.shape for key, spec in outputs.items()} == {"y": (None, None), "z": (None,), "odd": None}


def test_variables_come_in_the_order_of_their_collection_then_of_the_graph(tmp_path):
    with savedmodels.session() as current:
        x = v1.placeholder(tf.float32, [None], name="x")
        made = {name: savedmodels.variable(name, np.float32(1), trainable=name != "c") for name in "abc"}
        path = savedmodels.save(tmp_path / "m", current, {"x": x}, {"y": x * made["a"] * made["b"] * made["c"]})

    def only_c(model):
        values = model.meta_graphs[0].collection_def["variables"].bytes_list.value
        listed = [value for value in values if variable_pb2.VariableDef.FromString(value).variable_name == "c:0"]
        gone = variable_pb2.VariableDef(variable_name="gone:0").SerializeToString()
        values[:] = [gone, *listed]

    assert [(v.name, v.trainable) for v in artefact.read(path).variables] == [("a", True), ("b", True), ("c", False)]
    _change(path, only_c)
    found = artefact.read(path).variables
    assert [v.name for v in found] == ["c", "a", "b"]
    assert [(v.key, v.part, v.shape, v.dtype) for v in found] == [(name, "", (), "float32") for name in "cab"]


def test_nodes_of_one_shared_name_are_one_variable(scale):
    def with_twin(model):
        nodes = model.meta_graphs[0].graph_def.node
        handle = next(node for node in nodes if node.op == "VarHandleOp")
        twin = nodes.add()
        twin.CopyFrom(handle)
        twin.name = "twin"

    _change(scale, with_twin)
    (variable,) = artefact.read(scale).variables
    assert variable.name == "scale" and variable.handles == ("scale", "twin") and variable.trainable


def test_a_variable_has_the_key_and_the_slice_of_its_saver(tmp_path):
    with savedmodels.session() as current:
        x = v1.placeholder(tf.float32, [None, 2], name="x")
        parts = v1.get_variable("emb", [4, 2], partitioner=v1.fixed_size_partitioner(2), use_resource=True)
        w = savedmodels.variable("w", np.float32(1))
        path = savedmodels.save(
            tmp_path / "m", current, {"x": x}, {"y": tf.reduce_sum(tf.concat(list(parts), 0)) * w * x}
        )
    found = {v.name: (v.key, v.part, v.shape) for v in artefact.read(path).variables}
    assert found == {
        "emb/part_0": ("emb", "4 2 0,2:0,2", (2, 2)),
        "emb/part_1": ("emb", "4 2 2,2:0,2", (2, 2)),
        "w": ("w", "", ()),
    }


def test_a_shape_that_the_graph_lacks_is_the_stored_one(tmp_path):
    path = savedmodels.two_inputs(tmp_path / "m")

    def forget(model):
        node = next(node for node in model.meta_graphs[0].graph_def.node if node.op == "VarHandleOp")
        node.attr["shape"].shape.dim[0].size = -1

    _change(path, forget)
    assert artefact.read(path).variables[0].shape == (2,)
    shutil.rmtree(os.path.join(path, "variables"))
    assert artefact.read(path).variables[0].shape == () and artefact.read(path).bundle is None


def test_an_index_that_is_damaged_is_a_message(scale):
    pathlib.Path(scale, "variables", "variables.index").write_bytes(b"no index" * 20)
    with pytest.raises(LoadError, match="variables of .* are damaged"):
        artefact.read(scale)


def test_regularization_losses_are_those_of_the_collection(tmp_path, scale):
    assert len(artefact.read(savedmodels.with_train(tmp_path / "m")).regularization_losses) == 2
    assert artefact.read(scale).regularization_losses == ()


def _of_tensorflow_2(folder) -> str:
    module = tf.Module()
    module.inner = tf.Module()
    setattr(module.inner, "a.b", 0)
    module.inner.kernel = tf.Variable([1.0], name="kernel")
    module.inner.fixed = tf.Variable([1.0], trainable=False, name="fixed")
    module.by_path = {"x/y.z": tf.Variable([2.0], name="slashed")}
    signature = [tf.TensorSpec([None], tf.float32, name="x")]
    module.f = tf.function(
        lambda x: {"y": x * module.inner.kernel * module.inner.fixed * module.by_path["x/y.z"]}, signature
    )
    tf.saved_model.save(module, str(folder), signatures=module.f)
    return str(folder)


def test_variables_of_tensorflow_2_are_trainable_as_their_objects_are(tmp_path, scale):
    read = artefact.read(_of_tensorflow_2(tmp_path / "tf2"))
    assert read.is_object_graph and not artefact.read(scale).is_object_graph
    assert {v.name: v.trainable for v in read.variables} == {"kernel": True, "fixed": False, "slashed": True}
    assert list(read.signatures) == ["serving_default"]
    assert {v.key.count("/.ATTRIBUTES/VARIABLE_VALUE") for v in read.variables} == {1}


@pytest.fixture
def vocabulary(tmp_path) -> str:
    return savedmodels.vocabulary(tmp_path / "words", ["a", "b"])


def _name_asset(path: str, filename: str) -> None:
    """Names the export's file as TensorFlow 2 does, in a field of its own."""

    def change(model):
        del model.meta_graphs[0].collection_def["saved_model_assets"]
        definition = model.meta_graphs[0].asset_file_def.add(filename=filename)
        definition.tensor_info.name = "words_file:0"

    _change(path, change)


@pytest.mark.parametrize("in_collection", [False, True])
def test_assets_are_found_in_both_places(vocabulary, in_collection):
    if not in_collection:
        _name_asset(vocabulary, "words_words.txt")
    (tensor,), (file,) = zip(*artefact.read(vocabulary).assets.items(), strict=True)
    assert tensor == "words_file:0" and pathlib.Path(file).read_text() == "a\nb\n"
    os.unlink(file)
    with pytest.raises(LoadError, match="lacks its asset 'words_words.txt'"):
        artefact.read(vocabulary)


@pytest.mark.parametrize("name", ["../../secret", "/etc/hostname", "../assets_of_another/words.txt", "."])
def test_a_file_outside_the_assets_is_refused(vocabulary, tmp_path, name):
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "words" / "assets_of_another").mkdir()
    (tmp_path / "words" / "assets_of_another" / "words.txt").write_text("secret")
    _name_asset(vocabulary, name)
    with pytest.raises(LoadError, match="outside its folder"):
        artefact.read(vocabulary)
