"""The flag `--allow_ops` of the commands that run a graph."""

import argparse

from load_v2.commands.parsing import Parser


def add_flag(parser: Parser) -> None:
    """Declares `--allow_ops`, which reads as that of step 1 does: NAME,…; it may be repeated, too."""
    parser.add_argument("--allow_ops", group="Trust", action=_Names, default=[], metavar="NAME,…",
                        help="let ops run that could touch files, network or Python; repeatable; default: none")  # fmt: skip


class _Names(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        names = [name for name in (text.strip() for text in values.split(",")) if name]
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), *names])
