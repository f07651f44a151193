"""sample: the original's answers are recorded, and an export that answers something else is not written."""

import zipfile

import numpy as np
import pytest
import tensorflow as tf

import export_v1
from export_v1.passes import variables
from export_v1.proof import sample
from export_v1.source import assets
from tests.support import graphs, small_models
from tests.support.graphs import v1

FILES = assets.Files({}, ())


def _affine() -> None:
    x = v1.placeholder(tf.float32, [None, 2], "x")
    w = v1.get_variable("w", initializer=tf.constant([[1.0, 2.0], [3.0, 4.0]]))
    factor = tf.constant(1.0, name="factor")
    tf.multiply(tf.matmul(x, w), factor, name="y")
    tf.cast(tf.reduce_sum(tf.multiply(x, 10.0), 1), tf.int32, name="count")


@pytest.fixture
def flags(tmp_path) -> dict[str, object]:
    """Returns the flags that export a model of one float and one integer output."""
    (tmp_path / "model").mkdir()
    return {
        "checkpoint": small_models.checkpoint(tmp_path / "model", _affine),
        "export_dir": str(tmp_path / "export"),
        "inputs": {"x": "x:0"},
        "outputs": {"y": "y:0", "count": "count:0"},
    }


def _broken_pass(monkeypatch, change) -> None:
    """Makes one pass of the conversion do a `change` to each node beside its work."""

    def broken(graph_def, real=variables.to_resources):
        made = real(graph_def)
        for node in made.graph_def.node:
            change(node)
        return made

    monkeypatch.setattr(variables, "to_resources", broken)


def _factor(value: float):
    def change(node) -> None:
        if node.name == "factor":
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, tf.float32))

    return change


def _replaced(op: str, by: str):
    def change(node) -> None:
        if node.op == op:
            node.op = by

    return change


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (_replaced("Mul", "AddV2"), ("y", "count")),
        (_replaced("Sum", "Max"), ("count",)),
        (_factor(1.002), ("y",)),
        (_factor(-1.0), ("y",)),
        (_factor(float("nan")), ("y",)),
    ],
)
def test_an_export_that_answers_something_else_is_not_written(flags, tmp_path, monkeypatch, change, wrong):
    _broken_pass(monkeypatch, change)
    with pytest.raises(export_v1.ExportError, match="does not answer as the original does") as caught:
        export_v1.export(**flags)
    said = str(caught.value)
    assert [key for key in ("y", "count") if f"output {key!r}" in said] == list(wrong) and "--no_sample" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]


def test_rounding_is_no_other_answer(flags, monkeypatch):
    _broken_pass(monkeypatch, _factor(1.000005))
    assert export_v1.export(**flags)["sample"]["origin"] == "generated"


def test_without_a_sample_nothing_is_compared(flags, monkeypatch, tmp_path):
    _broken_pass(monkeypatch, _factor(2.0))
    assert export_v1.export(**flags, no_sample=True)["sample"] is None
    assert not (tmp_path / "export" / "assets.extra" / "sample.npz").exists()


def test_the_recorded_answers_are_the_originals(flags, tmp_path):
    export_v1.export(**flags)
    with np.load(tmp_path / "export" / "assets.extra" / "sample.npz") as arrays:
        x, y, count = (arrays[key] for key in ("in/x", "out/y", "out/count"))
        assert set(arrays.files) == {"in/x", "out/y", "out/count"}
    np.testing.assert_allclose(y, x @ np.float32([[1, 2], [3, 4]]), rtol=1e-6)
    np.testing.assert_array_equal(count, (x * 10).sum(1).astype(np.int32))


# What is the same answer.


# Recording.


def test_what_a_run_writes_does_not_last_and_what_changes_proves_nothing():
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [None], "x")
        steps = v1.get_variable("steps", initializer=tf.constant(0.0))
        tf.add(x, v1.assign_add(steps, 1.0), name="y")
        tf.add(x, tf.random.uniform([], seed=None), name="noise")
    asked = small_models.asked(graph, {"x": "x:0"}, {"y": "y:0", "noise": "noise:0"})
    weights = small_models.initial(steps=np.float32(5))
    found = sample.record(asked, "serving_default", weights, FILES)
    np.testing.assert_allclose(found.outputs["y"], found.inputs["x"] + 6)
    assert found.unstable == ("noise",) and set(found.outputs) == {"y"}
    assert found.ranks == {"y": 1, "noise": 1} and found.origin == "generated"


def test_frozen_tensors_and_tensors_in_the_middle_are_fed():
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [None], "x")
        scale = v1.placeholder(tf.float32, [], "scale")
        v1.placeholder(tf.float32, [], "elsewhere")
        _, h = tf.split(x + 100.0, 2, name="h")
        tf.multiply(h, scale, name="y")
    frozen = {"scale:0": 3.0, "elsewhere:0": 4.0}
    asked = small_models.asked(graph, {"h": "h:1"}, {"y": "y:0", "h": "h:1"}, frozen=frozen)
    found = sample.record(asked, "serving_default", small_models.initial(), FILES, {"h": np.float32([1, 2])})
    np.testing.assert_array_equal(found.outputs["y"], [3, 6])
    np.testing.assert_array_equal(found.outputs["h"], [1, 2])
    assert found.origin == "given"


