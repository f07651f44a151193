"""sample: the original's answers are recorded, and an export that answers something else is not written."""

import zipfile

import numpy as np
import pytest
import tensorflow as tf

import export_v1
from export_v1.interface import Input
from export_v1.passes import variables
from export_v1.proof import asking, randomness, sample
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

    def broken(graph_def, index, real=variables.to_resources):
        made = real(graph_def, index)
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
        first = {name for name in arrays.files if not name.startswith("sets/")}
        assert first == {"in/x", "out/y", "out/count"}
        assert arrays["sets/1/in/x"].shape == x.shape and arrays["sets/4/out/y"].shape == y.shape
        assert any((arrays[f"sets/{number}/in/x"] < -2).any() for number in range(1, 5))
        np.testing.assert_allclose(
            arrays["sets/4/out/y"], arrays["sets/4/in/x"] @ np.float32([[1, 2], [3, 4]]), rtol=1e-5
        )
    np.testing.assert_allclose(y, x @ np.float32([[1, 2], [3, 4]]), rtol=1e-6)
    np.testing.assert_array_equal(count, (x * 10).sum(1).astype(np.int32))


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
    assert found.not_proven == {"noise": sample.NO_CAUSE} and set(found.outputs) == {"y"}
    assert found.ranks == {"y": 1, "noise": 1} and found.origin == "generated"


def test_what_a_run_writes_to_a_table_does_not_last(tmp_path):
    with graphs.tensorflow_1() as graph:
        graphs.counted(v1.placeholder(tf.int64, [2], "keys"))
    (tmp_path / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())
    np.savez(tmp_path / "keys.npz", keys=np.array([3, 5]))
    folder = tmp_path / "export"
    report = export_v1.export(
        graph_def=str(tmp_path / "graph.pb"),
        export_dir=str(folder),
        inputs={"keys": "keys:0"},
        outputs={"count": "count:0"},
        sample=str(tmp_path / "keys.npz"),
    )
    assert report["proof"]["verdict"] == "equal"
    with np.load(folder / "assets.extra" / "sample.npz") as recorded:
        np.testing.assert_array_equal(recorded["out/count"], [1, 1])
    # What puts a table back between answers is no part of the export.
    with tf.Graph().as_default() as exported, v1.Session() as session:
        v1.saved_model.load(session, ["serve"], str(folder))
    assert not {operation.type for operation in exported.get_operations()} & {
        "LookupTableExportV2", "LookupTableImportV2",
    }  # fmt: skip


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


def test_a_sample_that_the_graph_refuses_is_named_with_what_is_wanted():
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [None, None], "x")
        with tf.control_dependencies([v1.Assert(tf.reduce_all(x > 100.0), [x])]):
            tf.reshape(x, [7, 11], name="y")
    asked = small_models.asked(graph, {"x": "x:0"}, {"y": "y:0"})
    given = {"x": np.ones([2, 5], np.float32)}
    with pytest.raises(
        export_v1.ExportError, match=r"(?s)sample given: .*x float32 \[None, None\].*--sample=F"
    ) as caught:
        sample.record(asked, "serving_default", small_models.initial(), FILES, given)
    assert not isinstance(caught.value, asking.Unanswered)


def test_where_no_generated_inputs_fit_there_are_no_answers():
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [None], "x")
        with tf.control_dependencies([v1.Assert(tf.reduce_sum(x) > 1e6, ["too little"])]):
            tf.identity(x, name="y")
    asked = small_models.asked(graph, {"x": "x:0"}, {"y": "y:0"})
    with pytest.raises(
        asking.Unanswered, match=r"(?s)every generated sample.*x float32 \[None\].*--sample=F"
    ) as caught:
        sample.record(asked, "serving_default", small_models.initial(), FILES)
    assert "too little" in caught.value.why and "\n" not in caught.value.why


RANDOM = {"y": "RandomUniform 'r'"}


