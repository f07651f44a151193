"""Makes changes on purpose, one at a time, and tells which of them the tests notice.

    python -m tests.mutants                                 all lists
    python -m tests.mutants interface 'load_v2/porting/*'   a list, files, folders
    python -m tests.mutants --list fold.py                  shows them, and runs nothing

Exits 1 where more than one in ten survives, a change does not apply, or tests fail without any change.
"""

import argparse
import os
import pathlib
import sys
from collections.abc import Iterable, Mapping, Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tests.mutants import lists, running
from tests.mutants.change import Change
from tests.mutants.running import MISFIT, NOTICED, SURVIVED, UNPROVEN, Result

ROOT = pathlib.Path(__file__).parent.parent.parent
# What takes long to import, and starts no threads.
PRELOADED = ("tensorflow", "keras", "pytest", "hypothesis")
# Of the changes that apply, how many may survive.
_TOLERATED = 0.1


def shown(change: Change, root: pathlib.Path) -> str:
    """Returns a change as one line."""
    before, after = (" ".join(text.split())[:60] for text in (change.before, change.after))
    why = f"  ({change.why})" if change.why else ""
    return f"{change.file}:{lists.line(change, root)}: {before!r} -> {after!r}{why}"


def summary(by_list: Mapping[str, Iterable[Change]], results: Sequence[Result], root: pathlib.Path) -> tuple[str, bool]:
    """Returns the closing lines, and whether all is well."""
    kinds = {result.change: result.kind for result in results}
    lines = [_counted(name, [kinds[change] for change in changes]) for name, changes in by_list.items()]
    if len(by_list) > 1:
        lines.append(_counted("in all", list(kinds.values())))
    counts = {kind: sum(found == kind for found in kinds.values()) for kind in (NOTICED, SURVIVED, MISFIT, UNPROVEN)}
    lines += [f"{result.kind}: {shown(result.change, root)}" for result in results if result.kind != NOTICED]
    tried = counts[NOTICED] + counts[SURVIVED]
    good = not counts[MISFIT] and not counts[UNPROVEN] and counts[SURVIVED] <= _TOLERATED * tried
    return "\n".join(lines), good


def _counted(name: str, kinds: Sequence[str]) -> str:
    parts = [f"{kinds.count(NOTICED)} of {len(kinds)} noticed"]
    parts += [f"{kinds.count(kind)} {kind}" for kind in (SURVIVED, MISFIT, UNPROVEN) if kind in kinds]
    return f"{name}: {', '.join(parts)}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*", metavar="WHAT", help="names of lists, files or folders (default: all)")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (default: 2)")
    parser.add_argument("--seconds", type=int, default=120, help="of processor time for each (default: 120)")
    parser.add_argument("--list", action="store_true", help="show the changes and run nothing")
    asked = parser.parse_args(argv)
    known = lists.every()
    by_list = lists.chosen(asked.patterns, known)
    if not by_list:
        parser.error(f"no change fits {' '.join(asked.patterns)!r}; the lists are: {', '.join(known) or 'none'}")
    changes = [change for found in by_list.values() for change in found]
    if asked.list:
        for change in changes:
            print(shown(change, ROOT))
        return 0
    running.preload(PRELOADED)
    before = running.unchanged(changes, ROOT, asked.jobs, asked.seconds)
    for test, said in before.failing.items():
        print(f"fails without any change: {test}\n{said}\n", flush=True)
    results = []
    for result in running.run(changes, ROOT, before, asked.jobs, asked.seconds):
        results.append(result)
        print(f"{result.kind}: {shown(result.change, ROOT)}  [{result.said}, {result.seconds:.1f} s]", flush=True)
    text, good = summary(by_list, results, ROOT)
    print(f"\n{text}")
    return int(not good or bool(before.failing))


if __name__ == "__main__":
    sys.exit(main())
