"""Attacks on what may run: a graph that would write a canary or read a secret is refused, whichever way it comes in."""

import json
import pathlib
import shutil
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import saved_model_pb2

import export_v1
import load_v2
from export_v1 import pipeline
from export_v1.ir import graph, ops, reach
from export_v1.request import Request
from load_v2 import LoadError, SignatureLayer, verification
from load_v2 import __main__ as step_2
from load_v2.commands import predict, to_keras
from tests.support import cases, graphs, savedmodels, small_models
from tests.support.graphs import v1

SECRET = "the secret\n"


@pytest.fixture
def canary(tmp_path) -> pathlib.Path:
    return tmp_path / "canary"


@pytest.fixture
def secret(tmp_path) -> pathlib.Path:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret").write_text(SECRET)
    return tmp_path / "elsewhere" / "secret"


def _writes(canary: pathlib.Path) -> tf.Operation:
    return tf.io.write_file(str(canary), "it ran")


def _saved_with_write(folder: pathlib.Path, canary: pathlib.Path) -> str:
    """A SavedModel that writes the canary whenever it answers."""
    with savedmodels.session() as current:
        x = v1.placeholder(tf.float32, [None], name="x")
        with tf.control_dependencies([_writes(canary)]):
            y = x + 1
        return savedmodels.save(folder, current, {"x": x}, {"y": y})


def _in_archive(file: pathlib.Path, ending: str, change) -> None:
    """Changes the member of an archive whose name has this ending."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    (name,) = (name for name in members if name.endswith(ending))
    members[name] = change(members[name])
    with zipfile.ZipFile(file, "w") as archive:
        for key, content in members.items():
            archive.writestr(key, content)


def _graph_of(folder: pathlib.Path, change) -> None:
    """Changes the GraphDef of a SavedModel in place."""
    file = pathlib.Path(folder) / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    change(saved.meta_graphs[0].graph_def)
    file.write_bytes(saved.SerializeToString())


def _archive_that_writes(folder: pathlib.Path, canary: pathlib.Path, permit) -> None:
    """Saves a model whose layer writes the canary as m.keras; `permit` changes its config, given that of the layer, too."""
    layer = SignatureLayer(_saved_with_write(folder / "export", canary), allow_ops=["WriteFile"])
    x = keras.Input((), name="x")
    keras.Model(x, layer(x)).save(folder / "m.keras")

    def change(content: bytes) -> bytes:
        config = json.loads(content)
        (inner,) = (each for each in config["config"]["layers"] if each["class_name"] == "SignatureLayer")
        permit(config, inner)
        return json.dumps(config).encode()

    _in_archive(folder / "m.keras", "config.json", change)


# What a config may not say: a permission, a path, or anything else that the layer's constructor takes.
@pytest.mark.parametrize(
    "added", [{"allow_ops": ["WriteFile"]}, {"allow_ops": "WriteFile"}, {"path": "elsewhere"}, {"supervised": False}]
)
def test_an_archive_brings_no_permission_along(added, canary, tmp_path):
    def permit(config, inner):
        inner["config"] |= added

    _archive_that_writes(tmp_path, canary, permit)
    with pytest.raises(Exception, match=next(iter(added))):
        keras.models.load_model(tmp_path / "m.keras")(np.ones(2, "float32"))
    assert not canary.exists()


@pytest.mark.parametrize(
    "added", [{"allow_ops": ["WriteFile"]}, {"policy": {"everything": True}}, {"safe_mode": False}]
)
def test_what_a_config_says_of_its_graph_is_no_permission(added, canary, tmp_path):
    """Deeper in the config than where a constructor's arguments are."""

    def permit(config, inner):
        inner["config"]["description"] |= added
        for outer in (config, config["config"], inner):
            outer |= added

    _archive_that_writes(tmp_path, canary, permit)
    with pytest.raises(Exception, match="WriteFile|unknown|unexpected|Unrecognized|safe_mode|policy|allow_ops"):
        keras.models.load_model(tmp_path / "m.keras")(np.ones(2, "float32"))
    assert not canary.exists()