def _drawn(make) -> sample.Sample:
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [None], "x")
        tf.identity(make(x, tf.random.uniform([], name="r")), name="y")
    asked = small_models.asked(graph, {"x": "x:0"}, {"y": "y:0"})
    return sample.record(asked, "serving_default", small_models.initial(), FILES, random=RANDOM)


@pytest.mark.parametrize(
    "make",
    [
        # Two draws agree in 49 of 50 runs.
        lambda x, drawn: x + tf.floor(drawn + 0.01),
        lambda x, drawn: x * tf.floor(drawn + 0.99),
        lambda x, drawn: x + tf.cast(tf.random.categorical([[9.0, 0.0]], 1)[0, 0], tf.float32),
        lambda x, drawn: tf.random.shuffle(x),
        # One class of two, always, and the other would be an error: nothing shows that it never comes.
        lambda x, drawn: x + tf.gather([1.0], tf.cast(tf.random.categorical([[99.0, 0.0]], 1)[0, 0], tf.int32)),
    ],
)
def test_a_random_output_that_is_mostly_the_same_is_not_taken_for_one_that_is_always(make):
    found = _drawn(make)
    assert found.not_proven == {"y": "it is random: RandomUniform 'r' stands before it"} and not found.outputs


def test_a_mask_that_keeps_all_is_recorded_although_it_is_drawn():
    found = _drawn(lambda x, drawn: x * tf.floor(drawn + 1.0))
    np.testing.assert_array_equal(found.outputs["y"], found.inputs["x"])
    assert not found.not_proven and found.further and not found.drawn


def test_what_is_drawn_in_a_loop_is_asked_for_many_times(monkeypatch):
    def looped(least):
        def body(i, total):
            return i + 1, total + tf.floor(tf.random.uniform([]) + least)

        return lambda x, drawn: x + tf.while_loop(lambda i, _: i < 9, body, [0, 0.0])[1]

    found = _drawn(looped(1.0))
    assert found.drawn == RANDOM and not found.not_proven
    # 9 draws each time: another in one of 12, so that two agree most often, and 300 do not.
    monkeypatch.setattr(randomness, "DRAWS", 300)
    assert _drawn(looped(0.99)).not_proven


def test_what_is_random_for_some_inputs_only_is_recorded_for_the_others():
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [None], "x")
        training = v1.placeholder(tf.bool, [], "training")
        keep = tf.where(training, 0.5, 1.0)
        tf.multiply(x, tf.floor(keep + tf.random.uniform([], name="r")), name="y")
    asked = small_models.asked(graph, {"x": "x:0", "training": "training:0"}, {"y": "y:0"})
    found = sample.record(asked, "serving_default", small_models.initial(), FILES, random=RANDOM)
    recorded = [bool(one.inputs["training"]) for one in found.sets if one.outputs]
    assert recorded == [False] and not found.not_proven
    assert found.not_asked[0] == "the first inputs, output 'y': it is random: RandomUniform 'r' stands before it"


def test_both_sides_of_a_condition_that_an_input_decides_are_recorded():
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [None], "x")
        flag = v1.placeholder(tf.bool, [], "flag")
        tf.cond(flag, lambda: x + 1.0, lambda: x * 3.0, name="y")
    output = graph.get_operations()[-1].outputs[0].name
    asked = small_models.asked(graph, {"x": "x:0", "flag": "flag:0"}, {"y": output})
    found = sample.record(asked, "serving_default", small_models.initial(), FILES)
    values = {bool(one.inputs["flag"]): one for one in found.sets}
    np.testing.assert_allclose(values[True].outputs["y"], values[True].inputs["x"] + 1)
    np.testing.assert_allclose(values[False].outputs["y"], values[False].inputs["x"] * 3)


def test_inputs_that_a_further_set_cannot_have_are_told():
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [None], "x")
        with tf.control_dependencies([v1.Assert(tf.reduce_min(x) >= 0.0, ["negative"])]):
            tf.identity(x, name="y")
    asked = small_models.asked(graph, {"x": "x:0"}, {"y": "y:0"})
    found = sample.record(asked, "serving_default", small_models.initial(), FILES)
    assert [one.name for one in found.further] == ["other values, 4"]
    assert len(found.not_asked) == 3 and all("negative" in what for what in found.not_asked)


