"""Help in one style for every command: what it does, examples, then the flags grouped by task, as wide as the terminal."""

import dataclasses
import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence

from export_v1.console import colour

# Wider lines are hard to read, whatever the terminal has.
_WIDEST = 100
_INDENT = "  "
_EXAMPLE = "    "


@dataclasses.dataclass(frozen=True)
class Entry:
    """A flag, an argument or a command: how it is typed, and what it means."""

    usage: str
    meaning: str


def width() -> int:
    """Returns how many columns help has: those of the terminal, 80 where there is none."""
    return max(20, min(shutil.get_terminal_size((80, 24)).columns, _WIDEST))


def text(
    usage: str, description: str, examples: Sequence[str], groups: Mapping[str, Sequence[Entry]], columns: int = 0
) -> str:
    """Returns help: usage, description, examples, entries by group.

    Nothing but a word that is wider than the page goes beyond it. An example that is broken can be pasted as it stands.

    Args:
        usage: the command with its arguments.
        description: paragraphs, with an empty line between them.
        examples: commands to paste.
        groups: heading -> entries.
        columns: of the page; 0: of the terminal.
    """
    columns = columns or width()
    lines = [*_command("Usage: " + usage, "", columns)]
    for paragraph in description.strip().split("\n\n"):
        lines += ["", *_wrapped(" ".join(paragraph.split()), "", columns)]
    if examples:
        lines += ["", "Examples:"]
        for example in examples:
            lines += _command(example, _EXAMPLE, columns)
    for heading, entries in groups.items():
        lines += ["", f"{heading}:"]
        for entry in entries:
            lines += _command(entry.usage, _INDENT, columns, mark="")
            lines += _wrapped(_sentence(entry.meaning), _INDENT + _EXAMPLE, columns)
    return "\n".join(lines)


def show(page: str) -> None:
    """Prints help with its headings bold, where the terminal shows that; a reader who has seen enough may go away."""
    lines = [
        colour.bold(line, sys.stdout) if line.endswith(":") and not line.startswith(" ") else line
        for line in page.rstrip("\n").split("\n")
    ]
    try:
        print("\n".join(lines), flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _wrapped(words: str, indent: str, columns: int) -> list[str]:
    return textwrap.wrap(
        words, columns, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _command(words: str, indent: str, columns: int, mark: str = " \\") -> list[str]:
    """Returns a command on as many lines as it needs; a shell takes the lines as one."""
    lines = textwrap.wrap(
        words,
        columns - len(mark),
        initial_indent=indent,
        subsequent_indent=indent + _EXAMPLE,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line + mark for line in lines[:-1]] + lines[-1:]


def _sentence(meaning: str) -> str:
    whole = meaning[:1].upper() + meaning[1:]
    return whole if whole.endswith((".", "…", "?")) else whole + "."