def test_what_was_let_in_once_is_refused_in_safe_mode(canary, tmp_path):
    """Loaded without safe mode, and saved again: the archive that comes of it asks again."""
    layer = SignatureLayer(_saved_with_write(tmp_path / "export", canary), allow_ops=["WriteFile"])
    x = keras.Input((), name="x")
    keras.Model(x, layer(x)).save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras", safe_mode=False)
    loaded(np.ones(2, "float32"))
    assert canary.exists()
    canary.unlink()
    loaded.save(tmp_path / "again.keras")
    # Keras makes a ValueError of its own of what a layer cannot load.
    with pytest.raises(ValueError, match="WriteFile"):
        keras.models.load_model(tmp_path / "again.keras")
    assert not canary.exists()
    # A clone is made from a layer of this process, which its owner let in.
    assert np.array_equal(keras.models.clone_model(loaded)(np.ones(2, "float32")), [2, 2])


# A function that fills a table of its own from the file that its argument names.
LEAK = """
    signature {
      name: "leak" input_arg { name: "words_file" type: DT_STRING } output_arg { name: "y" type: DT_STRING }
    }
    node_def {
      name: "table" op: "AnonymousHashTable"
      attr { key: "key_dtype" value { type: DT_INT64 } } attr { key: "value_dtype" value { type: DT_STRING } }
    }
    node_def {
      name: "fill" op: "InitializeTableFromTextFileV2" input: "table:table_handle:0" input: "words_file"
      attr { key: "key_index" value { i: -1 } } attr { key: "value_index" value { i: -2 } }
      attr { key: "vocab_size" value { i: -1 } } attr { key: "delimiter" value { s: "\\t" } }
    }
    node_def {
      name: "line" op: "Const" attr { key: "dtype" value { type: DT_INT64 } }
      attr { key: "value" value { tensor { dtype: DT_INT64 tensor_shape { dim { size: 1 } } int64_val: 0 } } }
    }
    node_def {
      name: "none" op: "Const" attr { key: "dtype" value { type: DT_STRING } }
      attr { key: "value" value { tensor { dtype: DT_STRING tensor_shape { } string_val: "" } } }
    }
    node_def {
      name: "found" op: "LookupTableFindV2" input: "table:table_handle:0" input: "line:output:0" input: "none:output:0"
      input: "^fill"
      attr { key: "Tin" value { type: DT_INT64 } } attr { key: "Tout" value { type: DT_STRING } }
    }
    ret { key: "y" value: "found:values:0" }
"""


def _leaks(folder: pathlib.Path, secret: pathlib.Path) -> str:
    """A SavedModel with an asset, and a branch that reads the secret by an argument of the asset's name."""
    savedmodels.vocabulary(folder, ["a", "b"])

    def change(graph_def):
        text_format.Parse(LEAK, graph_def.library.function.add())
        nodes = v1.GraphDef()
        text_format.Parse(
            f"""
            node {{ name: "path" op: "Const" attr {{ key: "dtype" value {{ type: DT_STRING }} }}
              attr {{ key: "value" value {{ tensor {{ dtype: DT_STRING tensor_shape {{ }} string_val: "{secret}" }} }} }} }}
            node {{ name: "yes" op: "Const" attr {{ key: "dtype" value {{ type: DT_BOOL }} }}
              attr {{ key: "value" value {{ tensor {{ dtype: DT_BOOL tensor_shape {{ }} bool_val: true }} }} }} }}
            node {{ name: "leaked" op: "If" input: "yes" input: "path"
              attr {{ key: "Tcond" value {{ type: DT_BOOL }} }}
              attr {{ key: "Tin" value {{ list {{ type: DT_STRING }} }} }}
              attr {{ key: "Tout" value {{ list {{ type: DT_STRING }} }} }}
              attr {{ key: "then_branch" value {{ func {{ name: "leak" }} }} }}
              attr {{ key: "else_branch" value {{ func {{ name: "leak" }} }} }} }}
            """,
            nodes,
        )
        graph_def.node.extend(nodes.node)

    _graph_of(folder, change)
    file = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    output = saved.meta_graphs[0].signature_def["serving_default"].outputs["leak"]
    output.name, output.dtype = "leaked:0", 7
    output.tensor_shape.dim.add(size=1)
    file.write_bytes(saved.SerializeToString())
    return str(folder)


def test_a_functions_argument_does_not_pass_for_an_asset(secret, tmp_path):
    folder = _leaks(tmp_path / "export", secret)
    with pytest.raises(LoadError, match="InitializeTableFromTextFileV2: 'fill'"):
        SignatureLayer(folder)
    with pytest.raises(export_v1.ExportError, match="InitializeTableFromTextFileV2"):
        export_v1.export(saved_model=folder, export_dir=str(tmp_path / "out"))
    # The attack works where it is let in.
    layer = SignatureLayer(folder, allow_ops=["InitializeTableFromTextFileV2"])
    assert layer(words=np.array([b"a"]))["leak"].numpy() == [SECRET.strip().encode()]


