"""An archive tells when it was changed: to whoever loads it, and to `show` and `verify`."""

import io
import json
import pathlib
import shutil
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import load_v2
from load_v2 import LoadError, SignatureLayer
from load_v2 import __main__ as step_2
from load_v2.commands import to_keras
from load_v2.layer import archive_file

GRAPH = "assets/layers/signature_layer/saved_model.pb"
RECORD = "assets/layers/signature_layer/assets.extra/export_v1.json"
DIGESTS = "assets/layers/signature_layer/assets.extra/digests.json"
WORDS = "assets/layers/signature_layer/assets/0_vocab.txt"


@pytest.fixture(scope="module")
def saved(exported, tmp_path_factory) -> pathlib.Path:
    keras.utils.clear_session()
    folder = tmp_path_factory.mktemp("saved")
    to_keras.as_model(exported("lookup_vocab")).save(folder / "m.keras")
    return folder / "m.keras"


@pytest.fixture
def archive(saved, tmp_path) -> pathlib.Path:
    return pathlib.Path(shutil.copy(saved, tmp_path / "m.keras"))


def _change(file: pathlib.Path, **members) -> None:
    """Changes members of an archive, each by a function of its content; None takes it away."""
    with zipfile.ZipFile(file) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in contents.items():
            change = members.get(name, lambda same: same)
            if change is not None:
                archive.writestr(name, change(content))


def _a_constant(content: bytes) -> bytes:
    model = saved_model_pb2.SavedModel.FromString(content)
    for node in model.meta_graphs[0].graph_def.node:
        if node.op == "Const" and node.attr["dtype"].type == tf.int64.as_datatype_enum:
            value = tf.make_ndarray(node.attr["value"].tensor)
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value + 1))
            return model.SerializeToString()
    raise AssertionError("no constant is there")


def _a_weight(content: bytes) -> bytes:
    file = io.BytesIO(content)
    with h5py.File(file, "r+") as stored:
        weight = stored["layers/signature_layer/vars/1"]
        weight[...] = np.nextafter(weight[...], np.inf)
    return file.getvalue()


def _rows_of_a_weight(content: bytes) -> bytes:
    file = io.BytesIO(content)
    with h5py.File(file, "r+") as stored:
        weight = stored["layers/signature_layer/vars/1"]
        weight[...] = weight[...][::-1]
    return file.getvalue()


def _a_weight_that_is_not_stored(content: bytes) -> bytes:
    """HDF5 gives a value for all of it."""
    file = io.BytesIO(content)
    with h5py.File(file, "r+") as stored:
        group = stored["layers/signature_layer/vars"]
        shape = group["1"].shape
        del group["1"]
        group.create_dataset("1", shape=shape, dtype="f4", fillvalue=7.0)
    return file.getvalue()


def _a_digest_less(content: bytes) -> bytes:
    digests = json.loads(content)
    del digests["files"]["saved_model.pb"]
    return json.dumps(digests).encode()


def _a_choice(content: bytes) -> bytes:
    return json.dumps(json.loads(content) | {"warnings": ["changed"]}).encode()


CHANGES = {
    "a constant": (GRAPH, _a_constant, "saved_model.pb"),
    "a bit of a weight": ("model.weights.h5", _a_weight, "weight "),
    "the order of rows": ("model.weights.h5", _rows_of_a_weight, "weight "),
    "a weight that is not stored": ("model.weights.h5", _a_weight_that_is_not_stored, "weight "),
    "a digest less": (DIGESTS, _a_digest_less, "saved_model.pb"),
    "the record": (RECORD, _a_choice, "assets.extra/export_v1.json"),
    "a vocabulary": (WORDS, lambda content: content[::-1], "assets/0_vocab.txt"),
}


def _run(capsys, *arguments) -> tuple[int, str]:
    code = step_2.main(step_2.parse(["load_v2", *map(str, arguments)]))
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def test_an_archive_that_nobody_changed(archive, capsys):
    code, text = _run(capsys, "verify", archive)
    assert code == 0 and "graph, record, files and 3 weights are what was saved" in text
    code, text = _run(capsys, "show", archive)
    assert code == 0 and "signature serving_default" in text and "are what was saved" in text
    keras.models.load_model(archive)


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_told_by_name(what, archive, capsys):
    member, change, name = CHANGES[what]
    _change(archive, **{member: change})
    code, text = _run(capsys, "verify", archive)
    assert code == 1 and "CHANGED" in text and name in text
    code, text = _run(capsys, "show", archive)
    assert code == 0 and "CHANGED" in text and name in text
    with pytest.raises(Exception, match=f"changed after layer 'signature_layer' was saved: '{name}"):
        keras.models.load_model(archive)


