"""Progress: on a terminal, one line that goes away; else nothing."""

import io
import time

import pytest

from export_v1.console import progress


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Returns a list whose one element is what the clock says."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    return now


def test_nothing_is_written_where_there_is_no_terminal(clock):
    stream = io.StringIO()
    with progress.shown(stream):
        progress.stage("reading")
        assert list(progress.counted([1, 2], "work")) == [1, 2]
    assert stream.getvalue() == ""
    progress.stage("nobody asked")
    assert list(progress.counted(iter([1]), "nobody asked")) == [1]


def test_a_count_has_the_time_that_is_left(clock):
    stream = _Terminal()
    with progress.shown(stream):
        for _ in progress.counted(range(10), "answering", unit="rows"):
            clock[0] += 3
    last = stream.getvalue().split("\r\033[K")[-2]
    assert "[##################..] answering: 9 of 10 rows, 0 a second, 3 s left" == last
    assert stream.getvalue().endswith("\r\033[K"), "the line goes away"


def test_a_stage_tells_the_time_left_by_the_share_that_is_done(clock):
    stream = _Terminal()
    with progress.shown(stream):
        clock[0] += 30
        progress.stage("comparing answers", 0.25)
        assert stream.getvalue().endswith("comparing answers, 1 min 30 s left")


def test_of_a_count_without_an_end_only_the_count_is_told(clock):
    stream = _Terminal()
    with progress.shown(stream):
        for _ in progress.counted(iter("abc"), "reading"):
            clock[0] += 1
    assert "reading: 2" in stream.getvalue() and "left" not in stream.getvalue()


def test_a_line_is_no_wider_than_the_terminal_and_is_not_written_too_often(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    stream = _Terminal()
    with progress.shown(stream):
        for _ in progress.counted(range(1000), "a long name of what is done"):
            clock[0] += 0.01
    shown = [line for line in stream.getvalue().split("\r\033[K") if line]
    assert all(len(line) < 20 for line in shown) and 10 < len(shown) < 60


def test_a_terminal_that_cannot_move_gets_nothing(clock, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    stream = _Terminal()
    with progress.shown(stream):
        progress.stage("reading")
    assert stream.getvalue() == ""
