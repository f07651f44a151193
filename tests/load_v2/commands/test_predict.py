"""predict: every kind of file, uneven last batches, constant memory, whole files or none."""

import os

import numpy as np
import pytest
import tensorflow as tf

from load_v2 import LoadError, SignatureLayer, scoring
from load_v2.commands import predict
from tests.support import cases, savedmodels


@pytest.fixture(scope="module")
def layer(exported):
    return SignatureLayer(exported("mlp_layers"))


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(103, 16)).astype("float32")


def _close(got, want):
    assert set(got) == set(want)
    for key, value in want.items():
        np.testing.assert_allclose(got[key], value, rtol=1e-5, atol=1e-6)


def test_npz_in_batches_equals_one_call(layer, rows, tmp_path):
    np.savez(tmp_path / "in.npz", x=rows, unused=np.zeros(3))
    np.savez_compressed(tmp_path / "small.npz", x=np.asfortranarray(rows))
    for name, size in (("in.npz", 10), ("in.npz", 103), ("in.npz", 1000), ("small.npz", 7)):
        count = predict.predict(layer, str(tmp_path / name), str(tmp_path / "out.npz"), size).rows
        assert count == 103
        _close(np.load(tmp_path / "out.npz"), layer(rows))


def test_npy_is_mapped_and_a_folder_holds_several(layer, rows, tmp_path):
    np.save(tmp_path / "in.npy", rows)
    predict.predict(layer, str(tmp_path / "in.npy"), str(tmp_path / "out"), 20)
    _close({key: np.load(tmp_path / "out" / f"{key}.npy") for key in ("probs", "logits")}, layer(rows))
    two = SignatureLayer(savedmodels.two_inputs(tmp_path / "two"))
    os.makedirs(tmp_path / "several")
    np.save(tmp_path / "several" / "ids.npy", np.arange(10, dtype="int32").reshape(5, 2))
    np.save(tmp_path / "several" / "mask.npy", np.ones((5, 2), "float32"))
    predict.predict(two, str(tmp_path / "several"), str(tmp_path / "two.npz"), 2)
    np.testing.assert_array_equal(np.load(tmp_path / "two.npz")["product"], np.arange(10.0).reshape(5, 2))
    one = SignatureLayer(savedmodels.scale(tmp_path / "scale"))
    predict.predict(one, str(tmp_path / "in.npy"), str(tmp_path / "out.npy"), 50)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), rows * 3)


def test_records_of_examples(layer, rows, tmp_path):
    def example(row):
        feature = tf.train.Feature(float_list=tf.train.FloatList(value=row))
        return tf.train.Example(features=tf.train.Features(feature={"x": feature}))

    with tf.io.TFRecordWriter(str(tmp_path / "in.tfrecord")) as writer:
        for row in rows:
            writer.write(example(row).SerializeToString())
    predict.predict(layer, str(tmp_path / "in.tfrecord"), str(tmp_path / "out.tfrecord"), 25)
    found = [tf.train.Example.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(tmp_path / "out.tfrecord"))]
    got = {key: [list(e.features.feature[key].float_list.value) for e in found] for key in ("probs", "logits")}
    _close(got, layer(rows))


def test_strings_in_and_out(exported, tmp_path):
    case = cases.load("lookup_vocab")
    words = case.oracle("in")["words"]
    np.savez(tmp_path / "in.npz", words=words.astype("S"))
    predict.predict(SignatureLayer(exported("lookup_vocab")), str(tmp_path / "in.npz"), str(tmp_path / "out.npz"), 1)
    got = np.load(tmp_path / "out.npz")
    assert (got["label"].astype(object) == case.oracle()["label"]).all()


def test_a_fixed_batch_size_is_filled_up(tmp_path):
    with savedmodels.session() as current:
        x = tf.compat.v1.placeholder(tf.float32, [4, 2], name="x")
        path = savedmodels.save(
            tmp_path / "fixed", current, {"x": x}, {"y": x * savedmodels.variable("w", np.float32(2))}
        )
    values = np.arange(14, dtype="float32").reshape(7, 2)
    np.savez(tmp_path / "in.npz", x=values)
    predict.predict(SignatureLayer(path), str(tmp_path / "in.npz"), str(tmp_path / "out.npz"), 3)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npz")["y"], values * 2)


