"""One element (of a PCollection, of a table), held against a signature: a row for each of its inputs, or the reason why not."""

import decimal
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from load_v2.errors import LoadError, closest, quoted, unknown
from load_v2.program.signature import Spec, shape_text

_SHOWN = 60


class Flat(dict):
    """Values by key as files have them: without shapes, and more than a signature takes."""


def columns_of(inputs: Collection[str], columns: Mapping[str, str] | None) -> dict[str, str]:
    """Returns the column of each input: what is chosen, else the one of its name.

    Raises:
        LoadError: a column is chosen for what is no input.
    """
    chosen = columns or {}
    for key in chosen:
        if key not in inputs:
            raise unknown("Input", key, "the signature", inputs)
    return {key: chosen.get(key, key) for key in inputs}


def output_name(key: str, kept: Collection[str]) -> str:
    """Returns what an output is called beside columns that are kept: `out/KEY` where one has its name."""
    return f"out/{key}" if key in kept else key


def free_name(name: str, used_names: Collection[str]) -> str:
    """Returns a name for a column of ours beside others: `load_v2/NAME` where one has it."""
    return f"load_v2/{name}" if name in used_names else name


def takes_records(specs: Mapping[str, Spec]) -> bool:
    """Returns whether a signature takes serialized examples itself: one string for each row and nothing else."""
    only = next(iter(specs.values())) if len(specs) == 1 else None
    return only is not None and only.dtype == "string" and only.shape is not None and len(only.shape) == 1


def row(element: object, specs: Mapping[str, Spec]) -> dict[str, np.ndarray]:
    """Returns what one element gives to each input, of the signature's type and without the batch dimension.

    Args:
        element: a dict of array-likes by key; a tf.train.Example, as it is or serialized; a Flat; for a signature with
            a single input, an array-like for it.
        specs: inputs of the signature.

    Raises:
        LoadError: a key is missing or unknown, or a value has another type or shape; which element, which key, what was
            expected.
    """
    try:
        return _row(element, specs)
    except LoadError as error:
        raise LoadError(f"Record {shown(element)}: {error}") from error


def _row(element: object, specs: Mapping[str, Spec]) -> dict[str, np.ndarray]:
    if isinstance(element, (bytes, tf.train.Example)):
        if takes_records(specs):
            record = element if isinstance(element, bytes) else element.SerializeToString()
            return {next(iter(specs)): np.asarray(record, dtype=object)}
        element = features(parsed(element))
    if isinstance(element, Flat):
        return {key: _value(key, spec, _given(key, element, specs), flat=True) for key, spec in specs.items()}
    if not isinstance(element, Mapping):
        if len(specs) != 1:
            raise LoadError(
                f"it has type {type(element).__name__}; the signature takes {len(specs)} inputs: {quoted(specs)}.\n"
                "  Give a dict of arrays by key, or a tf.train.Example."
            )
        element = {next(iter(specs)): element}
    unknown = set(element) - set(specs)
    if unknown and set(specs) - set(element):
        raise _missing(sorted(set(specs) - set(element))[0], element)
    if unknown:
        raise LoadError(f"it has {quoted(unknown)}, which the signature does not take; it takes {quoted(specs)}.")
    return {key: _value(key, spec, _given(key, element, specs)) for key, spec in specs.items()}


def parsed(element: object) -> tf.train.Example:
    """Returns a tf.train.Example that came as it is or serialized.

    Raises:
        LoadError: the bytes are no Example.
    """
    if not isinstance(element, bytes):
        return element
    try:
        return tf.train.Example.FromString(element)
    except Exception as error:  # protobuf's DecodeError is another class in each of its implementations
        raise LoadError("its bytes are not a serialized tf.train.Example.") from error


def features(example: tf.train.Example) -> Flat:
    """Returns the values of each feature, flat."""
    flat = Flat()
    for key, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        flat[key] = list(getattr(feature, kind).value) if kind else []
    return flat


def _given(key: str, element: Mapping, specs: Mapping[str, Spec]) -> object:
    if key not in element:
        raise _missing(key, element)
    return element[key]


def _missing(key: str, element: Mapping) -> LoadError:
    near = closest(key, map(str, element))
    hint = f" Closest: {', '.join(map(repr, near))}." if near else ""
    return LoadError(f"input {key!r} is missing; it has {quoted(map(str, element)) or 'nothing'}.{hint}")


def _value(key: str, spec: Spec, value: object, flat: bool = False) -> np.ndarray:
    """Returns a value as a row of an input; `flat` values of an Example are put into its shape."""
    if value is None:
        raise LoadError(f"input {key!r} is null; the signature has {spec}.")
    wanted = None if spec.shape is None else spec.shape[1:]
    array = typed(key, spec, value)
    # What has axes of its own has to have the right ones: [2, 3] is not [3, 2].
    if flat and wanted is not None and array.ndim < 2:
        array = _shaped(key, spec, array, wanted)
    fits = wanted is None or (
        array.ndim == len(wanted) and all(b is None or a == b for a, b in zip(array.shape, wanted, strict=True))
    )
    if not fits:
        raise LoadError(
            f"input {key!r} is {shape_text(array.shape)}; the signature has {spec}, so one row is {shape_text(wanted)}."
        )
    return array


