"""Exports a TensorFlow 1 model as a SavedModel for TensorFlow 2, Keras 3 and TensorFlow Serving.

Look at what is in a checkpoint, then export it:

  python -m export_v1 --checkpoint=model.ckpt-3 --list
  python -m export_v1 --checkpoint=model.ckpt-3 --export_dir=export/1 --input=x=images:0 --output=y=probs:0 \\
      --freeze=is_training:0=false

With no --input and --output the tool chooses, says what and why, or stops and lists the candidates.
"""

import sys

from absl import app
from absl import flags as absl_flags

from export_v1 import errors
from export_v1.console import flags, running, supervise
from export_v1.request import Request

_REQUEST = flags.table(Request)
_EXPORT_DIR = flags.Flag(
    "export_dir", "string", "Where it is written", "Folder to write; appears whole or not at all.", "DIR"
)
_LIST = flags.Flag(
    "list",
    "pattern",
    "To look first",
    "Print candidates for --input, --output and --freeze, and the variables; with a regular expression, every tensor "
    "and variable whose name it is found in.",
    "PATTERN",
)
FLAGS = (*_REQUEST.values(), _EXPORT_DIR, _LIST)
for _flag in FLAGS:
    flags.define(_flag)


def _run(argv: list[str]) -> int:
    if len(argv) > 1:
        raise errors.ExportError(f"{argv[1]!r} is not a flag.\n  Write flags as --name=value; --help lists them.")
    request = Request(**{name: flags.value(flag) for name, flag in _REQUEST.items()})
    request.source_kind  # noqa: B018 - raises where the flags contradict each other
    export_dir, listing = flags.value(_EXPORT_DIR), flags.value(_LIST)
    if listing is None and not export_dir:
        raise errors.ExportError("No --export_dir is given.\n  Pass --export_dir=DIR, or --list to look first.")
    running.import_tensorflow(_is_verbose())
    from export_v1 import pipeline

    text = pipeline.export(request, export_dir).text() if listing is None else pipeline.listing(request, listing)
    print(text, flush=True)
    return 0


def _is_verbose() -> bool:
    return absl_flags.FLAGS.verbosity > 0


def main(argv: list[str]) -> int:
    """Runs the command; returns its exit code, 1 after an error the user can put right."""
    return running.run(lambda: _run(argv), "export_v1", verbose=_is_verbose(), prefix="export_v1: ")


def _supervised(argv: list[str]) -> int:
    from export_v1.artifact import destination

    def clear() -> None:
        export_dir = flags.value(_EXPORT_DIR)
        if export_dir:
            destination.sweep_for(export_dir, absl_flags.FLAGS.versioned)

    return supervise.supervised(lambda: main(argv), "export_v1", clear)


def _parsed(argv: list[str]) -> list[str]:
    """Returns what is left of the command line; prints the help, grouped by task, where it is asked for."""
    if {"--help", "-help", "-h"} & set(argv[1 : argv.index("--") if "--" in argv else None]):
        print(f"{__doc__}{flags.help_text(FLAGS)}\n\nOther flags: --verbosity=1 shows tracebacks and TensorFlow's log.")
        # As absl's programs do.
        sys.exit(1)
    return app.parse_flags_with_usage(argv)


def run_main() -> None:
    """Entry point of `python -m export_v1` and of the console script."""
    app.run(_supervised, flags_parser=_parsed)


if __name__ == "__main__":
    run_main()
