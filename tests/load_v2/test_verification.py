"""load_v2.verification: what counts as equal, and what a report says of outputs, variables and samples."""

import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from export_v1.format import bundle, comparison
from export_v1.format import record as record_file
from export_v1.format import sample as codec
from export_v1.format.comparison import Verdict
from load_v2 import LoadError, replay, verification, verify
from load_v2.program import artefact
from tests.support import graphs, savedmodels
from tests.support.graphs import v1

F, NAN, INF = np.float32, np.nan, np.inf
BFLOAT16 = tf.bfloat16.as_numpy_dtype


@pytest.mark.parametrize(
    ("want", "have", "equal"),
    [
        (np.float16([1]), np.float16([1.005]), True),
        (np.float16([1]), np.float16([1.1]), False),
        (np.array([1], BFLOAT16), np.array([1.03], BFLOAT16), True),
        (np.array([1], BFLOAT16), np.array([1.2], BFLOAT16), False),
        (np.float64([1]), np.float64([1 + 1e-6]), True),
        (np.float64([1]), np.float64([1 + 1e-4]), False),
        (np.complex64([1 + 1j]), np.complex64([1 + 1j]), True),
        (np.complex64([1 + 1j]), np.complex64([1 + 1.1j]), False),
        (np.complex128([1]), np.complex128([1.1]), False),
        (F([1, 2]), F([1, NAN]), False),
        (F([1, 2]), F([1, INF]), False),
        (F([INF]), F([1]), False),
        (F([INF, 1]), F([INF, 1]), True),
        (F([INF, 1]), F([INF, 2]), False),
        (F([NAN, 1]), F([1, 1]), False),
        (F([0, 0]), F([0, 9e-8]), False),
        (F([0, 0]), F([0, 1e-6]), False),
        (F([1000, 0]), F([1000, 1]), False),
        (np.uint8([255]), np.uint8([0]), False),
        (np.uint64([2**64 - 1]), np.uint64([2**64 - 1]), True),
        (np.int32([1]), np.int64([1]), False),
        (np.int32([1]), F([1]), False),
        (np.zeros([0, 2], F), np.zeros([0, 3], F), False),
        (np.array(["a"]), np.array([b"a"], object), True),
        (np.array([b"\0"], object), np.int32([1]), False),
        (np.int64([2**60]), np.array([b"a"], object), False),
        (np.array([], object), np.array([], object), True),
    ],
)
def test_what_is_equal(want, have, equal):
    compared = comparison.compare("y", want, have)
    assert compared.equal is equal and compared.key == "y"


def test_a_number_that_became_nan_is_infinitely_far_and_found():
    compared = comparison.compare("y", F([1, 2, 3]), F([1, NAN, 3]))
    assert compared.index == (1,) and compared.largest == INF


def test_the_largest_relative_difference_is_among_finite_numbers():
    assert comparison.compare("y", F([INF, 2]), F([1, 3])).relative == pytest.approx(0.5)


def test_numbers_that_are_both_nan_do_not_hide_a_difference():
    compared = comparison.compare("y", F([NAN, 2]), F([NAN, 3]))
    assert not compared.equal and compared.index == (1,) and compared.relative == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("want", "have", "said"),
    [
        (F([1]), F([[1]]), "shape [1] in the TF1 sample, [1, 1] in the TF2 result"),
        (np.int32([1]), np.int64([1]), "int32 in the TF1 sample, int64 in the TF2 result"),
        (
            np.array([b"a", b"b", b"c"], object),
            np.array([b"a", b"x", b"y"], object),
            "2 strings differ, first at [1]: b'b'",
        ),
        (np.int32([1, 5]), np.int32([1, 7]), "largest difference 2 absolute, 0.4 relative at [1] (must be identical)"),
        (F([1, 1]), F([1, 1]), "equal, largest difference 0 absolute, 0 relative (tolerance 1e-05)"),
    ],
)
def test_a_comparison_tells_both_sides(want, have, said):
    assert said in str(comparison.compare("y", want, have))


