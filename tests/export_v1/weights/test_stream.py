"""stream: what goes past in pieces is what a Saver restores and writes, and nothing damaged gets through."""

import contextlib
import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

import export_v1
from export_v1.artifact import save
from export_v1.format import bundle
from export_v1.proof import memory
from export_v1.weights import restore, stream
from export_v1.weights.restore import Restored, Variable, Weights
from tests.support import cases

v1 = tf.compat.v1
V1, V2 = v1.train.SaverDef.V1, v1.train.SaverDef.V2
# Each starts elsewhere, so that two of them, or two pieces of one, cannot change places unseen.
VALUES = {
    "large": np.arange(150, dtype=np.float32).reshape(5, 5, 6),
    "long": np.arange(1000, 1099, dtype=np.float64),
    "half": np.arange(400, dtype=np.float16).reshape(5, 80),
    "brain": np.arange(7, 40).astype(tf.bfloat16.as_numpy_dtype),
    "count": np.int64(2**40 + 3),
    "bytes": np.arange(200, dtype=np.uint8),
    "flags": np.arange(90) % 3 == 0,
    "complex": np.arange(50).astype(np.complex64) * 1j,
    "words": np.array([b"a", b"", b"long \0 word" * 50], object),
    "empty": np.zeros([0, 3], np.float32),
}
# The first format knows fewer types.
OLD = {name: VALUES[name] for name in ("large", "long", "half", "count", "bytes", "flags", "complex")}


def write_checkpoint(prefix: str, values, **saver) -> None:
    with tf.Graph().as_default(), v1.Session() as session:
        for name, value in values.items():
            dtype = tf.string if value.dtype == object else tf.as_dtype(value.dtype)
            v1.get_variable(name, initializer=tf.constant(value, dtype), use_resource=False)
        session.run(v1.global_variables_initializer())
        v1.train.Saver(**saver).save(session, prefix, write_meta_graph=False)


@pytest.fixture(scope="module")
def prefix(tmp_path_factory) -> str:
    path = str(tmp_path_factory.mktemp("checkpoint") / "model")
    write_checkpoint(path, VALUES)
    return path


def variable(name: str, value, **changes) -> Variable:
    dtype = tf.string if value.dtype == object else tf.as_dtype(value.dtype)
    return dataclasses.replace(Variable(name, dtype, value.shape, True, Restored(name)), **changes)


def weights_of(prefix: str, values=VALUES) -> Weights:
    return Weights(tuple(variable(name, value) for name, value in values.items()), restore.Checkpoint(prefix))


def written(folder: pathlib.Path, weights: Weights, piece: int = 256) -> str:
    folder.mkdir()
    stream.write(weights, str(folder / "variables"), piece)
    assert [path for path in folder.iterdir() if ".data-" not in path.name] == [folder / "variables.index"]
    return str(folder / "variables")


def assert_holds(prefix: str, values) -> None:
    assert set(tf.train.load_checkpoint(prefix).get_variable_to_shape_map()) == set(values)
    for name, value in values.items():
        dtype = tf.string if value.dtype == object else tf.as_dtype(value.dtype)
        [got] = tf.raw_ops.RestoreV2(prefix=prefix, tensor_names=[name], shape_and_slices=[""], dtypes=[dtype])
        assert got.shape == value.shape, name
        same = np.array_equal(got, value) if value.dtype == object else got.numpy().tobytes() == value.tobytes()
        assert same, name


@pytest.mark.parametrize("piece", [100, 256, 2**20])
def test_every_type_in_pieces_of_any_size(tmp_path, prefix, piece):
    assert_holds(written(tmp_path / "out", weights_of(prefix), piece), VALUES)


@pytest.mark.parametrize("piece", [128, 2**20])
@pytest.mark.parametrize(
    ("values", "saver"),
    [(VALUES, {"write_version": V2, "sharded": True}), (OLD, {"write_version": V1})],
    ids=["sharded", "first format"],
)
def test_every_kind_of_checkpoint(tmp_path, values, saver, piece):
    write_checkpoint(str(tmp_path / "model"), values, **saver)
    assert_holds(written(tmp_path / "out", weights_of(str(tmp_path / "model"), values), piece), values)


