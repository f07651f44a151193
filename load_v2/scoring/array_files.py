"""Files of arrays and of examples answered by a signature, a batch at a time."""

import contextlib
import json
from collections.abc import Callable, Collection, Iterator
from typing import Any

from load_v2 import scoring
from load_v2.errors import LoadError
from load_v2.scoring import atomic, elements, jobs, threads
from load_v2.scoring.scorer import BATCH_SIZE, Scorer, row_count

_ENDING = ".jsonl"


def score(scorer: Scorer, task: jobs.Task, options: jobs.Options) -> tuple[int, int]:
    """Answers the rows of files, one after the other; what is written appears whole, or not at all.

    The next batches are read while one is computed, and answers are written behind it. Rows without an answer go to a
    .jsonl, each with its file, its number and the reason.

    Returns:
        How many rows there were, and how many of them have no answer.

    Raises:
        LoadError: a file cannot be read, has other inputs or no rows, or a row has no answer and `failed` is not given.
    """
    if task.failed:
        check_ending(task.failed, [_ENDING], "rows without an answer are written to")
    chosen = elements.columns_of(scorer.inputs, options.columns)
    specs = {chosen[key]: spec for key, spec in scorer.inputs.items()}
    readers = [scoring.reader(path, specs) for path in task.inputs]
    counts = [reader.count for reader in readers]
    total = None if None in counts else sum(counts)
    size, rows, refused = scorer.fixed or options.batch_size or BATCH_SIZE, 0, 0
    with (
        scoring.writer(task.output, list(scorer.outputs)) as good,
        _failures(task.failed) as bad,
        threads.write_behind() as later,
    ):
        for path, source in zip(task.inputs, readers, strict=True):
            first = rows
            for batch in threads.read_ahead(source.batches(size)):
                given = {key: batch[name] for key, name in chosen.items()}
                answers, reasons = scorer.each(given)
                for at, reason in enumerate(reasons):
                    if reason is not None:
                        refused += 1
                        bad(path, rows - first + at, reason)
                if answers:
                    later(good.write, answers)
                rows += row_count(given, scorer.inputs)
                options.progress(rows, total)
        if not rows:
            raise LoadError(f"{', '.join(map(repr, task.inputs))} holds no rows, so there is nothing to answer.")
    return rows, refused


@contextlib.contextmanager
def _failures(path: str | None) -> Iterator[Callable[[str, int, str], Any]]:
    """Yields what is called with each row that has no answer: its file, its number, the reason."""
    if path is None:
        yield _stop
        return
    with atomic.file(path) as stream:
        yield lambda *row: stream.write(_line(*row))


def _stop(path: str, row: int, reason: str) -> None:
    raise no_answer(path, row, reason, _ENDING)


def _line(path: str, row: int, reason: str) -> bytes:
    return json.dumps({"file": path, "row": row, "reason": reason}, ensure_ascii=False).encode() + b"\n"


def no_answer(path: str, row: int, reason: str, ending: str) -> LoadError:
    """Returns the error for a row that has no answer, where such rows are not set aside."""
    return LoadError(
        f"Row {row} of {path!r} has no answer. {reason}\n"
        f"  --failed=FILE{ending} lets the rest go on and writes such rows there."
    )


def check_ending(path: str, endings: Collection[str], what: str) -> None:
    """Checks what a path ends in.

    Raises:
        LoadError: in something else.
    """
    if not path.endswith(tuple(endings)):
        raise LoadError(f"{path!r} is not {' or '.join(endings)}, which is what {what}.")
