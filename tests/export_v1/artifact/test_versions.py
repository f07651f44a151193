"""--versioned: the next number below a base path, whole or not at all, also when several exports run at once."""

import multiprocessing
import os
import threading

import pytest

import export_v1
from export_v1.artifact import versions
from tests.support import cases

WHOLE = {"saved_model.pb", "variables", "assets.extra"}


def _write(base, content: str = "x") -> str:
    """Writes the smallest thing that stands for an export; returns where it went."""
    with versions.target(str(base), versioned=True) as target:
        with open(os.path.join(target.folder, "saved_model.pb"), "w") as file:
            file.write(content)
    return target.path


def _write_and_name(base: str, name: str) -> None:
    _write(base, name)


def test_an_export_goes_below_the_base_path_and_the_next_one_beside_it(tmp_path):
    base = tmp_path / "models" / "mlp"
    flags = cases.load("mlp_layers").flags()
    paths = [export_v1.export(export_dir=str(base), versioned=True, **flags).export_dir for _ in range(2)]
    assert paths == [str(base / "1"), str(base / "2")]
    assert sorted(os.listdir(base)) == ["1", "2"]
    for path in paths:
        assert WHOLE <= set(os.listdir(path))


def test_a_server_that_polls_sees_whole_versions_only(tmp_path):
    base, seen, done, failed = tmp_path / "mlp", [], threading.Event(), []

    def poll():
        try:
            look()
        except OSError as error:
            failed.append(error)

    def look():
        while not done.is_set():
            names = os.listdir(base) if base.exists() else []
            for name in names:
                # What TensorFlow Serving takes for a version: every name that reads as a number.
                if name.isdigit():
                    seen.append((name, set(os.listdir(base / name))))

    poller = threading.Thread(target=poll)
    poller.start()
    try:
        export_v1.export(export_dir=str(base), versioned=True, **cases.load("mlp_layers").flags())
    finally:
        done.set()
        poller.join()
    assert not failed
    seen.append(("1", set(os.listdir(base / "1"))))
    assert all(WHOLE <= content for _, content in seen)


@pytest.mark.parametrize(
    "there, following", [([], 1), (["1"], 2), (["2", "10"], 11), (["1542300000"], 1542300001), (["007"], 8)]
)
def test_the_next_number_follows_the_largest(tmp_path, there, following):
    for name in there:
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").touch()
    assert _write(tmp_path) == str(tmp_path / str(following))


def test_what_a_server_passes_over_is_passed_over(tmp_path):
    (tmp_path / "3").mkdir()
    (tmp_path / ".snapshot").mkdir()
    (tmp_path / "README").touch()
    (tmp_path / "latest").symlink_to(tmp_path / "3")
    assert _write(tmp_path) == str(tmp_path / "4")


def test_a_number_that_a_file_has_is_taken(tmp_path):
    (tmp_path / "5").touch()
    assert _write(tmp_path) == str(tmp_path / "6")


def test_exports_at_the_same_time_get_numbers_of_their_own(tmp_path):
    names = [str(at) for at in range(12)]
    spawn = multiprocessing.get_context("fork")
    running = [spawn.Process(target=_write_and_name, args=(str(tmp_path), name)) for name in names]
    for process in running:
        process.start()
    for process in running:
        process.join()
    assert [process.exitcode for process in running] == [0] * len(names)
    assert sorted(os.listdir(tmp_path), key=int) == [str(at + 1) for at in range(len(names))]
    assert sorted((tmp_path / str(at + 1) / "saved_model.pb").read_text() for at in range(len(names))) == sorted(names)


def test_a_number_taken_while_the_export_was_written_is_not_replaced(tmp_path):
    with versions.target(str(tmp_path), versioned=True) as target:
        open(os.path.join(target.folder, "saved_model.pb"), "w").close()
        (tmp_path / "1").mkdir()
        (tmp_path / "1" / "of_another").touch()
    assert target.path == str(tmp_path / "2")
    assert os.listdir(tmp_path / "1") == ["of_another"]


def test_nothing_is_left_of_an_export_that_fails(tmp_path):
    (tmp_path / "1").mkdir()
    with pytest.raises(RuntimeError, match="half way"), versions.target(str(tmp_path), versioned=True) as target:
        open(os.path.join(target.folder, "saved_model.pb"), "w").close()
        raise RuntimeError("half way")
    assert os.listdir(tmp_path) == ["1"]


def _refused(base, match: str, **flags) -> None:
    with pytest.raises(export_v1.ExportError, match=match):
        export_v1.export(export_dir=str(base), versioned=True, **cases.load("mlp_layers").flags(), **flags)


def test_a_folder_that_is_not_a_number_among_numbers_is_refused(tmp_path):
    for name in ("1", "v2", "0.3", "-4"):
        (tmp_path / name).mkdir()
    _refused(tmp_path, r"(?s)not version numbers: '-4', '0\.3', 'v2'.*Rename them")
    assert sorted(os.listdir(tmp_path)) == ["-4", "0.3", "1", "v2"]


def test_a_base_path_that_is_a_saved_model_itself_is_refused(tmp_path):
    (tmp_path / "saved_model.pb").touch()
    _refused(tmp_path, rf"(?s)is a SavedModel itself.*'{tmp_path}/1'")


def test_a_version_given_for_its_base_path_is_told_the_base_path(tmp_path):
    (tmp_path / "mlp" / "3").mkdir(parents=True)
    (tmp_path / "mlp" / "3" / "saved_model.pb").touch()
    _refused(
        tmp_path / "mlp" / "3", rf"(?s)is a SavedModel itself.*version of 'mlp', pass --export_dir={tmp_path}/mlp\."
    )


def test_a_base_path_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    _refused(tmp_path / "file", "is a file")


def test_the_largest_version_has_none_after_it(tmp_path):
    (tmp_path / str(2**63 - 1)).mkdir()
    with pytest.raises(export_v1.ExportError, match="no larger number"):
        _write(tmp_path)
    assert os.listdir(tmp_path) == [str(2**63 - 1)]


def test_versioned_and_overwrite_exclude_each_other(tmp_path):
    _refused(tmp_path, "(?s)a new version never replaces one.*Remove one", overwrite=True)


def test_who_comes_second_to_a_number_gets_the_one_after(tmp_path, monkeypatch):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "of_another").touch()
    # Another export takes number 1 after this one has looked.
    answers = iter([[], [], [1]])
    monkeypatch.setattr(versions, "numbers", lambda base: next(answers))
    assert _write(tmp_path) == str(tmp_path / "2")
    assert os.listdir(tmp_path / "1") == ["of_another"]


def test_a_rename_that_is_not_allowed_is_one_message(tmp_path, monkeypatch):
    def refuse(old, new):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(export_v1.ExportError, match="cannot be written.*Permission denied"):
        _write(tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["٣", "1.0", "+1", " 2", str(2**63)])
def test_what_only_looks_like_a_number_is_none(name, tmp_path):
    (tmp_path / name).mkdir()
    with pytest.raises(export_v1.ExportError, match="not version numbers"):
        versions.numbers(str(tmp_path))


def test_a_base_path_with_a_model_in_text_form_is_refused(tmp_path):
    (tmp_path / "saved_model.pbtxt").touch()
    with pytest.raises(export_v1.ExportError, match="is a SavedModel itself"):
        versions.numbers(str(tmp_path))
