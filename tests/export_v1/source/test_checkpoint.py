import pytest

import export_v1
from export_v1.source import checkpoint
from tests.support import cases

SHARDED_V1 = cases.FOLDER / "port_files" / "sharded_v1"


@pytest.mark.parametrize(
    "named", ["model.ckpt-3", "model.ckpt-3.meta", "model.ckpt-3-00001-of-00002", "model.ckpt-3-?????-of-00002", ""]
)
def test_a_sharded_checkpoint_in_v1_format_however_it_is_named(named):
    prefix, _ = checkpoint.find_prefix(str(SHARDED_V1 / named))
    assert prefix.endswith("/model.ckpt-3-?????-of-00002")


def test_a_sharded_checkpoint_in_v1_format_is_exported(tmp_path):
    report = export_v1.export(checkpoint=str(SHARDED_V1), export_dir=str(tmp_path / "e"))
    assert report["variables"] and all(one["checkpoint_key"] for one in report["variables"])


def test_several_checkpoints_and_no_record_of_the_latest(tmp_path):
    for step in (1, 20):
        (tmp_path / f"model.ckpt-{step}.index").touch()
    with pytest.raises(export_v1.ExportError, match="(?s)holds 2 checkpoints.*Pass --checkpoint="):
        checkpoint.find_prefix(str(tmp_path))


def test_a_folder_without_a_checkpoint_says_what_is_there(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(export_v1.ExportError, match="(?s)holds no checkpoint.*'notes.txt'"):
        checkpoint.find_prefix(str(tmp_path))


def test_the_nearest_checkpoint_is_named(tmp_path):
    (tmp_path / "model.ckpt-3.index").touch()
    with pytest.raises(export_v1.ExportError, match="(?s)Closest: .*model.ckpt-3'.*Pass --checkpoint="):
        checkpoint.find_prefix(str(tmp_path / "model.ckpt-2"))
