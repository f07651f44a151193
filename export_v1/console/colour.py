"""Colour, where a terminal shows it and nobody asked for none (NO_COLOR, https://no-color.org)."""

import os
import re
from typing import TextIO

_RED, _GREEN, _YELLOW, _BOLD, _PLAIN = "\033[31m", "\033[32m", "\033[33m", "\033[1m", "\033[0m"
# What is painted in a report: the words that say how something turned out, and nothing that a name could be taken for.
_RULES = (
    (re.compile(r"^ *[A-Z][^:]*\(\d+\):$"), _BOLD),
    (re.compile(r"\bDIFFERENT\b|\bNOT equal\b|\bCHANGED\b"), _BOLD + _RED),
    (re.compile(r"(?<=: )equal\b(?=[,;:]|$)|(?<=\] )equal\b"), _GREEN),
    (re.compile(r"(?<=: )not proven\b|^\s*not (proven|compared)\b|^\s*(warning|note)(?=:)"), _YELLOW),
)


def is_shown(stream: TextIO) -> bool:
    """Returns whether a stream shows colour."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


# Control characters, also those that turn the direction of text round.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Returns a text with the control characters in it written out, but for the ends of lines and tabs.

    What a stranger wrote into a model stands in it: a terminal would do what these say.

    >>> visible("w\\x1b[2J")
    'w\\\\x1b[2J'
    """
    return CONTROL.sub(
        lambda match: match[0] if match[0] in "\n\t" else match[0].encode("unicode_escape").decode(), text
    )


def report(text: str, stream: TextIO) -> str:
    """Returns lines of a report as `visible`, with verdicts and warnings in colour, where the stream shows it."""
    text = visible(text)
    if not is_shown(stream):
        return text
    return "\n".join(_line(line) for line in text.split("\n"))


def error(text: str, stream: TextIO) -> str:
    """Returns an error message as `visible`, with its first line in red, where the stream shows it."""
    text = visible(text)
    if not is_shown(stream):
        return text
    first, rest = (*text.split("\n", 1), "")[:2]
    return f"{_RED}{first}{_PLAIN}" + (f"\n{rest}" if rest else "")


def bold(text: str, stream: TextIO) -> str:
    """Returns text in bold, where the stream shows it."""
    return f"{_BOLD}{text}{_PLAIN}" if is_shown(stream) else text


def _line(line: str) -> str:
    for pattern, style in _RULES:
        line = pattern.sub(rf"{style}\g<0>{_PLAIN}", line)
    return line
