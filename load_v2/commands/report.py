"""`report`: an export as one HTML page to look at."""

import argparse
import os
from collections.abc import Collection

from load_v2.commands import allowing
from load_v2.commands.parsing import Parser

DESCRIPTION = """
Writes one HTML page about an export or a .keras archive: the way from the training graph, the graph as a picture,
choices, weights, proof, limits. It needs nothing else, and no network.
"""
EXAMPLES = (
    "python -m load_v2 report export/1 --html=report.html",
    "python -m load_v2 report model.keras --html=report.html",
)


def add_flags(parser: Parser) -> None:
    """Declares the flags of `report`."""
    parser.add_export("--export_dir of step 1, another SavedModel, or a .keras archive")
    parser.add_argument(
        "--layer", group="What is read", default="", metavar="NAME",
        help="layer of the archive that the page is about; default: the only one",
    )  # fmt: skip
    parser.add_argument(
        "--html",
        group="What is written",
        required=True,
        metavar="REPORT.html",
        help="page to write; it must end in .html",
    )
    parser.add_argument("--overwrite", group="What is written", action="store_true", help="replace an existing page")
    allowing.add_flag(parser)


def run(args: argparse.Namespace) -> int:
    """Writes the page; returns 0, whatever it says about the export."""
    from load_v2.errors import LoadError

    if not args.html.endswith(".html"):
        raise LoadError(f"--html={args.html} does not end in .html.\n  Pass --html=report.html, for instance.")
    if os.path.lexists(args.html) and not args.overwrite:
        raise LoadError(f"{args.html!r} already exists.\n  Pass --overwrite to replace it.")
    conclusion = write(args.dir, args.html, args.allow_ops, args.layer)
    print(f"{args.html}: {os.path.getsize(args.html):,} bytes, needs no network. {conclusion}")
    return 0


def write(path: str, html: str, allow_ops: Collection[str] = (), layer: str = "") -> str:
    """Writes a page about an export, or a layer in a .keras archive; returns what was proven, in words.

    Guaranteed: the page appears whole or not at all, and loads nothing from anywhere else.

    Raises:
        LoadError: it cannot be read, or the page cannot be written.
    """
    from load_v2.page import document, facts
    from load_v2.scoring import atomic

    gathered = facts.gather(path, allow_ops, layer)
    content = document.text(gathered).encode()
    with atomic.published(html, ".html", len(content)) as part, open(part, "wb") as stream:
        stream.write(content)
    return f"{gathered.verdict}: {gathered.conclusion}"
