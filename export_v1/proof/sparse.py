"""Inputs made up for the three parts of a SparseTensor: indices, values and dense shape have to agree.

They are known by the ops that read them, whose OpDefs call them PREFIXindices, PREFIXvalues and PREFIXshape, or by the
names that tf.sparse_placeholder of TensorFlow 1.0 to 1.15 gives: NAME/indices, NAME/values and NAME/shape.
"""

import dataclasses
import itertools
from collections.abc import Container, Iterator, Mapping

import numpy as np

from export_v1.ir import graph, ops
from export_v1.ir.graph import NodeDef, Tensor, data_inputs, op_def
from export_v1.proof.reading import Reading, Shape

# Room in each axis after the first; only the first place is taken where nothing says how many there are.
WIDTH = 4
# How many values there are where nothing says so.
ROWS = 3
_PASSED = ops.IDENTITIES | ops.SWITCHES | ops.MERGES | ops.ENTERS | {"Cast"}
# Its OpDef names the dense shape by what it makes.
_NAMES = {"SparseToDense": ("sparse_indices", "sparse_values", "output_shape")}


@dataclasses.dataclass(frozen=True)
class Parts:
    """The inputs that are the parts of one SparseTensor, by key; None for a part that is no input.

    Attributes:
        indices: one row of indices for each value.
        values: one for each row of `indices`.
        shape: of the dense tensor.
        width: how many places the last axis has, where an op says so.
        fixed: the dense shape where it is constant in the graph.
        constant: name of the tensor that holds it there.
    """

    indices: str
    values: str | None
    shape: str | None
    width: int | None = None
    fixed: tuple[int, ...] | None = None
    constant: str | None = None


def found(reading: Reading, placeholders: Mapping[str, str]) -> list[Parts]:
    """Returns the SparseTensors whose parts are inputs.

    Args:
        reading: the graph.
        placeholders: input key -> placeholder name.
    """
    keys = {name: key for key, name in placeholders.items()}
    by_indices = {parts.indices: parts for parts in _by_name(placeholders)}
    for node in reading.graph_def.node:
        for parts in _by_reader(reading, node, keys):
            by_indices.setdefault(parts.indices, parts)
            if parts.width is not None:
                by_indices[parts.indices] = dataclasses.replace(by_indices[parts.indices], width=parts.width)
    return list(by_indices.values())


def _by_name(placeholders: Mapping[str, str]) -> Iterator[Parts]:
    named: dict[str, dict[str, str]] = {}
    for key, placeholder in placeholders.items():
        name, _, part = placeholder.rpartition("/")
        named.setdefault(name, {})[part] = key
    for parts in named.values():
        if {"indices", "values", "shape"} <= parts.keys():
            yield Parts(parts["indices"], parts["values"], parts["shape"])


def _by_reader(reading: Reading, node: NodeDef, keys: Mapping[str, str]) -> Iterator[Parts]:
    definition = op_def(node.op)
    if definition is None or not any(arg.name.endswith("indices") for arg in definition.input_arg):
        return
    operands = _operands(node, definition)
    for name, tensors in operands.items():
        prefix = name.removesuffix("indices")
        if not name.endswith("indices"):
            continue
        _, values, shape = _NAMES.get(node.op, (name, f"{prefix}values", f"{prefix}shape"))
        # Of several SparseTensors, they are "shapes".
        shape = next((other for other in (shape, f"{prefix}dense_shape", f"{shape}s") if other in operands), shape)
        for at, tensor in enumerate(tensors):
            indices = _input(reading, tensor, keys)
            if indices is None or at >= len(operands.get(shape, ())):
                continue
            constant = reading.value(operands[shape][at])
            width = None
            if node.op == "SparseTensorDenseMatMul":
                # Rows that no graph has in advance are those of another input.
                rows = reading.shape(operands["b"][0])
                width = (rows[0] if rows else None) or ROWS
            yield Parts(
                indices,
                _input(reading, operands[values][at], keys) if at < len(operands.get(values, ())) else None,
                _input(reading, operands[shape][at], keys),
                width,
                None if constant is None else tuple(int(size) for size in constant.ravel()),
                None if constant is None else _origin(reading, operands[shape][at]).name,
            )


def _operands(node: NodeDef, definition) -> dict[str, list[Tensor]]:
    """Returns the tensors of each input of an op, by the input's name."""
    given = iter(data_inputs(node))
    counts = graph.grouped_inputs(node)
    return {
        arg.name: list(itertools.islice(given, 1 if count is None else count))
        for arg, count in zip(definition.input_arg, counts, strict=True)
    }


def _input(reading: Reading, tensor: Tensor, keys: Mapping[str, str]) -> str | None:
    """Returns the key of the input that a tensor is, through whatever only passes it on."""
    return keys.get(_origin(reading, tensor, keys).node)


def _origin(reading: Reading, tensor: Tensor, stop: Container[str] = ()) -> Tensor:
    """Returns what a tensor is, through whatever only passes it on."""
    for _ in range(64):
        node = reading.index.nodes.get(tensor.node)
        if tensor.node in stop or node is None or node.op not in _PASSED or not len(node.input):
            break
        tensor = data_inputs(node)[0]
    return tensor


def examples(parts: Parts, shapes: Mapping[str, Shape], rng: np.random.Generator) -> tuple[dict[str, np.ndarray], int]:
    """Returns indices and dense shape by input key, one value in each row, and how many values that makes.

    Args:
        parts: of one SparseTensor.
        shapes: input key -> what the graph says of its shape.
        rng: where the indices come from.
    """
    counts = [shape[0] for shape in (shapes[parts.indices], shapes.get(parts.values or "")) if shape and shape[0]]
    count = counts[0] if counts else ROWS
    dense = list(parts.fixed) if parts.fixed else [count] + [WIDTH] * (_rank(parts, shapes) - 1)
    if parts.width and len(dense) > 1 and not parts.fixed:
        dense[-1] = parts.width
    places = int(np.prod(dense, dtype=np.int64))
    if count <= dense[0]:
        indices = np.zeros([count, len(dense)], np.int64)
        indices[:, 0] = np.arange(count)
        if parts.width:
            indices[:, -1] = rng.integers(0, dense[-1], count)
    else:
        positions = (
            np.sort(rng.permutation(min(places, 100_000))[:count]) if places >= count else np.arange(count) % places
        )
        indices = np.stack(np.unravel_index(positions, dense), axis=-1)
    made = {parts.indices: indices}
    if parts.shape is not None:
        made[parts.shape] = np.array(dense, np.int64)
    return made, count


def _rank(parts: Parts, shapes: Mapping[str, Shape]) -> int:
    for key in (parts.indices, parts.shape):
        shape = shapes[key] if key is not None else None
        if shape and shape[-1]:
            return shape[-1]
    return 2