def test_checksums_are_those_of_the_checkpoint(tmp_path, prefix):
    out, source = bundle.read(written(tmp_path / "out", weights_of(prefix))), bundle.read(prefix)
    # TensorFlow's checksum of strings covers their lengths as well; it is compared as the others are.
    assert {name: out.checksum(name) for name in VALUES} == {name: source.checksum(name) for name in VALUES}
    assert out.tensors["large"].slices
    # TensorFlow would not put slices of this type together again.
    assert VALUES["half"].nbytes > 2 * 256 and not out.tensors["half"].slices


def test_cast_renamed_initial_and_part(tmp_path, prefix):
    large = VALUES["large"]
    weights = Weights(
        (
            variable("cast", large.astype(np.float64), location=Restored("large")),
            variable("of_one_size", VALUES["long"].astype(np.int64), location=Restored("long")),
            variable("renamed", VALUES["long"], location=Restored("long")),
            variable("initial", large, location=None),
            variable("part", large[1:4, 1:3], location=Restored("large", ((1, 3), (1, 2), (0, 6)))),
        ),
        restore.Checkpoint(prefix),
        {"initial": large + 7},
    )
    expected = {
        "cast": large.astype(np.float64),
        "of_one_size": VALUES["long"].astype(np.int64),
        "renamed": VALUES["long"],
        "initial": large + 7,
        "part": large[1:4, 1:3],
    }
    assert_holds(written(tmp_path / "out", weights), expected)


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 1000), (2, 3, 500), (1, 1, 999), (5, 64, 2)])
def test_parts_cover_a_shape_in_order(shape):
    whole = np.arange(np.prod(shape)).reshape(shape)
    parts = [*stream._parts(shape, 64)]
    cut = [whole[tuple(slice(at, at + size) for at, size in part)] for part in parts]
    assert all(piece.size <= 64 for piece in cut)
    assert np.array_equal(np.concatenate([piece.ravel() for piece in cut]), whole.ravel())


NAMES = ("mlp_layers", "sharded_ckpt", "partitioned_embedding", "lookup_vocab", "convnet_bn_dropout", "v1_format")


def both_ways(case: cases.Case, tmp_path, monkeypatch, **flags) -> tuple[pathlib.Path, pathlib.Path]:
    for name, line in (("simple", 2**40), ("stream", 0)):
        monkeypatch.setattr(save, "STREAMED_ABOVE", line)
        monkeypatch.setattr(stream, "PIECE", 100)
        export_v1.export(export_dir=str(tmp_path / name), **case.flags(), **flags)
    return tmp_path / "simple", tmp_path / "stream"


