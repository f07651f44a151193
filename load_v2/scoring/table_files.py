"""Parquet and CSV files answered by a signature, a few rows at a time. Needs the extra `parquet`."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence

import pyarrow
import pyarrow.compute
from pyarrow import csv, parquet

from load_v2.errors import LoadError, unknown
from load_v2.program.signature import Spec
from load_v2.scoring import array_files, atomic, elements, jobs, tables, threads
from load_v2.scoring.scorer import BATCH_SIZE, Scorer

_REASON = "reason"
# Rows that are read, answered and written together, as far as a batch is not larger.
_ROWS = 4096


def score(scorer: Scorer, task: jobs.Task, options: jobs.Options) -> tuple[int, int]:
    """Answers the rows of tables, one after the other; what is written appears whole, or not at all.

    The answers have the columns that are no inputs beside them, in the order of the rows. In CSV, what is no single value
    is a list as JSON has it, and strings are UTF-8. Rows without an answer come as they are, with a column `reason`. The
    next rows are read while some are answered, and answers are written behind them.

    Returns:
        How many rows there were, and how many of them have no answer.

    Raises:
        LoadError: a file cannot be read or lacks a column, tables have other columns than the first, or a row has no
            answer and `failed` is not given.
    """
    for path in filter(None, (task.output, task.failed)):
        array_files.check_ending(path, jobs.TABLES, "tables are written to")
    chosen = elements.columns_of(scorer.inputs, options.columns)
    total, count, refusals = _total(task.inputs), 0, 0
    names: list[str] = []
    size = max(_ROWS, scorer.fixed or options.batch_size or BATCH_SIZE)
    with contextlib.ExitStack() as stack:
        good = stack.enter_context(_writer(task.output))
        bad = stack.enter_context(_writer(task.failed)) if task.failed else None
        later = stack.enter_context(threads.write_behind())
        for path in task.inputs:
            first = count
            for table in threads.read_ahead(_batches(path, size)):
                answers = tables.answer(scorer, _given(table, chosen, scorer.inputs, path), options.batch_size)
                refused = answers.reasons.is_valid()
                at = refused.index(pyarrow.scalar(True)).as_py() if answers.reasons.null_count < len(table) else -1
                if at >= 0 and bad is None:
                    raise array_files.no_answer(path, count - first + at, answers.reasons[at].as_py(), ".parquet")
                if bad is not None:
                    reason = elements.free_name(_REASON, table.column_names)
                    later(bad.write, table.append_column(reason, answers.reasons).filter(refused))
                    refusals += len(table) - answers.reasons.null_count
                kept = table.drop_columns(list(set(chosen.values())))
                for key, array in answers.outputs.items():
                    kept = kept.append_column(elements.output_name(key, kept.column_names), array)
                names = names or kept.column_names
                if kept.column_names != names:
                    raise LoadError(
                        f"{path!r} has other columns than {task.inputs[0]!r}: with its answers {', '.join(kept.column_names)}; "
                        f"there are {', '.join(names)}.\n  Give each file an output of its own: --outputs='FOLDER/*.parquet'."
                    )
                later(good.write, kept if at < 0 else kept.filter(pyarrow.compute.invert(refused)))
                count += len(table)
                options.progress(count, total)
    return count, refusals


def _total(paths: Sequence[str]) -> int | None:
    """Returns how many rows there are, None where only reading all of it would tell."""
    if not all(path.endswith(".parquet") for path in paths):
        return None
    with contextlib.suppress(pyarrow.ArrowException, OSError):
        return sum(parquet.read_metadata(path).num_rows for path in paths)
    return None


def _batches(path: str, size: int) -> Iterator[pyarrow.Table]:
    """Yields the rows of a file, some at a time; of a file without rows, a table without rows."""
    try:
        if path.endswith(".csv"):
            with csv.open_csv(path) as stream:
                empty = stream.schema.empty_table()
                for batch in stream:
                    for start in range(0, len(batch), size):
                        empty = None
                        yield pyarrow.Table.from_batches([batch.slice(start, size)])
        else:
            with parquet.ParquetFile(path) as file:
                empty = file.schema_arrow.empty_table()
                for batch in file.iter_batches(size):
                    empty = None
                    yield pyarrow.Table.from_batches([batch])
        if empty is not None:
            yield empty
    except (pyarrow.ArrowException, OSError) as error:
        raise LoadError(f"{path!r} cannot be read: {str(error).splitlines()[0]}") from error


def _given(table: pyarrow.Table, chosen: Mapping[str, str], specs: Mapping[str, Spec], path: str) -> dict:
    given = {}
    for key, name in chosen.items():
        if name not in table.column_names:
            raise unknown("Column", name, repr(path), table.column_names, f"Pass --column={key}=NAME.")
        column = table[name]
        spec = specs[key]
        is_listed = spec.shape is None or len(spec.shape) > 1
        if path.endswith(".csv") and is_listed and pyarrow.types.is_string(column.type):
            column = pyarrow.array([_parsed(cell) for cell in column.to_pylist()])
        given[key] = column
    return given


def _parsed(cell: str | None):
    """Returns the list that a cell of CSV is, None where it is none."""
    try:
        value = json.loads(cell or "null")
    except ValueError:
        return None
    return value if isinstance(value, list) else None


class _Writer:
    """Writes tables of one schema, which the first has, to a file."""

    def __init__(self, part: str, ending: str):
        self._part, self._is_csv = part, ending == ".csv"
        self._file: pyarrow.NativeFile | None = None
        self._sink: parquet.ParquetWriter | csv.CSVWriter | None = None
        self._schema: pyarrow.Schema | None = None

    def write(self, table: pyarrow.Table) -> None:
        if self._is_csv:
            table = _as_text(table)
        if self._sink is None:
            make = csv.CSVWriter if self._is_csv else parquet.ParquetWriter
            self._schema = table.schema
            self._file = pyarrow.OSFile(self._part, "wb")
            self._sink = make(self._file, self._schema)
        try:
            self._sink.write_table(table.cast(self._schema))
        except pyarrow.ArrowInvalid as error:
            raise LoadError(
                f"A column has another type than before: {str(error).splitlines()[0]}.\n"
                "  Give each file an output of its own: --outputs='FOLDER/*.parquet'."
            ) from error

    def close(self) -> None:
        assert self._sink is not None and self._file is not None, "a table without rows is written, too"
        self._sink.close()
        self._file.close()

    def abandon(self) -> None:
        """Lets the file go, whatever is in it."""
        for each in (self._sink, self._file):
            with contextlib.suppress(OSError, pyarrow.ArrowException):
                if each is not None:
                    each.close()


@contextlib.contextmanager
def _writer(path: str) -> Iterator[_Writer]:
    ending = os.path.splitext(path)[1]
    with atomic.published(path, ending) as part:
        writer = _Writer(part, ending)
        try:
            yield writer
            writer.close()
        except BaseException:
            # Else the file keeps its room on the disk for as long as somebody remembers the error.
            writer.abandon()
            raise


def _as_text(table: pyarrow.Table) -> pyarrow.Table:
    """Returns a table with text in place of lists and bytes, which CSV does not have."""
    for at, field in enumerate(table.schema):
        if pyarrow.types.is_nested(field.type) or pyarrow.types.is_binary(field.type):
            cells = [_cell(value) for value in table[at].to_pylist()]
            table = table.set_column(at, field.name, pyarrow.array(cells, pyarrow.string()))
    return table


def _cell(value) -> str | None:
    if value is None or isinstance(value, bytes):
        return value if value is None else _text(value)
    return json.dumps(value, default=_text, ensure_ascii=False)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")
