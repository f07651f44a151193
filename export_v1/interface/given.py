"""What was given on the command line or in Python, parsed and held against the graph."""

import json
import keyword
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2

from export_v1 import errors
from export_v1.interface.types import Input, Shape
from export_v1.ir import graph

_SHAPED = re.compile(r"^(?P<tensor>[^\[\]]+?)(?P<shape>\[.*\])?$")
# Flags that give a tensor a key.
_KEYED = ("input", "output", "label")
# Types of what stays inside a graph.
_NO_ARRAYS = frozenset({types_pb2.DT_VARIANT, types_pb2.DT_RESOURCE})
# So many flags to paste are enough.
_SHOWN = 6
_TRUTH = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


def split_shape(text: str) -> tuple[str, Shape, bool]:
    """Returns the tensor name, the shape behind it and whether one was written.

    >>> split_shape("images:0[None,224,224,3]"), split_shape("keep_prob")
    (('images:0', [None, 224, 224, 3], True), ('keep_prob', None, False))

    Raises:
        ExportError: the text is not a name, with or without a shape in brackets.
    """
    match = _SHAPED.match(text.strip())
    if not match:
        raise errors.ExportError(f"{text!r} is not a tensor.\n  Write images:0 or images:0[None,224,224,3].")
    if match["shape"] is None:
        return match["tensor"], None, False
    inner = match["shape"][1:-1].strip()
    sizes = [part.strip() for part in inner.split(",")] if inner else []
    shape: list[int | None] = []
    for size in sizes:
        if size.lower() in ("none", "?", "-1"):
            shape.append(None)
        elif size.isdigit():
            shape.append(int(size))
        else:
            raise errors.ExportError(
                f"{size!r} in {text!r} is not a size.\n  Write None or a number for each: images:0[None,224,224,3]."
            )
    return match["tensor"], shape, True


def tensor_type(index: graph.Index, tensor: graph.Tensor) -> int | None:
    """Returns the DataType of a tensor, or None; for an op that is not registered its readers tell."""
    types = graph.output_types(index[tensor.node])
    if types:
        return types[tensor.index] if tensor.index < len(types) else None
    for reader, _ in index.tensor_consumers(tensor):
        position = [graph.parse(edge) for edge in reader.input if not edge.startswith("^")].index(tensor)
        types = graph.input_types(reader)
        if position < len(types):
            return types[position]
    return None


def is_bool(index: graph.Index, tensor: graph.Tensor) -> bool:
    """Returns whether a tensor is a bool."""
    return tensor_type(index, tensor) == types_pb2.DT_BOOL


def tensor(index: graph.Index, text: str, *, flag: str, key: str, place: str) -> graph.Tensor:
    """Returns the tensor of the graph that `text` names; "images" means "images:0".

    Args:
        index: the graph.
        text: what was given, without a shape.
        flag: "input", "output", "label", "loss", "freeze" or "train_freeze", for the message.
        key: the key it was given under, for the message; "" where there is none.
        place: what the graph is called in messages.

    Raises:
        ExportError: no such node, or the node has no such output.
    """
    parsed = graph.parse(text)
    what = flag.capitalize() if flag in (*_KEYED, "loss") else "Tensor"
    if parsed.index < 0 or parsed.node not in index:
        known = _nameable(index)
        near = errors.closest(parsed.name, known)
        raise errors.unknown(what, text, place, known, _paste(flag, key, near[0] if near else None))
    types = graph.output_types(index[parsed.node])
    if graph.op_def(index[parsed.node].op) and parsed.index >= len(types):
        names = [f"{parsed.node}:{at}" for at in range(len(types))]
        remedy = _paste(flag, key, names[0]) if names else f"{index[parsed.node].op} gives no tensor."
        raise errors.unknown(what, parsed.name, place, names, remedy)
    return parsed


def _nameable(index: graph.Index) -> list[str]:
    """The tensors a person may mean: constants, updates and what tf.gradients and Savers add are left out."""
    names = []
    for node in index.graph_def.node:
        if node.op in ("Const", "NoOp", "Assign") or re.match(r"(.*/)?(gradients|save)(_\d+)?/", node.name):
            continue
        names += [f"{node.name}:{at}" for at in range(len(graph.output_types(node)) or 1)]
    return names