def _shaped(key: str, spec: Spec, array: np.ndarray, wanted: tuple) -> np.ndarray:
    if wanted.count(None) > 1:
        raise LoadError(
            f"input {key!r} is {spec}: an Example has no shapes, so at most one size beside the batch may be open.\n"
            "  Give dicts of arrays."
        )
    try:
        return array.reshape([-1 if size is None else size for size in wanted])
    except ValueError as error:
        raise LoadError(f"input {key!r} has {array.size} values; one row of {spec} is {shape_text(wanted)}.") from error


def typed(key: str, spec: Spec, value: object) -> np.ndarray:
    """Returns values of an input, of any shape, as an array of the input's type.

    Raises:
        LoadError: they are of another kind, or an integer does not fit the type.
    """
    dtype = tf.as_dtype(spec.dtype)
    try:
        array = numbers(value, spec.dtype)
    except ValueError as error:
        raise LoadError(f"input {key!r} is no array: {error}; the signature has {spec}.") from error
    if dtype == tf.string:
        items = np.asarray(value, dtype=object)
        encoded = [item.encode() if isinstance(item, str) else item for item in items.ravel().tolist()]
        if not all(isinstance(item, bytes) for item in encoded):
            raise LoadError(f"input {key!r} is {_name(array)}; the signature has {spec}.")
        made = np.empty(items.shape, dtype=object)
        made.ravel()[:] = encoded
        return made
    # As everywhere in this package: a kind may widen, never lose its meaning. Nothing at all is of any type.
    widened = "biufc".find(array.dtype.kind.replace("u", "i"))
    kind = "biufc".find("f" if dtype.is_floating else "c" if dtype.is_complex else "b" if dtype.is_bool else "i")
    if array.size and (widened < 0 or widened > kind or (dtype.is_bool and widened != kind)):
        if not (dtype.is_bool and array.dtype.kind == "i" and np.isin(array, (0, 1)).all()):
            raise LoadError(f"input {key!r} is {_name(array)}; the signature has {spec}.")
    made = array.astype(dtype.as_numpy_dtype)
    if dtype.is_integer and made.dtype != array.dtype and not np.array_equal(made, array):
        raise LoadError(f"input {key!r} has a value that does not fit {spec.dtype}; the signature has {spec}.")
    return made


def numbers(value: object, dtype: str) -> np.ndarray:
    """Returns values as an array of the type that they have; decimals as integers where they are whole, else as floats.

    Whole numbers that are meant as uint64 are that: NumPy takes 0 for an int64 and the largest for uint64, and both
    together for floats, which are others.
    """
    array = np.asarray(value)
    is_mixed = dtype == "uint64" and array.dtype == np.float64 and not isinstance(value, np.ndarray)
    if array.dtype != object and not is_mixed:
        return array
    given = np.asarray(value, dtype=object).ravel().tolist()
    items = [_whole(item) for item in given]
    if dtype == "uint64" and all(isinstance(item, int) and 0 <= item < 2**64 for item in items):
        return np.array(items, np.uint64).reshape(array.shape)
    if any(isinstance(item, decimal.Decimal) for item in given):
        return np.asarray(items).reshape(array.shape)
    return array


def _whole(item: object) -> object:
    """Returns a decimal as an integer or a float, and anything else as it is."""
    if not isinstance(item, decimal.Decimal):
        return item
    return int(item) if item.is_finite() and item == item.to_integral_value() else float(item)


def _name(array: np.ndarray) -> str:
    """Returns what an array holds, as a message says it."""
    if array.dtype != object:
        return "string" if array.dtype.kind in "SU" else array.dtype.name
    kinds = {type(item).__name__ for item in array.ravel().tolist()}
    if "NoneType" in kinds:
        return "partly null"
    return f"of type {', '.join(sorted(kinds))}"


def shown(element: Any) -> str:
    """Returns an element in a few words, so that it can be found: its type, and its short values."""
    try:
        values = features(parsed(element)) if isinstance(element, (bytes, tf.train.Example)) else element
    except LoadError:
        return f"of {len(element)} bytes, {element[:16]!r}…"
    if not isinstance(values, Mapping):
        return f"of type {type(element).__name__}"
    texts = {str(key): _text(value) for key, value in values.items()}
    short = ", ".join(f"{key}={text}" for key, text in sorted(texts.items()) if text)
    return "{" + short[: 2 * _SHOWN] + "}" if short else f"with {quoted(texts) or 'nothing'}"


def _text(value: object) -> str:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    text = repr(value) if not isinstance(value, np.ndarray) or value.ndim == 0 else ""
    return text if len(text) <= _SHOWN else ""
