"""load_v2.verification: what counts as equal, and what a report says of outputs, variables and samples."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from export_v1.format import bundle, comparison
from export_v1.format import record as record_file
from export_v1.format import sample as codec
from load_v2 import LoadError, verification, verify
from load_v2.program import artefact
from tests.support import savedmodels
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
        ({}, None, "--no_sample"),
        ({}, {"in/x": F([1])}, "holds no answers"),
        ({}, {**SAMPLE, "in/x": np.array([{}], object)}, "cannot be read"),
        ({}, {**SAMPLE, "in/x": F([[1]])}, "'x' is"),
        ({}, {"in/z": F([1]), "out/y": F([1])}, "unknown: 'z'"),
    ],
)
def test_without_a_sample_that_can_be_replayed_there_is_no_report(tmp_path, record, sample, said):
    with pytest.raises(LoadError, match=said):
        verify(_export(tmp_path / "m", record, sample))


def test_a_sample_that_was_left_out_leaves_the_variables(tmp_path):
    path = _export(tmp_path / "m", {"sample_left_out": "it needs a GPU"})
    report = verify(path)
    assert report.equal and report.outputs == ()
    assert any("it needs a GPU" in line for line in report.lines())


def _variables(path: str, **wrong) -> list[dict]:
    index = bundle.read(os.path.join(path, "variables", "variables"))
    stored = {name: index.checksum(name) for name in index.tensors}
    return [{"name": name, "crc32c": wrong.get(name, checksum)} for name, checksum in stored.items()]


def test_checksums_are_compared_and_counted(tmp_path):
    path = _export(tmp_path / "m", sample=SAMPLE)
    for listed, damaged in ((_variables(path), ()), (_variables(path, w=1), ("w",))):
        with open(os.path.join(path, record_file.PATH), "w") as stream:
            json.dump({"format_version": 1, "variables": [*listed, {"name": "unknown", "crc32c": None}]}, stream)
        report = verify(path)
        assert report.damaged == damaged and report.equal == (not damaged)
        assert any(f"{1 - len(damaged)} of 1 have their recorded checksum" in line for line in report.lines())
        assert [line for line in report.lines() if line.startswith("variable w: DIFFERENT")] == (
            ["variable w: DIFFERENT, its checksum is not the one that step 1 recorded"] if damaged else []
        )


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


def test_a_random_output_is_equal_by_chance_or_not_and_of_its_type():
    def compared(have: np.ndarray):
        want = F([1, 2])
        return verification._compare_random(comparison.compare("y", want, have), want, have)

    assert compared(F([3, 4])).equal and "random" in compared(F([3, 4])).note
    assert compared(F([1, 2])).note == ""
    assert not compared(np.int32([3, 4])).equal and not compared(F([1])).equal
