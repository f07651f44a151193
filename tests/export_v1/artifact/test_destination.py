"""destination: a folder appears whole, is on the disk before it has its name, and takes nobody else's place."""

import errno
import os
import pathlib
import re
import stat

import pytest

import export_v1
from export_v1.artifact import destination, versions
from export_v1.weights import stream
from tests.support import cases


@pytest.fixture
def steps(monkeypatch) -> list[tuple[str, str]]:
    """Returns a list that fills with what reaches the disk and what is renamed, in order: ("sync", path), ("rename", to)."""
    done: list[tuple[str, str]] = []
    sync, rename, exchange = os.fsync, os.rename, destination._exchange

    def synced(descriptor):
        done.append(("sync", os.readlink(f"/proc/self/fd/{descriptor}")))
        sync(descriptor)

    def renamed(old, new):
        done.append(("rename", str(new)))
        rename(old, new)

    def exchanged(one, other):
        done.append(("rename", other))
        return exchange(one, other)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    monkeypatch.setattr(destination, "_exchange", exchanged)
    return done


def _filled(folder: str) -> None:
    os.makedirs(os.path.join(folder, "variables"))
    for name in ("saved_model.pb", "variables/variables.index"):
        pathlib.Path(folder, name).write_text(name)


def _assert_on_disk_before_the_rename(steps, place: str, parent: str) -> None:
    at = steps.index(("rename", place))
    before = {path for step, path in steps[:at] if step == "sync"}
    [folder] = {path for path in before if "partial-" in os.path.basename(path)}
    assert before >= {folder, f"{folder}/variables", f"{folder}/saved_model.pb", f"{folder}/variables/variables.index"}
    # The name itself is on the disk once the folder above is.
    assert ("sync", parent) in steps[at:]


@pytest.mark.parametrize("there", ["nothing", "empty", "export"])
def test_everything_is_on_the_disk_before_it_has_its_name(there, tmp_path, steps):
    place = tmp_path / "e"
    if there != "nothing":
        place.mkdir()
    if there == "export":
        (place / "old").touch()
    with destination.whole(str(place), overwrite=there == "export") as folder:
        _filled(folder)
    _assert_on_disk_before_the_rename(steps, str(place), str(tmp_path))
    assert sorted(os.listdir(place)) == ["saved_model.pb", "variables"] and os.listdir(tmp_path) == ["e"]
    assert stat.S_IMODE(place.stat().st_mode) == 0o755


def test_a_version_is_on_the_disk_before_it_has_its_number(tmp_path, steps):
    with versions.target(str(tmp_path / "base"), versioned=True) as target:
        _filled(target.folder)
    _assert_on_disk_before_the_rename(steps, str(tmp_path / "base" / "1"), str(tmp_path / "base"))
    assert stat.S_IMODE((tmp_path / "base" / "1").stat().st_mode) == 0o755


def test_each_piece_of_a_stream_is_on_the_disk_as_it_is_written(tmp_path, steps):
    from tests.export_v1.weights import test_stream

    values = {name: test_stream.VALUES[name] for name in ("large", "long")}
    test_stream.write_checkpoint(str(tmp_path / "model"), values)
    (tmp_path / "out").mkdir()
    stream.write(test_stream.weights_of(str(tmp_path / "model"), values), str(tmp_path / "out" / "variables"), 256)
    synced = {os.path.basename(path) for step, path in steps if step == "sync" and "variables.pieces" in path}
    assert synced == {f"{at:06d}.data-00000-of-00001" for at in range(len(synced))} and len(synced) > 4


def test_where_two_folders_cannot_be_swapped_the_old_one_stands_aside(tmp_path, monkeypatch):
    monkeypatch.setattr(destination, "_exchange", lambda one, other: False)
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "old").touch()
    with destination.whole(str(tmp_path / "e"), overwrite=True) as folder:
        assert os.listdir(tmp_path / "e") == ["old"]
        _filled(folder)
    assert sorted(os.listdir(tmp_path / "e")) == ["saved_model.pb", "variables"] and os.listdir(tmp_path) == ["e"]


