"""The table of faults tells the truth about its tests."""

import re
import shlex

import pytest

from tests import faults

TESTS = {
    "passes": "def test_one():\n    print('noise')\n    print('came out: 3 of 4')\n",
    "fails": "def test_one():\n    pass\ndef test_two():\n    assert False\n",
    "is skipped": "import pytest\ndef test_one():\n    pytest.skip('not here')\n",
    "breaks": "import nothing_of_that_name\n",
    "is not there": "",
}


def _line(what: str, tmp_path) -> tuple[str, bool]:
    (tmp_path / "test_it.py").write_text(TESTS[what])
    return faults.line(faults.Row("it", ("once",), (str(tmp_path / "test_it.py"),)), full=True)


def test_a_row_whose_tests_pass_says_what_came_out(tmp_path):
    text, good = _line("passes", tmp_path)
    assert good and text.startswith("| it | once | as promised: 3 of 4 | `")


@pytest.mark.parametrize("what", sorted(set(TESTS) - {"passes"}))
def test_a_row_is_not_as_promised(what, tmp_path):
    text, good = _line(what, tmp_path)
    assert not good and "NOT as promised" in text and "| as promised" not in text


def test_the_command_fails_with_a_row(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(faults, "ROWS", (faults.Row("it", ("once",), (str(tmp_path / "none.py"),)),))
    monkeypatch.setattr("sys.argv", ["faults", "it"])
    assert faults.main() == 1
    assert "NOT as promised" in capsys.readouterr().out


def test_rows_are_chosen_by_what_was_tried(tmp_path, monkeypatch, capsys):
    rows = [faults.Row(what, ("",), (str(tmp_path / "none.py"),)) for what in ("a link", "a kill", "a disk")]
    monkeypatch.setattr(faults, "ROWS", tuple(rows))
    monkeypatch.setattr("sys.argv", ["faults", "li.k", "disk"])
    faults.main()
    assert [line.split(" | ")[0] for line in capsys.readouterr().out.splitlines()[2:]] == ["| a link", "| a disk"]
    monkeypatch.setattr("sys.argv", ["faults", "link", "flood"])
    with pytest.raises(SystemExit):
        faults.main()
    assert "no row has a match for 'flood'; there are: 'a link'" in capsys.readouterr().err


def test_a_row_that_does_not_end_is_not_as_promised(tmp_path, monkeypatch):
    monkeypatch.setattr(faults, "_MOST_SECONDS", 0.1)
    text, good = _line("passes", tmp_path)
    assert not good and "NOT as promised: it had not ended after 0.1 seconds" in text


def test_every_row_names_tests_that_are_there():
    for row in faults.ROWS:
        assert len(row.often) == len(row.tests) in (1, 2)
        files = [word for tests in row.tests for word in shlex.split(tests) if word.endswith(".py")]
        assert files and all((faults.ROOT / file).exists() for file in files)


def test_every_row_finds_tests():
    """A word of `-k` that no test has any more would leave a row with none; the row would fail, minutes later."""
    for row in faults.ROWS:
        for tests in row.tests:
            words = shlex.split(tests)
            files = [word for word in words if word.endswith(".py")]
            text = "\n".join((faults.ROOT / file).read_text() for file in files)
            # Names of tests, and of the values that they are run with.
            names = re.findall(r"^def (test_\w+)", text, re.M) + re.findall(r"id=\"(.+?)\"", text)
            names += [name for ids in re.findall(r"ids=\[(.+?)\]", text) for name in re.findall(r"\"(.+?)\"", ids)]
            if "-k" in words:
                wanted = [word for word in words[words.index("-k") + 1].split() if word not in ("or", "not", "and")]
                assert all(any(word in name for name in names) for word in wanted), (row.what, wanted)
