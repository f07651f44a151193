"""verify: equal exports are equal, and each kind of damage is found."""

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
from load_v2 import LoadError, verify
from tests.support import cases, savedmodels


@pytest.fixture
def copy(exported, tmp_path):
    """Returns a function: case name -> a copy of its export that a test may change."""

    def make(name):
        return str(shutil.copytree(exported(name), tmp_path / name))

    return make


def _values(path):
    reader = tf.train.load_checkpoint(os.path.join(path, "variables", "variables"))
    return {key: reader.get_tensor(key) for key in reader.get_variable_to_shape_map()}


def _write(path, values):
    """Puts other values into an export, as somebody with a Saver would."""
    folder = os.path.join(path, "variables")
    shutil.rmtree(folder)
    os.makedirs(folder)
    names = sorted(values)
    prefix = os.path.join(folder, "variables")
    tf.raw_ops.SaveV2(
        prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=[values[name] for name in names]
    )


@pytest.mark.parametrize("name", ["mlp_layers", "lookup_vocab", "multi_io_int", "lstm_dynamic_rnn"])
def test_an_export_answers_as_it_did(exported, name):
    report = verify(exported(name))
    assert report.equal and {output.key for output in report.outputs} == set(cases.load(name).config["outputs"])


def _one_weight(values):
    values["dense/kernel"][0, 0] += 0.01


def _swapped_pair(values):
    kernel = values["dense_1/kernel"]
    kernel[[0, 1]] = kernel[[1, 0]]


def _transposed(values):
    kernel = values["dense_1/kernel"]
    values["dense_1/kernel"] = np.ascontiguousarray(kernel.T).reshape(kernel.shape)


@pytest.mark.parametrize("change", [_one_weight, _swapped_pair, _transposed])
def test_a_changed_weight_is_found_and_the_output_named(copy, change):
    path = copy("mlp_layers")
    values = _values(path)
    change(values)
    _write(path, values)
    report = verify(path)
    assert not report.equal
    assert any(not output.equal and output.key in ("probs", "logits") for output in report.outputs)
    assert "logits: DIFFERENT, largest difference" in "\n".join(report.lines())


def test_a_weight_that_changes_no_answer_is_found_by_its_checksum(copy):
    path = copy("mlp_layers")
    record = json.loads(pathlib.Path(path, record_file.PATH).read_text())
    index = bundle.read(os.path.join(path, "variables", "variables"))
    stored = {name: index.checksum(name) for name in index.tensors}
    recorded = {v["name"]: v["crc32c"] for v in record["variables"]}
    assert recorded == {v["name"]: stored[v["name"]] for v in record["variables"]}
    for variable in record["variables"]:
        variable["crc32c"] = stored[variable["name"]]
    record["variables"][0]["crc32c"] ^= 1
    pathlib.Path(path, record_file.PATH).write_text(json.dumps(record))
    report = verify(path)
    assert report.damaged == (record["variables"][0]["name"],) and not report.equal
    assert all(output.equal for output in report.outputs)


def test_a_flipped_byte_in_the_data_is_an_error(copy):
    path = copy("mlp_layers")
    data = pathlib.Path(path, "variables", "variables.data-00000-of-00001")
    content = bytearray(data.read_bytes())
    content[100] ^= 4
    data.write_bytes(content)
    with pytest.raises(LoadError, match="cannot be read"):
        verify(path)


def test_a_sample_that_is_gone_is_different(copy):
    path = copy("mlp_layers")
    os.unlink(os.path.join(path, codec.PATH))
    report = verify(path)
    assert report.verdict is Verdict.DIFFERENT and {one.key for one in report.outputs} == {"logits", "probs"}


F = np.float32


@pytest.mark.parametrize(
    ("want", "have", "equal"),
    [
        (F([1, 2]), F([1, 2.00001]), True),
        (F([1, 2]), F([1, 2.001]), False),
        (F([1000, 0]), F([1000, 1e-3]), True),
        (F([1e-6, 2e-6]), F([1e-6, 3e-6]), False),
        (F([np.nan, np.inf]), F([np.nan, np.inf]), True),
        (F([np.nan, 1]), F([1, 1]), False),
        (F([np.inf]), F([-np.inf]), False),
        (F(3), F(3.1), False),
        (F([]), F([]), True),
        (F([1]), F([[1]]), False),
        (F([1]), np.float64([1]), False),
        (np.int32([1, 2]), np.int32([1, 2]), True),
        (np.int64([2**60]), np.int64([2**60 + 1]), False),
        (np.array([True]), np.array([False]), False),
        (np.array([b"a", b"bc"], object), np.array([b"a", b"bc"], "S"), True),
        (np.array([b"a"], object), np.array([b"A"], object), False),
    ],
)
def test_comparison(want, have, equal):
    compared = comparison.compare("y", want, have)
    assert compared.equal is equal
    assert str(compared).startswith("y: equal" if equal else "y: DIFFERENT")


def test_the_index_of_the_largest_difference_is_told():
    compared = comparison.compare("y", F([[1, 2], [3, 4]]), F([[1, 2], [5, 4]]))
    assert compared.index == (1, 0) and compared.largest == 2 and compared.relative == pytest.approx(2 / 3)


def _without_answers(path):
    os.unlink(os.path.join(path, codec.PATH))
    with open(os.path.join(path, record_file.PATH)) as stream:
        record = json.load(stream)
    with open(os.path.join(path, record_file.PATH), "w") as stream:
        record |= {"sample": None, "files": {}, "proof": {"verdict": "not proven", "why": "it is too large"}}
        json.dump(record, stream)


def _other_weights(path):
    values = _values(path)
    _one_weight(values)
    _write(path, values)


@pytest.mark.parametrize(
    ("change", "code", "verdict"),
    [(str, 0, "equal"), (_other_weights, 1, "DIFFERENT"), (_without_answers, 0, "not proven: nothing to compare")],
)
def test_the_command_exits_1_only_where_something_is_different(copy, run_program, change, code, verdict):
    path = copy("mlp_layers")
    change(path)
    done = run_program(["-m", "load_v2", "verify", path])
    assert done.returncode == code
    lines = done.stdout.splitlines()
    assert len([line for line in lines if line.startswith(("probs:", "logits:"))]) == 2
    assert lines[-1].startswith(f"verdict: {verdict}")
    assert done.stderr == ""


def test_strings_that_end_in_zero_bytes_are_replayed_whole(tmp_path):
    with savedmodels.session() as current:
        x = tf.compat.v1.placeholder(tf.string, [None], name="x")
        path = savedmodels.save(tmp_path / "strings", current, {"x": x}, {"length": tf.strings.length(x), "same": x})
    flags = {"saved_model": path, "export_dir": str(tmp_path / "export")}
    given = np.array([b"a\0\0", b"\0", b"bc"], object)
    np.savez(tmp_path / "in.npz", x=given.astype("S"))
    import export_v1
    from export_v1.proof import sample

    export_v1.export(**flags)
    recorded = sample.Sample({"x": given}, {"length": np.int32([3, 1, 2]), "same": given})
    sample.write(recorded, str(tmp_path / "export" / "assets.extra" / "sample.npz"))
    assert all(output.equal for output in verify(tmp_path / "export").outputs)
    recorded = sample.Sample({"x": given}, {"length": np.int32([3, 1, 2]), "same": given[::-1]})
    sample.write(recorded, str(tmp_path / "export" / "assets.extra" / "sample.npz"))
    assert not all(output.equal for output in verify(tmp_path / "export").outputs)
