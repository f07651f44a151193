"""`python -m export_v1`: a TensorFlow 1 model as a SavedModel for TensorFlow 2, Keras 3 and TensorFlow Serving."""

import gc
import json
import sys

from absl import app
from absl import flags as absl_flags

from export_v1 import errors
from export_v1.console import colour, flags, helping, progress, running, supervise, version
from export_v1.request import Request
from export_v1.source import kinds

_USAGE = "python -m export_v1 MODEL EXPORT_DIR [FLAGS]"
_DESCRIPTION = """
Exports a TensorFlow 1 model as a SavedModel for TensorFlow 2, Keras 3 and TensorFlow Serving.

MODEL is a checkpoint (its prefix, its folder or one of its files), a SavedModel or Hub module, or a frozen graph;
which of these it is, is seen from what is there. Or name it by one of the first flags.

Without --input and --output the inputs and outputs are chosen, and printed with the reasons; where the choice is
not clear, the command stops and lists the candidates.
"""
_EXAMPLES = (
    "python -m export_v1 model.ckpt-1000 --list",
    "python -m export_v1 model.ckpt-1000 export/1",
    "python -m export_v1 model.ckpt-1000 export/1 --input=x=images:0 --output=y=probs:0 --freeze=is_training:0=false",
)
_REQUEST = flags.table(Request)
_EXPORT_DIR = flags.Flag(
    "export_dir",
    "string",
    "Where it is written",
    "Folder to write; the same as EXPORT_DIR without a flag. It appears whole or not at all.",
    "DIR",
)
_LIST = flags.Flag(
    "list",
    "pattern",
    "To look first",
    "Print candidates for --input, --output and --freeze, and the variables; or, with a regular expression, every "
    "tensor and variable whose name has a match. Nothing is written.",
    "PATTERN",
)
_JSON = flags.Flag("json", "bool", "To look first", "Print what --list finds as JSON. Default: as lines.")
FLAGS = (*_REQUEST.values(), _EXPORT_DIR, _LIST, _JSON)
for _flag in FLAGS:
    flags.define(_flag)
_OTHERS = (
    helping.Entry("--verbosity=1", "Show tracebacks and TensorFlow's log."),
    helping.Entry("--version", "Print versions, and end."),
    helping.Entry("--help", "Print this, and end."),
)
# A graph is many small objects, hardly one of which is garbage before the end. Python would look after every 700 of them.
_COLLECTED_AFTER = 50_000
_HELP = {"--help", "-help", "-h", "--helpshort", "--helpfull", "-helpshort", "-helpfull", "--helpxml"}


def _run(argv: list[str]) -> int:
    given, export_dir = _named(argv[1:])
    request = Request(**given)
    request.source_kind  # noqa: B018 - raises where the flags contradict each other
    listing, as_json = flags.value(_LIST), flags.value(_JSON)
    if listing is None and not export_dir:
        raise errors.ExportError(
            "No folder to write is given.\n  Add it behind the model, or pass --export_dir=DIR; or pass --list to look first."
        )
    if as_json and (listing is None or listing):
        raise errors.ExportError("--json goes with --list alone, without a pattern.\n  Pass --list --json.")
    running.import_tensorflow(_is_verbose(), keras=False)
    gc.set_threshold(_COLLECTED_AFTER)
    from export_v1 import pipeline

    with progress.shown():
        if listing is None:
            text = pipeline.export(request, export_dir).text()
        elif as_json:
            text = json.dumps(pipeline.listed(request), indent=1)
        else:
            text = pipeline.listing(request, listing)
    print(colour.report(text, sys.stdout), flush=True)
    return 0


def _named(arguments: list[str]) -> tuple[dict, str]:
    """Returns the fields of the request and the folder to write, as flags say, or arguments without a flag.

    Raises:
        ExportError: there are too many arguments, or something is named twice.
    """
    given = {name: flags.value(flag) for name, flag in _REQUEST.items()}
    export_dir = flags.value(_EXPORT_DIR)
    if len(arguments) > 2:
        raise errors.ExportError(
            f"{arguments[2]!r} is one argument too many: MODEL and EXPORT_DIR are {arguments[0]!r} and {arguments[1]!r}.\n"
            "  Write flags as --name=value; --help lists them."
        )
    named = [flag for flag in ("checkpoint", "saved_model", "graph_def") if given[flag]]
    if arguments and named and len(arguments) == 1 and not export_dir:
        # The model has a flag, so what is left is where it goes.
        return given, arguments[0]
    if arguments:
        # With --builder, what has the weights.
        flag = "checkpoint" if given["builder"] else kinds.flag_of(arguments[0])
        if named:
            raise errors.ExportError(
                f"Two models are given: {arguments[0]!r}, and --{named[0]}={given[named[0]]}.\n  Remove one of them."
            )
        given[flag] = arguments[0]
    if len(arguments) == 2:
        if export_dir:
            raise errors.ExportError(
                f"Two folders to write are given: {arguments[1]!r}, and --export_dir={export_dir}.\n  Remove one of them."
            )
        export_dir = arguments[1]
    return given, export_dir


def _is_verbose() -> bool:
    return absl_flags.FLAGS.verbosity > 0


def main(argv: list[str]) -> int:
    """Runs the command; returns its exit code, 1 after an error the user can put right."""
    return running.run(lambda: _run(argv), "export_v1", verbose=_is_verbose(), prefix="export_v1: ")


def _supervised(argv: list[str]) -> int:
    from export_v1.artifact import destination

    def clear() -> None:
        try:
            _, export_dir = _named(argv[1:])
        except errors.UserError:
            return
        if export_dir:
            destination.sweep_for(export_dir, absl_flags.FLAGS.versioned)

    return supervise.supervised(lambda: main(argv), "export_v1", clear)


def help_text(columns: int = 0) -> str:
    """Returns what `--help` prints, wrapped at so many columns; 0: at those of the terminal."""
    groups = {**flags.entries(FLAGS), "Other flags": _OTHERS}
    return helping.text(_USAGE, _DESCRIPTION, _EXAMPLES, groups, columns)


def _parsed(argv: list[str]) -> list[str]:
    """Returns what is left of the command line; prints help or version where they are asked for."""
    options = set(argv[1 : argv.index("--") if "--" in argv else None])
    if options & _HELP:
        helping.show(help_text())
        sys.exit(0)
    if "--version" in options:
        helping.show(version.text())
        sys.exit(0)
    try:
        return absl_flags.FLAGS(argv)
    except absl_flags.Error as error:
        print(colour.error(f"export_v1: {_wrong_flag(error)}", sys.stderr), file=sys.stderr)
        sys.exit(1)


def _wrong_flag(error: absl_flags.Error) -> str:
    if not isinstance(error, absl_flags.UnrecognizedFlagError):
        return f"{error}\n  --help lists the flags."
    near = errors.closest(error.flagname, [flag.name for flag in FLAGS])
    hint = f"  Closest: {', '.join(f'--{name}' for name in near)}.\n" if near else ""
    return f"--{error.flagname} is not a flag.\n{hint}  --help lists the flags."


def run_main() -> None:
    """Entry point of `python -m export_v1` and of the console script."""
    app.run(_supervised, flags_parser=_parsed)


if __name__ == "__main__":
    run_main()