def test_a_functions_argument_does_not_pass_for_an_asset_in_an_archive(secret, tmp_path):
    folder = _leaks(tmp_path / "export", secret)
    model = to_keras.as_model(folder, allow_ops=["InitializeTableFromTextFileV2"])
    model.save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match="InitializeTableFromTextFileV2: 'fill'"):
        keras.models.load_model(tmp_path / "m.keras")


def test_an_input_does_not_pass_for_an_asset(tmp_path):
    """Another table, filled while the graph answers, from what the caller gives."""
    savedmodels.vocabulary(tmp_path / "export", ["a", "b"])
    file = tmp_path / "export" / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    graph_def = saved.meta_graphs[0].graph_def
    (fill,) = (node for node in graph_def.node if node.op == "InitializeTableFromTextFileV2")
    again = graph_def.node.add()
    again.CopyFrom(fill)
    again.name, again.input[1] = "fill_again", "words"
    (found,) = (node for node in graph_def.node if node.op == "LookupTableFindV2")
    found.input.append("^fill_again")
    file.write_bytes(saved.SerializeToString())
    with pytest.raises(LoadError, match="fill_again"):
        SignatureLayer(tmp_path / "export")


# What another implementation of a function would do.
SWAPPED = """
    signature {{ name: "{name}" input_arg {{ name: "x" type: DT_FLOAT }} output_arg {{ name: "y" type: DT_FLOAT }} }}
    attr {{ key: "api_implements" value {{ s: "the_same" }} }}
    attr {{ key: "api_preferred_device" value {{ s: "{device}" }} }}
    {write}
    node_def {{ name: "twice" op: "AddV2" input: "x" input: "x" {after} attr {{ key: "T" value {{ type: DT_FLOAT }} }} }}
    ret {{ key: "y" value: "twice:z:0" }}
"""
WRITE = """
    node_def {{ name: "file" op: "Const" attr {{ key: "dtype" value {{ type: DT_STRING }} }}
      attr {{ key: "value" value {{ tensor {{ dtype: DT_STRING tensor_shape {{ }} string_val: "{canary}" }} }} }} }}
    node_def {{ name: "write" op: "WriteFile" input: "file:output:0" input: "file:output:0" }}
"""


def _swaps(folder: pathlib.Path, canary: pathlib.Path, op: str) -> str:
    """A SavedModel that calls a harmless function, with another beside it that says it is the same on a CPU."""
    with savedmodels.session() as current:
        x = v1.placeholder(tf.float32, [None], name="x")
        savedmodels.save(folder, current, {"x": x}, {"y": tf.identity(x, name="y")})

    def change(graph_def):
        text_format.Parse(
            SWAPPED.format(name="good", device="GPU", write="", after=""), graph_def.library.function.add()
        )
        evil = SWAPPED.format(name="evil", device="CPU", write=WRITE.format(canary=canary), after='input: "^write"')
        text_format.Parse(evil, graph_def.library.function.add())
        (y,) = (node for node in graph_def.node if node.name == "y")
        y.op, floats = op, [tf.float32.as_datatype_enum]
        y.ClearField("attr")
        y.attr["Tin"].list.type.extend(floats)
        y.attr["Tout"].list.type.extend(floats)
        if op == "If":
            yes = graph_def.node.add(name="yes", op="Const")
            yes.attr["dtype"].type = tf.bool.as_datatype_enum
            yes.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(True))
            y.input.insert(0, "yes")
            y.attr["Tcond"].type = tf.bool.as_datatype_enum
            y.attr["then_branch"].func.name = y.attr["else_branch"].func.name = "good"
        else:
            y.attr["f"].func.name = "good"

    _graph_of(folder, change)
    return str(folder)


@pytest.mark.parametrize("op", ["StatefulPartitionedCall", "If"])
def test_no_function_that_nothing_calls_takes_the_place_of_another(op, canary, tmp_path):
    folder = _swaps(tmp_path / "export", canary, op)
    layer = SignatureLayer(folder)
    np.savez(tmp_path / "in.npz", x=np.ones(3, "float32"))
    predict.predict(layer, str(tmp_path / "in.npz"), str(tmp_path / "out.npz"))
    assert np.array_equal(np.load(tmp_path / "out.npz")["y"], [2, 2, 2])
    to_keras.as_model(folder).save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert np.array_equal(loaded({"x": np.ones(1, "float32")}), [2])
    export_v1.export(saved_model=folder, export_dir=str(tmp_path / "out"), inputs={"x": "x:0"}, outputs={"y": "y:0"})
    assert not canary.exists()


