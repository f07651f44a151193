"""Values as people have them: tables as columns by name, and columns, lists and object arrays as NumPy arrays.

pandas, polars and Arrow are told by what their objects can do, so that none of them has to be installed.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from load_v2.errors import LoadError
from load_v2.program.signature import Spec


def of_table(value: Any) -> dict[str, object] | None:
    """Returns the columns of a data frame or an Arrow table by name, None where it is neither.

    Raises:
        LoadError: two columns have one name.
    """
    if hasattr(value, "column_names") and hasattr(value, "column"):
        names, columns = list(value.column_names), [value.column(index) for index in range(len(value.column_names))]
    elif hasattr(value, "columns") and hasattr(value, "dtypes") and hasattr(value, "__getitem__"):
        names = [str(label) for label in value.columns]
        columns = [] if len(set(names)) < len(names) else [value[label] for label in value.columns]
    else:
        return None
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise LoadError(f"The table has more than one column {twice[0]!r}.\n  Rename or drop the others first.")
    return dict(zip(names, columns, strict=True))


def matrix(columns: dict[str, object], key: str, spec: Spec, name: str) -> np.ndarray:
    """Returns columns of numbers or strings as one array [rows, columns], in their order."""
    arrays = [array(f"{key}, column {column}", spec, value, name) for column, value in columns.items()]
    return np.stack([column.astype(object) if column.dtype.kind in "US" else column for column in arrays], axis=1)


def array(key: str, spec: Spec, value: object, name: str) -> np.ndarray:
    """Returns a value as an array of numbers, or of strings (of type object, or NumPy's own).

    Args:
        key: of the input, for messages.
        spec: what the signature has.
        value: anything that is no tensor: a column, an array, nested lists, a number.
        name: of the layer.

    Raises:
        LoadError: values are missing, rows have different shapes, or it is nothing that an array can be made of.
    """
    try:
        made = _read(value)
    except (ValueError, TypeError) as error:
        reason = str(error).rstrip(".")
        raise LoadError(
            f"Layer {name!r}: input {key!r} has type {type(value).__name__}, and cannot be converted to an array: {reason}.\n"
            f"  The signature has {spec}."
        ) from error
    if made.dtype == object and not made.ndim and not isinstance(value, np.ndarray):
        raise LoadError(
            f"Layer {name!r}: input {key!r} has type {type(value).__name__}, and cannot be converted to a tensor.\n"
            f"  The signature has {spec}."
        )
    if made.dtype.kind == "T":
        return made.astype(object)
    if made.dtype.kind == "f" and tf.as_dtype(spec.dtype).is_integer and np.isnan(made).any():
        # pandas makes floats of integers where some are missing.
        raise _missing(key, spec, made.ravel(), int(np.isnan(made).argmax()), name)
    return _of_objects(key, spec, made, name) if made.dtype == object else made


def _read(value: Any) -> np.ndarray:
    if hasattr(value, "isna") and not isinstance(getattr(value, "dtype", None), np.dtype) and value.isna().any():
        # A column of pandas' that can lack values: NumPy would make numbers of what is missing.
        return np.array(list(value), dtype=object)
    if not hasattr(value, "to_pylist") or not hasattr(value, "null_count"):
        return np.asarray(value)
    if value.null_count:
        return np.array(value.to_pylist(), dtype=object)
    try:
        return value.to_numpy(zero_copy_only=False)
    except TypeError:
        # A column in chunks, in versions of Arrow in which it has no such argument.
        return value.to_numpy()


def _of_objects(key: str, spec: Spec, value: np.ndarray, name: str) -> np.ndarray:
    """Returns an array of objects as what these are: strings, numbers, or equal arrays, which are stacked."""
    items = value.ravel()
    if not items.size:
        return np.zeros(value.shape, tf.as_dtype(spec.dtype).as_numpy_dtype)
    row = next((index for index, item in enumerate(items) if _is_missing(item)), None)
    if row is not None:
        raise _missing(key, spec, items, row, name)
    if all(isinstance(item, (str, bytes)) for item in items):
        return value
    if any(isinstance(item, (str, bytes)) for item in items):
        kinds = sorted({type(item).__name__ for item in items})
        raise LoadError(f"Layer {name!r}: input {key!r} mixes {' and '.join(kinds)}.\n  The signature has {spec}.")
    rows = [item if isinstance(item, np.ndarray) else np.asarray(item) for item in items]
    rows = [_of_objects(key, spec, item, name) if item.dtype == object and item.ndim else item for item in rows]
    shapes = list(dict.fromkeys(item.shape for item in rows))
    if len(shapes) > 1 or any(item.dtype == object for item in rows):
        what = f"different shapes: {_listed(shapes)}" if len(shapes) > 1 else "no type that a tensor has"
        raise LoadError(
            f"Layer {name!r}: input {key!r} is an object array whose elements have {what}.\n"
            f"  The signature has {spec}. Make them one array first: np.stack(x)."
        )
    return np.stack(rows).reshape(value.shape + shapes[0])


def _missing(key: str, spec: Spec, items: np.ndarray, row: int, name: str) -> LoadError:
    return LoadError(
        f"Layer {name!r}: input {key!r} has missing values; the first is element {row}: {items[row]}.\n"
        f"  The signature has {spec}, which cannot say that a value is missing. Fill or drop them first."
    )


def _is_missing(item) -> bool:
    # pandas.NA and NaT refuse to be told apart by comparison; they have names.
    return item is None or type(item).__name__ in ("NAType", "NaTType") or (isinstance(item, float) and item != item)


def _listed(shapes) -> str:
    return ", ".join(str(list(shape)) for shape in shapes[:4]) + (", …" if len(shapes) > 4 else "")