def _export(folder, record=None, sample=None) -> str:
    """Doubles `x` into `y`, beside `count`, a whole number; with what step 1 would have left."""
    with savedmodels.session() as current:
        x = v1.placeholder(tf.float32, [None], name="x")
        w = savedmodels.variable("w", F(2))
        count = tf.cast(tf.size(x), tf.int64)
        path = savedmodels.save(folder, current, {"x": x}, {"y": x * w, "count": tf.reshape(count, [1])})
    os.makedirs(os.path.join(path, "assets.extra"))
    if record is not None:
        with open(os.path.join(path, record_file.PATH), "w") as stream:
            json.dump({"format_version": 1, **record}, stream)
    if sample is not None:
        np.savez(os.path.join(path, codec.PATH), **sample)
    return path


SAMPLE = {"in/x": F([1, 2]), "out/y": F([2, 4]), "out/count": np.int64([2])}


def test_all_outputs_are_compared(tmp_path):
    report = verify(_export(tmp_path / "m", sample=SAMPLE))
    assert report.equal and [one.key for one in report.outputs] == ["y", "count"]


@pytest.mark.parametrize("name", ["y", "count"])
def test_one_output_that_differs_is_enough(tmp_path, name):
    report = verify(_export(tmp_path / "m", sample={**SAMPLE, f"out/{name}": SAMPLE[f"out/{name}"] + 1}))
    assert not report.equal and [one.key for one in report.outputs if not one.equal] == [name]


def test_a_recorded_output_that_the_export_lacks_is_different(tmp_path):
    report = verify(_export(tmp_path / "m", sample={**SAMPLE, "out/gone": F([1])}))
    assert not report.equal
    assert [one.key for one in report.outputs if not one.equal] == ["gone"]
    assert any(line.startswith("gone: DIFFERENT") for line in report.lines())


@pytest.mark.parametrize(
    ("record", "sample", "said"),
    [
        (None, None, "not made by step 1"),
        ({}, {"in/x": F([1])}, "holds no answers"),
        ({}, {**SAMPLE, "in/x": np.array([{}], object)}, "cannot be read"),
        ({}, {**SAMPLE, "in/x": F([[1, 2]])}, "'x' is"),
        ({}, {"in/z": F([1]), "out/y": F([1])}, "unknown: 'z'"),
    ],
)
def test_without_a_sample_that_can_be_replayed_there_is_no_report(tmp_path, record, sample, said):
    with pytest.raises(LoadError, match=said):
        verify(_export(tmp_path / "m", record, sample))


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ({"proof": {"verdict": "not proven", "why": "it needs a GPU"}}, "it needs a GPU"),
        ({"sample_left_out": "it needs a GPU"}, "it needs a GPU"),
        ({}, "--no_sample"),
    ],
)
def test_where_no_answers_were_recorded_the_variables_are_intact_and_nothing_is_proven(tmp_path, record, why):
    path = _export(tmp_path / "m", {**record, "outputs": ["y", "count"]})
    report = verify(path)
    assert report.verdict is Verdict.NOT_PROVEN and not report.equal
    assert [output.verdict for output in report.outputs] == [Verdict.NOT_PROVEN] * 2
    [*_, last] = report.lines()
    assert last.startswith("verdict: not proven: nothing to compare, variables intact (") and why in last
    damaged = [{**entry, "crc32c": 1} for entry in _variables(path)]
    _rewrite(path, {**record, "outputs": ["y", "count"], "variables": damaged})
    assert verify(path).verdict is Verdict.DIFFERENT


def _rewrite(path: str, record: dict) -> None:
    with open(os.path.join(path, record_file.PATH), "w") as stream:
        json.dump({"format_version": 1, **record}, stream)


# What step 1 leaves beside SAMPLE.
RECORDED = {
    "inputs": {"x": {"tensor": "x:0"}},
    "outputs": ["y", "count"],
    "sample": {"origin": "generated", "unstable": []},
}