def _refused_by_step_1(canary: pathlib.Path, tmp_path: pathlib.Path, **flags) -> None:
    assert "WriteFile" in pipeline.listing(Request(**{k: v for k, v in flags.items() if k != "init_missing"}))
    with pytest.raises(export_v1.ExportError, match="(?s)WriteFile.*--allow_ops=WriteFile"):
        export_v1.export(export_dir=str(tmp_path / "out"), **flags)
    assert not canary.exists() and not (tmp_path / "out").exists()
    export_v1.export(export_dir=str(tmp_path / "out"), allow_ops=["WriteFile"], **flags)
    assert canary.exists()


def test_a_constant_predicate_hides_nothing(canary, tmp_path):
    """The condition is folded away in the export, and the original runs the branch."""
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [None], name="x")
        _, live = v1.raw_ops.Switch(data=tf.constant(1.0), pred=tf.constant(True))
        name = tf.strings.join([str(canary), tf.strings.substr(tf.strings.as_string(live), 0, 0)])
        with tf.control_dependencies([tf.io.write_file(name, "it ran")]):
            branch = tf.identity(live)
        dead, _ = v1.raw_ops.Switch(data=tf.constant(2.0), pred=tf.constant(True))
        tf.add(x, v1.raw_ops.Merge(inputs=[dead, branch])[0], name="y")
    (tmp_path / "model.pb").write_bytes(graph.as_graph_def().SerializeToString())
    flags = {"inputs": {"x": "x:0"}, "outputs": {"y": "y:0"}}
    _refused_by_step_1(canary, tmp_path, graph_def=str(tmp_path / "model.pb"), **flags)


@pytest.mark.parametrize("key", ["saved_model_main_op", "legacy_init_op", "__saved_model_init_op"])
def test_a_main_op_hides_nothing(key, canary, tmp_path):
    with savedmodels.session() as current:
        x = v1.placeholder(tf.float32, [None], name="x")
        w = savedmodels.variable("w", np.float32(2))
        with tf.control_dependencies([_writes(canary)]):
            value = tf.constant(3.0) + 1
        main = tf.raw_ops.AssignVariableOp(resource=w.handle, value=value, name="main")
        savedmodels.save(tmp_path / "model", current, {"x": x}, {"y": x * w})
    file = tmp_path / "model" / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    meta = saved.meta_graphs[0]
    for each in ("saved_model_main_op", "legacy_init_op"):
        meta.collection_def.pop(each, None)
    meta.signature_def.pop("__saved_model_init_op", None)
    if key.startswith("__"):
        meta.signature_def[key].outputs["op"].name = main.name
    else:
        meta.collection_def[key].node_list.value.append(main.name)
    file.write_bytes(saved.SerializeToString())
    _refused_by_step_1(canary, tmp_path, saved_model=str(tmp_path / "model"))


def test_an_initializer_hides_nothing(canary, tmp_path):
    def build():
        x = v1.placeholder(tf.float32, [None], name="x")
        with tf.control_dependencies([_writes(canary)]):
            late = tf.constant(3.0) + 1
        w, missing = v1.get_variable("w", []), v1.get_variable("missing", initializer=late)
        tf.add(x * w, missing, name="y")

    prefix = small_models.checkpoint(tmp_path, build)
    canary.unlink()
    with graphs.tensorflow_1(), v1.Session() as session:
        w = v1.get_variable("w", [])
        session.run(w.initializer)
        shutil.move(f"{prefix}.meta", tmp_path / "kept.meta")
        prefix = v1.train.Saver([w]).save(session, str(tmp_path / "other" / "model.ckpt"))
    shutil.move(tmp_path / "kept.meta", f"{prefix}.meta")
    flags = {"inputs": {"x": "x:0"}, "outputs": {"y": "y:0"}, "init_missing": True}
    _refused_by_step_1(canary, tmp_path, checkpoint=prefix, **flags)


