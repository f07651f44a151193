"""What was chosen is told also when the command then stops: often a choice is the reason."""

import contextlib
from collections.abc import Iterator

from export_v1 import errors
from export_v1.interface.types import Choice

_HEADING = "  Chosen before this:"


@contextlib.contextmanager
def telling() -> Iterator[list[Choice]]:
    """Gives a list for choices; an ExportError raised meanwhile says them, too, one line each.

    An error that says choices already, from further inside, stays as it is.
    """
    choices: list[Choice] = []
    try:
        yield choices
    except errors.ExportError as error:
        text = str(error)
        if not choices or _HEADING in text:
            raise
        lines = [f"    {choice.what} ({choice.why})" for choice in choices]
        raise type(error)("\n".join([text, _HEADING, *dict.fromkeys(lines)])) from error
