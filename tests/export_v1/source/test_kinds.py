"""The kind of a model, seen from what is there."""

import pytest

from export_v1 import ExportError
from export_v1.source import kinds
from tests.support import cases


def _case(name: str) -> str:
    return str(cases.load(name).folder)


@pytest.mark.parametrize(
    ("path", "flag"),
    [
        (lambda: f"{_case('mlp_layers')}/model.ckpt-3", "checkpoint"),
        (lambda: f"{_case('mlp_layers')}/model.ckpt-3.meta", "checkpoint"),
        (lambda: f"{_case('mlp_layers')}/model.ckpt-3.index", "checkpoint"),
        (lambda: _case("mlp_layers"), "checkpoint"),
        (lambda: f"{_case('sharded_ckpt')}/model.ckpt-3", "checkpoint"),
        (lambda: f"{_case('v1_format')}/model.ckpt-3", "checkpoint"),
        (lambda: str(cases.load("odd_frozen").folder / cases.load("odd_frozen").config["pb"]), "graph_def"),
        (
            lambda: str(cases.load("odd_saved_model").folder / cases.load("odd_saved_model").config["saved_model"]),
            "saved_model",
        ),
        (
            lambda: str(cases.load("hub_module_tags").folder / cases.load("hub_module_tags").config["saved_model"]),
            "saved_model",
        ),
    ],
)
def test_files_of_tensorflow_1_are_known(path, flag):
    assert kinds.flag_of(path()) == flag


def test_other_spellings(tmp_path):
    (tmp_path / "module.tar.gz").write_bytes(b"")
    (tmp_path / "code.py").write_text("")
    (tmp_path / "versions" / "3").mkdir(parents=True)
    (tmp_path / "versions" / "3" / "saved_model.pb").write_bytes(b"")
    assert kinds.flag_of(f"{tmp_path}/module.tar.gz") == "saved_model" == kinds.flag_of(f"{tmp_path}/versions")
    assert kinds.flag_of(f"{tmp_path}/versions/3/saved_model.pb") == "saved_model"
    assert kinds.flag_of(f"{tmp_path}/code.py:build") == "builder" == kinds.flag_of("package.module:build")


def test_what_is_no_model_is_one_message(tmp_path):
    def refused(path) -> str:
        with pytest.raises(ExportError) as caught:
            kinds.flag_of(str(path))
        return str(caught.value)

    assert "holds: " in refused(tmp_path / "a" / "b")
    assert "The folder is empty" in refused(tmp_path)
    (tmp_path / "model.ckpt-1000.index").write_bytes(b"")
    assert "Closest: 'model.ckpt-1000'" in refused(tmp_path / "modl.ckpt-1000")
    (tmp_path / "saved_model.pb").write_bytes(b"")
    assert f"Pass --saved_model={tmp_path} or --checkpoint={tmp_path}" in refused(tmp_path)
    graphs = tmp_path / "graphs"
    graphs.mkdir()
    (graphs / "frozen.pb").write_bytes(b"")
    assert f"Name the file: {graphs}/frozen.pb" in refused(graphs)
