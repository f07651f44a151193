"""Columns of a table answered by a signature: what Spark, Ray and files of tables have in common. Needs pyarrow.

Columns that are arrays, or lists of one length, go to the signature as they lie in memory. Where something in a batch does
not fit, or the graph fails on it, that batch is answered row by row, so that each row that has no answer has its reason.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow
import tensorflow as tf

from load_v2.errors import LoadError
from load_v2.program.signature import Spec
from load_v2.scoring import elements
from load_v2.scoring.scorer import BATCH_SIZE, Failure, Scorer

# pyarrow.Array, pyarrow.ChunkedArray or np.ndarray.
Column = Any
# Types that Arrow, or what is written from it, does not have, and what holds each of their values.
_STORED = {"bfloat16": "float32", "float16": "float32"}


@dataclasses.dataclass(frozen=True)
class Answers:
    """What became of the rows of a table.

    Attributes:
        outputs: an array for each output, null for rows that have no answer.
        reasons: why a row has none; null for rows that have one.
    """

    outputs: Mapping[str, pyarrow.Array]
    reasons: pyarrow.Array


def answer(scorer: Scorer, columns: Mapping[str, Column], batch_size: int | None = None) -> Answers:
    """Returns the answers to the rows of a table.

    Args:
        scorer: the signature.
        columns: by input key, all of one length. Lists are the axes of a row, or its values without a shape.
        batch_size: rows at a time; default 256, or the graph's own.

    Raises:
        LoadError: a column is missing, an output is a scalar, or has a type that Arrow lacks.
    """
    types = {key: arrow_type(key, spec) for key, spec in scorer.outputs.items()}
    missing = [key for key in scorer.inputs if key not in columns]
    if missing:
        raise LoadError(f"There is no column {missing[0]!r}; there are {', '.join(map(repr, columns)) or 'none'}.")
    used = {key: _plain(columns[key]) for key in scorer.inputs}
    count = len(next(iter(used.values()), ()))
    size = scorer.fixed or batch_size or BATCH_SIZE
    pieces: dict[str, list[pyarrow.Array]] = {key: [] for key in types}
    reasons: list[str | None] = []
    for start in range(0, count, size):
        part = {key: column[start : start + size] for key, column in used.items()}
        answers, failed = _batch(scorer, part, min(size, count - start))
        reasons += failed
        for key, values in answers.items():
            pieces[key].append(_arrow(key, values, types[key], scorer.outputs[key], failed))
    outputs = {key: _joined(parts, types[key]) for key, parts in pieces.items()}
    return Answers(outputs, pyarrow.array(reasons, pyarrow.string()))


def _batch(scorer: Scorer, columns: Mapping[str, Column], count: int) -> tuple[Mapping[str, Any], list[str | None]]:
    """Returns, by output key, the answers to the rows that have one, in order; and the reason of each row that has none."""
    failed: list[str | None] = [None] * count
    arrays = _whole(columns, scorer.inputs)
    if arrays is not None:
        try:
            answers = scorer.batch(arrays)
        except (tf.errors.OpError, ValueError):
            # Which rows these are, and whether it is the rows at all, comes out row by row.
            pass
        else:
            return answers, failed
    cells = zip(*map(_items, columns.values()), strict=True)
    rows = scorer.elements([elements.Flat(zip(columns, row, strict=True)) for row in cells])
    failed = [row.reason if isinstance(row, Failure) else None for row in rows]
    answered = [row for row in rows if not isinstance(row, Failure)]
    return {key: [row[key] for row in answered] for key in scorer.outputs}, failed


def _plain(column: Column) -> Column:
    """Returns a column without chunks, and without a dictionary or an extension around it."""
    if isinstance(column, pyarrow.ChunkedArray):
        column = column.combine_chunks()
        if isinstance(column, pyarrow.ChunkedArray):
            column = pyarrow.concat_arrays(column.chunks) if column.num_chunks else pyarrow.array([], column.type)
    if isinstance(column, pyarrow.ExtensionArray):
        # Tensors of Ray and of Arrow know their shape; both give arrays by this name.
        whole = getattr(column, "to_numpy_ndarray", None) or (lambda: column.to_numpy(zero_copy_only=False))
        return np.asarray(whole())
    if isinstance(column, pyarrow.DictionaryArray):
        return column.dictionary_decode()
    return column


def _items(column: Column) -> list:
    return column.to_pylist() if isinstance(column, pyarrow.Array) else list(column)


def _whole(columns: Mapping[str, Column], specs: Mapping[str, Spec]) -> dict[str, np.ndarray] | None:
    """Returns the columns as arrays for the signature, None where that cannot be."""
    arrays = {}
    for key, spec in specs.items():
        array = _dense(columns[key])
        if array is None:
            return None
        try:
            array = elements.typed(key, spec, array)
        except LoadError:
            return None
        if not spec.has_rows:
            # An input without rows has one value for all of a batch.
            if array.ndim != 1 or len(set(array.tolist())) != 1:
                return None
            arrays[key] = array[0] if array.dtype != object else np.asarray(array[0], dtype=object)
            continue
        shaped = _in_shape(array, spec)
        if shaped is None:
            return None
        arrays[key] = shaped
    return arrays


def _in_shape(array: np.ndarray, spec: Spec) -> np.ndarray | None:
    if spec.shape is None:
        return array
    wanted = spec.shape[1:]
    if array.ndim <= 2 and wanted.count(None) <= 1:
        if array.ndim == 2 and not array.shape[1] and None in wanted:
            return None
        try:
            return array.reshape([len(array), *(-1 if size is None else size for size in wanted)])
        except ValueError:
            return None
    fits = array.ndim == len(spec.shape) and all(
        b is None or a == b for a, b in zip(array.shape[1:], wanted, strict=True)
    )
    return array if fits else None


def _dense(column: Column) -> np.ndarray | None:
    """Returns a column as one array, None where rows differ in shape or have nulls."""
    if isinstance(column, np.ndarray):
        if column.dtype != object:
            return column
        try:
            stacked = np.stack([np.asarray(item) for item in column]) if len(column) else None
        except ValueError:
            return None
        return stacked
    sizes = [len(column)]
    while _is_list(column.type):
        if column.null_count:
            return None
        lengths = np.unique(np.asarray(column.value_lengths()))
        if len(lengths) != 1:
            return None
        sizes.append(int(lengths[0]))
        column = column.flatten()
    if column.null_count:
        return None
    if pyarrow.types.is_decimal(column.type):
        kind = pyarrow.float64() if column.type.scale else pyarrow.uint64()
        try:
            column = column.cast(kind)
        except pyarrow.ArrowInvalid:
            # Below zero, or more than 64 bits: row by row it comes out which.
            return None
    if pyarrow.types.is_string(column.type) or pyarrow.types.is_large_string(column.type):
        column = column.cast(pyarrow.large_binary())
    return column.to_numpy(zero_copy_only=False).reshape(sizes)


def _is_list(kind: pyarrow.DataType) -> bool:
    types = pyarrow.types
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def arrow_type(key: str, spec: Spec) -> pyarrow.DataType:
    """Returns the type of the column for an output: lists within lists as its axes, flat where its rank is unknown.

    Raises:
        LoadError: it is not one answer for each row, or Arrow has no such type.
    """
    if not spec.has_rows:
        raise LoadError(f"Output {key!r} is {spec}: it is not one answer for each row.\n  Export without it.")
    try:
        scalar = pyarrow.binary() if spec.dtype == "string" else pyarrow.from_numpy_dtype(_stored(spec))
    except (pyarrow.ArrowException, TypeError) as error:
        raise LoadError(f"Output {key!r} is {spec}, a type that tables do not have.") from error
    for _ in range(1 if spec.shape is None else len(spec.shape) - 1):
        scalar = pyarrow.list_(scalar)
    return scalar


def _stored(spec: Spec) -> str:
    return _STORED.get(spec.dtype, spec.dtype)


def _arrow(key: str, values, kind: pyarrow.DataType, spec: Spec, failed: Sequence[str | None]) -> pyarrow.Array:
    """Returns one output of a batch; null where a row has failed."""
    if isinstance(values, list):
        # A string alone has come out of its array, and NumPy's own strings would lose zero bytes at their ends.
        rows = [np.asarray(value, dtype=object if spec.dtype == "string" else None) for value in values]
        alike = len({row.shape for row in rows}) == 1
        stacks = [np.stack(rows)] if alike else [row[np.newaxis] for row in rows]
        array = _joined([_nested(key, stack, kind, spec) for stack in stacks], kind)
    else:
        array = _nested(key, values, kind, spec)
    if not any(failed):
        return array
    places, at = [], 0
    for reason in failed:
        places.append(at if reason is None else None)
        at += reason is None
    return array.take(pyarrow.array(places, pyarrow.int64()))


def _nested(key: str, array: np.ndarray, kind: pyarrow.DataType, spec: Spec) -> pyarrow.Array:
    """Returns an array as lists within lists, one for each row."""
    if spec.shape is None:
        array = array.reshape(len(array), -1)
    elif array.ndim != len(spec.shape):
        raise LoadError(f"Output {key!r} has {array.ndim} axes; the signature has {spec}.")
    flat = array.ravel() if spec.dtype == "string" else np.ascontiguousarray(array, dtype=_stored(spec)).ravel()
    leaf = kind
    while _is_list(leaf):
        leaf = leaf.value_type
    made = pyarrow.array(flat.tolist() if spec.dtype == "string" else flat, leaf)
    for axis in range(array.ndim - 1, 0, -1):
        size, count = array.shape[axis], int(np.prod(array.shape[:axis]))
        made = pyarrow.ListArray.from_arrays(np.arange(count + 1, dtype=np.int32) * np.int32(size), made)
    return made.cast(kind)


def _joined(parts: list[pyarrow.Array], kind: pyarrow.DataType) -> pyarrow.Array:
    return pyarrow.concat_arrays(parts) if parts else pyarrow.array([], kind)


def as_array(column: pyarrow.Array) -> np.ndarray:
    """Returns a column as one array; of objects, None for null, where rows have nulls or differ in shape."""
    # Text stays text: `_dense` makes bytes of it, as a signature takes it.
    array = None if pyarrow.types.is_string(column.type) else _dense(column)
    if array is not None:
        return array.astype(object) if array.dtype.kind in "SU" else array
    objects = np.empty(len(column), dtype=object)
    for at, item in enumerate(column.to_pylist()):
        objects[at] = np.asarray(item) if isinstance(item, list) else item
    return objects
