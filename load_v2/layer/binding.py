"""Arguments of a call, in any of the accepted forms, made into tensors in the signature's order."""

from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from load_v2.errors import LoadError, closest, quoted
from load_v2.layer import columns
from load_v2.program.signature import Spec, shape_text

_EAGER = type(tf.constant(0))


# What becomes of inputs that the signature does not have.
EXTRA = ("refuse", "ignore")


def known_extra(extra: str) -> str:
    """Returns what becomes of inputs that the signature does not have, or raises LoadError."""
    if extra not in EXTRA:
        raise LoadError(f"extra={extra!r} is not known.\n  Known: {quoted(EXTRA)}.")
    return extra


def by_order(
    inputs: Mapping[str, Spec],
    args: Sequence,
    kwargs: Mapping,
    name: str,
    *,
    extra: str = "refuse",
    is_ordered: bool = True,
) -> list:
    """Returns the given values in the order of `inputs`.

    Accepted: positions in call order; one dict by key; a data frame or an Arrow table with a column for each key; keywords;
    for several inputs one list or tuple, as Keras models take it. A signature with one input takes that value alone; one
    that is a matrix takes a table of as many columns, none of which has its key.

    Args:
        inputs: of the signature, in call order.
        args: by position.
        kwargs: by key.
        name: of the layer.
        extra: "ignore" drops keys that the signature does not have.
        is_ordered: whether the call order is known.

    Raises:
        LoadError: keys are missing or unknown, or there are too many or too few positions.
    """
    keys = list(inputs)
    if len(args) == 1 and not kwargs:
        value = args[0]
        if isinstance(value, Mapping):
            return _from_mapping(keys, value, name, extra)
        if len(keys) > 1 and isinstance(value, (list, tuple)):
            args = value
        elif type(value) is not _EAGER and (table := columns.of_table(value)) is not None:
            return _from_table(inputs, table, name, extra)
    if not args:
        return _from_mapping(keys, kwargs, name, extra)
    if len(keys) > 1 and not is_ordered:
        raise LoadError(
            f"Layer {name!r} got inputs by position, and what tf.saved_model.load returned does not know the order of step 1.\n"
            f"  Call {_example(keys)}, or make the layer from the folder: SignatureLayer(DIR)."
        )
    positional = dict(zip(keys, args, strict=False))
    if len(args) > len(keys):
        raise LoadError(_takes(name, keys, f"{len(args)} were given by position"))
    twice = sorted(set(positional) & set(kwargs))
    if twice:
        raise LoadError(_takes(name, keys, f"{quoted(twice)} came both by position and by key"))
    return _from_mapping(keys, {**positional, **kwargs}, name, extra)


def _from_table(inputs: Mapping[str, Spec], table: dict[str, object], name: str, extra: str) -> list:
    if len(inputs) == 1:
        key, spec = next(iter(inputs.items()))
        if key not in table and spec.shape is not None and list(spec.shape[1:]) == [len(table)]:
            return [columns.matrix(table, key, spec, name)]
    return _from_mapping(list(inputs), table, name, extra)


def _from_mapping(keys: list[str], given: Mapping, name: str, extra: str) -> list:
    if len(given) == len(keys) or extra == "ignore":
        try:
            return [given[key] for key in keys]
        except KeyError:
            pass
    missing, unknown = sorted(set(keys) - set(given)), sorted(map(str, set(given) - set(keys)))
    parts = [f"missing: {quoted(missing)}"] if missing else []
    parts += [f"unknown: {quoted(unknown)}"] if unknown else []
    near = [key for other in unknown for key in closest(other, missing)]
    text = _takes(name, keys, "; ".join(parts))
    if near:
        text += f"\n  Closest: {', '.join(map(repr, dict.fromkeys(near)))}."
    if not missing:
        text += '\n  To drop the others: extra="ignore", where the layer is made or called.'
    raise LoadError(text)


def _takes(name: str, keys: list[str], problem: str) -> str:
    order = ", ".join(repr(key) for key in keys) or "no inputs"
    return (
        f"Layer {name!r} got other inputs than its signature has: {problem}.\n"
        f"  Known, in call order: {order}.\n  Call {_example(keys)}."
    )


def _example(keys: list[str]) -> str:
    return f"layer({', '.join(f'{key}=…' for key in keys)})"