@pytest.mark.parametrize(("name", "flags"), [(name, {}) for name in NAMES] + [("ema_shadow", {"ema": True})])
def test_both_ways_of_writing_give_the_same_variables(tmp_path, monkeypatch, name, flags):
    case = cases.load(name)
    folders = both_ways(case, tmp_path, monkeypatch, **flags)
    prefixes = [str(folder / "variables" / "variables") for folder in folders]
    one, other = (tf.train.load_checkpoint(prefix) for prefix in prefixes)
    assert one.get_variable_to_dtype_map() == other.get_variable_to_dtype_map()
    for key in one.get_variable_to_shape_map():
        assert one.get_tensor(key).tobytes() == other.get_tensor(key).tobytes(), key
    records = [json.loads((folder / "assets.extra" / "export_v1.json").read_text()) for folder in folders]
    assert records[0]["variables"] == records[1]["variables"]
    assert all(
        variable["crc32c"] == bundle.read(prefixes[0]).checksum(variable["name"])
        for variable in records[1]["variables"]
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_streamed_export_answers_as_tensorflow_1_did(tmp_path, monkeypatch, name):
    case = cases.load(name)
    _, folder = both_ways(case, tmp_path, monkeypatch)
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    got = signature(**{key: tf.constant(value) for key, value in case.oracle("in").items()})
    for key, expected in case.oracle("out").items():
        if expected.dtype == object:
            assert np.array_equal(got[key].numpy(), expected), key
        else:
            np.testing.assert_allclose(got[key].numpy(), expected, rtol=cases.TOLERANCE, atol=cases.TOLERANCE)


def test_a_streamed_export_is_proven_as_any_other(tmp_path, monkeypatch):
    _, folder = both_ways(cases.load("mlp_layers"), tmp_path, monkeypatch)
    record = json.loads((folder / "assets.extra" / "export_v1.json").read_text())
    assert record["sample"]["origin"] == "generated" and record["proof"]["verdict"] == "equal"


def test_a_model_that_does_not_fit_in_memory_has_a_sample_only_where_inputs_are_given(tmp_path, monkeypatch):
    case = cases.load("mlp_layers")
    monkeypatch.setattr(memory, "free", lambda: 1000)
    _, folder = both_ways(case, tmp_path, monkeypatch)
    record = json.loads((folder / "assets.extra" / "export_v1.json").read_text())
    assert record["sample"] is None and "MiB of memory are free" in record["sample_left_out"]
    assert record["proof"] == {
        "verdict": "not proven", "why": record["sample_left_out"], "not_proven": {}, "not_asked": []
    }  # fmt: skip
    assert not (folder / "assets.extra" / "sample.npz").exists()
    np.savez(tmp_path / "in.npz", **case.oracle("in"))
    report = export_v1.export(export_dir=str(tmp_path / "given"), **case.flags(), sample=str(tmp_path / "in.npz"))
    assert report["sample"]["origin"] == "given" and report["sample_left_out"] is None
    assert (tmp_path / "given" / "assets.extra" / "sample.npz").exists()


def damaged(prefix: str, folder: pathlib.Path, key: str) -> str:
    """Returns a copy of a checkpoint with one bit of one tensor flipped."""
    for path in pathlib.Path(prefix).parent.glob(pathlib.Path(prefix).name + "*"):
        shutil.copy(path, folder)
    index = bundle.read(prefix)
    entry = index.tensors[key] if not index.tensors[key].slices else [*index.slices[key].values()][1]
    path = folder / pathlib.Path(bundle.data_file(prefix, entry.shard_id, index.shards)).name
    data = bytearray(path.read_bytes())
    data[entry.offset + entry.size // 2] ^= 4
    path.write_bytes(data)
    return str(folder / pathlib.Path(prefix).name)


@pytest.mark.parametrize("piece", [128, 2**20])
@pytest.mark.parametrize("key", [name for name in VALUES if name != "empty"])
def test_a_flipped_bit_is_an_error_that_names_the_variable(tmp_path, prefix, key, piece):
    with pytest.raises(export_v1.ExportError, match=f"Variable '{key}' cannot be read from checkpoint.*\n.*copy the"):
        written(tmp_path / "out", weights_of(damaged(prefix, tmp_path, key)), piece)


def test_a_flipped_bit_is_found_where_the_value_is_cast_or_cut(tmp_path, prefix):
    path = damaged(prefix, tmp_path, "large")
    large = VALUES["large"]
    cast = variable("a", large.astype(np.float64), location=Restored("large"))
    cut = variable("a", large[1:4], location=Restored("large", ((1, 3), (0, 5), (0, 6))))
    for at, one in enumerate((cast, cut)):
        with pytest.raises(export_v1.ExportError, match="Variable 'large' cannot be read"):
            written(tmp_path / f"out{at}", Weights((one,), restore.Checkpoint(path)))


@pytest.mark.parametrize("line", [0, 2**40], ids=["stream", "simple_save"])
@pytest.mark.parametrize("name", ["mlp_layers", "partitioned_embedding"])
def test_a_flipped_bit_is_no_export(tmp_path, monkeypatch, name, line):
    monkeypatch.setattr(save, "STREAMED_ABOVE", line)
    flags = cases.load(name).flags()
    index = bundle.read(flags["checkpoint"])
    key = next(
        key for key in index.slices or index.tensors if "Adam" not in key and "dense" in key or key == "model/emb"
    )
    flags["checkpoint"] = damaged(flags["checkpoint"], tmp_path, key)
    with pytest.raises(export_v1.ExportError, match=f"Variable '{key}' cannot be read"):
        export_v1.export(export_dir=str(tmp_path / "out"), **flags, no_sample=True)
    assert not (tmp_path / "out").exists() and not [*tmp_path.glob(".*")]


def test_a_damaged_checkpoint_of_the_first_format_is_an_error(tmp_path):
    write_checkpoint(str(tmp_path / "model"), {"w": np.random.default_rng(0).random(5000)}, write_version=V1)
    data = bytearray((tmp_path / "model").read_bytes())
    data[len(data) // 2] ^= 4
    (tmp_path / "model").write_bytes(data)
    with pytest.raises(export_v1.ExportError, match="'w' cannot be read|cannot be read: "):
        written(tmp_path / "out", weights_of(str(tmp_path / "model"), {"w": np.zeros(5000)}))


@pytest.mark.parametrize("piece", [128, 2**20])
def test_a_data_file_that_is_cut_short_is_an_error(tmp_path, prefix, piece):
    for path in pathlib.Path(prefix).parent.glob("model*"):
        shutil.copy(path, tmp_path)
    [data] = tmp_path.glob("model.data-*")
    data.write_bytes(data.read_bytes()[:-1])
    last = max(bundle.read(prefix).tensors.items(), key=lambda item: item[1].offset + item[1].size)[0]
    with pytest.raises(export_v1.ExportError, match=f"Variable '{last}' cannot be read from checkpoint"):
        written(tmp_path / "out", weights_of(str(tmp_path / "model")), piece)


def test_several_damaged_variables_are_named_together(tmp_path, prefix):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    path = damaged(damaged(prefix, tmp_path / "one", "large"), tmp_path / "two", "long")
    with pytest.raises(export_v1.ExportError, match="2 variables \\('large', 'long'\\) cannot be read"):
        written(tmp_path / "out", weights_of(path))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["large", "long", "half", "brain", "complex"])
def test_nan_and_infinity_are_said(tmp_path, name, bad):
    values = {key: value.copy() for key, value in VALUES.items()}
    values[name].reshape(-1)[-1] = bad
    write_checkpoint(str(tmp_path / "model"), values)
    (tmp_path / "out").mkdir()
    with np.errstate(invalid="ignore"):
        assert stream.write(weights_of(str(tmp_path / "model"), values), str(tmp_path / "out/variables"), 256) == [name]


def test_large_but_finite_values_are_not_called_infinite(tmp_path):
    values = {"w": np.full(100, 3e38, np.float32)}
    write_checkpoint(str(tmp_path / "model"), values)
    (tmp_path / "out").mkdir()
    assert stream.write(weights_of(str(tmp_path / "model"), values), str(tmp_path / "out/variables"), 256) == []


def test_no_more_is_held_than_a_piece_for_each_worker(tmp_path, monkeypatch):
    values = {f"layer_{at}": np.arange(at, at + 5000, dtype=np.float32) for at in range(40)}
    write_checkpoint(str(tmp_path / "model"), values)
    made = []
    monkeypatch.setattr(stream, "_aligned", lambda size, make=stream._aligned: made.append(size) or make(size))
    asked = []
    monkeypatch.setattr(Weights, "value", lambda self, one: asked.append(one))
    assert_holds(written(tmp_path / "out", weights_of(str(tmp_path / "model"), values), 2**15), values)
    assert 0 < sum(made) <= stream.WORKERS * 2**15 and not asked


def test_a_session_that_is_in_use_stays_as_it_was(tmp_path, prefix):
    with contextlib.ExitStack() as stack:
        graph = stack.enter_context(tf.Graph().as_default())
        written(tmp_path / "out", weights_of(prefix))
        assert not graph.get_operations() and v1.get_default_graph() is graph


def _checksums(index) -> dict[str, int]:
    return {name: index.checksum(name) for name in index.tensors}


def test_step_2_knows_the_checksums_of_both_writers(tmp_path, monkeypatch):
    for name in ("mlp_layers", "lookup_vocab"):
        (tmp_path / name).mkdir()
        folders = both_ways(cases.load(name), tmp_path / name, monkeypatch)
        simple, streamed = (_checksums(bundle.read(str(folder / "variables" / "variables"))) for folder in folders)
        assert simple == streamed
        assert len([*(folders[1] / "variables").iterdir()]) > 2


def test_verify_without_answers_compares_the_variables(tmp_path, monkeypatch):
    from load_v2 import verify

    monkeypatch.setattr(save, "STREAMED_ABOVE", 0)
    monkeypatch.setattr(stream, "PIECE", 100)
    export_v1.export(export_dir=str(tmp_path / "1"), **cases.load("mlp_layers").flags(), no_sample=True)
    found = verify(tmp_path / "1")
    assert not found.equal and not found.damaged and "variables intact" in found.lines()[-1]
    record = tmp_path / "1" / "assets.extra" / "export_v1.json"
    content = json.loads(record.read_text())
    content["variables"][0]["crc32c"] ^= 1
    record.write_text(json.dumps(content))
    assert verify(tmp_path / "1").damaged == (content["variables"][0]["name"],)
