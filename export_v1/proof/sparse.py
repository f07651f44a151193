"""Inputs made up for the three parts of a SparseTensor: indices, values and dense shape have to agree.

They are known by the ops that read them, whose OpDefs call them PREFIXindices, PREFIXvalues and PREFIXshape, or by the
names that tf.sparse_placeholder of TensorFlow 1.0 to 1.15 gives: NAME/indices, NAME/values and NAME/shape.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from export_v1.ir import graph
from export_v1.ir.graph import NodeDef, Tensor, attr, data_inputs, op_def
from export_v1.proof.reading import Reading, Shape

# Room in each axis after the first; only the first place is taken where nothing says how many there are.
WIDTH = 4
# How many values there are where nothing says so.
ROWS = 3
# Ops between an input and what reads it that only give it another form, at most.
_MOST_FORMS = 16
# The operand whose sizes the dense shape has.
_BESIDE_DENSE = {
    "SparseDenseCwiseMul": "dense",
    "SparseDenseCwiseDiv": "dense",
    "SparseDenseCwiseAdd": "dense",
    "SparseTensorDenseAdd": "b",
}
# Its OpDef names the dense shape by what it makes.
_NAMES = {"SparseToDense": ("sparse_indices", "sparse_values", "output_shape")}


@dataclasses.dataclass(frozen=True)
class Parts:
    """The inputs that are the parts of one SparseTensor, by key; None for a part that is no input.

    Attributes:
        indices: one row of indices for each value.
        values: one for each row of `indices`.
        shape: of the dense tensor.
        sizes: how many places the last axes have, where an op says so.
        fixed: the dense shape where it is constant in the graph.
        constant: name of the tensor that holds it there.
    """

    indices: str
    values: str | None
    shape: str | None
    sizes: tuple[int | None, ...] = ()
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
            before = by_indices[parts.indices]
            by_indices[parts.indices] = dataclasses.replace(before, sizes=_larger(before.sizes, parts.sizes))
    return list(by_indices.values())


def _larger(first: tuple[int | None, ...], second: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """Returns sizes of last axes that hold what either has."""
    pairs = reversed(list(itertools.zip_longest(reversed(first), reversed(second))))
    return tuple(max((size for size in pair if size is not None), default=None) for pair in pairs)


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
            indices, order = _source(reading, tensor, keys)
            if indices is None:
                continue
            if node.op == "CTCLoss":
                # One row for each sequence, and no shape.
                yield Parts(indices, _input(reading, operands[values][at], keys), None)
            if at >= len(operands.get(shape, ())):
                continue
            constant = reading.value(operands[shape][at])
            yield Parts(
                indices,
                _input(reading, operands[values][at], keys) if at < len(operands.get(values, ())) else None,
                _input(reading, operands[shape][at], keys),
                _in_order(_sizes(reading, node, operands), order),
                None if constant is None else tuple(int(size) for size in constant.ravel()),
                None if constant is None else reading.origin(operands[shape][at]).name,
            )


def _sizes(reading: Reading, node: NodeDef, operands: Mapping[str, list[Tensor]]) -> tuple[int | None, ...]:
    """Returns the sizes of the last axes of a SparseTensor that a dense operand of an op asks for."""
    if node.op == "SparseTensorDenseMatMul":
        rows = reading.shape(operands["b"][0])
        # Rows that no graph has in advance are those of another input.
        size = (rows[1 if attr(node, "adjoint_b").b else 0] if rows else None) or ROWS
        return (size, None) if attr(node, "adjoint_a").b else (size,)
    if node.op in _BESIDE_DENSE:
        shape = reading.shape(operands[_BESIDE_DENSE[node.op]][0])
        # Of one row or column, it is spread over the others.
        return tuple(size if size != 1 else None for size in shape or ())
    return ()


def _operands(node: NodeDef, definition) -> dict[str, list[Tensor]]:
    """Returns the tensors of each input of an op, by the input's name."""
    given = iter(data_inputs(node))
    counts = graph.grouped_inputs(node)
    return {
        arg.name: list(itertools.islice(given, 1 if count is None else count))
        for arg, count in zip(definition.input_arg, counts, strict=True)
    }


def _input(reading: Reading, tensor: Tensor, keys: Mapping[str, str]) -> str | None:
    """Returns the key of the input that a tensor is, through whatever only passes it on or sorts it."""
    return _source(reading, tensor, keys)[0]


def _source(reading: Reading, tensor: Tensor, keys: Mapping[str, str]) -> tuple[str | None, list[int]]:
    """Returns the key of the input that a tensor is, and the order in which its columns, the axes, have been put.

    `tf.sparse.transpose` computes an order that it isn't given: the last axis comes first.
    """
    order: list[int] = []
    is_turned = False
    for _ in range(_MOST_FORMS):
        tensor = reading.origin(tensor, keys)
        node = reading.index.nodes.get(tensor.node)
        if tensor.node in keys or node is None:
            break
        inputs = data_inputs(node)
        if node.op == "SparseReorder" and tensor.index < 2:
            tensor = inputs[tensor.index]
        elif node.op == "Transpose":
            tensor, is_turned = inputs[0], not is_turned
        elif node.op == "GatherV2" and is_turned:
            given = reading.value(inputs[1])
            order = [-1, -2] if given is None else [int(axis) for axis in given.ravel()]
            tensor = inputs[0]
        else:
            break
    return keys.get(tensor.node), order


def _in_order(sizes: tuple[int | None, ...], order: list[int]) -> tuple[int | None, ...]:
    """Returns the sizes that axes have had before they were put into an order."""
    if not order or not sizes:
        return sizes
    padded = [*[None] * (len(order) - len(sizes)), *sizes]
    before: list[int | None] = [None] * len(padded)
    for size, axis in zip(padded, order, strict=False):
        before[axis] = size
    return tuple(before)


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
    for axis, size in enumerate(reversed(parts.sizes), 1) if not parts.fixed else ():
        if size and axis <= len(dense):
            dense[-axis] = size
    places = int(np.prod(dense, dtype=np.int64))
    if count <= dense[0]:
        indices = np.zeros([count, len(dense)], np.int64)
        indices[:, 0] = np.arange(count)
        if parts.sizes and parts.sizes[-1] and len(dense) > 1:
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