@pytest.mark.parametrize("collection", ["update_ops", "regularization_losses"])
def test_what_is_run_for_its_effect_hides_nothing(collection, canary, tmp_path):
    """No output needs an update or a regularization loss; the signature for training has them."""

    def build():
        x, training = v1.placeholder(tf.float32, [None], name="x"), v1.placeholder(tf.bool, [], name="training")
        w = v1.get_variable("w", initializer=2.0)
        with tf.control_dependencies([_writes(canary)]):
            late = tf.constant(0.5) + 1
        v1.add_to_collection(collection, w.assign_add(late) if collection == "update_ops" else late * w)
        tf.add(x * w, tf.cast(training, tf.float32), name="y")

    flags = {"inputs": {"x": "x:0"}, "outputs": {"y": "y:0"}, "freeze": {"training:0": False}}
    prefix = small_models.checkpoint(tmp_path, build)
    canary.unlink(missing_ok=True)
    with pytest.raises(export_v1.ExportError, match="(?s)WriteFile.*--allow_ops=WriteFile"):
        export_v1.export(
            checkpoint=prefix, export_dir=str(tmp_path / "out"), train_freeze={"training:0": True}, **flags
        )
    assert not canary.exists() and not (tmp_path / "out").exists()


def test_a_link_in_an_archive_is_not_followed(tmp_path):
    """A member may say that it is a link, and hold where it leads."""
    file = _archived(tmp_path)
    with zipfile.ZipFile(file) as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    (name,) = (name for name in members if name.endswith("saved_model.pb"))
    (tmp_path / "elsewhere.pb").write_bytes(members[name])
    with zipfile.ZipFile(file, "w") as archive:
        for key, content in members.items():
            info = zipfile.ZipInfo(key)
            if key == name:
                info.external_attr, content = 0o120777 << 16, str(tmp_path / "elsewhere.pb").encode()
            archive.writestr(info, content)
    with pytest.raises(ValueError, match="saved_model.pb' is damaged"):
        keras.models.load_model(file)
    with pytest.raises(LoadError, match="saved_model.pb' is damaged"):
        verification.verify(file)


@pytest.mark.parametrize("name", ["assets", "assets.extra", "variables", "saved_model.pb", "assets/0_words.txt"])
def test_no_link_is_followed_out_of_an_artefact(name, secret, exported, tmp_path):
    folder = tmp_path / "export"
    shutil.copytree(exported("lookup_vocab"), folder)
    place = folder / name if name != "assets/0_words.txt" else next((folder / "assets").iterdir())
    moved = tmp_path / "elsewhere" / "moved"
    shutil.move(place, moved)
    place.symlink_to(moved)
    with pytest.raises(LoadError, match="link"):
        SignatureLayer(folder)
    with pytest.raises(export_v1.ExportError, match="link"):
        export_v1.export(saved_model=str(folder), export_dir=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_link_to_an_artefact_is_followed(exported, tmp_path):
    """`latest` is how people name a version."""
    (tmp_path / "latest").symlink_to(exported("mlp_layers"))
    case = cases.load("mlp_layers")
    assert SignatureLayer(tmp_path / "latest")(case.oracle("in")["x"]) is not None


def test_what_the_frozen_values_never_reach_need_not_be_let_in(canary, tmp_path):
    """The export does not have it, and the original that is recorded has nothing in its place."""

    def build():
        x, training = v1.placeholder(tf.float32, [None], name="x"), v1.placeholder(tf.bool, [], name="training")
        w = v1.get_variable("w", initializer=2.0)

        def trained():
            with tf.control_dependencies([_writes(canary)]):
                return x * w * 3

        tf.identity(v1.cond(training, trained, lambda: x * w), name="y")

    prefix = small_models.checkpoint(tmp_path, build)
    flags = {"checkpoint": prefix, "inputs": {"x": "x:0"}, "outputs": {"y": "y:0"}, "export_dir": str(tmp_path / "out")}
    report = export_v1.export(**flags, freeze={"training:0": False})
    assert report["sample"] is not None and not canary.exists()
    with pytest.raises(export_v1.ExportError, match="WriteFile"):
        export_v1.export(**flags, freeze={"training:0": True}, overwrite=True)
    assert not canary.exists()


def _forged(kind: str):
    """Returns a change that adds to the answer what comes of a handle that a file brings along."""

    def change(graph_def) -> None:
        if kind == "parsed":
            proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_VARIANT)
            proto.variant_val.add(type_name="tensorflow::TensorList", metadata=b"\xff" * 40)
            packed = graph_def.node.add(name="packed", op="Const")
            packed.attr["dtype"].type = types_pb2.DT_STRING
            packed.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(proto.SerializeToString()))
            forged = graph_def.node.add(name="forged", op="ParseTensor", input=["packed"])
            forged.attr["out_type"].type = types_pb2.DT_VARIANT
        else:
            forged = graph_def.node.add(name="forged", op="Const")
            proto = forged.attr["value"].tensor
            proto.dtype = forged.attr["dtype"].type = types_pb2.DataType.Value(f"DT_{kind.upper()}")
            if kind == "variant":
                proto.variant_val.add(type_name="tensorflow::TensorList", metadata=b"\xff" * 40)
            else:
                proto.resource_handle_val.add(
                    device="/job:localhost/replica:0/task:0/device:CPU:0", container="localhost", name="w"
                )
        if kind == "resource":
            read = graph_def.node.add(name="read", op="ReadVariableOp", input=["forged"])
            read.attr["dtype"].type = types_pb2.DT_FLOAT
        else:
            graph_def.node.add(name="length", op="TensorListLength", input=["forged"])
            read = graph_def.node.add(name="read", op="Cast", input=["length"])
            read.attr["SrcT"].type, read.attr["DstT"].type = types_pb2.DT_INT32, types_pb2.DT_FLOAT
        (answer,) = (node for node in graph_def.node if node.name == "y")
        answer.input[1] = "read"

    return change


