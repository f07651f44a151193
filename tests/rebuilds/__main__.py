"""Models rebuilt as code of Keras's own layers; prints the table of tests/README.md.

    python -m tests.rebuilds [--backends=tensorflow,jax,torch] [FOLDER…]

Each folder is a case as in fixtures/, with its export as 1/ where there is one, an export, or holds some of either; all
golden cases if none is given. The exit code
is 1 where a model was rebuilt and does something else than the original.
"""

import argparse
import functools
import multiprocessing
import statistics
import sys
from pathlib import Path

from load_v2.opening import backends
from tests.rebuilds import judging
from tests.support import cases

_HEADER = (
    "| model | layers | weights in Keras's own layers | nodes in layers | lines for nodes | answers | fine-tuning |\n"
    "|---|---|---|---|---|---|---|"
)
# So many models share a process for each backend.
_TOGETHER = 8


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.rebuilds", description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--backends", help="of Keras; default: those that are installed")
    args = parser.parse_args(arguments)
    chosen = backends.chosen(args.backends.split(",") if args.backends else None)
    golden = [cases.FOLDER / name for name in cases.names()]
    folders = [found for folder in args.folders for found in models(folder)] if args.folders else golden
    if not folders:
        sys.exit("No case.json and no saved_model.pb is in these folders, nor two levels below.")
    print(_HEADER)
    rows = []
    parts = [folders[at : at + _TOGETHER] for at in range(0, len(folders), _TOGETHER)]
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for part in pool.imap(functools.partial(judging.judged, backends=chosen), parts):
            print(*part, sep="\n", flush=True)
            rows += part
    print()
    print(summary(rows))
    return int(any(row.wrong for row in rows))


def models(folder: Path) -> list[Path]:
    """Returns the cases and exports that a folder is or holds; the export of a case, its 1/, is part of it."""
    if _is_model(folder):
        return [folder]
    either = ((path, path / "1") for path in sorted(folder.glob("*/")))
    return [found for pair in either for found in [next(filter(_is_model, pair), None)] if found]


def _is_model(folder: Path) -> bool:
    return (folder / "case.json").exists() or (folder / "saved_model.pb").exists()


def summary(rows: list[judging.Row]) -> str:
    """Returns what all rows come to, in sentences."""
    rebuilt = [row.report for row in rows if row.report is not None]
    wrong = sum(row.wrong for row in rows)
    said = f"{len(rows)} models: {sum(row.equal for row in rows)} rebuilt and equal, {wrong} wrong."
    if not rebuilt:
        return said
    heavy = [report for report in rebuilt if report.weights]
    share = sum(report.standard_weights for report in heavy) / max(sum(report.weights for report in heavy), 1)
    mean = statistics.mean(report.share for report in heavy) if heavy else 1.0
    nodes = sum(report.nodes_in_layers for report in rebuilt) / max(sum(report.nodes for report in rebuilt), 1)
    lines = sum(report.lines for report in rebuilt) / max(sum(report.live for report in rebuilt), 1)
    each = statistics.mean(report.lines / report.live for report in rebuilt)
    return (
        f"{said} Weights in Keras's own layers: {share:.2%} by number, {mean:.2%} in the mean model. "
        f"Nodes in layers: {nodes:.0%}. Lines of code for a live node: {lines:.2f} over all, {each:.2f} in the mean model."
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