def test_a_folder_that_appeared_meanwhile_is_not_replaced(tmp_path):
    with pytest.raises(export_v1.ExportError, match="not empty"), destination.whole(str(tmp_path / "e")) as folder:
        _filled(folder)
        (tmp_path / "e").mkdir()
        (tmp_path / "e" / "of_another").touch()
    assert os.listdir(tmp_path) == ["e"] and os.listdir(tmp_path / "e") == ["of_another"]


def test_nothing_is_left_of_a_block_that_fails(tmp_path):
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "old").touch()
    with pytest.raises(KeyError), destination.whole(str(tmp_path / "e"), overwrite=True) as folder:
        _filled(folder)
        raise KeyError
    assert os.listdir(tmp_path) == ["e"] and os.listdir(tmp_path / "e") == ["old"]


def test_a_file_in_its_place_is_refused_even_to_be_overwritten(tmp_path):
    (tmp_path / "e").touch()
    for overwrite in (False, True):
        with pytest.raises(export_v1.ExportError, match="is a file"):
            destination.check_free(str(tmp_path / "e"), overwrite)
    (tmp_path / "e").unlink()
    (tmp_path / "e").symlink_to(tmp_path / "gone")
    with pytest.raises(export_v1.ExportError, match="is a file"):
        destination.check_free(str(tmp_path / "e"), True)
    (tmp_path / "empty").mkdir()
    destination.check_free(str(tmp_path / "empty"), False)
    destination.check_free(str(tmp_path / "nothing"), False)


def test_what_cannot_be_written_says_why_and_what_to_do(tmp_path):
    with pytest.raises(export_v1.ExportError, match="(?s)No space left.*MiB are free.*--export_dir=DIR") as caught:
        with destination.whole(str(tmp_path / "e")):
            raise OSError(errno.ENOSPC, "No space left")
    assert str(tmp_path / "e") in str(caught.value) and os.listdir(tmp_path) == []


@pytest.mark.parametrize("error", [None, PermissionError(), OSError(), ProcessLookupError()])
def test_only_the_folders_of_processes_that_are_gone_are_swept(error, tmp_path, monkeypatch):
    """Where a process is of another user, the system refuses to signal it: it is there."""
    asked = []

    def kill(process: int, signal: int) -> None:
        asked.append((process, signal))
        if error is not None:
            raise error

    monkeypatch.setattr(os, "kill", kill)
    folder = destination._made(str(tmp_path), ".e.partial-")
    destination.sweep(str(tmp_path), ".e.partial-")
    assert asked == [(os.getpid(), 0)]
    assert os.path.exists(folder) == (not isinstance(error, ProcessLookupError))


@pytest.mark.parametrize("versioned", [False, True])
def test_what_a_killed_run_left_is_found_from_the_flags(versioned, tmp_path, monkeypatch):
    monkeypatch.setattr(destination, "_is_alive", lambda process: False)
    (tmp_path / "e").mkdir()
    inside, beside = (
        destination._made(str(tmp_path / "e"), ".partial-"),
        destination._made(str(tmp_path), ".e.partial-"),
    )
    destination.sweep_for(str(tmp_path / "e"), versioned)
    assert (os.path.exists(inside), os.path.exists(beside)) == (not versioned, versioned)
    destination.sweep_for(str(tmp_path / "gone" / "e"), versioned)


def test_the_name_of_a_folder_tells_whose_it_is(tmp_path):
    name = os.path.basename(destination._made(str(tmp_path), ".e.partial-"))
    assert re.fullmatch(rf"\.e\.partial-\w+\.{os.getpid()}-.+", name)


def test_an_old_export_that_a_killed_run_left_aside_goes_with_the_next(tmp_path, monkeypatch):
    (tmp_path / "e").mkdir()
    destination._made(str(tmp_path), ".e.old-")
    monkeypatch.setattr(destination, "_is_alive", lambda process: False)
    with destination.whole(str(tmp_path / "e")) as folder:
        _filled(folder)
    assert os.listdir(tmp_path) == ["e"]


def test_an_export_is_on_the_disk_before_it_has_its_name(tmp_path, steps):
    export_v1.export(export_dir=str(tmp_path / "e"), **cases.load("mlp_layers").flags())
    _assert_on_disk_before_the_rename(steps, str(tmp_path / "e"), str(tmp_path))
