"""Golden cases as tables, and tables of answers as arrays."""

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow

from tests.support import cases

# What Arrow, or what reads it, has for a type that it lacks.
_COLUMNS = {"float16": "float32"}


def of(arrays: Mapping[str, np.ndarray]) -> pyarrow.Table:
    """Returns rows as a table: lists in lists for their axes, and a column `id`."""
    count = len(next(iter(arrays.values())))
    columns = {key: pyarrow.array(value.tolist(), _type(value)) for key, value in arrays.items()}
    return pyarrow.table({"id": pyarrow.array(range(count)), **columns})


def _type(value: np.ndarray) -> pyarrow.DataType:
    name = _COLUMNS.get(value.dtype.name, value.dtype.name)
    made = pyarrow.binary() if value.dtype == object else pyarrow.from_numpy_dtype(np.dtype(name))
    for _ in range(value.ndim - 1):
        made = pyarrow.list_(made)
    return made


def check(rows: Iterable[Mapping[str, object]], case: cases.Case) -> None:
    """Asserts that rows, in any order of their ids, have the answers of a case, of its types, and no reason."""
    ordered = sorted(rows, key=lambda row: row["id"])
    assert [row.get("reason") for row in ordered] == [None] * len(ordered)
    expected = case.oracle()
    got = {}
    for key, value in expected.items():
        cells = [row[key] for row in ordered]
        # A decimal is what Spark has for a uint64.
        got[key] = np.array(cells, dtype=object).astype(value.dtype) if value.dtype == np.uint64 else np.array(cells)
        if value.dtype == object:
            got[key] = np.array(cells, dtype=object)
    cases.assert_equal(got, expected)
