"""outcome: what had been written, whatever comes between a rename and its report."""

import os

import pytest

from export_v1.console import outcome, supervise


@pytest.fixture(autouse=True)
def anew():
    outcome.forget()
    yield
    outcome.forget()


def test_what_was_renamed_had_been_written_and_what_was_not_had_not(tmp_path):
    assert outcome.text() == "nothing was written"
    part, path = tmp_path / ".part", tmp_path / "whole"
    part.mkdir()
    outcome.about_to_appear(str(part), str(path))
    assert outcome.text() == "nothing was written"
    os.rename(part, path)
    assert outcome.text() == f"{str(path)!r} had been written before, and is whole"
    os.rename(path, tmp_path / "elsewhere")
    path.mkdir()
    assert outcome.text() == "nothing was written"


def test_several_files_are_told_and_each_only_where_it_stands(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.part").write_text(name)
        outcome.about_to_appear(str(tmp_path / f"{name}.part"), str(tmp_path / name))
    for name in "ac":
        os.rename(tmp_path / f"{name}.part", tmp_path / name)
    assert (
        outcome.text() == f"{str(tmp_path / 'a')!r} and {str(tmp_path / 'c')!r} had been written before, and are whole"
    )


def test_more_than_fits_is_forgotten_from_the_front(tmp_path):
    for number in range(300):
        path = tmp_path / f"{number:0100}"
        path.write_text("")
        outcome.about_to_appear(str(path), str(path))
    assert f"{299:0100}" in outcome.text() and f"{0:0100}" not in outcome.text()


def test_the_process_that_waits_knows_what_a_killed_one_had_written(tmp_path, capfd):
    def written_and_killed() -> int:
        (tmp_path / "part").write_text("")
        outcome.about_to_appear(str(tmp_path / "part"), str(tmp_path / "whole"))
        os.rename(tmp_path / "part", tmp_path / "whole")
        os.abort()

    def main() -> int:
        return supervise.supervised(written_and_killed, "the command")

    child = os.fork()
    if child == 0:
        os._exit(main())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    said = capfd.readouterr().err
    assert "SIGABRT" in said and f"{str(tmp_path / 'whole')!r} had been written before" in said
