"""model-settings.json: what MLServer starts an export with."""

import json

import pytest

import export_v1
from tests.support import cases


def test_an_export_has_settings_where_they_are_asked_for_and_can_be_replaced_with_them(tmp_path):
    flags = {**cases.load("mlp_layers").flags(), "export_dir": str(tmp_path / "1"), "no_sample": True}
    export_v1.export(**flags)
    assert not (tmp_path / "1" / "model-settings.json").exists()
    for name in ("digits", "digits.2"):
        export_v1.export(**flags, mlserver=name, overwrite=True)
        assert json.loads((tmp_path / "1" / "model-settings.json").read_text()) == {
            "name": name,
            "implementation": "load_v2.mlserver.SignatureRuntime",
            "parameters": {"uri": "."},
        }


@pytest.mark.parametrize("name", ["", "a/b", "../a", "-a", "a b"])
def test_a_name_that_cannot_stand_in_a_path_is_refused_before_anything_is_done(tmp_path, name):
    with pytest.raises(export_v1.ExportError, match="--mlserver=.* is no name for a model"):
        export_v1.export(checkpoint="nowhere", export_dir=str(tmp_path / "1"), mlserver=name)