def test_a_loop_that_ends_for_some_values_only_is_asked_for_no_others():
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [], "x")
        tf.while_loop(lambda t: t < 1.0, lambda t: t + x, [0.0], name="loop")
    output = next(op.outputs[0].name for op in graph.get_operations() if op.type == "Exit")
    asked = small_models.asked(graph, {"x": "x:0"}, {"y": output})
    found = sample.record(asked, "serving_default", small_models.initial(), FILES)
    assert not found.further and not found.not_asked


def test_a_slow_model_is_asked_for_fewer_sets(monkeypatch):
    monkeypatch.setattr(sample, "SECONDS_FOR_FURTHER_SETS", -1)
    found = _drawn(lambda x, drawn: x + 0.0 * drawn)
    assert not found.further and len(found.not_asked) == 4 and "too long" in found.not_asked[0]


def test_given_inputs_are_recorded_alone_but_for_their_flags(tmp_path):
    with graphs.tensorflow_1() as graph:
        x = v1.placeholder(tf.float32, [None], "x")
        flag = v1.placeholder(tf.bool, [], "flag")
        tf.multiply(x, tf.cast(flag, tf.float32), name="y")
    asked = small_models.asked(graph, {"x": "x:0", "flag": "flag:0"}, {"y": "y:0"})
    given = {"x": np.float32([5]), "flag": np.array(False)}
    found = sample.record(asked, "serving_default", small_models.initial(), FILES, given)
    assert [one.name for one in found.further] == ["flag = true"] and found.further[0].outputs["y"] == [5]


def test_without_drops_an_output_from_every_set():
    further = sample.Sample({}, {"y": np.float32(1), "z": np.float32(2)})
    one = sample.Sample({}, {"y": np.float32(1), "z": np.float32(2)}, {"a": "b"}, further=(further,))
    left = one.without({"y": "random"})
    assert [list(part.outputs) for part in left.sets] == [["z"], ["z"]] and left.not_proven == {"a": "b", "y": "random"}


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


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 and nothing else"])
def test_a_file_that_holds_no_arrays_is_one_message(tmp_path, content):
    path = tmp_path / "in.npz"
    path.write_bytes(content)
    with pytest.raises(export_v1.ExportError, match=r"in\.npz' cannot be read as \.npz"):
        sample.read(str(path), {"x": None})


def test_a_file_that_is_not_there_is_one_message(tmp_path):
    with pytest.raises(export_v1.ExportError, match=r"There is no file '.*in\.npz'"):
        sample.read(str(tmp_path / "in.npz"), {"x": None})


def test_numbers_for_a_bfloat16_input_become_bfloat16(tmp_path):
    np.savez(tmp_path / "in.npz", x=np.float32([1.5]), y=np.float32([1.5]))
    cuts = {"x": Input("x:0", tf.bfloat16.as_datatype_enum, [None]), "y": Input("y:0", small_models.FLOAT, [None])}
    found = sample.read(str(tmp_path / "in.npz"), cuts)
    assert found["x"].dtype == tf.bfloat16.as_numpy_dtype and found["y"].dtype == np.float32


def test_a_pickle_is_not_read(tmp_path):
    np.savez(tmp_path / "in.npz", x=np.array([{}], object))
    with pytest.raises(export_v1.ExportError, match="cannot be read as .npz"):
        sample.read(str(tmp_path / "in.npz"), {"x": None})


def test_strings_keep_the_zero_bytes_at_their_end(tmp_path):
    words = np.array([[b"a\0\0", b""], [b"bb", b"\0"]], object)
    plain = np.array([b"a", b"bb"], object)
    one = sample.Sample({"words": words, "n": np.int64([1])}, {"plain": plain, "y": np.float32([0.5])})
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
