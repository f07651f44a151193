"""`verify`: replays the answers that step 1 recorded."""

import argparse
import json
import sys

from export_v1.console import colour
from load_v2.commands import allowing
from load_v2.commands.parsing import Parser

DESCRIPTION = """
Replays the answers of the original graph that step 1 recorded, and compares. Exit code 1 when something is
different, else 0.
"""
EXAMPLES = (
    "python -m load_v2 verify export/1",
    "python -m load_v2 verify model.keras",
)


def add_flags(parser: Parser) -> None:
    """Declares the flags of `verify`."""
    parser.add_export("--export_dir of step 1, or a .keras archive")
    parser.add_json()
    allowing.add_flag(parser)


def run(args: argparse.Namespace) -> int:
    """Prints one line for each finding, the verdict last; returns 1 where something is different, else 0."""
    from export_v1.format.comparison import Verdict
    from load_v2 import verification

    report = verification.verify(args.dir, args.allow_ops)
    print(json.dumps(report.to_json(), indent=1) if args.json else colour.report(str(report), sys.stdout))
    return 1 if report.verdict is Verdict.DIFFERENT else 0
