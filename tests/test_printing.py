"""What the project's results print, as text, as HTML and as JSON."""

import json

import keras
import numpy as np
import pytest

import export_v1
import load_v2
from load_v2 import __main__ as step_2
from load_v2.porting import load_checkpoint_weights
from tests.support import cases, porting_models


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("printed") / "1"
    return export_v1.export(export_dir=str(folder), **cases.load("mlp_layers").flags())


def _printed(*arguments, capsys) -> dict:
    args = step_2.parse(["load_v2", *map(str, arguments)])
    args.run(args)
    return json.loads(capsys.readouterr().out)


def test_a_report_of_step_1_prints_what_the_command_prints(report):
    assert repr(report) == str(report) == report.text()
    page = report._repr_html_()
    assert "signature serving_default" in page and "proof" in page and "<table>" in page


def test_candidates_print_a_table():
    found = export_v1.inspect(checkpoint=str(cases.load("slim_contrib_net").folder / "model.ckpt-3"))
    lines = repr(found).splitlines()
    assert lines[0].startswith("Candidates: ") and any("= False" in line and "phase_train:0" in line for line in lines)
    assert any(line.startswith("  input   image") and "float32 [None, 16, 16, 3]" in line for line in lines)
    assert "dtype=1" not in str(found) and "image:0" in found._repr_html_()


def test_verification_prints_lines_and_no_dataclass(report):
    found = load_v2.verify(report.export_dir)
    assert repr(found) == "\n".join(found.lines()) and repr(found).endswith("verdict: equal")
    assert "verdict: equal" in found._repr_html_() and "Comparison(" not in repr(found)


def test_a_ported_model_prints_a_few_lines_and_in_full_every_weight():
    case = cases.FOLDER / "port_textbook"
    found = load_checkpoint_weights(porting_models.textbook(), case / "model.ckpt-3", expect=case / "oracle.npz")
    assert len(repr(found).splitlines()) < 10 and "4 of 4 weights" in repr(found)
    assert str(found).count(" <- ") == 4 and "<table>" in found._repr_html_()


def test_show_as_json_has_the_documented_fields(report, capsys):
    found = _printed("show", report.export_dir, "--json", capsys=capsys)
    assert set(found) == {"path", "signatures", "variables", "assets", "needs_permission", "record"}
    serving = found["signatures"]["serving_default"]
    assert serving["inputs"] == {"x": {"dtype": "float32", "shape": [None, 16], "tensor": "x:0"}}
    assert {one["name"] for one in found["variables"]} >= {"dense/kernel", "dense/bias"}
    assert found["record"]["proof"]["verdict"] == "equal" and found["needs_permission"] == {}


def test_verify_as_json_has_the_documented_fields_and_no_nan(report, capsys, tmp_path):
    found = _printed("verify", report.export_dir, "--json", capsys=capsys)
    assert set(found) == {"verdict", "why", "outputs", "damaged", "unlike", "notes", "archive_is_as_saved"}
    assert found["verdict"] == "equal" and found["archive_is_as_saved"] is None
    assert {one["key"] for one in found["outputs"]} == {"logits", "probs"}
    assert all(
        set(one) == {"key", "verdict", "largest", "relative", "index", "tolerance", "note"} for one in found["outputs"]
    )
    unproven = tmp_path / "unproven"
    export_v1.export(export_dir=str(unproven), no_sample=True, **cases.load("mlp_layers").flags())
    found = _printed("verify", unproven, "--json", capsys=capsys)
    assert found["verdict"] == "not proven" and {one["largest"] for one in found["outputs"]} == {None}


def test_show_and_verify_take_an_archive(report, capsys, tmp_path):
    layer = load_v2.SignatureLayer(report.export_dir)
    inputs = keras.Input((16,))
    keras.Model(inputs, layer(inputs)).save(tmp_path / "m.keras")
    (held,) = _printed("show", tmp_path / "m.keras", "--json", capsys=capsys)["layers"]
    assert held["changed"] == [] and "serving_default" in held["signatures"]
    assert _printed("verify", tmp_path / "m.keras", "--json", capsys=capsys)["archive_is_as_saved"] is True


def test_a_rebuilt_model_prints_what_it_is_made_of(report):
    found = load_v2.rebuild(report.export_dir, backends=["tensorflow"])
    assert str(found).startswith(f"Rebuilt: model {found.model.name!r}\nlayers: ") and "Functional(" not in repr(found)
    assert "Dense" in found._repr_html_() and repr(found.report) == "\n".join(found.report.text())
    assert np.asarray(found.model.weights[0]).size
