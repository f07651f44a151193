"""Signatures: what a graph takes and gives, by key, in call order."""

import dataclasses
from collections.abc import Mapping, Sequence

import tensorflow as tf

from export_v1.format import composite
from export_v1.format.record import Record


@dataclasses.dataclass(frozen=True)
class Spec:
    """One input or output: its tensor in the graph, its type, its shape (None: unknown rank; None inside: any size)."""

    tensor: str
    dtype: str
    shape: tuple[int | None, ...] | None

    @property
    def has_rows(self) -> bool:
        """Whether it comes row by row: it is no scalar, as far as is known."""
        return self.shape != ()

    def __str__(self) -> str:
        return f"{self.dtype} {shape_text(self.shape)}"


@dataclasses.dataclass(frozen=True)
class Signature:
    """Inputs by key in call order, and outputs by key."""

    inputs: Mapping[str, Spec]
    outputs: Mapping[str, Spec]


def shape_text(shape) -> str:
    """Returns a shape as people write it.

    >>> shape_text((None, 16)), shape_text(()), shape_text(None)
    ('[None, 16]', 'scalar', 'of unknown rank')
    """
    if shape is None:
        return "of unknown rank"
    return "[" + ", ".join(map(str, shape)) + "]" if shape else "scalar"


def read_all(meta_graph, record: Record | None) -> dict[str, Signature]:
    """Returns every signature of a MetaGraphDef that has outputs.

    The one that is served stands first, then the one for training, then the others by their names. Call order is the
    record's where step 1 wrote one, else alphabetical: a SignatureDef is a map and has no order.
    The init op's pseudo-signature (TensorFlow 2 writes `__saved_model_init_op`) is left out.
    """
    signatures = {}
    defined = meta_graph.signature_def
    for key in sorted(defined, key=lambda key: (key != "serving_default", key != "train", key)):
        if key.startswith("__saved_model"):
            continue
        definition = defined[key]
        order = _order(key, record)
        inputs, outputs = _specs(definition.inputs), _specs(definition.outputs)
        signatures[key] = Signature(_sorted(inputs, order[0]), _sorted(outputs, order[1]))
    return signatures


def with_output_shapes(signature: Signature, shapes: Mapping[str, tuple]) -> Signature:
    """Returns the signature with other shapes for the outputs whose tensor is in `shapes`."""
    outputs = {
        key: dataclasses.replace(spec, shape=shapes.get(spec.tensor, spec.shape))
        for key, spec in signature.outputs.items()
    }
    return Signature(signature.inputs, outputs)


def in_order(given: Signature, order: tuple[Sequence[str], Sequence[str]]) -> Signature:
    """Returns the signature with its inputs and outputs in the order of these keys; others follow, alphabetically."""
    return Signature(_sorted(given.inputs, order[0]), _sorted(given.outputs, order[1]))


def _order(key: str, record: Record | None) -> tuple[list[str], list[str]]:
    if record is None:
        return [], []
    entry = record.signatures.get(key)
    if entry is None or not entry.inputs:
        return list(record.inputs), list(record.outputs)
    return list(entry.inputs), list(entry.outputs)


def _sorted(specs: Mapping[str, Spec], order: Sequence[str]) -> dict[str, Spec]:
    keys = [key for key in order if key in specs] + sorted(set(specs) - set(order))
    return {key: specs[key] for key in keys}


def _specs(infos) -> dict[str, Spec]:
    specs = {}
    for key, info in infos.items():
        if info.WhichOneof("encoding") == "coo_sparse":
            # Same keys as tf.saved_model.load gives the three tensors of a sparse one.
            dtype = tf.as_dtype(info.dtype).name
            sparse = info.coo_sparse
            specs[f"{key}_indices"] = Spec(sparse.indices_tensor_name, "int64", (None, None))
            specs[f"{key}_values"] = Spec(sparse.values_tensor_name, dtype, (None,))
            specs[f"{key}_dense_shape"] = Spec(sparse.dense_shape_tensor_name, "int64", (None,))
        elif info.WhichOneof("encoding") == "composite_tensor":
            specs.update({part: _spec(component) for part, component in composite.parts(key, info)})
        else:
            specs[key] = _spec(info)
    return specs


def _spec(info) -> Spec:
    shape = tf.TensorShape(info.tensor_shape)
    return Spec(info.name, tf.as_dtype(info.dtype).name, None if shape.rank is None else tuple(shape.as_list()))
