"""Parquet and CSV files answered by a signature, a few rows at a time. Needs the extra `parquet`."""

import contextlib
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import pyarrow
import pyarrow.compute
import tensorflow as tf
from pyarrow import csv, parquet

from load_v2.errors import LoadError, unknown
from load_v2.program.signature import Spec
from load_v2.scoring import array_files, atomic, elements, jobs, tables, threads
from load_v2.scoring.scorer import BATCH_SIZE, Scorer

_REASON = "reason"
# What a number in CSV is that is not there, as Arrow has it: nothing, NA, null and others.
_NULLS = csv.ConvertOptions().null_values
# Rows that are read, answered and written together, as far as a batch is not larger.
_ROWS = 4096


def score(scorer: Scorer, task: jobs.Task, options: jobs.Options) -> tuple[int, int]:
    """Answers the rows of tables, one after the other; what is written appears whole, or not at all.

    The answers have the columns that are no inputs beside them, in the order of the rows. In CSV, what is no single value
    is a list as JSON has it, strings are UTF-8, and what a column holds is what its input takes. Rows without an answer
    come as they are, with a column `reason`. The next rows are read while some are answered, and answers are written
    behind them.

    Returns:
        How many rows there were, and how many of them have no answer.

    Raises:
        LoadError: a file cannot be read or lacks a column, tables have other columns than the first, or a row has no
            answer and `failed` is not given.
    """
    for path in filter(None, (task.output, task.failed)):
        array_files.check_ending(path, jobs.TABLES, "tables are written to")
    chosen = elements.columns_of(scorer.inputs, options.columns)
    is_text = all(path.endswith(".csv") for path in filter(None, (task.output, task.failed)))
    total, count, refusals = _total(task.inputs), 0, 0
    names: list[str] = []
    size = max(_ROWS, scorer.fixed or options.batch_size or BATCH_SIZE)
    with contextlib.ExitStack() as stack:
        good = stack.enter_context(_writer(task.output))
        bad = stack.enter_context(_writer(task.failed)) if task.failed else None
        later = stack.enter_context(threads.write_behind())
        for path in task.inputs:
            first = count
            for table in threads.read_ahead(_batches(path, size, chosen.values(), is_text)):
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


def _batches(path: str, size: int, texts: Collection[str], is_text: bool) -> Iterator[pyarrow.Table]:
    """Yields the rows of a file, some at a time; of a file without rows, a table without rows.

    Args:
        path: of the file.
        size: how many rows at most.
        texts: columns that come as the text that they are in CSV, since only the signature knows what they hold.
        is_text: the other columns of CSV do, too; else their first rows tell their types.
    """
    try:
        if path.endswith(".csv"):
            with csv.open_csv(path) as stream:
                kinds = {field.name: _text_type(field) for field in stream.schema if is_text or field.name in texts}
            with csv.open_csv(path, convert_options=csv.ConvertOptions(column_types=kinds)) as stream:
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


def _text_type(field: pyarrow.Field) -> pyarrow.DataType:
    # Arrow takes text that is no UTF-8 for bytes.
    return field.type if pyarrow.types.is_binary(field.type) else pyarrow.string()


def _given(table: pyarrow.Table, chosen: Mapping[str, str], specs: Mapping[str, Spec], path: str) -> dict:
    given = {}
    for key, name in chosen.items():
        if name not in table.column_names:
            raise unknown("Column", name, repr(path), table.column_names, f"Pass --column={key}=NAME.")
        if table.column_names.count(name) > 1:
            raise LoadError(
                f"{path!r} has {table.column_names.count(name)} columns {name!r}, of which one is asked for."
            )
        given[key] = _meant(table[name], specs[key]) if path.endswith(".csv") else table[name]
    return given


def _meant(column: pyarrow.ChunkedArray, spec: Spec) -> pyarrow.ChunkedArray | pyarrow.Array | np.ndarray:
    """Returns a column of text as what an input of CSV holds; a cell that is nothing of the kind stays text."""
    dtype = tf.as_dtype(spec.dtype)
    if spec.shape is None or len(spec.shape) > 1:
        return _column([_parsed(cell) for cell in column.to_pylist()])
    if dtype == tf.string:
        return column
    kind = (
        pyarrow.bool_() if dtype.is_bool else pyarrow.from_numpy_dtype("float64" if dtype.is_floating else dtype.name)
    )
    whole = _cast(column, kind)
    if whole is not None:
        return whole
    single = [_cast(column[at : at + 1], kind) for at in range(len(column))]
    return _column([column[at].as_py() if cell is None else cell[0].as_py() for at, cell in enumerate(single)])


def _cast(column: pyarrow.ChunkedArray, kind: pyarrow.DataType) -> pyarrow.ChunkedArray | None:
    """Returns a column of text as one of numbers, None where a cell is no number."""
    try:
        trimmed = pyarrow.compute.utf8_trim_whitespace(column)
        nulls = pyarrow.compute.is_in(trimmed, value_set=pyarrow.array(_NULLS))
        return pyarrow.compute.if_else(nulls, pyarrow.scalar(None, pyarrow.string()), trimmed).cast(kind)
    except pyarrow.ArrowException:
        return None


def _column(cells: list) -> pyarrow.Array | np.ndarray:
    with contextlib.suppress(pyarrow.ArrowException):
        return pyarrow.array(cells)
    objects = np.empty(len(cells), dtype=object)
    objects[:] = cells
    return objects


def _parsed(cell: str | bytes):
    """Returns what a cell of CSV says in JSON, the cell where that is nothing, and None for what stands for a null."""
    if cell in _NULLS:
        return None
    try:
        value = json.loads(cell)
    except ValueError:
        return cell
    return cell if isinstance(value, (str, dict)) else value


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
