"""What was tried against both steps, how often, and what came out: prints a table in Markdown.

    python -m tests.faults             minutes
    python -m tests.faults --full      hours: 50 kills of each command, 1,000 mutations, 10,000 layers

Each row is tests that can be run by themselves: pytest with what stands in the last column.
"""

import argparse
import os
import re
import subprocess
import sys
import xml.etree.ElementTree

# What was tried, how often: (by default, with --full), tests: (by default, with --full).
ROWS = (
    ("kill -9 of step 1, to_keras, port, predict, moments spread over the run", ("2 each of 2", "50 each of 5"),
     ("tests/test_atomic.py -k some_moments", "tests/test_atomic.py -k 50_moments")),
    ("SIGTERM, Ctrl-C while writing", ("1 each",), ("tests/test_atomic.py -k signal_cleans",)),
    ("full disk, file size limit", ("6",), ("tests/test_atomic.py -k 'no_room or full_disk'",)),
    ("target not writable", ("4",), ("tests/test_atomic.py -k cannot_be_written",)),
    ("two exports to one folder at once", ("2",), ("tests/test_atomic.py -k at_once",)),
    ("symbolic link to another file system", ("1",), ("tests/test_atomic.py -k symbolic",)),
    ("left-overs of killed runs", ("2",), ("tests/test_atomic.py -k swept",)),
    ("damaged and hostile files of 19 kinds", ("1 of each", "53 of each: 1,007"),
     ("tests/test_fuzz.py -k few", "tests/test_fuzz.py -k thousand")),
    ("graphs that do not hold together, by kind of fault", ("19",),
     ("tests/test_fuzz.py -k 'hold_together or would_end'",)),
    ("a loop without end", ("2",), ("tests/test_fuzz.py -k without_end",)),
    ("the process itself dies", ("2",), ("tests/test_fuzz.py -k dies",)),
    ("a flipped byte, a truncated file of a checkpoint", ("10",),
     ("tests/test_cli_export.py -k 'flipped or truncated'",)),
    ("ops that reach outside", ("15",), ("tests/test_safety.py",)),
    ("assets and archive members that lead out", ("18",), ("tests/test_outside.py",)),
    ("one layer in many threads, another thread saving, a third fine-tuning", ("4 threads, 8 s", "16 threads, 60 s"),
     ("tests/test_load.py -k short", "tests/test_load.py -k minute")),
    ("layers made and dropped in one process", ("120", "10,000"),
     ("tests/test_load.py -k made_and_dropped", "tests/test_load.py -k ten_thousand")),
)  # fmt: skip


def _run(tests: str) -> tuple[int, int, list[str]]:
    """Returns how many tests passed, how many did not, and what they printed about themselves."""
    report = f"/tmp/faults-{os.getpid()}.xml"
    words = re.findall(r"'[^']*'|\S+", tests)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-m",
        "slow or not slow",
        f"--junitxml={report}",
        "-o",
        "junit_logging=system-out",
    ]
    subprocess.run(
        [*command, *(word.strip("'") for word in words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    cases = list(xml.etree.ElementTree.parse(report).getroot().iter("testcase"))
    os.unlink(report)
    failed = sum(any(child.tag in ("failure", "error") for child in case) for case in cases)
    skipped = sum(any(child.tag == "skipped" for child in case) for case in cases)
    said = [out.text.strip() for case in cases for out in case.iter("system-out") if out.text]
    return len(cases) - failed - skipped, failed + skipped, said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="as often as it takes hours")
    full, code = parser.parse_args().full, 0
    print("| what was tried | how often | what came out | again with `python -m pytest …` |\n|---|---|---|---|")
    for what, often, tests in ROWS:
        at = -1 if full else 0
        passed, failed, said = _run(tests[at])
        code |= bool(failed)
        came = "as promised" if not failed and passed else f"{failed} of {passed + failed} NOT as promised"
        numbers = "; ".join(
            line for text in said for line in text.splitlines() if line.startswith(("{", *"0123456789"))
        )
        print(f"| {what} | {often[at]} | {came}{': ' + numbers if numbers else ''} | `{tests[at]}` |", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