@pytest.mark.parametrize("name", ["out/y", "in/x"])
def test_what_the_record_says_and_the_sample_lacks_is_different(tmp_path, name):
    path = _export(tmp_path / "m", RECORDED, {key: value for key, value in SAMPLE.items() if key != name})
    if name == "in/x":
        with pytest.raises(LoadError, match="'x'"):
            verify(path)
        return
    report = verify(path)
    assert report.verdict is Verdict.DIFFERENT
    assert [line for line in report.lines() if line.startswith("y: DIFFERENT, step 1 recorded an answer")]


def test_a_sample_that_is_gone_though_the_record_has_it_is_different(tmp_path):
    report = verify(_export(tmp_path / "m", RECORDED))
    assert report.verdict is Verdict.DIFFERENT and [one.key for one in report.outputs] == ["y", "count"]


def test_an_output_that_the_record_calls_unstable_is_not_proven(tmp_path):
    recorded = {**RECORDED, "sample": {"origin": "generated", "unstable": ["y"]}}
    sample = {key: value for key, value in SAMPLE.items() if key != "out/y"}
    report = verify(_export(tmp_path / "m", recorded, sample))
    assert {one.key: one.verdict for one in report.outputs} == {"y": Verdict.NOT_PROVEN, "count": Verdict.EQUAL}
    assert report.verdict is Verdict.EQUAL and report.lines()[-1] == "verdict: equal, all but what is not proven: y"


SETS = {"sets/1/in/x": F([-3]), "sets/1/out/y": F([-6]), "sets/1/out/count": np.int64([1])}


def test_every_set_of_inputs_is_replayed(tmp_path):
    recorded = {**RECORDED, "sample": {"origin": "generated", "sets": ["negative"]}}
    path = _export(tmp_path / "m", recorded, {**SAMPLE, **SETS})
    report = verify(path)
    assert report.equal and any("SignatureLayer and tf.saved_model.load: 2 sets" in line for line in report.lines())
    np.savez(os.path.join(path, codec.PATH), **{**SAMPLE, **SETS, "sets/1/out/y": F([6])})
    assert [one.key for one in verify(path).outputs if not one.equal] == ["y"]
    np.savez(os.path.join(path, codec.PATH), **SAMPLE)
    assert any(line.startswith("sample: DIFFERENT") for line in verify(path).lines())


@pytest.mark.parametrize("reader", ["_layer", "_saved_model"])
def test_a_reader_that_answers_otherwise_is_named(tmp_path, monkeypatch, reader):
    path = _export(tmp_path / "m", RECORDED, SAMPLE)
    real = getattr(replay, reader)

    def wrong(*args):
        made = real(*args)
        return replay.Reader(lambda inputs: {**made.answer(inputs), "y": made.answer(inputs)["y"] + 1})

    monkeypatch.setattr(replay, reader, wrong)
    report = verify(path)
    [line] = [line for line in report.lines() if line.startswith("y: DIFFERENT")]
    assert {"_layer": replay.LAYER, "_saved_model": replay.SAVED_MODEL}[reader] in line
    assert report.verdict is Verdict.DIFFERENT


X = {"tensor": "x:0", "dtype": "float32", "shape": [None]}
Y = {"tensor": "y:0", "dtype": "float32", "shape": [None]}
COUNT = {"tensor": "count:0", "dtype": "int64", "shape": [1]}


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
        ({"x": X}, {"y": Y, "count": COUNT}, None),
        ({"x": X}, {"y": Y}, "output 'count' is in the graph"),
        ({"x": X, "z": X}, {"y": Y, "count": COUNT}, "input 'z' was recorded"),
        ({"x": X}, {"y": {**Y, "dtype": "int32"}, "count": COUNT}, "output 'y' is float32, and step 1 recorded int32"),
        ({"x": {**X, "shape": [None, 3]}}, {"y": Y, "count": COUNT}, "input 'x' has shape (None,)"),
        ({"x": {**X, "shape": [8], "relaxed_shape": [None]}}, {"y": Y, "count": COUNT}, None),
    ],
)
def test_a_signature_that_is_not_the_recorded_one_is_different(tmp_path, inputs, outputs, said):
    path = _export(tmp_path / "m", {"signatures": {"serving_default": {"inputs": inputs, "outputs": outputs}}}, SAMPLE)
    report = verify(path)
    assert (report.verdict is Verdict.DIFFERENT) == bool(said)
    assert bool([line for line in report.lines() if said and said in line and "DIFFERENT" in line]) == bool(said)
    _rewrite(path, {"signatures": {"other": {"inputs": inputs, "outputs": outputs}}})
    assert any("signature other: DIFFERENT" in line for line in verify(path).lines())


