"""Parquet and CSV files answered by a signature, a few rows at a time. Needs the extra `parquet`."""

import contextlib
import glob
import json
import os
from collections.abc import Callable, Iterator, Mapping

import pyarrow
import pyarrow.compute
from pyarrow import csv, parquet

from load_v2.errors import LoadError, unknown
from load_v2.program.signature import Spec
from load_v2.scoring import atomic, elements, tables
from load_v2.scoring.scorer import BATCH_SIZE, Scorer

_ENDINGS = (".parquet", ".csv")
_REASON = "reason"
# Rows that are read, answered and written together, as far as a batch is not larger.
_ROWS = 4096


def score(
    scorer: Scorer,
    inputs: str,
    outputs: str,
    *,
    failed: str | None = None,
    columns: Mapping[str, str] | None = None,
    batch_size: int | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> int:
    """Answers the rows of tables; returns how many there were. The files appear whole, or not at all.

    The answers have the columns that are no inputs beside them, in the order of the rows. In CSV, what is no single value
    is a list as JSON has it, and strings are UTF-8.

    Args:
        scorer: the signature.
        inputs: a file, a pattern of files, or a folder of them.
        outputs: a file for the answers.
        failed: a file for rows that have no answer, with a column `reason`; without one, they are an error.
        columns: input -> name of its column, where that is another.
        batch_size: rows at a time; default 256, or the graph's own.
        progress: called with the number of rows so far.

    Raises:
        LoadError: there are no such files, they cannot be read, lack a column, or a row has no answer.
    """
    paths = _files(inputs)
    for path in filter(None, (outputs, failed)):
        _check_ending(path)
        if os.path.realpath(path) in map(os.path.realpath, paths):
            raise LoadError(f"{path!r} holds inputs, and would be replaced.\n  Name another.")
    chosen = elements.columns_of(scorer.inputs, columns)
    count = 0
    with contextlib.ExitStack() as stack:
        good = stack.enter_context(_writer(outputs))
        bad = stack.enter_context(_writer(failed)) if failed else None
        for path in paths:
            first = count
            for table in _batches(path, max(_ROWS, scorer.fixed or batch_size or BATCH_SIZE)):
                answers = tables.answer(scorer, _given(table, chosen, scorer.inputs, path), batch_size)
                refused = answers.reasons.is_valid()
                at = refused.index(pyarrow.scalar(True)).as_py() if answers.reasons.null_count < len(table) else -1
                if at >= 0 and bad is None:
                    raise LoadError(
                        f"Row {count - first + at} of {path!r} has no answer. {answers.reasons[at]}\n"
                        "  --failed=FILE.parquet lets the rest go on and writes such rows there."
                    )
                if bad is not None and at >= 0:
                    reason = elements.free_name(_REASON, table.column_names)
                    bad.write(table.append_column(reason, answers.reasons).filter(refused))
                kept = table.drop_columns(list(set(chosen.values())))
                for key, array in answers.outputs.items():
                    kept = kept.append_column(elements.output_name(key, kept.column_names), array)
                good.write(kept if at < 0 else kept.filter(pyarrow.compute.invert(refused)))
                count += len(table)
                progress(count)
        if not count:
            raise LoadError(f"{inputs!r} holds no rows, so there is nothing to answer.")
    return count


def _check_ending(path: str) -> None:
    if not path.endswith(_ENDINGS):
        raise LoadError(f"{path!r} is neither .parquet nor .csv, which is what tables are written to.")


def _files(pattern: str) -> list[str]:
    if os.path.isdir(pattern):
        found = [os.path.join(pattern, name) for name in os.listdir(pattern) if name.endswith(_ENDINGS)]
    else:
        found = [pattern] if os.path.exists(pattern) else glob.glob(pattern, recursive=True)
    if not found:
        raise LoadError(f"No file matches {pattern!r}.\n  Pass --inputs='data/*.parquet', a file or a folder.")
    return sorted(found)


def _batches(path: str, size: int) -> Iterator[pyarrow.Table]:
    try:
        if path.endswith(".csv"):
            with csv.open_csv(path) as stream:
                for batch in stream:
                    for start in range(0, len(batch), size):
                        yield pyarrow.Table.from_batches([batch.slice(start, size)])
        else:
            with parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(size):
                    yield pyarrow.Table.from_batches([batch])
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
        self._sink: parquet.ParquetWriter | csv.CSVWriter | None = None

    def write(self, table: pyarrow.Table) -> None:
        if self._is_csv:
            table = _as_text(table)
        if self._sink is None:
            make = csv.CSVWriter if self._is_csv else parquet.ParquetWriter
            self._sink = make(self._part, table.schema)
        self._sink.write_table(table.cast(self._sink.schema) if not self._is_csv else table)

    def close(self) -> None:
        if self._sink is None:
            # No row came: a table without columns says so.
            self.write(pyarrow.table({_REASON: pyarrow.array([], pyarrow.string())}))
        assert self._sink is not None
        self._sink.close()


@contextlib.contextmanager
def _writer(path: str) -> Iterator[_Writer]:
    ending = os.path.splitext(path)[1]
    with atomic.published(path, ending) as part:
        writer = _Writer(part, ending)
        yield writer
        writer.close()


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
