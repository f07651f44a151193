"""The folder of an artefact holds plain files and folders, however deep one looks."""

import os

import pytest

from export_v1.errors import ExportError
from export_v1.format import folder


def test_plain_files_and_folders_are_let_in(tmp_path):
    (tmp_path / "assets" / "deeper").mkdir(parents=True)
    (tmp_path / "assets" / "deeper" / "words.txt").touch()
    folder.check(str(tmp_path))


@pytest.mark.parametrize("place", ["", "variables", "assets/deeper"])
def test_a_link_or_a_pipe_is_named_wherever_it_is(place, tmp_path):
    inner = tmp_path / place
    inner.mkdir(parents=True, exist_ok=True)
    (inner / "words.txt").symlink_to("/etc/hostname")
    with pytest.raises(ExportError, match="holds links, which could lead elsewhere: ") as caught:
        folder.check(str(tmp_path))
    assert repr(os.path.join(place, "words.txt")) in str(caught.value)
    (inner / "words.txt").unlink()
    os.mkfifo(inner / "pipe")
    with pytest.raises(ExportError, match="devices or pipes.*pipe"):
        folder.check(str(tmp_path))