@pytest.mark.parametrize("side", ["output", "input"])
def test_what_the_graph_has_and_record_and_sample_both_lost_is_different(tmp_path, side):
    kept = {"output": {**RECORDED, "outputs": {"y": Y}}, "input": {**RECORDED, "inputs": {}}}[side]
    sample = {"output": {"in/x": SAMPLE["in/x"], "out/y": SAMPLE["out/y"]}, "input": {}}[side]
    report = verify(_export(tmp_path / "m", {**kept, "signatures": {}}, sample))
    assert report.verdict is Verdict.DIFFERENT
    [line] = [line for line in report.lines() if "the graph has it" in line]
    assert line.startswith({"output": "count: DIFFERENT", "input": "input x: DIFFERENT"}[side])


def _variables(path: str, **wrong) -> list[dict]:
    index = bundle.read(os.path.join(path, "variables", "variables"))
    stored = {name: index.checksum(name) for name in index.tensors}
    return [{"name": name, "crc32c": wrong.get(name, checksum)} for name, checksum in stored.items()]


def test_checksums_are_compared_and_counted(tmp_path):
    path = _export(tmp_path / "m", sample=SAMPLE)
    for listed, damaged in ((_variables(path), ()), (_variables(path, w=1), ("w",))):
        with open(os.path.join(path, record_file.PATH), "w") as stream:
            json.dump({"format_version": 1, "variables": listed}, stream)
        report = verify(path)
        assert report.damaged == damaged and report.equal == (not damaged)
        assert any(f"{1 - len(damaged)} of 1 have their recorded checksum" in line for line in report.lines())
        assert [line for line in report.lines() if line.startswith("variable w: DIFFERENT")] == (
            ["variable w: DIFFERENT, its checksum is not the one that step 1 recorded"] if damaged else []
        )


def test_a_variable_without_checksum_or_without_record_is_different(tmp_path):
    path = _export(tmp_path / "m", sample=SAMPLE)
    (listed,) = _variables(path)
    for variables, damaged in (
        ([listed, {"name": "unknown", "crc32c": None}], ("unknown",)),
        ([{**listed, "name": "other"}], ("other", "w")),
        ([{"name": "w", "crc32c": None}, {"name": "v", "crc32c": None}], ()),
    ):
        _rewrite(path, {"variables": variables})
        assert verify(path).damaged == damaged


def test_a_variable_with_another_key_is_found_by_it(tmp_path):
    path = _export(tmp_path / "m", sample=SAMPLE)
    (recorded,) = _variables(path)
    variable = artefact.Variable("renamed", ("renamed",), "float32", (), True, recorded["name"])
    record = record_file.Record(variables=[record_file.VariableEntry("renamed", crc32c=recorded["crc32c"])])
    prefix = os.path.join(path, "variables", "variables")
    source = artefact.Artefact(path, artefact.MetaGraphDef(), {}, (variable,), {}, record=record, bundle=prefix)
    assert verification._checksums(source)[0] == []


@pytest.mark.parametrize("value", [NAN, INF])
def test_a_variable_that_is_no_number_is_told(tmp_path, value):
    with savedmodels.session() as current:
        x = v1.placeholder(tf.float32, [None], name="x")
        w, fine = savedmodels.variable("w", F([1, value])), savedmodels.variable("fine", np.full(9, 3e38, F))
        path = savedmodels.save(tmp_path / "m", current, {"x": x}, {"y": x * w[0] + fine[0] * 0})
    os.makedirs(tmp_path / "m" / "assets.extra")
    np.savez(os.path.join(path, codec.PATH), **{"in/x": F([1, 2]), "out/y": F([1, 2])})
    report = verify(path)
    assert report.equal
    assert [line for line in report.lines() if "NaN or infinity" in line] == ["note: variable w holds NaN or infinity"]


