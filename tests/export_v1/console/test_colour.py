"""Colour: on a terminal, for verdicts and warnings, and nowhere else."""

import io

import pytest

from export_v1.console import colour


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return _Terminal()


_REPORT = (
    "y: equal, largest difference 0\nz: DIFFERENT, one is not\nwarning: a is odd\nverdict: not proven: nothing\n"
    "equal names: x"
)


def test_verdicts_and_warnings_are_painted_and_names_are_not(terminal):
    lines = colour.report(_REPORT, terminal).splitlines()
    assert "\033[32mequal\033[0m," in lines[0] and "\033[31mDIFFERENT\033[0m" in lines[1]
    assert lines[2].startswith("\033[33mwarning\033[0m:") and "\033[33mnot proven\033[0m" in lines[3]
    assert lines[4] == "equal names: x"


def test_the_words_are_the_same_without_colour(terminal, monkeypatch):
    assert colour.report(_REPORT, io.StringIO()) == _REPORT
    monkeypatch.setenv("NO_COLOR", "1")
    assert colour.report(_REPORT, terminal) == _REPORT == colour.error(_REPORT, terminal)
    monkeypatch.setenv("NO_COLOR", "")
    assert colour.report(_REPORT, terminal) != _REPORT
    monkeypatch.setenv("TERM", "dumb")
    assert colour.report(_REPORT, terminal) == _REPORT == colour.bold(_REPORT, terminal)


def test_of_an_error_the_first_line_is_red(terminal):
    assert (
        colour.error("a\n  b", terminal) == "\033[31ma\033[0m\n  b"
        and colour.error("a", terminal) == "\033[31ma\033[0m"
    )
