"""`python -m load_v2`: shows, checks, runs and converts what step 1 exported."""

import argparse
import importlib
from typing import NamedTuple

from absl import app, flags

from export_v1.console import progress, running, supervise
from load_v2.commands.parsing import Parser

_DESCRIPTION = """
Shows, checks, runs and converts what step 1, python -m export_v1, exported.

python -m load_v2 COMMAND --help lists the flags of a command.
"""
_EXAMPLES = (
    "python -m load_v2 show export/1",
    "python -m load_v2 verify export/1",
    "python -m load_v2 report export/1 --html=report.html",
    "python -m load_v2 predict export/1 --inputs=in.npz --outputs=out.npz",
    "python -m load_v2 to_keras export/1 --keras=model.keras",
)


class _Command(NamedTuple):
    """A command: the heading it stands under, and what it does. Its module is imported when it is asked for."""

    group: str
    summary: str


_LOOK, _USE, _CONVERT = "To look and to check", "To use it", "To turn it into plain Keras"
# Only `run` of a command's module may import TensorFlow.
_COMMANDS = {
    "show": _Command(_LOOK, "print signatures, weights, and what step 1 did"),
    "verify": _Command(_LOOK, "replay the recorded answers; exit code 1 when something is different, else 0"),
    "report": _Command(_LOOK, "write a page to look at: graph, choices, weights, proof"),
    "predict": _Command(_USE, "run a signature over a file, batch by batch"),
    "to_keras": _Command(_CONVERT, "write a .keras archive that no longer needs the export"),
    "rebuild": _Command(_CONVERT, "write the graph as code of Keras's own layers, and its weights"),
    "port": _Command(_CONVERT, "fill a Keras model of yours with a checkpoint's weights, by rules"),
}


def parse(argv: list[str]) -> argparse.Namespace:
    """Returns the parsed command line; `argv[0]` is the program."""
    if not flags.FLAGS.is_parsed():
        # absl's own flags keep their defaults.
        flags.FLAGS(argv[:1])
    parser = Parser("python -m load_v2", _DESCRIPTION, _EXAMPLES)
    groups: dict[str, dict[str, str]] = {}
    for name, command in _COMMANDS.items():
        groups.setdefault(command.group, {})[name] = command.summary
    commands = parser.add_commands(groups, dest="command", metavar="COMMAND", required=True)
    parser.finish()
    speaking = parser
    requested = next((word for word in argv[1:] if not word.startswith("-")), None)
    for name in _COMMANDS:
        if name != requested:
            commands.add_parser(name, prog=f"python -m load_v2 {name}", description="")
            continue
        home = importlib.import_module(f"load_v2.commands.{name}")
        own = commands.add_parser(
            name, prog=f"python -m load_v2 {name}", description=home.DESCRIPTION, examples=home.EXAMPLES
        )
        home.add_flags(own)
        own.finish()
        own.set_defaults(run=home.run)
        speaking = own
    args, unknown = parser.parse_known_args(argv[1:], argparse.Namespace(verbosity=0))
    if unknown:
        # Said by the command's own parser, which knows its flags.
        speaking.error(f"unrecognized arguments: {' '.join(unknown)}")
    return args


def main(args: argparse.Namespace) -> int:
    """Runs one command and returns its exit code; what the user can put right is one message and exit code 1."""
    verbose = args.verbosity > 0
    running.import_tensorflow(verbose)

    def work() -> int:
        with progress.shown():
            return args.run(args)

    return running.run(work, f"load_v2 {args.command}", verbose=verbose, interrupted=1)


def run_main() -> None:
    """Entry point of `python -m load_v2`."""
    app.run(lambda args: supervise.supervised(lambda: main(args), "load_v2"), flags_parser=parse)


if __name__ == "__main__":
    run_main()
