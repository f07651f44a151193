"""`rebuild`: an export's graph as code of Keras's own layers, and its weights."""

import argparse
import dataclasses
import os
import sys

from export_v1.console import colour, progress
from load_v2.commands.parsing import Parser

DESCRIPTION = """
Writes the graph as code of Keras's own layers, and its weights; proven on each installed backend.
"""
EXAMPLES = (
    "python -m load_v2 rebuild export/1 --dry_run",
    "python -m load_v2 rebuild export/1 --code=model.py --weights=model.weights.h5",
)


def add_flags(parser: Parser) -> None:
    """Declares the flags of `rebuild`."""
    parser.add_argument(
        "--rules",
        group="What is written",
        metavar="MODEL.toml",
        help="rules to write, too, by which `port` takes another checkpoint into the code",
    )
    parser.add_export()
    parser.add_argument("--code", group="What is written", metavar="MODEL.py", help="Python file to write")
    parser.add_argument(
        "--weights",
        group="What is written",
        metavar="MODEL.weights.h5",
        help="weights file to write, for build().load_weights",
    )
    parser.add_argument(
        "--keras", group="What is written", metavar="MODEL.keras", help="archive to write, too: code and weights in one"
    )
    for name, what in (
        ("front", "before the model, makes its inputs of strings"),
        ("back", "behind it, makes strings, draws or decodes"),
    ):
        parser.add_argument(
            f"--{name}",
            group="What is written",
            metavar=f"{name.upper()}.keras",
            help=f"archive of what, {what}, to write, too: a SignatureLayer",
        )
    parser.add_signature("take")
    parser.add_argument(
        "--backends",
        group="Proof",
        metavar="NAME,…",
        help="Keras backends to prove it on; default: those that are installed",
    )
    parser.add_argument(
        "--static", group="How", action="store_true", help="fix open sizes, but for the batch, to the sample's"
    )
    parser.add_argument(
        "--dry_run",
        group="What is written",
        action="store_true",
        help="print what would become of the graph; write nothing",
    )
    parser.add_argument("--overwrite", group="What is written", action="store_true", help="replace existing files")


def run(args: argparse.Namespace) -> int:
    """Writes code and weights, proven, or prints what they would be made of; returns 0.

    Raises:
        LoadError: something is refused; a dry run prints first what becomes of the rest.
    """
    from load_v2.errors import LoadError
    from load_v2.opening import backends, rebuilding, refusing

    progress.stage("reading the graph")
    chosen = backends.chosen(args.backends.split(",") if args.backends else None)
    if args.dry_run:
        surveyed = rebuilding.survey(args.dir, args.signature, args.static)
        print("\n".join(rebuilding.report(surveyed).text()))
        if surveyed.covered.refusals:
            raise refusing.error(args.dir, args.signature, surveyed.covered.refusals)
        return 0
    targets = {
        "--code": (args.code, ".py"),
        "--weights": (args.weights, ".weights.h5"),
        "--keras": (args.keras, ".keras"),
        "--rules": (args.rules, ".toml"),
        "--front": (args.front, ".keras"),
        "--back": (args.back, ".keras"),
    }
    for flag, (file, ending) in targets.items():
        if not file:
            if flag in ("--code", "--weights"):
                raise LoadError(f"{flag} is missing.\n  Pass {flag}=model{ending}, or --dry_run to look first.")
        elif not file.endswith(ending):
            raise LoadError(f"{flag}={file} does not end in {ending}.\n  Pass {flag}=model{ending}.")
        elif os.path.lexists(file) and not args.overwrite:
            raise LoadError(f"{file!r} already exists.\n  Pass --overwrite to replace it.")
    ends = {"front": args.front, "back": args.back}
    report = write(args.dir, args.code, args.weights, args.keras, args.signature, chosen, args.static, args.rules, ends)
    print(colour.report(str(report), sys.stdout))
    print(f"{args.code}: {report.lines} lines of code; {args.weights}: {os.path.getsize(args.weights):,} bytes")
    return 0


def write(
    path, code, weights, archive=None, signature="serving_default", backends=None, static=False, rules=None, ends=None
):
    """Writes code, weights and, where a name is given, archive, rules, front and back of a model; returns the report.

    Guaranteed: each file appears whole and proven, or not at all.

    Raises:
        LoadError: as `rebuild`.
    """
    from load_v2.commands import to_keras
    from load_v2.errors import LoadError
    from load_v2.opening import rebuilding
    from load_v2.scoring import atomic

    rebuilt = rebuilding.rebuild(path, signature, backends, static)
    written = {name: file for name, file in (ends or {}).items() if file}
    if missing_ends := [name for name in written if getattr(rebuilt, name) is None]:
        raise LoadError(
            f"There is no {missing_ends[0]} to write: the model has all of signature {signature!r} on that side.\n"
            f"  Leave --{missing_ends[0]} out."
        )
    size = atomic.room(rebuilt.model)
    with atomic.published(weights, ".weights.h5", size) as weights_part, atomic.published(code, ".py") as code_part:
        rebuilding.write(rebuilt.source, rebuilt.model, code_part, weights_part)
    report = rebuilt.report
    if rules:
        text, missing = rebuilding.rules(rebuilt)
        with atomic.published(rules, ".toml") as part, open(part, "w", encoding="utf-8") as stream:
            stream.write(text)
        report = dataclasses.replace(report, notes=(*report.notes, *(f"no rule for {line}" for line in missing)))
    for name, file in written.items():
        to_keras.save(to_keras.functional(getattr(rebuilt, name)), file)
    if archive:
        with atomic.published(archive, ".keras", size) as part:
            rebuilt.model.save(part)
    return report
