"""What was tried against both steps, how often, and what came out: prints a table in Markdown.

    python -m tests.faults                      minutes
    python -m tests.faults --full               an hour: 50 kills of each command, 2,000 mutations, 10,000 layers
    python -m tests.faults --full kill link     only the rows that have such a regular expression in their first column

Each row is tests that can be run by themselves: pytest with what stands in the last column. What a test prints after
"came out: " stands in the row. A row that does not end is one that is not as promised, and the next one follows.
"""

import argparse
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import xml.etree.ElementTree
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parent.parent
_SAID = "came out: "
# The longest row takes some ten minutes on a machine that has nothing else to do, and one may have much.
_MOST_SECONDS = 4 * 3600


class Row(NamedTuple):
    """One thing that was tried.

    Attributes:
        what: was tried.
        often: how often: by default, with --full; one entry where both are the same, "" for the number of tests.
        tests: what pytest is given, as `often`.
    """

    what: str
    often: tuple[str, ...]
    tests: tuple[str, ...]


ROWS = (
    Row("kill -9 of step 1, to_keras, port, predict, report at moments spread over the run", ("2 each of 2", "50 each of 6"),
        ("tests/load_v2/scoring/test_commands_atomic.py -k some_moments",
         "tests/load_v2/scoring/test_commands_atomic.py -k 50_moments")),
    Row("SIGTERM, Ctrl-C while writing", ("",), ("tests/export_v1/console/test_signals.py -k signal_cleans",)),
    Row("full disk, file size limit", ("",), ("tests/load_v2/scoring/test_commands_atomic.py -k 'no_room or full'",)),
    Row("target not writable", ("",), ("tests/load_v2/scoring/test_commands_atomic.py -k cannot_be_written",)),
    Row("two exports to one folder at once", ("",), ("tests/load_v2/scoring/test_commands_atomic.py -k at_once",)),
    Row("symbolic link to another file system", ("",), ("tests/load_v2/scoring/test_commands_atomic.py -k symbolic",)),
    Row("left-overs of killed runs", ("",), ("tests/load_v2/scoring/test_commands_atomic.py -k swept",)),
    Row("damaged and hostile files of every kind", ("1 of each", "70 of each"),
        ("tests/test_fuzz.py -k few", "tests/test_fuzz.py -k thousand")),
    Row("malformed graphs, by kind of fault", ("",),
        ("tests/test_fuzz.py -k 'hold_together or would_end'",)),
    Row("a loop without end", ("",), ("tests/test_fuzz.py -k without_end",)),
    Row("the process itself dies", ("",), ("tests/test_fuzz.py -k dies",)),
    Row("a flipped byte, a truncated file of a checkpoint", ("",),
        ("tests/export_v1/test_main.py -k 'flipped or truncated'",)),
    Row("ops that reach outside, each op of TensorFlow in the table", ("",),
        ("tests/export_v1/ir/test_safety.py tests/export_v1/ir/test_reach.py",)),
    Row("a permission in an archive", ("",), ("tests/test_nothing_let_in.py -k 'permission or safe_mode'",)),
    Row("a secret read through a table's file", ("",), ("tests/test_nothing_let_in.py -k pass_for",)),
    Row("a function that nothing calls, in the place of another", ("",),
        ("tests/test_nothing_let_in.py -k takes_the_place",)),
    Row("a canary written by step 1: constant condition, main op, initializer", ("",),
        ("tests/test_nothing_let_in.py -k hides_nothing",)),
    Row("functions that are given functions, go too deep, make variables, have a stranger's gradient, print", ("",),
        ("tests/test_let_in_by_functions.py",)),
    Row("links, devices and pipes in an artefact", ("",), ("tests/test_nothing_let_in.py -k link",)),
    Row("an archive changed after it was saved", ("",), ("tests/load_v2/layer/test_archive_file.py",)),
    Row("functions that become 134 million nodes", ("",),
        ("tests/export_v1/ir/test_importing.py tests/load_v2/program/test_inline.py -k large",)),
    Row("--overwrite of what is no export, has a file of somebody's in it, or is the source; answers into the model", ("",),
        ("tests/export_v1/artifact/test_destination.py tests/test_one_message.py -k "
         "'replaced or written_into or vocabulary or go_into'",)),
    Row("a live run swept by one in another container", ("",), ("tests/export_v1/console/test_unfinished.py",)),
    Row("odd sizes, files and places: one message", ("",), ("tests/test_one_message.py",)),
    Row("a process of its own that dies, from Python", ("",),
        ("tests/export_v1/test_supervised.py tests/load_v2/test_supervised.py",)),
    Row("an index of a checkpoint whose numbers cannot be: shapes, types, places, parts, lengths of strings; records", ("",),
        ("tests/export_v1/format/test_bundle.py tests/export_v1/format/test_checkpoints.py "
         "tests/load_v2/scoring/test_tfrecords.py",)),
    Row("a saver's op that writes, or reads elsewhere", ("",), ("tests/test_nothing_let_in.py -k restores",)),
    Row("a handle or a variant in a file", ("",), ("tests/test_nothing_let_in.py -k handle",)),
    Row("one export's table, of the name and container of another's", ("",),
        ("tests/test_nothing_let_in.py -k 'table_of_another or others_share'",)),
    Row("names that act on a terminal, or become markup or code", ("",),
        ("tests/test_nothing_let_in.py tests/load_v2/opening/test_weight_rules.py -k 'terminal or stranger or code or ends'",)),
    Row("weights of an archive that lie elsewhere, members of one name", ("",),
        ("tests/test_nothing_let_in.py -k 'weights_of or members'",)),
    Row("rules that take long to read", ("",), ("tests/load_v2/porting/test_rules.py -k made_to_take_long",)),
    Row("assets and archive members that lead out", ("",), ("tests/export_v1/source/test_assets.py",)),
    Row("one layer in many threads, another thread saving, a third fine-tuning",
        ("4 threads, 4 s", "16 threads, 60 s"),
        ("tests/load_v2/layer/test_under_load.py -k short",
          "tests/load_v2/layer/test_under_load.py -k minute")),
    Row("layers made and dropped in one process", ("120", "10,000"),
        ("tests/load_v2/layer/test_under_load.py -k made_and_dropped",
         "tests/load_v2/layer/test_under_load.py -k ten_thousand")),
)  # fmt: skip