def _random(folder, outputs) -> str:
    """Writes an export of an input `x`, `w` times it as `plain`, and what `outputs` makes of a random number and x."""
    with savedmodels.session() as current:
        x = v1.placeholder(tf.float32, [None], name="x")
        drawn = outputs(tf.random.uniform([1], seed=1), x)
        path = savedmodels.save(folder, current, {"x": x}, {"y": drawn, "plain": x * savedmodels.variable("w", F(2))})
    os.makedirs(os.path.join(path, "assets.extra"))
    return path


@pytest.mark.parametrize(
    ("outputs", "recorded", "verdict"),
    [
        (lambda drawn, x: x + drawn, [5, 6], Verdict.NOT_PROVEN),
        # Seldom another than the usual.
        (lambda drawn, x: x + tf.floor(drawn * 3), [5, 6], Verdict.NOT_PROVEN),
        # A mask that keeps all: random in the graph, and not in fact.
        (lambda drawn, x: x * tf.floor(1 + drawn), [1, 2], Verdict.EQUAL),
        (lambda drawn, x: x * tf.floor(1 + drawn), [1, 3], Verdict.DIFFERENT),
    ],
)
def test_a_random_output_is_not_proven_unless_it_is_the_same_each_time(tmp_path, outputs, recorded, verdict):
    path = _random(tmp_path / "random", outputs)
    np.savez(os.path.join(path, codec.PATH), **{"in/x": F([1, 2]), "out/y": F(recorded), "out/plain": F([2, 4])})
    report = verify(path)
    assert {one.key: one.verdict for one in report.outputs} == {"y": verdict, "plain": Verdict.EQUAL}
    assert any("RandomUniform" in line for line in report.lines()) == (verdict is Verdict.NOT_PROVEN)


def test_bfloat16_is_replayed(tmp_path):
    with savedmodels.session() as current:
        x = v1.placeholder(tf.bfloat16, [None], name="x")
        path = savedmodels.save(tmp_path / "m", current, {"x": x}, {"y": x * tf.constant(2, tf.bfloat16)})
    os.makedirs(os.path.join(path, "assets.extra"))
    arrays = codec.Arrays({"x": np.array([1, 2], BFLOAT16)}, {"y": np.array([2, 4], BFLOAT16)})
    codec.write(arrays, os.path.join(path, codec.PATH))
    assert verify(path).equal


@pytest.mark.parametrize(("recorded", "equal"), [(b"a\0", True), (b"a", False)])
def test_one_string_is_compared_to_its_last_byte(tmp_path, recorded, equal):
    with savedmodels.session() as current:
        x = v1.placeholder(tf.string, [None], name="x")
        path = savedmodels.save(tmp_path / "m", current, {"x": x}, {"y": tf.strings.reduce_join(x)})
    os.makedirs(os.path.join(path, "assets.extra"))
    arrays = codec.Arrays({"x": np.array([b"a", b"\0"], object)}, {"y": np.array(recorded, object)})
    codec.write(arrays, os.path.join(path, codec.PATH))
    assert verify(path).equal == equal


def test_what_an_answer_writes_does_not_change_the_next(tmp_path):
    with savedmodels.session() as current:
        x = v1.placeholder(tf.float32, [None], name="x")
        steps = savedmodels.variable("steps", F(0))
        with tf.control_dependencies([steps.assign_add(1.0, read_value=False)]):
            y = x + steps.read_value()
        path = savedmodels.save(tmp_path / "m", current, {"x": x}, {"y": y})
    os.makedirs(os.path.join(path, "assets.extra"))
    arrays = {"in/x": F([1]), "out/y": F([2]), "sets/1/in/x": F([3]), "sets/1/out/y": F([4])}
    np.savez(os.path.join(path, codec.PATH), **arrays)
    assert verify(path).equal


