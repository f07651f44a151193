"""Shapes of inputs for which the graph has none: what it reads them as, or else what its owner gave."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from export_v1.format import sample as codec
from export_v1.ir import graph as ir
from export_v1.ir import importing
from export_v1.ir.graph import Index, NodeDef, Tensor
from export_v1.ir.match import anything, made_by, match
from load_v2.errors import LoadError, quoted
from load_v2.opening.graph import ALIASES
from load_v2.program.program import Program

Shape = tuple[int | None, ...]
# Which ranks are tried; no op that models are made of takes more axes.
_RANKS = range(7)
_ZERO = anything(test=lambda index, tensor: _values(index.nodes.get(tensor.node)) == [0], what="a constant 0")
_FIRST_SIZE = made_by("StridedSlice", made_by("Shape", anything("tensor")), _ZERO, anything(), anything())


@dataclasses.dataclass(frozen=True)
class Known:
    """Shapes of inputs, by key, that are not as the signature has them, and notes on where they are from."""

    shapes: Mapping[str, Shape]
    notes: tuple[str, ...] = ()


def of_sample(program: Program, sample: codec.Arrays | None) -> Known:
    """Returns shapes with the sample's sizes wherever the signature leaves one open, but for the batch.

    Raises:
        LoadError: there is no sample.
    """
    if sample is None:
        raise LoadError("--static takes sizes from the recorded sample, and there is none.\n  Leave it out.")
    fixed = {}
    for key, spec in program.source.signatures[program.key].inputs.items():
        shape = np.shape(sample.inputs[key])
        known = spec.shape if spec.shape is not None else (None,) * len(shape)
        fixed[key] = tuple(
            size if size is not None or not at else shape[at] for at, size in enumerate(known)
        )  # fmt: skip
    return Known(fixed, _of_the_sample(_unknown(program)))


def shapes(program: Program, sample: codec.Arrays | None, made: bool) -> Known:
    """Returns shapes of the inputs of which the signature does not tell the rank.

    First what the graph says: rows of as many numbers as all its readers reshape them to, or the one rank that TensorFlow's
    shape functions let in. Then the sizes, but for the batch, of what its owner gave in step 1.

    Args:
        program: of a signature.
        sample: inputs of it.
        made: whether they are what the graph itself made; then only their rank is the sample's.

    Raises:
        LoadError: there is such an input, and no sample that its owner gave.
    """
    unknown = _unknown(program)
    if made and sample is not None:
        return Known({key: (None,) * np.ndim(sample.inputs[key]) for key in unknown})
    record = program.source.record
    given = record is not None and record.sample is not None and record.sample.origin == "given"
    if given and sample is not None:
        known = {key: np.shape(sample.inputs[key]) for key in unknown}
        taken = {key: (None, *shape[1:]) if shape else () for key, shape in known.items()}
        return Known(taken, _of_the_sample(unknown))
    told = {key: shape for key in unknown if (shape := read_as(program, key, sample)) is not None}
    if left := [key for key in unknown if key not in told]:
        raise LoadError(_of_unknown_rank(program, left, sample))
    note = f"the signature does not tell the rank of {quoted(told)}; the model takes what the graph reads"
    return Known(told, (note,) if told else ())


def _unknown(program: Program) -> list[str]:
    return [key for key, spec in program.source.signatures[program.key].inputs.items() if spec.shape is None]


def _of_the_sample(keys: Sequence[str]) -> tuple[str, ...]:
    note = f"the signature does not tell the rank of {quoted(keys)}; its sizes are the sample's"
    return (note,) if keys else ()


def read_as(program: Program, key: str, sample: codec.Arrays | None) -> Shape | None:
    """Returns the shape that the graph reads an input as, None where it takes several ranks.

    A size is the sample's where TensorFlow refuses one more; the others are open.
    """
    specs = dict(zip(program.source.signatures[program.key].inputs, program.serve.inputs, strict=True))
    index = Index(program.serve.graph_def)
    tensor = ir.parse(specs[key].tensor)
    flat = {_row(index, reader) for reader in _readers(index, tensor) if not _counts_rows(index, reader)}
    if len(flat) == 1 and (numbers := flat.pop()) is not None:
        return None, numbers
    ranks = [rank for rank in _RANKS if _fits(program, specs[key].tensor, (None,) * rank)]
    if len(ranks) != 1:
        return None
    shape: list[int | None] = [None] * ranks[0]
    recorded = np.shape(sample.inputs[key]) if sample is not None else ()
    for axis in range(1, ranks[0]) if len(recorded) == ranks[0] else ():
        other = [recorded[axis] + 1 if axis == at else None for at in range(ranks[0])]
        shape[axis] = None if _fits(program, specs[key].tensor, other) else recorded[axis]
    return tuple(shape)


def _readers(index: Index, tensor: Tensor) -> list[NodeDef]:
    """Returns the nodes that read a tensor, those behind another name for it included."""
    readers: list[NodeDef] = []
    for node, at in index.tensor_consumers(tensor):
        readers += _readers(index, Tensor(node.name)) if node.op in ALIASES and at == 0 else [node]
    return readers


def _row(index: Index, reader: NodeDef) -> int | None:
    """Returns of how many numbers each row is that a node makes of a tensor by reshaping it; None for another node."""
    source = index.nodes.get(ir.data_inputs(reader)[1].node) if reader.op == "Reshape" else None
    if source is None:
        return None
    if source.op == "Pack":
        data = ir.data_inputs(reader)[0]
        rows, *columns = ir.data_inputs(source)
        # As many rows as there are: the first size of what is reshaped.
        sizes = [_number(index.nodes.get(size.node)) for size in columns]
        return math.prod(sizes) if _first_size(index, rows) == data and sizes and min(sizes) > 0 else None
    first, *others = _values(source) or [0]
    return math.prod(others) if first == -1 and others and min(others) > 0 else None


def _values(node: NodeDef | None) -> list:
    """Returns the numbers of a constant, none for any other node."""
    if node is None or node.op != "Const":
        return []
    return tf.make_ndarray(node.attr["value"].tensor).reshape(-1).tolist()


def _number(node: NodeDef | None) -> int:
    """Returns the value of a constant of one number, 0 for any other node."""
    numbers = _values(node)
    return int(numbers[0]) if len(numbers) == 1 else 0


def _first_size(index: Index, tensor: Tensor) -> Tensor | None:
    """Returns the tensor of which another is the first size: tf.shape(tensor)[0]."""
    fit = match(index, tensor, _FIRST_SIZE)
    is_one = bool(fit) and ir.attr(index[tensor.node], "shrink_axis_mask").i == 1
    return fit["tensor"] if fit and is_one else None


def _counts_rows(index: Index, node: NodeDef) -> bool:
    """Returns whether a node is a shape of which nothing but the first size is read."""
    return node.op == "Shape" and all(
        _first_size(index, Tensor(reader.name)) is not None for reader in _readers(index, Tensor(node.name))
    )


def _fits(program: Program, tensor: str, wanted: Sequence[int | None]) -> bool:
    """Returns whether TensorFlow's shape functions let an input have a shape."""
    feeds: dict[str, tf.Tensor] = {}
    with tf.Graph().as_default():
        for spec in program.serve.inputs:
            shape = wanted if spec.tensor == tensor else spec.shape
            feeds[spec.tensor] = tf.compat.v1.placeholder(spec.dtype, shape)
        for variable in program.variables:
            for handle in variable.handles:
                feeds[f"{handle}:0"] = tf.raw_ops.VarHandleOp(dtype=variable.dtype, shape=variable.shape)
        try:
            importing.graph_def(program.serve.graph_def, feeds=feeds)
        except ValueError:
            return False
    return True


def _of_unknown_rank(program: Program, keys: Sequence[str], sample: codec.Arrays | None) -> str:
    """Returns the message for inputs without a rank, with the flag that gives the first of them one."""
    first, record = keys[0], program.source.record
    known = record.signatures.get(program.key) if record is not None else None
    entry = known.inputs.get(first) if known is not None else None
    tensor = entry.tensor if entry is not None else program.source.signatures[program.key].inputs[first].tensor
    shape = [None, 3] if sample is None else [None, *np.shape(sample.inputs[first])[1:]]
    flag = f"--input={first}={tensor}[{','.join(map(str, shape))}]"
    lines = [
        f"The rank of input {quoted(keys)} is unknown, and a Keras model needs it.",
        f"  Give it in step 1, such as {flag}, or real inputs: --sample=FILE.npz",
    ]
    if sample is not None:
        lines.append("  The graph has answered made-up inputs of that shape; --static takes it from them.")
    return "\n".join(lines)