@pytest.mark.parametrize("given", [{"x": np.ones([2, 5], np.float32)}, None])
def test_inputs_that_the_graph_refuses_are_named_with_what_is_wanted(given):
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [None, None], "x")
        with tf.control_dependencies([v1.Assert(tf.reduce_all(x > 100.0), [x])]):
            tf.reshape(x, [7, 11], name="y")
    asked = small_models.asked(graph, {"x": "x:0"}, {"y": "y:0"})
    with pytest.raises(export_v1.ExportError, match=r"(?s)x float32 \[None, None\].*--sample=FILE.npz") as caught:
        sample.record(asked, "serving_default", small_models.initial(), FILES, given)
    assert ("sample given" in str(caught.value)) == (given is not None)
    assert ("every generated sample" in str(caught.value)) == (given is None)


def test_a_graph_that_has_no_answer_in_time_is_one_message():
    asked_for = []

    class Slow:
        def run(self, fetches, feeds, options):
            asked_for.append((fetches, feeds, options.timeout_in_ms))
            raise tf.errors.DeadlineExceededError(None, None, "late")

    one = sample.Sample({"x": np.float32(1)}, {"y": np.float32(2)}, (), "given")
    with pytest.raises(export_v1.ExportError, match="(?s)after 1800 seconds.*--no_sample"):
        sample.check(one, Slow(), {"x": "a:0"}, {"y": "b:0", "z": "c:0"})
    assert asked_for == [({"y": "b:0"}, {"a:0": np.float32(1)}, 1_800_000)]


def test_nothing_is_run_for_a_sample_without_answers():
    sample.check(sample.Sample({"x": np.float32(1)}, {}, ("y",), "given"), None, {"x": "a:0"}, {"y": "b:0"})


# Files.


def test_inputs_are_read_by_key_with_or_without_their_side(tmp_path):
    path = str(tmp_path / "in.npz")
    np.savez(path, **{"in/a": [1.5], "b": [2], "out/a": [9], "lengths/in/b": [1], "words": ["x", "yy"]})
    found = sample.read(path, {"a": None, "b": None, "words": None})
    assert found["a"] == [1.5] and found["b"] == [2] and list(found) == ["a", "b", "words"]
    assert found["words"].dtype == object and list(found["words"]) == ["x", "yy"]
    with pytest.raises(export_v1.ExportError, match="(?s)'bb' is not in sample.*'b'"):
        sample.read(path, {"bb": None})
    with pytest.raises(export_v1.ExportError, match="'lengths/in/b' is not in"):
        sample.read(path, {"lengths/in/b": None})
    with pytest.raises(export_v1.ExportError, match="(?s)'out/a' is not in"):
        sample.read(path, {"out/a": None})


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 and nothing else", None])
def test_a_file_that_holds_no_arrays_is_one_message(tmp_path, content):
    path = tmp_path / "in.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(export_v1.ExportError, match=r"in\.npz' cannot be read as \.npz"):
        sample.read(str(path), {"x": None})


def test_a_pickle_is_not_read(tmp_path):
    np.savez(tmp_path / "in.npz", x=np.array([{}], object))
    with pytest.raises(export_v1.ExportError, match="cannot be read as .npz"):
        sample.read(str(tmp_path / "in.npz"), {"x": None})


def test_strings_keep_the_zero_bytes_at_their_end(tmp_path):
    words = np.array([[b"a\0\0", b""], [b"bb", b"\0"]], object)
    plain = np.array([b"a", b"bb"], object)
    one = sample.Sample({"words": words, "n": np.int64([1])}, {"plain": plain, "y": np.float32([0.5])}, (), "given")
    sample.write(one, str(tmp_path / "out.npz"))
    with np.load(tmp_path / "out.npz", allow_pickle=False) as arrays:
        found = {key: arrays[key] for key in arrays.files}
    assert set(found) == {"in/words", "in/n", "out/plain", "out/y", "lengths/in/words"}
    np.testing.assert_array_equal(found["lengths/in/words"], [[3, 0], [2, 1]])
    assert found["in/words"].dtype.kind == "S" and found["in/words"].dtype.itemsize == 3
    assert list(found["out/plain"]) == [b"a", b"bb"] and found["out/y"] == np.float32([0.5])
    assert zipfile.is_zipfile(tmp_path / "out.npz")


def test_answers_without_an_element_are_taken_only_where_there_are_no_others():
    with graphs.tensorflow_1() as graph:
        tf.abs(tf.signal.stft(v1.placeholder(tf.float32, [None], "x"), 512, 256), name="y")
        tf.identity(v1.placeholder(tf.float32, [None, 4], "a")[:, :0], name="b")
    asked = small_models.asked(graph, {"x": "x:0"}, {"y": "y:0"})
    assert sample.record(asked, "serving_default", small_models.initial(), FILES).outputs["y"].size
    asked = small_models.asked(graph, {"a": "a:0"}, {"b": "b:0"})
    assert sample.record(asked, "serving_default", small_models.initial(), FILES).outputs["b"].shape == (3, 0)