def tensor(key: str, spec: Spec, value, name: str):
    """Returns `value` as a dense tensor of the signature's type and rank; a symbolic Keras tensor stays symbolic.

    Types of one kind are cast (float64 to float32, int64 to int32, float16 from mixed precision to float32), integers
    become floats; what could lose its meaning (floats to integers, numbers to strings) is refused. Columns, lists and
    object arrays become tensors as `columns.array` reads them; [N, 1] becomes [N] and [N] becomes [N, 1] where the
    signature has exactly that.

    Raises:
        LoadError: type, rank or a size is not what the signature has.
    """
    if type(value) is _EAGER and value.dtype.name == spec.dtype:
        return _of_rank(key, spec, value, name)
    if isinstance(value, keras.KerasTensor):
        _check_type(key, spec, value.dtype, name)
        return _of_rank(key, spec, value, name)
    if isinstance(value, (tf.RaggedTensor, tf.SparseTensor, tf.IndexedSlices)):
        kind = type(value).__name__
        raise LoadError(
            f"Layer {name!r}: input {key!r} is a {kind}; the signature has {spec}.\n  Pass a dense tensor, for example "
            f"{'x.to_tensor()' if kind == 'RaggedTensor' else 'tf.sparse.to_dense(x)'}."
        )
    given = value if tf.is_tensor(value) else _converted(key, spec, value, name)
    _check_type(key, spec, given.dtype, name)
    given = _of_rank(key, spec, given, name)
    given = given if given.dtype == spec.dtype else tf.cast(given, spec.dtype)
    return given if tf.executing_eagerly() else _with_known_shape(spec, given)


def _converted(key: str, spec: Spec, value, name: str) -> tf.Tensor:
    if isinstance(value, keras.Variable):
        return tf.convert_to_tensor(value)
    try:
        if spec.dtype == "string" and isinstance(value, (str, bytes, list, tuple)):
            # An array of NumPy's would lose zero bytes at the ends of strings.
            return tf.convert_to_tensor(value)
        return tf.convert_to_tensor(columns.array(key, spec, value, name))
    except (ValueError, TypeError) as error:
        if isinstance(error, LoadError):
            raise
        raise LoadError(
            f"Layer {name!r}: input {key!r} has type {type(value).__name__}, and cannot be converted to a tensor:\n  {error}\n"
            f"  The signature has {spec}."
        ) from error


def _check_type(key: str, spec: Spec, dtype, name: str) -> None:
    given = tf.as_dtype(dtype)
    wanted = tf.as_dtype(spec.dtype)
    if given == wanted:
        return
    number = given.is_floating or given.is_integer or given.is_bool
    kind = (given.is_bool, given.is_integer, given.is_floating).index(True) if number else None
    levels = (wanted.is_bool, wanted.is_integer, wanted.is_floating)
    if kind is None or True not in levels or kind > levels.index(True):
        raise LoadError(
            f"Layer {name!r}: input {key!r} is {given.name}; the signature has {spec}.\n"
            f"  Convert it first, if that is what you mean: tf.cast(x, tf.{wanted.name})."
        )


def _of_rank(key: str, spec: Spec, value, name: str):
    """Returns a tensor in the rank that the signature has, where the value has one reading in that rank."""
    wanted = spec.shape
    if wanted is None:
        return value
    shape = value.shape if isinstance(value.shape, tf.TensorShape) else tf.TensorShape(value.shape)
    if shape.rank is None:
        return value
    given = shape.as_list()
    if _fits(given, wanted):
        return value
    if len(wanted) == 1 and len(given) == 2 and given[1] == 1 and _fits(given[:1], wanted):
        return _reshaped(value, given[:1], [-1])
    if len(wanted) == 2 and wanted[1] == 1 and len(given) == 1 and _fits([*given, 1], wanted):
        return _reshaped(value, [*given, 1], [-1, 1])
    raise LoadError(f"Layer {name!r}: input {key!r} is {shape_text(given)}; the signature has {spec}.")


def _fits(given: list, wanted: Sequence) -> bool:
    return len(given) == len(wanted) and all(
        have == want or have is None or want is None for have, want in zip(given, wanted, strict=True)
    )


def _reshaped(value, known: list, target: list[int]):
    if isinstance(value, keras.KerasTensor):
        return keras.KerasTensor(known, dtype=value.dtype)
    return tf.reshape(value, target)


def _with_known_shape(spec: Spec, value: tf.Tensor) -> tf.Tensor:
    # A function refuses a tensor that is less known than its signature (a batch of unknown size for a fixed one).
    wanted = tf.TensorShape(spec.shape)
    return value if wanted.is_subtype_of(value.shape) and value.shape == wanted else tf.ensure_shape(value, wanted)