@pytest.mark.parametrize("kind", ["resource", "variant", "parsed"])
def test_a_handle_does_not_come_in_a_file(kind, tmp_path):
    """One leads to what anything else in the process holds; TensorFlow 2.21 ends the process over some variants."""
    with savedmodels.session() as current:
        x = v1.placeholder(tf.float32, [None], name="x")
        folder = savedmodels.save(tmp_path / "m", current, {"x": x}, {"y": tf.add(x, 1.0, name="y")})
    _graph_of(folder, _forged(kind))
    with pytest.raises(export_v1.ExportError, match="a handle or a variant in it"):
        pipeline.export(Request(saved_model=folder), str(tmp_path / "export"))
    with pytest.raises(LoadError, match="a handle or a variant in it"):
        SignatureLayer(folder)


@pytest.mark.parametrize("name", ["y\x1b]0;title\x07", "y\n  out y: equal", "y\x9b2J", "\u202egnp.y"])
def test_a_name_that_a_terminal_would_act_on_is_refused(name, tmp_path):
    with savedmodels.session() as current:
        x = v1.placeholder(tf.float32, [None], name="x")
        folder = savedmodels.save(tmp_path / "m", current, {"x": x}, {name: tf.add(x, 1.0, name="y")})
    told = f"control characters in them: {repr(name)}"
    for error, use in (
        (export_v1.ExportError, export_v1.inspect),
        (LoadError, lambda saved_model: SignatureLayer(saved_model)),
    ):
        with pytest.raises(error) as caught:
            use(saved_model=folder)
        assert told in str(caught.value)


def test_what_a_stranger_wrote_into_a_record_does_not_reach_a_terminal(exported, tmp_path, capsys):
    folder = tmp_path / "export"
    shutil.copytree(exported("mlp_layers"), folder)
    file = folder / "assets.extra" / "export_v1.json"
    content = json.loads(file.read_text())
    content["choices"] = [{"what": "\x1b[2Jall is well", "why": "\u202eit is"}]
    file.write_text(json.dumps(content))
    assert step_2.main(step_2.parse(["load_v2", "show", str(folder)])) == 0
    told = capsys.readouterr()
    assert r"\x1b[2Jall is well" in told.out and "\x1b" not in told.out + told.err and "\u202e" not in told.out


def test_a_page_holds_no_markup_of_a_stranger(tmp_path):
    """Signatures may have any name, and a record any text."""
    bad = '</script><img src=x onerror="alert(1)">'
    with savedmodels.session() as current:
        x = v1.placeholder(tf.float32, [None], name="x")
        folder = savedmodels.save(tmp_path / "m", current, {bad: x}, {bad: tf.add(x, 1.0, name="y")})
    assert step_2.main(step_2.parse(["load_v2", "report", folder, f"--html={tmp_path / 'r.html'}"])) == 0
    page = (tmp_path / "r.html").read_text()
    assert "<img" not in page and "&lt;img" in page
    assert page.count("</script>") == 2


_KEYS = ['x": {touch}, "y', "x': {touch}, 'y", "x\\", '"""', "'''", 'y\\"', "{{touch}}"]