@pytest.mark.parametrize("name", [{}, {"use_node_name_sharing": True}, {"shared_name": "seen"}])
def test_what_an_answer_writes_to_a_table_does_not_change_the_next(tmp_path, name):
    with savedmodels.session() as current:
        x = v1.placeholder(tf.int64, [None], name="x")
        path = savedmodels.save(tmp_path / "m", current, {"x": x}, {"y": graphs.counted(x, **name)})
    os.makedirs(os.path.join(path, "assets.extra"))
    first, second = np.array([1, 2], np.int64), np.array([2, 3], np.int64)
    ones = np.ones(2, np.int64)
    arrays = {"in/x": first, "out/y": ones, "sets/1/in/x": second, "sets/1/out/y": ones}
    np.savez(os.path.join(path, codec.PATH), **arrays)
    assert verify(path).equal
    assert verify(path).equal


@pytest.mark.parametrize("mark", ["_kernel", "api_implements"])
def test_marks_by_which_tensorflow_would_run_something_else_are_refused(mark, exported, tmp_path):
    from tensorflow.core.protobuf import saved_model_pb2

    shutil.copytree(exported("lstm_dynamic_rnn"), tmp_path / "export")
    file = tmp_path / "export" / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    graph_def = model.meta_graphs[0].graph_def
    if mark == "api_implements":
        graph_def.library.function[0].attr[mark].s = b"x"
    else:
        graph_def.node[0].attr[mark].s = b"x"
    file.write_bytes(model.SerializeToString())
    with pytest.raises(LoadError, match=f"'{mark}' of"):
        verify(tmp_path / "export")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: _swap_lines(folder / "assets" / "vocab.txt"), "file assets/vocab.txt: DIFFERENT, it is not as"),
        (
            lambda folder: (folder / "assets.extra" / "sample.npz").unlink(),
            "file assets.extra/sample.npz: DIFFERENT, it is gone",
        ),
        (
            lambda folder: _append(folder / "saved_model.pb", b"\x98\x06\x01"),
            "file saved_model.pb: DIFFERENT, it is not as",
        ),
    ],
)
def test_a_file_that_is_not_as_step_1_wrote_it_is_different(change, said, exported, tmp_path):
    shutil.copytree(exported("lookup_vocab"), tmp_path / "export")
    assert verify(tmp_path / "export").equal
    change(tmp_path / "export")
    report = verify(tmp_path / "export")
    assert report.verdict is Verdict.DIFFERENT
    assert any(said in line for line in report.lines())


@pytest.mark.parametrize(
    ("name", "told"), [("stray.txt", True), ("assets/stray", True), ("model-settings.json", False)]
)
def test_a_file_that_step_1_did_not_write_is_named(name, told, exported, tmp_path):
    shutil.copytree(exported("lookup_vocab"), tmp_path / "export")
    (tmp_path / "export" / name).write_text("{}")
    report = verify(tmp_path / "export")
    assert report.equal
    assert (f"note: step 1 wrote no {name}" in report.lines()) == told


def test_where_a_changed_graph_cannot_answer_what_changed_is_told(exported, tmp_path):
    from tensorflow.core.protobuf import saved_model_pb2

    shutil.copytree(exported("mlp_layers"), tmp_path / "export")
    file = tmp_path / "export" / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    inputs = model.meta_graphs[0].signature_def["serving_default"].inputs
    inputs["other"].CopyFrom(inputs.pop("x"))
    file.write_bytes(model.SerializeToString())
    with pytest.raises(
        LoadError, match=r"file saved_model.pb: DIFFERENT(.|\n)*input 'x' was recorded, and the graph has none"
    ):
        verify(tmp_path / "export")


def _append(file: pathlib.Path, content: bytes) -> None:
    with open(file, "ab") as stream:
        stream.write(content)


def _swap_lines(file: pathlib.Path) -> None:
    first, second, *others = file.read_text().splitlines(keepends=True)
    file.write_text("".join([second, first, *others]))
