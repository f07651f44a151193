"""Damages files of every kind, thousands of times, and tells what came of it.

    python -m tests.fuzz --minutes=10
    python -m tests.fuzz --count=1000 --seed=7 --target='.meta, bytes'

Exits 1 where there is a finding: each is printed with the seed that brings it back.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import argparse
import collections
import itertools
import pathlib
import sys
import tempfile
import time
from collections.abc import Iterable

from tests.fuzz import running, targets


def material(folder: pathlib.Path) -> None:
    """Prepares the material in a process of its own: a process that has run sessions cannot be forked safely."""
    child = os.fork()
    if child == 0:
        try:
            targets.prepare(folder)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
        raise RuntimeError("the material could not be prepared")


def run(chosen: Iterable[targets.Target], seeds: Iterable[int], folder: pathlib.Path, until: float = float("inf")):
    """Yields outcomes, one of each target by turns, until the seeds or the time run out."""
    chosen = list(chosen)
    clean = {one.name: running.undamaged(one, folder) for one in chosen if one.exact}
    for seed in seeds:
        for one in chosen:
            if time.monotonic() > until:
                return
            yield running.one(one, seed, folder, clean.get(one.name))


def table(outcomes: Iterable[running.Outcome]) -> str:
    """Returns the results as a table in Markdown."""
    by_target: dict[str, list[running.Outcome]] = collections.defaultdict(list)
    for outcome in outcomes:
        by_target[outcome.target].append(outcome)
    lines = [
        "| what was damaged | times | refused | answered | died | hung | other findings | longest, s | peak, MiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, found in by_target.items():
        kinds = collections.Counter(one.kind for one in found)
        others = {kind: count for kind, count in kinds.items() if kind not in (*running.GOOD, "died", "hung")}
        lines.append(
            f"| {name} | {len(found)} | {kinds['refused']} | {kinds['same'] + kinds['changed']} | {kinds['died']} | "
            f"{kinds['hung']} | {others or 0} | {max(one.seconds for one in found):.1f} | "
            f"{max(one.peak for one in found):.0f} |"
        )
    return "\n".join(lines)


def summary(outcomes: list[running.Outcome]) -> str:
    """Returns the results as one line."""
    kinds = collections.Counter(one.kind for one in outcomes)
    findings = sum(one.is_finding for one in outcomes)
    return (
        f"{len(outcomes):,} mutations of {len({one.target for one in outcomes})} kinds of files: "
        f"{kinds['refused']} refused with a message, {sum(kinds[kind] for kind in running.GOOD) - kinds['refused']} "
        f"answered, {findings} findings; at most {max(one.seconds for one in outcomes):.0f} s of processor time and "
        f"{max(one.peak for one in outcomes):.0f} MiB each"
    )


def _import_all() -> None:
    """Imports once what every process forked from here needs; nothing that starts threads, as Keras does."""
    import tensorflow  # noqa: F401

    import export_v1.pipeline
    import export_v1.source.checkpoint
    import export_v1.source.graph_def
    import export_v1.source.saved_model  # noqa: F401


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--count", type=int, default=10**9, help="mutations of each target")
    parser.add_argument("--seed", type=int, default=0, help="of the first mutation")
    parser.add_argument("--target", action="append", help="only this one; repeatable")
    asked = parser.parse_args()
    _import_all()

    chosen = [one for one in targets.ALL if not asked.target or one.name in asked.target]
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        material(pathlib.Path(folder))
        until = time.monotonic() + 60 * asked.minutes
        for outcome in run(
            chosen, itertools.islice(itertools.count(asked.seed), asked.count), pathlib.Path(folder), until
        ):
            outcomes.append(outcome)
            if outcome.is_finding:
                print(
                    f"{outcome.kind}: {outcome.target}, seed {outcome.seed}, {outcome.done}\n{outcome.said}\n",
                    flush=True,
                )
    print(table(outcomes))
    print(f"\n{summary(outcomes)}")
    return int(any(outcome.is_finding for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