def _paste(flag: str, key: str, tensor_name: str | None) -> str:
    name = tensor_name or "TENSOR"
    if flag in _KEYED:
        return f"Pass --{flag}={key}={name}, or --list to see what there is."
    if flag == "loss":
        return f"Pass --loss={name}, or --list to see what there is."
    return f"Pass --{flag}={name}=VALUE, or --list to see what there is."


def inputs(index: graph.Index, given: Mapping[str, str], *, place: str, flag: str = "input") -> dict[str, Input]:
    """Returns the inputs, or labels, given as key -> "tensor" or "tensor[shape]", in the same order.

    Raises:
        ExportError: a name is not there, a key is a keyword of Python, one tensor has two keys, a type is unknown or
            one that no array has, or a shape is at odds with the one that the graph records: another rank or another
            size. None is welcome where the graph has a size.
    """
    result: dict[str, Input] = {}
    keys: dict[str, str] = {}
    for key, text in given.items():
        name, shape, has_shape = split_shape(text)
        if keyword.iskeyword(key):
            raise errors.ExportError(
                f"{flag.capitalize()} {key!r} has a keyword of Python for a key, and tf.saved_model.load takes no argument "
                f"of that name.\n  Give it another: --{flag}={key}_={text}"
            )
        source = tensor(index, name, flag=flag, key=key, place=place)
        if source.name in keys:
            raise errors.ExportError(
                f"{flag.capitalize()}s {keys[source.name]!r} and {key!r} are both {source.name!r}.\n"
                "  Give one of them another tensor."
            )
        keys[source.name] = key
        dtype = tensor_type(index, source)
        if dtype is None:
            raise errors.ExportError(
                f"The type of {flag} {key!r}, {source.name!r} in {place}, is not known: "
                f"op {index[source.node].op!r} is not registered.\n  Pass --op_library=FILE that registers it."
            )
        if dtype in _NO_ARRAYS:
            raise errors.ExportError(
                f"{flag.capitalize()} {key!r}, {source.name!r} in {place}, is a {tf.as_dtype(dtype).name}, and no array is one.\n"
                f"  {_behind(index, source, flag, key)}"
            )
        recorded = graph.recorded_shape(index[source.node], source.index)
        if shape is not None:
            _check_shape(key, source.name, shape, recorded, place, flag)
        result[key] = Input(source.name, dtype, shape if has_shape else recorded)
    return result


def _behind(index: graph.Index, source: graph.Tensor, flag: str, key: str) -> str:
    """What to give in the place of a tensor that nothing can be fed for: what its readers make of it."""
    made = [
        f"{reader.name}:{at}"
        for reader, _ in index.tensor_consumers(source)
        for at, dtype in enumerate(graph.output_types(reader))
        if dtype not in _NO_ARRAYS
    ]
    if not made:
        return "Pass --list to see what there is."
    flags = " ".join(f"--{flag}={key}_{at}={name}" for at, name in enumerate(dict.fromkeys(made[:_SHOWN])))
    return f"Give what is read from it: {flags}"


def shape_text(shape: Shape) -> str:
    """Returns a shape as the flags write it: "[None,3]", or "" for an unknown rank."""
    return "" if shape is None else "[" + ",".join(str(size) for size in shape) + "]"


def _check_shape(key: str, name: str, shape: list[int | None], recorded: Shape, place: str, flag: str) -> None:
    if recorded is None:
        return
    agree = len(shape) == len(recorded) and all(
        a == b or a is None or b is None for a, b in zip(shape, recorded, strict=True)
    )
    if not agree:
        opened = ",".join(["None"] * len(recorded))
        raise errors.ExportError(
            f"{flag.capitalize()} {key!r} is given as {shape_text(shape)}, but {name!r} is {shape_text(recorded)} in {place}.\n"
            f"  Pass --{flag}={key}={name}{shape_text(recorded)}; None is allowed for any size: [{opened}]."
        )