@pytest.mark.parametrize("at", range(len(_KEYS)))
def test_a_name_does_not_become_code(at, canary, tmp_path):
    """`rebuild` writes Python, and runs it: a stranger's keys are texts in it, wherever they stand."""
    touch = f"__import__('pathlib').Path({str(canary)!r}).touch()"
    key, name = _KEYS[at].format(touch=touch), f'a""" + str({touch}) + """'
    with savedmodels.session() as current:
        x = v1.placeholder(tf.float32, [None, 4], name="x")
        y = tf.matmul(x, v1.get_variable("w", [4, 3], use_resource=True))
        current.run(v1.global_variables_initializer())
        given, first, second = map(v1.saved_model.build_tensor_info, (x, y, tf.nn.relu(y)))
        signature = v1.saved_model.build_signature_def(
            {key: given}, {key: first, "z": second}, "tensorflow/serving/predict"
        )
        builder = v1.saved_model.Builder(str(tmp_path / "m"))
        builder.add_meta_graph_and_variables(current, ["serve"], {name: signature})
        builder.save()
    rebuilt = load_v2.rebuild(str(tmp_path / "m"), signature=name, backends=["tensorflow"])
    assert not canary.exists() and set(rebuilt.model.output) == {key, "z"} and list(rebuilt.model.input) == [key]


def _archived(tmp_path: pathlib.Path) -> pathlib.Path:
    """Returns a model's archive without digests, as an earlier version wrote it, or who took them out."""
    with savedmodels.session() as current:
        x = v1.placeholder(tf.float32, [None, 4], name="x")
        y = tf.matmul(x, v1.get_variable("w", [4, 3], use_resource=True))
        folder = savedmodels.save(tmp_path / "m", current, {"x": x}, {"y": y})
    x = keras.Input((4,), name="x")
    keras.Model(x, SignatureLayer(folder)(x)).save(tmp_path / "whole.keras")
    with zipfile.ZipFile(tmp_path / "whole.keras") as whole, zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        for name in whole.namelist():
            if not name.endswith("digests.json"):
                archive.writestr(name, whole.read(name))
    return tmp_path / "m.keras"


def _of_a_raw_file(group: h5py.Group, key: str, secret: pathlib.Path) -> None:
    group.create_dataset(key, shape=(4, 3), dtype="f4", external=[(str(secret), 0, 48)])


def _by_a_link(group: h5py.Group, key: str, secret: pathlib.Path) -> None:
    group[key] = h5py.ExternalLink(f"{secret}.h5", "/w")


def _virtual(group: h5py.Group, key: str, secret: pathlib.Path) -> None:
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[:] = h5py.VirtualSource(f"{secret}.h5", "w", (4, 3))
    group.create_virtual_dataset(key, layout)


@pytest.mark.parametrize("lead", [_of_a_raw_file, _by_a_link, _virtual])
def test_weights_of_an_archive_do_not_lead_to_another_file(lead, secret, tmp_path):
    secret.write_bytes(np.full([4, 3], 7, np.float32).tobytes())
    with h5py.File(f"{secret}.h5", "w") as other:
        other["w"] = np.full([4, 3], 7, np.float32)

    def changed(content: bytes) -> bytes:
        (tmp_path / "weights.h5").write_bytes(content)
        with h5py.File(tmp_path / "weights.h5", "a") as weights:
            found: list[str] = []
            weights.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
            (name,) = (name for name in found if "/vars/" in name and "signature_layer" in name)
            del weights[name]
            lead(weights[name.rpartition("/")[0]], name.rpartition("/")[2], secret)
        return (tmp_path / "weights.h5").read_bytes()

    file = _archived(tmp_path)
    keras.models.load_model(file)
    _in_archive(file, "model.weights.h5", changed)
    with pytest.raises(ValueError, match="could not be loaded"):
        keras.models.load_model(file)


def test_two_members_of_one_name_are_refused(tmp_path, capsys):
    file = _archived(tmp_path)
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(file, "a") as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("saved_model.pb"))
        archive.writestr(name, archive.read(name))
    assert step_2.main(step_2.parse(["load_v2", "show", str(file)])) == 1
    assert f"{str(file)!r} has several members of one name: {name!r}" in capsys.readouterr().err


