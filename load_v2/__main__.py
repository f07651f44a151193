"""Shows, checks, runs and converts what step 1 exported.

    python -m load_v2 show DIR
    python -m load_v2 verify DIR
    python -m load_v2 predict DIR --inputs=IN.npz --outputs=OUT.npz
    python -m load_v2 to_keras DIR --keras=MODEL.keras
    python -m load_v2 rebuild DIR --code=MODEL.py --weights=MODEL.weights.h5
    python -m load_v2 port --checkpoint=PREFIX --model=MODULE:FUNCTION --rules=RULES.toml --weights=OUT.weights.h5

`python -m load_v2 COMMAND --help` tells the flags of a command.
"""

import argparse
import importlib

from absl import app, flags
from absl.flags import argparse_flags

from export_v1.console import running, supervise

# Command -> module. A module is imported when its command is asked for; only `run` may import TensorFlow.
_COMMANDS = {
    "show": ("load_v2.commands.show", "signatures, weights, and what step 1 did"),
    "verify": ("load_v2.commands.verify", "replay the recorded answers; exit 0 when equal, 1 when not"),
    "report": ("load_v2.commands.report", "write a page to look at: graph, choices, weights, proof"),
    "predict": ("load_v2.commands.predict", "run a signature over a file, batch by batch"),
    "to_keras": ("load_v2.commands.to_keras", "write a .keras archive that needs the export no more"),
    "rebuild": ("load_v2.commands.rebuild", "write the graph as code of Keras's own layers, and its weights"),
    "port": ("load_v2.commands.port", "fill a Keras model with a checkpoint's weights, by rules"),
}


class _Parser(argparse_flags.ArgumentParser):
    """Exits 1 on a bad flag, as absl programs do, and says what was wrong before the usage."""

    def error(self, message):
        self.exit(1, f"{self.prog}: {message}\n{self.format_usage()}")


def parse(argv: list[str]) -> argparse.Namespace:
    """Returns the parsed command line; `argv[0]` is the program."""
    parser = _Parser(
        prog="python -m load_v2", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    asked = next((word for word in argv[1:] if not word.startswith("-")), None)
    for name, (module, summary) in _COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary, inherited_absl_flags=None)
        if name == asked:
            home = importlib.import_module(module)
            home.add_flags(command)
            command.add_argument("--verbosity", type=int, default=0, help="1 shows where an error came from")
            command.set_defaults(run=home.run)
    return parser.parse_args(argv[1:])


def main(args: argparse.Namespace) -> int:
    """Runs one command and returns its exit code; what the user can put right is one message and exit code 1."""
    verbose = args.verbosity > 0 or flags.FLAGS.verbosity > 0
    running.import_tensorflow(verbose)
    return running.run(lambda: args.run(args), f"load_v2 {args.command}", verbose=verbose, interrupted=1)


def run_main() -> None:
    """Entry point of `python -m load_v2`."""
    app.run(lambda args: supervise.supervised(lambda: main(args), "load_v2"), flags_parser=parse)


if __name__ == "__main__":
    run_main()
