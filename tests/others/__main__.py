"""Models of other people through both steps; prints the table of tests/README.md.

    python -m tests.others FOLDER…

Each folder is a case, or holds cases; what a case is stands in `tests/others/judging.py`. No case is in this project: the
models belong to others. A process of its own runs them, and another one after every ten.
"""

import argparse
import collections
import multiprocessing
import sys
from pathlib import Path

from tests.others import judging

_HEADER = "| project | year | model | with names | without names | verdict |\n|---|---|---|---|---|---|"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.others", description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    folders = [case.parent for folder in parser.parse_args(arguments).folders for case in _cases(folder)]
    if not folders:
        sys.exit("No case.json is in these folders, nor one level below.")
    print(_HEADER)
    rows = []
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=10) as pool:
        for row in pool.imap(judging.judged, folders):
            print(row, flush=True)
            rows.append(row)
    print()
    print(summary(rows))
    return int(any(row.wrong for row in rows))


def _cases(folder: Path) -> list[Path]:
    return [folder / "case.json"] if (folder / "case.json").exists() else sorted(folder.glob("*/case.json"))


def summary(rows: list[judging.Row]) -> str:
    """Returns the counts in one sentence."""
    equal = sum(row.named.startswith("equal") for row in rows)
    unnamed = ", ".join(f"{count} {what}" for what, count in collections.Counter(r.unnamed for r in rows).most_common())
    return f"{len(rows)} models: with names {equal} equal at the first try; without names {unnamed}."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