def outputs(index: graph.Index, given: Mapping[str, str], *, place: str) -> dict[str, str]:
    """Returns the outputs given as key -> tensor name, each with its ":index", in the same order."""
    return {key: tensor(index, text, flag="output", key=key, place=place).name for key, text in given.items()}


def values(index: graph.Index, given: Mapping[str, object], *, flag: str, place: str) -> dict[str, object]:
    """Returns tensor name -> value of the tensor's own type, from text as the flag has it or from Python values.

    Raises:
        ExportError: a name is not there, or a value does not fit the tensor's type or shape.
    """
    result = {}
    for name, value in given.items():
        target = tensor(index, name, flag=flag, key="", place=place)
        dtype = tensor_type(index, target)
        if dtype is None:
            raise errors.ExportError(f"The type of {target.name!r} in {place} is not known, so it cannot be frozen.")
        shape = graph.recorded_shape(index[target.node], target.index)
        result[target.name] = convert(value, dtype, shape, name=target.name, flag=flag)
    return result


def convert(value: object, dtype: int, shape: Shape, *, name: str, flag: str) -> object:
    """Returns `value` as the type `dtype`: a Python value for a scalar, else a numpy array.

    Args:
        value: text of the flag ("false", "1.0", "[1,2]", "text") or a Python or numpy value.
        dtype: DataType of the tensor.
        shape: what the graph records for the tensor; None where it records nothing.
        name: the tensor, for messages.
        flag: the flag it was given with, for messages.

    Raises:
        ExportError: the value is not of that type, or has another shape.
    """
    kind = tf.as_dtype(dtype).base_dtype
    try:
        array = _array(_parsed(value, kind), kind)
    except (ValueError, TypeError, OverflowError) as error:
        example = {"bool": "false", "string": "text"}.get(kind.name, "1.0" if kind.is_floating else "1")
        raise errors.ExportError(
            f"{value!r} is not a {kind.name} value for {name!r}: {error}.\n  Pass --{flag}={name}={example}."
        ) from error
    fits = shape is None or (
        array.ndim == len(shape) and all(b is None or a == b for a, b in zip(array.shape, shape, strict=True))
    )
    if not fits:
        raise errors.ExportError(
            f"{value!r} has shape {shape_text(list(array.shape))}, but {name!r} is {shape_text(shape)} in the graph.\n"
            f"  Pass --{flag}={name}=VALUE with a value of that shape, such as [1,2] for a vector of two."
        )
    if array.ndim:
        return array
    # A float stays as it was written: 0.8 is rounded to float32 when the constant is made, and reads as 0.8 till then.
    return float(_parsed(value, kind)) if kind.is_floating else array.item()


def _parsed(value: object, kind: tf.DType) -> Any:
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("["):
        return json.loads(text.lower() if kind == tf.bool else text)
    if kind == tf.string:
        return value
    if kind == tf.bool:
        if text.lower() not in _TRUTH:
            raise ValueError("it is neither true nor false")
        return _TRUTH[text.lower()]
    if kind.is_integer:
        return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)
    return complex(text) if kind.is_complex else float(text)


def _array(value: object, kind: tf.DType) -> np.ndarray:
    if kind == tf.string:
        raw = np.asarray(value, dtype=object)
        encoded = [item.encode() if isinstance(item, str) else item for item in raw.ravel().tolist()]
        if not all(isinstance(item, bytes) for item in encoded):
            raise ValueError("it is not text")
        result = np.empty(raw.shape, dtype=object)
        result.ravel()[:] = encoded
        return result
    raw = np.asarray(value)
    if raw.dtype.kind not in "biufcV":
        raise ValueError("it is not a number")
    if kind == tf.bool:
        if raw.dtype.kind != "b" and not np.isin(raw, (0, 1)).all():
            raise ValueError("it is neither true nor false")
        return raw.astype(bool)
    if raw.dtype.kind == "b":
        raise ValueError("true and false are not numbers")
    result = raw.astype(kind.as_numpy_dtype)
    if kind.is_integer and not (result.astype(np.float64) == raw.astype(np.float64)).all():
        raise ValueError("it is not a whole number in range")
    return result
