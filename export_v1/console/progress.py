"""How far a command is, and how long it will take: one line of the terminal, gone when the work is done.

Where standard error is no terminal, and in a process whose command has not asked for it, nothing is shown.
"""

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TextIO, TypeVar

Item = TypeVar("Item")
# So often the line is written anew.
_SECONDS = 0.2
_BAR = 20


class _Line:
    def __init__(self, stream: TextIO):
        self._stream, self._start, self._last = stream, time.monotonic(), 0.0

    def elapsed(self) -> float:
        return time.monotonic() - self._start

    def show(self, what: str, share: float | None, left: float | None, at_once: bool = False) -> None:
        now = time.monotonic()
        if not at_once and now - self._last < _SECONDS:
            return
        self._last = now
        bar = "" if share is None else f"[{'#' * int(share * _BAR):.<{_BAR}}] "
        remaining = "" if left is None else f", {_duration(left)} left"
        columns = shutil.get_terminal_size((80, 24)).columns
        self._stream.write(f"\r\033[K{(bar + what + remaining)[: columns - 1]}")
        self._stream.flush()

    def clear(self) -> None:
        self._stream.write("\r\033[K")
        self._stream.flush()


_current: _Line | None = None


@contextlib.contextmanager
def shown(stream: TextIO | None = None) -> Iterator[None]:
    """Shows in the block how far the work is, if the stream, standard error by default, is a terminal."""
    global _current
    stream = stream or sys.stderr
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        yield
        return
    before, _current = _current, _Line(stream)
    try:
        yield
    finally:
        _current.clear()
        _current = before


def stage(what: str, done: float | None = None) -> None:
    """Says what is being done from now on.

    Args:
        what: is done, such as "comparing answers".
        done: which share of all the work, from 0 to 1, lies behind by experience; the time left follows from it.
    """
    if _current is None:
        return
    left = _current.elapsed() * (1 - done) / done if done and _current.elapsed() > 1 else None
    _current.show(what, done, left, at_once=True)


def counted(items: Iterable[Item], what: str, total: int | None = None, unit: str = "") -> Iterator[Item]:
    """Yields items, and says how many of them are done and how long the others will take.

    Args:
        items: to be worked on, one after another.
        what: is done with them.
        total: how many there are, where `items` does not tell.
        unit: what they are called; "" for nothing.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    start, count = time.monotonic(), 0
    for item in items:
        count_up(what, count, total, time.monotonic() - start, unit)
        yield item
        count += 1


def count_up(what: str, count: int, total: int | None, seconds: float, unit: str = "") -> None:
    """Says how many of `total` are done after so many seconds."""
    if _current is None:
        return
    of = f"{count:,} of {total:,}" if total else f"{count:,}"
    rate = f", {count / seconds:,.0f} a second" if count and seconds > 1 and unit else ""
    left = seconds / count * (total - count) if total and count and seconds > 1 else None
    _current.show(f"{what}: {of}{f' {unit}' if unit else ''}{rate}", count / total if total else None, left)


def _duration(seconds: float) -> str:
    """Returns seconds as people say them.

    >>> _duration(8.4), _duration(75), _duration(7260)
    ('8 s', '1 min 15 s', '2 h 1 min')
    """
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