class _Fails:
    """A layer whose second batch fails."""

    def __init__(self, layer):
        self.input_specs, self.output_specs, self._layer, self._calls = layer.input_specs, layer.output_specs, layer, 0

    def __call__(self, batch):
        self._calls += 1
        if self._calls == 2:
            raise RuntimeError("no more")
        return self._layer(batch)


@pytest.mark.parametrize("ending", ["out.npz", "out", "out.tfrecord"])
def test_a_failure_leaves_what_was_there(layer, rows, tmp_path, ending):
    np.save(tmp_path / "in.npy", rows)
    if "." in ending:
        (tmp_path / ending).write_text("before")
    with pytest.raises(RuntimeError):
        predict.predict(_Fails(layer), str(tmp_path / "in.npy"), str(tmp_path / ending), 10)
    left = {"in.npy", ending} if "." in ending else {"in.npy"}
    assert set(os.listdir(tmp_path)) == left
    if "." in ending:
        assert (tmp_path / ending).read_text() == "before"


def test_bad_files_get_one_clear_error(layer, rows, tmp_path):
    np.savez(tmp_path / "other.npz", y=rows)
    np.savez(tmp_path / "pickled.npz", x=np.array([b"a", b"bc"], dtype=object))
    (tmp_path / "cut.npz").write_bytes(b"PK\3\4 no zip")
    two = SignatureLayer(savedmodels.two_inputs(tmp_path / "two"))
    np.savez(tmp_path / "uneven.npz", ids=np.zeros((3, 2), "int32"), mask=np.zeros((4, 2), "float32"))
    np.save(tmp_path / "one.npy", rows)
    attempts = [
        (layer, "none.npz", "out.npz", "There is no file"),
        (layer, "other.npz", "out.npz", "Input 'x' is not in"),
        (layer, "pickled.npz", "out.npz", "Python objects"),
        (layer, "cut.npz", "out.npz", "cannot be read as .npz"),
        (two, "uneven.npz", "out.npz", "different lengths: ids: 3, mask: 4"),
        (two, "one.npy", "out.npz", "one array, the signature has 2 inputs"),
        (layer, "one.npy", "out.npy", "one array, the signature has 2 outputs"),
        (layer, "one.npy", "out.csv", "not a kind of file that answers are written to"),
    ]
    for model, source, target, part in attempts:
        with pytest.raises(LoadError) as caught:
            predict.predict(model, str(tmp_path / source), str(tmp_path / target), 10)
        assert part in str(caught.value)
        assert not os.path.exists(tmp_path / target)


@pytest.mark.parametrize("ending", ["npz", "npy"])
def test_memory_does_not_grow_with_the_file(layer, ending, tmp_path):
    path = str(tmp_path / f"big.{ending}")
    # From here on the largest size counts, and not what some test before has needed.
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = _largest_size()
    size = 160_000
    with scoring.writer(path, ["x"]) as target:
        for _ in range(size // 5_000):
            target.write({"x": np.ones((5_000, 256), "float32")})
    assert os.path.getsize(path) > 160e6
    specs = {"x": layer.input_specs["x"]}
    total = sum(batch["x"].shape[0] for batch in scoring.reader(path, specs).batches(1000))
    assert total == size
    assert _largest_size() - before < 64 * 2**20


def _largest_size() -> int:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


def test_the_command(exported, rows, tmp_path, run_program):
    np.savez(tmp_path / "in.npz", x=rows)
    command = [
        "-m",
        "load_v2",
        "predict",
        str(exported("mlp_layers")),
        "--inputs",
        str(tmp_path / "in.npz"),
    ]
    command += ["--outputs", str(tmp_path / "out.npz"), "--batch_size=40"]
    done = run_program(command)
    assert done.returncode == 0 and "103 rows" in done.stdout
    assert np.load(tmp_path / "out.npz")["probs"].shape == (103, 3)
    done = run_program([*command[:-1], "--batch_size=0"])
    assert done.returncode == 1 and "not a positive number" in done.stderr
