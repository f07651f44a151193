"""`verify`: replays the answers that step 1 recorded."""

import argparse

from load_v2.commands import allowing


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Declares the flags of `verify`."""
    parser.add_argument("dir", metavar="DIR", help="--export_dir of step 1")
    allowing.add_flag(parser)


def run(args: argparse.Namespace) -> int:
    """Prints one line for each finding, the verdict last; returns 1 where something is different, else 0."""
    from export_v1.format.comparison import Verdict
    from load_v2 import verification

    report = verification.verify(args.dir, args.allow_ops)
    for line in report.lines():
        print(line)
    return 1 if report.verdict is Verdict.DIFFERENT else 0