def test_a_damaged_archive_is_named_and_not_where_it_was_unpacked(tmp_path, capsys):
    file = _archived(tmp_path)
    _in_archive(file, "saved_model.pb", lambda content: content[:-7])
    assert step_2.main(step_2.parse(["load_v2", "show", str(file)])) == 1
    told = capsys.readouterr().err
    assert f"{file}: layers/signature_layer" in told and "/load_v2_" not in told


def test_an_export_does_not_read_the_table_of_another(tmp_path):
    """Two tables of one name in one container, each the only one of its export: as they are, and after step 1."""
    layers = []
    for at, words in enumerate((["a", "b"], ["c", "d"])):
        with savedmodels.session() as current:
            x = v1.placeholder(tf.string, [None], name="x")
            filling = tf.lookup.KeyValueTensorInitializer(words, [10.0 + at, 20.0 + at])
            y = tf.lookup.StaticHashTable(filling, -1.0).lookup(x)
            current.run(v1.tables_initializer())
            folder = savedmodels.save(tmp_path / f"m{at}", current, {"x": x}, {"y": y})

        def shared(graph_def) -> None:
            for node in graph_def.node:
                if node.op == "HashTableV2":
                    node.attr["shared_name"].s, node.attr["container"].s = b"words", b"everybody"

        _graph_of(folder, shared)
        pipeline.export(Request(saved_model=folder), str(tmp_path / f"e{at}"))
        layers.append([SignatureLayer(folder), SignatureLayer(tmp_path / f"e{at}")])
    asked = tf.constant(["a", "b", "c", "d"])
    for layer in layers[0]:
        assert layer(asked).numpy().tolist() == [10, 20, -1, -1]
    for layer in layers[1]:
        assert layer(asked).numpy().tolist() == [-1, -1, 11, 21]


def test_whatever_has_a_name_that_others_share_is_a_table_or_a_variable():
    """These a layer makes under names of its own; what else is shared by name would be found by who knows the name."""
    shared = {
        op
        for op in reach.ALLOWED
        if (definition := graph.registered(op)) and any(attr.name == "shared_name" for attr in definition.attr)
    }
    assert shared <= ops.TABLES | ops.REF_TABLES | ops.REF_VARIABLES | {"VarHandleOp"}


def _evil(graph_def, canary: pathlib.Path, op: str) -> None:
    """Adds a node that writes a checkpoint, or reads one from elsewhere: the ops that a saver needs."""
    for key, value in (("file", str(canary)), ("names", ["w"]), ("slices", [""]), ("value", 1.0)):
        node = graph_def.node.add(name=f"evil/{key}", op="Const")
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
        node.attr["dtype"].type = node.attr["value"].tensor.dtype
    made = graph_def.node.add(name="evil", op=op, input=["evil/file", "evil/names", "evil/slices"])
    made.input.extend(["evil/value"] if op == "SaveV2" else [])
    made.attr["dtypes"].list.type.append(types_pb2.DT_FLOAT)


@pytest.mark.parametrize("op", ["SaveV2", "RestoreV2"])
def test_the_op_that_restores_touches_the_export_alone(op, canary, exported, tmp_path):
    """`verify` lets TensorFlow load the folder, too, and that runs the saver's op."""
    shutil.copytree(exported("mlp_layers"), tmp_path / "export")
    file = tmp_path / "export" / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    graph_def = saved.meta_graphs[0].graph_def
    _evil(graph_def, canary, op)
    restores = saved.meta_graphs[0].saver_def.restore_op_name
    next(node for node in graph_def.node if node.name == restores).input.append("^evil")
    file.write_bytes(saved.SerializeToString())
    with pytest.raises(LoadError, match=f"other devices:\n    {op}: 'evil'\n"):
        verification.verify(tmp_path / "export")
    assert not list(tmp_path.glob("canary*"))


def test_objects_beside_the_graph_are_refused(exported, tmp_path):
    """With them TensorFlow's loader goes by functions, whatever nodes call these; step 1 writes none."""
    shutil.copytree(exported("mlp_layers"), tmp_path / "export")
    tf.saved_model.save(tf.Module(), str(tmp_path / "other"))
    brought = saved_model_pb2.SavedModel.FromString((tmp_path / "other" / "saved_model.pb").read_bytes()).meta_graphs[0]
    file = tmp_path / "export" / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    saved.meta_graphs[0].object_graph_def.CopyFrom(brought.object_graph_def)
    file.write_bytes(saved.SerializeToString())
    with pytest.raises(LoadError, match="'object_graph_def'"):
        verification.verify(tmp_path / "export")
