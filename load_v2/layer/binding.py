"""Arguments of a call, in any of the accepted forms, made into tensors in the signature's order."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from load_v2.errors import LoadError, closest, quoted
from load_v2.program.signature import Spec, shape_text

_EAGER = type(tf.constant(0))


def by_order(inputs: Mapping[str, Spec], args: Sequence, kwargs: Mapping, name: str) -> list:
    """Returns the given values in the order of `inputs`.

    Accepted: positions in call order; one dict by key; keywords; for several inputs one list or tuple, as Keras models
    take it. A signature with one input takes that value alone.

    Raises:
        LoadError: keys are missing or unknown, or there are too many or too few positions.
    """
    keys = list(inputs)
    if len(args) == 1 and not kwargs:
        value = args[0]
        if isinstance(value, Mapping):
            return _from_mapping(keys, value, name)
        if len(keys) > 1 and isinstance(value, (list, tuple)):
            args = value
    if not args:
        return _from_mapping(keys, kwargs, name)
    positional = dict(zip(keys, args, strict=False))
    if len(args) > len(keys):
        raise LoadError(_takes(name, keys, f"{len(args)} were given by position"))
    twice = sorted(set(positional) & set(kwargs))
    if twice:
        raise LoadError(_takes(name, keys, f"{quoted(twice)} came both by position and by key"))
    return _from_mapping(keys, {**positional, **kwargs}, name)


def _from_mapping(keys: list[str], given: Mapping, name: str) -> list:
    if len(given) == len(keys):
        try:
            return [given[key] for key in keys]
        except KeyError:
            pass
    missing, extra = sorted(set(keys) - set(given)), sorted(map(str, set(given) - set(keys)))
    parts = [f"missing: {quoted(missing)}"] if missing else []
    parts += [f"unknown: {quoted(extra)}"] if extra else []
    near = [found for key in extra for found in closest(key, missing)]
    text = _takes(name, keys, "; ".join(parts))
    raise LoadError(text + (f"\n  Closest: {', '.join(map(repr, dict.fromkeys(near)))}." if near else ""))


def _takes(name: str, keys: list[str], problem: str) -> str:
    order = ", ".join(repr(key) for key in keys) or "no inputs"
    example = f"layer({', '.join(f'{key}=…' for key in keys)})"
    return (
        f"Layer {name!r} got other inputs than its signature has: {problem}.\n"
        f"  Known, in call order: {order}.\n  Call {example}."
    )


def tensor(key: str, spec: Spec, value, name: str):
    """Returns `value` as a dense tensor of the signature's type; a symbolic Keras tensor as it is, checked.

    Types of one kind are cast (float64 to float32, int64 to int32, float16 from mixed precision to float32), integers
    become floats; what could lose its meaning (floats to integers, numbers to strings) is refused.

    Raises:
        LoadError: type, rank or a size is not what the signature has.
    """
    if type(value) is _EAGER and value.dtype.name == spec.dtype:
        _check_shape(key, spec, value.shape, name)
        return value
    if isinstance(value, keras.KerasTensor):
        _check_type(key, spec, value.dtype, name)
        _check_shape(key, spec, value.shape, name)
        return value
    if isinstance(value, (tf.RaggedTensor, tf.SparseTensor, tf.IndexedSlices)):
        kind = type(value).__name__
        raise LoadError(
            f"Layer {name!r}: input {key!r} is a {kind}; the signature has {spec}.\n  Pass a dense tensor, for example "
            f"{'x.to_tensor()' if kind == 'RaggedTensor' else 'tf.sparse.to_dense(x)'}."
        )
    given = value if tf.is_tensor(value) else _converted(key, spec, value, name)
    _check_type(key, spec, given.dtype, name)
    _check_shape(key, spec, given.shape, name)
    given = given if given.dtype == spec.dtype else tf.cast(given, spec.dtype)
    return given if tf.executing_eagerly() else _with_known_shape(spec, given)


def _converted(key: str, spec: Spec, value, name: str) -> tf.Tensor:
    try:
        if isinstance(value, keras.Variable):
            return tf.convert_to_tensor(value)
        if isinstance(value, np.ndarray) or spec.dtype == "string":
            return tf.convert_to_tensor(value)
        return tf.convert_to_tensor(np.asarray(value))
    except (ValueError, TypeError) as error:
        raise LoadError(
            f"Layer {name!r}: input {key!r} is a {type(value).__name__} that does not make a tensor: {error}.\n"
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


def _check_shape(key: str, spec: Spec, shape, name: str) -> None:
    wanted = spec.shape
    if wanted is None:
        return
    shape = shape if isinstance(shape, tf.TensorShape) else tf.TensorShape(shape)
    if shape.rank is None:
        return
    given = shape.as_list()
    if len(given) == len(wanted):
        for have, want in zip(given, wanted, strict=True):
            if have != want and have is not None and want is not None:
                break
        else:
            return
    raise LoadError(f"Layer {name!r}: input {key!r} is {shape_text(given)}; the signature has {spec}.")


def _with_known_shape(spec: Spec, value: tf.Tensor) -> tf.Tensor:
    # A function refuses a tensor that is less known than its signature (a batch of unknown size for a fixed one).
    wanted = tf.TensorShape(spec.shape)
    return value if wanted.is_subtype_of(value.shape) and value.shape == wanted else tf.ensure_shape(value, wanted)
