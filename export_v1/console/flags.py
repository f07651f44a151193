"""Flags as fields: a dataclass that says of each field which flag sets it is the one table of a command's flags.

From it come the absl flags, `--help` in groups, and the table in the README.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from export_v1 import errors
from export_v1.console import helping


@dataclasses.dataclass(frozen=True)
class Flag:
    """One flag.

    Attributes:
        name: without the dashes.
        kind: "string", "bool", "list" (NAME,…), "multi" (repeatable), "pairs" (repeatable KEY=VALUE), "sizes", or
            "pattern" (a regular expression, "" where the flag is given without a value).
        group: heading under which `--help` and the README list it.
        help: what it means, with its form and what happens without it.
        form: how its value is written, such as "KEY=TENSOR"; "" for a bool.
        example: a value for messages about a malformed one.
    """

    name: str
    kind: str
    group: str
    help: str
    form: str = ""
    example: str = ""

    @property
    def usage(self) -> str:
        """The flag as it is typed: "--input=KEY=TENSOR"."""
        if self.kind in ("sizes", "pattern"):
            return f"--{self.name}[={self.form}]"
        return f"--{self.name}={self.form}" if self.form else f"--{self.name}"


_EMPTY: dict[str, Callable[[], Any]] = {"pairs": dict, "list": tuple, "multi": tuple, "sizes": tuple}


def field(kind: str, group: str, text: str, form: str = "", *, name: str = "", example: str = "") -> Any:
    """Returns a dataclass field that a flag sets; the flag has the field's name unless `name` is given."""
    metadata = {"flag": Flag(name, kind, group, text, form, example)}
    if kind in _EMPTY:
        return dataclasses.field(default_factory=_EMPTY[kind], metadata=metadata)
    return dataclasses.field(default=False if kind == "bool" else None, metadata=metadata)


def table(described: type) -> dict[str, Flag]:
    """Returns field name -> flag of a dataclass made of such fields, in their order."""
    fields = dataclasses.fields(described)
    flags = {field.name: field.metadata["flag"] for field in fields}
    return {key: flag if flag.name else dataclasses.replace(flag, name=key) for key, flag in flags.items()}


class _Size(flags.ArgumentParser):
    """A size, or nothing: a flag without a value reads "true"."""

    def __init__(self, flag: Flag):
        self._flag = flag

    def parse(self, argument):
        if argument == "true":
            return 0
        if not str(argument).isdigit() or not int(argument):
            name = self._flag.name
            raise ValueError(f"{argument!r} is not a batch size; write --{name}=8, or --{name} for the sample's own")
        return int(argument)

    def flag_type(self):
        return "batch size"


class _Pattern(flags.ArgumentParser):
    """A regular expression, or nothing: a flag without a value reads "true"."""

    def __init__(self, flag: Flag):
        self._flag = flag

    def parse(self, argument):
        text = "" if argument == "true" else str(argument)
        try:
            re.compile(text)
        except re.error as error:
            raise ValueError(f"{text!r} is not a regular expression: {error}") from error
        return text

    def flag_type(self):
        return "regular expression"


def define(flag: Flag) -> None:
    """Defines an absl flag."""
    text = f"{flag.form}: {flag.help}" if flag.kind in ("pairs", "list", "multi") else flag.help
    if flag.kind == "bool":
        flags.DEFINE_bool(flag.name, False, text)
    elif flag.kind == "string":
        flags.DEFINE_string(flag.name, None, text)
    elif flag.kind == "list":
        flags.DEFINE_list(flag.name, [], text)
    elif flag.kind == "sizes":
        flags.DEFINE_multi(_Size(flag), flags.ArgumentSerializer(), flag.name, [], text)
        # Without a value, too.
        flags.FLAGS[flag.name].boolean = True
    elif flag.kind == "pattern":
        flags.DEFINE(_Pattern(flag), flag.name, None, text, serializer=flags.ArgumentSerializer())
        flags.FLAGS[flag.name].boolean = True
    else:
        flags.DEFINE_multi_string(flag.name, [], text)


def value(flag: Flag) -> Any:
    """Returns what a flag was set to, as the field takes it.

    Raises:
        ExportError: a KEY=VALUE flag is malformed, or names a key twice.
    """
    given = flags.FLAGS[flag.name].value
    if flag.kind == "pairs":
        return _pairs(flag, given)
    return given


def _pairs(flag: Flag, given: Sequence[str]) -> dict[str, str]:
    """Splits KEY=VALUE flags at the first "="; keys have to differ."""
    pairs: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not (key and equals and value):
            raise errors.ExportError(f"--{flag.name}={text} is malformed.\n  Write it as --{flag.name}={flag.example}.")
        if key in pairs:
            raise errors.ExportError(f"--{flag.name} names {key!r} twice: {pairs[key]!r} and {value!r}.")
        pairs[key] = value
    return pairs


def grouped(listed: Sequence[Flag]) -> dict[str, list[Flag]]:
    """Returns heading -> its flags, in the order of the table."""
    groups: dict[str, list[Flag]] = {}
    for flag in listed:
        groups.setdefault(flag.group, []).append(flag)
    return groups


def entries(listed: Sequence[Flag]) -> dict[str, list[helping.Entry]]:
    """Returns the flags of a command by group, as its help has them."""
    return {
        heading: [helping.Entry(flag.usage, flag.help) for flag in members]
        for heading, members in grouped(listed).items()
    }


def markdown(listed: Sequence[Flag]) -> str:
    """Returns the flags of a command as the README's tables, one for each group."""
    parts = []
    for heading, members in grouped(listed).items():
        rows = [f"| `{flag.usage}` | {flag.help} |" for flag in members]
        parts.append("\n".join([f"**{heading}**", "", "| flag | meaning |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"