def line(row: Row, full: bool) -> tuple[str, bool]:
    """Returns a row of the table after its tests have run, and whether all of them passed; a skipped one has not."""
    at = -1 if full else 0
    passed, failed, said = _run(row.tests[at])
    good = passed > 0 and not failed
    came = "as promised" if good else f"{failed} of {passed + failed} NOT as promised"
    if said:
        came += ": " + "; ".join(said)
    return f"| {row.what} | {row.often[at] or passed + failed} | {came} | `{row.tests[at]}` |", good


def _run(tests: str) -> tuple[int, int, list[str]]:
    """Returns how many tests passed, how many did not, and what they said came out."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        report = os.path.join(folder, "report.xml")
        options = ["-m", "slow or not slow", f"--junitxml={report}", "-o", "junit_logging=system-out"]
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, *shlex.split(tests)]
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=_MOST_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return 0, 1, [f"it had not ended after {_MOST_SECONDS:,} seconds"]
        if done.returncode:
            # Somebody who sees that it is not as promised wants to know why.
            sys.stderr.write(done.stdout)
        if not os.path.exists(report):
            return 0, 1, []
        cases = list(xml.etree.ElementTree.parse(report).getroot().iter("testcase"))
    bad = sum(any(child.tag in ("failure", "error", "skipped") for child in case) for case in cases)
    printed = "\n".join(out.text for case in cases for out in case.iter("system-out") if out.text)
    said = [text.removeprefix(_SAID) for text in printed.splitlines() if text.startswith(_SAID)]
    return len(cases) - bad, bad, said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="each as often as the table in the README says")
    parser.add_argument("rows", nargs="*", metavar="ROW", help="regular expression: only rows that have a match")
    asked = parser.parse_args()
    for pattern in asked.rows:
        if not any(re.search(pattern, row.what) for row in ROWS):
            parser.error(f"no row has a match for {pattern!r}; there are: {', '.join(repr(row.what) for row in ROWS)}")
    chosen = [row for row in ROWS if not asked.rows or any(re.search(pattern, row.what) for pattern in asked.rows)]
    print("| what was tried | how often | what came out | again with `python -m pytest -m 'slow or not slow' …` |")
    print("|---|---|---|---|", flush=True)
    results = []
    for row in chosen:
        text, good = line(row, asked.full)
        print(text, flush=True)
        results.append(good)
    return int(not all(results))


if __name__ == "__main__":
    sys.exit(main())
