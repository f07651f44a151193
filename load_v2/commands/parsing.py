"""Command lines of step 2: argparse, with the help and the messages that step 1 has."""

import argparse
import difflib
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from export_v1.console import colour, helping, version

_OTHERS = "Other flags"
# Headings in the order in which a help page has them; any others stand before the last.
_ORDER = ("What is read", "How", "What is written", "What is printed", "Proof", "Trust")


class Parser(argparse.ArgumentParser):
    """A parser whose help is grouped by task; a wrong command line ends with exit code 1 and one message.

    Args:
        prog: how the command is typed.
        description: paragraphs, with an empty line between them.
        examples: commands to paste.
    """

    def __init__(self, prog: str, description: str, examples: Sequence[str] = (), **kwargs):
        # Before the constructor, which adds arguments itself.
        self._groups: dict[str, list[helping.Entry]] = {}
        self._names: list[str] = []
        super().__init__(prog=prog, description=description, add_help=False, allow_abbrev=False, **kwargs)
        self._examples = tuple(examples)

    def add_argument(self, *names: str, group: str = _OTHERS, **kwargs: Any) -> argparse.Action:
        """Declares an argument as argparse does, listed in the help under `group`."""
        action = super().add_argument(*names, **kwargs)
        self._groups.setdefault(group, []).append(helping.Entry(_usage(action), kwargs.get("help") or ""))
        self._names += action.option_strings
        return action

    def add_export(self, help: str = "--export_dir of step 1, or another SavedModel") -> None:
        """Declares DIR, the export that a command works on."""
        self.add_argument("dir", group="What is read", metavar="DIR", help=help)

    def add_signature(self, verb: str) -> None:
        """Declares `--signature`, and what is done with it: "run", or "take"."""
        text = f"signature to {verb}; default: serving_default"
        self.add_argument("--signature", group="What is read", default="serving_default", help=text)

    def add_json(self) -> None:
        """Declares `--json`."""
        text = "print all of it as JSON; default: as lines"
        self.add_argument("--json", group="What is printed", action="store_true", help=text)

    def add_commands(self, groups: dict[str, dict[str, str]], **kwargs: Any) -> Any:
        """Declares the commands: heading -> command -> what it does; returns what argparse has for them."""
        for heading, commands in groups.items():
            self._groups[heading] = [helping.Entry(name, summary) for name, summary in commands.items()]
        return super().add_subparsers(**kwargs)

    def finish(self) -> None:
        """Declares the flags that every command has, last of all."""
        add = self.add_argument
        add(
            "--verbosity",
            type=int,
            default=argparse.SUPPRESS,
            metavar="N",
            help="1 shows tracebacks and TensorFlow's log; default: 0",
        )
        add("--version", action=_Version, help="print versions, and end")
        add("--help", "-h", action=_Help, help="print this, and end")

    def format_help(self) -> str:
        # What every command has comes last.
        order = [*_ORDER, *(name for name in self._groups if name not in (*_ORDER, _OTHERS)), _OTHERS]
        groups = {name: self._groups[name] for name in order if name in self._groups}
        return helping.text(self._line(), self.description or "", self._examples, groups) + "\n"

    def format_usage(self) -> str:
        return f"usage: {self._line()}\n"

    def _line(self) -> str:
        """The command with what it needs; flags that it can do without are not in it."""
        needed = [entry.usage for entry in self._needed()]
        return " ".join([self.prog, *needed, "[FLAGS]"])

    def _needed(self) -> list[helping.Entry]:
        return [
            helping.Entry(_usage(action), "")
            for action in self._actions
            if (action.required and action.option_strings) or (not action.option_strings and action.nargs != "?")
        ]

    def error(self, message: str) -> NoReturn:
        text = f"{self.prog}: {self._explained(message)}\n"
        self.exit(1, colour.error(text, sys.stderr) + self.format_usage() + f"{self.prog} --help lists its flags.\n")

    def _explained(self, message: str) -> str:
        kind, _, rest = message.partition(": ")
        if kind == "unrecognized arguments":
            name = rest.split("=")[0].split()[0]
            near = difflib.get_close_matches(name, self._names, 3, 0.5)
            hint = f"\n  Closest: {', '.join(near)}." if near else ""
            what = "is not a flag of this command" if name.startswith("-") else "is one argument too many"
            return f"{name} {what}.{hint}"
        if kind == "the following arguments are required":
            return f"{rest} is missing." if "," not in rest else f"{rest} are missing."
        if kind == "argument COMMAND" and "invalid choice" in rest:
            name = rest.split("'")[1]
            known = [
                entry.usage for entries in self._groups.values() for entry in entries if entry.usage.isidentifier()
            ]
            near = difflib.get_close_matches(name, known, 3, 0.5)
            hint = f"\n  Closest: {', '.join(near)}." if near else ""
            return f"{name!r} is not a command.{hint}\n  Commands: {', '.join(known)}."
        if kind.startswith("argument "):
            name = kind.removeprefix("argument ").split("/")[0]
            needs = rest.startswith("expected one argument")
            return f"{name} needs a value: {self._form(name)}." if needs else f"{name}={rest}"
        return message

    def _form(self, name: str) -> str:
        return next(_usage(action) for action in self._actions if name in action.option_strings)


def _usage(action: argparse.Action) -> str:
    form = action.metavar or (action.dest.upper() if action.nargs != 0 else "")
    if not action.option_strings:
        return str(form)
    name = action.option_strings[0]
    return name if action.nargs == 0 else f"{name}={form}"


class _Help(argparse.Action):
    def __init__(self, option_strings, dest, **kwargs):
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, **kwargs)

    def __call__(self, parser, namespace, values, option_string=None):
        helping.show(parser.format_help())
        parser.exit()


class _Version(_Help):
    def __call__(self, parser, namespace, values, option_string=None):
        helping.show(version.text())
        parser.exit()


def batch_size(text: str) -> int:
    """Returns the value of --batch_size.

    Raises:
        ArgumentTypeError: it is no whole number above 0.
    """
    value = int(text) if text.lstrip("-").isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number; for example --batch_size=256")
    return value