@pytest.mark.parametrize(
    "name", ["assets/1_more.txt", "assets.extra/more.json", "saved_model.pbtxt", "variables/variables.index"]
)
def test_a_file_more_is_told_by_name(name, archive, capsys):
    with zipfile.ZipFile(archive, "a") as stored:
        stored.writestr(f"assets/layers/signature_layer/{name}", b"more")
    code, text = _run(capsys, "verify", archive)
    assert code == 1 and (f"{name} was CHANGED" in text or "variables" in name and "damaged" in text), text
    with pytest.raises(ValueError, match="was changed after layer|damaged"):
        keras.models.load_model(archive)


def test_digests_that_are_none_are_named_where_they_are(archive, capsys):
    _change(archive, **{DIGESTS: lambda _: b"{}"})
    code, text = _run(capsys, "show", archive)
    assert code == 1 and f"{archive}: layers/signature_layer/assets.extra/digests.json' is damaged" in text


def test_an_archive_of_an_earlier_version_has_no_digests(archive, capsys):
    _change(archive, **{DIGESTS: None})
    keras.models.load_model(archive)
    code, text = _run(capsys, "show", archive)
    assert code == 0 and "an earlier version saved it" in text
    code, text = _run(capsys, "verify", archive)
    assert code == 1 and "Load it and save it again" in text


def test_what_was_trained_is_what_is_saved(exported, tmp_path):
    layer = SignatureLayer(exported("convnet_bn_finetune"))
    model = keras.Sequential([keras.Input((8, 8, 2)), layer, keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 8, 8, 2), "float32"), np.ones((4, 2)), verbose=0)
    model.save(tmp_path / "m.keras")
    assert load_v2.verify(tmp_path / "m.keras").archive
    keras.models.load_model(tmp_path / "m.keras")


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"no archive", "not a complete .keras archive"), (b"", "not a complete .keras archive"), ({"a": b""}, "holds no graph"),
     ({"assets/../../x/saved_model.pb": b""}, "leads out"), ({"assets/x/saved_model.pb": b"\xff"}, "damaged"),
     ({"assets/x/saved_model.pb": bytes(2**20) * 1100}, "would be more than 1,073,741,824 when it is unpacked"),
     ({f"assets/{'a/' * 3000}saved_model.pb": b""}, "3,001 folders deep")],
)  # fmt: skip
def test_what_is_no_archive_gets_one_message(content, told, tmp_path):
    file = tmp_path / "m.keras"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in content.items():
                archive.writestr(name, data)
    with pytest.raises(LoadError, match=told):
        load_v2.verify(file)
    assert not (tmp_path / "x").exists()


def test_what_was_unpacked_goes_away(archive):
    with archive_file.opened(archive) as (stored,):
        folder = pathlib.Path(next(iter(stored.source.assets.values())))
        assert folder.exists() and stored.name == "layers/signature_layer"
    assert not folder.exists()


def test_an_encrypted_member_gets_one_message(tmp_path):
    file = tmp_path / "m.keras"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("assets/x/saved_model.pb", b"x")
    content = bytearray(file.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    file.write_bytes(content)
    with pytest.raises(LoadError, match="not a complete .keras archive: .*encrypted"), archive_file.opened(file):
        pass


def _elsewhere(group, shape) -> None:
    group.create_dataset("0", shape=shape, dtype="f4", external=[("/etc/passwd", 0, 4 * int(np.prod(shape)))])


@pytest.mark.parametrize(
    "change",
    [
        lambda group, shape: group.create_dataset("0", shape=(200_000, 200_000), dtype="f4", chunks=(1000, 1000)),
        _elsewhere,
        lambda group, shape: group.__setitem__("0", h5py.ExternalLink("/etc/passwd", "x")),
        lambda group, shape: group.create_group("0"),
        lambda group, shape: group.create_dataset("0", data=np.full(shape, b"x", "S3")),
    ],
    ids=["a size that no file holds", "in another file", "a link", "a group", "text"],
)
def test_a_weight_that_is_none_counts_as_changed(change, saved, tmp_path):
    file, weights = tmp_path / "m.keras", tmp_path / "w.h5"
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    weights.write_bytes(members["model.weights.h5"])
    with h5py.File(weights, "a") as stored:
        groups: list[str] = []
        stored.visit(lambda name: groups.append(name) if name.endswith("/vars") and len(stored[name]) else None)
        group = stored[groups[0]]
        shape = group["0"].shape
        del group["0"]
        change(group, shape)
    members["model.weights.h5"] = weights.read_bytes()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with archive_file.opened(file) as (stored,):
        assert [name.partition(" ")[0] for name in stored.changed] == ["weight"]
